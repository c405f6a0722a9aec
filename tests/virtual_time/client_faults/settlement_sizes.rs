//! Settlements that are larger than the peer's frames are refused locally.

use crate::stage::{Ending, MINUTE, ending, observe, sessions, world};
use servicebus_core::client::DeadLetterOptions;
use servicebus_core::servicebus::{Disposition, Entity, MessageRef, Properties, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::fault::Judge;
use servicebus_tests::told::Told;

/// How a settlement ends, how many connections there were by then, and whether the message can still be settled.
fn settle(disposition: Disposition<'static>, in_session: bool, by_token: bool) -> (Ending, u64, bool) {
    let queue = if in_session { sessions(MINUTE) } else { QueueDescription::default() };
    observe(&world(queue), async move |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        let mut message = MessageRef::new("x");
        message.session_id = in_session.then_some("s");
        sender.send(&message).await.unwrap();
        let session;
        let queue;
        let receiver = if in_session {
            session = client.accept_session(Entity::queue("q"), "s").await.unwrap();
            &*session
        } else {
            queue = client.receiver("q").unwrap();
            &queue
        };
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        let limit = MINUTE * 10;
        let ended = match disposition {
            _ if by_token => {
                ending(&world, limit, receiver.settle_by_token(message.lock_token().unwrap(), disposition)).await
            }
            Disposition::Complete => ending(&world, limit, receiver.complete(&message)).await,
            Disposition::Abandon { properties } => {
                ending(&world, limit, receiver.abandon_with(&message, properties)).await
            }
            Disposition::Defer { properties } => ending(&world, limit, receiver.defer_with(&message, properties)).await,
            Disposition::DeadLetter(options) => ending(&world, limit, receiver.dead_letter(&message, options)).await,
            disposition => panic!("{disposition:?}"),
        };
        let opened = world.connections_opened();
        let settles = matches!(ending(&world, limit, receiver.complete(&message)).await, Some((_, Ok(()))));
        (ended, opened, settles)
    })
}

fn text(length: usize) -> &'static str {
    // A test's own text may live as long as the test.
    Box::leak("x".repeat(length).into_boxed_str())
}

fn properties(count: usize, length: usize) -> Properties<'static> {
    let pairs = (0..count).map(|number| (&*format!("p{number}").leak(), Value::String(text(length))));
    Box::leak(pairs.collect())
}

fn dead_letter<'a>(
    reason: Option<&'a str>,
    description: Option<&'a str>,
    properties: Properties<'a>,
) -> Disposition<'a> {
    let mut options = DeadLetterOptions::new().with_properties(properties);
    (options.reason, options.description) = (reason, description);
    Disposition::DeadLetter(options)
}

#[test]
fn a_settlement_larger_than_a_frame_is_refused_locally_c6() {
    let mut judge = Judge::new();
    for (name, disposition, in_session) in [
        ("description of 72 000", dead_letter(None, Some(text(72_000)), &[]), false),
        ("description of 72 000 in a session", dead_letter(None, Some(text(72_000)), &[]), true),
        ("reason of 72 000", dead_letter(Some(text(72_000)), None, &[]), false),
        ("dead-letter with a property of 70 000", dead_letter(None, None, properties(1, 70_000)), false),
        ("abandon with a property of 70 000", Disposition::Abandon { properties: properties(1, 70_000) }, false),
        ("abandon with 700 properties of 100", Disposition::Abandon { properties: properties(700, 100) }, false),
        ("abandon in a session", Disposition::Abandon { properties: properties(1, 100_000) }, true),
        ("defer with a property of 70 000", Disposition::Defer { properties: properties(1, 70_000) }, false),
        ("defer with a property of 1 000 000", Disposition::Defer { properties: properties(1, 1_000_000) }, false),
    ] {
        judge.case(
            name,
            settle(disposition, in_session, false),
            |(ended, opened, settles)| matches!(ended, Some((_, Err(Told::Argument(_))))) && *opened == 1 && *settles,
            |(ended, opened, settles)| match ended {
                // The session went with the connection, which is not dialled again for it.
                Some((_, Err(Told::Service(Reason::SessionLockLost)))) => in_session && !settles,
                Some((_, Err(Told::Argument(_)))) => false,
                _ => *opened > 1,
            },
        );
    }
    judge.finish();
}

#[test]
fn dead_letter_texts_have_4096_characters_at_most_c6() {
    let mut judge = Judge::new();
    for length in [1, 4_095, 4_096, 4_097, 5_000, 20_000] {
        for of_reason in [true, false] {
            let given = Some(text(length));
            let (reason, description) = if of_reason { (given, None) } else { (None, given) };
            let (ended, opened, _) = settle(dead_letter(reason, description, &[]), false, false);
            let result = ended.map(|(_, result)| (result, opened));
            let accepted = Some((Ok(()), 1));
            if length <= 4_096 {
                assert_eq!(result, accepted, "{length} characters");
            } else {
                let refused =
                    |result: &Option<(Result<(), Told>, u64)>| matches!(result, Some((Err(Told::Argument(_)), 1)));
                judge.case(format!("{length} characters, reason: {of_reason}"), result, refused, |result| {
                    *result == accepted
                });
            }
        }
    }
    judge.finish();
}

/// By its token a settlement is a request, which may have several frames.
#[test]
fn a_large_settlement_by_token_keeps_the_connection_c6() {
    for disposition in [
        Disposition::Abandon { properties: properties(1, 70_000) },
        Disposition::Defer { properties: properties(1, 70_000) },
        dead_letter(None, Some(text(72_000)), &[]),
    ] {
        let (ended, opened, _) = settle(disposition, false, true);
        assert!(ended.is_some() && opened == 1, "{}: {ended:?}, {opened} connections", disposition.name());
    }
}
