//! A message goes round on smol. What differs from tokio is the `use` line and who runs the future.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING` and the queue of
//! `SERVICEBUS_QUEUE_NAME`.

use servicebus_async_std::connect;
use servicebus_examples::{Namespace, Result, queue_name};
use std::time::Duration;

fn main() -> Result<()> {
    let queue = queue_name("orders");
    let namespace = Namespace::open_in_thread(|emulator| emulator.queue(&queue))?;
    println!("Service Bus on smol, on {}", namespace.place);
    smol::block_on(async {
        let client = connect(namespace.connection_string.as_str())?;
        let sender = client.sender(&*queue)?;
        sender.send("hello from smol").await?;
        println!("sent a message");

        let receiver = client.receiver(&*queue)?;
        let message = receiver.receive(Duration::from_secs(10)).await?.ok_or("the message did not come back")?;
        println!("received \"{}\"", message.text().unwrap_or("?"));
        receiver.complete(&message).await?;
        println!("completed it");
        client.close().await;
        Ok(())
    })
}
