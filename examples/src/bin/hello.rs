//! The shortest program: send a text, receive it, complete it.

use servicebus_examples::{Namespace, Result};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("orders")).await?;

    let client = servicebus_tokio::connect(namespace.connection_string.as_str())?;
    let sender = client.sender("orders")?;
    sender.send("hello").await?;
    let receiver = client.receiver("orders")?;
    while let Some(message) = receiver.receive(Duration::from_secs(1)).await? {
        println!("{}", message.text()?);
        receiver.complete(&message).await?;
    }
    client.close().await;
    Ok(())
}
