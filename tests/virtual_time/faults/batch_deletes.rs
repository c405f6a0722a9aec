//! Deletes of many messages at once.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::Tier;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;

/// Asks for so many messages to be deleted that were enqueued before `cutoff`, if there is one.
fn delete(world: &mut World, path: &str, count: i32, cutoff: Option<servicebus_core::time::Timestamp>) -> Response {
    let mut entries = vec![("message-count", Value::Int(count))];
    entries.extend(cutoff.map(|cutoff| ("enqueued-time-utc", Value::Timestamp(cutoff))));
    world.manage(0, path, "batch-delete-messages", &entries)
}

/// An answer's status, condition and count.
type Answer = (i64, Option<String>, Option<i64>);

fn answer(response: &Response) -> Answer {
    let count = response.body().get("message-count").and_then(|count| count.as_i64());
    (response.status(), response.condition().map(str::to_owned), count)
}

#[test]
fn a_delete_that_finds_nothing_counts_zero_for_every_client_f21() {
    for path in
        ["queue", "queue/$DeadLetterQueue", "topic/Subscriptions/sub", "topic/Subscriptions/sub/$DeadLetterQueue"]
    {
        for count in [1, 500] {
            let mut world = World::with_queue(QueueDescription::default());
            world.topic("topic", &[("sub", SubscriptionDescription::default())]);
            let before = world.clock.utc;
            world.advance(Duration::from_secs(10));
            let sender = world.sender(0, "queue").unwrap();
            world.send_texts(0, sender, &["enqueued later than the cutoff"]);
            let response = delete(&mut world, path, count, Some(before));
            assert_eq!(answer(&response), (200, None, Some(0)), "{count} of {path}");
        }
    }
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    assert_eq!(world.send(0, sender, &MessageRef::new("x")), Ended::Accepted);
    let response = delete(&mut world, "queue", 10, None);
    assert_eq!(answer(&response), (200, None, Some(1)));
}

#[test]
fn the_tier_decides_how_many_messages_one_request_deletes_f21() {
    for (tier, most) in [(Tier::Standard, 500), (Tier::Premium, 4_000)] {
        for count in [-1, 0, 1, 499, 500, 501, 502, 1_000, 2_000, 4_000, 4_001, i32::MAX] {
            let mut world = World::of_tier(tier);
            world.queue("queue", QueueDescription::default());
            world.connect();
            let sender = world.sender(0, "queue").unwrap();
            world.send_texts(0, sender, &["x"]);
            let response = delete(&mut world, "queue", count, None);
            if (1..=most).contains(&count) {
                assert_eq!(answer(&response), (200, None, Some(1)), "{tier}: {count}");
            } else {
                assert_eq!(response.condition(), Some("com.microsoft:argument-out-of-range"), "{tier}: {count}");
                let text =
                    format!("Invalid Message Count : requested {count}. Message count should be between 1 and {most}.");
                assert!(response.text().contains(&text), "{}", response.text());
            }
        }
    }
}
