//! A table or a buffer that is full for a moment holds an attach up, and does not end the calls that wait for it.

use crate::scripted::{self, Server};
use crate::stage::{MINUTE, SECOND, add_queue, ending, observe, policy, sessions, within, world};
use servicebus_core::client::Client;
use servicebus_core::engine::Capacity;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::{Body, Entity, MessageRef};
use servicebus_core::storage::Storage;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::{Detach, Performative, Role};
use servicebus_core::wire::to_vec;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::engine::Item;
use servicebus_tests::told::Told;
use std::cell::Cell;
use std::rc::Rc;

servicebus_core::fixed_storage! {
    /// A sender and a receiver beside the pair of `$cbs`.
    type FourLinks {
        sessions: 1, links: 4, deliveries: 8, receive: 1024, transmit: 1024, message: 512,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    /// One link beside the pair of `$cbs`.
    type ThreeLinks {
        sessions: 1, links: 3, deliveries: 8, receive: 1024, transmit: 1024, message: 512,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    /// An outbox of 512 bytes, which has room for two attaches or three.
    type SmallOutbox {
        sessions: 1, links: 10, deliveries: 24, receive: 1024, transmit: 512, message: 2048,
        receivers: true, management: true, session_receivers: 2,
    }
}

fn settings<S: Storage>(world: &World, retries: u32) -> Settings<S> {
    world.settings().with_retry(policy(retries))
}

const LINKS: Told = Told::Capacity(Capacity::Links);
const OUTBOX: Told = Told::Capacity(Capacity::Outbox);

/// The old link keeps its place until the service has answered its detach.
#[test]
fn a_link_that_is_replaced_on_a_board_waits_for_the_place_of_the_old_one() {
    let attaches = Rc::new(Cell::new(0));
    let counted = Rc::clone(&attaches);
    let script = move |server: &mut Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            let link = server.link(attach.handle).expect("it was remembered");
            if link.address != "q" || link.role != Role::Receiver {
                return false;
            }
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                return false;
            }
            // The second link works.
            server.accept(&link, 0);
            server.deliver(&link, false, &to_vec(&MessageRef::from_body(Body::Data(b"x"))));
            true
        }
        Item::Frame(_, Performative::Detach(detach), _) if counted.get() == 1 => {
            let answer = Detach { handle: detach.handle, closed: true, error: None };
            server.send_bytes(SECOND * 4, servicebus_tests::engine::frame(0, &answer, &[]));
            true
        }
        _ => false,
    };
    let received = observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings::<FourLinks>(&world, 2), script);
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.expect("a link for messages out");
        let receiver = client.receiver("q").unwrap();
        // No drain is answered: the link is replaced.
        drop(receiver.receive(SECOND).await);
        let received = within(&world, MINUTE, receiver.receive(SECOND * 30)).await;
        received.expect("it ends").1.map(|message| message.is_some()).map_err(|failure| Told::of(&failure))
    });
    assert_eq!(received, Ok(true));
    assert_eq!(attaches.get(), 2);
}

#[test]
fn attaches_that_the_outbox_has_no_room_for_wait_for_it() {
    let results = observe(&world(QueueDescription::default()), async move |world| {
        let client: Client<Simulated<SmallOutbox>> = world.client_with(settings(&world, 0));
        let senders: Vec<_> = (0..8).map(|_| client.sender("q").unwrap()).collect();
        let results = Rc::new(std::cell::RefCell::new(Vec::new()));
        for sender in senders {
            let results = Rc::clone(&results);
            world.spawn(async move {
                let result = sender.send(&MessageRef::new("x")).await;
                results.borrow_mut().push(result.map_err(|failure| Told::of(&failure)));
            });
        }
        world.sleep(SECOND * 10).await;
        results.take()
    });
    assert_eq!(results, vec![Ok(()); 8]);
}

/// Another sender or receiver may be closed meanwhile: a call waits for that, and names the table at its end.
#[test]
fn an_attach_without_a_place_waits_within_the_bound_of_its_call() {
    observe(&world(QueueDescription::default()), async move |world| {
        let client: Client<Simulated<ThreeLinks>> = world.client_with(settings(&world, 0));
        let first = client.sender("q").unwrap();
        first.send(&MessageRef::new("x")).await.expect("there is a place");
        let second = client.sender("q").unwrap();
        let (took, result) = ending(&world, MINUTE, second.send(&MessageRef::new("x"))).await.expect("it ends");
        assert_eq!((took, result), (SECOND * 2, Err(LINKS)), "in the time of an attempt");
        let closing = world.clone();
        world.spawn(async move {
            closing.sleep(SECOND).await;
            first.close().await;
        });
        let (took, result) = ending(&world, MINUTE, second.send(&MessageRef::new("x"))).await.expect("it ends");
        assert_eq!(result, Ok(()), "the place of the first one is free after a second");
        assert!(took < SECOND * 3 / 2, "{took:?}");
    });
}

#[test]
fn an_attach_that_never_fits_is_refused_at_once() {
    let name: &'static str = "q".repeat(250).leak();
    let world = world(QueueDescription::default());
    add_queue(&world, name, sessions(MINUTE));
    observe(&world, async move |world| {
        let client: Client<Simulated<SmallOutbox>> = world.client_with(settings(&world, 0));
        // A name and a session's id that leave no room in 512 bytes.
        let id = "i".repeat(128);
        let accept = client.accept_session(Entity::queue(name), &id);
        let (took, result) = ending(&world, MINUTE, accept).await.expect("it ends");
        assert_eq!(result, Err(OUTBOX));
        assert!(took < Duration::from_millis(500), "{took:?}");
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.expect("the connection is well");
    });
}
