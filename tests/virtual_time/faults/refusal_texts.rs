//! Texts about disabled, full and missing entities, and about messages without a session.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{
    EntityStatus, QueueDescription, SubscriptionDescription, TopicDescription,
};
use servicebus_emulator::filter::{Dialect, Filter, Rule, SqlAction};
use servicebus_tests::broker::{Ended, Failure, KEY, KEY_NAME, World};
use servicebus_tests::coordinator::refusal;
use servicebus_tests::fault::Judge;

/// Judges a text: right with all of these parts, wrong with today's.
fn text(judge: &mut Judge, name: &str, failure: Option<Failure>, parts: &[&str], today: &str) {
    judge.case(
        name,
        failure.map(|failure| failure.text),
        |text| text.as_ref().is_some_and(|text| parts.iter().all(|part| text.contains(part))),
        |text| text.as_ref().is_some_and(|text| text.contains(today)),
    );
}

#[test]
fn a_disabled_entity_is_named_in_full_f55() {
    const TODAY: &str = "is currently disabled for this operation.";
    const MORE: &str = "' is currently disabled. For more information please see https://aka.ms/ServiceBusExceptions .";
    let mut judge = Judge::new();
    for (status, sends, receives) in [
        (EntityStatus::Disabled, false, false),
        (EntityStatus::SendDisabled, false, true),
        (EntityStatus::ReceiveDisabled, true, false),
    ] {
        for name in ["q", "orders/eu", "queue-1"] {
            let mut world = World::with_queue(QueueDescription { status, ..QueueDescription::default() });
            world.queue(name, QueueDescription { status, ..QueueDescription::default() });
            if !receives {
                let refused = world.receiver(0, name).err();
                let address = format!("Messaging entity 'sb://localhost/{name}{MORE}");
                text(&mut judge, &format!("receive from {name}, {status:?}"), refused, &[&address], TODAY);
            }
            if !sends {
                let refused = world.sender(0, name).err();
                let entity =
                    format!("Messaging entity 'sbemulatorns:Queue:{name}' is currently disabled for Send operations.");
                text(&mut judge, &format!("send to {name}, {status:?}"), refused, &[&entity], TODAY);
            }
        }
    }
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let topic = TopicDescription { status: EntityStatus::Disabled, ..TopicDescription::default() };
        namespace.create_topic("t", topic, clock.utc).unwrap();
        let subscription =
            SubscriptionDescription { status: EntityStatus::ReceiveDisabled, ..SubscriptionDescription::default() };
        namespace.create_subscription("t", "s", subscription, None, clock.utc).unwrap();
    });
    let c = world.connect();
    let refused = world.sender(c, "t").err();
    let entity = "Messaging entity 'sbemulatorns:Topic:t' is currently disabled for Send operations.";
    text(&mut judge, "send to a topic", refused, &[entity], TODAY);
    let refused = world.receiver(c, "t/Subscriptions/s").err();
    text(&mut judge, "receive from a subscription", refused, &["Messaging entity 'sb://localhost/", MORE], TODAY);
    judge.finish();
}

/// Fills the queue or topic `full`, which holds 1 MB, with bodies of this size: why it takes no more.
fn filled(topic: bool, name: &str, body: usize, batch: usize) -> Option<Failure> {
    let mut world = World::new();
    let clock = world.clock;
    if topic {
        world.broker.with_namespace(clock, |namespace| {
            let description = TopicDescription { max_size_in_megabytes: 1, ..TopicDescription::default() };
            namespace.create_topic(name, description, clock.utc).unwrap();
            let subscription = SubscriptionDescription::default();
            namespace.create_subscription(name, "s", subscription, None, clock.utc).unwrap();
        });
    } else {
        world.queue(name, QueueDescription { max_size_in_megabytes: 1, ..QueueDescription::default() });
    }
    let c = world.connect();
    let sender = world.sender(c, name).unwrap();
    let body = vec![b'x'; body];
    for _ in 0..(2 << 20) / (body.len() * batch) {
        let answer = world.send_batch(c, sender, &vec![MessageRef::new(&body); batch]);
        if answer != Ended::Accepted {
            return refusal(&answer);
        }
    }
    None
}

/// The number behind `before` in a text.
fn number(text: &str, before: &str) -> Option<u64> {
    let rest = text.split_once(before)?.1;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[test]
fn the_refusal_of_a_full_entity_has_its_path_and_a_size_at_the_maximum_f56() {
    let mut judge = Judge::new();
    for topic in [false, true] {
        for (name, body, batch) in
            [("full", 200_000, 1), ("a/b", 100_000, 1), ("full", 30_000, 1), ("q1", 20_000, 10), ("q2", 250_000, 1)]
        {
            let refused = filled(topic, name, body, batch).map(|failure| failure.text);
            let (kind, title) = if topic { ("topic", "Topic") } else { ("queue", "Queue") };
            let sizes =
                |text: &str| number(text, "Size of entity in bytes:").zip(number(text, "Max entity size in bytes:"));
            judge.case(
                format!("{kind} {name}, bodies of {body} bytes"),
                refused,
                |text| {
                    text.as_ref().is_some_and(|text| {
                        text.to_ascii_lowercase().contains(&format!("'sbemulatorns:{kind}:{name}'"))
                            && sizes(text).is_some_and(|(size, limit)| size >= limit)
                            && text.contains("https://aka.ms/ServiceBusExceptions")
                            && text.contains("QuotaType: EntitySize")
                    })
                },
                |text| {
                    text.as_ref().is_some_and(|text| {
                        text.contains(&format!("{title}: '{name}'"))
                            && sizes(text).is_some_and(|(size, limit)| size < limit)
                    })
                },
            );
        }
    }
    judge.finish();
}

/// Sends to an entity, and reads reason and description in a dead-letter queue.
fn dead(world: &mut World, c: usize, target: &str, message: &MessageRef<'_>, from: &str) -> (String, String) {
    let sender = world.sender(c, target).unwrap();
    assert_eq!(world.send(c, sender, message), Ended::Accepted);
    let receiver = world.receiver(c, &format!("{from}/$DeadLetterQueue")).unwrap();
    let message = world.receive_now(c, receiver, 1).remove(0);
    let text = |key| message.property(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    (text("DeadLetterReason"), text("DeadLetterErrorDescription"))
}

#[test]
fn a_message_without_a_session_is_dead_lettered_in_the_services_words_f57() {
    let mut world = World::new();
    let sessions = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    let forward = Some("sessions".to_owned());
    world.queue("queue", QueueDescription { forward_to: forward.clone(), ..QueueDescription::default() });
    world.queue("chain", QueueDescription { forward_to: Some("queue".into()), ..QueueDescription::default() });
    let forwards = SubscriptionDescription { forward_to: forward, ..SubscriptionDescription::default() };
    world.topic("topic", &[("s", sessions.clone()), ("forwards", forwards)]);
    world.topic("removing", &[("s", sessions)]);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let action = SqlAction::parse("REMOVE sys.SessionId", Vec::new(), &Dialect::default()).unwrap();
        let rule = Rule { name: "r".into(), filter: Filter::True, action: Some(action) };
        namespace.delete_rule("removing", "s", "$Default").unwrap();
        namespace.create_rule("removing", "s", rule, clock.utc).unwrap();
    });
    let c = world.connect();
    let (plain, keyed, of_session) =
        (MessageRef::new("x"), MessageRef::new("x").with_partition_key("k"), MessageRef::new("x").with_session_id("s"));
    let mut judge = Judge::new();
    for (name, target, from, message) in [
        ("subscription", "topic", "topic/Subscriptions/s", &plain),
        ("subscription, with a key", "topic", "topic/Subscriptions/s", &keyed),
        ("forwarded by a queue", "queue", "queue", &plain),
        ("forwarded by a subscription", "topic", "topic/Subscriptions/forwards", &plain),
        ("forwarded by the second queue", "chain", "queue", &plain),
        ("removed by a rule", "removing", "removing/Subscriptions/s", &of_session),
    ] {
        let text = |reason: &str, description: &str| (reason.to_owned(), description.to_owned());
        judge.equal(
            name,
            dead(&mut world, c, target, message, from),
            text(
                "Session id is null.",
                "Session enabled entity doesn't allow a message whose session identifier is null.",
            ),
            text("Session ID is null.", "Session id is null"),
        );
    }
    judge.finish();
}

#[test]
fn a_missing_subscription_is_named_with_its_whole_path_f16() {
    let mut judge = Judge::new();
    for (topic, name) in [("none", "sub"), ("none", "another"), ("a/b", "sub"), ("None", "Sub.1"), ("t", "s_s")] {
        for sub_queue in ["", "/$DeadLetterQueue"] {
            let mut world = World::new();
            let client = world.connect();
            let audience = format!("sb://localhost/{topic}/Subscriptions/{name}{sub_queue}");
            let response = world.put_token(client, &audience, KEY_NAME, KEY, Duration::from_secs(60));
            let text = response.text().to_lowercase();
            let right = format!("'sb://localhost/{topic}/subscriptions/{name}").to_lowercase();
            let wrong = format!("'sb://localhost/{topic}'").to_lowercase();
            judge.case(
                audience,
                (response.status(), text),
                |(status, text)| *status == 404 && text.contains(&right),
                |(status, text)| *status == 404 && text.contains(&wrong),
            );
        }
    }
    judge.finish();
}
