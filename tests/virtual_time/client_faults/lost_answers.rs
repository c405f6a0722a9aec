//! A request that was carried out is not reported as impossible when its answer is lost.

use crate::stage::{
    Calling, HOUR, HeapFailure, Kit, MINUTE, SECOND, Verb, active, ending, observe, policy, settings, verbs, within,
    world,
};
use servicebus_core::client::{DeadLetterOptions, ErrorOutcome, Sender};
use servicebus_core::servicebus::{Disposition, Entity, Message, MessageRef, Reason, RuleFilterRef, RuleRef};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_simulation::{Simulated, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::told::Told;

/// Requests that are refused when they are made a second time.
const VERBS: &[Verb] = verbs! {
    "cancel_scheduled": |kit| kit.sender.cancel_scheduled(&[kit.scheduled]);
    "complete by token": |kit| kit.receiver.settle_by_token(kit.message.lock_token().unwrap(), Disposition::Complete);
    "abandon by token": |kit| {
        let disposition = Disposition::Abandon { properties: &[] };
        kit.receiver.settle_by_token(kit.message.lock_token().unwrap(), disposition)
    };
    "dead-letter by token": |kit| {
        let disposition = Disposition::DeadLetter(DeadLetterOptions::new());
        kit.receiver.settle_by_token(kit.message.lock_token().unwrap(), disposition)
    };
    "add a rule": |kit| async {
        let rule = RuleRef::new("new", RuleFilterRef::False);
        kit.client.rule_manager(Entity::subscription("t", "s")).add(&rule).await
    };
    "remove a rule": |kit| async { kit.client.rule_manager(Entity::subscription("t", "s")).remove("$Default").await };
    // These can be repeated.
    "renew_lock_by_token": |kit| kit.receiver.renew_lock_by_token(kit.message.lock_token().unwrap());
    "peek": |kit| kit.receiver.peek(1, 10);
};

fn with_topic() -> World {
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", TopicDescription::default(), clock.utc).expect("a topic");
            let subscription = SubscriptionDescription::default();
            namespace.create_subscription("t", "s", subscription, None, clock.utc).expect("a subscription");
        });
    });
    world
}

#[test]
fn a_request_whose_answer_is_lost_ends_as_done_or_as_uncertain_c18() {
    let mut judge = Judge::new();
    for (name, call) in VERBS {
        let result = observe(&with_topic(), async move |world| {
            let client = world.client_with(settings(&world, policy(2)));
            let kit = Kit::new(&world, client).await;
            world.broker(|broker, _| broker.lose_responses(1));
            let ended = within(&world, MINUTE, call(kit)).await?.1;
            Some(ended.map_err(|error| (Told::of(&error), error.outcome())))
        });
        judge.case(
            name,
            result,
            |result| match result {
                Some(Ok(())) => true,
                Some(Err((_, outcome))) => *outcome == ErrorOutcome::Unknown,
                None => false,
            },
            |result| {
                use Reason::{EntityAlreadyExists, EntityNotFound, MessageLockLost, MessageNotFound};
                let Some(Err((Told::Service(reason), ErrorOutcome::NotSent))) = result else { return false };
                matches!(reason, EntityAlreadyExists | EntityNotFound | MessageLockLost | MessageNotFound)
            },
        );
    }
    judge.finish();
}

/// Sends.
type Call = fn(Sender<Simulated<Heap>>) -> Calling;

/// The queue's messages after a send, a batch and a send with an id whose answers were lost with the connection.
fn stored_with_lost_answers(message_ids: bool, detects: bool) -> [u64; 3] {
    let calls: [Call; 3] = [
        |sender| Box::pin(async move { sender.send("x").await }),
        |sender| Box::pin(async move { sender.send_all(&["x", "y"]).await.map_err(HeapFailure::from) }),
        |sender| Box::pin(async move { sender.send(&Message::new("x").with_message_id("own")).await }),
    ];
    calls.map(|call| {
        let queue = QueueDescription { requires_duplicate_detection: detects, ..QueueDescription::default() };
        observe(&world(queue), async move |world| {
            let client = world.client_with(settings(&world, policy(3)).with_message_ids(message_ids));
            let sender = client.sender("q").unwrap();
            sender.size_limits().await.unwrap();
            world.set_latency(SECOND / 10);
            let cutting = world.clone();
            world.spawn(async move {
                // The message has arrived, and the answer is under way.
                cutting.sleep(SECOND * 3 / 20).await;
                cutting.cut();
            });
            call(sender).await.unwrap();
            active(&world)
        })
    })
}

#[test]
fn a_send_whose_answer_is_lost_is_stored_once_where_duplicates_are_detected_c18() {
    assert_eq!(stored_with_lost_answers(true, true), [1, 2, 1]);
    // Without ids, and without duplicate detection, both attempts are stored.
    assert_eq!(stored_with_lost_answers(false, true), [2, 4, 1]);
    assert_eq!(stored_with_lost_answers(true, false), [2, 4, 2]);
}

#[test]
fn a_message_is_scheduled_once_when_the_answer_is_lost_c18() {
    let mut judge = Judge::new();
    for (lost, count) in [(0, 1), (1, 1), (1, 2), (1, 5), (2, 1), (2, 3)] {
        for all_at_once in [true, false] {
            let (scheduled, result) = observe(&world(QueueDescription::default()), async move |world| {
                let client = world.client_with(settings(&world, policy(3)));
                let sender = client.sender("q").unwrap();
                sender.size_limits().await.unwrap();
                world.broker(|broker, _| broker.lose_responses(lost));
                let messages = vec![MessageRef::new("x"); count];
                let at = world.clock().utc + HOUR;
                let ended = if all_at_once {
                    ending(&world, MINUTE, sender.schedule_all(&messages, at)).await
                } else {
                    ending(&world, MINUTE, sender.schedule_each(&messages, at, |_| {})).await
                };
                let counts = world.broker(|broker, _| {
                    broker.namespace().counts(&broker.namespace().queue("q").expect("the queue").stores)
                });
                (counts.scheduled, ended.map(|(_, result)| result))
            });
            // One request holds all of them, or each has one of its own.
            let twice = lost * if all_at_once { count as u64 } else { 1 };
            judge.case(
                format!("{lost} answers lost, {count} messages, at once: {all_at_once}"),
                (scheduled, result),
                |(scheduled, result)| match result {
                    Some(Ok(())) => *scheduled == count as u64,
                    // Uncertain is only what was not answered.
                    Some(Err(_)) => lost > 0,
                    None => false,
                },
                |(scheduled, result)| *scheduled == count as u64 + twice && twice > 0 && *result == Some(Ok(())),
            );
        }
    }
    judge.finish();
}
