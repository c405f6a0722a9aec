//! A transaction belongs to one top-level entity, and to one partition of it.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::messaging::{Outcome, Rejected};
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{Failure, World, attach_of, uuids};
use servicebus_tests::coordinator::{Control, refusal};
use servicebus_tests::fault::Judge;

const SPAN: &str = "Local transactions cannot span multiple top-level entities such as queue or topic.";

/// Queues `a` and `b`, session queues `sa` and `sb`, topics `t` and `u` with subscriptions, a message in each.
fn world() -> World {
    let mut world = World::new();
    let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
    for name in ["a", "b"] {
        world.queue(name, QueueDescription::default());
    }
    for name in ["sa", "sb"] {
        world.queue(name, sessions.clone());
    }
    for name in ["t", "u"] {
        let subscription = SubscriptionDescription::default();
        world.topic(name, &[("s", subscription.clone()), ("other", subscription)]);
    }
    let c = world.connect();
    for name in ["a", "b", "sa", "sb", "t", "u"] {
        let sender = world.sender(c, name).unwrap();
        world.send(c, sender, &MessageRef::new("there").with_session_id("1"));
    }
    world
}

/// An operation of a client on an entity.
#[derive(Clone, Copy, Debug)]
enum Step {
    Receive(&'static str),
    ReceiveSession(&'static str),
    Peek(&'static str),
    /// A send in a transaction that is committed.
    Send(&'static str),
}

/// Why the attach of a link, or what it was used for, was refused.
fn link_refusal(world: &World, c: usize, link: Result<LinkId, Failure>) -> Option<String> {
    match link {
        Ok(link) => world.detached(c, link).map(|failure| failure.text),
        Err(failure) => Some(failure.text),
    }
}

impl Step {
    /// Carries it out on the client's session; why it was refused.
    fn run(self, world: &mut World, c: usize, control: Control) -> Option<String> {
        match self {
            Self::Receive(address) => {
                let link = world.receiver(c, address);
                if let Ok(link) = link {
                    world.receive_now(c, link, 1);
                }
                link_refusal(world, c, link)
            }
            Self::ReceiveSession(address) => {
                let link = world.session_receiver(c, address, Some("1"), None);
                if let Ok(link) = link {
                    world.receive_now(c, link, 1);
                }
                link_refusal(world, c, link)
            }
            Self::Peek(entity) => {
                let name = world.name(c);
                let node = format!("{entity}/$management");
                let link = world.attach(c, &attach_of(&name, Role::Sender, &node, false, None, None));
                let refused = link_refusal(world, c, link);
                if refused.is_some() {
                    return refused;
                }
                let entries = [("from-sequence-number", 0_i64.into()), ("message-count", 1_i32.into())];
                let response = world.manage(c, entity, "peek-message", &entries);
                (response.status() >= 400).then(|| response.text().to_owned())
            }
            Self::Send(entity) => {
                let link = match world.sender(c, entity) {
                    Ok(link) => link,
                    Err(failure) => return Some(failure.text),
                };
                let txn = control.declare(world);
                let sent = world.send_in(c, link, &txn, &MessageRef::new("sent"));
                let committed = control.commit(world, &txn);
                refusal(&sent).or(refusal(&committed)).map(|failure| failure.text)
            }
        }
    }
}

/// The second step after the first one, on one session that begins with a coordinator: what the SDK for .NET opens
/// when transactions across entities are enabled (recording `transaction-cross-entity`).
fn second_after(first: Step, second: Step) -> Option<String> {
    let mut world = world();
    let c = world.connect();
    world.begin_session(c);
    let control = Control::attach(&mut world, c);
    assert_eq!(first.run(&mut world, c, control), None, "{first:?}");
    second.run(&mut world, c, control)
}

#[test]
fn a_connection_for_transactions_across_entities_receives_from_one_of_them_f40() {
    use Step::{Peek, Receive, ReceiveSession, Send};
    let mut judge = Judge::new();
    for (first, second) in [
        (Receive("a"), Receive("b")),
        (Receive("a"), Receive("t/Subscriptions/s")),
        (Receive("t/Subscriptions/s"), Receive("a")),
        (Receive("t/Subscriptions/s"), Receive("u/Subscriptions/s")),
        (Peek("a"), Peek("b")),
        (Receive("a"), Peek("b")),
        (Peek("a"), Receive("b")),
        (ReceiveSession("sa"), ReceiveSession("sb")),
        (Receive("a"), ReceiveSession("sb")),
        (Send("a"), Receive("b")),
        (Send("t"), Receive("a")),
    ] {
        judge.case(
            format!("{first:?}, {second:?}"),
            second_after(first, second),
            |refused| refused.as_ref().is_some_and(|text| text.contains(SPAN)),
            Option::is_none,
        );
    }
    judge.finish();
}

#[test]
fn a_connection_for_transactions_across_entities_sends_to_any_of_them_f40() {
    use Step::{Receive, ReceiveSession, Send};
    for (first, second) in [
        (Receive("a"), Receive("a")),
        (Receive("a"), Send("b")),
        (Receive("a"), Send("t")),
        (Receive("t/Subscriptions/s"), Send("a")),
        (ReceiveSession("sa"), Send("b")),
    ] {
        assert_eq!(second_after(first, second), None, "{first:?}, {second:?}");
    }
}

/// What ends the AMQP session on the service ends it here: docs/evidence/pinned-behaviour.md TXN20.
#[test]
fn a_receiver_of_another_entity_ends_the_session_txn20() {
    for second in [Step::Receive("b"), Step::ReceiveSession("sb"), Step::Receive("t/Subscriptions/s")] {
        let mut world = world();
        let c = world.connect();
        let beside = world.sender(c, "b").unwrap();
        world.begin_session(c);
        let control = Control::attach(&mut world, c);
        assert_eq!(Step::Send("a").run(&mut world, c, control), None);
        let sender = world.sender(c, "a").unwrap();
        let refused = second.run(&mut world, c, control);
        assert!(refused.is_some_and(|text| text.contains(SPAN)), "{second:?}");
        let link = world.clients[c].engine.link(sender);
        assert!(link.is_none_or(|status| !status.attached), "a link of the session is over with it");
        let name = world.name(c);
        let attach = attach_of(&name, Role::Sender, "a", false, None, None);
        let client = &mut world.clients[c];
        assert!(client.engine.attach(client.session, &attach).is_err(), "{second:?}: the session is over");
        // Other sessions of the connection go on, and so do new ones.
        world.send_texts(c, beside, &["x"]);
        world.begin_session(c);
        assert_eq!(second.run(&mut world, c, control), None, "{second:?}");
    }
}

/// One operation in a transaction.
#[derive(Clone, Copy, Debug)]
enum Part {
    Send(&'static str),
    Schedule(&'static str),
    Complete(&'static str),
    DeadLetter(&'static str),
    /// By `update-disposition`.
    Update(&'static str),
}

/// A message for a minute from now.
fn later(world: &World) -> MessageRef<'static> {
    let at = world.clock.utc + servicebus_core::time::Duration::from_secs(60);
    MessageRef::new("later").with_scheduled_enqueue_time(at)
}

/// Runs parts in one transaction of a client whose links each have a session of their own (recording
/// `transaction-one-entity`), and commits it: why something was refused.
fn in_one_transaction(parts: &[Part]) -> Option<String> {
    let mut world = world();
    let c = world.connect();
    let mut held = Vec::new();
    for part in parts {
        if let Part::Complete(entity) | Part::DeadLetter(entity) | Part::Update(entity) = part {
            world.begin_session(c);
            let link = world.receiver(c, entity).unwrap();
            held.extend(world.receive_now(c, link, 1).pop());
        }
    }
    world.begin_session(c);
    let control = Control::attach(&mut world, c);
    let txn = control.declare(&mut world);
    let mut held = held.into_iter();
    let mut refused = None;
    for part in parts {
        let text = match *part {
            Part::Send(entity) => {
                world.begin_session(c);
                let link = world.sender(c, entity).unwrap();
                refusal(&world.send_in(c, link, &txn, &MessageRef::new("sent")))
            }
            Part::Complete(_) => refusal(&world.complete_in(c, &held.next().unwrap(), &txn)),
            Part::DeadLetter(_) => {
                let outcome = Outcome::Rejected(Rejected { error: None });
                refusal(&world.settle_in(c, &held.next().unwrap(), &txn, outcome))
                    .filter(|failure| !failure.text.starts_with("Rejected(None)"))
            }
            Part::Schedule(entity) => {
                let message = later(&world);
                let response = world.schedule_in(c, entity, &[message], Some(&txn));
                (response.status() >= 400).then(|| Failure { condition: String::new(), text: response.text().into() })
            }
            Part::Update(entity) => {
                let tokens = uuids(&[held.next().unwrap().token]);
                let entries = [
                    ("disposition-status", "completed".into()),
                    ("lock-tokens", servicebus_core::wire::Reader::new(&tokens).value().unwrap()),
                ];
                let response = world.manage_in(c, entity, "update-disposition", &entries, Some(&txn));
                (response.status() >= 400).then(|| Failure { condition: String::new(), text: response.text().into() })
            }
        };
        refused = refused.or(text);
    }
    let committed = control.commit(&mut world, &txn);
    refused.or(refusal(&committed)).map(|failure| failure.text)
}

#[test]
fn a_plain_connection_has_one_entity_in_a_transaction_f41() {
    use Part::{Complete, DeadLetter, Schedule, Send, Update};
    let mut judge = Judge::new();
    for parts in [
        [Send("a"), Send("b")],
        [Send("a"), Send("t")],
        [Send("t"), Send("u")],
        [Complete("a"), Send("b")],
        [Complete("t/Subscriptions/s"), Send("a")],
        [Complete("a"), Complete("b")],
        [DeadLetter("a"), Send("b")],
        [Update("a"), Send("t")],
        [Send("a"), Schedule("b")],
    ] {
        judge.case(format!("{parts:?}"), in_one_transaction(&parts), Option::is_some, Option::is_none);
    }
    for parts in [[Send("a"), Send("a")], [Complete("a"), Send("a")], [Send("a"), Schedule("a")]] {
        judge.control(format!("{parts:?}"), in_one_transaction(&parts), Option::is_none);
    }
    judge.finish();
}

#[test]
fn an_unknown_transaction_is_refused_in_the_services_words_f41() {
    const UNKNOWN: &str = "Transaction hasn't been declared yet, or has already been discharged";
    let mut world = world();
    let (c, other) = (world.connect(), world.connect());
    let (sender, receiver) = (world.sender(c, "a").unwrap(), world.receiver(c, "a").unwrap());
    for _ in 0..3 {
        world.send(c, sender, &MessageRef::new("more"));
    }
    let held = world.receive_now(c, receiver, 4);
    let (control, foreign) = (Control::attach(&mut world, c), Control::attach(&mut world, other));
    let foreign = foreign.declare(&mut world);
    let ended = control.declare(&mut world);
    control.commit(&mut world, &ended);
    let rolled_back = control.declare(&mut world);
    control.roll_back(&mut world, &rolled_back);
    let mut judge = Judge::new();
    let ids = [("foreign", foreign), ("ended", ended), ("rolled back", rolled_back), ("never", vec![7; 16])];
    for ((name, txn), message) in ids.iter().zip(&held) {
        for (verb, answer) in [
            ("send", world.send_in(c, sender, txn, &MessageRef::new("x"))),
            ("complete", world.complete_in(c, message, txn)),
            ("commit", control.commit(&mut world, txn)),
            ("roll back", control.roll_back(&mut world, txn)),
        ] {
            judge.case(
                format!("{verb}, {name}"),
                refusal(&answer).map(|failure| failure.text),
                |text| text.as_ref().is_some_and(|text| text.contains(UNKNOWN)),
                |text| text.as_ref().is_some_and(|text| text.starts_with("The transaction is not known")),
            );
        }
        let tokens = uuids(&[message.token]);
        let entries = [
            ("disposition-status", "completed".into()),
            ("lock-tokens", servicebus_core::wire::Reader::new(&tokens).value().unwrap()),
        ];
        for (verb, response) in [
            ("update", world.manage_in(c, "a", "update-disposition", &entries, Some(txn))),
            ("schedule", world.schedule_in(c, "a", &[later(&world)], Some(txn))),
        ] {
            judge.case(
                format!("{verb}, {name}"),
                (response.status(), response.text().to_owned()),
                |(status, text)| *status >= 400 && text.contains(UNKNOWN),
                |(status, text)| *status >= 400 && text.starts_with("The transaction is not known"),
            );
        }
    }
    judge.finish();
}

/// A partitioned queue or topic with two messages `1` and `2`: keys, or sessions.
fn partitioned_message<'a>(key: &'a str, by_session: bool) -> MessageRef<'a> {
    let message = MessageRef::new("x");
    if by_session { message.with_session_id(key) } else { message.with_partition_key(key) }
}

#[test]
fn a_transaction_stays_in_one_partition_f69() {
    let mut judge = Judge::new();
    for (keys, by_session) in [(["1", "2"], false), (["a", "b"], false), (["1", "2"], true), (["7", "7"], false)] {
        for verb in ["send", "complete", "complete, then send"] {
            let description = QueueDescription { enable_partitioning: true, ..QueueDescription::default() };
            let mut world = World::with_queue(description);
            let sender = world.sender(0, "queue").unwrap();
            let receiver = world.receiver(0, "queue").unwrap();
            for key in keys {
                world.send(0, sender, &partitioned_message(key, by_session));
            }
            let held = world.receive_now(0, receiver, 2);
            let control = Control::attach(&mut world, 0);
            let txn = control.declare(&mut world);
            let mut answers = Vec::new();
            for (at, key) in keys.into_iter().enumerate() {
                answers.push(if verb == "send" || at == 1 && verb == "complete, then send" {
                    world.send_in(0, sender, &txn, &partitioned_message(key, by_session))
                } else {
                    world.complete_in(0, &held[at], &txn)
                });
            }
            let same = keys[0] == keys[1];
            let refused: Vec<_> =
                answers.iter().map(|answer| refusal(answer).map(|failure| failure.condition)).collect();
            judge.case(
                format!("{verb}, {keys:?}, sessions: {by_session}"),
                refused,
                |refused| refused[0].is_none() && refused[1].as_deref() == (!same).then_some("amqp:not-allowed"),
                |refused| !same && *refused == [None, None],
            );
        }
    }
    judge.finish();
}
