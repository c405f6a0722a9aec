//! Messages that cannot be forwarded, and those that can.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::namespace::RuntimeCounts;
use servicebus_emulator::broker::entities::{
    EntityStatus, QueueDescription, SubscriptionDescription, TopicDescription,
};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

const SUB: &str = "topic/Subscriptions/sub";

/// The settings that queues and subscriptions have in common here.
#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    forwards: bool,
    forwards_the_dead: bool,
    max_delivery_count: Option<u32>,
    dead_lettering_on_message_expiration: bool,
}

/// A world with the queue `target`, the topic `broadcast` with the subscription `all`, and the sources `queue` and
/// `topic/Subscriptions/sub`, which forward to `to`.
fn world(to: &str, settings: Settings) -> World {
    let mut world = World::new();
    world.queue("target", QueueDescription { max_size_in_megabytes: 1, ..QueueDescription::default() });
    world.topic("broadcast", &[("all", SubscriptionDescription::default())]);
    let forward_to = settings.forwards.then(|| to.to_owned());
    let forward_dead_lettered_messages_to = settings.forwards_the_dead.then(|| to.to_owned());
    let max_delivery_count = settings.max_delivery_count.unwrap_or(10);
    let dead_lettering_on_message_expiration = settings.dead_lettering_on_message_expiration;
    world.queue(
        "queue",
        QueueDescription {
            forward_to: forward_to.clone(),
            forward_dead_lettered_messages_to: forward_dead_lettered_messages_to.clone(),
            max_delivery_count,
            dead_lettering_on_message_expiration,
            ..QueueDescription::default()
        },
    );
    let description = SubscriptionDescription {
        forward_to,
        forward_dead_lettered_messages_to,
        max_delivery_count,
        dead_lettering_on_message_expiration,
        ..SubscriptionDescription::default()
    };
    world.topic("topic", &[("sub", description)]);
    world.connect();
    world
}

fn set_status(world: &mut World, entity: &str, status: EntityStatus) {
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| match entity {
        "broadcast" => {
            let before = namespace.topic(entity).unwrap().description.clone();
            namespace.update_topic(entity, TopicDescription { status, ..before }, clock.utc).unwrap();
        }
        _ => {
            let before = namespace.queue(entity).unwrap().description.clone();
            namespace.update_queue(entity, QueueDescription { status, ..before }, clock.utc).unwrap();
        }
    });
    world.settle_down();
}

fn counts(world: &World, entity: &str) -> RuntimeCounts {
    let namespace = world.broker.namespace();
    let stores = match entity.split_once("/Subscriptions/") {
        Some((topic, name)) => namespace.subscription(topic, name).unwrap().stores,
        None => namespace.queue(entity).unwrap().stores,
    };
    namespace.counts(&stores)
}

/// Sends a message to a source.
fn send(world: &mut World, source: &str, message: &MessageRef<'_>) {
    let sender = world.sender(0, if source == SUB { "topic" } else { source }).unwrap();
    assert_eq!(world.send(0, sender, message), Ended::Accepted);
    world.detach(0, sender);
}

/// Messages of a source in its dead-letter queue, and in that of transfers.
fn dead(world: &World, source: &str) -> (u64, u64) {
    let counts = counts(world, source);
    (counts.dead_letter, counts.transfer_dead_letter)
}

/// Fills the queue `target` up.
fn fill(world: &mut World) {
    let (sender, body) = (world.sender(0, "target").unwrap(), "x".repeat(250_000));
    while world.send(0, sender, &MessageRef::new(&body)) == Ended::Accepted {}
}

#[test]
fn a_message_that_cannot_be_forwarded_is_a_dead_letter_f11() {
    let mut judge = Judge::new();
    for why in ["disabled", "not accepting", "deleted", "full"] {
        for source in ["queue", SUB] {
            let mut world = world("target", Settings { forwards: true, ..Settings::default() });
            let clock = world.clock;
            match why {
                "disabled" => set_status(&mut world, "target", EntityStatus::Disabled),
                "deleted" => {
                    world.broker.with_namespace(clock, |namespace| namespace.delete("target")).unwrap();
                }
                "full" => fill(&mut world),
                _ => set_status(&mut world, "target", EntityStatus::ReceiveDisabled),
            }
            send(&mut world, source, &MessageRef::new(&"y".repeat(200_000)));
            let arrives = why == "not accepting";
            let right = if arrives { (0, 0) } else { (1, 0) };
            let wrong = if arrives { (1, 0) } else { (0, 1) };
            judge.equal(format!("{source} to a target that is {why}"), dead(&world, source), right, wrong);
        }
    }
    judge.finish();
}

#[test]
fn a_message_over_the_fourth_hop_is_kept_f11() {
    let mut world = World::new();
    world.queue("q5", QueueDescription::default());
    for (name, target) in [("q4", "q5"), ("q3", "q4"), ("q2", "q3"), ("q1", "q2"), ("q0", "q1")] {
        world.queue(name, QueueDescription { forward_to: Some(target.into()), ..QueueDescription::default() });
    }
    world.connect();
    send(&mut world, "q0", &MessageRef::new("x"));
    // Which of the two dead-letter queues is undecided until a run against the live service.
    let kept: u64 = ["q0", "q1", "q2", "q3", "q4", "q5"].map(|name| counts(&world, name).total()).iter().sum();
    let (dead, transfer) = dead(&world, "q4");
    assert_eq!((kept, dead + transfer), (1, 1));
}

/// Makes a message of a source dead; returns the reason that it then has.
fn kill(world: &mut World, source: &str, how: &str) -> &'static str {
    if how == "expired" {
        send(world, source, &MessageRef::new("x").with_time_to_live(Duration::from_secs(5)));
        world.advance(Duration::from_secs(10));
        return "TTLExpiredException";
    }
    send(world, source, &MessageRef::new("x"));
    let receiver = world.receiver(0, source).unwrap();
    let message = world.receive_now(0, receiver, 1).remove(0);
    let reason = if how == "by its receiver" {
        world.dead_letter(0, &message, "mine", "because");
        "mine"
    } else {
        world.abandon(0, &message);
        "MaxDeliveryCountExceeded"
    };
    world.detach(0, receiver);
    reason
}

fn reason_at(world: &mut World, path: &str) -> Option<String> {
    world.peek(0, path, 0, 10).first().and_then(|message| Some(message.reason()?.to_owned()))
}

#[test]
fn a_dead_letter_waits_for_its_target_with_its_reason_f12() {
    let mut judge = Judge::new();
    for source in ["queue", SUB] {
        for how in ["by its receiver", "by its deliveries", "expired"] {
            let mut world = world(
                "target",
                Settings {
                    forwards_the_dead: true,
                    max_delivery_count: Some(1),
                    dead_lettering_on_message_expiration: true,
                    ..Settings::default()
                },
            );
            set_status(&mut world, "target", EntityStatus::Disabled);
            let reason = kill(&mut world, source, how);
            let waiting = (dead(&world, source), reason_at(&mut world, &format!("{source}/$DeadLetterQueue")));
            set_status(&mut world, "target", EntityStatus::Active);
            world.advance(Duration::from_secs(600));
            let client = world.connect();
            let arrived = world.peek(client, "target", 0, 10).first().and_then(|it| Some(it.reason()?.to_owned()));
            let reason = Some(reason.to_owned());
            judge.equal(
                format!("{source}, dead {how}"),
                (waiting, arrived),
                (((1, 0), reason.clone()), reason),
                (((0, 1), None), None),
            );
        }
    }
    judge.finish();
}

#[test]
fn a_forwarded_dead_letter_lives_on_and_stays_after_the_fourth_hop_f78() {
    let mut world = World::new();
    let names = ["q5", "q4", "q3", "q2", "q1", "q0"];
    for (at, name) in names.into_iter().enumerate() {
        let target = at.checked_sub(1).map(|before| names[before].to_owned());
        let description = QueueDescription {
            forward_dead_lettered_messages_to: target,
            dead_lettering_on_message_expiration: true,
            ..QueueDescription::default()
        };
        world.queue(name, description);
    }
    world.connect();
    kill(&mut world, "q0", "expired");
    for source in ["q1", "q2", "q3", "q4"] {
        world.advance(Duration::from_secs(60));
        assert_eq!((counts(&world, source).active, counts(&world, source).total()), (1, 1), "{source}");
        let receiver = world.receiver(0, source).unwrap();
        let message = world.receive_now(0, receiver, 1).remove(0);
        world.dead_letter(0, &message, "mine", "because");
        world.detach(0, receiver);
    }
    assert_eq!((dead(&world, "q4"), counts(&world, "q5").total()), ((1, 0), 0));
}

#[test]
fn a_target_with_sends_disabled_takes_forwarded_messages_f13() {
    let mut judge = Judge::new();
    for target in ["target", "broadcast"] {
        for source in ["queue", SUB] {
            for scheduled in [false, true] {
                let mut world = world(target, Settings { forwards: true, ..Settings::default() });
                set_status(&mut world, target, EntityStatus::SendDisabled);
                let mut message = MessageRef::new("x");
                if scheduled {
                    message = message.with_scheduled_enqueue_time(world.clock.utc + Duration::from_secs(30));
                }
                send(&mut world, source, &message);
                world.advance(Duration::from_secs(60));
                let receiver = if target == "target" { target } else { "broadcast/Subscriptions/all" };
                let arrived = counts(&world, receiver).active;
                judge.equal(
                    format!("{source} to {target}, scheduled: {scheduled}"),
                    (arrived, dead(&world, source)),
                    (1, (0, 0)),
                    (0, (0, 1)),
                );
            }
        }
    }
    judge.finish();
}
