//! The temperature of an nRF9151, once in ten seconds, into a queue of Azure Service Bus over its LTE modem.
//!
//! The modem does the TLS, so that the image has none: `%CMNG` has stored the roots of Azure's certificates under
//! [`SECURITY_TAG`] before. It takes records of up to 2 KiB from a server; frames are no longer than that here. The time is
//! the network's. The image runs in the secure mode of the chip, without TF-M.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::NVIC;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::cryptocell_rng::CcRng;
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::pac::{self, interrupt};
use embassy_nrf::wdt::{self, Watchdog};
use embassy_nrf::{bind_interrupts, peripherals};
use embassy_time::{Instant, Timer};
use nrf_modem::{ConnectionPreference, LteLink, MemoryLayout, OwnedTlsReadStream, OwnedTlsWriteStream};
use nrf_modem::{PeerVerification, SystemMode, TlsStream};
use panic_probe as _;
use servicebus_board_telemetry::{self as telemetry, BEATS, BUILT_AT, Board, CARRYING};
use servicebus_core::time::Timestamp;
use servicebus_embassy::{Connect, Plain, Runner, Stream, StreamError};
use tinyrlibc as _;

const SECURITY_TAG: u32 = 16;

bind_interrupts!(struct Interrupts {
    CRYPTOCELL => embassy_nrf::cryptocell_rng::InterruptHandler<peripherals::CC_RNG>;
});

#[interrupt]
fn IPC() {
    nrf_modem::ipc_irq_handler();
}

/// Sockets of the modem.
struct Modem {
    halves: Option<(RefCell<OwnedTlsReadStream>, RefCell<OwnedTlsWriteStream>)>,
}

impl Connect for Modem {
    type Stream<'a> = Stream<'a, OwnedTlsReadStream, OwnedTlsWriteStream>;
    type StreamError = StreamError<nrf_modem::Error>;
    type Error = nrf_modem::Error;

    async fn connect<'a>(&'a mut self, host: &str, port: u16) -> Result<Self::Stream<'a>, Self::Error> {
        if let Some((reader, writer)) = self.halves.take() {
            // A socket that is broken anyhow.
            let _ = reader.into_inner().deactivate().await;
            let _ = writer.into_inner().deactivate().await;
        }
        let verification = PeerVerification::Enabled;
        let socket = TlsStream::connect(host, port, verification, &[SECURITY_TAG], None, true).await?;
        let (reader, writer) = socket.split_owned().await?;
        let (reader, writer) = self.halves.insert((RefCell::new(reader), RefCell::new(writer)));
        Ok(Stream::new(reader, writer))
    }
}

#[embassy_executor::task]
async fn carry(runner: Runner<Board>) {
    BEATS.keep(CARRYING, runner.run(Plain::over_encrypted(Modem { halves: None }))).await;
}

/// Seconds from the build to the start of the chip.
static STARTED: AtomicU32 = AtomicU32::new(0);
static UTC: fn() -> Timestamp = || {
    let since = u64::from(STARTED.load(Ordering::Relaxed)) + Instant::now().as_secs();
    Timestamp::from_secs(BUILT_AT.as_secs() + since as i64)
};

/// The network's time, of `+CCLK: "26/11/30,08:06:40+04"`: local, with the quarters of an hour that it is ahead of UTC.
async fn network_time() -> Option<i64> {
    let answer = nrf_modem::send_at::<64>("AT+CCLK?").await.ok()?;
    let text = answer.split('"').nth(1)?;
    let number = |range: Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (2000 + number(0..2)?, number(3..5)?, number(6..8)?);
    // Years that begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = (number(9..11)? * 60 + number(12..14)?) * 60 + number(15..17)?;
    Some(days * 86_400 + seconds - number(17..20)? * 900)
}

async fn set_clock() {
    loop {
        let since = network_time().await.map(|now| now - BUILT_AT.as_secs() - Instant::now().as_secs() as i64);
        if let Some(Ok(since)) = since.map(u32::try_from) {
            return STARTED.store(since, Ordering::Relaxed);
        }
        Timer::after_secs(1).await;
    }
}

async fn celsius() -> f32 {
    let answer = nrf_modem::send_at::<32>("AT%XTEMP?").await.ok();
    let degrees = answer.as_ref().and_then(|answer| answer.strip_prefix("%XTEMP: ")?.lines().next()?.parse().ok());
    degrees.unwrap_or(f32::NAN)
}

/// Lets the modem's library into the RAM that it shares with the modem, and to the peripherals that it drives: it is made for
/// the non-secure mode.
fn open_to_modem() {
    for region in 0..4 {
        pac::SPU.ramregion(region).perm().write(|permission| {
            permission.set_execute(true);
            permission.set_write(true);
            permission.set_read(true);
        });
    }
    // Regulators, power and clock, IPC.
    for peripheral in [4, 5, 42] {
        pac::SPU.periphid(peripheral).perm().write(|permission| permission.set_secattr(false));
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let chip = embassy_nrf::init(Default::default());
    let mut seed = [0; 16];
    CcRng::new(chip.CC_RNG, Interrupts).fill_bytes(&mut seed).await;
    let [first, second] =
        [&seed[..8], &seed[8..]].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));

    open_to_modem();
    interrupt::IPC.set_priority(Priority::P0);
    // SAFETY: no critical section relies on it being masked; its handler is above.
    unsafe { NVIC::unmask(pac::Interrupt::IPC) };
    let mode = SystemMode {
        lte_support: true,
        lte_psm_support: true,
        nbiot_support: true,
        gnss_support: false,
        preference: ConnectionPreference::None,
    };
    let memory =
        MemoryLayout { base_address: 0x2000_0000, tx_area_size: 0x2000, rx_area_size: 0x3000, trace_area_size: 0 };
    nrf_modem::init_with_custom_layout(mode, memory).await.expect("the modem starts");
    // Kept, so that the modem stays with the network between two connections.
    let link = LteLink::new().await.expect("the modem is initialised");
    link.wait_for_link().await.expect("there is a network");
    set_clock().await;

    let (client, runner) = telemetry::client(first, &UTC);
    spawner.spawn(carry(runner).expect("spawned once"));
    let mut config = wdt::Config::default();
    config.timeout_ticks = telemetry::WATCHDOG_SECONDS * 32_768;
    let Ok((_, [mut watchdog])) = Watchdog::try_new(chip.WDT, config) else { defmt::panic!("another watchdog runs") };
    telemetry::run(&client, second, celsius, || watchdog.pet()).await;
}
