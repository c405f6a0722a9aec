//! Messages that nobody can work on end in the dead-letter queue, with the reason; from there they can be repaired.

use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{DeadLetterOptions, Entity, Value, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("invoices");
    let patient = QueueDescription { max_delivery_count: 2, ..QueueDescription::default() };
    let namespace = Namespace::open(|emulator| emulator.queue_with(&queue, patient)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let (sender, receiver) = (client.sender(&*queue)?, client.receiver(&*queue)?);

    sender.send_all(&["no amount", "unlucky"]).await?;
    while let Some(message) = receiver.receive(Duration::from_millis(500)).await? {
        if message.text() == Ok("no amount") {
            let options = DeadLetterOptions::new()
                .with_reason("Invalid")
                .with_description("an invoice has an amount")
                .with_properties(&[("checked-by", Value::String("example"))]);
            receiver.dead_letter(&message, options).await?;
        } else {
            // Given back too often, the service moves it by itself.
            receiver.abandon(&message).await?;
        }
    }

    let dead = client.receiver(Entity::queue(&*queue).dead_letter())?;
    // A stream would wait for more.
    while let Some(message) = dead.receive(Duration::from_secs(1)).await? {
        println!("{message}: {:?}, {:?}", message.dead_letter_reason(), message.dead_letter_description());
        // A copy without the reasons goes back; the original goes once that is stored.
        sender.send(&message.to_message().with_property("resubmitted", true)).await?;
        dead.complete(&message).await?;
    }
    client.close().await;
    Ok(())
}
