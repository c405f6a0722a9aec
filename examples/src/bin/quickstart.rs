//! A message goes round: send, receive, complete, abandon, dead-letter.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING` and the queue of
//! `SERVICEBUS_QUEUE_NAME`.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{DeadLetterOptions, Entity, Message, connect};
use std::time::{Duration, Instant};

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let queue = queue_name("orders");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    println!("Service Bus quickstart, on {}", namespace.place);

    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(&*queue)?;
    let receiver = client.receiver(&*queue)?;

    println!("\nSending to \"{queue}\":");
    let reading = Message::new("a reading")
        .with_message_id("reading-1")
        .with_subject("temperature")
        .with_property("celsius", 21.5)
        .with_property("indoors", true);
    sender.send(&reading).await?;
    println!("  one message, with properties");

    sender.send_all(&["apples", "broken eggs"]).await?;
    println!("  a list of two, together");

    let mut batch = sender.create_batch().await?;
    for body in ["cheese", "dates", "elderberries"] {
        batch.try_add(body)?;
    }
    println!("  a batch of {}, {} of {} bytes", batch.len(), batch.size_in_bytes(), batch.max_size_in_bytes());
    sender.send_batch(batch).await?;

    println!("\nReceiving by peek-lock:");
    let (mut completed, mut retried) = (0, false);
    while completed < 5 {
        let messages = receiver.receive_messages(10, Duration::from_secs(10)).await?;
        if messages.is_empty() {
            return Err("the messages did not come back".into());
        }
        for message in &messages {
            let body = message.text().unwrap_or("?");
            let celsius = message.property("celsius");
            let told = celsius.map(|value| format!(", celsius = {value:?}")).unwrap_or_default();
            print!("  {body:<14} delivered {} time(s) before{told}", message.delivery_count());
            match body {
                "apples" if !retried => {
                    receiver.abandon(message).await?;
                    retried = true;
                    println!(" -> abandoned, it will come again");
                }
                "broken eggs" => {
                    let options = DeadLetterOptions::new().with_reason("Broken").with_description("found on arrival");
                    receiver.dead_letter(message, options).await?;
                    println!(" -> dead-lettered");
                }
                _ => {
                    receiver.complete(message).await?;
                    completed += 1;
                    println!(" -> completed");
                }
            }
        }
    }

    println!("\nReading the dead-letter queue:");
    let dead = client.receiver(Entity::queue(&*queue).dead_letter())?;
    let message = dead.receive(Duration::from_secs(10)).await?.ok_or("the dead-letter queue is empty")?;
    println!(
        "  {:<14} {}: {} -> completed",
        message.text().unwrap_or("?"),
        message.dead_letter_reason().unwrap_or("?"),
        message.dead_letter_description().unwrap_or("?"),
    );
    dead.complete(&message).await?;

    client.close().await;
    println!("\nAll done in {} ms.", started.elapsed().as_millis());
    Ok(())
}
