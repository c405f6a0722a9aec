//! Responses that the application is slow to take: what else is asked of the same entity goes on.

use crate::stage::{MINUTE, SECOND, Small, add_queue, pair, play, world};
use servicebus_core::client::{AutoLockRenewer, Error, Receiver, ReceiverOptions};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Disposition, LockToken, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::storages::Complete;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

servicebus_core::fixed_storage! {
    /// One queue out, one in, and what its locks need.
    type Board {
        sessions: 1, links: 6, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

/// Runs a scene with an allocator, on a microcontroller's tables, and on the smallest that are of use.
macro_rules! on_storages {
    ($($name:ident => $scene:ident;)*) => { $(
        #[test]
        pub(crate) fn $name() {
            $scene::<Heap>();
            $scene::<Small>();
            $scene::<Board>();
        }
    )* };
}

on_storages! {
    responses_that_are_not_taken_hold_up_no_renewals => renewals;
    what_applications_do_not_take_leaves_room_for_renewals => crowded;
    calls_that_are_not_polled_take_no_place_from_renewals => unpolled;
    responses_are_taken_in_any_order => any_order;
    responses_that_nobody_wants_any_more_leave_nothing_behind => dropped;
    responses_that_went_with_their_connection_are_asked_for_again => cut;
    a_settlement_by_request_does_not_wait_for_other_responses => settlement;
}

/// A call that can be left alone half-way.
type Peeking<'r, S> = Pin<Box<dyn Future<Output = Result<u32, Error<S>>> + 'r>>;

/// Asks for the first message; polled once, and again only by who awaits it.
async fn begin_peek<S: Complete>(receiver: &Receiver<Simulated<S>>) -> Peeking<'_, S> {
    let mut peeking: Peeking<'_, S> = Box::pin(receiver.peek_each(0, 1, |_| {}));
    poll_fn(|cx| {
        assert!(peeking.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    peeking
}

/// One that was asked before has its links: calls are sent when they are polled first.
async fn warm_up<S: Complete>(receiver: &Receiver<Simulated<S>>) {
    assert_eq!(receiver.peek_each(0, 1, |_| {}).await.unwrap(), 1);
}

fn locked_minute() -> World {
    world(QueueDescription { lock_duration: MINUTE, ..QueueDescription::default() })
}

fn renewals<S: Complete>() {
    play(&locked_minute(), async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        warm_up(&receiver).await;
        // Both have their responses, and nobody takes them.
        let first = begin_peek(&receiver).await;
        world.settle().await;
        let second = begin_peek(&receiver).await;
        let renewal = AutoLockRenewer::new(MINUTE * 60).message(&receiver, &message).unwrap();
        world.sleep(MINUTE * 20).await;
        assert!(receiver.lock_renewal_error(&message).is_none(), "{:?}", receiver.lock_renewal_error(&message));
        receiver.complete(&message).await.unwrap();
        drop(renewal);
        // Their own deadlines have passed long ago, but the answers were there in time.
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
        client.close().await;
    });
}

fn crowded<S: Complete>() {
    let world = locked_minute();
    add_queue(&world, "a", QueueDescription::default());
    play(&world, async |world| {
        let others = world.client::<Heap>();
        others.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        let sender = others.sender("a").unwrap();
        for _ in 0..20 {
            sender.send(&MessageRef::new("ahead")).await.unwrap();
        }
        let client = world.client::<S>();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        warm_up(&receiver).await;
        // Messages that were settled when they came wait for as long as nobody calls.
        let mode = ReceiveMode::ReceiveAndDelete;
        let options = ReceiverOptions::new("a").with_mode(mode).with_prefetch(20);
        let ahead = client.receiver(options).unwrap();
        world.sleep(SECOND).await;
        let first = begin_peek(&receiver).await;
        world.settle().await;
        let second = begin_peek(&receiver).await;
        let renewal = AutoLockRenewer::new(MINUTE * 60).message(&receiver, &message).unwrap();
        world.sleep(MINUTE * 20).await;
        assert!(receiver.lock_renewal_error(&message).is_none(), "{:?}", receiver.lock_renewal_error(&message));
        receiver.complete(&message).await.unwrap();
        drop(renewal);
        assert_eq!(first.await.unwrap(), 1);
        second.await.unwrap();
        for _ in 0..20 {
            assert!(ahead.receive(MINUTE).await.unwrap().is_some());
        }
        client.close().await;
    });
}

fn unpolled<S: Complete>() {
    play(&locked_minute(), async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        // They wait for links; once these are there nobody goes on with the calls.
        let calls = (begin_peek(&receiver).await, begin_peek(&receiver).await);
        let renewal = AutoLockRenewer::new(MINUTE * 60).message(&receiver, &message).unwrap();
        world.sleep(SECOND * 59).await;
        assert!(receiver.lock_renewal_error(&message).is_none(), "{:?}", receiver.lock_renewal_error(&message));
        world.sleep(MINUTE).await;
        receiver.complete(&message).await.unwrap();
        drop((renewal, calls));
        client.close().await;
    });
}

fn any_order<S: Complete>() {
    play(&locked_minute(), async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        warm_up(&receiver).await;
        for _ in 0..20 {
            let first = begin_peek(&receiver).await;
            world.settle().await;
            let second = begin_peek(&receiver).await;
            world.sleep(SECOND).await;
            assert_eq!(second.await.unwrap(), 1);
            // One that is asked now comes and goes before the one that has waited longest.
            warm_up(&receiver).await;
            assert_eq!(first.await.unwrap(), 1);
        }
        client.close().await;
    });
}

fn dropped<S: Complete>() {
    play(&locked_minute(), async |world| {
        let (client, state) = world.client_and_state::<S>(world.settings());
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        warm_up(&receiver).await;
        for round in 0..20 {
            let first = begin_peek(&receiver).await;
            world.settle().await;
            let second = begin_peek(&receiver).await;
            // Given up before or after the response has come.
            if round % 2 == 0 {
                world.sleep(SECOND).await;
            }
            drop((first, second));
            world.sleep(SECOND).await;
            let occupancy = state.borrow_mut().machine().occupancy();
            let left = (occupancy.operations, occupancy.requests, occupancy.deliveries);
            assert_eq!(left, (0, 0, 0), "round {round}: {occupancy:?}");
        }
        warm_up(&receiver).await;
        client.close().await;
    });
}

fn cut<S: Complete>() {
    play(&locked_minute(), async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        warm_up(&receiver).await;
        let (first, second) = (begin_peek(&receiver).await, begin_peek(&receiver).await);
        world.sleep(SECOND).await;
        world.cut();
        world.sleep(MINUTE).await;
        assert_eq!((second.await.unwrap(), first.await.unwrap()), (1, 1));
        client.close().await;
    });
}

fn settlement<S: Complete>() {
    play(&locked_minute(), async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        for _ in 0..2 {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        let token: LockToken = message.lock_token().unwrap();
        warm_up(&receiver).await;
        let uncollected = begin_peek(&receiver).await;
        world.settle().await;
        let began = world.clock().now;
        receiver.settle_by_token(token, Disposition::Complete).await.unwrap();
        assert!(world.clock().now < began + SECOND);
        assert_eq!(uncollected.await.unwrap(), 1);
        client.close().await;
    });
}
