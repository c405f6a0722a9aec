//! A device that sleeps: readings go into flash while there is no connection; at each wake-up it sends them, takes commands
//! and ends the connection, all within one deadline, and prints what that took. For the emulator, over plain TCP.
#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_time::{Instant, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use servicebus_core::client::Error;
use servicebus_core::machine::Settings;
use servicebus_core::time::Duration;
use servicebus_embassy::{Close, Connect, Plain, Receiver, Resources, Runner, Spool, Tcp, within};
use servicebus_firmware::board::{self, println};
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::flash::{Memory, PAGE};
use servicebus_firmware::telemetry::Board;
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
static UP: AtomicU32 = AtomicU32::new(0);
static DOWN: AtomicU32 = AtomicU32::new(0);
/// Times that bytes came after bytes had gone.
static TURNS: AtomicU32 = AtomicU32::new(0);
static WROTE: AtomicBool = AtomicBool::new(false);

/// Counts what goes over another transport.
struct Counting<C>(C);

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

#[derive(Clone)]
struct Counted<S>(S);

impl<S: ErrorType> ErrorType for Counted<S> {
    type Error = S::Error;
}

impl<S: Read> Read for Counted<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        let count = self.0.read(buffer).await?;
        DOWN.fetch_add(count as u32, Ordering::Relaxed);
        TURNS.fetch_add(u32::from(WROTE.swap(false, Ordering::Relaxed)), Ordering::Relaxed);
        Ok(count)
    }
}

impl<S: Write> Write for Counted<S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, S::Error> {
        let count = self.0.write(bytes).await?;
        UP.fetch_add(count as u32, Ordering::Relaxed);
        WROTE.store(true, Ordering::Relaxed);
        Ok(count)
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

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Counting<Tcp<'static>>>) {
    runner.run(dialer).await;
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

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static CELLS: ConstStaticCell<[u8; FLASH]> = ConstStaticCell::new([0xff; FLASH]);

    let device = Device::start(spawner).await;
    let settings = Settings::new(device.connection_string("10.0.2.2", device::PLAIN), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    spawner.spawn(carry(runner, Plain::new(Counting(device.tcp()))).expect("the runner's task is spawned once"));
    let flash = Memory::new(CELLS.take(), || ());
    let spool: Spool<_, 32> = Spool::new(flash, 0..FLASH as u32, device.seed).unwrap();
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
        [&UP, &DOWN, &TURNS].into_iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
        let begin = Instant::now();
        let done = within(&client, AWAKE, join(spool.send(&sender), obey(&receiver))).await;
        let took = begin.elapsed();
        let Some((Ok(sent), Ok(commands))) = done else {
            println!("sleeping: wake-up {wake_up}: {done:?} ({})", client.last_description());
            board::exit(1)
        };
        let [up, down, turns] = [&UP, &DOWN, &TURNS].map(|counter| counter.load(Ordering::Relaxed));
        println!(
            "sleeping: wake-up {wake_up}: {sent} readings sent, {commands} commands taken, {up} bytes up, {down} bytes \
             down, {turns} round trips, {} ms",
            took.as_millis()
        );
    }
    println!("sleeping: {}", board::usage());
    board::exit(0)
}
