//! A device that sleeps: readings go into flash while there is no connection; at each wake-up it sends them, takes commands
//! and ends the connection, all within one deadline, and prints what that took. For the emulator, over plain TCP.
#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::StackResources;
use embassy_time::{Instant, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use embedded_storage_async::nor_flash::{ErrorType as FlashErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use servicebus_core::client::Error;
use servicebus_core::machine::Settings;
use servicebus_core::time::Duration;
use servicebus_embassy::{Close, Connect, Plain, Receiver, Resources, Runner, Spool, Tcp, within};
use servicebus_firmware::board::{self, Board as Hardware, println};
use servicebus_firmware::clock;
use servicebus_firmware::telemetry::{self, Board};
use static_cell::{ConstStaticCell, StaticCell};

const WAKE_UPS: u32 = 5;
/// Readings between two wake-ups.
const READINGS: u32 = 3;
/// How long it is awake at most.
const AWAKE: core::time::Duration = core::time::Duration::from_secs(20);
/// How long it looks for another command.
const COMMANDS: Duration = Duration::from_millis(100);
/// Bytes of the flash.
const FLASH: usize = 4096;

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

/// Memory in the place of flash, which QEMU's board has none of: a product takes its HAL's.
struct Ram(&'static mut [u8; FLASH]);

impl Ram {
    fn at(&mut self, offset: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let cells = self.0.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..length));
        cells.ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl FlashErrorType for Ram {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(self.at(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 512;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.at(from, to.saturating_sub(from) as usize)?.fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.at(offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
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
    static STACK: StaticCell<StackResources<3>> = StaticCell::new();
    static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static CONNECTION_STRING: StaticCell<heapless::String<192>> = StaticCell::new();
    static CELLS: ConstStaticCell<[u8; FLASH]> = ConstStaticCell::new([0xff; FLASH]);

    let hardware = Hardware::take();
    let port = board::server_port();
    let (stack, network) =
        embassy_net::new(hardware.ethernet, board::network(), STACK.init(StackResources::new()), hardware.seed);
    telemetry::spawn_network(spawner, network);
    stack.wait_config_up().await;
    let utc = clock::utc(spawner, stack).await;

    let connection_string: &'static str = CONNECTION_STRING.init(telemetry::connection_string("10.0.2.2", port, true));
    let settings = Settings::new(connection_string, hardware.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, utc).unwrap();
    let tcp = Tcp::new(stack, RECEIVE.take(), TRANSMIT.take());
    spawner.spawn(carry(runner, Plain::new(Counting(tcp))).expect("the runner's task is spawned once"));
    let spool: Spool<_, 32> = Spool::new(Ram(CELLS.take()), 0..FLASH as u32, hardware.seed).unwrap();
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
            println!("sleeping: wake-up {wake_up}: {done:?}");
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
