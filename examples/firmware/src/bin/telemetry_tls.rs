//! Telemetry over TLS 1.3: for the emulator's TLS port, and with the connection string of a real namespace for Azure.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use servicebus_core::machine::Settings;
use servicebus_embassy::tls::{CertificateDer, Records, Root, Tls};
use servicebus_embassy::{Client, Resources, Runner, Tcp};
use servicebus_firmware::board;
use servicebus_firmware::device::{self, Device};
use servicebus_firmware::telemetry::{self, Board};
use static_cell::{ConstStaticCell, StaticCell};

/// The name in the server's certificate; the board reaches it at the host's address.
const HOST: &str = "readings.servicebus.example";

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
    static READ_RECORD: ConstStaticCell<[u8; 16_640]> = ConstStaticCell::new([0; 16_640]);
    static WRITE_RECORD: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static CERTIFICATE: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; 2048]);
    static ROOT_DER: StaticCell<CertificateDer<'static>> = StaticCell::new();
    static ROOTS: StaticCell<[Root<'static>; 1]> = StaticCell::new();

    let device = Device::start(spawner).await;
    // A product has its roots in the image: `include_bytes!("root.der")`.
    let root = ROOT_DER.init(CertificateDer::from(board::read_file_argument(CERTIFICATE.take())));
    let Ok(root) = Root::from_certificate(root) else { panic!("the root certificate cannot be used") };
    let mut seed = [0; 32];
    board::random_bytes(&mut seed);

    let settings = Settings::new(device.connection_string(HOST, device::ENCRYPTED), device.seed);
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, device.utc).unwrap();
    let tcp = device.tcp().with_address(board::HOST);
    let records = Records::new(READ_RECORD.take(), WRITE_RECORD.take());
    let tls = Tls::new(tcp, ChaCha20Rng::from_seed(seed), ROOTS.init([root]), device.utc, records);
    spawner.spawn(carry(runner, tls).expect("the runner's task is spawned once"));
    spawner.spawn(application(client).expect("the application's task is spawned once"));
}
