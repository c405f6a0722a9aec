//! A device that sleeps between wake-ups, over TLS 1.3: the chain that it has verified is remembered. For the emulator's TLS
//! port.
#![no_std]
#![no_main]

use core::time::Duration;
use embassy_executor::Spawner;
use rand_chacha::ChaCha20Rng;
use servicebus_core::machine::Settings;
use servicebus_embassy::tls::Tls;
use servicebus_embassy::{Client, Resources, Runner, Tcp};
use servicebus_firmware::board;
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::encrypted::{self, HOST};
use servicebus_firmware::sleeping::{self, Counting};
use servicebus_firmware::telemetry::Board;
use static_cell::ConstStaticCell;

/// How long a chain that was verified counts.
const LIFE: Duration = Duration::from_secs(24 * 3600);

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Tls<'static, Counting<Tcp<'static>>, ChaCha20Rng>) {
    runner.run(dialer).await;
}

#[embassy_executor::task]
async fn application(client: Client<Board>, seed: u64) {
    sleeping::run(client, seed).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());

    let device = Device::start(spawner).await;
    let settings = Settings::new(device.connection_string(HOST, device::ENCRYPTED), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    let tls = encrypted::dialer(&device, Counting(device.tcp().with_address(board::HOST))).with_remembered_chain(LIFE);
    spawner.spawn(carry(runner, tls).expect("the runner's task is spawned once"));
    spawner.spawn(application(client, device.seed).expect("the application's task is spawned once"));
}
