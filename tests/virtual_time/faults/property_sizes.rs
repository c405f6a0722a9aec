//! Properties that are too large are refused when they come, not dead-lettered afterwards.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::performative::ErrorCondition;
use servicebus_core::wire::{Map, Reader, Symbol, Value, encode_map};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{Ended, Failure, World, modified, uuids};
use servicebus_tests::coordinator::refusal;
use servicebus_tests::fault::Judge;

#[derive(Clone, Copy, Debug)]
enum Verb {
    Send,
    SendToTopic,
    Batch,
    Schedule,
}

/// How a message with these properties is answered; `None` when it is taken.
fn sent(verb: Verb, properties: &[(&str, Value<'_>)]) -> Option<Failure> {
    let mut world = World::with_queue(QueueDescription::default());
    world.topic("topic", &[("s", SubscriptionDescription::default())]);
    let message = MessageRef::new("x").with_properties(properties);
    let answer = match verb {
        Verb::Send => {
            let sender = world.sender(0, "queue").unwrap();
            world.send(0, sender, &message)
        }
        Verb::SendToTopic => {
            let sender = world.sender(0, "topic").unwrap();
            world.send(0, sender, &message)
        }
        Verb::Batch => {
            let sender = world.sender(0, "queue").unwrap();
            world.send_batch(0, sender, &[MessageRef::new("small"), message])
        }
        Verb::Schedule => {
            let at = world.clock.utc + Duration::from_secs(60);
            let response = world.schedule(0, "queue", &[message.with_scheduled_enqueue_time(at)]);
            let condition = response.condition().unwrap_or_default().to_owned();
            return (response.status() >= 400).then(|| Failure { condition, text: response.text().to_owned() });
        }
    };
    refusal(&answer)
}

#[test]
fn properties_beyond_64_kilobytes_are_refused_f49() {
    let mut judge = Judge::new();
    for verb in [Verb::Send, Verb::SendToTopic, Verb::Batch, Verb::Schedule] {
        for (count, size) in [(3, 30_000), (3, 22_000), (10, 7_000), (700, 100), (7, 30_000), (2, 30_000), (60, 1_000)]
        {
            let (names, text): (Vec<_>, _) = ((0..count).map(|at| format!("p{at}")).collect(), "x".repeat(size));
            let properties: Vec<_> = names.iter().map(|name| (name.as_str(), Value::from(text.as_str()))).collect();
            let fits = count * size < 65_536;
            judge.case(
                format!("{count} of {size} characters, {verb:?}"),
                sent(verb, &properties),
                |refused| match refused {
                    None => fits,
                    Some(Failure { condition, text }) => {
                        !fits
                            && condition == "amqp:link:message-size-exceeded"
                            && text
                                .contains("A serialization error occurred while processing the message header stream")
                            && text.contains("The size quota for this stream (65536) has been exceeded.")
                    }
                },
                |refused| !fits && refused.is_none(),
            );
        }
    }
    judge.finish();
}

#[test]
fn a_property_has_fewer_than_32_kilobytes_f50() {
    let mut judge = Judge::new();
    for verb in [Verb::Send, Verb::SendToTopic, Verb::Batch, Verb::Schedule] {
        for size in [1_000, 32_000, 32_786, 33_000, 50_000] {
            let text = "x".repeat(size);
            for (place, name, value) in [("value", "p", text.as_str()), ("name", text.as_str(), "v")] {
                let fits = size <= 32_000;
                judge.case(
                    format!("a {place} of {size} characters, {verb:?}"),
                    sent(verb, &[(name, value.into())]).map(|failure| failure.condition),
                    |refused| refused.as_deref() == (!fits).then_some("amqp:internal-error"),
                    |refused| !fits && refused.is_none(),
                );
            }
        }
    }
    judge.finish();
}

/// How a settlement with this property is answered: by the outcome `modified` or `rejected`, or by
/// `update-disposition`.
fn settled(way: &str, name: &str, value: &str) -> Option<String> {
    let mut world = World::with_queue(QueueDescription::default());
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    world.send_texts(0, sender, &["x"]);
    let message = world.receive_now(0, receiver, 1).remove(0);
    let mut buffer = vec![0; name.len() + value.len() + 64];
    let map: Map<'_> = encode_map(&[(Value::Symbol(Symbol::new(name)), value.into())], &mut buffer).unwrap();
    let state = match way {
        "abandon" => modified(false, Some(map)),
        "defer" => modified(true, Some(map)),
        "dead-letter" => DeliveryState::Outcome(Outcome::Rejected(Rejected {
            error: Some(ErrorCondition { info: Some(map), ..ErrorCondition::new("com.microsoft:dead-letter") }),
        })),
        status => {
            let tokens = uuids(&[message.token]);
            let entries = [
                ("disposition-status", Value::from(status)),
                ("lock-tokens", Reader::new(&tokens).value().unwrap()),
                ("properties-to-modify", Value::Map(map)),
            ];
            let response = world.manage(0, "queue", "update-disposition", &entries);
            return response.condition().map(str::to_owned);
        }
    };
    match world.settle(0, &message, &state) {
        Ended::Rejected(Some(failure)) => Some(failure.condition),
        Ended::Modified { .. } | Ended::Rejected(None) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_settlement_has_no_property_of_32_kilobytes_f50() {
    let mut judge = Judge::new();
    for way in ["abandon", "defer", "dead-letter", "abandoned", "defered", "suspended"] {
        for size in [1_000, 32_786, 33_000, 50_000] {
            let text = "x".repeat(size);
            for (place, name, value) in [("value", "p", text.as_str()), ("name", text.as_str(), "v")] {
                let fits = size <= 32_000;
                judge.case(
                    format!("{way}, a {place} of {size} characters"),
                    settled(way, name, value),
                    |refused| refused.as_deref() == (!fits).then_some("amqp:internal-error"),
                    |refused| !fits && refused.is_none(),
                );
            }
        }
    }
    judge.finish();
}
