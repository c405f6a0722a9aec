//! Sessions: messages of one order stay together and in their order, whoever receives them.

use serde::{Deserialize, Serialize};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{Message, connect};
use std::time::Duration;

/// What a session remembers.
#[derive(Serialize, Deserialize)]
struct Progress {
    done: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
    let namespace = Namespace::open(|emulator| emulator.queue_with(&queue, sessions)).await?;
    let client = connect(namespace.connection_string.as_str())?;

    let sender = client.sender(&*queue)?;
    for (order, step) in [("order-1", "created"), ("order-2", "created"), ("order-1", "paid"), ("order-1", "shipped")] {
        sender.send(&Message::new(step).with_session_id(order)).await?;
    }

    // Whichever order nobody else is working on, until there is none left.
    let wait = Duration::from_secs(1);
    while let Some(session) = client.accept_next_session(&*queue, wait).await? {
        print!("{}:", session.session_id());
        let mut steps = 0;
        for message in session.receive_messages(10, wait).await? {
            print!(" {}", message.text().unwrap_or("?"));
            session.complete(&message).await?;
            steps += 1;
        }
        // What the session remembers outlives its messages.
        let before: Option<Progress> = session.state_json().await?;
        let done = before.map_or(0, |progress| progress.done) + steps;
        session.set_state_json(&Progress { done }).await?;
        println!(" ({done} done)");
        session.close().await;
    }
    client.close().await;
    Ok(())
}
