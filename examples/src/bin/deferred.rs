//! A message that cannot be worked on yet is set aside and fetched by its number.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::connect;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("steps");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(&*queue)?;
    let receiver = client.receiver(&*queue)?;

    for step in ["second", "first"] {
        sender.send(step).await?;
    }
    let mut set_aside = Vec::new();
    for message in receiver.receive_messages(2, Duration::from_secs(5)).await? {
        match message.text() {
            Ok("first") => {
                println!("first: done");
                receiver.complete(&message).await?;
            }
            other => {
                println!("{}: not yet, deferred", other.unwrap_or("?"));
                set_aside.extend(message.sequence_number());
                receiver.defer(&message).await?;
            }
        }
    }
    for message in receiver.receive_deferred(&set_aside).await? {
        println!("{}: done", message.text().unwrap_or("?"));
        receiver.complete(&message).await?;
    }
    client.close().await;
    Ok(())
}
