//! What a test stands on: an emulator in threads of its own, a proxy in front of it that cuts connections, and clients.

use crate::adapter::{Adapter, Connection};
use crate::proxy::Proxy;
use futures_util::future::{Either, select};
use servicebus_core::client::{Client, Error, ReceiverOptions};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Entity, RetryMode, RetryPolicy};
use servicebus_core::storage::Storage;
use servicebus_core::time::Duration;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::Broker;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::told::Told;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;

/// Longer than anything takes here, so that what hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait for a message that is there or on its way.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How long to wait before saying that nothing comes.
pub(crate) const MOMENT: Duration = Duration::from_millis(30);

/// A queue.
pub(crate) const QUEUE: &str = "queue";
/// A queue whose locks end soon: what was on its way to a connection that is lost is locked until then.
pub(crate) const BRIEF: &str = "brief";
/// A queue that requires sessions.
pub(crate) const SESSIONS: &str = "sessions";
/// A topic.
pub(crate) const TOPIC: &str = "topic";
/// Its subscription.
pub(crate) const SUBSCRIPTION: &str = "subscription";

/// What is in a queue or subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages, locked ones and deferred ones among them.
    pub(crate) active: u64,
    pub(crate) dead_letter: u64,
    pub(crate) scheduled: u64,
    /// Messages that are locked.
    pub(crate) locks: usize,
}

/// An emulator, a proxy, and the runtime under test.
pub(crate) struct Bench<A> {
    pub(crate) emulator: Emulator,
    pub(crate) proxy: Proxy,
    adapter: PhantomData<A>,
}

pub(crate) type ClientOf<A> = Client<<A as Adapter>::Runtime>;

impl<A: Adapter> Bench<A> {
    /// Runs a test.
    pub(crate) fn run(test: impl AsyncFnOnce(&Self)) {
        let server = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the emulator has threads");
        let builder = Emulator::builder()
            .queue(QUEUE)
            .queue_with(
                BRIEF,
                QueueDescription { lock_duration: Duration::from_millis(400), ..QueueDescription::default() },
            )
            .queue_with(SESSIONS, QueueDescription { requires_session: true, ..QueueDescription::default() })
            .topic(TOPIC)
            .subscription_with(SUBSCRIPTION, SubscriptionDescription::default(), Vec::new())
            .tls(0, None);
        let emulator = server.block_on(builder.start()).expect("the emulator starts");
        let proxy = server.block_on(Proxy::start(emulator.amqp_address())).expect("the proxy starts");
        let bench = Self { emulator, proxy, adapter: PhantomData };
        A::block_on(async {
            let in_time = matches!(select(pin!(test(&bench)), pin!(bench.sleep(PATIENCE))).await, Either::Left(_));
            assert!(in_time, "the test hangs: {:?}", bench.emulator.statistics());
        });
        drop(bench);
        server.shutdown_background();
    }

    /// A policy that does not make tests wait.
    pub(crate) fn retry() -> RetryPolicy {
        RetryPolicy::new()
            .with_max_retries(5)
            .with_delay(Duration::from_millis(2))
            .with_max_delay(Duration::from_millis(20))
            .with_mode(RetryMode::Exponential)
            .with_try_timeout(Duration::from_secs(5))
    }

    /// The connection string of the emulator behind the proxy.
    pub(crate) fn connection_string(&self) -> String {
        let direct = self.emulator.amqp_address().port().to_string();
        self.emulator.connection_string().replace(&direct, &self.proxy.address().port().to_string())
    }

    pub(crate) fn client_with(&self, connection: Connection) -> ClientOf<A> {
        A::connect(connection)
    }

    /// A client that is connected through the proxy.
    pub(crate) fn client(&self) -> ClientOf<A> {
        self.client_with(Connection::new(self.connection_string(), Self::retry()))
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        A::sleep(duration).await;
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = A::now() + SOON;
        while !is_so() {
            assert!(A::now() < deadline, "not in time: {what}; {:?}", self.emulator.statistics());
            self.sleep(Duration::from_micros(500)).await;
        }
    }

    fn counts_in(broker: &Broker, entity: &str) -> Counts {
        let namespace = broker.namespace();
        let stores = match namespace.queue(entity) {
            Some(queue) => &queue.stores,
            None => &namespace.subscription(TOPIC, entity).expect("an entity of the bench").stores,
        };
        let counts = namespace.counts(stores);
        let locks =
            namespace.store(stores.main).map_or(0, servicebus_emulator::broker::entities::store::Store::lock_count);
        Counts { active: counts.active, dead_letter: counts.dead_letter, scheduled: counts.scheduled, locks }
    }

    /// What is in an entity.
    pub(crate) fn counts(&self, entity: &str) -> Counts {
        self.emulator.with_broker(|broker, _| Self::counts_in(broker, entity))
    }

    /// Waits until an entity holds this.
    pub(crate) async fn until_counts(&self, entity: &str, wanted: Counts) {
        let deadline = A::now() + SOON;
        loop {
            let counts = self.counts(entity);
            if counts == wanted {
                return;
            }
            assert!(A::now() < deadline, "{entity} holds {counts:?} instead of {wanted:?}");
            self.sleep(Duration::from_micros(500)).await;
        }
    }

    /// Takes out what an entity holds once it holds `count` messages, none of them locked; their texts in order.
    pub(crate) async fn drain(&self, entity: &str, count: usize) -> Vec<String> {
        self.until_counts(entity, active(count as u64)).await;
        let client = self.client();
        let entity = match entity {
            QUEUE => Entity::queue(QUEUE),
            _ => Entity::subscription(TOPIC, SUBSCRIPTION),
        };
        let options = ReceiverOptions::new(entity).with_mode(ReceiveMode::ReceiveAndDelete);
        let receiver = client.receiver(options).expect("a receiver");
        let mut texts = Vec::new();
        while texts.len() < count {
            let messages = receiver.receive_messages(100, SOON).await.expect("messages");
            assert!(!messages.is_empty(), "{} of {count} messages are there", texts.len());
            texts.extend(messages.iter().map(|message| message.text().unwrap_or("?").to_owned()));
        }
        client.close().await;
        texts
    }
}

/// A count of messages without any lock.
pub(crate) fn active(active: u64) -> Counts {
    Counts { active, ..Counts::default() }
}

/// Polls a future up to `polls` times and gives it up; `Some` when it ended by then. Where `hold` is set, time passes
/// between its last poll and its end.
pub(crate) async fn interrupted<A: Adapter, T>(
    bench: &Bench<A>,
    polls: usize,
    hold: bool,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    let output = poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if hold && output.is_none() {
        bench.sleep(Duration::from_millis(3)).await;
    }
    output
}

/// Whether a call failed so.
pub(crate) fn failed_for<T, S: Storage>(result: &Result<T, Error<S>>, told: Told) -> bool {
    result.as_ref().is_err_and(|failure| Told::of(failure) == told)
}
