//! Every async method dropped after each of its polls: nothing hangs, nothing is left behind, nothing stays locked.

use crate::stage::{MINUTE, SECOND, Small, add_queue, locks, play, send_numbers, world};
use servicebus_core::client::{
    AutoLockRenewer, Client, ProcessorControl, ProcessorMessage, ProcessorOptions, Receiver, ReceiverOptions, Sender,
    SessionProcessorOptions,
};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Entity, MessageRef, ReceivedMessage, RuleFilterRef, RuleRef};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Runs a future for so many polls and drops it; what it gave when it ended before.
async fn polled<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        let result = future.as_mut().poll(cx);
        left -= 1;
        match result {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What a scene has to work with.
struct Stage<S: Complete> {
    world: World,
    client: Client<Simulated<S>>,
    sender: Sender<Simulated<S>>,
    receiver: Receiver<Simulated<S>>,
    polls: u32,
    /// Whether the call ended before it was dropped.
    ended: Rc<Cell<bool>>,
}

impl<S: Complete> Stage<S> {
    async fn drop_at<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let output = polled(self.polls, future).await;
        self.ended.set(output.is_some());
        output
    }

    async fn message(&self) -> ReceivedMessage<S> {
        self.receiver.next().await.expect("a message")
    }
}

/// Stops a pump after so many seconds, whatever becomes of its future.
fn stop_after<S: Complete>(world: &World, control: ProcessorControl<Simulated<S>>, seconds: u64) {
    let time = world.clone();
    world.spawn(async move {
        time.sleep(SECOND * u32::try_from(seconds).expect("a few")).await;
        control.stop();
    });
}

/// Plays a scene once for each number of polls, until the call ends before it is dropped.
fn at_every_poll<S: Complete, F: Future<Output = ()> + 'static>(
    what: &str,
    scene: impl Fn(Stage<S>) -> F + Copy + 'static,
) {
    let ended = Rc::new(Cell::new(false));
    let mut polls = 0;
    while !ended.get() {
        polls += 1;
        assert!(polls < 200, "{what} never ends");
        let world = world(QueueDescription::default());
        add_queue(&world, "s", QueueDescription { requires_session: true, ..QueueDescription::default() });
        world.broker(|broker, clock| {
            broker.with_namespace(clock, |namespace| {
                namespace.create_topic("t", Default::default(), clock.utc).unwrap();
                namespace.create_subscription("t", "u", SubscriptionDescription::default(), None, clock.utc).unwrap();
            });
        });
        let (ended, what) = (Rc::clone(&ended), what.to_owned());
        play(&world, async move |world| {
            let feeder = world.client::<S>();
            let sender = feeder.sender("q").unwrap();
            send_numbers(&sender, 0..5).await;
            sender.close().await;
            let sender = feeder.sender("s").unwrap();
            sender.send(&MessageRef::new("x").with_session_id("one")).await.unwrap();
            sender.close().await;
            feeder.close().await;
            let (client, state) = world.client_and_state::<S>(world.settings());
            let stage = Stage {
                world: world.clone(),
                sender: client.sender("q").unwrap(),
                receiver: client.receiver("q").unwrap(),
                client: client.clone(),
                polls,
                ended,
            };
            scene(stage).await;
            world.sleep(SECOND * 20).await;
            let occupancy = state.borrow_mut().machine().occupancy();
            assert_eq!((occupancy.operations, occupancy.requests), (0, 0), "{what} at {polls}: {occupancy:?}");
            assert_eq!(occupancy.endpoints, 0, "{what} at {polls}: {occupancy:?}");
            // A lock that nobody holds any more is not renewed either.
            world.sleep(MINUTE).await;
            assert_eq!(locks(&world), 0, "{what} at {polls}");
            let began = world.clock().now;
            client.close().await;
            assert!(world.clock().now.saturating_duration_since(began) < SECOND * 2, "{what} at {polls}");
            // Only what was handed out may be locked, and that as long as its lock lasts.
            world.sleep(MINUTE).await;
            assert_eq!(locks(&world), 0, "{what} at {polls}");
            let session = world.broker(|broker, _| {
                let namespace = broker.namespace();
                let store = namespace.queue("s").unwrap().stores.main;
                namespace.store(store).unwrap().session_lock("one").map(|lock| lock.holder)
            });
            assert_eq!(session, None, "{what} at {polls}");
        });
    }
}

macro_rules! scenes {
    ($($name:ident: |$stage:ident| $body:block)*) => {
        $(pub(crate) mod $name {
            use super::*;

            fn scene<S: Complete>() {
                at_every_poll::<S, _>(stringify!($name), |$stage| async move $body);
            }

            #[test]
            pub(crate) fn on_heap() {
                scene::<servicebus_core::storage::Heap>();
            }

            #[test]
            pub(crate) fn on_fixed() {
                scene::<Small>();
            }
        })*
    };
}

scenes! {
    send: |stage| { stage.drop_at(stage.sender.send(&MessageRef::new("x"))).await; }
    send_all: |stage| { stage.drop_at(stage.sender.send_all(&[MessageRef::new("x"), MessageRef::new("y")])).await; }
    create_batch: |stage| { stage.drop_at(stage.sender.create_batch()).await; }
    schedule: |stage| {
        let at = stage.world.clock().utc + MINUTE;
        stage.drop_at(stage.sender.schedule(&MessageRef::new("x"), at)).await;
    }
    cancel_scheduled: |stage| {
        let at = stage.world.clock().utc + MINUTE;
        let number = stage.sender.schedule(&MessageRef::new("x"), at).await.unwrap();
        stage.drop_at(stage.sender.cancel_scheduled(&[number])).await;
    }
    close_sender: |stage| {
        stage.sender.send(&MessageRef::new("x")).await.unwrap();
        let Stage { sender, polls, ended, .. } = stage;
        ended.set(polled(polls, sender.close()).await.is_some());
    }
    receive: |stage| {
        let got = stage.drop_at(stage.receiver.receive(SECOND * 3)).await;
        if got.is_none() {
            // A dropped receive has taken no message.
            stage.world.sleep(SECOND).await;
            assert_eq!(locks(&stage.world), 0);
        }
    }
    receive_each: |stage| {
        let mut taken = 0;
        let done = stage.drop_at(stage.receiver.receive_each(9, Some(SECOND), |_| taken += 1)).await;
        assert_eq!(taken > 0, done.is_some());
    }
    receive_nothing: |stage| {
        let options = ReceiverOptions::new(Entity::queue("q").dead_letter()).with_mode(ReceiveMode::ReceiveAndDelete);
        let receiver = stage.client.receiver(options).unwrap();
        stage.drop_at(receiver.receive(SECOND)).await;
    }
    complete: |stage| {
        let message = stage.message().await;
        stage.drop_at(stage.receiver.complete(&message)).await;
    }
    abandon_through_management: |stage| {
        let message = stage.message().await;
        stage.world.cut();
        stage.drop_at(stage.receiver.abandon(&message)).await;
    }
    defer: |stage| {
        let message = stage.message().await;
        stage.drop_at(stage.receiver.defer(&message)).await;
    }
    dead_letter: |stage| {
        let message = stage.message().await;
        stage.drop_at(stage.receiver.dead_letter(&message, Default::default())).await;
    }
    renew_lock: |stage| {
        let mut message = stage.message().await;
        stage.drop_at(stage.receiver.renew_lock(&mut message)).await;
    }
    peek: |stage| { stage.drop_at(stage.receiver.peek_each(0, 5, drop)).await; }
    receive_deferred: |stage| {
        let message = stage.message().await;
        stage.receiver.defer(&message).await.unwrap();
        let number = message.sequence_number().unwrap();
        stage.drop_at(stage.receiver.receive_deferred_each(&[number], drop)).await;
    }
    purge: |stage| {
        let before = stage.world.clock().utc;
        stage.drop_at(stage.receiver.purge(before)).await;
    }
    close_receiver: |stage| {
        drop(stage.message().await);
        let Stage { receiver, polls, ended, .. } = stage;
        ended.set(polled(polls, receiver.close()).await.is_some());
    }
    accept_session: |stage| {
        let options = ReceiverOptions::new("s").with_prefetch(2);
        stage.drop_at(stage.client.accept_session(options, "one")).await;
    }
    accept_next_session: |stage| {
        stage.drop_at(stage.client.accept_next_session(Entity::queue("s"), MINUTE)).await;
    }
    session: |stage| {
        let session = stage.client.accept_session(Entity::queue("s"), "one").await.unwrap();
        stage.drop_at(async {
            session.set_state(Some(b"state")).await.unwrap();
            session.state().await.unwrap();
            session.renew_session_lock().await.unwrap();
            let message = session.next().await.unwrap();
            session.complete(&message).await.unwrap();
            session.close().await;
        })
        .await;
    }
    list_sessions: |stage| { stage.drop_at(stage.client.list_sessions_each(Entity::queue("s"), None, |_| ())).await; }
    transaction: |stage| {
        let controller = stage.client.transactions("q").unwrap();
        let message = stage.message().await;
        stage.drop_at(async {
            let transaction = controller.begin().await.unwrap();
            transaction.send(&stage.sender, &MessageRef::new("x")).await.unwrap();
            transaction.complete(&stage.receiver, &message).await.unwrap();
            transaction.commit().await.unwrap();
        })
        .await;
        controller.close().await;
    }
    transaction_rolled_back: |stage| {
        let controller = stage.client.transactions("q").unwrap();
        stage.drop_at(async {
            let transaction = controller.begin().await.unwrap();
            let at = stage.world.clock().utc + MINUTE;
            transaction.schedule(&stage.sender, &MessageRef::new("x"), at).await.unwrap();
            transaction.roll_back().await.unwrap();
        })
        .await;
    }
    rules: |stage| {
        let rules = stage.client.rule_manager(Entity::subscription("t", "u"));
        stage.drop_at(async {
            rules.add(&RuleRef::new("r", RuleFilterRef::True)).await.unwrap();
            rules.list_each(|_| ()).await.unwrap();
            rules.remove("r").await.unwrap();
        })
        .await;
    }
    renewal: |stage| {
        let message = stage.message().await;
        let mut renewal = AutoLockRenewer::new(SECOND * 90).message(&stage.receiver, &message).unwrap();
        stage.drop_at(renewal.ended()).await;
    }
    work_during_a_renewal: |stage| {
        stage.drop_at(async {
            let message = stage.message().await;
            let mut renewal = AutoLockRenewer::default().message(&stage.receiver, &message).unwrap();
            // The lock is renewed several times, and the connection has to come back in between.
            let work = async {
                for _ in 0..3 {
                    stage.world.sleep(SECOND * 50).await;
                    stage.world.cut();
                }
            };
            renewal.during(work, |failure| panic!("{failure}")).await;
            stage.receiver.complete(&message).await.unwrap();
        })
        .await;
    }
    renewal_of_a_session: |stage| {
        let session = stage.client.accept_session(Entity::queue("s"), "one").await.unwrap();
        stage.drop_at(async {
            let mut renewal = AutoLockRenewer::new(SECOND * 90).session(&session).unwrap();
            let _ = renewal.ended().await;
            drop(renewal);
            session.close().await;
        })
        .await;
    }
    processor: |stage| {
        let options = ProcessorOptions::new().with_max_concurrent_calls(2);
        let processor = stage.client.processor(Entity::queue("q"), options);
        let control = processor.control();
        stop_after(&stage.world, processor.control(), 9);
        let handler = handler(async |message: ProcessorMessage<Simulated<S>>| {
            stage.world.sleep(SECOND).await;
            match message.delivery_count() {
                0 => Err("again"),
                1 => message.defer().await.map_err(|_| "not deferred"),
                _ => Ok(()),
            }
        });
        let pause = async {
            stage.world.sleep(SECOND * 2).await;
            control.pause();
            stage.world.sleep(SECOND * 2).await;
            control.resume();
        };
        let run = processor.on_error(|_| ()).run(handler);
        let both = async {
            let (mut run, mut pause) = (pin!(run), pin!(pause));
            let mut paused = false;
            poll_fn(|cx| {
                paused = paused || pause.as_mut().poll(cx).is_ready();
                run.as_mut().poll(cx)
            })
            .await
            .unwrap();
        };
        stage.drop_at(both).await;
    }
    session_processor: |stage| {
        let options = SessionProcessorOptions::new().with_max_concurrent_sessions(2).with_session_idle_timeout(SECOND * 3);
        let processor = stage.client.session_processor(Entity::queue("s"), options);
        stop_after(&stage.world, processor.control(), 9);
        let handler = handler(async |message: ProcessorMessage<Simulated<S>>| {
            stage.world.sleep(SECOND).await;
            if message.delivery_count() == 0 { Err("again") } else { Ok(()) }
        });
        stage.drop_at(async { processor.on_error(|_| ()).run(handler).await.unwrap() }).await;
    }
    close_client: |stage| {
        let Stage { client, sender, receiver, polls, ended, world } = stage;
        // Every call that is pending elsewhere ends.
        world.spawn(async move {
            let _ = receiver.receive(MINUTE * 60).await;
            let _ = sender.send(&MessageRef::new("x")).await;
        });
        world.settle().await;
        ended.set(polled(polls, client.close()).await.is_some());
    }
}
