//! The telemetry device, whatever carries its bytes: readings out, commands in.

use crate::board::{self, println};
use core::fmt::Write;
use embassy_futures::join::join;
use embassy_time::{Instant, Timer};
use heapless::String;
use servicebus_core::client::Error;
use servicebus_core::servicebus::{BatchError, MessageBatch, MessageRef};
use servicebus_core::time::Duration;
use servicebus_embassy::{Client, Sender};

servicebus_core::fixed_storage! {
    /// One queue out, one in, messages of up to 1 KiB.
    pub type Board {
        sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}

/// Readings that are sent.
const READINGS: u32 = 1_000;
/// The first so many go one by one, the rest in batches.
const SINGLE: u32 = 500;
/// Commands that the host sends.
const COMMANDS: u32 = 20;
/// Between two tries of the application's own, when the client has given up.
const PAUSE: embassy_time::Duration = embassy_time::Duration::from_secs(1);

/// A reading, numbered so that the service can tell a repeated one (duplicate detection goes by the message's id).
struct Reading {
    id: String<16>,
    body: String<16>,
}

impl Reading {
    fn take(number: u32) -> Self {
        let (mut id, mut body) = (String::new(), String::new());
        // Both fit: at most ten digits and six characters.
        let _ = write!(id, "r-{number}");
        let _ = write!(body, "{}.{}", 20 + number % 7, number % 10);
        Self { id, body }
    }

    fn message(&self) -> MessageRef<'_> {
        MessageRef::new(self.body.as_str()).with_message_id(self.id.as_str()).with_subject("celsius")
    }
}

/// Sends all readings and carries out all commands, then prints what that took and ends the run.
pub async fn run(client: Client<Board>) -> ! {
    #[cfg(feature = "planted")]
    {
        // A name as text, and a value of the protocol that is made into text.
        defmt::info!("{=str}", core::hint::black_box("link attached"));
        println!("{:?}", core::hint::black_box(servicebus_embassy::Value::Boolean(true)));
    }
    let started = Instant::now();
    let (retried, done) = join(send_readings(&client), obey_commands(&client)).await;
    println!("telemetry: {READINGS} readings sent, {retried} tries repeated, {done} commands carried out");
    client.close().await;
    println!("telemetry: {} ms", started.elapsed().as_millis());
    println!("telemetry: {}", board::usage());
    board::exit(0);
}

/// Returns how often the client had given up on a reading or batch.
async fn send_readings(client: &Client<Board>) -> u32 {
    let sender = match client.sender("readings") {
        Ok(sender) => sender,
        Err(failure) => panic!("sender: {failure}"),
    };
    let mut retried = 0;
    for number in 0..SINGLE {
        let reading = Reading::take(number);
        while let Err(failure) = sender.send(&reading.message()).await {
            retried += 1;
            report(client, "reading", &failure).await;
        }
    }
    let mut next = SINGLE;
    while next < READINGS {
        let (batch, count) = loop {
            match fill(&sender, next).await {
                Ok(filled) => break filled,
                Err(error) => report(client, "batch", &error).await,
            }
        };
        let mut batch = batch;
        while let Err(error) = sender.send_batch(batch).await {
            retried += 1;
            let (error, unsent) = error.into_parts();
            batch = unsent;
            report(client, "batch", &error).await;
        }
        next += count;
    }
    sender.close().await;
    println!("telemetry: the readings are sent; waiting for commands");
    retried
}

/// As many readings as a batch holds.
async fn fill(sender: &Sender<Board>, first: u32) -> Result<(MessageBatch<Board>, u32), Error<Board>> {
    let mut batch = sender.create_batch().await?;
    let mut count = 0;
    while first + count < READINGS {
        match batch.try_add(&Reading::take(first + count).message()) {
            Ok(()) => count += 1,
            Err(BatchError::Full) => break,
            Err(error) => panic!("a reading does not fit: {error}"),
        }
    }
    Ok((batch, count))
}

/// Prints what failed, with what service or transport said last, and waits a little.
async fn report(client: &Client<Board>, what: &str, error: &Error<Board>) {
    println!("telemetry: {what}: {error} ({})", client.last_description());
    assert!(error.is_transient(), "trying again does not help");
    Timer::after(PAUSE).await;
}

/// Completes commands until all have come, each counted once; returns how many.
async fn obey_commands(client: &Client<Board>) -> u32 {
    let receiver = match client.receiver("commands") {
        Ok(receiver) => receiver,
        Err(failure) => panic!("receiver: {failure}"),
    };
    let mut seen = 0_u32;
    while seen.count_ones() < COMMANDS {
        let message = match receiver.receive(Duration::from_secs(10)).await {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(failure) => {
                report(client, "commands", &failure).await;
                continue;
            }
        };
        let Some(number) = message.text().ok().and_then(|text| text.strip_prefix("led ")?.parse::<u32>().ok()) else {
            panic!("not a command: {:?}", message.data());
        };
        // A command whose completion got lost comes again: it has been carried out already.
        match receiver.complete(&message).await {
            Ok(()) => seen |= 1 << (number % 32),
            Err(failure) => report(client, "complete", &failure).await,
        }
    }
    receiver.close().await;
    seen.count_ones()
}
