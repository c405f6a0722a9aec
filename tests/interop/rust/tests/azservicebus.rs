//! `azservicebus`, the client for Rust over `fe2o3-amqp`, on the emulator: messages and their settlement, sessions,
//! schedules, batches and rules.

use azservicebus::receiver::DeadLetterOptions;
use azservicebus::{
    ServiceBusMessage, ServiceBusReceiveMode, ServiceBusReceivedMessage, ServiceBusReceiver, ServiceBusReceiverOptions,
    SubQueue,
};
use servicebus_interop_rust::{Client, Emulator, PATIENCE};
use std::error::Error;
use std::time::Duration;
use time::OffsetDateTime;

type Outcome = Result<(), Box<dyn Error>>;

async fn send(client: &mut Client, entity: &str, bodies: &[&str]) -> Outcome {
    let mut sender = client.create_sender(entity, Default::default()).await?;
    for body in bodies {
        sender.send_message(*body).await?;
    }
    sender.dispose().await?;
    Ok(())
}

/// So many messages, in as many calls as it takes.
async fn receive(
    receiver: &mut ServiceBusReceiver,
    count: usize,
) -> Result<Vec<ServiceBusReceivedMessage>, Box<dyn Error>> {
    let mut all = Vec::new();
    while all.len() < count {
        let wanted = u32::try_from(count - all.len())?;
        let more = receiver.receive_messages_with_max_wait_time(wanted, PATIENCE).await?;
        if more.is_empty() {
            return Err(format!("{} messages instead of {count}", all.len()).into());
        }
        all.extend(more);
    }
    Ok(all)
}

async fn is_empty(receiver: &mut ServiceBusReceiver) -> Result<bool, Box<dyn Error>> {
    let left = receiver.receive_message_with_max_wait_time(Duration::from_millis(200)).await?;
    Ok(left.is_none())
}

fn bodies(messages: &[ServiceBusReceivedMessage]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.body().unwrap_or_default()).into_owned()).collect()
}

#[tokio::test]
async fn messages_keep_their_fields_and_their_order() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    let mut sender = client.create_sender("queue", Default::default()).await?;
    let mut message = ServiceBusMessage::new("0");
    message.set_message_id("id")?;
    message.set_subject("subject".to_owned());
    message.set_correlation_id("correlation".to_owned());
    message.set_content_type("text/plain".to_owned());
    message.set_reply_to("reply".to_owned());
    message.set_to("to".to_owned());
    message.set_time_to_live(Duration::from_secs(600))?;
    sender.send_message(message).await?;
    sender.send_messages(["1", "2", "3"]).await?;
    let mut receiver = client.create_receiver_for_queue("queue", Default::default()).await?;
    let messages = receive(&mut receiver, 4).await?;
    assert_eq!(bodies(&messages), ["0", "1", "2", "3"]);
    let first = &messages[0];
    assert_eq!(first.message_id().as_deref(), Some("id"));
    assert_eq!(first.subject(), Some("subject"));
    assert_eq!(first.correlation_id().as_deref(), Some("correlation"));
    assert_eq!(first.content_type(), Some("text/plain"));
    assert_eq!((first.reply_to(), first.to()), (Some("reply"), Some("to")));
    assert_eq!(first.time_to_live(), Some(Duration::from_secs(600)));
    assert_eq!(first.delivery_count(), Some(1));
    assert!(messages.is_sorted_by_key(ServiceBusReceivedMessage::sequence_number));
    let locked = first.locked_until().ok_or("no lock")? - OffsetDateTime::now_utc();
    assert!((50..=60).contains(&locked.whole_seconds()), "{locked}");
    for message in &messages {
        receiver.complete_message(message).await?;
    }
    assert!(is_empty(&mut receiver).await?);
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn every_settlement_does_what_it_says() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    send(&mut client, "queue", &["complete", "abandon", "defer", "dead"]).await?;
    let mut receiver = client.create_receiver_for_queue("queue", Default::default()).await?;
    let messages = receive(&mut receiver, 4).await?;
    receiver.complete_message(&messages[0]).await?;
    receiver.abandon_message(&messages[1], None).await?;
    receiver.defer_message(&messages[2], None).await?;
    let options = DeadLetterOptions {
        dead_letter_reason: Some("why".to_owned()),
        dead_letter_error_description: Some("because".to_owned()),
        properties_to_modify: None,
    };
    receiver.dead_letter_message(&messages[3], options).await?;

    let again = receive(&mut receiver, 1).await?;
    assert_eq!((bodies(&again)[0].as_str(), again[0].delivery_count()), ("abandon", Some(2)));
    receiver.complete_message(&again[0]).await?;
    assert!(is_empty(&mut receiver).await?);

    let number = messages[2].sequence_number();
    let deferred = receiver.receive_deferred_message(number).await?.ok_or("the deferred message is not there")?;
    assert_eq!(deferred.body()?, b"defer");
    receiver.complete_message(&deferred).await?;

    let options = ServiceBusReceiverOptions { sub_queue: SubQueue::DeadLetter, ..Default::default() };
    let mut dead_letters = client.create_receiver_for_queue("queue", options).await?;
    let dead = receive(&mut dead_letters, 1).await?;
    assert_eq!(dead[0].dead_letter_reason(), Some("why"));
    assert_eq!(dead[0].dead_letter_error_description(), Some("because"));
    dead_letters.complete_message(&dead[0]).await?;
    assert!(is_empty(&mut dead_letters).await?);
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn a_renewed_lock_lasts_longer() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    send(&mut client, "short", &["a"]).await?;
    let mut receiver = client.create_receiver_for_queue("short", Default::default()).await?;
    let mut message = receive(&mut receiver, 1).await?.remove(0);
    let first = message.locked_until().ok_or("no lock")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    receiver.renew_message_lock(&mut message).await?;
    let renewed = message.locked_until().ok_or("no lock")?;
    assert!(renewed - first >= time::Duration::seconds(2), "{first} {renewed}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    receiver.complete_message(&message).await?;
    assert!(is_empty(&mut receiver).await?);
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_received_and_deleted_is_gone() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    send(&mut client, "queue", &["a", "b"]).await?;
    let options =
        ServiceBusReceiverOptions { receive_mode: ServiceBusReceiveMode::ReceiveAndDelete, ..Default::default() };
    let mut receiver = client.create_receiver_for_queue("queue", options).await?;
    assert_eq!(bodies(&receive(&mut receiver, 2).await?), ["a", "b"]);
    assert_eq!(receiver.peek_messages(10, None).await?.len(), 0);
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn batches_are_stored_whole() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    let mut sender = client.create_sender("queue", Default::default()).await?;
    let mut batch = sender.create_message_batch(Default::default())?;
    for number in 0..100 {
        batch.try_add_message(format!("{number}"))?;
    }
    sender.send_message_batch(batch).await?;
    let mut receiver = client.create_receiver_for_queue("queue", Default::default()).await?;
    let messages = receive(&mut receiver, 100).await?;
    assert_eq!(bodies(&messages), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn scheduled_messages_come_in_time_or_are_cancelled() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    let mut sender = client.create_sender("queue", Default::default()).await?;
    let at = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let later = at + Duration::from_secs(600);
    sender.schedule_message("soon", at).await?;
    let never = sender.schedule_messages(["never", "never"], later).await?;
    assert_eq!(never.len(), 2);
    let mut receiver = client.create_receiver_for_queue("queue", Default::default()).await?;
    let peeked = receiver.peek_messages(10, None).await?;
    assert_eq!(peeked.len(), 3);
    sender.cancel_scheduled_messages(never).await?;
    let messages = receive(&mut receiver, 1).await?;
    assert!(OffsetDateTime::now_utc() >= at);
    assert_eq!(bodies(&messages), ["soon"]);
    receiver.complete_message(&messages[0]).await?;
    assert_eq!(receiver.peek_messages(10, None).await?.len(), 0);
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn sessions_are_accepted_and_keep_their_state() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    let mut sender = client.create_sender("session", Default::default()).await?;
    for (session, body) in [("a", "a 0"), ("b", "b 0"), ("a", "a 1")] {
        let mut message = ServiceBusMessage::new(body);
        message.set_session_id(session.to_owned())?;
        sender.send_message(message).await?;
    }
    let mut session = client.accept_session_for_queue("session", "a", Default::default()).await?;
    assert_eq!(session.session_id(), "a");
    for body in ["a 0", "a 1"] {
        let message = session.receive_message().await?;
        assert_eq!((message.body()?, message.session_id()), (body.as_bytes(), Some("a")));
        session.complete_message(&message).await?;
    }
    session.set_session_state(b"state".to_vec()).await?;
    assert_eq!(session.session_state().await?, b"state");
    session.renew_session_lock().await?;
    session.dispose().await?;
    let mut next = client.accept_next_session_for_queue("session", Default::default()).await?;
    assert_eq!(next.session_id(), "b");
    let message = next.receive_message().await?;
    next.complete_message(&message).await?;
    next.dispose().await?;
    client.dispose().await?;
    Ok(())
}

#[tokio::test]
async fn rules_decide_what_a_subscription_gets() -> Outcome {
    let emulator = Emulator::start();
    let mut client = emulator.client().await;
    let mut rules = client.create_rule_manager("topic", "all").await?;
    let before: Vec<String> = rules.get_rules().await?.into_iter().map(|rule| rule.name).collect();
    assert_eq!(before, ["$Default"]);
    rules.delete_rule("$Default").await?;
    let filter = azservicebus::administration::SqlRuleFilter::new("sys.Label = 'wanted'");
    rules.create_rule("wanted", filter).await?;
    rules.dispose().await?;
    let mut sender = client.create_sender("topic", Default::default()).await?;
    for subject in ["wanted", "other", "wanted"] {
        let mut message = ServiceBusMessage::new(subject);
        message.set_subject(subject.to_owned());
        sender.send_message(message).await?;
    }
    let mut receiver = client.create_receiver_for_subscription("topic", "all", Default::default()).await?;
    assert_eq!(bodies(&receive(&mut receiver, 2).await?), ["wanted", "wanted"]);
    assert!(is_empty(&mut receiver).await?);
    client.dispose().await?;
    Ok(())
}
