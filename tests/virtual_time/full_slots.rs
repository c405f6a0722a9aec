//! Tables of calls that are full: what waits for a slot does wait, hears of what happens meanwhile, and ends.

use crate::stage::{MINUTE, SECOND, counts, play, send_numbers, world};
use futures_util::future::{join, join_all};
use servicebus_core::client::{
    Client, Error, ErrorKind, ProcessorMessage, ProcessorOptions, Sender, SenderOptions, SessionProcessorOptions, State,
};
use servicebus_core::driver::{self, NoCredential};
use servicebus_core::machine::{Clock, Settings};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::ReceivedMessage;
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

const SLOTS: usize = 16;

fn settings(world: &World) -> Settings<Heap> {
    let mut settings = world.settings();
    settings.limits.deliveries = SLOTS;
    settings
}

/// Calls that take slots and wait.
type Held = Vec<Pin<Box<dyn Future<Output = Result<ReceivedMessage<Heap>, Error<Heap>>>>>>;

/// Takes every slot with receives from an empty queue.
fn fill<R: Runtime<Storage = Heap>>(client: &Client<R>) -> Held {
    let receiver = client.receiver("empty").unwrap();
    let mut held: Held = Vec::new();
    loop {
        let receiver = receiver.clone();
        let mut receiving: Held = vec![Box::pin(async move { receiver.next().await })];
        match receiving[0].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => held.append(&mut receiving),
            Poll::Ready(ended) => {
                assert_eq!(ended.unwrap_err().kind(), ErrorKind::Capacity);
                return held;
            }
        }
    }
}

fn world_of(queue: QueueDescription) -> World {
    let world = world(queue);
    crate::stage::add_queue(&world, "empty", QueueDescription::default());
    world
}

/// What a processor does.
#[derive(Clone, Default)]
struct Seen {
    handled: Rc<Cell<u32>>,
    errors: Rc<Cell<u32>>,
    ended: Rc<Cell<Option<bool>>>,
}

/// Pauses, resumes or stops a processor.
type Act = Box<dyn Fn(&str)>;

/// Starts a processor of messages or of sessions; one that reports errors without end is stopped.
fn start(world: &World, client: &Client<Simulated<Heap>>, of_sessions: bool) -> (Seen, Act) {
    let seen = Seen::default();
    let count = seen.clone();
    let handle = handler(async move |_: ProcessorMessage<Simulated<Heap>>| {
        count.handled.set(count.handled.get() + 1);
        Ok::<(), Infallible>(())
    });
    let (errors, ended) = (Rc::clone(&seen.errors), Rc::clone(&seen.ended));
    macro_rules! run {
        ($processor:expr) => {{
            let processor = $processor;
            let (control, stops) = (processor.control(), processor.control());
            world.spawn(async move {
                let processor = processor.on_error(move |_| {
                    errors.set(errors.get() + 1);
                    if errors.get() >= 1_000 {
                        stops.stop();
                    }
                });
                ended.set(Some(processor.run(handle).await.is_ok()));
            });
            Box::new(move |what: &str| match what {
                "pause" => control.pause(),
                "resume" => control.resume(),
                _ => control.stop(),
            })
        }};
    }
    let act: Act = if of_sessions {
        let options = SessionProcessorOptions::new().with_max_concurrent_sessions(2);
        run!(client.session_processor("q", options))
    } else {
        run!(client.processor("q", ProcessorOptions::new()))
    };
    (seen, act)
}

#[test]
fn a_processor_without_a_slot_pauses_between_its_attempts() {
    for of_sessions in [false, true] {
        let world = world_of(QueueDescription { requires_session: of_sessions, ..QueueDescription::default() });
        play(&world, async move |world| {
            let client = world.client_with(settings(&world));
            if !of_sessions {
                send_numbers(&client.sender("q").unwrap(), 0..1).await;
            }
            let held = fill(&client);
            let (seen, act) = start(&world, &client, of_sessions);
            world.sleep(MINUTE).await;
            let errors = seen.errors.get();
            assert!((2..100).contains(&errors), "{errors} attempts in a minute, of sessions: {of_sessions}");
            drop(held);
            world.sleep(2 * MINUTE).await;
            assert_eq!(seen.handled.get(), u32::from(!of_sessions));
            let held = fill(&client);
            act("stop");
            world.sleep(SECOND).await;
            assert_eq!(seen.ended.get(), Some(true), "it hears that it is to stop, of sessions: {of_sessions}");
            drop(held);
            client.close().await;
        });
    }
}

#[test]
fn a_processor_hears_of_a_stop_with_every_slot_taken() {
    for of_sessions in [false, true] {
        for paused in [false, true] {
            let world = world_of(QueueDescription { requires_session: of_sessions, ..QueueDescription::default() });
            play(&world, async move |world| {
                let client = world.client_with(settings(&world));
                let mut held = fill(&client);
                // One for what it waits for, and none to hear of changes.
                held.pop();
                let (seen, act) = start(&world, &client, of_sessions);
                world.sleep(SECOND).await;
                if paused {
                    act("pause");
                    world.sleep(SECOND).await;
                    held.extend(fill(&client));
                    act("resume");
                    world.sleep(SECOND).await;
                    act("pause");
                    world.sleep(SECOND).await;
                }
                act("stop");
                world.sleep(SECOND).await;
                assert_eq!(seen.ended.get(), Some(true), "of sessions: {of_sessions}, paused: {paused}");
                drop(held);
                client.close().await;
            });
        }
    }
}

fn ordered<R: Runtime<Storage = Heap>>(client: &Client<R>, is_ordered: bool) -> Sender<R> {
    let options = SenderOptions::new("q");
    client.sender(if is_ordered { options.ordered() } else { options }).unwrap()
}

/// More messages than slots, on several senders: each gets its place, its turn and its slot.
#[test]
fn messages_that_have_their_place_get_a_slot_for_their_attempts() {
    for senders in [1, 3] {
        for faults in [0, 3] {
            let world = world_of(QueueDescription::default());
            play(&world, async move |world| {
                let client = world.client_with(settings(&world));
                let senders: Vec<_> = (0..senders).map(|number| ordered(&client, number % 2 == 0)).collect();
                for sender in &senders {
                    sender.size_limits().await.unwrap();
                }
                world.broker(|broker, _| broker.refuse(faults, servicebus_core::servicebus::Reason::InternalError));
                let sends = (0..60).map(|number| {
                    let sender = senders[number % senders.len()].clone();
                    async move { sender.enqueue(number.to_string().as_str()).await?.await }
                });
                for (number, outcome) in join_all(sends).await.into_iter().enumerate() {
                    assert!(outcome.is_ok(), "{number} of {}: {outcome:?}", senders.len());
                }
                assert_eq!(counts(&world).active, 60);
                client.close().await;
            });
        }
    }
}

#[test]
fn a_message_without_a_slot_for_its_turn_waits_for_one() {
    let world = world_of(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client_with(settings(&world));
        let sender = ordered(&client, true);
        sender.size_limits().await.unwrap();
        world.set_latency(SECOND);
        let first = sender.enqueue("first").await.unwrap();
        let second = sender.enqueue("second").await.unwrap();
        let held = fill(&client);
        // The slots of the first go to others.
        first.await.unwrap();
        let more = fill(&client);
        let freed = async {
            world.sleep(SECOND).await;
            drop(more);
        };
        let (outcome, ()) = join(second, freed).await;
        outcome.unwrap();
        drop(held);
        client.close().await;
    });
}

#[test]
fn what_waits_for_a_slot_ends_with_the_client_and_its_driver() {
    for is_ordered in [true, false] {
        for closes in [true, false] {
            let world = world_of(QueueDescription::default());
            play(&world, async move |world| {
                let (client, driver) = world.client_and_driver(settings(&world));
                let driver = Rc::new(RefCell::new(Some(Box::pin(driver))));
                let polled = Rc::clone(&driver);
                world.spawn(std::future::poll_fn(move |cx| match polled.borrow_mut().as_mut() {
                    Some(driver) => driver.as_mut().poll(cx),
                    None => Poll::Ready(()),
                }));
                let sender = ordered(&client, is_ordered);
                sender.size_limits().await.unwrap();
                let held = fill(&client);
                let waits = join_all((0..40).map(|_| sender.enqueue("x")));
                let ends = async {
                    world.sleep(SECOND).await;
                    if closes {
                        client.close().await;
                    } else {
                        drop(driver.take());
                    }
                };
                let began = world.clock().now;
                let (outcomes, ()) = join(waits, ends).await;
                for outcome in outcomes {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                }
                assert!(world.clock().now.saturating_duration_since(began) <= 3 * SECOND, "closes: {closes}");
                drop(held);
            });
        }
    }
}

/// A waker that uses the client where it is dropped.
struct Using(std::thread::ThreadId, usize);

thread_local! {
    static CLIENT: RefCell<Option<Client<Simulated<Heap>>>> = const { RefCell::new(None) };
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

impl Wake for Using {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Using {
    fn drop(&mut self) {
        assert_eq!(std::thread::current().id(), self.0, "waker {}", self.1);
        CLIENT.with_borrow(|client| client.as_ref().map(Client::state));
        DROPPED.set(DROPPED.get() + 1);
    }
}

#[test]
fn no_waker_of_a_task_without_a_slot_is_dropped_under_the_lock() {
    let world = world_of(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client_with(settings(&world));
        let sender = ordered(&client, true);
        sender.size_limits().await.unwrap();
        let mut held = fill(&client);
        CLIENT.set(Some(client.clone()));
        let mut waits = Box::pin(sender.enqueue("x"));
        for number in 0..3 {
            let waker = Waker::from(Arc::new(Using(std::thread::current().id(), number)));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        held.truncate(4);
        let waker = Waker::from(Arc::new(Using(std::thread::current().id(), 3)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        drop((waits, waker, held));
        world.sleep(SECOND).await;
        drop(CLIENT.take());
        client.close().await;
        assert!(DROPPED.get() >= 3);
    });
}

/// A runtime whose tasks cannot sleep where it is used by a client, as outside of the executor of its driver.
#[derive(Clone, Debug)]
struct Elsewhere {
    inner: Simulated<Heap>,
    sleeps: bool,
}

impl Runtime for Elsewhere {
    type Storage = Heap;
    type Shared = Rc<RefCell<State<Self>>>;

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        assert!(self.sleeps, "the driver sleeps, and no call");
        self.inner.sleep_until(at)
    }
}

#[test]
fn what_waits_for_a_slot_needs_no_timer_of_its_task() {
    let world = world_of(QueueDescription::default());
    play(&world, async |world| {
        let shared = Rc::new(RefCell::new(Client::<Elsewhere>::shared_state(settings(&world))));
        let client = Client::new(&shared, Elsewhere { inner: world.runtime(), sleeps: false });
        let runtime = Elsewhere { inner: world.runtime(), sleeps: true };
        world.spawn(driver::run(shared, runtime, world.dialer(), NoCredential));
        let sender = ordered(&client, true);
        sender.size_limits().await.unwrap();
        let held = fill(&client);
        let began = world.clock().now;
        // Each in its own time, with the client idle.
        let waits = (1..=40u64).map(|number| {
            let (sender, world) = (sender.timeout(Duration::from_secs(number)), world.clone());
            async move {
                let error = sender.enqueue("x").await.unwrap_err();
                (error.kind(), world.clock().now)
            }
        });
        for (number, (kind, at)) in join_all(waits).await.into_iter().enumerate() {
            let took = at.saturating_duration_since(began);
            assert_eq!(kind, ErrorKind::Capacity);
            let bound = Duration::from_secs(number as u64 + 1);
            assert!(took >= bound && took <= bound + SECOND / 2, "{number}: {took:?}");
        }
        drop(held);
        sender.send("x").await.unwrap();
        client.close().await;
    });
}
