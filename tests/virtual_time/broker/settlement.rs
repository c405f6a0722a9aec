//! Peek-lock, receive-and-delete, and how deliveries end.

use servicebus_core::servicebus::{LockToken, MessageRef};
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::{Uuid, Value, encode_map};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;

const DEAD: &str = "queue/$DeadLetterQueue";

fn world(lock: u64) -> (World, usize, servicebus_core::engine::LinkId, servicebus_core::engine::LinkId) {
    let description = QueueDescription { lock_duration: Duration::from_secs(lock), ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    (world, 0, sender, receiver)
}

#[test]
fn the_service_echoes_the_outcome_of_every_kind_set14() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a", "b", "c", "d", "e"]);
    let messages = world.receive(c, receiver, 5);
    assert_eq!(messages.len(), 5);
    assert_eq!(world.complete(c, &messages[0]), Ended::Accepted);
    assert_eq!(world.abandon(c, &messages[1]), Ended::Modified { undeliverable_here: false });
    assert_eq!(world.defer(c, &messages[2]), Ended::Modified { undeliverable_here: true });
    // Rejected with a null error confirms; one with an error would refuse (docs/evidence/wire-protocol.md §0 fact 8).
    assert_eq!(world.dead_letter(c, &messages[3], "r", "d"), Ended::Rejected(None));
    assert_eq!(world.settle(c, &messages[4], &DeliveryState::RELEASED), Ended::Released);
}

#[test]
fn an_outcome_that_meets_the_detach_on_its_way_leaves_the_lock_for_management() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    let message = world.receive(c, receiver, 1).remove(0);
    world.broker.force_detach("queue", world.clock);
    assert_eq!(world.complete(c, &message), Ended::Nothing);
    assert_eq!(world.detached(c, receiver).unwrap().condition, "amqp:link:detach-forced");
    assert_eq!(world.update(c, "queue", message.token, "completed").status(), 200);
}

#[test]
fn a_first_delivery_has_count_zero_and_each_abandon_adds_one_set1_set2() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    for round in 0..9 {
        let message = world.receive(c, receiver, 1).remove(0);
        assert_eq!(message.count(), round);
        world.abandon(c, &message);
    }
}

#[test]
fn the_abandon_that_reaches_the_maximum_moves_the_message_set13_dlq9_dlq14() {
    let description = QueueDescription { max_delivery_count: 3, ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    world.send_texts(0, sender, &["a"]);
    for round in 0..3 {
        let message = world.receive_now(0, receiver, 1).remove(0);
        assert_eq!(message.count(), round);
        world.abandon(0, &message);
    }
    assert!(world.receive_now(0, receiver, 1).is_empty());
    assert!(world.peek(0, "queue", 0, 10).is_empty());
    let dead = world.receiver(0, DEAD).unwrap();
    let message = world.receive(0, dead, 1).remove(0);
    assert_eq!(message.count(), 3);
    assert_eq!(message.reason(), Some("MaxDeliveryCountExceeded"));
    assert_eq!(
        message.property("DeadLetterErrorDescription"),
        Some("Message could not be consumed after 3 delivery attempts.".into())
    );
}

#[test]
fn a_lock_that_runs_out_counts_and_settling_is_refused_then_set3_set31_lck9_lck12() {
    let (mut world, c, sender, receiver) = world(30);
    world.send_texts(c, sender, &["a"]);
    let message = world.receive_now(c, receiver, 1).remove(0);
    assert_eq!(message.locked_until(), world.clock.utc + Duration::from_secs(30));
    world.advance(Duration::from_secs(31));
    let Ended::Rejected(Some(failure)) = world.complete(c, &message) else { panic!("not refused") };
    assert_eq!(failure.condition, "com.microsoft:message-lock-lost");
    assert!(failure.text.starts_with("The lock supplied is invalid. Either the lock expired"), "{}", failure.text);
    assert!(failure.text.contains("SystemTracker:sbemulatorns:Queue:queue, Timestamp:2026-"), "{}", failure.text);
    let again = world.receive_now(c, receiver, 1).remove(0);
    assert_eq!((again.count(), again.enqueued()), (1, message.enqueued()));
    assert_eq!(world.complete(c, &again), Ended::Accepted);
}

#[test]
fn an_abandoned_message_comes_again_at_once_in_its_place_set15() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a", "b"]);
    let first = world.receive_now(c, receiver, 1).remove(0);
    world.abandon(c, &first);
    let bodies: Vec<_> = world.receive(c, receiver, 2).iter().map(Received::body).collect();
    assert_eq!(bodies, ["a", "b"]);
}

#[test]
fn dead_lettering_keeps_count_number_body_and_order_set8_set16_set20_dlq3() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a", "b", "c"]);
    let messages = world.receive(c, receiver, 3);
    world.dead_letter(c, &messages[2], "why", "because");
    world.dead_letter(c, &messages[0], "why", "because");
    let dead = world.receiver(c, DEAD).unwrap();
    let buried = world.receive(c, dead, 2);
    // In the order in which they were dead-lettered, under the numbers they had (docs/evidence/service-evidence.md §8).
    assert_eq!(buried.iter().map(Received::body).collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(buried.iter().map(Received::number).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(buried[0].count(), 0);
    assert_eq!(buried[0].reason(), Some("why"));
    assert_eq!(buried[0].property("DeadLetterErrorDescription"), Some("because".into()));
}

#[test]
fn abandoning_in_the_dead_letter_queue_does_not_count_set10_dlq6() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    let message = world.receive(c, receiver, 1).remove(0);
    world.dead_letter(c, &message, "r", "d");
    let dead = world.receiver(c, DEAD).unwrap();
    for _ in 0..20 {
        let buried = world.receive(c, dead, 1).remove(0);
        assert_eq!(buried.count(), 0);
        world.abandon(c, &buried);
    }
}

#[test]
fn a_dead_message_cannot_be_dead_lettered_again_set34_dlq7() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    let message = world.receive(c, receiver, 1).remove(0);
    world.dead_letter(c, &message, "r", "d");
    let dead = world.receiver(c, DEAD).unwrap();
    let buried = world.receive_now(c, dead, 1).remove(0);
    let Ended::Rejected(Some(failure)) = world.dead_letter(c, &buried, "r", "d") else { panic!("not refused") };
    assert_eq!(failure.condition, "amqp:not-allowed");
    world.advance(Duration::from_secs(61));
    assert_eq!(world.consume(c, dead).unwrap().count(), 0);
}

#[test]
fn properties_to_modify_are_set_and_overwrite_set21_set22_set23_set24() {
    let (mut world, c, sender, receiver) = world(60);
    let sent = [("kept", Value::from(1i32)), ("mine", "old".into())];
    let message = MessageRef::new("a").with_properties(&sent);
    assert_eq!(world.send(c, sender, &message), Ended::Accepted);
    let mut buffer = [0; 128];
    let changes = encode_map(&[("mine".into(), "new".into()), ("more".into(), true.into())], &mut buffer).unwrap();
    let first = world.receive(c, receiver, 1).remove(0);
    world.settle(c, &first, &modified(false, Some(changes)));
    let second = world.receive(c, receiver, 1).remove(0);
    assert_eq!(second.property("kept"), Some(1i32.into()));
    assert_eq!(second.property("mine"), Some("new".into()));
    assert_eq!(second.property("more"), Some(true.into()));
    let changes = encode_map(&[("mine".into(), "newest".into())], &mut buffer).unwrap();
    world.settle(c, &second, &modified(true, Some(changes)));
    let deferred = world.receive_deferred(c, "queue", &[1], true).messages().remove(0);
    assert_eq!(deferred.property("mine"), Some("newest".into()));
    assert_eq!(deferred.body(), "a");
}

#[test]
fn a_token_settles_from_another_connection_while_the_lock_lives_set26_set39() {
    let (mut world, c, sender, receiver) = world(60);
    let other = world.connect();
    world.send_texts(c, sender, &["a"]);
    let message = world.receive(c, receiver, 1).remove(0);
    assert_eq!(world.update(other, "queue", message.token, "completed").status(), 200);
    assert!(world.peek(c, "queue", 0, 10).is_empty());
    // A second time the lock is lost (SET32).
    let again = world.update(other, "queue", message.token, "completed");
    assert_eq!((again.status(), again.condition()), (410, Some("com.microsoft:message-lock-lost")));
}

#[test]
fn closing_the_link_keeps_the_lock_set27_set40() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a", "b", "c", "d"]);
    let messages = world.receive(c, receiver, 4);
    world.detach(c, receiver);
    let second = world.receiver(c, "queue").unwrap();
    assert!(world.receive_now(c, second, 1).is_empty());
    assert_eq!(world.renew(c, "queue", &[messages[0].token]).status(), 200);
    assert_eq!(world.update(c, "queue", messages[0].token, "completed").status(), 200);
    assert_eq!(world.update(c, "queue", messages[1].token, "abandoned").status(), 200);
    assert_eq!(world.update(c, "queue", messages[2].token, "defered").status(), 200);
    assert_eq!(world.update(c, "queue", messages[3].token, "suspended").status(), 200);
    let again = world.receive_now(c, second, 1).remove(0);
    assert_eq!((again.body().as_str(), again.count()), ("b", 1));
    assert_eq!(world.receive_deferred(c, "queue", &[3], true).status(), 200);
    let dead = world.receiver(c, DEAD).unwrap();
    assert_eq!(world.receive_now(c, dead, 1)[0].body(), "d");
}

#[test]
fn a_dead_message_is_settled_through_the_entity_set29() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    let message = world.receive(c, receiver, 1).remove(0);
    world.dead_letter(c, &message, "r", "d");
    let dead = world.receiver(c, DEAD).unwrap();
    let buried = world.receive(c, dead, 1).remove(0);
    assert_eq!(world.update(c, "queue", buried.token, "completed").status(), 200);
    assert!(world.peek(c, DEAD, 0, 1).is_empty());
}

#[test]
fn renewing_moves_the_end_of_the_lock_lck1_lck2_lck3_lck7() {
    let (mut world, c, sender, receiver) = world(30);
    world.send_texts(c, sender, &["a", "b"]);
    let messages = world.receive_now(c, receiver, 2);
    world.advance(Duration::from_secs(20));
    let response = world.renew(c, "queue", &[messages[0].token, messages[1].token]);
    let Some(Value::Array(ends)) = response.body().get("expirations") else { panic!("no array") };
    let ends: Vec<_> = ends.iter().map(|end| end.unwrap().as_timestamp().unwrap()).collect();
    assert_eq!(ends, vec![world.clock.utc + Duration::from_secs(30); 2]);
    world.advance(Duration::from_secs(25));
    assert_eq!(world.complete(c, &messages[0]), Ended::Accepted);
    world.advance(Duration::from_secs(6));
    assert!(matches!(world.complete(c, &messages[1]), Ended::Rejected(Some(_))));
}

#[test]
fn an_unknown_token_cannot_be_renewed_lck4_err9() {
    let (mut world, c, ..) = world(30);
    let response = world.renew(c, "queue", &[LockToken::from_uuid(Uuid::default())]);
    assert_eq!((response.status(), response.condition()), (410, Some("com.microsoft:message-lock-lost")));
    assert!(response.text().starts_with("The lock supplied is invalid. Either the lock expired, or the message has"));
}

#[test]
fn receive_and_delete_removes_at_once_and_has_no_lock_rad1_rad2_rad3() {
    let (mut world, c, sender, _) = world(30);
    world.send_texts(c, sender, &["a", "b"]);
    let receiver = world.deleting_receiver(c, "queue").unwrap();
    let message = world.receive(c, receiver, 1).remove(0);
    assert!(message.settled);
    assert_eq!((message.body().as_str(), message.count()), ("a", 0));
    assert!(message.annotation("x-opt-locked-until").is_none());
    assert!(message.view().delivery_annotations().unwrap().is_empty());
    assert_eq!(world.peek(c, "queue", 0, 10).len(), 1);
}

#[test]
fn unused_credit_takes_nothing_and_nothing_is_lost_with_the_link_rad11() {
    let (mut world, c, sender, _) = world(30);
    let texts: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    let messages: Vec<MessageRef<'_>> = texts.iter().map(|text| MessageRef::new(text.as_str())).collect();
    assert_eq!(world.send_batch(c, sender, &messages), Ended::Accepted);
    let receiver = world.deleting_receiver(c, "queue").unwrap();
    let got = world.receive(c, receiver, 100).len();
    world.detach(c, receiver);
    assert_eq!(got, 100);
    let mut left = 0;
    loop {
        let peeked = world.peek(c, "queue", 101 + left, 250);
        if peeked.is_empty() {
            break;
        }
        left += peeked.len() as i64;
    }
    assert_eq!(left, 200);
}

#[test]
fn messages_that_were_not_sent_come_back_when_the_connection_drops_rad11() {
    let (mut world, c, sender, _) = world(30);
    world.send_texts(c, sender, &["a", "b", "c"]);
    // A second client whose socket takes nothing: everything handed to it stays in the broker.
    let other = world.connect();
    let receiver = world.deleting_receiver(other, "queue").unwrap();
    let found = &mut world.clients[other];
    found.engine.grant(receiver, 10).unwrap();
    let mut tx = servicebus_emulator::broker::Broker::tx();
    found.engine.poll_transmit(world.clock.now, &mut tx);
    let mut rx = servicebus_emulator::broker::Broker::rx();
    use servicebus_core::storage::Buffer as _;
    let count = tx.filled().len();
    rx.spare()[..count].copy_from_slice(tx.filled());
    rx.commit(count);
    let id = found.id;
    world.broker.handle_input(id, world.clock, &mut rx).unwrap();
    world.broker.disconnect(id, world.clock);
    world.clients.remove(other);
    let bodies: Vec<_> = world.peek(c, "queue", 0, 10).iter().map(Received::body).collect();
    assert_eq!(bodies, ["a", "b", "c"]);
}

#[test]
fn released_messages_come_again_uncounted_set41_crd7() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    for _ in 0..20 {
        let message = world.receive(c, receiver, 1).remove(0);
        assert_eq!(message.count(), 0);
        assert_eq!(world.settle(c, &message, &DeliveryState::RELEASED), Ended::Released);
    }
}

#[test]
fn a_drain_gives_credit_back_and_later_messages_stay_crd1_crd2() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a"]);
    assert_eq!(world.receive_now(c, receiver, 5).len(), 1);
    world.send_texts(c, sender, &["b"]);
    assert!(world.taken(c, receiver).is_empty());
    assert_eq!(world.receive(c, receiver, 1)[0].body(), "b");
}

#[test]
fn a_message_that_arrives_while_a_receiver_waits_is_delivered_at_once_crd5() {
    let (mut world, c, sender, receiver) = world(60);
    assert!(world.receive(c, receiver, 1).is_empty());
    world.send_texts(c, sender, &["a"]);
    assert_eq!(world.taken(c, receiver)[0].body(), "a");
}

#[test]
fn receivers_on_several_connections_are_served_in_turn() {
    let (mut world, c, sender, receiver) = world(60);
    let other = world.connect();
    let second = world.receiver(other, "queue").unwrap();
    assert!(world.receive(c, receiver, 10).is_empty());
    assert!(world.receive(other, second, 10).is_empty());
    world.send_texts(c, sender, &["a", "b", "c", "d"]);
    assert_eq!((world.taken(c, receiver).len(), world.taken(other, second).len()), (2, 2));
}

#[test]
fn thousands_of_deliveries_may_be_unsettled_on_a_link_set38_crd12() {
    let (mut world, c, sender, receiver) = world(60);
    let messages = vec![MessageRef::new("x"); 1_000];
    for _ in 0..6 {
        assert_eq!(world.send_batch(c, sender, &messages), Ended::Accepted);
    }
    let got = world.receive(c, receiver, 6_000);
    assert_eq!(got.len(), 6_000);
    for message in &got {
        world.clients[c].engine.settle(message.delivery.unwrap(), &DeliveryState::ACCEPTED, false).unwrap();
    }
    world.settle_down();
    assert!(world.peek(c, "queue", 0, 1).is_empty());
}

#[test]
fn settlements_are_counted_by_their_way() {
    let (mut world, c, sender, receiver) = world(60);
    world.send_texts(c, sender, &["a", "b"]);
    let messages = world.receive(c, receiver, 2);
    world.complete(c, &messages[0]);
    world.update(c, "queue", messages[1].token, "completed");
    let statistics = world.broker.statistics();
    assert_eq!((statistics.settled_on_links, statistics.settled_by_management), (1, 1));
    assert_eq!((statistics.connections_accepted, statistics.connections_open), (1, 1));
    assert_eq!((statistics.messages_sent, statistics.messages_delivered), (2, 2));
    let operation = Value::from("com.servicebus-emulator:statistics");
    let response = world.ask(c, "$management", &[("operation", operation)], |sink| sink.put_byte(0x40), None);
    assert_eq!(response.body().get("settled-by-management"), Some(Value::Long(1)));
}

/// A lock of a message that never left the broker guards nothing.
#[test]
fn a_message_that_was_not_sent_yet_is_free_at_once_when_its_receiver_goes() {
    for requires_session in [false, true] {
        let mut world = World::with_queue(QueueDescription {
            requires_session,
            max_delivery_count: 1,
            ..QueueDescription::default()
        });
        let client = world.connect();
        let link = if requires_session {
            world.session_receiver(client, "queue", Some("s"), None).unwrap()
        } else {
            world.receiver(client, "queue").unwrap()
        };
        assert!(world.receive(client, link, 10).is_empty());
        let (id, clock) = (world.clients[client].id, world.clock);
        let bytes = encoded(&MessageRef::new("x").with_session_id("s"));
        world.broker.with_namespace(clock, |namespace| {
            for _ in 0..3 {
                let message = servicebus_emulator::broker::entities::Message::accept(bytes.clone()).unwrap();
                namespace.send("queue", message, clock.utc).unwrap();
            }
        });
        let locks = |world: &World| {
            let namespace = world.broker.namespace();
            namespace.store(namespace.queue("queue").unwrap().stores.main).unwrap().lock_count()
        };
        assert_eq!(locks(&world), 3, "they wait to be written");
        world.broker.disconnect(id, clock);
        assert_eq!(locks(&world), 0);
        let link = if requires_session {
            world.session_receiver(0, "queue", Some("s"), None).unwrap()
        } else {
            world.receiver(0, "queue").unwrap()
        };
        let messages = world.receive_now(0, link, 3);
        assert_eq!(messages.iter().map(Received::count).collect::<Vec<_>>(), [0, 0, 0]);
    }
}

/// A link without traffic is detached after ten minutes; a settlement is traffic.
#[test]
fn a_settlement_keeps_its_link_from_being_idle() {
    let minute = Duration::from_secs(60);
    let (mut world, c, sender, receiver) = world(300);
    world.send_texts(c, sender, &["x"]);
    let message = world.receive_now(c, receiver, 1).remove(0);
    world.advance(4 * minute);
    assert_eq!(world.complete(c, &message), Ended::Accepted);
    world.advance(9 * minute);
    assert!(world.detached(c, receiver).is_none());
    world.advance(2 * minute);
    assert_eq!(world.detached(c, receiver).unwrap().condition, "amqp:link:detach-forced");
}
