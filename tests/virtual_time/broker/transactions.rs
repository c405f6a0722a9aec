//! All or nothing.

use bytes::BytesMut;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Source, put_section};
use servicebus_core::wire::performative::{Attach, Role, SenderSettleMode, TargetArchetype};
use servicebus_core::wire::transaction::{Coordinator, Declare, Discharge, TransactionalState};
use servicebus_core::wire::{Encode, Reader, Sink, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, NamespaceConfig};
use servicebus_tests::broker::*;

fn control(world: &mut World, c: usize) -> LinkId {
    let attach = Attach {
        snd_settle_mode: SenderSettleMode::Unsettled,
        source: Some(Source::new(Some("control"))),
        target: Some(TargetArchetype::Coordinator(Coordinator { capabilities: None })),
        ..Attach::new("control", Role::Sender)
    };
    let found = &mut world.clients[c];
    let link = found.engine.attach(found.session, &attach).unwrap();
    world.settle_down();
    world.attached(c, link).unwrap()
}

fn request(world: &mut World, c: usize, link: LinkId, body: &impl Encode) -> Ended {
    let mut out = BytesMut::new();
    put_section(&mut Sink::from(&mut out), section::AMQP_VALUE);
    body.encode(&mut Sink::from(&mut out));
    world.send_bytes(c, link, out.freeze(), 0, None)
}

fn begin(world: &mut World, c: usize, link: LinkId) -> Vec<u8> {
    match request(world, c, link, &Declare { global_id: None }) {
        Ended::Declared(txn) => txn,
        other => panic!("{other:?}"),
    }
}

fn end(world: &mut World, c: usize, link: LinkId, txn: &[u8], fail: bool) -> Ended {
    request(world, c, link, &Discharge { txn_id: txn, fail: Some(fail) })
}

fn send_in(world: &mut World, c: usize, link: LinkId, txn: &[u8], body: &str) -> Ended {
    world.send_bytes(c, link, encoded(&MessageRef::new(body)), 0, Some(txn))
}

fn complete_in(world: &mut World, c: usize, message: &Received, txn: &[u8]) -> Ended {
    let state = DeliveryState::Transactional(TransactionalState { txn_id: txn, outcome: Some(Outcome::Accepted) });
    world.settle(c, message, &state)
}

fn world() -> (World, LinkId, LinkId, LinkId) {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("other", QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    let control = control(&mut world, 0);
    (world, sender, receiver, control)
}

#[test]
fn a_send_arrives_with_the_commit_txn1() {
    let (mut world, sender, receiver, control) = world();
    let txn = begin(&mut world, 0, control);
    let answer = send_in(&mut world, 0, sender, &txn, "a");
    assert_eq!(answer, Ended::Transactional(Box::new(Ended::Accepted)));
    assert!(world.receive(0, receiver, 1).is_empty());
    assert_eq!(end(&mut world, 0, control, &txn, false), Ended::Accepted);
    assert_eq!(world.taken(0, receiver)[0].body(), "a");
}

#[test]
fn a_send_that_is_rolled_back_never_arrives_txn2() {
    let (mut world, sender, _, control) = world();
    let txn = begin(&mut world, 0, control);
    send_in(&mut world, 0, sender, &txn, "a");
    assert_eq!(end(&mut world, 0, control, &txn, true), Ended::Accepted);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
    assert_eq!(world.broker.open_transactions(), 0);
}

#[test]
fn scheduling_answers_numbers_before_the_commit_txn4() {
    let (mut world, _, receiver, control) = world();
    let txn = begin(&mut world, 0, control);
    let at = world.clock.utc + Duration::from_secs(10);
    let messages = [MessageRef::new("a").with_scheduled_enqueue_time(at)];
    let numbers = world.schedule_in(0, "queue", &messages, Some(&txn)).numbers();
    assert_eq!(numbers, [1]);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
    end(&mut world, 0, control, &txn, false);
    assert_eq!(world.peek(0, "queue", 0, 1)[0].number(), 1);
    world.advance(Duration::from_secs(10));
    assert_eq!(world.receive_now(0, receiver, 1).len(), 1);
}

#[test]
fn a_cancel_that_is_rolled_back_leaves_the_message_txn5() {
    let (mut world, _, _, control) = world();
    let at = world.clock.utc + Duration::from_secs(60);
    world.schedule(0, "queue", &[MessageRef::new("a").with_scheduled_enqueue_time(at)]);
    let numbers = longs(&[1]);
    let entries = [("sequence-numbers", Reader::new(&numbers).value().unwrap())];
    let txn = begin(&mut world, 0, control);
    assert_eq!(world.manage_in(0, "queue", "cancel-scheduled-message", &entries, Some(&txn)).status(), 200);
    end(&mut world, 0, control, &txn, true);
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 1);
    let txn = begin(&mut world, 0, control);
    world.manage_in(0, "queue", "cancel-scheduled-message", &entries, Some(&txn));
    end(&mut world, 0, control, &txn, false);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
}

#[test]
fn a_complete_takes_effect_with_the_commit_txn6_txn12_txn17() {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("other", QueueDescription::default());
    // A session that begins with a coordinator is for transactions across entities (docs/evidence/field-reports.md F40).
    world.begin_session(0);
    let control = control(&mut world, 0);
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let other = world.sender(0, "other").unwrap();
    let txn = begin(&mut world, 0, control);
    let answer = complete_in(&mut world, 0, &message, &txn);
    assert_eq!(answer, Ended::Transactional(Box::new(Ended::Accepted)));
    send_in(&mut world, 0, other, &txn, "b");
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 1);
    end(&mut world, 0, control, &txn, false);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
    // Such a session receives from one entity only.
    let c = world.connect();
    assert_eq!(world.peek(c, "other", 0, 1)[0].body(), "b");
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 410);
}

#[test]
fn a_complete_that_is_rolled_back_leaves_the_lock_valid_txn7_txn8_txn18() {
    let (mut world, sender, receiver, control) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let txn = begin(&mut world, 0, control);
    complete_in(&mut world, 0, &message, &txn);
    send_in(&mut world, 0, sender, &txn, "b");
    end(&mut world, 0, control, &txn, true);
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 200);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
}

#[test]
fn a_lock_ends_once_in_a_transaction_set33() {
    let (mut world, sender, receiver, control) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let tokens = uuids(&[message.token]);
    let entries =
        [("disposition-status", Value::from("completed")), ("lock-tokens", Reader::new(&tokens).value().unwrap())];
    let txn = begin(&mut world, 0, control);
    assert_eq!(world.manage_in(0, "queue", "update-disposition", &entries, Some(&txn)).status(), 200);
    assert_eq!(world.manage_in(0, "queue", "update-disposition", &entries, Some(&txn)).status(), 410);
    end(&mut world, 0, control, &txn, true);
    assert_eq!(world.manage_in(0, "queue", "update-disposition", &entries, None).status(), 200);
}

#[test]
fn a_lock_that_ran_out_rolls_the_whole_transaction_back() {
    let (mut world, sender, receiver, control) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let txn = begin(&mut world, 0, control);
    complete_in(&mut world, 0, &message, &txn);
    send_in(&mut world, 0, sender, &txn, "b");
    world.advance(Duration::from_secs(61));
    let Ended::Rejected(Some(failure)) = end(&mut world, 0, control, &txn, false) else { panic!("committed") };
    assert_eq!(failure.condition, "amqp:transaction:rollback");
    let left: Vec<_> = world.peek(0, "queue", 0, 10).iter().map(Received::body).collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn transactions_of_one_connection_are_independent_txn10() {
    let (mut world, sender, _, control) = world();
    let (one, other) = (begin(&mut world, 0, control), begin(&mut world, 0, control));
    send_in(&mut world, 0, sender, &one, "one");
    send_in(&mut world, 0, sender, &other, "other");
    end(&mut world, 0, control, &one, true);
    end(&mut world, 0, control, &other, false);
    assert_eq!(world.peek(0, "queue", 0, 10)[0].body(), "other");
}

#[test]
fn another_connection_cannot_take_part_txn13_txn22() {
    let (mut world, _, _, control) = world();
    let txn = begin(&mut world, 0, control);
    let c = world.connect();
    let sender = world.sender(c, "queue").unwrap();
    let Ended::Rejected(Some(failure)) = send_in(&mut world, c, sender, &txn, "a") else { panic!("taken") };
    assert_eq!(failure.condition, "amqp:transaction:unknown-id");
}

#[test]
fn a_transaction_can_be_committed_for_two_minutes() {
    const TWO_MINUTES: Duration = Duration::from_secs(120);
    for (after, committed) in [(TWO_MINUTES - Duration::from_millis(1), true), (TWO_MINUTES, false)] {
        let (mut world, sender, receiver, control) = world();
        let txn = begin(&mut world, 0, control);
        send_in(&mut world, 0, sender, &txn, "a");
        world.advance(after);
        let ended = end(&mut world, 0, control, &txn, false);
        if committed {
            assert_eq!(ended, Ended::Accepted);
        } else {
            let Ended::Rejected(Some(failure)) = ended else { panic!("{ended:?}") };
            assert_eq!(failure.condition, "amqp:transaction:timeout");
        }
        assert_eq!(world.receive_now(0, receiver, 1).len(), usize::from(committed), "after {after:?}");
        assert_eq!(world.broker.open_transactions(), 0);
    }
}

#[test]
fn a_control_link_that_ends_rolls_back() {
    let (mut world, sender, _, control) = world();
    let txn = begin(&mut world, 0, control);
    send_in(&mut world, 0, sender, &txn, "a");
    world.detach(0, control);
    assert_eq!(world.broker.open_transactions(), 0);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
}

#[test]
fn nonsense_on_the_control_link_is_refused() {
    let (mut world, _, _, control) = world();
    assert!(matches!(request(&mut world, 0, control, &Value::from("declare")), Ended::Rejected(Some(_))));
    assert!(matches!(end(&mut world, 0, control, b"unknown", false), Ended::Rejected(Some(_))));
}

/// The switch lifts what the service refuses (docs/evidence/field-reports.md F40 and F41).
#[test]
fn transactions_span_entities_where_that_is_switched_on() {
    for allowed in [true, false] {
        let config = BrokerConfig {
            namespace: NamespaceConfig { cross_entity_transactions: allowed, ..Default::default() },
            ..BrokerConfig::default()
        };
        let mut world = World { broker: Broker::new(config, 7), ..World::new() };
        for name in ["queue", "other"] {
            world.queue(name, QueueDescription::default());
        }
        let c = world.connect();
        let (sender, receiver) = (world.sender(c, "queue").unwrap(), world.receiver(c, "queue").unwrap());
        world.send_texts(c, sender, &["a"]);
        let message = world.receive_now(c, receiver, 1).remove(0);
        let (other, control) = (world.sender(c, "other").unwrap(), control(&mut world, c));
        let txn = begin(&mut world, c, control);
        complete_in(&mut world, c, &message, &txn);
        let spans = matches!(send_in(&mut world, c, other, &txn, "b"), Ended::Transactional(_));
        assert_eq!(spans, allowed);
        assert_eq!(end(&mut world, c, control, &txn, false), Ended::Accepted);
        assert_eq!(world.peek(c, "other", 0, 1).len(), usize::from(allowed));
        // A session that begins with a coordinator is not bound to one entity either.
        world.begin_session(c);
        super::transactions::control(&mut world, c);
        world.receiver(c, "queue").unwrap();
        assert_eq!(world.receiver(c, "other").is_ok(), allowed);
    }
}

#[test]
fn a_session_state_that_a_transaction_sets_again_reserves_its_size_once() {
    let max_size_in_megabytes = 1;
    let queue = QueueDescription { requires_session: true, max_size_in_megabytes, ..QueueDescription::default() };
    let mut world = World::with_queue(queue);
    let sender = world.sender(0, "queue").unwrap();
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let control = control(&mut world, 0);
    let body = "x".repeat(160_000);
    let message = encoded(&MessageRef::new(&body).with_session_id("other"));
    let set = |world: &mut World, size: usize, txn: &[u8]| {
        let state = vec![7; size];
        let entries = [("session-id", Value::from("s")), ("session-state", Value::Binary(&state))];
        assert_eq!(world.manage_in(0, "queue", "set-session-state", &entries, Some(txn)).status(), 200);
    };
    for commits in [false, true] {
        let txn = begin(&mut world, 0, control);
        for size in [100_000, 200_000, 0, 200_000, 200_000, 150_000, 200_000] {
            set(&mut world, size, &txn);
        }
        // Five messages fit beside the state, one of them in the transaction, and no sixth does.
        let taken = world.send_bytes(0, sender, message.clone(), 0, Some(&txn));
        assert_eq!(taken, Ended::Transactional(Box::new(Ended::Accepted)));
        for _ in 0..4 {
            assert_eq!(world.send_bytes(0, sender, message.clone(), 0, None), Ended::Accepted);
        }
        let full = world.send_bytes(0, sender, message.clone(), 0, None);
        assert!(matches!(full, Ended::Rejected(Some(_))), "{full:?}");
        assert_eq!(end(&mut world, 0, control, &txn, !commits), Ended::Accepted);
        let namespace = world.broker.namespace();
        let stores = namespace.queue("queue").unwrap().stores;
        let size = namespace.counts(&stores).size_in_bytes;
        assert!(if commits { size > 1_000_000 } else { (640_000..650_000).contains(&size) }, "{size}");
        let clock = world.clock;
        world.broker.with_namespace(clock, servicebus_emulator::broker::entities::Namespace::purge);
    }
}
