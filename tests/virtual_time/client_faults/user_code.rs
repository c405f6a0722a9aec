//! Code of the application runs outside of the client's lock.

use crate::stage::{HOUR, MINUTE, add_queue, observe, sessions, settings, world};
use bytes::Bytes;
use servicebus_core::client::{Client, ProcessorMessage, ProcessorOptions, SessionProcessorOptions, State};
use servicebus_core::driver::{self, Credential, Dial, Token};
use servicebus_core::machine::{Clock, Target};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Entity, MessageRef, RetryPolicy, sas};
use servicebus_core::storage::Heap;
use servicebus_core::time::Instant;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_simulation::{Simulated, SimulatedDialer, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::ThreadId;

/// Looks whether the lock is free where the application's code runs, and calls the client from there.
struct Probe {
    state: Rc<RefCell<State<Calling>>>,
    client: Client<Calling>,
}

thread_local! {
    static PROBE: RefCell<Option<Rc<Probe>>> = const { RefCell::new(None) };
    static CALLS: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Code of the application runs here, and calls the client.
fn check(place: &str) {
    // What the probe itself causes does not count.
    if CALLS.replace(true) {
        return;
    }
    if let Some(probe) = PROBE.try_with(|probe| probe.borrow().clone()).ok().flatten() {
        let is_free = probe.state.try_borrow_mut().is_ok();
        // Once for each place: a call wakes the driver, whose wakers and clocks come here again.
        if is_free && !NOTES.with_borrow(|notes| notes.contains_key(place)) {
            let sender = probe.client.clone().sender("other").expect("there is room");
            assert!(format!("{:?}", probe.client.state()) != "", "a state");
            drop(sender);
        }
        let note = if is_free { "free" } else { "locked" };
        NOTES.with_borrow_mut(|notes| {
            let known = notes.entry(place.to_owned()).or_insert_with(|| note.to_owned());
            if !is_free {
                *known = note.to_owned();
            }
        });
    }
    CALLS.set(false);
}

/// A runtime that calls the client.
#[derive(Debug)]
struct Calling(Simulated<Heap>);

impl Clone for Calling {
    fn clone(&self) -> Self {
        check("clone of the runtime");
        Self(self.0.clone())
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        check("drop of the runtime");
    }
}

impl Runtime for Calling {
    type Storage = Heap;
    type Shared = Rc<RefCell<State<Self>>>;

    fn clock(&self) -> Clock {
        check("clock");
        self.0.clock()
    }

    fn now(&self) -> Instant {
        check("now");
        self.0.now()
    }

    async fn sleep_until(&self, at: Instant) {
        check("sleep_until");
        self.0.sleep_until(at).await;
    }
}

/// An error that calls the client when it is shown or dropped.
#[derive(Debug)]
struct CallingError;

impl fmt::Display for CallingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        check("display of an error");
        f.write_str("out of order")
    }
}

impl std::error::Error for CallingError {}

impl Drop for CallingError {
    fn drop(&mut self) {
        check("drop of an error");
    }
}

/// A dialer whose first attempts fail.
struct CallingDialer(SimulatedDialer, u32);

impl Dial for CallingDialer {
    type Transport<'a> = <SimulatedDialer as Dial>::Transport<'a>;
    type Error = CallingError;

    async fn dial(&mut self, target: Target<'_>) -> Result<Self::Transport<'_>, CallingError> {
        check("dial");
        if self.1 > 0 {
            self.1 -= 1;
            return Err(CallingError);
        }
        self.0.dial(target).await.map_err(|_| CallingError)
    }
}

/// The text of a token, which calls the client when it is dropped.
struct CallingText(String);

impl AsRef<[u8]> for CallingText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Drop for CallingText {
    fn drop(&mut self) {
        check("drop of a token");
    }
}

/// A credential that fails at first, and whose tokens do not last.
struct CallingCredential(World, u32);

impl Credential<Bytes> for CallingCredential {
    type Error = CallingError;

    async fn token(&mut self, audience: &str) -> Result<Token<Bytes>, CallingError> {
        check("credential");
        if self.1 > 0 {
            self.1 -= 1;
            return Err(CallingError);
        }
        let expires_at = self.0.clock().utc + 2 * MINUTE;
        let mut text = String::new();
        sas::sign(audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", expires_at, &mut text)
            .map_err(|_| CallingError)?;
        Ok(Token::Sas { text: Bytes::from_owner(CallingText(text)), expires_at })
    }
}

/// A waker that calls the client when it is woken and dropped.
struct CallingWaker(ThreadId, Waker);

impl CallingWaker {
    /// Futures of one thread stay there; what the executor does with a waker elsewhere is its own.
    fn check(&self, place: &str) {
        if std::thread::current().id() == self.0 {
            check(place);
        }
    }
}

impl Wake for CallingWaker {
    fn wake(self: Arc<Self>) {
        self.check("wake");
        self.1.wake_by_ref();
    }
}

impl Drop for CallingWaker {
    fn drop(&mut self) {
        self.check("drop of a waker");
    }
}

/// Polls a future with another waker each time.
async fn with_changing_wakers<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(CallingWaker(std::thread::current().id(), cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

async fn closures_of_calls(world: &World, client: &Client<Calling>) {
    let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
    for _ in 0..3 {
        sender.send(&MessageRef::new("x")).await.unwrap();
    }
    let mut received = Vec::new();
    let take = |message| {
        check("receive_each");
        received.push(message);
    };
    assert!(receiver.receive_each(2, Some(MINUTE), take).await.unwrap() > 0);
    receiver.peek_each(0, 10, |_| check("peek_each")).await.unwrap();
    let number = received[0].sequence_number().unwrap();
    receiver.defer(&received[0]).await.unwrap();
    receiver.receive_deferred_each(&[number], |_| check("receive_deferred_each")).await.unwrap();
    let at = world.clock().utc + HOUR;
    sender.schedule_each(&[MessageRef::new("x")], at, |_| check("schedule_each")).await.unwrap();
    client.rule_manager(Entity::subscription("t", "s")).list_each(|_| check("list_each")).await.unwrap();
    // Code that runs in the application's own task.
    let options = ProcessorOptions::default();
    let processor = client.processor(Entity::queue("q"), options);
    let control = processor.control();
    let handler = handler(async |_: ProcessorMessage<_>| {
        check("handler");
        control.stop();
        Err::<(), _>("failed")
    });
    processor.on_error(|_| check("on_error")).run_inline(handler).await.unwrap();
}

async fn closures_of_sessions(client: &Client<Calling>) {
    let sender = client.sender("sessions").unwrap();
    sender.send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
    let entity = Entity::queue("sessions");
    client.list_sessions_each(entity, None, |_| check("list_sessions_each")).await.unwrap();
    let session = client.accept_session(Entity::queue("sessions"), "s").await.unwrap();
    session.receive_each(1, Some(MINUTE), |_| check("receive_each in a session")).await.unwrap();
    session.peek_each(0, 1, |_| check("peek_each in a session")).await.unwrap();
    session.close().await;
    let processor = client.session_processor(Entity::queue("sessions"), SessionProcessorOptions::default());
    let control = processor.control();
    let handler = handler(async |_: ProcessorMessage<_>| {
        check("handler of a session");
        control.stop();
        Ok::<(), Infallible>(())
    });
    let checked = |place| {
        check(place);
        std::future::ready(Ok(()))
    };
    processor
        .on_error(|_| {})
        .on_session_opened(|_| checked("on_session_opened"))
        .on_session_closing(|_| checked("on_session_closing"))
        .run_inline(handler)
        .await
        .unwrap();
}

/// Where code of the application runs.
const PLACES: &[&str] = &[
    "clock",
    "now",
    "sleep_until",
    "clone of the runtime",
    "drop of the runtime",
    "display of an error",
    "drop of an error",
    "dial",
    "credential",
    "drop of a token",
    "wake",
    "drop of a waker",
    "receive_each",
    "peek_each",
    "receive_deferred_each",
    "schedule_each",
    "list_each",
    "handler",
    "on_error",
    "list_sessions_each",
    "receive_each in a session",
    "peek_each in a session",
    "handler of a session",
    "on_session_opened",
    "on_session_closing",
];

#[test]
fn no_code_of_the_application_runs_under_the_lock_c7() {
    let world = world(QueueDescription::default());
    add_queue(&world, "sessions", sessions(MINUTE));
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", TopicDescription::default(), clock.utc).expect("a topic");
            let subscription = SubscriptionDescription::default();
            namespace.create_subscription("t", "s", subscription, None, clock.utc).expect("a subscription");
        });
    });
    add_queue(&world, "other", QueueDescription::default());
    let notes = observe(&world, async move |world| {
        let runtime = Calling(world.runtime());
        let settings = settings(&world, RetryPolicy::default()).with_external_tokens();
        let state = Rc::new(RefCell::new(Client::shared_state(settings)));
        let client = Client::new(&state, runtime.clone());
        PROBE.set(Some(Rc::new(Probe { state: Rc::clone(&state), client: client.clone() })));
        let (dialer, credential) = (CallingDialer(world.dialer(), 2), CallingCredential(world.clone(), 2));
        world.spawn(with_changing_wakers(driver::run(state, runtime, dialer, credential)));
        with_changing_wakers(async {
            closures_of_calls(&world, &client).await;
            closures_of_sessions(&client).await;
            // Tokens end, and the connection is lost.
            let receiver = client.receiver("other").unwrap();
            assert!(receiver.receive(5 * MINUTE).await.unwrap().is_none());
            world.cut();
            client.sender("other").unwrap().send("x").await.unwrap();
            assert!(receiver.receive(MINUTE).await.unwrap().is_some());
            client.close().await;
        })
        .await;
        drop(PROBE.take());
        NOTES.take()
    });
    for place in PLACES {
        assert!(notes.contains_key(*place), "no code ran at: {place}");
    }
    let mut judge = Judge::new();
    for (place, lock) in notes {
        judge.equal(place, lock, "free".to_owned(), "locked".to_owned());
    }
    judge.finish();
}
