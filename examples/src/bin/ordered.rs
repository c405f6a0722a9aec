//! Many messages in their order: each is taken as soon as it has its place, and no more than a few are under way.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{Delivery, Message, SenderOptions, connect};
use std::collections::VecDeque;
use std::time::Duration;

/// Readings under way at once: what the program keeps in memory.
const WINDOW: usize = 8;

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("readings");
    let namespace = Namespace::open(|emulator| emulator.queue(&queue)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(SenderOptions::new(&*queue).ordered())?;

    let mut under_way: VecDeque<Delivery> = VecDeque::new();
    for number in 0..40 {
        // Back-pressure: the oldest has to be stored before the next one is taken.
        if under_way.len() == WINDOW
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
        let reading = Message::new(format!("reading {number}")).with_property("number", number);
        under_way.push_back(sender.enqueue(&reading).await?);
    }
    for delivery in under_way {
        delivery.await?;
    }
    println!("sent 40 readings, {WINDOW} under way at once");

    let receiver = client.receiver(&*queue)?;
    let mut expected = 0;
    while expected < 40 {
        let messages = receiver.receive_messages(10, Duration::from_secs(5)).await?;
        assert!(!messages.is_empty(), "{expected} came, and nothing more within five seconds");
        for message in messages {
            assert_eq!(message.property("number").and_then(|number| number.as_i64()), Some(expected));
            receiver.complete(&message).await?;
            expected += 1;
        }
    }
    println!("received them in their order");
    client.close().await;
    Ok(())
}
