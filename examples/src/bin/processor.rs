//! A message pump: handlers run side by side, succeed, fail, and the pump goes on; then it is paused, resumed and
//! stopped.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING` and the queue of
//! `SERVICEBUS_QUEUE_NAME`.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{ProcessorMessage, ProcessorOptions, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    println!("A processor of \"{queue}\", on {}", namespace.place);

    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(&*queue)?;
    let orders: Vec<String> = (1..=8).map(|number| format!("order {number}")).collect();
    sender.send_all(&orders).await?;

    let options = ProcessorOptions { max_concurrent_calls: 4, ..ProcessorOptions::default() };
    let processor = client.processor(&*queue, options);
    let control = processor.control();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let handler = async move |message: &ProcessorMessage<'_>| {
        let order = message.text().unwrap_or("?");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if order == "order 3" && message.delivery_count() == 0 {
            return Err("out of stock");
        }
        println!("  {order}, delivered {} time(s) before", message.delivery_count());
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let pump = tokio::spawn(processor.run(handler, |error| println!("  {error}")));

    while done.load(Ordering::Relaxed) < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    control.pause();
    sender.send("order 9").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("Paused: {} are done. Resumed:", done.load(Ordering::Relaxed));
    control.resume();
    while done.load(Ordering::Relaxed) < 9 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    control.stop();
    pump.await??;
    client.close().await;
    println!("Stopped.");
    Ok(())
}
