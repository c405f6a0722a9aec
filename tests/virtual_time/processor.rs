//! Message pumps, in virtual time (docs/evidence/sdk-features.md §10, docs/evidence/invariants.md §1 rows 3, 11 and
//! 15).

use servicebus_core::client::{
    Client, DeadLetter, DeadLetterOptions, ErrorKind, ProcessorError, ProcessorErrorCause, ProcessorMessage,
    ProcessorOptions, ReceiverOptions, SessionProcessorOptions,
};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Entity, MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use servicebus_tests::told::Told;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

type Handled = ProcessorMessage<Simulated<Heap>>;
type Errors = Rc<RefCell<Vec<ProcessorError<Heap>>>>;

const SECOND: Duration = Duration::from_secs(1);

fn empty_world() -> World {
    World::new(BrokerConfig::default(), 23)
}

fn create(world: &World, queue: QueueDescription) {
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
    });
}

fn world(queue: QueueDescription) -> World {
    let world = empty_world();
    create(&world, queue);
    world
}

async fn send(client: &Client<Simulated<Heap>>, count: usize) {
    let bodies: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let messages: Vec<MessageRef<'_>> = bodies.iter().map(|body| MessageRef::new(body.as_str())).collect();
    client.sender("q").unwrap().send_all(&messages).await.unwrap();
}

/// What a test sees of its handlers.
#[derive(Clone, Default)]
struct Seen {
    running: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    done: Rc<RefCell<Vec<String>>>,
    errors: Errors,
}

impl Seen {
    fn begin(&self) {
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
    }

    fn end(&self, message: &Handled) {
        self.running.set(self.running.get() - 1);
        self.done.borrow_mut().push(message.text().unwrap_or_default().to_owned());
    }

    fn done(&self) -> usize {
        self.done.borrow().len()
    }

    fn on_error(&self) -> impl Fn(ProcessorError<Heap>) + 'static {
        let errors = Rc::clone(&self.errors);
        move |error| errors.borrow_mut().push(error)
    }

    fn errors(&self, wanted: fn(&ProcessorError<Heap>) -> bool) -> usize {
        self.errors.borrow().iter().filter(|error| wanted(error)).count()
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

/// Nothing is left in the queue, not even locked.
fn is_empty(world: &World) -> bool {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        namespace.queue("q").is_some_and(|queue| namespace.counts(&queue.stores).total() == 0)
    })
}

#[test]
fn no_more_handlers_run_than_may() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 50).await;
        let seen = Seen::default();
        let options = ProcessorOptions::new().with_max_concurrent_calls(7);
        let processor = client.processor(Entity::queue("q"), options);
        let control = processor.control();
        let (time, watch) = (inner.clone(), seen.clone());
        let handler = handler(async move |message: Handled| {
            watch.begin();
            time.sleep(SECOND).await;
            watch.end(&message);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        let stopped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&stopped);
        inner.spawn(async move {
            pump.await.unwrap();
            flag.set(true);
        });
        until(&inner, || seen.done() == 50).await;
        control.stop();
        until(&inner, || stopped.get()).await;
        assert_eq!(seen.most.get(), 7);
        assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
        assert!(is_empty(&inner));
        client.close().await;
    });
}

#[test]
fn nothing_that_goes_wrong_in_a_callback_stops_the_pump() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 4).await;
        let seen = Seen::default();
        let processor = client.processor(Entity::queue("q"), ProcessorOptions::default());
        let control = processor.control();
        let watch = seen.clone();
        let handler = handler(async move |message: Handled| {
            watch.begin();
            watch.end(&message);
            match (message.text().ok(), message.delivery_count()) {
                (Some("1"), 0) => Err("not yet"),
                (Some("2"), 0) => panic!("a handler that panics"),
                (Some("3"), _) => {
                    let options = DeadLetterOptions::new().with_reason("three");
                    message.dead_letter(options).await.map_err(|_| "settling failed")
                }
                _ => Ok(()),
            }
        });
        let note = seen.on_error();
        let on_error = move |error| {
            note(error);
            panic!("an error callback that panics");
        };
        inner.spawn(async move { processor.on_error(on_error).run(handler).await.unwrap() });
        until(&inner, || seen.done() == 6).await;
        inner.settle().await;
        control.stop();
        assert_eq!(seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::Handler(error) if error.to_string() == "not yet")), 1);
        assert_eq!(seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::Panicked(panic) if panic.text() == "a handler that panics")), 1);
        assert_eq!(seen.errors.borrow().len(), 2);
        let dead = client.receiver(Entity::queue("q").dead_letter()).unwrap();
        let message = dead.receive(SECOND).await.unwrap().expect("a dead-lettered message");
        assert_eq!(message.dead_letter_reason(), Some("three"));
        client.close().await;
    });
}

#[test]
fn a_lock_is_renewed_while_its_handler_runs() {
    let world = world(QueueDescription { lock_duration: SECOND * 30, ..QueueDescription::default() });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 1).await;
        let seen = Seen::default();
        let processor = client.processor(Entity::queue("q"), ProcessorOptions::default());
        let (time, watch) = (inner.clone(), seen.clone());
        let handler = handler(async move |message: Handled| {
            watch.begin();
            time.sleep(SECOND * 280).await;
            assert!(message.lock_renewal_error().is_none());
            watch.end(&message);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        inner.spawn(async move { pump.await.unwrap_or_default() });
        until(&inner, || seen.done() == 1).await;
        inner.settle().await;
        assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
        assert!(is_empty(&inner));
        client.close().await;
    });
}

#[test]
fn a_lost_lock_is_reported_while_the_handler_runs() {
    let world = world(QueueDescription { lock_duration: SECOND * 30, ..QueueDescription::default() });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 1).await;
        let seen = Seen::default();
        let processor = client.processor(Entity::queue("q"), ProcessorOptions::default());
        let (time, watch) = (inner.clone(), seen.clone());
        let handler = handler(async move |message: Handled| {
            if message.delivery_count() > 0 {
                watch.begin();
                watch.end(&message);
                return Ok(());
            }
            time.set_reachable(false);
            time.cut();
            time.sleep(SECOND * 60).await;
            assert!(message.lock_renewal_error().is_some());
            assert_eq!(watch.errors(|error| matches!(error.cause(), ProcessorErrorCause::LockLost(_))), 1);
            time.set_reachable(true);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        inner.spawn(async move { pump.await.unwrap_or_default() });
        until(&inner, || seen.done() == 1).await;
        inner.settle().await;
        assert_eq!(seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::LockLost(_))), 1);
        assert_eq!(seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::Settle(_))), 1);
        assert!(is_empty(&inner));
        client.close().await;
    });
}

#[test]
fn a_paused_pump_holds_no_message() {
    for prefetch in [0, 20] {
        let world = world(QueueDescription { lock_duration: SECOND * 30, ..QueueDescription::default() });
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            send(&client, 30).await;
            let seen = Seen::default();
            let receiver = ReceiverOptions::new("q").with_prefetch(prefetch);
            let options = ProcessorOptions::new().with_max_concurrent_calls(2);
            let processor = client.processor(receiver, options);
            let control = processor.control();
            let (time, watch) = (inner.clone(), seen.clone());
            let handler = handler(async move |message: Handled| {
                watch.begin();
                time.sleep(SECOND).await;
                assert_eq!(message.delivery_count(), 0);
                watch.end(&message);
                Ok::<_, &str>(())
            });
            let pump = processor.on_error(seen.on_error()).run(handler);
            inner.spawn(async move { pump.await.unwrap() });
            until(&inner, || seen.done() == 10).await;
            control.pause();
            inner.sleep(SECOND * 2).await;
            // Handlers that ran have ended; everything else is there for others, as if it had never been received.
            let left = 30 - seen.done();
            let other = inner.client::<Heap>();
            let receiver = other.receiver("q").unwrap();
            let mut free = Vec::new();
            while free.len() < left {
                let more = receiver.receive_messages(30, SECOND).await.unwrap();
                assert!(!more.is_empty(), "prefetch {prefetch}: {} of {left} are free", free.len());
                free.extend(more);
            }
            assert!(free.iter().all(|message| message.delivery_count() == 0));
            for message in &free {
                receiver.complete(message).await.unwrap();
            }
            inner.sleep(SECOND * 120).await;
            send(&client, 5).await;
            inner.sleep(SECOND * 120).await;
            assert_eq!(seen.done(), 30 - left, "nothing is handled while it is paused");
            control.resume();
            until(&inner, || seen.done() == 35 - left).await;
            control.stop();
            inner.sleep(SECOND).await;
            assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
            other.close().await;
            client.close().await;
        });
    }
}

#[test]
fn stopping_waits_for_handlers_and_loses_nothing() {
    for (mode, prefetch) in
        [(ReceiveMode::PeekLock, 0), (ReceiveMode::ReceiveAndDelete, 0), (ReceiveMode::ReceiveAndDelete, 9)]
    {
        let world = world(QueueDescription::default());
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            send(&client, 20).await;
            let seen = Seen::default();
            let receiver = ReceiverOptions::new("q").with_mode(mode).with_prefetch(prefetch);
            let options = ProcessorOptions::new().with_max_concurrent_calls(4);
            let processor = client.processor(receiver, options);
            let control = processor.control();
            let (time, watch) = (inner.clone(), seen.clone());
            let handler = handler(async move |message: Handled| {
                watch.begin();
                if watch.done() >= 6 {
                    control.stop();
                }
                time.sleep(SECOND * 3).await;
                watch.end(&message);
                Ok::<_, &str>(())
            });
            processor.on_error(seen.on_error()).run(handler).await.unwrap();
            assert_eq!(seen.running.get(), 0, "every handler has returned");
            let receiver = client.receiver("q").unwrap();
            let mut left = 0;
            while let Some(message) = receiver.receive(SECOND).await.unwrap() {
                assert_eq!(message.delivery_count(), 0);
                receiver.complete(&message).await.unwrap();
                left += 1;
            }
            assert_eq!(seen.done() + left, 20, "{mode:?}");
            assert!(left > 0 || prefetch > 0);
            assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
            client.close().await;
        });
    }
}

#[test]
fn a_pump_outlives_lost_connections_and_a_missing_queue() {
    let world = empty_world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let seen = Seen::default();
        let options = ProcessorOptions::new().with_max_concurrent_calls(3);
        let processor = client.processor(Entity::queue("q"), options);
        let (time, watch) = (inner.clone(), seen.clone());
        let handler = handler(async move |message: Handled| {
            watch.begin();
            time.sleep(SECOND * 2).await;
            watch.end(&message);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        let ended = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&ended);
        inner.spawn(async move { *slot.borrow_mut() = Some(pump.await) });
        inner.sleep(SECOND * 30).await;
        let refused = |error: &ProcessorError<Heap>| {
            matches!(error.cause(), ProcessorErrorCause::Receive(failure) if failure.reason() == Some(Reason::EntityNotFound))
        };
        let told = seen.errors(refused);
        assert!((2..=10).contains(&told), "{told} reports in 30 s: neither silent nor in a tight loop");
        create(&inner, QueueDescription::default());
        let sending = client.clone();
        inner.spawn(async move { send(&sending, 30).await });
        for _ in 0..6 {
            inner.sleep(SECOND * 5).await;
            inner.cut();
        }
        until(&inner, || is_empty(&inner)).await;
        let mut done = seen.done.borrow().clone();
        done.sort();
        done.dedup();
        assert_eq!(done.len(), 30);
        client.close().await;
        inner.settle().await;
        let end = ended.borrow_mut().take().expect("the pump ends with its client");
        assert_eq!(Told::of(&end.unwrap_err()), Told::Kind(ErrorKind::Closed));
    });
}

#[test]
fn what_is_not_completed_by_itself_stays() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 2).await;
        let seen = Seen::default();
        let options = ProcessorOptions::new().without_auto_complete();
        let processor = client.processor(Entity::queue("q"), options);
        let control = processor.control();
        let watch = seen.clone();
        let handler = handler(async move |message: Handled| {
            watch.begin();
            watch.end(&message);
            if message.text().ok() == Some("0") {
                message.complete().await.map_err(|_| "settling failed")
            } else {
                Ok(())
            }
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        inner.spawn(async move { pump.await.unwrap() });
        until(&inner, || seen.done() == 2).await;
        control.stop();
        inner.sleep(SECOND * 61).await;
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("the message whose lock has ended");
        assert_eq!((message.text().ok(), message.delivery_count()), (Some("1"), 1));
        receiver.complete(&message).await.unwrap();
        assert!(receiver.receive(SECOND).await.unwrap().is_none());
        client.close().await;
    });
}

async fn send_to_sessions(client: &Client<Simulated<Heap>>, sessions: usize, each: usize) {
    let sender = client.sender("q").unwrap();
    for session in 0..sessions {
        let id = format!("session-{session}");
        let bodies: Vec<String> = (0..each).map(|number| format!("{number}")).collect();
        let messages: Vec<MessageRef<'_>> =
            bodies.iter().map(|body| MessageRef::new(body.as_str()).with_session_id(&id)).collect();
        sender.send_all(&messages).await.unwrap();
    }
}

/// A session processor that notes the messages of each session, in a world where connections are cut.
fn roll_over(cut_every: Option<Duration>) {
    let queue = QueueDescription { requires_session: true, lock_duration: SECOND * 10, ..QueueDescription::default() };
    let world = world(queue);
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send_to_sessions(&client, 20, 5).await;
        let seen = Seen::default();
        let options =
            SessionProcessorOptions::new().with_max_concurrent_sessions(4).with_session_idle_timeout(SECOND * 5);
        let processor = client.session_processor(Entity::queue("q"), options);
        let control = processor.control();
        let (time, watch) = (inner.clone(), seen.clone());
        let order: Rc<RefCell<BTreeMap<String, Vec<String>>>> = Rc::default();
        let noted = Rc::clone(&order);
        let handler = handler(async move |message: Handled| {
            watch.begin();
            let session = message.session().expect("a session").session_id().to_owned();
            assert_eq!(message.session_id(), Some(session.as_str()));
            time.sleep(SECOND * 4).await;
            noted.borrow_mut().entry(session).or_default().push(message.text().unwrap_or_default().to_owned());
            watch.end(&message);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        let stopped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&stopped);
        inner.spawn(async move {
            pump.await.unwrap();
            flag.set(true);
        });
        if let Some(every) = cut_every {
            for _ in 0..10 {
                inner.sleep(every).await;
                inner.cut();
            }
        }
        until(&inner, || is_empty(&inner)).await;
        control.stop();
        until(&inner, || stopped.get()).await;
        assert!(seen.most.get() <= 4, "{}", seen.most.get());
        assert_eq!(order.borrow().len(), 20);
        for (session, mut numbers) in order.borrow().clone() {
            // A message that was handled when its session was lost is handled once more, before those behind it.
            numbers.dedup();
            assert_eq!(numbers, ["0", "1", "2", "3", "4"], "{session}");
        }
        if cut_every.is_none() {
            assert_eq!(seen.done(), 100);
            assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
        } else {
            assert!(seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::LockLost(_))) > 0);
        }
        client.close().await;
    });
}

#[test]
fn a_session_processor_rolls_over_sessions() {
    roll_over(None);
}

#[test]
fn a_session_processor_outlives_lost_sessions() {
    roll_over(Some(SECOND * 13));
}

#[test]
fn a_paused_session_processor_holds_no_session() {
    let world = world(QueueDescription { requires_session: true, ..QueueDescription::default() });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let seen = Seen::default();
        let processor = client.session_processor(Entity::queue("q"), SessionProcessorOptions::default());
        let control = processor.control();
        let watch = seen.clone();
        let handler = handler(async move |message: Handled| {
            watch.begin();
            watch.end(&message);
            Ok::<_, &str>(())
        });
        let pump = processor.on_error(seen.on_error()).run(handler);
        inner.spawn(async move { pump.await.unwrap() });
        send_to_sessions(&client, 1, 2).await;
        until(&inner, || seen.done() == 2).await;
        control.pause();
        inner.sleep(SECOND).await;
        let session = client.accept_session(Entity::queue("q"), "session-0").await;
        session.expect("nobody holds the session").close().await;
        send_to_sessions(&client, 1, 1).await;
        inner.sleep(SECOND * 100).await;
        assert_eq!(seen.done(), 2);
        control.resume();
        until(&inner, || seen.done() == 3).await;
        control.stop();
        inner.sleep(SECOND).await;
        assert!(seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
        client.close().await;
    });
}

#[test]
fn a_dead_letter_moves_its_message_to_the_dead_letter_queue() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 2).await;
        let seen = Seen::default();
        let processor = client.processor("q", ProcessorOptions::new());
        let control = processor.control();
        let handler = move |message: Handled| async move {
            let number: u32 = message.text()?.parse()?;
            if number == 0 {
                Err(DeadLetter::new("no zeros", format_args!("{number} of 2")))?;
            }
            Ok(())
        };
        let pump = processor.on_error(seen.on_error()).run(handler);
        inner.spawn(async move { pump.await.unwrap() });
        until(&inner, || seen.errors.borrow().len() == 1).await;
        inner.settle().await;
        control.stop();
        let dead = client.receiver(Entity::queue("q").dead_letter()).unwrap();
        let message = dead.receive(SECOND).await.unwrap().expect("the dead letter");
        assert_eq!(message.text().unwrap(), "0");
        assert_eq!(message.dead_letter_reason(), Some("no zeros"));
        assert_eq!(message.dead_letter_description(), Some("0 of 2"));
        dead.complete(&message).await.unwrap();
        assert!(is_empty(&inner));
        assert!(seen.errors.borrow()[0].to_string().ends_with("the handler failed: dead-lettered: no zeros: 0 of 2"));
        client.close().await;
    });
}

#[test]
fn handlers_see_that_the_processor_stops() {
    for by_close in [false, true] {
        let world = world(QueueDescription::default());
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            send(&client, 1).await;
            let processor = client.processor("q", ProcessorOptions::new());
            let control = processor.control();
            let waits = Rc::new(Cell::new(0));
            let seen = Rc::clone(&waits);
            let handler = move |message: Handled| {
                let seen = Rc::clone(&seen);
                async move {
                    seen.set(if message.is_stopping() { 9 } else { 1 });
                    message.stopping().await;
                    seen.set(if message.is_stopping() { 2 } else { 9 });
                    Ok(())
                }
            };
            let pump = processor.run(handler);
            inner.spawn(async move { drop(pump.await) });
            until(&inner, || waits.get() > 0).await;
            // A pause is no reason to end.
            control.pause();
            inner.sleep(SECOND).await;
            assert_eq!(waits.get(), 1);
            if by_close {
                client.close().await;
            } else {
                control.stop();
            }
            inner.settle().await;
            assert_eq!(waits.get(), 2);
            client.close().await;
        });
    }
}

/// How a handler ends that completes its message under a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Committed,
    CommittedThenFailed,
    RolledBack,
    RolledBackAndFailed,
}

/// A message that is completed under a transaction is the transaction's: the processor settles it only where the handler
/// fails, and that is no error where the transaction was committed.
#[test]
fn a_message_that_was_completed_in_a_transaction_is_not_settled_again() {
    for of_sessions in [false, true] {
        for end in [End::Committed, End::CommittedThenFailed, End::RolledBack, End::RolledBackAndFailed] {
            completed_in_a_transaction(of_sessions, end);
        }
    }
}

fn completed_in_a_transaction(of_sessions: bool, end: End) {
    let world = world(QueueDescription { requires_session: of_sessions, ..QueueDescription::default() });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let message = MessageRef::new("0");
        let message = if of_sessions { message.with_session_id("s") } else { message };
        client.sender("q").unwrap().send(&message).await.unwrap();
        let seen = Seen::default();
        let (transactions, watch) = (client.transactions("q").unwrap(), seen.clone());
        let handler = handler(async move |message: Handled| -> Result<(), Box<dyn Error + Send + Sync>> {
            watch.begin();
            let transaction = transactions.begin().await?;
            message.complete_in(&transaction).await?;
            watch.end(&message);
            let again = message.delivery_count() > 0;
            if again || matches!(end, End::Committed | End::CommittedThenFailed) {
                transaction.commit().await?;
            } else {
                transaction.roll_back().await?;
            }
            if again || matches!(end, End::Committed | End::RolledBack) { Ok(()) } else { Err("failed")? }
        });
        let control = if of_sessions {
            let processor = client.session_processor("q", SessionProcessorOptions::new());
            let (control, pump) = (processor.control(), processor.on_error(seen.on_error()).run(handler));
            inner.spawn(async move { pump.await.unwrap() });
            control
        } else {
            let processor = client.processor("q", ProcessorOptions::new());
            let (control, pump) = (processor.control(), processor.on_error(seen.on_error()).run(handler));
            inner.spawn(async move { pump.await.unwrap() });
            control
        };
        until(&inner, || seen.done() > 0).await;
        // Much less than the lock takes: what was rolled back and failed comes again at once.
        inner.sleep(SECOND).await;
        let what = format!("{end:?}, of sessions: {of_sessions}: {:?}", seen.errors.borrow());
        assert_eq!(seen.done(), if end == End::RolledBackAndFailed { 2 } else { 1 }, "{what}");
        control.stop();
        inner.settle().await;
        assert_eq!(is_empty(&inner), end != End::RolledBack, "{what}");
        let failures = seen.errors(|error| matches!(error.cause(), ProcessorErrorCause::Handler(_)));
        let fails = matches!(end, End::CommittedThenFailed | End::RolledBackAndFailed);
        assert_eq!(failures, usize::from(fails), "{what}");
        assert_eq!(seen.errors.borrow().len(), failures, "{what}");
        client.close().await;
    });
}

/// The lock of a message goes with the transaction that completes it: that is no loss.
#[test]
fn a_handler_may_go_on_after_its_transaction() {
    let world = world(QueueDescription { lock_duration: SECOND * 30, ..QueueDescription::default() });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        send(&client, 1).await;
        let seen = Seen::default();
        let (transactions, watch, time) = (client.transactions("q").unwrap(), seen.clone(), inner.clone());
        let handler = handler(async move |message: Handled| -> Result<(), Box<dyn Error + Send + Sync>> {
            watch.begin();
            let transaction = transactions.begin().await?;
            message.complete_in(&transaction).await?;
            transaction.commit().await?;
            time.sleep(SECOND * 90).await;
            watch.end(&message);
            Ok(())
        });
        let processor = client.processor("q", ProcessorOptions::new());
        let (control, pump) = (processor.control(), processor.on_error(seen.on_error()).run(handler));
        inner.spawn(async move { pump.await.unwrap() });
        until(&inner, || seen.done() > 0).await;
        control.stop();
        inner.settle().await;
        assert!(is_empty(&inner) && seen.errors.borrow().is_empty(), "{:?}", seen.errors.borrow());
        client.close().await;
    });
}
