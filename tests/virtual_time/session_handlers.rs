//! What a session processor tells of the sessions that it opens and closes, in virtual time
//! (docs/evidence/sdk-features.md §10).

use servicebus_core::client::{
    Client, ProcessorError, ProcessorErrorCause, ProcessorMessage, ReceiverOptions, SessionProcessorOptions,
    SessionReceiver,
};
use servicebus_core::servicebus::{Entity, MessageRef, Reason};
use servicebus_core::storage::{Heap, Storage};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

servicebus_core::fixed_storage! {
    /// A microcontroller's tables.
    type Small {
        sessions: 1, links: 10, deliveries: 16, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

const SECOND: Duration = Duration::from_secs(1);
const LOCK: Duration = Duration::from_secs(10);

type Session<S> = SessionReceiver<Simulated<S>>;
type Handled<S> = ProcessorMessage<Simulated<S>>;

/// A world with the queue `q`, whose sessions are locked for ten seconds.
fn world() -> World {
    let world = World::new(BrokerConfig::default(), 29);
    world.broker(|broker, clock| {
        let queue = QueueDescription { requires_session: true, lock_duration: LOCK, ..QueueDescription::default() };
        broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
    });
    world
}

async fn send(client: &Client<Simulated<Heap>>, session: &str, bodies: &[&str]) {
    let sender = client.sender("q").unwrap();
    for body in bodies {
        sender.send(&MessageRef::new(*body).with_session_id(session)).await.unwrap();
    }
    sender.close().await;
}

fn options() -> SessionProcessorOptions {
    SessionProcessorOptions::new().with_max_concurrent_sessions(1).with_session_idle_timeout(SECOND * 2)
}

/// What was called, in order.
#[derive(Clone, Default)]
struct Calls(Rc<RefCell<Vec<String>>>);

impl Calls {
    fn note(&self, call: impl Into<String>) {
        self.0.borrow_mut().push(call.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    fn count(&self, call: &str) -> usize {
        self.0.borrow().iter().filter(|found| *found == call).count()
    }

    fn on_error<S: Storage>(&self) -> impl Fn(ProcessorError<S>) + 'static {
        let calls = self.clone();
        move |error| {
            calls.note(match error.cause() {
                ProcessorErrorCause::Handler(error) => format!("failed: {error}"),
                ProcessorErrorCause::Panicked(_) => "panicked".to_owned(),
                ProcessorErrorCause::LockLost(failure) => format!("lost: {:?}", failure.reason()),
                _ => format!("{error}"),
            });
        }
    }
}

/// Waits, for an hour at most.
async fn until(world: &World, mut reached: impl FnMut() -> bool) {
    for _ in 0..36_000 {
        if reached() {
            return;
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not happen within an hour");
}

fn messages(world: &World) -> u64 {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        namespace.queue("q").map_or(0, |queue| namespace.counts(&queue.stores).total())
    })
}

/// Whether somebody holds a session.
fn is_held(world: &World, session: &str) -> bool {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        let store = namespace.queue("q").and_then(|queue| namespace.store(queue.stores.main));
        store.is_some_and(|store| store.session_lock(session).is_some())
    })
}

/// Handlers take longer than the lock lasts, and what a session remembers goes from closing to opening.
fn order<S: Complete>() {
    let world = world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let other = inner.client::<Heap>();
        send(&other, "a", &["1", "2"]).await;
        send(&other, "b", &["3"]).await;
        let processor = client.session_processor(Entity::queue("q"), options());
        let control = processor.control();
        let calls = Calls::default();
        let (noted, time) = (calls.clone(), inner.clone());
        let opened = handler(async move |session: Session<S>| {
            time.sleep(LOCK * 2).await;
            let state = session.state().await.map_err(|_| "no state")?;
            let state = String::from_utf8_lossy(state.as_ref().map_or(&[][..], AsRef::as_ref)).into_owned();
            noted.note(format!("{} opened with {state:?}", session.session_id()));
            Ok::<_, &str>(())
        });
        let noted = calls.clone();
        let message = handler(async move |message: Handled<S>| {
            noted.note(message.text().unwrap_or_default());
            Ok::<_, &str>(())
        });
        let (noted, time) = (calls.clone(), inner.clone());
        let closing = handler(async move |session: Session<S>| {
            time.sleep(LOCK * 2).await;
            session.set_state(Some(b"seen")).await.map_err(|_| "no state")?;
            noted.note(format!("{} closing", session.session_id()));
            Ok::<_, &str>(())
        });
        let processor = processor.on_session_opened(opened).on_session_closing(closing);
        let pump = processor.on_error(calls.on_error()).run(message);
        let stopped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&stopped);
        inner.spawn(async move {
            pump.await.unwrap();
            flag.set(true);
        });
        until(&inner, || calls.count("b closing") == 1).await;
        send(&other, "a", &["4"]).await;
        until(&inner, || calls.count("4") == 1).await;
        // Told to stop while it holds a session, it closes that in order.
        control.stop();
        until(&inner, || stopped.get()).await;
        let all = [
            "a opened with \"\"",
            "1",
            "2",
            "a closing",
            "b opened with \"\"",
            "3",
            "b closing",
            "a opened with \"seen\"",
            "4",
            "a closing",
        ];
        assert_eq!(calls.all(), all);
        assert!(!is_held(&inner, "a") && !is_held(&inner, "b"));
        client.close().await;
        other.close().await;
    });
}

#[test]
fn sessions_are_opened_handled_and_closed_under_their_lock() {
    order::<Heap>();
    order::<Small>();
}

/// What happens when opening or closing goes wrong `times`.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Error,
    Panic,
}

fn go_wrong(left: &Cell<u32>, fault: Fault) -> Result<(), &'static str> {
    if left.get() == 0 {
        return Ok(());
    }
    left.set(left.get() - 1);
    match fault {
        Fault::Error => Err("not today"),
        Fault::Panic => panic!("a handler that panics"),
    }
}

/// Runs a processor over the message of one session; opening and closing go wrong as often as is asked for. Returns what
/// was called and how long it took until the session was closed in order.
fn failing(fault: Fault, openings: u32, closings: u32) -> (Vec<String>, Duration) {
    let world = world();
    let inner = world.clone();
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, "a", &["1"]).await;
        let began = inner.clock().now;
        let processor = client.session_processor(Entity::queue("q"), options());
        let control = processor.control();
        let calls = Calls::default();
        let (noted, left) = (calls.clone(), Rc::new(Cell::new(openings)));
        let opened = handler(async move |_: Session<Heap>| {
            noted.note("opened");
            go_wrong(&left, fault)
        });
        let noted = calls.clone();
        let message = handler(async move |message: Handled<Heap>| {
            noted.note(message.text().unwrap_or_default());
            Ok::<_, &str>(())
        });
        let (noted, left) = (calls.clone(), Rc::new(Cell::new(closings)));
        let closing = handler(async move |_: Session<Heap>| {
            noted.note("closing");
            go_wrong(&left, fault)
        });
        let processor = processor.on_session_opened(opened).on_session_closing(closing);
        let pump = processor.on_error(calls.on_error()).run(message);
        inner.spawn(async move { pump.await.unwrap() });
        until(&inner, || calls.count("closing") > 0 && !is_held(&inner, "a")).await;
        assert_eq!(messages(&inner), 0);
        let took = inner.clock().now.saturating_duration_since(began);
        // Others can have the session.
        let session = client.accept_session(Entity::queue("q"), "a").await.unwrap();
        session.close().await;
        control.stop();
        inner.sleep(SECOND).await;
        client.close().await;
        *slot.borrow_mut() = Some((calls.all(), took));
    });
    result.take().expect("the scene has ended")
}

#[test]
fn a_session_that_is_not_opened_is_let_go_of_and_tried_again_after_a_pause() {
    for (fault, told) in [(Fault::Error, "failed: not today"), (Fault::Panic, "panicked")] {
        let (calls, took) = failing(fault, 3, 0);
        assert_eq!(calls, ["opened", told, "opened", told, "opened", told, "opened", "1", "closing"]);
        // Waits of about 0.8, 1.6 and 3.2 s: neither at once nor for ever.
        assert!((SECOND * 5..SECOND * 15).contains(&took), "{took:?}");
    }
}

#[test]
fn a_session_that_is_not_closed_in_order_is_let_go_of_all_the_same() {
    for (fault, told) in [(Fault::Error, "failed: not today"), (Fault::Panic, "panicked")] {
        let (calls, took) = failing(fault, 0, 1);
        assert_eq!(calls, ["opened", "1", "closing", told]);
        assert!(took < SECOND * 4, "{took:?}");
    }
}

/// The connection is cut while a handler runs: that of the opening, or of a message.
fn lost(while_opening: bool) {
    let world = world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, "a", &["1"]).await;
        let processor = client.session_processor(Entity::queue("q"), options());
        let control = processor.control();
        let calls = Calls::default();
        let first = Rc::new(Cell::new(true));
        let (noted, time, once) = (calls.clone(), inner.clone(), Rc::clone(&first));
        let opened = handler(async move |_: Session<Heap>| {
            noted.note("opened");
            if while_opening && once.take() {
                time.cut();
                time.sleep(SECOND).await;
            }
            Ok::<_, &str>(())
        });
        let (noted, time, once) = (calls.clone(), inner.clone(), Rc::clone(&first));
        let message = handler(async move |message: Handled<Heap>| {
            noted.note(message.text().unwrap_or_default());
            if once.take() {
                time.cut();
                time.sleep(SECOND).await;
                return Err("the session was lost");
            }
            Ok::<_, &str>(())
        });
        let noted = calls.clone();
        let closing = handler(async move |session: Session<Heap>| {
            let result = session.set_state(Some(b"x")).await;
            noted.note(format!("closing: {:?}", result.map_err(|failure| failure.reason())));
            Ok::<_, &str>(())
        });
        let processor = processor.on_session_opened(opened).on_session_closing(closing);
        let pump = processor.on_error(calls.on_error()).run(message);
        inner.spawn(async move { pump.await.unwrap() });
        until(&inner, || messages(&inner) == 0 && !is_held(&inner, "a")).await;
        control.stop();
        inner.sleep(SECOND).await;
        let gone = format!("closing: {:?}", Err::<(), _>(Some(Reason::SessionLockLost)));
        let all = calls.all();
        // Each opening has its closing, and the first could not ask for anything any more.
        assert_eq!((calls.count("opened"), calls.count(&gone), calls.count("closing: Ok(())")), (2, 1, 1), "{all:?}");
        assert_eq!(calls.count(&format!("lost: {:?}", Some(Reason::SessionLockLost))), 1, "{all:?}");
        assert_eq!(calls.count("1"), if while_opening { 1 } else { 2 }, "{all:?}");
        client.close().await;
    });
}

#[test]
fn a_session_that_is_lost_is_closed_as_well() {
    lost(false);
    lost(true);
}

#[test]
fn a_processor_that_is_stopped_while_it_opens_a_session_closes_it() {
    let world = world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, "a", &["1"]).await;
        let processor = client.session_processor(ReceiverOptions::new("q").with_prefetch(5), options());
        let control = processor.control();
        let calls = Calls::default();
        let (noted, time, stop) = (calls.clone(), inner.clone(), control.clone());
        let opened = handler(async move |_: Session<Heap>| {
            noted.note("opened");
            stop.stop();
            time.sleep(SECOND).await;
            Ok::<_, &str>(())
        });
        let noted = calls.clone();
        let message = handler(async move |_: Handled<Heap>| {
            noted.note("a message");
            Ok::<_, &str>(())
        });
        let noted = calls.clone();
        let closing = handler(async move |_: Session<Heap>| {
            noted.note("closing");
            Ok::<_, &str>(())
        });
        let processor = processor.on_session_opened(opened).on_session_closing(closing);
        processor.on_error(calls.on_error()).run(message).await.unwrap();
        assert_eq!(calls.all(), ["opened", "closing"]);
        // What was prefetched is there again, and nothing counts as a failed delivery.
        let session = client.accept_session(Entity::queue("q"), "a").await.unwrap();
        let message = session.receive(SECOND).await.unwrap().expect("the message");
        assert_eq!(message.delivery_count(), 0);
        session.complete(&message).await.unwrap();
        client.close().await;
    });
}
