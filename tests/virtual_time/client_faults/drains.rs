//! A service that does not answer a drain takes none of the application's time.

use crate::scripted::{self, Server};
use crate::stage::{SECOND, observe, on_both_storages, policy, settings_of, within, world};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::{Flow, Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::{Item, flow};
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The longest of ten receives, whether one of them reported a failure, and how often the link was attached.
#[derive(Debug)]
struct Seen {
    late: Duration,
    failed: bool,
    attaches: u32,
}

fn receives<S: Complete>(wait: Duration, at_once: u32) -> Seen {
    let attaches = Rc::new(Cell::new(0));
    let counted = Rc::clone(&attaches);
    // The script leaves flows unanswered, so it has nothing to do but count.
    let script = move |server: &mut Server, item: &Item<'_>| {
        if let Item::Frame(_, Performative::Attach(attach), _) = item
            && server.link(attach.handle).is_some_and(|link| link.address == "q")
        {
            counted.set(counted.get() + 1);
        }
        false
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(2)), script);
        let receiver = client.receiver("q").unwrap();
        let mut seen = Seen { late: Duration::ZERO, failed: false, attaches: 0 };
        for _ in 0..10 {
            let received = within(&world, wait * 2 + SECOND * 60, receiver.receive_messages(at_once, wait)).await;
            let (took, result) = received.expect("it ends");
            seen.late = seen.late.max(took.saturating_sub(wait));
            seen.failed |= result.is_err();
        }
        seen.attaches = attaches.get();
        seen
    })
}

fn a_receive_ends_in_time<S: Complete>() {
    let mut judge = Judge::new();
    for (wait, at_once) in
        [(SECOND / 10, 1), (SECOND, 1), (SECOND, 10), (SECOND * 3, 100), (SECOND * 5, 1), (SECOND * 20, 1)]
    {
        judge.case(
            format!("{at_once} messages in {wait:?}"),
            receives::<S>(wait, at_once),
            // A link that does not answer is not kept, and a receive that has the time to find out says so.
            |seen| seen.late <= SECOND / 10 && (seen.failed || seen.attaches > 1 && wait < SECOND * 3),
            |seen| seen.late.abs_diff(SECOND * 5) < SECOND / 2,
        );
    }
    judge.finish();
}

/// Messages that the service sends on a link that the client has given up would be locked without an owner.
fn a_link_that_answers_no_drain_is_detached<S: Complete>() {
    let (attached, detached) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (attaches, detaches) = (Rc::clone(&attached), Rc::clone(&detached));
    let script = move |server: &mut Server, item: &Item<'_>| {
        match item {
            Item::Frame(_, Performative::Attach(attach), _) => {
                let of_queue = server.link(attach.handle).is_some_and(|link| link.address == "q");
                attaches.set(attaches.get() + u32::from(of_queue));
            }
            Item::Frame(_, Performative::Detach(detach), _) => {
                let of_queue = server.link(detach.handle).is_some_and(|link| link.address == "q");
                detaches.set(detaches.get() + u32::from(of_queue));
            }
            _ => {}
        }
        false
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(2)), script);
        let receiver = client.receiver("q").unwrap();
        for _ in 0..10 {
            drop(receiver.receive(SECOND).await);
        }
        world.sleep(SECOND * 20).await;
    });
    assert!(attached.get() >= 2, "{} links", attached.get());
    assert!(detached.get() + 1 >= attached.get(), "{} of {} links", detached.get(), attached.get());
}

/// How often the link was attached, and whether a receive failed, where the service takes its time to answer the attach:
/// a drain that it cannot answer before tells nothing about the link.
fn a_drain_is_not_late_before_the_link_is_attached<S: Complete>() {
    let mut judge = Judge::new();
    for (slow, wait) in [(7, SECOND), (8, SECOND * 3), (12, SECOND), (20, SECOND), (7, SECOND * 6)] {
        let attaches = Rc::new(Cell::new(0));
        let counted = Rc::clone(&attaches);
        let script = move |server: &mut Server, item: &Item<'_>| match item {
            Item::Frame(_, Performative::Attach(attach), _) => {
                let link = server.link(attach.handle).expect("it was remembered");
                if link.address != "q" {
                    return false;
                }
                counted.set(counted.get() + 1);
                server.send_bytes(SECOND * slow, Vec::new());
                server.accept(&link, 0);
                true
            }
            Item::Frame(_, Performative::Flow(flow), _) => server.drained(flow),
            _ => false,
        };
        let failed = observe(&world(QueueDescription::default()), async move |world| {
            let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(2)), script);
            let receiver = client.receiver("q").unwrap();
            let mut failed = 0;
            for _ in 0..10 {
                failed += u32::from(receiver.receive(wait).await.is_err());
            }
            world.sleep(SECOND * 30).await;
            failed
        });
        judge.equal(format!("attached after {slow} s, waits of {wait:?}"), (attaches.get(), failed), (1, 0), (2, 0));
    }
    judge.finish();
}

on_both_storages! {
    a_receive_ends_in_time_when_no_drain_is_answered_h5 => a_receive_ends_in_time;
    a_link_that_answers_no_drain_is_detached_h5 => a_link_that_answers_no_drain_is_detached;
    a_drain_is_not_late_before_the_link_is_attached_h5 => a_drain_is_not_late_before_the_link_is_attached;
}

/// What the client says of a sending link after a flow that asks for its credit back: count, credit and `drain`.
fn answers_to_a_drain<S: Complete>() -> Vec<(Option<u32>, Option<u32>, bool)> {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&answers);
    let script = move |server: &mut Server, item: &Item<'_>| {
        match item {
            Item::Frame(_, Performative::Transfer(transfer), _) => {
                if let Some(link) = server.link(transfer.handle).filter(|link| link.address == "q") {
                    server.send_elsewhere(link.channel, &Flow { drain: true, ..flow(link.handle, 1, 10) });
                }
            }
            Item::Frame(_, Performative::Flow(flow), _) => {
                let link = flow.handle.and_then(|handle| server.link(handle));
                if link.is_some_and(|link| link.role == Role::Sender && link.address == "q") {
                    seen.borrow_mut().push((flow.delivery_count, flow.link_credit, flow.drain));
                }
            }
            _ => {}
        }
        false
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        world.sleep(SECOND).await;
    });
    answers.take()
}

fn a_sender_gives_its_credit_back<S: Complete>() {
    assert_eq!(answers_to_a_drain::<S>(), [(Some(11), Some(0), true)]);
}

on_both_storages! {
    /// A sender with nothing to send uses up the rest of its credit, and says so (AMQP 1.0 §2.6.7).
    a_sender_that_is_drained_answers => a_sender_gives_its_credit_back;
}
