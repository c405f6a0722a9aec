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
use defmt::{Debug2Format, warn};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::cryptocell_rng::CcRng;
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::pac::{self, interrupt};
use embassy_nrf::wdt::{self, Watchdog};
use embassy_nrf::{bind_interrupts, peripherals};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use nrf_modem::{ConnectionPreference, LteLink, MemoryLayout, OwnedTlsReadStream, OwnedTlsWriteStream};
use nrf_modem::{PeerVerification, SystemMode, TlsStream};
use panic_probe as _;
use servicebus_board_telemetry::{self as telemetry, BEATS, BUILT_AT, Board, CARRYING};
use servicebus_core::time::Timestamp;
use servicebus_embassy::{Close, Connect, Plain, Runner, Stream, StreamError};
use tinyrlibc as _;

const SECURITY_TAG: u32 = 16;

/// The limit of the start: longer than the 30 minutes in which a modem refuses to register after several resets without
/// `AT+CFUN=0` (Nordic's white paper nWP042).
const START_LIMIT: Duration = Duration::from_secs(3_600);

bind_interrupts!(struct Interrupts {
    CRYPTOCELL => embassy_nrf::cryptocell_rng::InterruptHandler<peripherals::CC_RNG>;
});

#[interrupt]
fn IPC() {
    nrf_modem::ipc_irq_handler();
}

/// A half of the modem's socket, until it is closed.
struct Half<T>(Option<T>);

impl<T> ErrorType for Half<T> {
    type Error = nrf_modem::Error;
}

impl Read for Half<OwnedTlsReadStream> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Read::read(self.0.as_mut().ok_or(nrf_modem::Error::Disconnected)?, buffer).await
    }
}

impl Write for Half<OwnedTlsWriteStream> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Write::write(self.0.as_mut().ok_or(nrf_modem::Error::Disconnected)?, bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Write::flush(self.0.as_mut().ok_or(nrf_modem::Error::Disconnected)?).await
    }
}

/// A socket of the modem, with TLS. The modem closes it, and ends TLS, when both halves are deactivated.
struct Socket {
    reader: RefCell<Half<OwnedTlsReadStream>>,
    writer: RefCell<Half<OwnedTlsWriteStream>>,
}

impl Socket {
    async fn close(&self) -> Result<(), StreamError<nrf_modem::Error>> {
        // A half that is in use stays until the next connection.
        let reader = self.reader.try_borrow_mut().map_err(|_| StreamError::Busy)?.0.take();
        let writer = self.writer.try_borrow_mut().map_err(|_| StreamError::Busy)?.0.take();
        let mut result = Ok(());
        if let Some(writer) = writer {
            result = writer.deactivate().await;
        }
        if let Some(reader) = reader {
            result = result.and(reader.deactivate().await);
        }
        result.map_err(StreamError::Io)
    }
}

#[derive(Clone)]
struct Handle<'a>(&'a Socket);

impl<'a> Handle<'a> {
    const fn stream(&self) -> Stream<'a, Half<OwnedTlsReadStream>, Half<OwnedTlsWriteStream>> {
        Stream::new(&self.0.reader, &self.0.writer)
    }
}

impl ErrorType for Handle<'_> {
    type Error = StreamError<nrf_modem::Error>;
}

impl Read for Handle<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.stream().read(buffer).await
    }
}

impl Write for Handle<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.stream().write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.stream().flush().await
    }
}

impl Close for Handle<'_> {
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.0.close().await
    }
}

/// Opens sockets of the modem.
struct Modem {
    socket: Option<Socket>,
}

impl Connect for Modem {
    type Stream<'a> = Handle<'a>;
    type StreamError = StreamError<nrf_modem::Error>;
    type Error = nrf_modem::Error;

    async fn connect<'a>(&'a mut self, host: &str, port: u16) -> Result<Self::Stream<'a>, Self::Error> {
        if let Some(socket) = self.socket.take() {
            // One that broke has not been closed.
            let _ = socket.close().await;
        }
        let verification = PeerVerification::Enabled;
        let socket = TlsStream::connect(host, port, verification, &[SECURITY_TAG], None, true).await?;
        let (reader, writer) = socket.split_owned().await?;
        let (reader, writer) = (RefCell::new(Half(Some(reader))), RefCell::new(Half(Some(writer))));
        Ok(Handle(self.socket.insert(Socket { reader, writer })))
    }
}

#[embassy_executor::task]
async fn carry(runner: Runner<Board>) {
    BEATS.keep(CARRYING, runner.run(Plain::over_encrypted(Modem { socket: None }))).await;
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

/// Waits for the network. After a denied registration or a failure of the SIM it waits again: the modem may find another
/// network.
async fn register(link: &LteLink) {
    while let Err(error) = link.wait_for_link().await {
        warn!("no network: {}", Debug2Format(&error));
        Timer::after_secs(15).await;
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
    let mut config = wdt::Config::default();
    config.timeout_ticks = telemetry::WATCHDOG_SECONDS * 32_768;
    let Ok((_, [mut watchdog])) = Watchdog::try_new(chip.WDT, config) else { defmt::panic!("another watchdog runs") };
    let mut feed = || watchdog.pet();

    let mut seed = [0; 16];
    CcRng::new(chip.CC_RNG, Interrupts).fill_bytes(&mut seed).await;
    let [first, second] = telemetry::numbers(seed);

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
    let start = async {
        nrf_modem::init_with_custom_layout(mode, memory).await.expect("the modem starts");
        // Kept, so that the modem stays with the network between two connections.
        let link = LteLink::new().await.expect("the modem is initialised");
        register(&link).await;
        set_clock().await;
        link
    };
    let _link = telemetry::bring_up(START_LIMIT, start, &mut feed).await;

    let (client, runner) = telemetry::client(first, &UTC);
    spawner.spawn(carry(runner).expect("spawned once"));
    telemetry::run(&client, second, celsius, feed).await;
}
