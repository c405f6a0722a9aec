//! Configuration files of Microsoft's emulator, as other programs write them.

use servicebus_core::servicebus::MessageRef;
use servicebus_emulator::config;
use servicebus_tests::broker::*;

/// A configuration with the queue `queue` and the topic `topic` with the subscription `sub`, with these properties.
fn file(queue: &str, topic: &str, subscription: &str) -> String {
    format!(
        "{{\"UserConfig\": {{\"Namespaces\": [{{\"Name\": \"sbemulatorns\", \
         \"Queues\": [{{\"Name\": \"queue\", \"Properties\": {{{queue}}}}}], \
         \"Topics\": [{{\"Name\": \"topic\", \"Properties\": {{{topic}}}, \"Subscriptions\": [\
         {{\"Name\": \"sub\", \"Properties\": {{{subscription}}}, \"Rules\": []}}]}}]}}], \
         \"Logging\": {{\"Type\": \"File\"}}}}}}"
    )
}

/// The time to live and the year of expiry that a receiver sees on a message of an entity of this configuration.
fn life(text: &str, entity: &str, path: &str) -> (Option<u32>, Option<String>) {
    let blueprint = config::parse(text).unwrap().remove(0);
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| blueprint.build(namespace, clock.utc)).unwrap();
    let client = world.connect();
    let sender = world.sender(client, entity).unwrap();
    assert_eq!(world.send(client, sender, &MessageRef::new("x")), Ended::Accepted);
    let receiver = world.receiver(client, path).unwrap();
    let message = world.receive_now(client, receiver, 1).remove(0);
    let expiry = message.view().properties().unwrap().absolute_expiry_time;
    (message.view().header().unwrap().ttl, expiry.map(|time| time.to_string()[..4].to_owned()))
}

#[test]
fn the_largest_time_to_live_is_none_f25() {
    let ttl = |value: &str| format!("\"DefaultMessageTimeToLive\": \"{value}\"");
    for value in ["P10675199DT2H48M5.4775807S", "P10675199DT2H48M5.477S"] {
        let max = ttl(value);
        for (name, text, entity, path) in [
            ("a queue", file(&max, "", ""), "queue", "queue"),
            ("a topic and its subscription", file("", &max, &max), "topic", "topic/Subscriptions/sub"),
            ("everything", file(&max, &max, &max), "topic", "topic/Subscriptions/sub"),
        ] {
            assert_eq!(life(&text, entity, path), (None, None), "{value} of {name}");
        }
    }
    let hour = life(&file(&ttl("PT1H"), "", ""), "queue", "queue").0;
    assert_eq!(hour, Some(3_600_000));
}

#[test]
fn a_byte_order_mark_and_a_schema_are_taken_f26() {
    let plain = file("", "", "");
    let schema = |place: &str| {
        let entry = "\"$schema\": \"https://example.com/schema.json\"";
        match place {
            "first" => plain.replacen('{', &format!("{{{entry}, "), 1),
            _ => format!("{}, {entry}}}", plain.strip_suffix('}').unwrap()),
        }
    };
    for (name, text) in [
        ("plain", plain.clone()),
        ("a mark", format!("\u{feff}{plain}")),
        ("a mark and a line", format!("\u{feff}\r\n{plain}\r\n")),
        ("a mark and a comment", format!("\u{feff}// entities\n{plain}")),
        ("a schema", schema("first")),
        ("a schema at the end", schema("last")),
        ("both", format!("\u{feff}{}", schema("first"))),
    ] {
        let taken =
            config::parse(&text).map(|blueprints| blueprints[0].queues.len()).map_err(|error| error.to_string());
        assert_eq!(taken, Ok(1), "{name}");
    }
}
