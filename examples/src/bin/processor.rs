//! A message pump: handlers run side by side, succeed, fail, and the pump goes on; then it is paused, resumed and
//! stopped.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING` and the queue of
//! `SERVICEBUS_QUEUE_NAME`.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{DeadLetter, HandlerError, ProcessorMessage, ProcessorOptions, connect};
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

    let options = ProcessorOptions::new().with_max_concurrent_calls(4);
    let processor = client.processor(&*queue, options);
    let control = processor.control();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    // Each handler is a task of its own, on any of tokio's threads; what it uses is cloned for it.
    let handler = move |message: ProcessorMessage| {
        let count = Arc::clone(&count);
        async move {
            let number = message.text()?.strip_prefix("order ").unwrap_or_default();
            // A message that can never be handled goes to the dead-letter queue; every other error abandons it.
            let number: u32 = number.parse().map_err(|error| DeadLetter::new("not an order", error))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if number == 3 && message.delivery_count() == 0 {
                return Err(HandlerError::new("out of stock"));
            }
            println!("  order {number}, delivered {} time(s) before", message.delivery_count());
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let pump = tokio::spawn(processor.on_error(|error| println!("  {error}")).run(handler));

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
