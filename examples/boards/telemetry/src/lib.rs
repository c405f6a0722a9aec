//! The part of the boards' firmware that no board changes: a temperature, once in ten seconds, into a queue of Azure
//! Service Bus, and a watchdog that is fed while the board starts, up to a limit, and then while the tasks get on.
#![no_std]

#[cfg(feature = "net")]
mod network;
mod watchdog;

#[cfg(feature = "net")]
pub use network::{Packets, START_LIMIT, joined, stack, start};
pub use watchdog::{Beats, WATCHDOG_SECONDS, bring_up};

use core::fmt::Write;
use defmt::warn;
use embassy_futures::join::join;
use embassy_time::{Duration, Ticker, Timer};
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Timestamp;
use servicebus_embassy::{Client, Resources, Runner, Utc};
use static_cell::ConstStaticCell;

servicebus_core::fixed_storage! {
    /// One queue out, messages of up to 1 KiB, the token among them.
    pub type Board { sessions: 1, links: 3, deliveries: 4, receive: 2048, transmit: 2048, message: 1024 }
}

const QUEUE: &str = "readings";
const PERIOD: Duration = Duration::from_secs(10);

/// The tasks that have to get on: the runner, and the one that sends.
pub static BEATS: Beats<2> = Beats::new();
/// The runner's place in [`BEATS`].
pub const CARRYING: usize = 0;
const SENDING: usize = 1;

/// When the firmware was last built.
pub const BUILT_AT: Timestamp = Timestamp::from_secs(match i64::from_str_radix(env!("BUILT_AT"), 10) {
    Ok(seconds) => seconds,
    Err(_) => 0,
});

/// Two numbers of random bytes.
pub const fn numbers(bytes: [u8; 16]) -> [u64; 2] {
    let both = u128::from_be_bytes(bytes);
    [(both >> 64) as u64, both as u64]
}

/// A client for the connection string that the firmware was built with, once; `seed` is random.
///
/// # Panics
/// Without `SERVICEBUS_CONNECTION_STRING` in the environment of the build.
pub fn client(seed: u64, utc: &'static (dyn Utc + Sync)) -> (Client<Board>, Runner<Board>) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    let Some(connection_string) = option_env!("SERVICEBUS_CONNECTION_STRING") else {
        defmt::panic!("built without SERVICEBUS_CONNECTION_STRING");
    };
    match servicebus_embassy::new(RESOURCES.take(), Settings::new(connection_string, seed), utc) {
        Ok(both) => both,
        Err(_) => defmt::unreachable!("the resources are taken once"),
    }
}

/// Sends what `celsius` reads, and feeds the watchdog. `start` is a number that no other start of this board has: the queue's
/// duplicate detection goes by the ids that are made of it.
pub async fn run(client: &Client<Board>, start: u64, celsius: impl AsyncFnMut() -> f32, feed: impl FnMut()) {
    join(BEATS.keep(SENDING, send(client, start, celsius)), BEATS.watch(feed)).await;
}

async fn send(client: &Client<Board>, start: u64, mut celsius: impl AsyncFnMut() -> f32) {
    let sender = match client.sender(QUEUE) {
        Ok(sender) => sender,
        Err(failure) => defmt::panic!("{}", failure),
    };
    let mut ticker = Ticker::every(PERIOD);
    for number in 0_u32.. {
        ticker.next().await;
        let (mut id, mut text) = (heapless::String::<32>::new(), heapless::String::<16>::new());
        // Both fit: 16 and 10 digits with a dash, and a small number.
        let _ = write!(id, "{start:016x}-{number}");
        let _ = write!(text, "{:.1}", celsius().await);
        let message = MessageRef::new(text.as_str()).with_message_id(id.as_str()).with_subject("celsius");
        while let Err(failure) = sender.send(&message).await {
            warn!("reading {}: {}", number, failure);
            if !failure.is_transient() {
                break;
            }
            Timer::after_secs(1).await;
        }
    }
}
