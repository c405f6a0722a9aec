//! A device whose power fails at random, also in the middle of a write to flash: readings are pushed into flash and sent
//! from there, and each arrives, whatever is lost on the way. For the emulator, over plain TCP.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicU32, Ordering};
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_time::{Duration, Timer};
use servicebus_core::machine::Settings;
use servicebus_embassy::{Plain, Resources, Runner, Spool, SpoolError, Tcp};
use servicebus_firmware::board::{self, println};
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::flash::{Memory, PAGE};
use servicebus_firmware::telemetry::Board;
use static_cell::ConstStaticCell;

const READINGS: u32 = 1_000;
/// So often the power fails.
const FAILURES: u32 = 40;
const FLASH: usize = 16 * PAGE;
/// Between two readings, while the power fails: 25 for each run of the board.
const PERIOD: Duration = Duration::from_millis(5);

/// Words that are written to flash until the power fails.
static WORDS: AtomicU32 = AtomicU32::new(u32::MAX);

fn count_word() {
    if WORDS.fetch_sub(1, Ordering::Relaxed) == 0 {
        board::reset();
    }
}

/// What a board has in a register with a battery: what it has measured, and here also how often the power failed.
struct Register(&'static mut [u8]);

impl Register {
    const MAGIC: u32 = 0x5ab1_e5ac;

    /// The memory that resets keep: the register, and the flash.
    fn kept() -> (Self, &'static mut [u8]) {
        let (register, flash) = board::kept(PAGE + FLASH).split_at_mut(PAGE);
        let mut register = Self(register);
        if register.get(0) != Self::MAGIC {
            // The first start. Flash comes erased.
            flash.fill(0xff);
            register.set(1, 0);
            register.set(2, 0);
            register.set(0, Self::MAGIC);
        }
        (register, flash)
    }

    fn get(&self, place: usize) -> u32 {
        let word = self.0.chunks_exact(4).nth(place).and_then(|word| word.try_into().ok());
        word.map_or(0, u32::from_le_bytes)
    }

    fn set(&mut self, place: usize, value: u32) {
        if let Some(word) = self.0.chunks_exact_mut(4).nth(place) {
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Tcp<'static>>) {
    runner.run(dialer).await;
}

/// The power fails after a while.
#[embassy_executor::task]
async fn fail(after: Duration) {
    Timer::after(after).await;
    board::reset();
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());

    let (mut register, flash) = Register::kept();
    let device = Device::start(spawner).await;
    let failures = register.get(2);
    if failures < FAILURES {
        register.set(2, failures + 1);
        let random = (device.seed >> 32) as u32;
        if device.seed & 1 == 0 {
            WORDS.store(random % 400, Ordering::Relaxed);
        } else {
            let after = Duration::from_millis(u64::from(10 + random % 300));
            spawner.spawn(fail(after).expect("it is spawned once"));
        }
    }

    let settings = Settings::new(device.connection_string("10.0.2.2", device::PLAIN), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    spawner.spawn(carry(runner, Plain::new(device.tcp())).expect("the runner's task is spawned once"));
    let spool: Spool<_, 32> = Spool::new(Memory::new(flash, count_word), 0..FLASH as u32, device.seed).unwrap();
    let Ok(sender) = client.sender("readings") else { panic!("there is room for a sender") };

    let measured = Cell::new(register.get(1) == READINGS);
    let measure = async {
        while register.get(1) < READINGS {
            let number = register.get(1);
            let mut text = heapless::String::<16>::new();
            // It fits: four digits at most.
            _ = write!(text, "reading {number}");
            match spool.push(text.as_bytes()).await {
                Ok(()) => register.set(1, number + 1),
                Err(SpoolError::Full) => {}
                Err(error) => panic!("{error}"),
            }
            Timer::after(PERIOD).await;
        }
        measured.set(true);
    };
    let deliver = async {
        loop {
            let last = measured.get();
            match spool.send(&sender).await {
                Ok(_) if last => return,
                Ok(_) => Timer::after_millis(20).await,
                Err(error) => {
                    println!("spooling: {error} ({})", client.last_description());
                    Timer::after_millis(200).await;
                }
            }
        }
    };
    join(measure, deliver).await;
    println!("spooling: {READINGS} readings sent, the power failed {FAILURES} times");
    client.close().await;
    println!("spooling: {}", board::usage());
    board::exit(0)
}
