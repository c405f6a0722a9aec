//! Messages that are sent and settled together, or not at all.

use servicebus_examples::{Namespace, Result};
use servicebus_tokio::{Message, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("orders").queue("invoices")).await?;
    let client = connect(namespace.connection_string.as_str())?;
    // First of all: what it touches goes through the first entity of the connection.
    let transactions = client.transactions("orders")?;
    let (orders, received) = (client.sender("orders")?, client.receiver("orders")?);
    let (invoices, checked) = (client.sender("invoices")?, client.receiver("invoices")?);
    orders.send(&Message::new("a bicycle")).await?;

    let order = received.receive(Duration::from_secs(5)).await?.ok_or("no order")?;
    let transaction = transactions.begin().await?;
    transaction.send(&invoices, &Message::new("a bicycle, 400 €")).await?;
    transaction.complete(&received, &order).await?;
    transaction.roll_back().await?;
    let none = checked.receive(Duration::from_millis(200)).await?.is_none();
    println!("rolled back: the invoice was {}", if none { "not sent" } else { "sent" });

    let transaction = transactions.begin().await?;
    transaction.send(&invoices, &Message::new("a bicycle, 400 €")).await?;
    transaction.complete(&received, &order).await?;
    transaction.commit().await?;
    let invoice = checked.receive(Duration::from_secs(5)).await?.ok_or("no invoice")?;
    println!("committed: the order is done, and the invoice says \"{}\"", invoice.text().unwrap_or("?"));
    checked.complete(&invoice).await?;
    client.close().await;
    Ok(())
}
