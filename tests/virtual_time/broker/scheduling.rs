//! Messages for later.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> (World, LinkId, LinkId) {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    (world, sender, receiver)
}

#[test]
fn scheduling_answers_numbers_under_which_the_messages_wait_sch1_sch2_sch3_sch4() {
    let (mut world, ..) = world();
    let at = world.clock.utc + 600 * MINUTE;
    let messages =
        [MessageRef::new("a").with_scheduled_enqueue_time(at), MessageRef::new("b").with_scheduled_enqueue_time(at)];
    let numbers = world.schedule(0, "queue", &messages).numbers();
    assert_eq!(numbers, [1, 2]);
    let seen = world.peek(0, "queue", numbers[1], 1).remove(0);
    assert_eq!((seen.body().as_str(), seen.number(), seen.state()), ("b", 2, 2));
    assert_eq!(seen.annotation("x-opt-scheduled-enqueue-time"), Some(at.into()));
    // Until then its enqueued time is that of sending (docs/evidence/service-evidence.md §8).
    assert_eq!(seen.enqueued(), START);
}

#[test]
fn a_scheduled_message_arrives_in_time_under_a_new_number_sch11_sch12() {
    let (mut world, sender, receiver) = world();
    let at = world.clock.utc + Duration::from_secs(5);
    world.schedule(0, "queue", &[MessageRef::new("later").with_scheduled_enqueue_time(at)]);
    world.send_texts(0, sender, &["now"]);
    assert_eq!(world.receive_now(0, receiver, 5).len(), 1);
    assert!(world.receive(0, receiver, 1).is_empty());
    world.advance(Duration::from_secs(4));
    assert!(world.taken(0, receiver).is_empty());
    world.advance(Duration::from_secs(1));
    let message = world.taken(0, receiver).remove(0);
    assert_eq!((message.body().as_str(), message.number(), message.enqueued()), ("later", 3, at));
    assert_eq!(message.annotation("x-opt-scheduled-enqueue-time"), Some(at.into()));
    // Its receivers learn that it has waited (docs/evidence/field-reports.md F18).
    assert_eq!(message.state(), 2);
}

#[test]
fn a_time_that_is_not_ahead_means_now_sch19_sch20() {
    let (mut world, _, receiver) = world();
    let past = [MessageRef::new("a").with_scheduled_enqueue_time(START - 5 * MINUTE)];
    assert_eq!(world.schedule(0, "queue", &past).numbers(), [1]);
    let message = world.receive(0, receiver, 1).remove(0);
    assert_eq!((message.number(), message.enqueued()), (1, START));
}

#[test]
fn a_cancelled_message_never_comes_sch5_sch6_sch7() {
    let (mut world, _, receiver) = world();
    let at = world.clock.utc + Duration::from_secs(20);
    let messages =
        [MessageRef::new("a").with_scheduled_enqueue_time(at), MessageRef::new("b").with_scheduled_enqueue_time(at)];
    let numbers = world.schedule(0, "queue", &messages).numbers();
    assert_eq!(world.cancel(0, "queue", &numbers[..1]).status(), 200);
    assert_eq!(world.peek(0, "queue", 0, 10).len(), 1);
    world.advance(MINUTE);
    let got: Vec<_> = world.receive_now(0, receiver, 10).iter().map(Received::body).collect();
    assert_eq!(got, ["b"]);
}

#[test]
fn cancelling_an_unknown_number_is_told_and_cancels_nothing_sch9() {
    let (mut world, ..) = world();
    let at = world.clock.utc + MINUTE;
    world.schedule(0, "queue", &[MessageRef::new("a").with_scheduled_enqueue_time(at)]);
    let response = world.cancel(0, "queue", &[1, 1_000]);
    assert_eq!((response.status(), response.condition()), (404, Some("com.microsoft:message-not-found")));
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 1);
}

#[test]
fn a_topic_keeps_a_scheduled_message_until_its_time_sch16() {
    let mut world = World::new();
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    let c = world.connect();
    let receiver = world.receiver(c, "topic/Subscriptions/sub").unwrap();
    let at = world.clock.utc + MINUTE;
    world.schedule(c, "topic", &[MessageRef::new("a").with_scheduled_enqueue_time(at)]);
    assert!(world.peek(c, "topic/Subscriptions/sub", 0, 1).is_empty());
    assert_eq!(world.peek(c, "topic", 0, 1).len(), 1);
    let topic = world.broker.namespace().topic("topic").unwrap();
    assert_eq!(world.broker.namespace().topic_counts(topic).scheduled, 1);
    world.advance(MINUTE);
    assert_eq!(world.receive_now(c, receiver, 1)[0].body(), "a");
}

#[test]
fn days_pass_in_no_time() {
    let (mut world, sender, _) = world();
    let days = 24 * 60 * MINUTE;
    for day in 1..=30u32 {
        let at = world.clock.utc + days * day;
        world.send(0, sender, &MessageRef::new("a").with_scheduled_enqueue_time(at));
    }
    let c = world.connect();
    let _ = c;
    world.advance(days * 29);
    let queue = world.broker.namespace().queue("queue").unwrap();
    let counts = world.broker.namespace().counts(&queue.stores);
    assert_eq!((counts.active, counts.scheduled), (29, 1));
}
