//! A received message that is sent on keeps everything except the properties that the service set.

use crate::stage::{DAY, HOUR, MINUTE, observe, world};
use servicebus_core::client::{DeadLetterOptions, Receiver, ReceiverOptions, Sender};
use servicebus_core::servicebus::{AsMessage as _, Entity, MessageRef, ReceivedMessage};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::messaging::{MessageId, Properties};
use servicebus_core::wire::{Uuid, Value, to_vec};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::Simulated;
use servicebus_tests::fault::Judge;

/// Sends a received message on.
async fn resend(sender: &Sender<Simulated<Heap>>, message: &ReceivedMessage<Heap>) {
    let copy = message.to_message();
    // Borrowed, as in fixed storage, it is the same.
    assert_eq!(to_vec(&copy.as_message()), to_vec(&message.as_message()));
    sender.send(&copy).await.unwrap();
}

/// A message as it came first, and as it came when it was sent on.
fn twice(message: MessageRef<'static>) -> (ReceivedMessage<Heap>, ReceivedMessage<Heap>) {
    observe(&world(QueueDescription::default()), async move |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        sender.send(&message).await.unwrap();
        let first = take(&receiver).await;
        resend(&sender, &first).await;
        let second = take(&receiver).await;
        (first, second)
    })
}

async fn take(receiver: &Receiver<Simulated<Heap>>) -> ReceivedMessage<Heap> {
    let message = receiver.receive(MINUTE).await.unwrap().unwrap();
    receiver.complete(&message).await.unwrap();
    message
}

/// A part of a message in words.
type Part = fn(&ReceivedMessage<Heap>) -> String;

/// The properties section, without the times that follow from the time to live.
fn properties(message: &ReceivedMessage<Heap>) -> Properties<'_> {
    message.view().properties().unwrap()
}

#[test]
fn a_message_that_is_sent_on_keeps_what_its_sender_set_c8_n6() {
    let made = Timestamp::from_secs(1_700_000_000);
    let plain = || MessageRef::new("x");
    let cases: [(&str, MessageRef<'static>, Part); 14] = [
        ("content encoding", plain().with_content_encoding("gzip"), |m| {
            format!("{:?}", properties(m).content_encoding)
        }),
        ("user id", plain().with_user_id(b"me"), |m| format!("{:?}", properties(m).user_id)),
        ("group sequence", plain().with_group_sequence(7), |m| format!("{:?}", properties(m).group_sequence)),
        ("creation time", plain().with_creation_time(made), |m| format!("{:?}", properties(m).creation_time)),
        ("priority", plain().with_priority(7), |m| format!("{:?}", m.view().header().unwrap().priority)),
        ("durable", plain().with_durable(true), |m| format!("{:?}", m.view().header().unwrap().durable)),
        ("annotation", plain().with_annotations(&[("x-opt-own", Value::Int(7))]), |m| {
            format!("{:?}", m.view().message_annotations().unwrap().get("x-opt-own"))
        }),
        ("footer", plain().with_footer(&[("own", Value::Int(7))]), |m| {
            format!("{:?}", m.view().footer().unwrap().get("own"))
        }),
        ("subject", plain().with_subject("s"), |m| format!("{:?}", m.subject())),
        ("correlation id", plain().with_correlation_id("c"), |m| format!("{:?}", m.correlation_id())),
        ("content type", plain().with_content_type("t/t"), |m| format!("{:?}", m.content_type())),
        ("reply to", plain().with_reply_to("r"), |m| format!("{:?}", m.reply_to())),
        ("to", plain().with_to("t"), |m| format!("{:?}", m.to())),
        ("message id", plain().with_message_id("m"), |m| format!("{:?}", m.message_id())),
    ];
    let mut judge = Judge::new();
    for (name, message, part) in cases {
        let (first, second) = twice(message);
        let (before, after) = (part(&first), part(&second));
        assert_ne!(before, "None", "{name}: the emulator keeps it");
        judge.case(name, after, |after| *after == before, |after| after == "None");
    }
    judge.finish();
}

#[test]
fn a_message_that_is_sent_on_keeps_all_of_its_properties_c8() {
    let mut judge = Judge::new();
    for count in [1, 15, 16, 17, 40, 200] {
        let pairs = (0..count).map(|number| (&*format!("p{number}").leak(), Value::Int(number)));
        let message = MessageRef::new("x").with_properties(Box::leak(pairs.collect()));
        let (first, second) = twice(message);
        assert_eq!(first.properties().count(), count as usize);
        let kept = second.properties().count();
        judge.case(
            format!("{count} properties"),
            kept,
            |kept| *kept == count as usize,
            |kept| count > 16 && *kept == 16,
        );
    }
    judge.finish();
}

#[test]
fn a_message_that_is_sent_on_keeps_its_life_c8() {
    let mut judge = Judge::new();
    for days in [1, 40, 50, 100, 400, 3_000] {
        let made = Timestamp::from_secs(1_767_225_600);
        let life = DAY * days;
        // As the SDKs write a life of more than 49 days.
        let message = MessageRef::new("x")
            .with_creation_time(made)
            .with_absolute_expiry_time(made + life)
            .with_time_to_live(life);
        let (first, second) = twice(message);
        let live = |message: &ReceivedMessage<Heap>| lifetime(message);
        assert_near(live(&first), life);
        judge.case(
            format!("{days} days"),
            live(&second),
            |lives| near(*lives, life),
            |lives| near(*lives, Duration::from_millis(u64::from(u32::MAX))),
        );
    }
    judge.finish();
}

/// From its enqueueing to its end.
fn lifetime(message: &ReceivedMessage<Heap>) -> Duration {
    let (from, to) = (message.enqueued_time().unwrap(), message.expires_at().unwrap());
    Duration::from_millis((to.as_millis() - from.as_millis()).unsigned_abs())
}

fn near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) < MINUTE
}

fn assert_near(one: Duration, other: Duration) {
    assert!(near(one, other), "{one:?} instead of {other:?}");
}

#[test]
fn a_time_to_live_of_more_than_49_days_is_exact_c9() {
    let mut judge = Judge::new();
    let most = Duration::from_millis(u64::from(u32::MAX));
    for life in [DAY * 49, DAY * 50, DAY * 60, DAY * 100, DAY * 365, DAY * 3_650, most + HOUR] {
        let lived = observe(&world(QueueDescription::default()), async move |world| {
            let client = world.client::<Heap>();
            client.sender("q").unwrap().send(&MessageRef::new("x").with_time_to_live(life)).await.unwrap();
            lifetime(&take(&client.receiver("q").unwrap()).await)
        });
        judge.case(format!("{life:?}"), lived, |lived| near(*lived, life), |lived| near(*lived, most));
    }
    judge.finish();
}

#[test]
fn a_dead_lettered_message_is_sent_on_without_the_reason_c8() {
    let mut judge = Judge::new();
    for (reason, description) in [
        (Some("broken"), Some("not JSON")),
        (Some("broken"), None),
        (None, Some("not JSON")),
        (Some("MaxDeliveryCountExceeded"), None),
        (Some(""), Some("")),
    ] {
        let kept = observe(&world(QueueDescription::default()), async move |world| {
            let client = world.client::<Heap>();
            let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
            let own = [("own", Value::Int(1))];
            sender.send(&MessageRef::new("x").with_properties(&own)).await.unwrap();
            let message = receiver.receive(MINUTE).await.unwrap().unwrap();
            let mut options = DeadLetterOptions::new();
            (options.reason, options.description) = (reason, description);
            receiver.dead_letter(&message, options).await.unwrap();
            let options = ReceiverOptions::new(Entity::queue("q").dead_letter());
            let dead = take(&client.receiver(options).unwrap()).await;
            resend(&sender, &dead).await;
            let again = take(&receiver).await;
            assert!(again.property("own").is_some());
            let keys = ["DeadLetterReason", "DeadLetterErrorDescription"];
            keys.map(|key| again.property(key).is_some())
        });
        let kept_today = [reason.is_some(), description.is_some()];
        judge.equal(format!("{reason:?}, {description:?}"), kept, [false, false], kept_today);
    }
    judge.finish();
}

#[test]
fn ids_of_every_type_are_kept_when_a_message_is_sent_on_c13() {
    let mut judge = Judge::new();
    let uuid = MessageId::Uuid(Uuid(*b"0123456789abcdef"));
    let kinds = [
        MessageId::Ulong(7),
        MessageId::Ulong(u64::MAX),
        uuid,
        MessageId::Binary(b"\x00\xff"),
        MessageId::Binary(b""),
        MessageId::String("text"),
    ];
    for id in kinds {
        for of_message in [true, false] {
            let message = MessageRef::new("x");
            let (first, second) =
                twice(if of_message { message.with_message_id(id) } else { message.with_correlation_id(id) });
            let found = |message: &ReceivedMessage<Heap>| {
                let found = properties(message);
                let id = if of_message { found.message_id } else { found.correlation_id };
                id.map(|id| format!("{id:?}"))
            };
            let sent = Some(format!("{id:?}"));
            assert_eq!(found(&first), sent, "the emulator keeps it");
            let observed = found(&second);
            // The emulator gives an id to a message that has none.
            let made = |id: &str| id.starts_with("String(") && id.len() == "String(\"\")".len() + 32;
            judge.case(
                format!("{id:?}, of the message: {of_message}"),
                observed,
                |found| *found == sent,
                |found| *found != sent && found.as_deref().is_none_or(made),
            );
        }
    }
    judge.finish();
}
