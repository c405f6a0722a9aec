//! Row 15 of docs/evidence/invariants.md §1: code of the application that blocks its task does not stop the renewal of
//! its locks.

use crate::stage::{HOUR, counts, on_both_storages, pair, play, send_numbers, world};
use servicebus_core::client::{AutoLockRenewer, ProcessorMessage, ProcessorOptions};
use servicebus_core::servicebus::Entity;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::Simulated;
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

on_both_storages! {
    row_15_a_lock_is_renewed_while_the_task_that_holds_it_is_blocked => blocked_renewer;
    row_15_a_lock_is_renewed_while_a_processor_is_blocked => blocked_processor;
}

/// Polls a future once, as an executor does that then has no time for it.
fn poll_once(future: Pin<&mut impl Future<Output = ()>>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn blocked_renewer<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let message = receiver.next().await.unwrap();
        let mut renewal = AutoLockRenewer::new(HOUR * 2).message(&receiver, &message).unwrap();
        let lost = Cell::new(false);
        let step = Cell::new(0);
        let work = poll_fn(|_| {
            step.set(step.get() + 1);
            if step.get() == 1 { Poll::Pending } else { Poll::Ready(()) }
        });
        {
            let mut task = pin!(renewal.during(work, |_| lost.set(true)));
            assert!(!poll_once(task.as_mut()));
            // Its thread is busy with something else for an hour.
            world.sleep(HOUR).await;
            assert_eq!(step.get(), 1);
            assert!(poll_once(task.as_mut()));
        }
        assert!(!lost.get() && renewal.is_active());
        receiver.complete(&message).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        assert_eq!(world.broker(|broker, _| broker.statistics().messages_delivered), 1);
        client.close().await;
    });
}

fn blocked_processor<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        send_numbers(&client.sender("q").unwrap(), 0..1).await;
        let options = ProcessorOptions::new().with_max_auto_lock_renewal(HOUR * 2);
        let processor = client.processor(Entity::queue("q"), options);
        let control = processor.control();
        let begun = Cell::new(false);
        let handler = handler(async |_: ProcessorMessage<Simulated<S>>| {
            begun.set(true);
            // Gives way once, and is not polled again for an hour.
            let mut yielded = false;
            poll_fn(|_| if core::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            control.stop();
            Ok::<(), &str>(())
        });
        let errors = Cell::new(0);
        {
            let run = processor.on_error(|_| errors.set(errors.get() + 1)).run(handler);
            let mut task = pin!(async { run.await.unwrap() });
            while !begun.get() {
                assert!(!poll_once(task.as_mut()));
                world.settle().await;
            }
            world.sleep(HOUR).await;
            task.await;
        }
        assert_eq!(errors.get(), 0);
        assert_eq!(counts(&world).total(), 0);
        assert_eq!(world.broker(|broker, _| broker.statistics().messages_delivered), 1);
        client.close().await;
    });
}
