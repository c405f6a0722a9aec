//! The handles, messages, locks and transactions that a call needs.

use super::{Handling, Outcome, WAIT};
use servicebus_core::client::{
    AutoLockRenewer, Client, LockRenewal, Receiver, RuleManager, Sender, SessionReceiver, Transaction,
    TransactionController,
};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Entity, MessageRef, ReceivedMessage};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};

/// A queue that the service has to have.
pub const QUEUE: &str = "queue";
/// A queue with sessions that the service has to have.
pub const SESSIONS: &str = "sessions";
/// A topic that the service has to have.
pub const TOPIC: &str = "topic";
/// A subscription of the topic.
pub const SUBSCRIPTION: &str = "subscription";

/// A sequence number that no message has.
pub const MISSING_SEQUENCE_NUMBER: i64 = 1 << 40;

/// How long preparations wait for a message that was just sent.
const SOON: Duration = Duration::from_secs(20);

/// The preparation of a call, before the peer falls sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The client. Warm, it is connected.
    Nothing,
    /// A sender of [`QUEUE`]. Warm, its link is attached.
    Sender,
    /// A receiver of [`QUEUE`]. Warm, its link is attached and it has received and completed a message.
    Receiver,
    /// The rules of [`SUBSCRIPTION`]. Warm, they have been listed.
    RuleManager,
    /// A controller of transactions. Warm, it has begun one and rolled it back.
    Controller,
    /// A receiver and a message of [`QUEUE`] that it has locked.
    Message,
    /// The same, and a renewal of the message's lock.
    Renewal,
    /// A session of [`SESSIONS`] that is locked, with one message in it.
    Session,
    /// A transaction, a sender, and a receiver with a message that it has locked; all of [`QUEUE`].
    Transaction,
    /// A processor of [`QUEUE`] with a message in its handler's hands.
    Handling,
    /// The same, whose handler has a transaction too.
    HandlingInTransaction,
}

impl Needs {
    /// Whether it needs no service, so that the call can be made to a peer that was sick from the start.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Nothing | Self::Sender | Self::Receiver | Self::RuleManager | Self::Controller)
    }
}

/// A client and what was prepared for one call.
pub struct Scene<R: Runtime> {
    /// The client, which the call may close.
    pub client: Client<R>,
    pub(super) sender: Option<Sender<R>>,
    pub(super) receiver: Option<Receiver<R>>,
    pub(super) rules: Option<RuleManager<R>>,
    pub(super) controller: Option<TransactionController<R>>,
    pub(super) message: Option<ReceivedMessage<R::Storage>>,
    pub(super) renewal: Option<LockRenewal<'static, R>>,
    pub(super) session: Option<SessionReceiver<R>>,
    pub(super) transaction: Option<Transaction<R>>,
    pub(super) handling: Option<Handling<R>>,
}

impl<R: Runtime> fmt::Debug for Scene<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scene")
    }
}

fn text(error: impl Display) -> String {
    format!("not prepared: {error}")
}

/// A name of a session that no other scene uses.
fn fresh_session() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("session-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl<R: Runtime<Storage = Heap>> Scene<R> {
    /// A scene with the handles that need no service; `None` where `needs` takes one.
    ///
    /// # Panics
    /// When the client is closed.
    pub fn cold(client: Client<R>, needs: Needs) -> Option<Self> {
        let mut scene = Self {
            client,
            sender: None,
            receiver: None,
            rules: None,
            controller: None,
            message: None,
            renewal: None,
            session: None,
            transaction: None,
            handling: None,
        };
        let client = &scene.client;
        match needs {
            Needs::Nothing => {}
            Needs::Sender => scene.sender = Some(client.sender(QUEUE).expect("a sender")),
            Needs::Receiver => scene.receiver = Some(client.receiver(QUEUE).expect("a receiver")),
            Needs::RuleManager => scene.rules = Some(client.rule_manager(Entity::subscription(TOPIC, SUBSCRIPTION))),
            Needs::Controller => scene.controller = Some(client.transactions(QUEUE).expect("a controller")),
            _ => return None,
        }
        Some(scene)
    }

    /// A scene with everything that `needs` names, prepared with a healthy service.
    ///
    /// # Errors
    /// The call that failed. With a healthy service none does.
    pub async fn warm(client: Client<R>, needs: Needs) -> Result<Self, String> {
        let local = if needs.is_local() { needs } else { Needs::Nothing };
        let mut scene = Self::cold(client, local).ok_or("it needs a service")?;
        match needs {
            Needs::Nothing => {
                let sender = scene.client.sender(QUEUE).map_err(text)?;
                sender.size_limits().await.map_err(text)?;
                sender.close().await;
            }
            Needs::Sender => {
                scene.sender().size_limits().await.map_err(text)?;
            }
            Needs::Receiver => {
                let message = scene.fetch().await?;
                scene.receiver().complete(&message).await.map_err(text)?;
            }
            Needs::RuleManager => {
                scene.rules().list_each(|_| ()).await.map_err(text)?;
            }
            Needs::Controller => {
                scene.controller().begin().await.map_err(text)?.roll_back().await.map_err(text)?;
            }
            Needs::Message => scene.lock().await?,
            Needs::Renewal => {
                scene.lock().await?;
                let message = scene.message();
                let (token, until) =
                    message.lock_token().zip(message.locked_until()).ok_or("the message has no lock")?;
                let renewal = AutoLockRenewer::default().token(scene.receiver(), token, until).map_err(text)?;
                scene.renewal = Some(renewal);
            }
            Needs::Session => scene.lock_session().await?,
            Needs::Transaction => {
                let controller = scene.client.transactions(QUEUE).map_err(text)?;
                scene.sender = Some(scene.client.sender(QUEUE).map_err(text)?);
                scene.lock().await?;
                scene.transaction = Some(controller.begin().await.map_err(text)?);
            }
            Needs::Handling => {
                send(&scene.client, QUEUE, None).await?;
                scene.handling = Some(Handling::begin(&scene.client).await?);
            }
            Needs::HandlingInTransaction => {
                let controller = scene.client.transactions(QUEUE).map_err(text)?;
                send(&scene.client, QUEUE, None).await?;
                let handling = Handling::begin(&scene.client).await?;
                handling.give(controller.begin().await.map_err(text)?);
                scene.handling = Some(handling);
            }
        }
        Ok(scene)
    }

    /// Sends a message to the queue and receives one.
    async fn fetch(&mut self) -> Result<ReceivedMessage<Heap>, String> {
        send(&self.client, QUEUE, None).await?;
        if self.receiver.is_none() {
            self.receiver = Some(self.client.receiver(QUEUE).map_err(text)?);
        }
        let message = self.receiver().receive(SOON).await.map_err(text)?;
        message.ok_or_else(|| text("no message came"))
    }

    async fn lock(&mut self) -> Result<(), String> {
        self.message = Some(self.fetch().await?);
        Ok(())
    }

    async fn lock_session(&mut self) -> Result<(), String> {
        let session = fresh_session();
        send(&self.client, SESSIONS, Some(&session)).await?;
        let accepting = self.client.accept_session(Entity::queue(SESSIONS), &session);
        self.session = Some(accepting.await.map_err(text)?);
        Ok(())
    }

    pub(super) fn sender(&self) -> &Sender<R> {
        self.sender.as_ref().expect("the call needs a sender")
    }

    pub(super) fn receiver(&self) -> &Receiver<R> {
        self.receiver.as_ref().expect("the call needs a receiver")
    }

    pub(super) fn rules(&self) -> &RuleManager<R> {
        self.rules.as_ref().expect("the call needs the rules")
    }

    pub(super) fn controller(&self) -> &TransactionController<R> {
        self.controller.as_ref().expect("the call needs a controller")
    }

    pub(super) fn message(&self) -> &ReceivedMessage<Heap> {
        self.message.as_ref().expect("the call needs a message")
    }

    pub(super) fn session(&self) -> &SessionReceiver<R> {
        self.session.as_ref().expect("the call needs a session")
    }

    pub(super) fn transaction(&self) -> &Transaction<R> {
        self.transaction.as_ref().expect("the call needs a transaction")
    }

    /// A message that waits in a receive, as work beside a renewal.
    pub(super) async fn work(&self) -> Outcome {
        super::outcome(self.receiver().receive(WAIT).await)
    }
}

async fn send<R: Runtime<Storage = Heap>>(client: &Client<R>, queue: &str, session: Option<&str>) -> Outcome {
    let sender = client.sender(queue).map_err(text)?;
    let mut message = MessageRef::new(b"prepared");
    message.session_id = session;
    sender.send(&message).await.map_err(text)?;
    sender.close().await;
    Ok(())
}
