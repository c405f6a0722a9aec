//! Messages for later, and how to take them back.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::connect;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("reminders");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(&*queue)?;
    let receiver = client.receiver(&*queue)?;

    let now = sender.now();
    let soon = sender.schedule("stand up", now + Duration::from_secs(1)).await?;
    let late = sender.schedule("go home", now + Duration::from_secs(3_600)).await?;
    println!("scheduled {soon} for {} and {late} for later", now + Duration::from_secs(1));

    sender.cancel_scheduled(&[late]).await?;
    println!("cancelled {late}");

    let message = receiver.receive(Duration::from_secs(10)).await?.ok_or("it did not come")?;
    println!("received \"{}\" at {}", message.text().unwrap_or("?"), receiver_time(&message));
    receiver.complete(&message).await?;
    client.close().await;
    Ok(())
}

fn receiver_time(message: &servicebus_tokio::ReceivedMessage) -> String {
    message.enqueued_time().map_or_else(|| "?".into(), |time| time.to_string())
}
