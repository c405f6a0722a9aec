//! Messages that are sent and settled together, or not at all.

use servicebus_examples::{Namespace, Result};
use servicebus_tokio::connect;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("orders").queue("invoices")).await?;
    let client = connect(namespace.connection_string.as_str())?;
    // First of all, before any sender or receiver: only then may transactions of this client send to several entities.
    let transactions = client.transactions("orders")?;
    let transaction = transactions.begin().await?;
    let (orders, received) = (client.sender("orders")?, client.receiver("orders")?);
    let invoices = client.sender("invoices")?;
    // Such a client receives from one entity alone: the invoices are read by another.
    let office = connect(namespace.connection_string.as_str())?;
    let checked = office.receiver("invoices")?;
    orders.send("a bicycle").await?;

    let order = received.receive(Duration::from_secs(5)).await?.ok_or("no order")?;
    transaction.send(&invoices, "a bicycle, 400 €").await?;
    transaction.complete(&received, &order).await?;
    transaction.roll_back().await?;
    let none = checked.receive(Duration::from_millis(200)).await?.is_none();
    println!("rolled back: the invoice was {}", if none { "not sent" } else { "sent" });

    let transaction = transactions.begin().await?;
    transaction.send(&invoices, "a bicycle, 400 €").await?;
    transaction.complete(&received, &order).await?;
    transaction.commit().await?;
    let invoice = checked.receive(Duration::from_secs(5)).await?.ok_or("no invoice")?;
    println!("committed: the order is done, and the invoice says \"{}\"", invoice.text().unwrap_or("?"));
    checked.complete(&invoice).await?;
    office.close().await;
    client.close().await;
    Ok(())
}
