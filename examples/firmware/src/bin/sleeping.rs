//! A device that sleeps between wake-ups: for the emulator, over plain TCP.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use servicebus_core::machine::Settings;
use servicebus_embassy::{Plain, Resources, Runner, Tcp};
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::sleeping::{self, Counting};
use servicebus_firmware::telemetry::Board;
use static_cell::ConstStaticCell;

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Counting<Tcp<'static>>>) {
    runner.run(dialer).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());

    let device = Device::start(spawner).await;
    let settings = Settings::new(device.connection_string("10.0.2.2", device::PLAIN), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    spawner.spawn(carry(runner, Plain::new(Counting(device.tcp()))).expect("the runner's task is spawned once"));
    sleeping::run(client, device.seed).await
}
