//! A worker on all cores: each handler is a task, errors abandon, dead letters are kept apart, Ctrl-C ends it in order.

use serde::Deserialize;
use servicebus_examples::{Namespace, Result};
use servicebus_tokio::{DeadLetter, Entity, ProcessorOptions, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Deserialize)]
struct Order {
    id: u32,
}

#[derive(Debug)]
struct OutOfStock;

impl std::fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("out of stock")
    }
}

impl std::error::Error for OutOfStock {}

/// A shop that has nothing on the first attempt.
#[derive(Clone, Default)]
struct Shop(Arc<AtomicU32>);

impl Shop {
    async fn handle(&self, order: Order) -> std::result::Result<(), OutOfStock> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(OutOfStock);
        }
        println!("order {} is done", order.id);
        Ok(())
    }

    fn calls(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| emulator.queue("orders")).await?;
    let client = connect(namespace.connection_string.as_str())?;
    client.sender("orders")?.send_all(&[r#"{"id":1}"#, r#"{"id":2}"#, "no order"]).await?;
    let shop = Shop::default();

    let options =
        ProcessorOptions::new().with_max_concurrent_calls(8).with_max_auto_lock_renewal(Duration::from_secs(300));
    let processor = client.processor("orders", options);
    let control = processor.control();
    let served = shop.clone();
    tokio::spawn(async move {
        // A service waits for Ctrl-C alone; the example ends when both orders are done.
        let done = async {
            while served.calls() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = done => {}
        }
        control.stop();
    });
    processor
        .on_error(|error| eprintln!("{error} [entity {}, id {:?}]", error.entity(), error.message_id()))
        .run(move |message| {
            let shop = shop.clone();
            async move {
                let order: Order = message.json().map_err(|error| DeadLetter::new("not an order", error))?;
                shop.handle(order).await?; // any std error: abandoned, tried again
                Ok(())
            }
        })
        .await?; // returns when stopped and the last handler is done

    let dead = client.receiver(Entity::queue("orders").dead_letter())?;
    let message = dead.receive(Duration::from_secs(5)).await?.ok_or("no dead letter")?;
    println!("{message}: {:?}, {:?}", message.dead_letter_reason(), message.dead_letter_description());
    dead.complete(&message).await?;
    client.close().await;
    Ok(())
}
