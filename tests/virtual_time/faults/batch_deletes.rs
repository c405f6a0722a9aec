//! Deletes of many messages at once.

use servicebus_core::servicebus::Message;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

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

#[known_fault("F21")]
fn a_delete_that_finds_nothing_counts_zero_for_every_client_f21() {
    let mut judge = Judge::new();
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
            judge.case(
                format!("{count} of {path}"),
                answer(&response),
                |(status, condition, count)| match status {
                    200 => *count == Some(0),
                    _ => *status == 204 && condition.as_deref() == Some("com.microsoft:message-not-found"),
                },
                |(status, condition, _)| *status == 204 && condition.is_none(),
            );
        }
    }
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    assert_eq!(world.send(0, sender, &Message::new("x")), Ended::Accepted);
    let response = delete(&mut world, "queue", 10, None);
    let found = |answer: &Answer| *answer == (200, None, Some(1));
    judge.control("one that finds a message", answer(&response), found);
    judge.finish();
}

#[known_fault("F21")]
fn the_standard_tier_deletes_at_most_500_messages_a_request_f21() {
    let mut judge = Judge::new();
    for count in [1, 499, 500, 501, 502, 1_000, 2_000, 4_000, 4_001] {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        world.send_texts(0, sender, &["x"]);
        let status = delete(&mut world, "queue", count, None).status();
        let taken = |status: &i64| *status == 200;
        let refused = |status: &i64| *status >= 400;
        if count <= 500 {
            judge.control(count, status, taken);
        } else if count > 4_000 {
            judge.control(count, status, refused);
        } else {
            judge.case(count, status, refused, taken);
        }
    }
    judge.finish();
}
