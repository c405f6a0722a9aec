//! Verifies a server's chain and its signature, and prints how many instructions that takes: for `-icount shift=0`, under
//! which QEMU counts a nanosecond for each. On a Cortex-M0, M4 or M33.
//!
//! Exit status: 0 when nothing that a Cortex-M4 does in one poll takes more than [`LONGEST`] instructions.
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
use servicebus_embassy::tls::{Algorithms, CertificateDer, Deferred, Remembered, Root, Verifier};
use servicebus_firmware as _;

/// Instructions that other tasks may have to wait on a Cortex-M4.
const LONGEST: u32 = 25_000_000;
/// The cores by their part number, and the hertz that SysTick has on QEMU's board with each.
const CORES: [(u32, &str, u32); 3] =
    [(0xc20, "Cortex-M0", 16_000_000), (0xc24, "Cortex-M4", 25_000_000), (0xd21, "Cortex-M33", 20_000_000)];
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

/// Ticks since `before`.
fn since(before: u32) -> u32 {
    before.wrapping_sub(SYST::get_current()) % (1 << 24)
}

/// Ticks for one message of the server, with the signatures in it.
struct Measured {
    all: u32,
    /// Of what is done in one poll, the most.
    longest: u32,
}

/// Has a message taken, and what it puts off done in steps.
fn measure<T>(deferred: &Deferred<'_>, take: impl FnOnce() -> T) -> (T, Measured) {
    let before = SYST::get_current();
    let taken = take();
    let first = since(before);
    let mut measured = Measured { all: first, longest: first };
    loop {
        let before = SYST::get_current();
        let more = deferred.step();
        let step = since(before);
        measured.all += step;
        measured.longest = measured.longest.max(step);
        match more {
            Ok(true) => {}
            Ok(false) => return (taken, measured),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

impl Chain {
    /// For the chain, and for the handshake's signature.
    fn measure(&self, remembered: &Remembered) -> (Measured, Measured) {
        let root = CertificateDer::from(self.root);
        let Ok(root) = Root::from_certificate(&root) else { panic!("{}: no root", self.name) };
        let roots = [root];
        let deferred = Deferred::new();
        let verifier = Verifier::new(&roots, HOST, NOW, Algorithms::ALL).with_remembered(remembered);
        let mut verifier = verifier.with_deferred(&deferred);
        let mut certificates = CertificateRef::with_context(&[]);
        for der in [self.server, self.middle] {
            assert!(certificates.entries.push(CertificateEntryRef::X509(der)).is_ok(), "there is room for sixteen");
        }
        let signature = CertificateVerifyRef { signature_scheme: self.scheme, signature: self.signature };
        let (chain, of_chain) = measure(&deferred, || {
            TlsVerifier::<Aes128GcmSha256>::verify_certificate(&mut verifier, &Transcript::default(), certificates)
        });
        let (handshake, of_signature) =
            measure(&deferred, || TlsVerifier::<Aes128GcmSha256>::verify_signature(&mut verifier, signature));
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
    let part = core.CPUID.base.read() >> 4 & 0xfff;
    let Some((_, name, hertz)) = CORES.into_iter().find(|(number, ..)| *number == part) else {
        panic!("core {part:#x} has no clock here")
    };
    let instructions = |ticks: u32| u64::from(ticks) * 1_000_000_000 / u64::from(hertz);
    let mut longest = 0;
    for chain in &CHAINS {
        let remembered = Remembered::new(Duration::from_secs(60));
        let (of_chain, of_signature) = chain.measure(&remembered);
        let (again, _) = chain.measure(&remembered);
        let in_a_poll = of_chain.longest.max(of_signature.longest);
        println!(
            "{name}: {}: chain {}, signature {}, chain again {}, longest poll {}",
            chain.name,
            instructions(of_chain.all),
            instructions(of_signature.all),
            instructions(again.all),
            instructions(in_a_poll)
        );
        longest = longest.max(in_a_poll);
        assert!(again.all < of_chain.all / 4, "a chain that is remembered costs its hash");
    }
    let longest = instructions(longest);
    println!("{name}: longest poll {longest}");
    exit(i32::from(name == "Cortex-M4" && longest >= LONGEST.into()))
}
