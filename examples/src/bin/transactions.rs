//! Two entities, all or nothing: a message is completed and its reply is sent in one transaction.

use servicebus_examples::{Namespace, Result};
use servicebus_tokio::{Options, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("inbox").queue("outbox")).await?;
    let connection_string = namespace.connection_string.as_str();
    // The service pins its connection to the first entity that it receives from: a client for this alone. Others send to the
    // inbox and read the outbox.
    let client = Options::new(connection_string)?.with_cross_entity_transactions(true).connect();
    let (receiver, outbox) = (client.receiver("inbox")?, client.sender("outbox")?);
    let others = connect(connection_string)?;
    others.sender("inbox")?.send("a bicycle").await?;
    let replies = others.receiver("outbox")?;

    let message = receiver.next().await?;
    let reply = format!("{}, 400 €", message.text()?);
    let transaction = client.begin_transaction().await?;
    transaction.complete(&receiver, &message).await?;
    transaction.send(&outbox, &reply).await?;
    transaction.roll_back().await?;
    let none = replies.receive(Duration::from_millis(200)).await?.is_none();
    println!("rolled back: the reply was {}", if none { "not sent" } else { "sent" });

    let transaction = client.begin_transaction().await?;
    transaction.complete(&receiver, &message).await?;
    transaction.send(&outbox, &reply).await?;
    transaction.commit().await?;
    let reply = replies.receive(Duration::from_secs(5)).await?.ok_or("no reply")?;
    println!("committed: the order is done, and the reply says \"{}\"", reply.text()?);
    replies.complete(&reply).await?;
    others.close().await;
    client.close().await;
    Ok(())
}
