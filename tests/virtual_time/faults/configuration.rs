//! Configuration files of Microsoft's emulator, as other programs write them.

use servicebus_core::servicebus::Message;
use servicebus_emulator::config;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

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
    let blueprint = config::parse(text).unwrap();
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| blueprint.build(namespace, clock.utc)).unwrap();
    let client = world.connect();
    let sender = world.sender(client, entity).unwrap();
    assert_eq!(world.send(client, sender, &Message::new("x")), Ended::Accepted);
    let receiver = world.receiver(client, path).unwrap();
    let message = world.receive_now(client, receiver, 1).remove(0);
    let expiry = message.view().properties().unwrap().absolute_expiry_time;
    (message.view().header().unwrap().ttl, expiry.map(|time| time.to_string()[..4].to_owned()))
}

#[known_fault("F25")]
fn the_largest_time_to_live_is_none_f25() {
    let mut judge = Judge::new();
    let ttl = |value: &str| format!("\"DefaultMessageTimeToLive\": \"{value}\"");
    for value in ["P10675199DT2H48M5.4775807S", "P10675199DT2H48M5.477S"] {
        let max = ttl(value);
        for (name, text, entity, path) in [
            ("a queue", file(&max, "", ""), "queue", "queue"),
            ("a topic and its subscription", file("", &max, &max), "topic", "topic/Subscriptions/sub"),
            ("everything", file(&max, &max, &max), "topic", "topic/Subscriptions/sub"),
        ] {
            judge.case(
                format!("{value} of {name}"),
                life(&text, entity, path),
                |life| *life == (None, None),
                |(ttl, year)| *ttl == Some(u32::MAX) && year.as_deref() == Some("9999"),
            );
        }
    }
    let hour = life(&file(&ttl("PT1H"), "", ""), "queue", "queue").0;
    judge.equal("PT1H of a queue", hour, Some(3_600_000), None);
    judge.finish();
}

#[known_fault("F26")]
fn a_byte_order_mark_and_a_schema_are_taken_f26() {
    let mut judge = Judge::new();
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
        let taken = config::parse(&text).map(|blueprint| blueprint.queues.len()).map_err(|error| error.to_string());
        judge.case(name, taken, |taken| *taken == Ok(1), Result::is_err);
    }
    judge.finish();
}
