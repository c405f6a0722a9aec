//! A look at what is in a queue, without taking or locking anything.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::connect;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("letters");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let (sender, receiver) = (client.sender(&*queue)?, client.receiver(&*queue)?);

    for letter in ["alpha", "beta", "gamma", "delta"] {
        sender.send(letter).await?;
    }
    sender.schedule("omega", sender.now() + Duration::from_secs(3_600)).await?;
    let deferred = receiver.receive(Duration::from_secs(5)).await?.ok_or("nothing there")?;
    receiver.defer(&deferred).await?;

    // Page by page, from the first message on.
    let mut peeker = receiver.peeker();
    loop {
        let page = peeker.peek(2).await?;
        if page.is_empty() {
            break;
        }
        for message in &page {
            let number = message.sequence_number().unwrap_or(0);
            println!("{number}: {} ({:?})", message.text().unwrap_or("?"), message.state());
        }
    }
    client.close().await;
    Ok(())
}
