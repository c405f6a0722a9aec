//! One receiver that asks for much leaves room for the others of its client.

use crate::scripted::{self, Server};
use crate::stage::{
    Board, DAY, SECOND, add_queue, ended_by, ending, observe, on_both_storages, policy, settings_of, world,
};
use futures_util::future::join_all;
use servicebus_core::client::ReceiverOptions;
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::wire::performative::Performative;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::Item;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::rc::Rc;

/// How much one receiver wants, and how.
#[derive(Clone, Copy, Debug)]
enum Wants {
    Receives(u32),
    Prefetches(u32, ReceiveMode),
}

/// Whether another receiver, and a request, get their own beside such a receiver.
fn beside<S: Complete>(wants: Wants) -> (bool, bool) {
    let queues = world(QueueDescription::default());
    add_queue(&queues, "a", QueueDescription::default());
    observe(&queues, async move |world| {
        let client = world.client::<S>();
        world.client::<Heap>().sender("a").unwrap().send(&MessageRef::new("x")).await.unwrap();
        match wants {
            Wants::Receives(count) => {
                let receiver = client.receiver("q").unwrap();
                world.spawn(async move { drop(receiver.receive_messages(count, DAY).await) });
            }
            Wants::Prefetches(prefetch, mode) => {
                let options = ReceiverOptions::new("q").with_mode(mode).with_prefetch(prefetch);
                let receiver = client.receiver(options).unwrap();
                world.spawn(async move { drop(receiver.receive(DAY).await) });
            }
        }
        world.sleep(SECOND).await;
        let other = client.receiver("a").unwrap();
        let received = other.receive(SECOND * 20).await;
        let requested = ending(&world, SECOND * 20, other.peek(0, 1)).await;
        (matches!(received, Ok(Some(_))), ended_by(&requested, SECOND))
    })
}

fn a_receiver_leaves_some_to_others<S: Complete>() {
    let mut judge = Judge::new();
    for wants in [
        Wants::Receives(u32::MAX),
        Wants::Receives(200_000),
        Wants::Receives(100_000),
        Wants::Receives(10_000),
        Wants::Prefetches(u32::MAX, ReceiveMode::PeekLock),
        Wants::Prefetches(200_000, ReceiveMode::PeekLock),
        Wants::Prefetches(200_000, ReceiveMode::ReceiveAndDelete),
        Wants::Prefetches(1_000, ReceiveMode::PeekLock),
    ] {
        let (received, requested) = beside::<S>(wants);
        assert!(requested, "{wants:?} holds up requests");
        judge.equal(format!("{wants:?}"), received, true, false);
    }
    judge.finish();
}

/// How often credit is taken back in a minute by a client in fixed storage whose receivers want so many messages each, one
/// after the other, from a service that has none, and which then sends so many at once.
fn taken_back(wanted: &'static [u32], sends: usize) -> u32 {
    let drains = Rc::new(Cell::new(0));
    let counted = Rc::clone(&drains);
    let script = move |server: &mut Server, item: &Item<'_>| {
        if let Item::Frame(_, Performative::Flow(flow), _) = item {
            counted.set(counted.get() + u32::from(flow.drain));
        }
        server.answer_well(item);
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<Board>(&world, policy(1)), script);
        for &count in wanted {
            let receiver = client.receiver("q").unwrap();
            world.spawn(async move { drop(receiver.receive_messages(count, DAY).await) });
            world.sleep(SECOND).await;
        }
        let sender = client.sender("q").unwrap();
        let message = MessageRef::new("x");
        let sent = join_all((0..sends).map(|_| sender.send(&message))).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
        world.sleep(SECOND * 60).await;
    });
    drains.get()
}

/// Each receiver that finds no place has credit taken back once, and none is taken back without need.
#[test]
fn credit_is_taken_back_once_for_each_receiver_that_lacks_it_c12() {
    for (wanted, sends, drains) in [
        (&[1, 2, 3][..], 0, 0),
        (&[5_000], 0, 0),
        (&[10, 5_000], 0, 0),
        // Messages that wait for a place get one with the next outcome.
        (&[5_000], 20, 0),
        (&[5_000, 1], 0, 1),
        (&[5_000, 5_000], 0, 1),
        (&[5_000, 1, 1], 0, 2),
    ] {
        assert_eq!(taken_back(wanted, sends), drains, "receivers that want {wanted:?}, and {sends} sends");
    }
}

on_both_storages! {
    a_receiver_that_asks_for_much_leaves_some_to_others_c12 => a_receiver_leaves_some_to_others;
}
