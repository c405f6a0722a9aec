//! Work that takes longer than a message's lock: the lock is renewed meanwhile.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING` and the queue of
//! `SERVICEBUS_QUEUE_NAME`.

use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{AutoLockRenewer, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let short = QueueDescription { lock_duration: Duration::from_secs(5), ..QueueDescription::default() };
    let namespace = Namespace::open(|emulator| emulator.queue_with(&queue, short)).await?;
    println!("Renewing locks of \"{queue}\", on {}", namespace.place);

    let client = connect(namespace.connection_string.as_str())?;
    client.sender(&*queue)?.send("slow work").await?;
    let receiver = client.receiver(&*queue)?;
    let message = receiver.receive(Duration::from_secs(10)).await?.ok_or("the message did not come")?;
    println!("  received, locked until {}", message.locked_until().ok_or("no lock")?);

    let mut renewal = AutoLockRenewer::new(Duration::from_secs(60)).message(&receiver, &message)?;
    let work = tokio::time::sleep(Duration::from_secs(7));
    renewal.during(work, |failure| println!("  the lock is lost: {failure}")).await;
    println!("  worked for 7 s, locked until {}", renewal.locked_until().ok_or("no lock")?);

    receiver.complete(&message).await?;
    println!("  completed; still renewed: {}", renewal.is_active());
    drop(renewal);
    client.close().await;
    Ok(())
}
