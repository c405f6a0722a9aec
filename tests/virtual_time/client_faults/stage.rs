//! Clients with short retry policies, and calls that are watched for a while.

use servicebus_core::client::{Client, Error, Receiver, Sender};
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::{MessageRef, ReceivedMessage, RetryMode, RetryPolicy};
use servicebus_core::storage::{Heap, Storage};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);

servicebus_core::fixed_storage! {
    /// A board's tables, with room for what the scenes of both storages do at once.
    pub(crate) type Board {
        sessions: 3, links: 32, deliveries: 40, receive: 4096, transmit: 4096, message: 2048,
        receivers: true, management: true, session_receivers: 10, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

/// Scenes as tests on the heap and in fixed storage.
macro_rules! on_both_storages {
    ($($(#[$meta:meta])* $name:ident => $scene:ident;)*) => { $(
        $(#[$meta])*
        mod $name {
            #[test]
            fn on_the_heap() {
                super::$scene::<servicebus_core::storage::Heap>();
            }

            #[test]
            fn in_fixed_storage() {
                super::$scene::<crate::stage::Board>();
            }
        }
    )* };
}

pub(crate) use on_both_storages;

pub(crate) type HeapClient = Client<Simulated<Heap>>;
pub(crate) type HeapFailure = Error<Heap>;

/// A world with the queue `q`.
pub(crate) fn world(queue: QueueDescription) -> World {
    let world = World::new(BrokerConfig::default(), 7);
    add_queue(&world, "q", queue);
    world
}

/// A queue that requires sessions, with locks of this length.
pub(crate) fn sessions(lock_duration: Duration) -> QueueDescription {
    QueueDescription { requires_session: true, lock_duration, max_delivery_count: 1_000, ..QueueDescription::default() }
}

pub(crate) fn add_queue(world: &World, name: &str, queue: QueueDescription) {
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_queue(name, queue, clock.utc)).expect("a queue");
    });
}

/// Messages of `q` that are neither settled nor dead-lettered.
pub(crate) fn active(world: &World) -> u64 {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        namespace.counts(&namespace.queue("q").expect("the queue").stores).active
    })
}

/// The policy of the reports: two seconds for an attempt, and so many retries.
pub(crate) fn policy(max_retries: u32) -> RetryPolicy {
    RetryPolicy::new().with_max_retries(max_retries).with_try_timeout(SECOND * 2)
}

/// The longest that a call may take under a policy: every attempt and every pause in full.
pub(crate) fn longest(policy: &RetryPolicy) -> Duration {
    let pause = |attempt: u32| match policy.mode {
        RetryMode::Fixed => policy.delay.min(policy.max_delay),
        _ => (policy.delay * 2u32.pow(attempt)).min(policy.max_delay),
    };
    let pauses: Duration = (0..policy.max_retries).map(|attempt| pause(attempt) * 6 / 5).sum();
    policy.try_timeout * (policy.max_retries + 1) + pauses
}

/// Settings with a policy, on the heap.
pub(crate) fn settings(world: &World, retry: RetryPolicy) -> Settings<Heap> {
    settings_of(world, retry)
}

/// Settings with a policy.
pub(crate) fn settings_of<S: Complete>(world: &World, retry: RetryPolicy) -> Settings<S> {
    world.settings().with_retry(retry)
}

/// After how long a call ended and how; `None` while it is pending.
pub(crate) type Ending = Option<(Duration, Result<(), Told>)>;

/// Waits for a call, but no longer than `limit`.
pub(crate) async fn within<T>(world: &World, limit: Duration, call: impl Future<Output = T>) -> Option<(Duration, T)> {
    let began = world.clock().now;
    let (mut call, mut over) = (pin!(call), pin!(world.sleep(limit)));
    let output = poll_fn(|cx| {
        if let Poll::Ready(output) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        over.as_mut().poll(cx).map(|()| None)
    })
    .await;
    Some((world.clock().now.saturating_duration_since(began), output?))
}

/// As [`within`], with nothing of the result but its cause.
pub(crate) async fn ending<T, S: Storage>(
    world: &World,
    limit: Duration,
    call: impl Future<Output = Result<T, Error<S>>>,
) -> Ending {
    let (took, result) = within(world, limit, call).await?;
    Some((took, result.map(drop).map_err(|failure| Told::of(&failure))))
}

/// Whether a call ended by then.
pub(crate) fn ended_by(ending: &Ending, limit: Duration) -> bool {
    ending.is_some_and(|(took, _)| took <= limit)
}

/// Runs a scene in a world and takes what it observed.
pub(crate) fn observe<T: 'static, F: Future<Output = T> + 'static>(world: &World, scene: impl FnOnce(World) -> F) -> T {
    let observed = world.run(scene(world.clone()));
    world.clone().end();
    observed
}

/// The handles of calls: the queue `q` with a few messages, of which one is locked.
pub(crate) struct Kit<S: Complete = Heap> {
    pub(crate) world: World,
    pub(crate) client: Client<Simulated<S>>,
    pub(crate) sender: Sender<Simulated<S>>,
    pub(crate) receiver: Receiver<Simulated<S>>,
    pub(crate) message: ReceivedMessage<S>,
    pub(crate) scheduled: i64,
}

impl<S: Complete> Kit<S> {
    pub(crate) async fn new(world: &World, client: Client<Simulated<S>>) -> Rc<Self> {
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("locked")).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        let scheduled = sender.schedule(&MessageRef::new("later"), world.clock().utc + HOUR).await.unwrap();
        Rc::new(Self { world: world.clone(), client, sender, receiver, message, scheduled })
    }
}

pub(crate) type Calling<S = Heap> = Pin<Box<dyn Future<Output = Result<(), Error<S>>>>>;

/// A call by its name.
pub(crate) type Verb<S = Heap> = (&'static str, fn(Rc<Kit<S>>) -> Calling<S>);

macro_rules! verbs {
    ($($name:literal: |$kit:ident| $call:expr;)*) => {
        &[$( ($name, |$kit| Box::pin(async move { $call.await.map(drop) })), )*]
    };
}

pub(crate) use verbs;

/// Calls of every kind.
pub(crate) struct Verbs<S>(PhantomData<S>);

impl<S: Complete> Verbs<S> {
    pub(crate) const ALL: &'static [Verb<S>] = verbs! {
        "send": |kit| kit.sender.send(&MessageRef::new("x"));
        "send_all": |kit| async { kit.sender.send_all(&["x", "y"]).await.map_err(Error::from) };
        "schedule": |kit| kit.sender.schedule(&MessageRef::new("x"), kit.world.clock().utc + HOUR);
        "cancel_scheduled": |kit| kit.sender.cancel_scheduled(&[kit.scheduled]);
        "peek": |kit| kit.receiver.peek(1, 10);
        "receive for a second": |kit| kit.receiver.receive(SECOND);
        "complete": |kit| kit.receiver.complete(&kit.message);
        "abandon": |kit| kit.receiver.abandon(&kit.message);
        "renew_lock_by_token": |kit| kit.receiver.renew_lock_by_token(kit.message.lock_token().unwrap());
        "size_limits of a new sender": |kit| async { kit.client.sender("q")?.size_limits().await };
    };
}
