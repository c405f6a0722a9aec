//! Sends or receives a number of messages with a thousand under way, and tells how long that took.
//!
//! ```text
//! servicebus-emulator --amqp-port 5672 --config queue.json
//! load CONNECTION_STRING QUEUE send|receive COUNT [SIZE]
//! ```
//!
//! Everything runs in one thread, so that `valgrind --tool=callgrind` counts what a message costs: run it with N and
//! with 2N messages and take the difference.

use futures_util::stream::{FuturesUnordered, StreamExt};
use servicebus_tokio::{Error, MessageRef, ReceiverOptions, connect};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Messages under way at a time.
const WINDOW: u32 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [connection_string, queue, mode, count, rest @ ..] = arguments.as_slice() else {
        eprintln!("load CONNECTION_STRING QUEUE send|receive COUNT [SIZE]");
        std::process::exit(2);
    };
    let count: u32 = count.parse().unwrap_or(0);
    let size: usize = rest.first().and_then(|size| size.parse().ok()).unwrap_or(1_024);
    let client = connect(connection_string.as_str())?;
    let began = Instant::now();
    if mode == "send" {
        let sender = client.sender(queue.as_str())?;
        let body = vec![b'x'; size];
        let left = Cell::new(count);
        let workers: FuturesUnordered<_> = (0..WINDOW)
            .map(|_| async {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    sender.send(&MessageRef::new(&body)).await?;
                }
                Ok::<(), Error>(())
            })
            .collect();
        for result in workers.collect::<Vec<_>>().await {
            result?;
        }
    } else {
        let options = ReceiverOptions::new(queue.as_str()).with_prefetch(WINDOW);
        let receiver = client.receiver(options)?;
        let mut completions = FuturesUnordered::new();
        let mut messages = Vec::new();
        let mut left = count;
        while left > 0 {
            let wanted = left.min(100);
            let got =
                receiver.receive_each(wanted, Some(Duration::from_secs(10)), |found| messages.push(found)).await?;
            left -= got;
            for message in messages.drain(..) {
                let receiver = &receiver;
                completions.push(async move { receiver.complete(&message).await });
            }
            let keep = if got == 0 || left == 0 { 0 } else { WINDOW as usize };
            while completions.len() > keep
                && let Some(result) = completions.next().await
            {
                result?;
            }
            if got == 0 {
                break;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} messages in {seconds:.3} s: {:.0} a second", f64::from(count) / seconds);
    client.close().await;
    Ok(())
}
