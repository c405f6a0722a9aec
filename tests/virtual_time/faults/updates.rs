//! Links of an entity after an update.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// A queue, a queue of sessions and a subscription, each with a message, and a client.
fn world() -> World {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    for entity in ["queue", "sessions", "topic"] {
        let sender = world.sender(0, entity).unwrap();
        assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id("s")), Ended::Accepted);
    }
    world
}

/// Changes the user metadata of an entity.
fn update(world: &mut World, entity: &str) {
    let (clock, metadata) = (world.clock, Some("changed".to_owned()));
    world.broker.with_namespace(clock, |namespace| match entity.split_once("/Subscriptions/") {
        Some((topic, name)) => {
            let before = namespace.subscription(topic, name).unwrap().description.clone();
            let description = SubscriptionDescription { user_metadata: metadata, ..before };
            namespace.update_subscription(topic, name, description, clock.utc).unwrap();
        }
        None => {
            let before = namespace.queue(entity).unwrap().description.clone();
            let description = QueueDescription { user_metadata: metadata, ..before };
            namespace.update_queue(entity, description, clock.utc).unwrap();
        }
    });
    world.settle_down();
}

/// Whether one message can be received, or sent, on a link.
fn works(world: &mut World, link: LinkId, role: Role) -> bool {
    if world.detached(0, link).is_some() {
        return false;
    }
    match role {
        Role::Receiver => world.receive_now(0, link, 1).len() == 1,
        Role::Sender => world.send(0, link, &MessageRef::new("y")) == Ended::Accepted,
    }
}

#[test]
fn an_update_detaches_a_link_only_after_the_next_operation_f6() {
    let mut judge = Judge::new();
    for (entity, role) in [
        ("queue", Role::Receiver),
        ("queue", Role::Sender),
        ("sessions", Role::Receiver),
        ("topic/Subscriptions/sub", Role::Receiver),
        ("topic/Subscriptions/sub/$DeadLetterQueue", Role::Receiver),
    ] {
        let mut world = world();
        let dead = entity.strip_suffix("/$DeadLetterQueue");
        if let Some(owner) = dead {
            let receiver = world.receiver(0, owner).unwrap();
            let message = world.receive_now(0, receiver, 1).remove(0);
            world.dead_letter(0, &message, "why", "");
            world.detach(0, receiver);
        }
        let link = match (role, entity) {
            (Role::Sender, _) => world.sender(0, entity),
            (Role::Receiver, "sessions") => world.session_receiver(0, entity, Some("s"), None),
            (Role::Receiver, _) => world.receiver(0, entity),
        }
        .unwrap();
        update(&mut world, dead.unwrap_or(entity));
        let worked = works(&mut world, link, role);
        world.advance(Duration::from_secs(55));
        let detached = world.detached(0, link).is_some();
        judge.equal(format!("{role:?} of {entity}"), (worked, detached), (true, true), (false, true));
    }
    judge.finish();
}
