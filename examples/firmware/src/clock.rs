//! UTC for tokens and certificates: by SNTP, or from the host.

use crate::board::{self, println};
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use servicebus_core::time::Timestamp;
use servicebus_embassy::{Sntp, Utc};

/// No time before this one is taken from anybody. A product's build script puts its own time here.
const BUILT_AT: Timestamp = Timestamp::from_secs(1_767_225_600);
/// Between two requests that fail: servers ask for no less.
const PAUSE: Duration = Duration::from_secs(15);
/// Between two requests when the clock is set: its crystal is wrong by some milliseconds then.
const PERIOD: Duration = Duration::from_secs(3600);

static SNTP: Sntp = Sntp::new(BUILT_AT);
static HOSTS: fn() -> Timestamp = board::utc;

/// Returns when UTC is known: from the time server on the host whose port is the second number of the command line, and
/// without one from the host, as a board does that has a clock with a battery.
pub async fn utc(spawner: Spawner, stack: Stack<'static>) -> &'static (dyn Utc + Sync) {
    let Some(port) = board::port_argument(1) else { return &HOSTS };
    while let Err(error) = ask(stack, port).await {
        println!("clock: {error}");
        Timer::after(PAUSE).await;
    }
    println!("clock: set to {}", SNTP.now());
    spawner.spawn(keep(stack, port).expect("the clock's task is spawned once"));
    &SNTP
}

async fn ask(stack: Stack<'static>, port: u16) -> Result<(), servicebus_embassy::SntpError> {
    let mut nonce = [0; 8];
    board::random_bytes(&mut nonce);
    // A product asks `pool.ntp.org`, or the server that DHCP names, at port 123.
    SNTP.synchronise(stack, "10.0.2.2", port, u64::from_le_bytes(nonce)).await
}

/// Sets the clock again and again.
#[embassy_executor::task]
async fn keep(stack: Stack<'static>, port: u16) -> ! {
    loop {
        Timer::after(PERIOD).await;
        if let Err(error) = ask(stack, port).await {
            println!("clock: {error}");
        }
    }
}
