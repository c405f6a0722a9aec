//! Telemetry over TLS 1.3: for the emulator's TLS port, and with the connection string of a real namespace for Azure.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use rand_chacha::ChaCha20Rng;
use servicebus_core::machine::Settings;
use servicebus_embassy::tls::Tls;
use servicebus_embassy::{Client, Resources, Runner, Tcp};
use servicebus_firmware::board;
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::encrypted::{self, HOST};
use servicebus_firmware::telemetry::{self, Board};
use static_cell::ConstStaticCell;

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Tls<'static, Tcp<'static>, ChaCha20Rng>) {
    runner.run(dialer).await;
}

#[embassy_executor::task]
async fn application(client: Client<Board>) {
    telemetry::run(client).await;
}

// A task of its own that spawns the others: a future is made on the stack, on top of the one that spawns it.
#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());

    let device = Device::start(spawner).await;
    let settings = Settings::new(device.connection_string(HOST, device::ENCRYPTED), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    let tls = encrypted::dialer(&device, device.tcp().with_address(board::HOST));
    spawner.spawn(carry(runner, tls).expect("the runner's task is spawned once"));
    spawner.spawn(application(client).expect("the application's task is spawned once"));
}
