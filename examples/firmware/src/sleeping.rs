//! A device that sleeps, whatever carries its bytes: readings go into flash while there is no connection; at each wake-up it
//! sends them, takes commands and ends the connection, all within one deadline, and prints what that took.

use crate::board::{self, println};
use crate::flash::{Memory, PAGE};
use crate::telemetry::Board;
use core::cell::Cell;
use core::fmt::Write as _;
use critical_section::Mutex;
use embassy_futures::join::join;
use embassy_time::{Instant, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use servicebus_core::client::Error;
use servicebus_core::time::Duration;
use servicebus_embassy::{Client, Close, Connect, Receiver, Spool, within};
use static_cell::ConstStaticCell;

const WAKE_UPS: u32 = 5;
/// Readings between two wake-ups.
const READINGS: u32 = 3;
/// How long it is awake at most.
const AWAKE: core::time::Duration = core::time::Duration::from_secs(20);
/// How long it looks for another command.
const COMMANDS: Duration = Duration::from_millis(100);
/// Bytes of the flash.
const FLASH: usize = 8 * PAGE;

/// What goes over the wire.
#[derive(Clone, Copy)]
struct Traffic {
    up: usize,
    down: usize,
    /// Times that bytes came after bytes had gone.
    turns: u32,
    wrote: bool,
}

const NONE: Traffic = Traffic { up: 0, down: 0, turns: 0, wrote: false };
static TRAFFIC: Mutex<Cell<Traffic>> = Mutex::new(Cell::new(NONE));

/// Counts; what there was before.
fn count(change: impl FnOnce(Traffic) -> Traffic) -> Traffic {
    critical_section::with(|section| {
        let traffic = TRAFFIC.borrow(section);
        traffic.replace(change(traffic.get()))
    })
}

/// Counts what goes over another transport.
#[derive(Debug)]
pub struct Counting<C>(pub C);

impl<C: Connect> Connect for Counting<C> {
    type Stream<'a>
        = Counted<C::Stream<'a>>
    where
        Self: 'a;
    type StreamError = C::StreamError;
    type Error = C::Error;

    async fn connect<'a>(&'a mut self, host: &str, port: u16) -> Result<Self::Stream<'a>, Self::Error> {
        self.0.connect(host, port).await.map(Counted)
    }
}

/// A stream of [`Counting`].
#[derive(Clone, Debug)]
pub struct Counted<S>(S);

impl<S: ErrorType> ErrorType for Counted<S> {
    type Error = S::Error;
}

impl<S: Read> Read for Counted<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        let length = self.0.read(buffer).await?;
        count(|traffic| Traffic {
            down: traffic.down + length,
            turns: traffic.turns + u32::from(traffic.wrote),
            wrote: false,
            ..traffic
        });
        Ok(length)
    }
}

impl<S: Write> Write for Counted<S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, S::Error> {
        let length = self.0.write(bytes).await?;
        count(|traffic| Traffic { up: traffic.up + length, wrote: true, ..traffic });
        Ok(length)
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.0.flush().await
    }
}

impl<S: Close> Close for Counted<S> {
    async fn close(&mut self) -> Result<(), S::Error> {
        self.0.close().await
    }
}

/// Carries out the commands that wait; how many.
async fn obey(receiver: &Receiver<Board>) -> Result<u32, Error<Board>> {
    let mut count = 0;
    while let Some(command) = receiver.receive(COMMANDS).await? {
        receiver.complete(&command).await?;
        count += 1;
    }
    Ok(count)
}

/// Wakes up five times, then prints what that took and ends the run.
///
/// # Panics
///
/// When the flash fails.
pub async fn run(client: Client<Board>, seed: u64) -> ! {
    static CELLS: ConstStaticCell<[u8; FLASH]> = ConstStaticCell::new([0xff; FLASH]);
    let flash = Memory::new(CELLS.take(), || ());
    let spool: Spool<_, 32> = Spool::new(flash, 0..FLASH as u32, seed).unwrap();
    let (Ok(sender), Ok(receiver)) = (client.sender("readings"), client.receiver("commands")) else {
        panic!("there is room for both");
    };

    for wake_up in 1..=WAKE_UPS {
        for reading in 0..READINGS {
            let mut text = heapless::String::<16>::new();
            // It fits: three digits at most on either side.
            _ = write!(text, "{}.{reading}", 20 + wake_up);
            spool.push(text.as_bytes()).await.unwrap();
            // Here a product sleeps.
            Timer::after_millis(200).await;
        }
        count(|_| NONE);
        let begin = Instant::now();
        let done = within(&client, AWAKE, join(spool.send(&sender), obey(&receiver))).await;
        let took = begin.elapsed();
        let Some((Ok(sent), Ok(commands))) = done else {
            println!("sleeping: wake-up {wake_up}: {done:?} ({})", client.last_description());
            board::exit(1)
        };
        let Traffic { up, down, turns, .. } = count(|traffic| traffic);
        println!(
            "sleeping: wake-up {wake_up}: {sent} readings sent, {commands} commands taken, {up} bytes up, {down} bytes \
             down, {turns} round trips, {} ms",
            took.as_millis()
        );
    }
    println!("sleeping: {}", board::usage());
    board::exit(0)
}
