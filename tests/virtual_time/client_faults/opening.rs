//! The whole opening of a connection ends with one attempt's time.

use crate::scripted;
use crate::stage::{
    Ending, MINUTE, SECOND, ending, observe, on_both_storages, policy, settings, settings_of, within, world,
};
use servicebus_core::client::Sender;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::performative::{Detach, Open, Performative, Role};
use servicebus_core::wire::sasl::{SaslCode, SaslMechanisms, SaslOutcome};
use servicebus_core::wire::{Multiple, Symbol};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Server, Simulated, World};
use servicebus_tests::engine::{Item, begin, frame, open, sasl_frame};
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The bytes that a server sends before it falls silent, one step more each time.
fn half_openings() -> Vec<(&'static str, Vec<u8>)> {
    let anonymous = [Symbol::new("ANONYMOUS")];
    let mechanisms = SaslMechanisms { sasl_server_mechanisms: Multiple::new(&anonymous) };
    let steps = [
        ("nothing", Vec::new()),
        ("SASL header", Protocol::Sasl.header().to_vec()),
        ("SASL mechanisms", sasl_frame(&mechanisms)),
        ("SASL outcome", sasl_frame(&SaslOutcome { code: SaslCode::Ok, additional_data: None })),
        ("AMQP header", Protocol::Amqp.header().to_vec()),
        ("open", frame(0, &Open { max_frame_size: 65_536, ..open("server") }, &[])),
        ("begin", frame(0, &begin(Some(0)), &[])),
    ];
    let mut sent = Vec::new();
    steps
        .map(|(name, bytes)| {
            sent.extend(bytes);
            (name, sent.clone())
        })
        .into()
}

fn an_opening_ends_after_one_attempt<S: Complete>() {
    let mut judge = Judge::new();
    for (name, sent) in half_openings() {
        for retries in [0, 2] {
            let sent = sent.clone();
            let (failed, took) = observe(&world(QueueDescription::default()), async move |world| {
                world.set_server(Server::Sends(sent));
                let client = world.client_with(settings_of::<S>(&world, policy(retries)));
                let sender = client.sender("q").unwrap();
                let began = world.clock().now;
                let mut failed = 0;
                // Only the first connection is sick.
                let heal = world.clone();
                world.spawn(async move {
                    while heal.connections_opened() == 0 {
                        heal.sleep(Duration::from_millis(1)).await;
                    }
                    heal.set_server(Server::Emulator);
                });
                while !matches!(ending(&world, MINUTE, sender.send(&MessageRef::new("x"))).await, Some((_, Ok(())))) {
                    failed += 1;
                    assert!(failed < 100, "{name}: it never recovers");
                }
                (failed, world.clock().now.saturating_duration_since(began))
            });
            // One attempt of two seconds, and the pause after it.
            judge.case(
                format!("silent after {name}, {retries} retries"),
                (failed, took),
                |(failed, took)| *failed <= 1 && *took <= SECOND * 6,
                |(failed, took)| *failed > 1 && *took > SECOND * 20,
            );
        }
    }
    judge.finish();
}

/// The connection is well, so that only the link has to be attached again.
#[test]
fn a_link_whose_attach_is_never_answered_is_attached_again() {
    for sends in [true, false] {
        let attaches = Rc::new(Cell::new(0));
        let counted = Rc::clone(&attaches);
        let script = move |server: &mut scripted::Server, item: &Item<'_>| match item {
            Item::Frame(_, Performative::Flow(flow), _) => server.drained(flow),
            Item::Frame(_, Performative::Attach(attach), _) => {
                let of_queue = server.link(attach.handle).is_some_and(|link| link.address == "q");
                counted.set(counted.get() + u32::from(of_queue));
                of_queue && counted.get() == 1
            }
            _ => false,
        };
        let ended = observe(&world(QueueDescription::default()), async move |world| {
            let (client, dials) = scripted::client(&world, settings(&world, policy(0)), script);
            let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
            for _ in 0..40 {
                let ending = match sends {
                    true => ending(&world, MINUTE, sender.send(&MessageRef::new("x"))).await,
                    false => ending(&world, MINUTE, receiver.receive(SECOND * 2)).await,
                };
                assert!(ending.is_some_and(|(took, _)| took <= SECOND * 3), "{ending:?}");
                if matches!(ending, Some((_, Ok(())))) && attaches.get() > 1 {
                    return dials.get();
                }
            }
            0
        });
        assert_eq!(ended, 1, "it works again on the same connection; a sender: {sends}");
    }
}

/// How the attach of a request link fails to be answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unanswered {
    Both,
    Sender,
    Receiver,
}

/// The dials of a client whose first request links to `node` are not answered, when a request is answered later.
fn node_comes_back<S: Complete>(node: &'static str, way: Unanswered) -> Option<u32> {
    let left = Rc::new(Cell::new(2));
    let script = move |server: &mut scripted::Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Attach(attach), _) = item else { return false };
        let link = server.link(attach.handle).expect("it was remembered");
        if link.address != node || left.get() == 0 {
            return false;
        }
        left.set(left.get() - 1);
        match (way, link.role) {
            (Unanswered::Both, _) | (Unanswered::Sender, Role::Sender) | (Unanswered::Receiver, Role::Receiver) => {}
            _ => server.accept(&link, 1_000),
        }
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.expect("messages need no request");
        for _ in 0..40 {
            let cancelled = ending(&world, MINUTE, sender.cancel_scheduled(&[1])).await;
            assert!(cancelled.is_some_and(|(took, _)| took <= SECOND * 3), "{cancelled:?}");
            if matches!(cancelled, Some((_, Ok(())))) {
                return Some(dials.get());
            }
        }
        None
    })
}

/// The client's other links work meanwhile, so that nothing but the node has to be attached again.
fn a_node_is_attached_again<S: Complete>() {
    for way in [Unanswered::Both, Unanswered::Sender, Unanswered::Receiver] {
        assert_eq!(node_comes_back::<S>("q/$management", way), Some(1), "{way:?}");
    }
}

/// The ends and closes of a client, and its dials, when the first attaches to a node are answered after they were given
/// up, as soon as `attaches` were sent, and a request is answered in the end.
fn answered_late<S: Complete>(attaches: usize) -> Option<(u32, u32)> {
    let (ends, seen) = (Rc::new(Cell::new(0)), Cell::new(0));
    let (held, detached) = (RefCell::new(Vec::<scripted::Link>::new()), RefCell::new(Vec::new()));
    let counted = Rc::clone(&ends);
    let script = move |server: &mut scripted::Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            let link = server.link(attach.handle).expect("it was remembered");
            if link.address != "q/$management" {
                return false;
            }
            seen.set(seen.get() + 1);
            if seen.get() <= 2 {
                held.borrow_mut().push(link);
                return true;
            }
            if seen.get() == attaches {
                for late in held.take() {
                    server.accept(&late, 1_000);
                }
                for handle in detached.take() {
                    server.send_elsewhere(link.channel, &Detach { handle, closed: true, error: None });
                }
            }
            false
        }
        Item::Frame(_, Performative::Detach(detach), _) => {
            let is_held = held.borrow().iter().any(|link| link.handle == detach.handle);
            if is_held {
                detached.borrow_mut().push(detach.handle);
                server.links.retain(|link| link.address != "q/$management" || link.handle != detach.handle);
            }
            is_held
        }
        Item::Frame(_, Performative::End(_) | Performative::Close(_), _) => {
            counted.set(counted.get() + 1);
            false
        }
        _ => false,
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.expect("messages need no request");
        for _ in 0..60 {
            let cancelled = ending(&world, MINUTE, sender.cancel_scheduled(&[1])).await;
            if matches!(cancelled, Some((_, Ok(())))) {
                return Some((ends.get(), dials.get()));
            }
            world.sleep(SECOND).await;
        }
        None
    })
}

fn a_late_answer_is_that_of_its_attach<S: Complete>() {
    for attaches in [3, 4] {
        assert_eq!(answered_late::<S>(attaches), Some((0, 1)), "answered at attach {attaches}");
    }
}

/// A call that needs a link to `node`.
async fn call_to<S: Complete>(world: &World, node: &str, sender: &Sender<Simulated<S>>) -> Ending {
    match node {
        "q" => ending(world, MINUTE, sender.send(&MessageRef::new("x"))).await,
        _ => ending(world, MINUTE, sender.cancel_scheduled(&[1])).await,
    }
}

/// Nothing of links to `node` is answered in the first minutes, and everything else is.
fn places_are_given_back<S: Complete>(node: &'static str) {
    let answers = Rc::new(Cell::new(false));
    let answered = Rc::clone(&answers);
    let script = move |server: &mut scripted::Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            let link = server.link(attach.handle).expect("it was remembered");
            let ignored = !answers.get() && link.address == node;
            if ignored {
                server.links.retain(|known| (known.channel, known.handle) != (link.channel, link.handle));
            }
            ignored
        }
        // What was never attached is never detached.
        Item::Frame(_, Performative::Detach(detach), _) => server.link(detach.handle).is_none(),
        _ => false,
    };
    let dials = observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let sender = client.sender("q").unwrap();
        for minute in 0..30 {
            // More than a board has places for.
            answered.set(minute == 29);
            let called = call_to(&world, node, &sender).await;
            assert!(called.is_some_and(|(took, _)| took <= SECOND * 3), "{node} {minute}: {called:?}");
            let other = client.sender("other").unwrap();
            let sent = ending(&world, MINUTE, other.send(&MessageRef::new("x"))).await;
            assert!(matches!(sent, Some((_, Ok(())))), "{node} {minute}: {sent:?}");
            other.close().await;
            world.sleep(MINUTE).await;
        }
        // One that was attached while nothing was answered may have to be given up first.
        for _ in 0..3 {
            if matches!(call_to(&world, node, &sender).await, Some((_, Ok(())))) {
                return dials.get();
            }
            world.sleep(MINUTE).await;
        }
        0
    });
    assert!((2..=20).contains(&dials), "{node}: {dials} connections");
}

/// The dials of a client that closes a sender to `closed` shortly before an attach to `q` got no answer in its time.
/// Detaches are answered two seconds later, that of `q` never.
fn closes_before_the_time_is_up<S: Complete>(closed: &'static str) -> u32 {
    let script = move |server: &mut scripted::Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            server.link(attach.handle).is_some_and(|link| link.address == "q")
        }
        Item::Frame(channel, Performative::Detach(detach), _) => {
            if server.link(detach.handle).is_some_and(|link| link.address != "q") {
                let answer = Detach { handle: detach.handle, closed: true, error: None };
                server.send_bytes(SECOND * 2, frame(*channel, &answer, &[]));
            }
            true
        }
        _ => false,
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let third = client.sender("third").unwrap();
        third.send(&MessageRef::new("x")).await.expect("it is attached");
        let senders = ["q", "other"].map(|name| (name, client.sender(name).unwrap()));
        for (name, sender) in &senders {
            let sent = ending(&world, MINUTE, sender.send(&MessageRef::new("x"))).await;
            assert_eq!(matches!(sent, Some((_, Ok(())))), *name != "q", "{sent:?}");
        }
        world.sleep(SECOND * 57).await;
        for (name, sender) in senders {
            if name == closed {
                sender.close().await;
            }
        }
        world.sleep(SECOND * 5).await;
        third.send(&MessageRef::new("x")).await.expect("it is attached");
        dials.get()
    })
}

fn a_close_keeps_the_connection<S: Complete>() {
    for closed in ["other", "q"] {
        assert_eq!(closes_before_the_time_is_up::<S>(closed), 1, "{closed} is closed");
    }
}

fn links_that_are_never_answered_keep_no_places<S: Complete>() {
    for node in ["q/$management", "q"] {
        places_are_given_back::<S>(node);
    }
}

/// The dials of a client that closes its senders a while after a link to `node` was asked for, whose attach is not
/// answered, and whether the detach is.
fn closed_before_the_answer<S: Complete>(node: &'static str, wait: Duration, detaches: bool) -> u32 {
    let answers = Rc::new(Cell::new(false));
    let answered = Rc::clone(&answers);
    let script = move |server: &mut scripted::Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            !answers.get() && server.link(attach.handle).is_some_and(|link| link.address == node)
        }
        Item::Frame(_, Performative::Detach(detach), _) => {
            match server.link(detach.handle).filter(|link| link.address == node) {
                // The answer to the attach comes first.
                Some(link) if detaches => server.accept(&link, 0),
                Some(_) => return true,
                None => {}
            }
            false
        }
        _ => false,
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let other = client.sender("other").unwrap();
        let healthy = async |times: u32| {
            for _ in 0..times {
                other.send(&MessageRef::new("x")).await.expect("its link is well");
                world.sleep(SECOND * 10).await;
            }
        };
        healthy(1).await;
        for _ in 0..2 {
            let sender = client.sender("q").unwrap();
            let called = call_to(&world, node, &sender).await;
            assert!(called.is_some_and(|(took, result)| took <= SECOND * 3 && result.is_err()), "{called:?}");
            world.sleep(wait).await;
            sender.close().await;
        }
        // No other link is asked for.
        healthy(13).await;
        answered.set(true);
        let again = call_to(&world, node, &client.sender("q").unwrap()).await;
        assert!(matches!(again, Some((_, Ok(())))), "{node}, after {wait:?}: {again:?}");
        dials.get()
    })
}

fn closed_links_come_to_an_end<S: Complete>() {
    for node in ["q", "q/$management"] {
        for wait in [Duration::ZERO, SECOND * 20] {
            assert_eq!(closed_before_the_answer::<S>(node, wait, false), 2, "{node}, closed after {wait:?}");
            assert_eq!(closed_before_the_answer::<S>(node, wait, true), 1, "{node}, {wait:?}: its detach is answered");
        }
    }
}

/// Nobody waits for a session any more. The service still uses all the time that it has to find one.
fn a_dropped_accept_keeps_the_connection<S: Complete>() {
    let script = |server: &mut scripted::Server, item: &Item<'_>| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            server.link(attach.handle).is_some_and(|link| link.address == "q" && link.role == Role::Receiver)
        }
        Item::Frame(_, Performative::Detach(_), _) => true,
        _ => false,
    };
    let dials = observe(&world(QueueDescription::default()), async move |world| {
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(0)), script);
        let other = client.sender("other").unwrap();
        other.send(&MessageRef::new("x")).await.expect("its link is well");
        let accept = client.accept_next_session("q", MINUTE * 5);
        assert!(within(&world, SECOND, accept).await.is_none(), "no session is there");
        for _ in 0..24 {
            other.send(&MessageRef::new("x")).await.expect("its link is well");
            world.sleep(SECOND * 10).await;
        }
        dials.get()
    });
    assert_eq!(dials, 1);
}

on_both_storages! {
    a_connection_outlives_an_accept_that_is_dropped => a_dropped_accept_keeps_the_connection;
    a_close_beside_an_unanswered_attach_keeps_the_connection => a_close_keeps_the_connection;
    a_link_that_is_closed_before_its_attach_is_answered_comes_to_an_end => closed_links_come_to_an_end;
    a_late_answer_to_an_attach_is_not_taken_for_another => a_late_answer_is_that_of_its_attach;
    links_whose_attach_and_detach_are_never_answered_keep_no_places => links_that_are_never_answered_keep_no_places;
    a_node_whose_attach_is_never_answered_is_attached_again => a_node_is_attached_again;
    an_opening_that_is_not_finished_ends_after_one_attempt_h3 => an_opening_ends_after_one_attempt;
}
