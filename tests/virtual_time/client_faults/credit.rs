//! When credit is granted, and when it is taken back.

use crate::scripted::{self, Server};
use crate::stage::{MINUTE, SECOND, add_queue, observe, policy, settings, world};
use servicebus_core::client::{ProcessorMessage, ProcessorOptions, ReceiverOptions};
use servicebus_core::fixed_storage;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::wire::performative::{Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::Item;
use servicebus_tests::handler::handler;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

/// A message with a data section of one byte.
const MESSAGE: &[u8] = &[0x00, 0x53, 0x75, 0xa0, 0x01, b'x'];

/// Flows of the receiver of `q`: the delivery-count up to which there is credit, and whether it is a drain.
type Flows = Rc<RefCell<Vec<(u32, bool)>>>;

/// Notes flows, answers drains, and delivers so many messages for the first credit.
fn script(flows: &Flows, messages: u32) -> impl FnMut(&mut Server, &Item<'_>) -> bool + use<> {
    let flows = Rc::clone(flows);
    move |server, item| {
        let Item::Frame(_, Performative::Flow(flow), _) = item else { return false };
        let link = flow.handle.and_then(|handle| server.link(handle));
        let Some(link) = link.filter(|link| link.role == Role::Receiver && link.address == "q") else { return false };
        let first = flows.borrow().is_empty();
        let limit = flow.delivery_count.unwrap_or(0).wrapping_add(flow.link_credit.unwrap_or(0));
        flows.borrow_mut().push((limit, flow.drain));
        if first {
            for _ in 0..messages {
                server.deliver(&link, false, MESSAGE);
            }
        }
        true
    }
}

/// The flows of a receiver that keeps ten messages ready and takes so many.
fn prefetched(messages: u32) -> Vec<(u32, bool)> {
    let flows = Flows::default();
    let script = script(&flows, messages);
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings(&world, policy(2)), script);
        let options = ReceiverOptions::new("q").with_prefetch(10);
        let receiver = client.receiver(options).unwrap();
        world.sleep(SECOND).await;
        for _ in 0..messages {
            receiver.receive(SECOND).await.unwrap().expect("a message");
        }
        world.sleep(SECOND).await;
    });
    let flows = flows.take();
    // When the receiver is dropped, its credit is taken back.
    flows.into_iter().filter(|(_, drain)| !drain).collect()
}

#[test]
fn what_is_kept_ready_is_renewed_at_half() {
    for messages in 0..=4 {
        assert_eq!(prefetched(messages), [(10, false)], "{messages} of 10 are taken");
    }
    for messages in 5..=10 {
        let flows = prefetched(messages);
        let last = flows.last().expect("a flow").0;
        assert!(last > 10 && last <= 10 + messages, "{messages} of 10 are taken: {flows:?}");
        assert!(flows.len() <= 4, "a flow serves several messages: {flows:?}");
    }
}

#[test]
fn a_processor_that_is_paused_gives_its_credit_back() {
    for (prefetch, messages) in [(10, 0), (10, 3), (1, 0), (100, 1)] {
        let flows = Flows::default();
        let script = script(&flows, messages);
        let before = Rc::clone(&flows);
        observe(&world(QueueDescription::default()), async move |world| {
            let (client, _) = scripted::client(&world, settings(&world, policy(2)), script);
            let receiver = ReceiverOptions::new("q").with_prefetch(prefetch);
            let processor = client.processor(receiver, ProcessorOptions::new());
            let control = processor.control();
            world.spawn(async move {
                let handler = handler(async |_: ProcessorMessage<_>| Ok::<(), Infallible>(()));
                drop(processor.on_error(|_| {}).run(handler).await);
            });
            world.sleep(SECOND).await;
            assert!(before.borrow().iter().all(|(_, drain)| !drain), "{prefetch}: {before:?}");
            control.pause();
            world.sleep(MINUTE / 30).await;
        });
        assert!(flows.borrow().iter().any(|(_, drain)| *drain), "{prefetch}, {messages} messages: {flows:?}");
    }
}

/// What was fetched ahead goes back before its locks end, whatever else is called meanwhile
/// (docs/evidence/invariants.md §1 row 11).
#[test]
fn settling_a_message_lets_no_lock_of_those_fetched_ahead_run_out() {
    let counts = observe(&world(QueueDescription::default()), async move |world| {
        let client = world.client_with(settings(&world, policy(2)));
        let sender = client.sender("q").unwrap();
        for _ in 0..5 {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let options = ReceiverOptions::new("q").with_prefetch(10);
        let receiver = client.receiver(options).unwrap();
        let mut counts = Vec::new();
        for _ in 0..5 {
            let message = receiver.receive(SECOND).await.unwrap().expect("a message");
            counts.push(message.delivery_count());
            receiver.complete(&message).await.unwrap();
            // Twice the locks of the others.
            world.sleep(MINUTE * 2).await;
        }
        counts
    });
    assert_eq!(counts, [0; 5]);
}

/// Places that a receiver gives back go to one that got none.
#[test]
fn a_receiver_that_got_no_credit_gets_what_another_gives_back() {
    fixed_storage! {
        /// Five places for messages.
        type Board {
            sessions: 1, links: 8, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
            receivers: true, management: true,
        }
    }
    let received = observe(&world(QueueDescription::default()), async move |world| {
        add_queue(&world, "r", QueueDescription::default());
        let client = world.client::<Board>();
        let greedy = client.receiver("q").unwrap();
        world.spawn(async move {
            drop(greedy.receive_each(10, Some(SECOND * 5), |_| {}).await);
            std::future::pending::<()>().await;
        });
        world.sleep(SECOND).await;
        let others: Vec<_> = (0..2).map(|_| client.receiver("r").unwrap()).collect();
        let waiting: Vec<_> = others
            .into_iter()
            .map(|receiver| {
                let got = Rc::new(Cell::new(false));
                let inner = Rc::clone(&got);
                world.spawn(async move {
                    let message = receiver.next().await.unwrap();
                    receiver.complete(&message).await.unwrap();
                    inner.set(true);
                });
                got
            })
            .collect();
        world.sleep(SECOND * 10).await;
        let sender = world.client::<Heap>().sender("r").unwrap();
        for _ in 0..2 {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        world.sleep(SECOND * 5).await;
        waiting.iter().filter(|got| got.get()).count()
    });
    assert_eq!(received, 2);
}
