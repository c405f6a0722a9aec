//! TLS to a server whose root the host names: for the emulator's TLS port.

use crate::board;
use crate::device::Device;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use servicebus_embassy::tls::{CertificateDer, Records, Root, Tls};
use static_cell::{ConstStaticCell, StaticCell};

/// The name in the server's certificate; the board reaches it at the host's address.
pub const HOST: &str = "readings.servicebus.example";

/// Dials with TLS over `connect`; once.
///
/// # Panics
///
/// When the last argument names no file with a root certificate (DER).
pub fn dialer<C: servicebus_embassy::Connect>(device: &Device, connect: C) -> Tls<'static, C, ChaCha20Rng> {
    static READ_RECORD: ConstStaticCell<[u8; 16_640]> = ConstStaticCell::new([0; 16_640]);
    static WRITE_RECORD: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static CERTIFICATE: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; 2048]);
    static ROOT_DER: StaticCell<CertificateDer<'static>> = StaticCell::new();
    static ROOTS: StaticCell<[Root<'static>; 1]> = StaticCell::new();
    // A product has its roots in the image: `include_bytes!("root.der")`.
    let root = ROOT_DER.init(CertificateDer::from(board::read_file_argument(CERTIFICATE.take())));
    let Ok(root) = Root::from_certificate(root) else { panic!("the root certificate cannot be used") };
    let mut seed = [0; 32];
    board::random_bytes(&mut seed);
    let records = Records::new(READ_RECORD.take(), WRITE_RECORD.take());
    Tls::new(connect, ChaCha20Rng::from_seed(seed), ROOTS.init([root]), device.utc, records)
}
