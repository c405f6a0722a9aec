//! Messages set aside, and peek.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_core::wire::message::Body;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;

fn world() -> (World, LinkId, LinkId) {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    (world, sender, receiver)
}

/// Sends and defers a message; its number is 1.
fn deferred() -> (World, LinkId, LinkId) {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.defer(0, &message);
    (world, sender, receiver)
}

fn fetch(world: &mut World, number: i64) -> Received {
    world.receive_deferred(0, "queue", &[number], true).messages().remove(0)
}

#[test]
fn deferred_messages_come_in_the_order_asked_for_def1_def4() {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a", "b", "c"]);
    for message in world.receive(0, receiver, 3) {
        world.defer(0, &message);
    }
    assert!(world.receive_now(0, receiver, 5).is_empty());
    let got = world.receive_deferred(0, "queue", &[3, 1, 2], true).messages();
    assert_eq!(got.iter().map(Received::body).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert!(got.iter().all(|message| message.state() == 1));
}

#[test]
fn one_missing_number_fails_the_whole_request_def2_err11() {
    let (mut world, ..) = deferred();
    for numbers in [&[1, 45][..], &[1, 1]] {
        let response = world.receive_deferred(0, "queue", numbers, true);
        assert_eq!((response.status(), response.condition()), (404, Some("com.microsoft:message-not-found")));
        assert!(response.text().starts_with("Failed to lock one or more specified messages."));
    }
    assert_eq!(world.receive_deferred(0, "queue", &[1], true).status(), 200);
    // Locked: not to be had again.
    assert_eq!(world.receive_deferred(0, "queue", &[1], true).status(), 404);
}

#[test]
fn deferring_counts_every_time_set4_set5_set6_set9() {
    let (mut world, ..) = deferred();
    let message = fetch(&mut world, 1);
    assert_eq!(message.count(), 1);
    world.update(0, "queue", message.token, "defered");
    let message = fetch(&mut world, 1);
    assert_eq!(message.count(), 2);
    world.update(0, "queue", message.token, "abandoned");
    let message = fetch(&mut world, 1);
    assert_eq!((message.count(), message.number()), (3, 1));
    world.update(0, "queue", message.token, "suspended");
    assert_eq!(world.receive_deferred(0, "queue", &[1], true).status(), 404);
    let dead = world.receiver(0, "queue/$DeadLetterQueue").unwrap();
    assert_eq!(world.receive_now(0, dead, 1)[0].count(), 3);
}

#[test]
fn renewing_a_deferred_lock_does_not_count_set7_def12_lck11() {
    let (mut world, ..) = deferred();
    let message = fetch(&mut world, 1);
    world.advance(Duration::from_secs(50));
    assert_eq!(world.renew(0, "queue", &[message.token]).status(), 200);
    world.advance(Duration::from_secs(50));
    assert_eq!(world.update(0, "queue", message.token, "defered").status(), 200);
    assert_eq!(fetch(&mut world, 1).count(), 2);
}

#[test]
fn an_abandoned_or_lapsed_deferred_message_stays_deferred_def8() {
    let (mut world, _, receiver) = deferred();
    fetch(&mut world, 1);
    world.advance(Duration::from_secs(61));
    assert!(world.receive_now(0, receiver, 1).is_empty());
    let message = fetch(&mut world, 1);
    assert_eq!(message.count(), 2);
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 200);
    // Once more it is lost (DEF13, SET33), and gone (DEF6).
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 410);
    assert_eq!(world.receive_deferred(0, "queue", &[1], true).status(), 404);
}

#[test]
fn receive_and_delete_by_number_removes_rad5_def11() {
    let (mut world, ..) = deferred();
    let response = world.receive_deferred(0, "queue", &[1], false);
    let message = &response.messages()[0];
    assert_eq!(message.count(), 1);
    assert!(message.view().delivery_annotations().unwrap().is_empty());
    assert!(world.peek(0, "queue", 0, 1).is_empty());
    let many: Vec<i64> = (1..=251).collect();
    let response = world.receive_deferred(0, "queue", &many, false);
    assert!(response.text().starts_with("ReceiveAndDelete only can process 250 deferred messages"));
}

#[test]
fn deferring_works_inside_the_dead_letter_queue_set35_def17() {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive(0, receiver, 1).remove(0);
    world.dead_letter(0, &message, "r", "d");
    let dead = world.receiver(0, "queue/$DeadLetterQueue").unwrap();
    let message = world.receive_now(0, dead, 1).remove(0);
    world.defer(0, &message);
    let message = world.receive_deferred(0, "queue/$DeadLetterQueue", &[1], true).messages().remove(0);
    assert_eq!(message.count(), 0);
    assert_eq!(world.update(0, "queue/$DeadLetterQueue", message.token, "completed").status(), 200);
    assert!(world.peek(0, "queue/$DeadLetterQueue", 0, 1).is_empty());
}

#[test]
fn repeated_deferring_reaches_the_maximum() {
    let description = QueueDescription { max_delivery_count: 2, ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.defer(0, &message);
    let message = fetch(&mut world, 1);
    world.update(0, "queue", message.token, "defered");
    let dead = world.receiver(0, "queue/$DeadLetterQueue").unwrap();
    assert_eq!(world.receive_now(0, dead, 1)[0].reason(), Some("MaxDeliveryCountExceeded"));
}

#[test]
fn peek_shows_every_state_in_order_and_takes_no_lock_pek1_pek3_pek8_pek10_pek11() {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a", "b", "c"]);
    let messages = world.receive_now(0, receiver, 2);
    world.defer(0, &messages[1]);
    let later = world.clock.utc + Duration::from_secs(60);
    world.send(0, sender, &MessageRef::new("d").with_scheduled_enqueue_time(later));
    let seen = world.peek(0, "queue", 1, 10);
    assert_eq!(seen.iter().map(Received::body).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(seen.iter().map(Received::state).collect::<Vec<_>>(), [0, 1, 0, 2]);
    // A locked message looks like one that was never delivered (docs/evidence/service-evidence.md §9).
    assert_eq!(seen[0].count(), 0);
    assert!(seen.iter().all(|message| message.view().delivery_annotations().unwrap().is_empty()));
    assert_eq!(world.peek(0, "queue", 2, 1)[0].body(), "b");
    assert!(world.peek(0, "queue", 5, 1).is_empty());
    assert_eq!(world.receive_now(0, receiver, 5).len(), 1);
}

#[test]
fn peek_gives_nothing_of_an_empty_entity_and_at_most_250_pek5_pek6_pek21_pek22() {
    let (mut world, sender, _) = world();
    let entries = [("from-sequence-number", Value::Long(1)), ("message-count", Value::Int(5))];
    assert_eq!(world.manage(0, "queue", "peek-message", &entries).status(), 204);
    let messages = vec![MessageRef::new("x"); 300];
    world.send_batch(0, sender, &messages);
    assert_eq!(world.peek(0, "queue", 0, 300).len(), 250);
    assert_eq!(world.peek(0, "queue", 300, 5)[0].number(), 300);
}

#[test]
fn peek_can_leave_the_body_out_pek23_pek24() {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a"]);
    let entries = [
        ("from-sequence-number", Value::Long(1)),
        ("message-count", Value::Int(1)),
        ("omit-message-body", Value::Boolean(true)),
    ];
    let message = world.manage(0, "queue", "peek-message", &entries).messages().remove(0);
    assert_eq!(message.view().body(), Ok(Body::Empty));
    let size = message.view().delivery_annotations().unwrap().get("omitted-message-body-size");
    assert!(size.and_then(|size| size.as_i64()).is_some_and(|size| size > 0));
    assert_eq!(world.receive(0, receiver, 1)[0].body(), "a");
}

#[test]
fn peeking_a_deferred_message_shows_its_count_pek19() {
    let (mut world, ..) = deferred();
    let message = fetch(&mut world, 1);
    world.update(0, "queue", message.token, "abandoned");
    assert_eq!(world.peek(0, "queue", 1, 1)[0].count(), message.count() + 1);
}

#[test]
fn batch_delete_takes_what_is_old_and_free_del1_del2_del3_del4_del14() {
    let (mut world, sender, receiver) = world();
    let delete = |world: &mut World, entries: &[(&str, Value<'_>)]| {
        let response = world.manage(0, "queue", "batch-delete-messages", entries);
        (response.status(), response.body().get("message-count").and_then(|count| count.as_i64()))
    };
    let all = [("message-count", Value::Int(100))];
    assert_eq!(delete(&mut world, &all), (200, Some(0)));
    world.send_texts(0, sender, &["locked", "deferred", "free", "free too"]);
    let later = world.clock.utc + Duration::from_secs(60);
    world.send(0, sender, &MessageRef::new("scheduled").with_scheduled_enqueue_time(later));
    let messages = world.receive_now(0, receiver, 2);
    world.defer(0, &messages[1]);
    // The cutoff is exclusive.
    let cutoff = [("message-count", Value::Int(100)), ("enqueued-time-utc", Value::Timestamp(START))];
    assert_eq!(delete(&mut world, &cutoff), (200, Some(0)));
    assert_eq!(delete(&mut world, &[("message-count", Value::Int(1))]), (200, Some(1)));
    assert_eq!(delete(&mut world, &all), (200, Some(1)));
    let left: Vec<_> = world.peek(0, "queue", 0, 10).iter().map(Received::body).collect();
    assert_eq!(left, ["locked", "deferred", "scheduled"]);
    assert_eq!(delete(&mut world, &[("message-count", Value::Int(4_001))]).0, 400);
}

#[test]
fn unknown_operations_and_bad_requests_are_told() {
    let (mut world, ..) = world();
    let response = world.manage(0, "queue", "make-coffee", &[]);
    assert_eq!((response.status(), response.condition()), (501, Some("amqp:not-implemented")));
    for operation in ["receive-by-sequence-number", "update-disposition", "renew-lock", "schedule-message"] {
        let response = world.manage(0, "queue", operation, &[]);
        assert_eq!(
            (response.status(), response.condition()),
            (400, Some("com.microsoft:argument-error")),
            "{operation}"
        );
    }
}

#[test]
fn a_peek_shows_the_end_of_the_last_lock() {
    // docs/evidence/service-evidence.md §10: of a lock that is held, and of one that is over.
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a", "b"]);
    let until =
        |message: &Received| message.annotation("x-opt-locked-until").map(|value| value.as_timestamp().unwrap());
    let first = world.receive(0, receiver, 1).remove(0);
    let end = first.locked_until();
    let peeked = world.peek(0, "queue", 1, 2);
    assert_eq!(peeked.iter().map(until).collect::<Vec<_>>(), [Some(end), None]);
    world.defer(0, &first);
    world.advance(Duration::from_secs(300));
    assert_eq!(until(&world.peek(0, "queue", 1, 1)[0]), Some(end));
    let again = fetch(&mut world, 1);
    assert!(again.locked_until() > end);
    world.advance(Duration::from_secs(10));
    world.renew(0, "queue", &[again.token]);
    assert_eq!(until(&world.peek(0, "queue", 1, 1)[0]), Some(again.locked_until() + Duration::from_secs(10)));
}

#[test]
fn a_peek_in_the_dead_letter_queue_of_an_entity_with_sessions_shows_a_lock_without_end() {
    // docs/evidence/service-evidence.md §10: 10000-01-01.
    let mut world = World::new();
    world.queue("queue", QueueDescription { requires_session: true, ..QueueDescription::default() });
    let c = world.connect();
    let sender = world.sender(c, "queue").unwrap();
    world.send(c, sender, &MessageRef::new("a").with_session_id("s"));
    let receiver = world.session_receiver(c, "queue", Some("s"), None).unwrap();
    let message = world.receive(c, receiver, 1).remove(0);
    world.dead_letter(c, &message, "r", "d");
    let peeked = world.peek(c, "queue/$DeadLetterQueue", 1, 1).remove(0);
    assert_eq!(peeked.locked_until().as_millis(), 253_402_300_800_000);
}
