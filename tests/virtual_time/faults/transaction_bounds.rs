//! Limits of a transaction: messages, time, and the effects of its end.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::Outcome;
use servicebus_core::wire::{Reader, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::{Ended, Failure, Response, World, uuids};
use servicebus_tests::coordinator::{Control, refusal};
use servicebus_tests::fault::Judge;

fn world() -> (World, LinkId, LinkId, Control) {
    let mut world =
        World::with_queue(QueueDescription { lock_duration: Duration::from_secs(300), ..QueueDescription::default() });
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    let control = Control::attach(&mut world, 0);
    (world, sender, receiver, control)
}

fn response_refusal(response: &Response) -> Option<Failure> {
    (response.status() >= 400).then(|| Failure { condition: String::new(), text: response.text().into() })
}

#[test]
fn a_transaction_sends_a_hundred_messages_f42() {
    let mut judge = Judge::new();
    // Settlements do not count.
    for (completed, sent) in
        [(0, 99), (0, 100), (100, 100), (150, 1), (0, 101), (0, 102), (0, 150), (0, 500), (50, 101), (0, 1_000)]
    {
        let (mut world, sender, receiver, control) = world();
        for _ in 0..completed {
            world.send(0, sender, &MessageRef::new("x"));
        }
        let held = world.receive_now(0, receiver, completed);
        let txn = control.declare(&mut world);
        let mut refused = None;
        for message in &held {
            refused = refused.or(refusal(&world.complete_in(0, message, &txn)));
        }
        for _ in 0..sent {
            refused = refused.or(refusal(&world.send_in(0, sender, &txn, &MessageRef::new("x"))));
        }
        let refused = refused.or(refusal(&control.commit(&mut world, &txn))).map(|failure| failure.text);
        let name = format!("{completed} completed, {sent} sent");
        let text = "Cannot send more than 100 messages in a single transaction.";
        if sent > 100 {
            judge.case(
                name,
                refused,
                |refused| refused.as_ref().is_some_and(|refused| refused.contains(text)),
                Option::is_none,
            );
        } else {
            judge.control(name, refused, Option::is_none);
        }
    }
    judge.finish();
}

/// Uses a transaction, with a sender and a receiver of the queue: why that was refused.
type Use = fn(&mut World, LinkId, LinkId, &[u8]) -> Option<Failure>;

#[test]
fn a_transaction_that_took_too_long_is_refused_at_each_use_f48() {
    let uses: [(&str, Use); 6] = [
        ("send", |world, sender, _, txn| refusal(&world.send_in(0, sender, txn, &MessageRef::new("x")))),
        ("complete", |world, _, receiver, txn| {
            let message = world.receive_now(0, receiver, 1).remove(0);
            refusal(&world.complete_in(0, &message, txn))
        }),
        ("abandon", |world, _, receiver, txn| {
            let message = world.receive_now(0, receiver, 1).remove(0);
            match world.settle_in(0, &message, txn, Outcome::Released) {
                // The answer that confirms it has the outcome's own kind.
                Ended::Transactional(outcome) if *outcome == Ended::Released => None,
                ended => refusal(&ended),
            }
        }),
        ("schedule", |world, _, _, txn| {
            let at = world.clock.utc + Duration::from_secs(60);
            let message = MessageRef::new("x").with_scheduled_enqueue_time(at);
            response_refusal(&world.schedule_in(0, "queue", &[message], Some(txn)))
        }),
        ("cancel", |world, _, _, txn| {
            let at = world.clock.utc + Duration::from_secs(60);
            let numbers = world.schedule(0, "queue", &[MessageRef::new("x").with_scheduled_enqueue_time(at)]).numbers();
            let numbers = servicebus_tests::broker::longs(&numbers);
            let entries = [("sequence-numbers", Reader::new(&numbers).value().unwrap())];
            response_refusal(&world.manage_in(0, "queue", "cancel-scheduled-message", &entries, Some(txn)))
        }),
        ("update-disposition", |world, _, receiver, txn| {
            let tokens = uuids(&[world.receive_now(0, receiver, 1).remove(0).token]);
            let entries = [
                ("disposition-status", Value::from("completed")),
                ("lock-tokens", Reader::new(&tokens).value().unwrap()),
            ];
            response_refusal(&world.manage_in(0, "queue", "update-disposition", &entries, Some(txn)))
        }),
    ];
    let mut judge = Judge::new();
    for seconds in [115, 121, 125, 300] {
        for (name, run) in uses {
            let (mut world, sender, receiver, control) = world();
            world.send(0, sender, &MessageRef::new("there"));
            let txn = control.declare(&mut world);
            world.advance(Duration::from_secs(seconds));
            let refused = run(&mut world, sender, receiver, &txn).map(|failure| failure.text);
            let name = format!("{name} after {seconds} s");
            if seconds < 120 {
                judge.control(name, refused, Option::is_none);
                continue;
            }
            judge.case(
                name,
                refused,
                |refused| {
                    refused.as_ref().is_some_and(|text| {
                        text.contains("No active Transaction was found for ID 'txn:")
                            && text.contains("The Transaction may have timed out or")
                            && text.contains("The server Transaction timeout is: 00:02:00.")
                    })
                },
                Option::is_none,
            );
        }
    }
    judge.finish();
}

#[test]
fn a_commit_that_comes_too_late_is_refused_in_the_services_words_f48() {
    let mut judge = Judge::new();
    for (seconds, sends) in [(119, 1), (121, 0), (121, 1), (125, 2), (300, 0), (300, 1)] {
        let (mut world, sender, _, control) = world();
        let txn = control.declare(&mut world);
        for _ in 0..sends {
            world.send_in(0, sender, &txn, &MessageRef::new("x"));
        }
        world.advance(Duration::from_secs(seconds));
        let committed = refusal(&control.commit(&mut world, &txn)).map(|failure| failure.text);
        let stored = world.peek(0, "queue", 0, 10).len();
        judge.case(
            format!("{sends} sends, committed after {seconds} s"),
            (committed, stored),
            |(committed, stored)| match committed {
                None => seconds < 120 && *stored == sends,
                Some(text) => seconds > 120 && *stored == 0 && text.contains("No active Transaction was found for ID"),
            },
            |(committed, stored)| {
                let known = committed.as_ref().is_none_or(|text| !text.contains("No active Transaction"));
                seconds > 120 && *stored == 0 && known
            },
        );
    }
    judge.finish();
}

/// A client that holds the session `s` with a state, and a transaction.
fn session() -> (World, Control, Vec<u8>) {
    let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let control = Control::attach(&mut world, 0);
    let txn = control.declare(&mut world);
    (world, control, txn)
}

/// The state before a transaction and the one that is set in it.
type Change = (Option<&'static [u8]>, Option<&'static [u8]>);

fn set_state(world: &mut World, state: Option<&[u8]>, txn: Option<&[u8]>) -> Response {
    let entries = [("session-id", Value::from("s")), ("session-state", state.map_or(Value::Null, Value::Binary))];
    world.manage_in(0, "queue", "set-session-state", &entries, txn)
}

fn state(world: &mut World) -> Option<Vec<u8>> {
    let response = world.manage(0, "queue", "get-session-state", &[("session-id", "s".into())]);
    response.body().get("session-state").and_then(|value| value.as_bytes().map(<[u8]>::to_vec))
}

#[test]
fn a_session_state_is_part_of_the_transaction_f71() {
    let mut judge = Judge::new();
    let states: [Change; 6] = [
        (Some(b"old"), Some(b"new")),
        (None, Some(b"new")),
        (Some(b"old"), None),
        (Some(b"old"), Some(b"o")),
        (Some(&[0; 4_096]), Some(&[1; 9])),
        (Some(b"same"), Some(b"same")),
    ];
    for (before, after) in states {
        for end in ["rolled back", "control link gone", "committed"] {
            let (mut world, control, txn) = session();
            if before.is_some() {
                assert_eq!(set_state(&mut world, before, None).status(), 200);
            }
            assert_eq!(set_state(&mut world, after, Some(&txn)).status(), 200);
            match end {
                "rolled back" => assert_eq!(control.roll_back(&mut world, &txn), Ended::Accepted),
                "committed" => assert_eq!(control.commit(&mut world, &txn), Ended::Accepted),
                _ => control.detach(&mut world),
            }
            let right = if end == "committed" { after } else { before };
            let wrong = after;
            judge.case(
                format!("{:?} to {:?}, {end}", before.map(<[u8]>::len), after.map(<[u8]>::len)),
                state(&mut world),
                |state| state.as_deref() == right,
                |state| right != wrong && state.as_deref() == wrong,
            );
        }
    }
    judge.finish();
}
