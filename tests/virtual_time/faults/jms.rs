//! Links and connections of Java Message Service clients.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_core::wire::{Encode, Reader, Sink, Symbol, Value, encode_map};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

const SUB: &str = "topic/Subscriptions/sub";

/// The queue `queue` and the topic `topic` with the subscriptions `sub` and `other`, and so many messages in each.
fn world(messages: usize) -> World {
    let mut world = World::with_queue(QueueDescription::default());
    let description = SubscriptionDescription::default;
    world.topic("topic", &[("sub", description()), ("other", description())]);
    for entity in ["queue", "topic"] {
        let sender = world.sender(0, entity).unwrap();
        for n in 0..messages {
            let color = [("color", Value::String(if n % 2 == 0 { "red" } else { "blue" }))];
            let body = n.to_string();
            let message = MessageRef::new(&body).with_properties(&color);
            assert_eq!(world.send(0, sender, &message), Ended::Accepted);
        }
    }
    world
}

/// A receiver that copies instead of taking.
fn browser(world: &mut World, path: &str, settled: bool) -> Result<LinkId, Failure> {
    let name = world.name(0);
    let mut attach = attach_of(&name, Role::Receiver, path, settled, None, None);
    if let Some(source) = &mut attach.source {
        source.distribution_mode = Some(Symbol::new("copy"));
    }
    world.attach(0, &attach)
}

#[test]
fn a_browser_takes_nothing_away_f27() {
    let mut judge = Judge::new();
    for path in ["queue", SUB] {
        for (settled, messages, credit) in [(true, 1, 1), (true, 3, 10), (false, 1, 1), (false, 3, 10), (true, 3, 1)] {
            let mut world = world(messages);
            if let Ok(link) = browser(&mut world, path, settled) {
                for message in world.receive_now(0, link, credit) {
                    // A browser is done with what it has read.
                    if !message.settled {
                        world.complete(0, &message);
                    }
                }
                world.detach(0, link);
            }
            let left = world.peek(0, path, 0, 10).len();
            let name = format!("{credit} of {messages} in {path}, settled: {settled}");
            judge.case(name, left, |left| *left == messages, |left| *left < messages);
        }
    }
    judge.finish();
}

#[test]
fn a_filter_in_the_answer_is_one_that_is_applied_f28() {
    let mut judge = Judge::new();
    for (key, code, selector, matching) in [
        ("jms-selector", 0x0000_468c_0000_0004, "color = 'red'", 2),
        ("jms-selector", 0x0000_468c_0000_0004, "color = 'green'", 0),
        ("jms-selector", 0x0000_468c_0000_0004, "color LIKE 'b%'", 2),
        ("apache.org:selector-filter:string", 0x0000_468c_0000_0004, "color = 'red'", 2),
        ("selector", 0x0000_468c_0000_0004, "1 = 0", 0),
        ("com.example:unknown", 0x1234_5678_0000_0001, "anything", 0),
    ] {
        for path in ["queue", SUB] {
            let mut world = world(4);
            let mut value = vec![0x00, 0x80];
            value.extend_from_slice(&u64::to_be_bytes(code));
            selector.encode(&mut Sink::from(&mut value));
            let entry = (Value::Symbol(Symbol::new(key)), Reader::new(&value).value().unwrap());
            let mut buffer = [0; 256];
            let filter = encode_map(&[entry], &mut buffer).unwrap();
            let name = world.name(0);
            let attach = attach_of(&name, Role::Receiver, path, false, Some(filter), None);
            let observed = world.attach(0, &attach).ok().map(|link| {
                let echoed = world.with_attach(0, link, |attach| {
                    attach.source.and_then(|source| source.filter).is_some_and(|filter| filter.get(key).is_some())
                });
                (echoed, world.receive_now(0, link, 10).len())
            });
            judge.case(
                format!("{key} \"{selector}\" of {path}"),
                observed,
                // Refused, not in the answer, or applied.
                |observed| observed.is_none_or(|(echoed, got)| !echoed || got == matching),
                |observed| *observed == Some((true, 4)),
            );
        }
    }
    judge.finish();
}

#[test]
fn the_name_of_a_link_to_a_topic_is_its_subscription_f29() {
    let mut judge = Judge::new();
    for (name, exists) in [
        ("sub", true),
        ("other", true),
        ("none", false),
        ("qpid-jms:receiver:ID:1:1:5:topic", false),
        ("another-subscriber", false),
    ] {
        let mut world = world(2);
        let attach = attach_of(name, Role::Receiver, "topic", false, None, None);
        let observed = world.attach(0, &attach).map(|link| world.receive_now(0, link, 10).len());
        let missing = format!(":topic:topic|{name}' could not be found.").to_lowercase();
        judge.case(
            name,
            observed,
            |observed| match (observed, exists) {
                (Ok(got), true) => *got == 2,
                (Err(failure), false) => {
                    failure.condition == "amqp:not-found" && failure.text.to_lowercase().contains(&missing)
                }
                _ => false,
            },
            |observed| observed.as_ref().is_err_and(|failure| failure.condition == "amqp:not-allowed"),
        );
    }
    judge.finish();
}

#[test]
fn a_client_of_version_two_is_refused_by_the_standard_tier_f30() {
    let mut judge = Judge::new();
    let text = |text| Value::String(text);
    let key = |name| Value::Symbol(Symbol::new(name));
    let asks = (key("com.microsoft:is-client-provider"), Value::Boolean(true));
    for (name, properties, plain) in [
        ("alone", vec![asks], false),
        ("with a key in SASL", vec![asks], true),
        ("with a product", vec![(key("product"), text("QpidJMS")), asks], false),
        ("first of three", vec![asks, (key("version"), text("1.0")), (key("platform"), text("JVM"))], false),
        ("with a connection id", vec![(key("com.microsoft:connection-id"), text("1")), asks], true),
        ("not asked for", vec![(key("product"), text("QpidJMS"))], false),
    ] {
        let mut world = World::new();
        let id = world.broker.connect(world.clock).unwrap();
        let response = format!("\0{KEY_NAME}\0{KEY}").into_bytes();
        let mechanism = Symbol::new(if plain { "PLAIN" } else { "ANONYMOUS" });
        let init = SaslInit { mechanism, initial_response: plain.then_some(&response[..]), hostname: None };
        let mut buffer = [0; 256];
        let properties = encode_map(&properties, &mut buffer).unwrap();
        let client = world.open_client_with(id, &init, Some(properties));
        let closed = world.closed(client);
        let refused = |closed: &Option<Failure>| {
            closed.as_ref().is_some_and(|failure| {
                failure.condition == "amqp:not-implemented" && failure.text.contains("Premium Messaging namespace")
            })
        };
        if name == "not asked for" {
            judge.case(name, closed, Option::is_none, refused);
        } else {
            judge.case(name, closed, refused, Option::is_none);
        }
    }
    judge.finish();
}
