//! Verifies a server's chain and its signature, and prints how many instructions that takes: for `-icount shift=0`, under
//! which QEMU counts a nanosecond for each.
//!
//! Exit status: 0 when a chain of RSA, and the signature behind it, take less than [`LONGEST`] instructions.
#![no_std]
#![no_main]

use core::time::Duration;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme, TlsCipherSuite,
    TlsVerifier,
};
use semihosting::{println, process::exit};
use servicebus_core::time::Timestamp;
use servicebus_embassy::tls::{Algorithms, CertificateDer, Remembered, Root, Verifier};
use servicebus_firmware as _;

/// Instructions that other tasks may have to wait.
const LONGEST: u32 = 25_000_000;
/// Nanoseconds of SysTick's clock, which has 25 MHz.
const TICK: u32 = 40;
/// In the server's certificates.
const HOST: &str = "readings.servicebus.example";
/// 2030-01-01.
const NOW: Timestamp = Timestamp::from_secs(1_893_456_000);

/// The hash of a handshake without a message.
type Transcript = <Aes128GcmSha256 as TlsCipherSuite>::Hash;

struct Chain {
    name: &'static str,
    root: &'static [u8],
    middle: &'static [u8],
    server: &'static [u8],
    scheme: SignatureScheme,
    signature: &'static [u8],
}

macro_rules! chain {
    ($name:literal, $scheme:ident) => {
        Chain {
            name: $name,
            root: include_bytes!(concat!("../../chains/", $name, "-root.der")),
            middle: include_bytes!(concat!("../../chains/", $name, "-middle.der")),
            server: include_bytes!(concat!("../../chains/", $name, "-server.der")),
            scheme: SignatureScheme::$scheme,
            signature: include_bytes!(concat!("../../chains/", $name, "-signature.bin")),
        }
    };
}

static CHAINS: [Chain; 4] = [
    chain!("rsa4096", RsaPssRsaeSha256),
    chain!("rsa2048", RsaPssRsaeSha256),
    chain!("p256", EcdsaSecp256r1Sha256),
    chain!("p384", EcdsaSecp384r1Sha384),
];

/// Instructions since `before`.
fn since(before: u32) -> u32 {
    before.wrapping_sub(SYST::get_current()) % (1 << 24) * TICK
}

impl Chain {
    /// Instructions for the chain and for the handshake's signature.
    fn measure(&self, remembered: &Remembered) -> (u32, u32) {
        let root = CertificateDer::from(self.root);
        let Ok(root) = Root::from_certificate(&root) else { panic!("{}: no root", self.name) };
        let roots = [root];
        let mut verifier = Verifier::new(&roots, HOST, NOW, Algorithms::ALL).remembering(remembered);
        let mut certificates = CertificateRef::with_context(&[]);
        for der in [self.server, self.middle] {
            assert!(certificates.entries.push(CertificateEntryRef::X509(der)).is_ok(), "there is room for sixteen");
        }
        let signature = CertificateVerifyRef { signature_scheme: self.scheme, signature: self.signature };
        let before = SYST::get_current();
        let chain =
            TlsVerifier::<Aes128GcmSha256>::verify_certificate(&mut verifier, &Transcript::default(), certificates);
        let of_chain = since(before);
        let before = SYST::get_current();
        let handshake = TlsVerifier::<Aes128GcmSha256>::verify_signature(&mut verifier, signature);
        let of_signature = since(before);
        assert!(chain.is_ok() && handshake.is_ok() && verifier.is_proven(), "{}: {:?}", self.name, verifier.refusal());
        (of_chain, of_signature)
    }
}

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { panic!("the board is taken already") };
    let mut systick = core.SYST;
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload((1 << 24) - 1);
    systick.clear_current();
    systick.enable_counter();
    let mut longest = 0;
    for chain in &CHAINS {
        let remembered = Remembered::new(Duration::from_secs(60));
        let (of_chain, of_signature) = chain.measure(&remembered);
        let (again, _) = chain.measure(&remembered);
        println!("{}: chain {of_chain}, signature {of_signature}, chain again {again}", chain.name);
        if chain.name.starts_with("rsa") {
            longest = longest.max(of_chain.max(of_signature));
        }
        assert!(again < of_chain / 4, "a chain that is remembered costs its hash");
    }
    println!("longest with RSA: {longest} of {LONGEST}");
    exit(i32::from(longest >= LONGEST))
}
