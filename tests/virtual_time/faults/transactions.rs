//! All or nothing, and not indefinitely.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{LockToken, MessageRef};
use servicebus_core::time::Duration;
use servicebus_core::wire::{Reader, Uuid, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, is_enlisted};
use servicebus_tests::fault::Judge;

const MEGABYTE: usize = 1 << 20;

/// The queue `queue` and the topic `topic` with the subscription `sub`, of one megabyte each, with so many bytes in
/// them, and a sender to one of them.
fn world(entity: &str, held: usize) -> (World, LinkId) {
    let mut world = World::with_queue(QueueDescription {
        max_size_in_megabytes: 1,
        max_message_size_in_kilobytes: Some(1_024),
        ..QueueDescription::default()
    });
    let topic = TopicDescription {
        max_size_in_megabytes: 1,
        max_message_size_in_kilobytes: Some(1_024),
        ..TopicDescription::default()
    };
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("topic", topic, clock.utc).unwrap();
        let description = SubscriptionDescription::default();
        namespace.create_subscription("topic", "sub", description, None, clock.utc).unwrap();
    });
    let sender = world.sender(0, entity).unwrap();
    if held > 0 {
        assert_eq!(world.send(0, sender, &MessageRef::new(&"h".repeat(held))), Ended::Accepted);
    }
    (world, sender)
}

fn stored(world: &mut World, entity: &str) -> usize {
    world.peek(0, if entity == "topic" { "topic/Subscriptions/sub" } else { entity }, 0, 100).len()
}

/// Bytes in the entity before, and the sizes of messages of which not all fit.
const TOO_MUCH: [(usize, &[usize]); 5] = [
    (0, &[600_000, 600_000]),
    (500_000, &[400_000, 400_000]),
    (900_000, &[100_000, 100_000]),
    (0, &[400_000, 400_000, 400_000]),
    (1_000_000, &[20_000, 20_000, 20_000, 20_000]),
];

/// The same where all of them fit.
const FITS: [(usize, &[usize]); 3] = [(0, &[400_000, 400_000]), (500_000, &[100_000; 3]), (900_000, &[60_000])];

#[test]
fn a_transaction_of_sends_is_all_or_nothing_f34() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic"] {
        for (held, sizes) in TOO_MUCH {
            let (mut world, sender) = world(entity, held);
            let before = stored(&mut world, entity);
            let control = Control::attach(&mut world, 0);
            let txn = control.declare(&mut world);
            let enlisted = sizes
                .iter()
                .filter(|size| {
                    let body = "x".repeat(**size);
                    is_enlisted(&world.send_in(0, sender, &txn, &MessageRef::new(&body)))
                })
                .count();
            let committed = control.commit(&mut world, &txn);
            let added = stored(&mut world, entity) - before;
            judge.case(
                format!("{sizes:?} beside {held} in {entity}"),
                (enlisted, committed, added),
                // What was not part of the transaction was refused before.
                |(enlisted, committed, added)| match committed {
                    Ended::Accepted => added == enlisted,
                    _ => *added == 0,
                },
                |(enlisted, committed, added)| *committed == Ended::Accepted && added < enlisted,
            );
        }
        for (held, sizes) in FITS {
            let (mut world, sender) = world(entity, held);
            let control = Control::attach(&mut world, 0);
            let before = stored(&mut world, entity);
            let txn = control.declare(&mut world);
            for size in sizes {
                world.send_in(0, sender, &txn, &MessageRef::new(&"x".repeat(*size)));
            }
            let seen = (control.commit(&mut world, &txn), stored(&mut world, entity) - before);
            let all = |seen: &(Ended, usize)| *seen == (Ended::Accepted, sizes.len());
            judge.control(format!("{sizes:?} beside {held} in {entity}"), seen, all);
        }
    }
    judge.finish();
}

#[test]
fn a_batch_is_all_or_nothing_f35() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic"] {
        for (held, sizes) in TOO_MUCH {
            // A batch has a megabyte at most.
            let held = held.max(500_000);
            let sizes: Vec<usize> = sizes.iter().map(|size| (*size).min(300_000)).take(3).collect();
            let sizes = if held == 1_000_000 { vec![40_000; 2] } else { sizes };
            let (mut world, sender) = world(entity, held);
            let before = stored(&mut world, entity);
            let bodies: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let messages: Vec<MessageRef<'_>> = bodies.iter().map(|body| MessageRef::new(body.as_str())).collect();
            let fits = held + sizes.iter().sum::<usize>() < MEGABYTE - 1_000;
            let ended = world.send_batch(0, sender, &messages);
            let added = stored(&mut world, entity) - before;
            judge.case(
                format!("{sizes:?} beside {held} in {entity}"),
                (ended, added),
                |(ended, added)| match ended {
                    Ended::Accepted => fits && *added == sizes.len(),
                    _ => !fits && *added == 0,
                },
                |(ended, added)| !fits && *ended != Ended::Accepted && *added > 0,
            );
        }
        for (held, sizes) in FITS {
            let (mut world, sender) = world(entity, held);
            let before = stored(&mut world, entity);
            let bodies: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let messages: Vec<MessageRef<'_>> = bodies.iter().map(|body| MessageRef::new(body.as_str())).collect();
            let seen = (world.send_batch(0, sender, &messages), stored(&mut world, entity) - before);
            let all = |seen: &(Ended, usize)| *seen == (Ended::Accepted, sizes.len());
            judge.control(format!("{sizes:?} beside {held} in {entity}"), seen, all);
        }
    }
    judge.finish();
}

#[test]
fn a_transaction_that_is_left_is_rolled_back_f36() {
    let mut judge = Judge::new();
    for (transactions, sends, minutes) in [(1, 0, 3), (1, 1, 3), (50, 0, 3), (50, 1, 5), (3, 10, 4)] {
        let (mut world, sender) = world("queue", 0);
        let control = Control::attach(&mut world, 0);
        for _ in 0..transactions {
            let txn = control.declare(&mut world);
            for _ in 0..sends {
                assert!(is_enlisted(&world.send_in(0, sender, &txn, &MessageRef::new("x"))));
            }
        }
        world.advance(Duration::from_secs(minutes * 60));
        let open = world.broker.open_transactions();
        judge.equal(format!("{transactions} of {sends} sends, left for {minutes} minutes"), open, 0, transactions);
    }
    judge.finish();
}

#[test]
fn bytes_of_open_transactions_count_f36() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic"] {
        for (transactions, sends, size) in [(1, 20, 100_000), (10, 2, 100_000), (5, 1, 900_000), (50, 1, 100_000)] {
            let (mut world, sender) = world(entity, 0);
            let control = Control::attach(&mut world, 0);
            let body = "x".repeat(size);
            let mut enlisted = 0;
            for _ in 0..transactions {
                let txn = control.declare(&mut world);
                for _ in 0..sends {
                    enlisted += usize::from(is_enlisted(&world.send_in(0, sender, &txn, &MessageRef::new(&body))));
                }
            }
            let held = enlisted * size;
            let all = transactions * sends * size;
            let name = format!("{transactions} times {sends} of {size} bytes to {entity}");
            // What fits is taken.
            judge.case(name, held, |held| (MEGABYTE / 2..=MEGABYTE).contains(held), |held| *held == all);
        }
    }
    judge.finish();
}

/// Locks that one request is to end in a transaction, and whether it can.
#[test]
fn what_one_request_settles_in_a_transaction_is_all_or_nothing_f81() {
    for (case, partitions, repeats, unknown, fits) in [
        ("one partition", ["a", "a", "a"], false, false, true),
        ("a second partition at the end", ["a", "a", "b"], false, false, false),
        ("a second partition at once", ["a", "b", "b"], false, false, false),
        ("a token twice", ["a", "a", "a"], true, false, false),
        ("an unknown token", ["a", "a", "a"], false, true, false),
    ] {
        for status in ["completed", "abandoned", "defered", "suspended"] {
            let description = QueueDescription { enable_partitioning: true, ..QueueDescription::default() };
            let mut world = World::with_queue(description);
            let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
            for key in partitions {
                let message = MessageRef::new("x").with_partition_key(key);
                assert_eq!(world.send(0, sender, &message), Ended::Accepted);
            }
            let locked = world.receive_now(0, receiver, 3);
            let mut tokens: Vec<_> = locked.iter().map(|message| message.token).collect();
            tokens.extend(repeats.then(|| tokens[0]));
            tokens.extend(unknown.then(|| LockToken::from_uuid(Uuid([9; 16]))));
            let control = Control::attach(&mut world, 0);
            let txn = control.declare(&mut world);
            let encoded = uuids(&tokens);
            let entries = [
                ("disposition-status", Value::String(status)),
                ("lock-tokens", Reader::new(&encoded).value().unwrap()),
            ];
            let answer = world.manage_in(0, "queue", "update-disposition", &entries, Some(&txn));
            assert_eq!(answer.status() == 200, fits, "{case}, {status}");
            assert_eq!(control.commit(&mut world, &txn), Ended::Accepted, "{case}, {status}");
            // What was refused as a whole left every lock as it was.
            let held: Vec<_> =
                locked.iter().map(|message| world.renew(0, "queue", &[message.token]).status()).collect();
            assert_eq!(held, [if fits { 410 } else { 200 }; 3], "{case}, {status}");
        }
    }
}

#[test]
fn a_message_that_a_transaction_has_taken_back_is_gone_for_it_f84() {
    for entity in ["queue", "topic"] {
        for (first, second, taken) in [
            (&[0][..], &[0][..], false),
            (&[0, 1], &[1], false),
            (&[0], &[1, 0], false),
            (&[0], &[1], true),
            (&[1], &[0], true),
        ] {
            let (mut world, _) = world(entity, 0);
            let later = MessageRef::new("x").with_scheduled_enqueue_time(world.clock.utc + Duration::from_secs(3_600));
            let scheduled = world.schedule(0, entity, &[later, later]).numbers();
            let control = Control::attach(&mut world, 0);
            let txn = control.declare(&mut world);
            let cancel = |world: &mut World, which: &[usize]| {
                let numbers: Vec<i64> = which.iter().map(|at| scheduled[*at]).collect();
                let encoded = longs(&numbers);
                let entries = [("sequence-numbers", Reader::new(&encoded).value().unwrap())];
                world.manage_in(0, entity, "cancel-scheduled-message", &entries, Some(&txn))
            };
            let case = format!("{entity}, {first:?} and then {second:?}");
            assert_eq!(cancel(&mut world, first).status(), 200, "{case}");
            let again = cancel(&mut world, second);
            let refused = (!taken).then_some("com.microsoft:message-not-found");
            assert_eq!(again.condition(), refused, "{case}");
            assert_eq!(control.commit(&mut world, &txn), Ended::Accepted, "{case}");
            let gone = first.len() + if taken { second.len() } else { 0 };
            assert_eq!(world.peek(0, entity, 0, 9).len(), 2 - gone, "{case}");
        }
    }
}
