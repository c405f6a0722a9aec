//! Telemetry over TLS 1.3: for the emulator's TLS port, and with the connection string of a real namespace for Azure.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use servicebus_core::machine::Settings;
use servicebus_embassy::tls::{CertificateDer, Records, Root, Tls};
use servicebus_embassy::{Resources, Runner, Tcp};
use servicebus_firmware::board::{self, Board as Hardware};
use servicebus_firmware::clock;
use servicebus_firmware::telemetry::{self, Board};
use static_cell::{ConstStaticCell, StaticCell};

/// The name in the server's certificate; the board reaches it at the host's address.
const HOST: &str = "readings.servicebus.example";

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Tls<'static, Tcp<'static>, ChaCha20Rng>) {
    runner.run(dialer).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static STACK: StaticCell<StackResources<3>> = StaticCell::new();
    static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static READ_RECORD: ConstStaticCell<[u8; 16_640]> = ConstStaticCell::new([0; 16_640]);
    static WRITE_RECORD: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static CONNECTION_STRING: StaticCell<heapless::String<192>> = StaticCell::new();
    static CERTIFICATE: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; 2048]);
    static ROOT_DER: StaticCell<CertificateDer<'static>> = StaticCell::new();
    static ROOTS: StaticCell<[Root<'static>; 1]> = StaticCell::new();

    let hardware = Hardware::take();
    let port = board::server_port();
    let (stack, network) =
        embassy_net::new(hardware.ethernet, board::network(), STACK.init(StackResources::new()), hardware.seed);
    telemetry::spawn_network(spawner, network);
    stack.wait_config_up().await;
    let utc = clock::utc(spawner, stack).await;

    // A product has its roots in the image: `include_bytes!("root.der")`.
    let root = ROOT_DER.init(CertificateDer::from(board::read_file_argument(CERTIFICATE.take())));
    let Ok(root) = Root::from_certificate(root) else { panic!("the root certificate cannot be used") };
    let mut seed = [0; 32];
    board::random_bytes(&mut seed);

    let connection_string: &'static str = CONNECTION_STRING.init(telemetry::connection_string(HOST, port, false));
    let settings = Settings::new(connection_string, hardware.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, utc).unwrap();
    let tcp = Tcp::new(stack, RECEIVE.take(), TRANSMIT.take()).with_address(board::HOST);
    let records = Records { read: READ_RECORD.take(), write: WRITE_RECORD.take() };
    let tls = Tls::new(tcp, ChaCha20Rng::from_seed(seed), ROOTS.init([root]), utc, records);
    spawner.spawn(carry(runner, tls).expect("the runner's task is spawned once"));
    telemetry::run(client).await;
}
