//! A session goes from one receiver to another, with what the first has received of it and not settled.

use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{LockToken, Message, Reason, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
    let namespace = Namespace::open(|emulator| emulator.queue_with(&queue, sessions)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let wait = Duration::from_secs(5);

    let sender = client.sender(&*queue)?;
    for step in ["created", "paid"] {
        sender.send(&Message::new(step).with_session_id("order-1")).await?;
    }

    // Not every namespace offers this: an error of the kind `NotOffered` reports it.
    let first = client.accept_non_exclusive_session(&*queue, "order-1").await?;
    let message = first.receive(wait).await?.ok_or("no message")?;
    println!("the first receiver has {:?}", message.text().unwrap_or("?"));

    // Whoever has the token can have the session: it is handed over like a password.
    let handed_over = first.lock_token().ok_or("no token")?.to_string();

    let other = connect(namespace.connection_string.as_str())?;
    let token: LockToken = handed_over.parse()?;
    let second = other.take_over_session(&*queue, "order-1", token).await?;
    second.complete(&message).await?;
    let message = second.receive(wait).await?.ok_or("no message")?;
    println!("the second receiver has settled it, and has {:?}", message.text().unwrap_or("?"));
    second.complete(&message).await?;

    match first.receive(wait).await {
        Err(failure) if failure.reason() == Some(Reason::SessionLockLost) => println!("the first is told: {failure}"),
        other => println!("the first got {other:?}"),
    }
    client.close().await;
    other.close().await;
    Ok(())
}
