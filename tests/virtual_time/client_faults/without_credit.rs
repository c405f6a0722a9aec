//! Messages and requests that wait for credit, or for their turn, when the time of their attempt is up or their call is
//! dropped: nothing of them was written, and nothing of them is sent later.

use crate::scripted::{self, Link, Server};
use crate::stage::{
    HeapFailure, MINUTE, SECOND, observe, on_both_storages, policy, settings, settings_of, within, world,
};
use futures_util::poll;
use servicebus_core::client::{Client, Error, ErrorKind, ErrorOutcome, Sender, SenderOptions};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::wire::performative::{Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::engine::{Item, flow};
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

/// How many messages came to a node.
type Came = Rc<Cell<u32>>;

/// Gives no credit for messages to `node` in the first `wait` seconds, and counts those that come.
fn script(world: &World, node: &'static str, wait: u32) -> (Came, impl FnMut(&mut Server, &Item<'_>) -> bool + use<>) {
    let (came, held_back) = (Came::default(), RefCell::new(None::<Link>));
    let (counted, world, until) = (Rc::clone(&came), world.clone(), world.clock().now + SECOND * wait);
    let script = move |server: &mut Server, item: &Item<'_>| {
        // Whatever the client sends serves as a clock.
        if world.clock().now >= until
            && let Some(link) = held_back.take()
        {
            server.send_elsewhere(link.channel, &flow(link.handle, 0, 1_000));
        }
        match item {
            Item::Frame(_, Performative::Attach(attach), _) => {
                let link = server.link(attach.handle).expect("it was remembered");
                if link.role != Role::Sender || link.address != node {
                    return false;
                }
                server.accept(&link, 0);
                held_back.replace(Some(link));
                return true;
            }
            Item::Frame(_, Performative::Transfer(transfer), _) => {
                let to_node = server.link(transfer.handle).is_some_and(|link| link.address == node);
                counted.set(counted.get() + u32::from(to_node));
            }
            _ => {}
        }
        false
    };
    (came, script)
}

/// Sends on another link every second, so that the script is called.
fn tick<S: Complete>(world: &World, client: &Client<Simulated<S>>) {
    let (world, other) = (world.clone(), client.sender("other").unwrap());
    world.clone().spawn(async move {
        for _ in 0..120 {
            world.sleep(SECOND).await;
            other.send(&MessageRef::new("tick")).await.unwrap();
        }
    });
}

/// A call that a sender makes.
#[derive(Clone, Copy)]
enum Verb {
    Send,
    SendBatch,
    Schedule,
}

impl Verb {
    const ALL: [Self; 3] = [Self::Send, Self::SendBatch, Self::Schedule];

    /// The node to which its message goes.
    fn node(self) -> &'static str {
        match self {
            Self::Send | Self::SendBatch => "q",
            Self::Schedule => "q/$management",
        }
    }

    async fn call<S: Complete>(self, world: &World, sender: &Sender<Simulated<S>>) -> Result<(), Error<S>> {
        match self {
            Self::Send => sender.send(&MessageRef::new("x")).await,
            Self::SendBatch => {
                let mut batch = sender.create_batch().await?;
                batch.try_add(&MessageRef::new("x")).expect("room");
                sender.send_batch(batch).await.map_err(Error::from)
            }
            Self::Schedule => {
                let later = world.clock().utc + MINUTE;
                match sender.schedule(&MessageRef::new("x"), later).await {
                    // The script's answer has no numbers.
                    Err(error) if error.kind() != ErrorKind::Timeout => Ok(()),
                    other => other.map(drop),
                }
            }
        }
    }
}

/// How many messages come for a call that is tried again until there is credit.
fn tried<S: Complete>(verb: Verb, wait: u32) -> (Result<(), ErrorOutcome>, u32) {
    observe(&world(QueueDescription::default()), async move |world| {
        let (came, script) = script(&world, verb.node(), wait);
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(5)), script);
        tick(&world, &client);
        let sender = client.sender("q").unwrap();
        let result = verb.call(&world, &sender).await.map_err(|error| error.outcome());
        world.sleep(MINUTE).await;
        (result, came.get())
    })
}

fn comes_once<S: Complete>() {
    for verb in Verb::ALL {
        for wait in [1, 3, 6, 9] {
            assert_eq!(tried::<S>(verb, wait), (Ok(()), 1), "credit comes after {wait} s");
        }
    }
}

/// What so many calls end with, each of which has a second, and how many messages come when there is credit at last.
fn late<S: Complete>(verb: Verb, ordered: bool, calls: u32, dropped: bool) -> (Vec<Option<ErrorOutcome>>, u32) {
    observe(&world(QueueDescription::default()), async move |world| {
        let (came, script) = script(&world, verb.node(), calls + 5);
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let options = SenderOptions::new("q");
        let sender = client.sender(if ordered { options.ordered() } else { options }).unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..calls {
            if dropped {
                assert!(within(&world, SECOND, verb.call(&world, &sender)).await.is_none(), "it waits");
                outcomes.push(None);
            } else {
                let failure = verb.call(&world, &sender.timeout(SECOND)).await.unwrap_err();
                assert_eq!(failure.kind(), ErrorKind::Timeout);
                outcomes.push(Some(failure.outcome()));
            }
        }
        tick(&world, &client);
        world.sleep(MINUTE).await;
        (outcomes, came.get())
    })
}

fn is_not_sent<S: Complete>() {
    for (verb, ordered) in Verb::ALL.into_iter().flat_map(|verb| [(verb, false), (verb, true)]) {
        // More than a board has places for.
        for calls in [1, 2, 60] {
            let outcomes = vec![Some(ErrorOutcome::NotSent); calls as usize];
            assert_eq!(late::<S>(verb, ordered, calls, false), (outcomes, 0), "ordered: {ordered}");
        }
    }
}

fn leaves_nothing<S: Complete>() {
    for (verb, ordered) in Verb::ALL.into_iter().flat_map(|verb| [(verb, false), (verb, true)]) {
        for calls in [1, 2, 60] {
            assert_eq!(late::<S>(verb, ordered, calls, true), (vec![None; calls as usize], 0), "ordered: {ordered}");
        }
    }
}

/// There is credit, and the connection has not had its turn when the call is dropped.
fn is_not_begun<S: Complete>() {
    let came = observe(&world(QueueDescription::default()), async move |world| {
        let came = Came::default();
        let counted = Rc::clone(&came);
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(0)), move |server, item| {
            if let Item::Frame(_, Performative::Transfer(transfer), _) = item {
                let to_queue = server.link(transfer.handle).is_some_and(|link| link.address == "q");
                counted.set(counted.get() + u32::from(to_queue));
            }
            false
        });
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.unwrap();
        for _ in 0..60 {
            let message = MessageRef::new("dropped");
            let mut send = pin!(sender.send(&message));
            assert!(poll!(&mut send).is_pending());
        }
        world.sleep(MINUTE).await;
        sender.send(&MessageRef::new("x")).await.unwrap();
        came.get()
    });
    assert_eq!(came, 2);
}

on_both_storages! {
    a_call_that_is_dropped_before_its_message_is_written_sends_nothing => is_not_begun;
    what_waits_for_credit_comes_once_however_often_it_is_tried => comes_once;
    what_got_no_credit_in_its_time_is_not_sent_and_leaves_its_place => is_not_sent;
    a_call_that_is_dropped_before_there_is_credit_leaves_nothing => leaves_nothing;
}

/// Its message is under way as soon as it is there.
#[test]
fn a_delivery_that_is_dropped_leaves_its_message_alone() {
    let came = observe(&world(QueueDescription::default()), async move |world| {
        let (came, script) = script(&world, "q", 5);
        let (client, _) = scripted::client(&world, settings(&world, policy(0)), script);
        let sender: Sender<Simulated<Heap>> = client.sender("q").unwrap();
        for _ in 0..3 {
            drop(sender.enqueue(&MessageRef::new("x")).await.unwrap());
        }
        tick(&world, &client);
        let delivery = sender.enqueue(&MessageRef::new("never")).await.unwrap();
        let failure: HeapFailure = delivery.await.unwrap_err();
        assert_eq!((failure.kind(), failure.outcome()), (ErrorKind::Timeout, ErrorOutcome::NotSent));
        world.sleep(MINUTE).await;
        came.get()
    });
    assert_eq!(came, 3);
}

/// What was taken back is not waited for.
fn closes_at_once<S: Complete>() {
    for dropped in [true, false] {
        let took = observe(&world(QueueDescription::default()), async move |world| {
            let (_, script) = script(&world, "q", 100);
            let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
            let sender = client.sender("q").unwrap();
            let (world, other) = (&world, sender.clone());
            let sending = async {
                match dropped {
                    true => drop(within(world, SECOND, other.send(&MessageRef::new("x"))).await),
                    false => drop(other.timeout(SECOND).send(&MessageRef::new("x")).await),
                }
            };
            let closing = async {
                world.sleep(SECOND / 2).await;
                let began = world.clock().now;
                sender.close().await;
                world.clock().now.saturating_duration_since(began)
            };
            futures_util::future::join(sending, closing).await.1
        });
        assert!(took < SECOND, "{dropped}: {took:?}");
    }
}

on_both_storages! {
    a_close_does_not_wait_for_what_was_taken_back => closes_at_once;
}
