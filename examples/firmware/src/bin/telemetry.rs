//! Telemetry over plain TCP: for the emulator.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use servicebus_core::machine::Settings;
use servicebus_embassy::{Client, Plain, Resources, Runner, Tcp};
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::telemetry::{self, Board};
use static_cell::ConstStaticCell;

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Tcp<'static>>) {
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
    let settings = Settings::new(device.connection_string("10.0.2.2", device::PLAIN), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    spawner.spawn(carry(runner, Plain::new(device.tcp())).expect("the runner's task is spawned once"));
    spawner.spawn(application(client).expect("the application's task is spawned once"));
}
