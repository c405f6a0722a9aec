//! A message pump over sessions: what each session remembers is read when it is opened and kept when it is closed.

use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{Message, ProcessorMessage, SessionProcessorOptions, SessionReceiver, connect};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Steps done so far, of each order that is open here.
type Steps = Mutex<HashMap<String, usize>>;

fn count(steps: &Steps, order: &str, more: usize) -> usize {
    let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
    let done = steps.entry(order.to_owned()).or_default();
    *done += more;
    *done
}

#[tokio::main]
async fn main() -> Result<()> {
    let queue = queue_name("orders");
    let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
    let namespace = Namespace::open(|emulator| emulator.queue_with(&queue, sessions)).await?;
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(&*queue)?;
    for (order, step) in [("order-1", "created"), ("order-2", "created"), ("order-1", "paid"), ("order-2", "paid")] {
        sender.send(&Message::new(step).with_session_id(order)).await?;
    }

    let options = SessionProcessorOptions::new()
        .with_max_concurrent_sessions(2)
        .with_session_idle_timeout(Duration::from_millis(200));
    let processor = client.session_processor(&*queue, options);
    let control = processor.control();
    let steps = Arc::new(Steps::default());
    let closed = Arc::new(tokio::sync::Semaphore::new(0));

    let seen = Arc::clone(&steps);
    let opened = move |session: SessionReceiver| {
        let seen = Arc::clone(&seen);
        async move {
            let state = session.state().await?.unwrap_or_default();
            let before = str::from_utf8(&state).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            let before = count(&seen, session.session_id(), before);
            println!("{} is opened, {before} steps done before", session.session_id());
            Ok(())
        }
    };
    let seen = Arc::clone(&steps);
    let message = move |message: ProcessorMessage| {
        let seen = Arc::clone(&seen);
        async move {
            let order = message.session_id().unwrap_or_default();
            println!("{order}: {} is step {}", message.text().unwrap_or("?"), count(&seen, order, 1));
            Ok(())
        }
    };
    let done = Arc::clone(&closed);
    let closing = move |session: SessionReceiver| {
        let (steps, done) = (Arc::clone(&steps), Arc::clone(&done));
        async move {
            let so_far = count(&steps, session.session_id(), 0);
            session.set_state(Some(so_far.to_string().as_bytes())).await?;
            println!("{} is closed after {so_far} steps", session.session_id());
            done.add_permits(1);
            Ok(())
        }
    };
    let processor = processor.on_session_opened(opened).on_session_closing(closing);
    let pump = tokio::spawn(processor.on_error(|error| println!("{error}")).run(message));

    closed.acquire_many(2).await?.forget();
    control.stop();
    pump.await??;
    client.close().await;
    Ok(())
}
