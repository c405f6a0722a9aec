//! Messages that move on by themselves.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::{
    EntityError, EntityStatus, QueueDescription, SubscriptionDescription, TopicDescription,
};
use servicebus_tests::broker::*;

fn forward(target: &str) -> QueueDescription {
    QueueDescription { forward_to: Some(target.into()), ..QueueDescription::default() }
}

#[test]
fn a_queue_forwards_to_a_queue_and_keeps_the_message_id_fwd1() {
    let mut world = World::new();
    world.queue("b", QueueDescription::default());
    world.queue("a", forward("sb://localhost/b"));
    let c = world.connect();
    let (sender, receiver) = (world.sender(c, "a").unwrap(), world.receiver(c, "b").unwrap());
    world.send(c, sender, &MessageRef::new("x").with_message_id("id"));
    let message = world.receive(c, receiver, 1).remove(0);
    assert_eq!(
        message.view().properties().unwrap().message_id,
        Some(servicebus_core::wire::messaging::MessageId::String("id"))
    );
    assert_eq!(message.annotation("x-opt-enqueue-sequence-number"), Some(Value::Long(1)));
    assert_eq!(world.receiver(c, "a").unwrap_err().condition, "amqp:not-allowed");
}

#[test]
fn dead_letters_are_forwarded_to_the_targets_main_queue_fwd2_dlq10() {
    let mut world = World::new();
    world.queue("b", QueueDescription::default());
    let description =
        QueueDescription { forward_dead_lettered_messages_to: Some("b".into()), ..QueueDescription::default() };
    world.queue("a", description);
    let c = world.connect();
    let (sender, receiver) = (world.sender(c, "a").unwrap(), world.receiver(c, "a").unwrap());
    world.send_texts(c, sender, &["x"]);
    let message = world.receive(c, receiver, 1).remove(0);
    world.dead_letter(c, &message, "why", "d");
    let target = world.receiver(c, "b").unwrap();
    let message = world.receive(c, target, 1).remove(0);
    assert_eq!(message.reason(), Some("why"));
    assert_eq!(message.annotation("x-opt-deadletter-source"), Some("a".into()));
}

#[test]
fn a_letter_that_comes_back_before_one_that_cannot_go_on_is_forwarded() {
    let mut world = World::new();
    world.queue("b", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.queue("a", QueueDescription::default());
    let c = world.connect();
    let (sender, receiver) = (world.sender(c, "a").unwrap(), world.receiver(c, "a").unwrap());
    for message in
        [MessageRef::new("1").with_session_id("s"), MessageRef::new("2"), MessageRef::new("3").with_session_id("s")]
    {
        world.send(c, sender, &message);
    }
    for message in world.receive(c, receiver, 3) {
        world.dead_letter(c, &message, "why", "");
    }
    let letters = world.receiver(c, "a/$DeadLetterQueue").unwrap();
    let first = world.receive(c, letters, 1).remove(0);
    let clock = world.clock;
    let description =
        QueueDescription { forward_dead_lettered_messages_to: Some("b".into()), ..QueueDescription::default() };
    world.broker.with_namespace(clock, |namespace| namespace.update_queue("a", description, clock.utc)).unwrap();
    assert_eq!(world.peek(c, "b", 0, 10).len(), 1, "the second has no session, the first is locked");
    world.abandon(c, &first);
    assert_eq!(world.peek(c, "b", 0, 10).len(), 2);
    assert_eq!(world.peek(c, "a/$DeadLetterQueue", 0, 10).len(), 1);
}

#[test]
fn forwarding_set_by_an_update_moves_what_waits_fwd3() {
    let mut world = World::new();
    world.queue("b", QueueDescription::default());
    world.queue("a", QueueDescription::default());
    let c = world.connect();
    let sender = world.sender(c, "a").unwrap();
    world.send_texts(c, sender, &["x", "y"]);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| namespace.update_queue("a", forward("b"), clock.utc)).unwrap();
    world.settle_down();
    assert_eq!(world.peek(c, "b", 0, 10).len(), 2);
}

#[test]
fn a_subscription_forwards_into_sessions_fwd9_and_keeps_what_has_none_fwd10() {
    let mut world = World::new();
    world.queue("sess", QueueDescription { requires_session: true, ..QueueDescription::default() });
    let description = SubscriptionDescription { forward_to: Some("sess".into()), ..SubscriptionDescription::default() };
    world.topic("topic", &[("sub", description)]);
    let c = world.connect();
    let sender = world.sender(c, "topic").unwrap();
    for (session, body) in [("1", "a"), ("2", "x"), ("1", "b"), ("2", "y")] {
        world.send(c, sender, &MessageRef::new(body).with_session_id(session));
    }
    world.send_texts(c, sender, &["homeless"]);
    for (session, expected) in [("1", ["a", "b"]), ("2", ["x", "y"])] {
        let link = world.session_receiver(c, "sess", Some(session), None).unwrap();
        let got: Vec<_> = world.receive_now(c, link, 5).iter().map(Received::body).collect();
        assert_eq!(got, expected);
    }
    assert_eq!(world.peek(c, "topic/Subscriptions/sub/$DeadLetterQueue", 0, 5)[0].body(), "homeless");
}

#[test]
fn the_fifth_hop_fails_into_the_transfer_dead_letter_queue() {
    let mut world = World::new();
    world.queue("q5", QueueDescription::default());
    for (name, target) in [("q4", "q5"), ("q3", "q4"), ("q2", "q3"), ("q1", "q2"), ("q0", "q1")] {
        world.queue(name, forward(target));
    }
    let c = world.connect();
    let sender = world.sender(c, "q1").unwrap();
    world.send_texts(c, sender, &["four hops"]);
    assert_eq!(world.peek(c, "q5", 0, 1).len(), 1);
    let sender = world.sender(c, "q0").unwrap();
    world.send_texts(c, sender, &["five hops"]);
    let failed = world.receiver(c, "q4/$Transfer/$DeadLetterQueue").unwrap();
    assert_eq!(world.receive_now(c, failed, 1)[0].reason(), Some("MaxTransferHopCountExceeded"));
}

#[test]
fn what_the_target_refuses_is_kept_for_the_source() {
    for (status, dead) in [(EntityStatus::Disabled, 1), (EntityStatus::SendDisabled, 0)] {
        let mut world = World::new();
        world.queue("b", QueueDescription { status, ..QueueDescription::default() });
        world.queue("a", forward("b"));
        let c = world.connect();
        let sender = world.sender(c, "a").unwrap();
        world.send_texts(c, sender, &["x"]);
        let namespace = world.broker.namespace();
        let counts = |name: &str| namespace.counts(&namespace.queue(name).unwrap().stores);
        assert_eq!((counts("a").dead_letter, counts("a").transfer_dead_letter), (dead, 0), "{status:?}");
        assert_eq!(counts("b").active, 1 - dead, "{status:?}");
    }
}

#[test]
fn forwarding_that_cannot_be_is_refused_adm76_fwd11() {
    let mut world = World::new();
    let clock = world.clock;
    let mut create = |name: &str, description: QueueDescription| {
        world.broker.with_namespace(clock, |namespace| namespace.create_queue(name, description, clock.utc))
    };
    assert!(matches!(create("a", forward("nowhere")), Err(EntityError::NoForwardTarget(_))));
    assert!(matches!(create("a", forward("a")), Err(EntityError::NoForwardTarget(_))));
    create("b", QueueDescription::default()).unwrap();
    let both = QueueDescription { requires_session: true, ..forward("b") };
    assert!(matches!(create("a", both), Err(EntityError::InvalidSetting("ForwardTo", _))));
    // A topic may be a target (FWD4).
    world
        .broker
        .with_namespace(clock, |namespace| namespace.create_topic("t", TopicDescription::default(), clock.utc))
        .unwrap();
    world.queue("a", forward("t"));
}
