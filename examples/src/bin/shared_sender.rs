//! A service whose requests share one sender: each request has two seconds, and the kind of the error decides the answer.

use serde::Serialize;
use servicebus_examples::{Namespace, Result};
use servicebus_tokio::{Message, Sender, connect};
use std::time::Duration;

#[derive(Serialize)]
struct Order {
    id: u32,
    customer: String,
    priority: i32,
    total: f64,
}

fn to_message(order: &Order) -> serde_json::Result<Message> {
    Ok(Message::json(order)?
        .with_message_id(order.id.to_string())
        .with_session_id(&order.customer)
        .with_property("priority", order.priority)
        .with_property("total", order.total)
        .with_time_to_live(Duration::from_secs(60 * 60 * 24 * 90)))
}

/// What a web framework would call with its state and the request's body; the status of the answer.
async fn place(sender: Sender, order: Order) -> u16 {
    let Ok(message) = to_message(&order) else { return 400 };
    match sender.timeout(Duration::from_secs(2)).send(&message).await {
        Ok(()) => 202,
        Err(error) if error.is_transient() => 503,
        Err(error) => {
            eprintln!("order refused: {error}");
            400
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("orders")).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender("orders")?;
    let order = |id| Order { id, customer: format!("customer-{}", id % 3), priority: 1, total: 9.5 * f64::from(id) };

    let requests: Vec<_> = (1..=8).map(|id| tokio::spawn(place(sender.clone(), order(id)))).collect();
    for request in requests {
        print!("{} ", request.await?);
    }
    // Many at once: as few batches as fit. The error tells how many were stored and which one stopped it.
    let orders: Vec<Order> = (9..=300).map(order).collect();
    sender.send_all(&orders.iter().map(to_message).collect::<std::result::Result<Vec<_>, _>>()?).await?;
    println!("and {} more in batches", orders.len());
    client.close().await;
    Ok(())
}
