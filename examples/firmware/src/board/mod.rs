//! The board: its Ethernet controller, its clock, its console and its network addresses.

mod clock;
mod lan9118;
mod memory;

use core::ffi::CStr;
use core::net::Ipv4Addr;
use cortex_m_rt::exception;
use embassy_net::{Config, Ipv4Cidr, StaticConfigV4};
use semihosting::experimental::{env, random};
use semihosting::fs::File;
use semihosting::io::Read;

pub use clock::utc;
pub use lan9118::{Lan9118, RxToken, TxToken};
pub use memory::{Usage, kept, paint_stack, usage};
#[cfg(not(feature = "defmt"))]
pub use semihosting::println;
pub use semihosting::process::exit;

#[cfg(feature = "defmt")]
pub use crate::println;

/// Registers of the Ethernet controller.
const ETHERNET: usize = 0x4020_0000;
/// Its interrupt.
const ETHERNET_IRQ: i16 = 13;
/// The host, as QEMU's user-mode network shows it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// The board's parts, handed out once.
#[derive(Debug)]
pub struct Board {
    /// The Ethernet controller, running.
    pub ethernet: Lan9118,
    /// A seed from the host's random source, for ports, sequence numbers and keys.
    pub seed: u64,
}

impl Board {
    /// Starts the clock and the Ethernet controller.
    ///
    /// # Panics
    ///
    /// When called twice, or when the controller does not answer.
    pub fn take() -> Self {
        memory::paint_stack();
        let Some(core) = cortex_m::Peripherals::take() else { panic!("the board is taken already") };
        clock::start(core.SYST);
        // SAFETY: `Peripherals::take` succeeds once, so this is the only owner of the registers at ETHERNET.
        let ethernet = unsafe { Lan9118::new(ETHERNET, [0x02, 0, 0, 0x12, 0x34, 0x56]) };
        let Some(ethernet) = ethernet else { panic!("no LAN9118 at {ETHERNET:#x}") };
        // SAFETY: the handler only masks the controller's interrupt and wakes a task; no critical section relies on it.
        unsafe { cortex_m::peripheral::NVIC::unmask(Interrupt) };
        let mut seed = [0; 8];
        if random::fill_bytes(&mut seed).is_err() {
            panic!("the host gives no random bytes");
        }
        Self { ethernet, seed: u64::from_le_bytes(seed) }
    }
}

/// The address that QEMU's user-mode network expects.
pub fn network() -> Config {
    Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(Ipv4Addr::new(10, 0, 2, 15), 24),
        gateway: Some(HOST),
        dns_servers: heapless::Vec::from_iter([Ipv4Addr::new(10, 0, 2, 3)]),
    })
}

/// A number on the firmware's command line: the one at `place`, counted from 0.
pub fn port_argument(place: usize) -> Option<u16> {
    env::args::<256>().ok()?.skip(1).filter_map(|arg| arg.ok()?.parse().ok()).nth(place)
}

/// The first number on the command line: the port to connect to.
///
/// # Panics
///
/// When there is none.
pub fn server_port() -> u16 {
    let Some(port) = port_argument(0) else { panic!("the port is missing on the command line") };
    port
}

/// Reads the file on the host that the last argument names.
///
/// # Panics
///
/// When there is none, or it does not fit into `buffer`.
pub fn read_file_argument(buffer: &mut [u8]) -> &[u8] {
    let Ok(args) = env::args::<256>() else { panic!("no command line") };
    let Some(Ok(path)) = args.last() else { panic!("the file is missing on the command line") };
    let mut name = [0; 256];
    let Some(place) = name.get_mut(..path.len()) else { panic!("{path} is too long a name") };
    place.copy_from_slice(path.as_bytes());
    let path = CStr::from_bytes_until_nul(&name).ok().and_then(|path| File::open(path).ok());
    let Some(mut file) = path else { panic!("the file cannot be opened") };
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => return buffer.get(..length).unwrap_or_default(),
            Ok(count) => length += count,
            Err(error) => panic!("the file cannot be read: {error:?}"),
        }
    }
    panic!("the file has more than {length} bytes");
}

/// Fills `bytes` from the host's random source.
///
/// # Panics
///
/// When the host has none.
pub fn random_bytes(bytes: &mut [u8]) {
    if random::fill_bytes(bytes).is_err() {
        panic!("the host gives no random bytes");
    }
}

/// As when the power fails: only what [`kept`] hands out stays.
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

#[derive(Clone, Copy)]
struct Interrupt;

// SAFETY: a number of this board's, below the count of its interrupts.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        ETHERNET_IRQ as u16
    }
}

/// Without a device crate every interrupt comes here.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    if irq == ETHERNET_IRQ {
        lan9118::interrupt(ETHERNET);
    } else {
        panic!("interrupt {irq} was never enabled");
    }
}
