//! Telemetry over plain TCP: for the emulator.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use servicebus_core::machine::Settings;
use servicebus_embassy::{Plain, Resources, Runner, Tcp};
use servicebus_firmware::board::{self, Board as Hardware};
use servicebus_firmware::clock;
use servicebus_firmware::telemetry::{self, Board};
use static_cell::{ConstStaticCell, StaticCell};

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Tcp<'static>>) {
    runner.run(dialer).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static STACK: StaticCell<StackResources<3>> = StaticCell::new();
    static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static CONNECTION_STRING: StaticCell<heapless::String<192>> = StaticCell::new();

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
    spawner.spawn(carry(runner, Plain::new(tcp)).expect("the runner's task is spawned once"));
    telemetry::run(client).await;
}
