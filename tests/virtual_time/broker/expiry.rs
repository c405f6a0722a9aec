//! Time to live, idle links and connections, entities that come and go.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;

const MINUTE: Duration = Duration::from_secs(60);

fn world(dead_letter: bool) -> (World, servicebus_core::engine::LinkId, servicebus_core::engine::LinkId) {
    let description = QueueDescription {
        dead_lettering_on_message_expiration: dead_letter,
        default_message_time_to_live: Some(10 * MINUTE),
        ..QueueDescription::default()
    };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    (world, sender, receiver)
}

#[test]
fn an_expired_message_is_dropped() {
    let (mut world, sender, _) = world(false);
    world.send(0, sender, &MessageRef::new("short").with_time_to_live(MINUTE));
    world.send(0, sender, &MessageRef::new("long").with_time_to_live(100 * MINUTE));
    world.advance(2 * MINUTE);
    assert_eq!(world.peek(0, "queue", 0, 10).len(), 1);
    // The entity's limit cuts what the sender wished.
    world.advance(9 * MINUTE);
    assert!(world.peek(0, "queue", 0, 10).is_empty());
    assert!(world.peek(0, "queue/$DeadLetterQueue", 0, 10).is_empty());
}

#[test]
fn an_expired_message_is_dead_lettered_where_that_is_asked_for_dlq15() {
    let (mut world, sender, _) = world(true);
    world.send(0, sender, &MessageRef::new("a").with_time_to_live(MINUTE));
    world.advance(2 * MINUTE);
    let dead = world.receiver(0, "queue/$DeadLetterQueue").unwrap();
    let message = world.receive_now(0, dead, 1).remove(0);
    assert_eq!(message.reason(), Some("TTLExpiredException"));
    let text = "The message expired and was dead lettered.";
    assert_eq!(message.property("DeadLetterErrorDescription"), Some(text.into()));
    // Nothing expires in a dead-letter queue.
    world.advance(1_000 * MINUTE);
    let dead = world.connect();
    assert_eq!(world.peek(dead, "queue/$DeadLetterQueue", 0, 1).len(), 1);
}

#[test]
fn a_lock_protects_a_message_past_its_life_dlq18() {
    let (mut world, sender, receiver) = world(true);
    world.send(0, sender, &MessageRef::new("a").with_time_to_live(Duration::from_secs(30)));
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.advance(Duration::from_secs(40));
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 1);
    world.abandon(0, &message);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
    assert_eq!(world.peek(0, "queue/$DeadLetterQueue", 0, 1)[0].reason(), Some("TTLExpiredException"));
}

#[test]
fn a_deferred_message_expires_when_it_is_asked_for() {
    let (mut world, sender, receiver) = world(true);
    world.send(0, sender, &MessageRef::new("a").with_time_to_live(MINUTE));
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.defer(0, &message);
    world.advance(2 * MINUTE);
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 1);
    assert_eq!(world.receive_deferred(0, "queue", &[1], true).status(), 404);
    assert_eq!(world.peek(0, "queue/$DeadLetterQueue", 0, 1)[0].state(), 0);
}

#[test]
fn a_scheduled_message_lives_from_its_activation_on() {
    let (mut world, sender, receiver) = world(false);
    let later = world.clock.utc + 5 * MINUTE;
    let message = MessageRef::new("a").with_time_to_live(MINUTE).with_scheduled_enqueue_time(later);
    world.send(0, sender, &message);
    world.advance(5 * MINUTE);
    assert_eq!(world.receive_now(0, receiver, 1).len(), 1);
}

#[test]
fn an_idle_link_is_detached_after_ten_minutes() {
    let (mut world, sender, receiver) = world(false);
    world.advance(9 * MINUTE);
    world.send_texts(0, sender, &["a"]);
    world.advance(2 * MINUTE);
    let failure = world.detached(0, receiver).expect("detached");
    assert_eq!(failure.condition, "amqp:link:detach-forced");
    assert!(failure.text.contains("AmqpMessageConsumer.IdleTimerExpired: Idle timeout: 00:10:00."), "{}", failure.text);
    assert_eq!(world.detached(0, sender), None);
    world.advance(9 * MINUTE);
    assert!(world.detached(0, sender).unwrap().text.contains("AmqpMessagePublisher.IdleTimerExpired"));
}

#[test]
fn a_connection_without_links_is_closed_after_one_or_five_minutes() {
    let (mut world, sender, receiver) = world(false);
    let never = world.connect_bare();
    world.put_token(never, "sb://localhost/queue", KEY_NAME, KEY, 100 * MINUTE);
    world.detach(0, sender);
    world.detach(0, receiver);
    world.advance(Duration::from_secs(59));
    assert_eq!(world.closed(never), None);
    // The token's links make it one that had links.
    world.advance(4 * MINUTE);
    assert_eq!(world.closed(0), None);
    world.advance(Duration::from_secs(5));
    let failure = world.closed(0).expect("closed");
    assert_eq!(failure.condition, "amqp:connection:forced");
    assert!(failure.text.starts_with(
        "The connection was inactive for more than the allowed 300000 milliseconds and is closed by container \
         'LinkTracker'."
    ));
}

#[test]
fn an_updated_entity_detaches_its_links_and_keeps_its_messages_snd48_crd14_pek20() {
    let (mut world, sender, receiver) = world(false);
    world.send_texts(0, sender, &["a"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let clock = world.clock;
    let description = world.broker.namespace().queue("queue").unwrap().description.clone();
    world.broker.with_namespace(clock, |namespace| namespace.update_queue("queue", description, clock.utc)).unwrap();
    world.settle_down();
    // About a second later (docs/evidence/field-reports.md F6).
    world.advance(Duration::from_secs(2));
    for link in [sender, receiver] {
        let failure = world.detached(0, link).expect("detached");
        assert_eq!(failure.condition, "amqp:link:detach-forced");
        assert!(failure.text.contains("InnerMessageReceiver was closed."), "{}", failure.text);
    }
    assert_eq!(world.peek(0, "queue", 0, 1)[0].body(), "a");
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 200);
    world.sender(0, "queue").unwrap();
}

#[test]
fn a_deleted_entity_detaches_its_links() {
    let (mut world, sender, _) = world(false);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| namespace.delete("QUEUE")).unwrap();
    world.settle_down();
    assert_eq!(world.detached(0, sender).unwrap().condition, "amqp:not-found");
    assert_eq!(world.sender(0, "queue").unwrap_err().condition, "amqp:not-found");
}

#[test]
fn an_idle_entity_deletes_itself() {
    let mut world = World::new();
    let description = QueueDescription { auto_delete_on_idle: Some(10 * MINUTE), ..QueueDescription::default() };
    world.queue("queue", description);
    let c = world.connect();
    world.advance(9 * MINUTE);
    let _ = c;
    let c = world.connect();
    let sender = world.sender(c, "queue").unwrap();
    world.send_texts(c, sender, &["a"]);
    world.advance(9 * MINUTE);
    assert!(world.broker.namespace().queue("queue").is_some());
    world.advance(2 * MINUTE);
    assert!(world.broker.namespace().queue("queue").is_none());
}
