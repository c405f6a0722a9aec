//! The temperature of a Raspberry Pi Pico 2, once in ten seconds, into a queue of Azure Service Bus over TLS.
//!
//! The network is a W5500 on SPI0, as on WIZnet's W5500-EVB-Pico2, or as a module wired to a Pico 2: MISO 16, CS 17,
//! SCK 18, MOSI 19, reset 20, interrupt 21. The address comes by DHCP and the time by SNTP.
//!
//! ```sh
//! export SERVICEBUS_CONNECTION_STRING='Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…'
//! cargo run --release      # needs `rustup target add thumbv8m.main-none-eabihf`, probe-rs and a debug probe
//! ```
//!
//! Another network controller changes [`network`] alone: all the rest needs an `embassy_net::Stack`.
#![no_std]
#![no_main]

use core::fmt::Write;
use defmt::{info, warn};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0, TRNG};
use embassy_rp::spi::{self, Spi};
use embassy_rp::trng::{self, Trng};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::{Delay, Duration, Instant, Ticker, Timer};
use embedded_hal_bus::spi::ExclusiveDevice;
use panic_probe as _;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Timestamp;
use servicebus_embassy::tls::{Records, Root, Tls, TrustAnchor};
use servicebus_embassy::{Resources, Runner, Sntp, Tcp};
use static_cell::{ConstStaticCell, StaticCell};

servicebus_core::fixed_storage! {
    /// One queue out, messages of up to 1 KiB, the token among them.
    pub type Board { sessions: 1, links: 3, deliveries: 4, receive: 2048, transmit: 2048, message: 1024 }
}

const QUEUE: &str = "readings";
const PERIOD: Duration = Duration::from_secs(10);
/// The clock is asked for as often.
const CLOCK_PERIOD: Duration = Duration::from_secs(3600);
/// The roots of Azure's certificates.
const ROOTS: [&[u8]; 2] = [b"DigiCert Global Root G2", b"Microsoft RSA Root Certificate Authority 2017"];

static UTC: Sntp = Sntp::new(Timestamp::from_secs(built_at()));

bind_interrupts!(
    struct Interrupts {
        ADC_IRQ_FIFO => adc::InterruptHandler;
        DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
        TRNG_IRQ => trng::InterruptHandler<TRNG>;
    }
);

/// What the build script has found: seconds of the Unix epoch.
const fn built_at() -> i64 {
    match i64::from_str_radix(env!("BUILT_AT"), 10) {
        Ok(seconds) => seconds,
        Err(_) => 0,
    }
}

type Controller = embassy_net_wiznet::Runner<
    'static,
    W5500,
    ExclusiveDevice<Spi<'static, SPI0, spi::Async>, Output<'static>, Delay>,
    Input<'static>,
    Output<'static>,
>;

#[embassy_executor::task]
async fn drive(controller: Controller) -> ! {
    controller.run().await
}

#[embassy_executor::task]
async fn carry_packets(mut runner: embassy_net::Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Tls<'static, Tcp<'static>, ChaCha20Rng>) {
    runner.run(dialer).await;
}

/// The pins that a W5500 is at.
struct Wiring {
    spi: Spi<'static, SPI0, spi::Async>,
    select: Output<'static>,
    interrupt: Input<'static>,
    reset: Output<'static>,
}

/// Starts the controller, and returns when the network has given an address.
async fn network(spawner: Spawner, wiring: Wiring, seed: u64) -> Stack<'static> {
    static STATE: ConstStaticCell<State<4, 4>> = ConstStaticCell::new(State::new());
    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    // Locally administered; a product has one of its own.
    let [.., a, b, c] = seed.to_be_bytes();
    let device = ExclusiveDevice::new(wiring.spi, wiring.select, Delay).expect("the pin can be set");
    let (device, controller) =
        embassy_net_wiznet::new([2, 0, 0, a, b, c], STATE.take(), device, wiring.interrupt, wiring.reset)
            .await
            .expect("a W5500 answers");
    spawner.spawn(drive(controller).expect("spawned once"));
    let (stack, runner) = embassy_net::new(
        device,
        embassy_net::Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        seed,
    );
    spawner.spawn(carry_packets(runner).expect("spawned once"));
    stack.wait_config_up().await;
    stack
}

/// Sets the clock; whether that worked.
async fn set_clock(stack: Stack<'static>, nonce: u64) -> bool {
    let result = UTC.synchronise(stack, "pool.ntp.org", 123, nonce).await;
    match result {
        Ok(()) => info!("the clock is set"),
        Err(error) => warn!("the clock is not set: {}", error),
    }
    result.is_ok()
}

fn roots() -> &'static [Root<'static>] {
    static PLACE: StaticCell<heapless::Vec<Root<'static>, 2>> = StaticCell::new();
    let named = |anchor: &&TrustAnchor<'_>| {
        ROOTS.iter().any(|name| anchor.subject.windows(name.len()).any(|part| part == *name))
    };
    PLACE.init(webpki_roots::TLS_SERVER_ROOTS.iter().filter(named).take(2).cloned().map(Root::from).collect())
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static READ_RECORD: ConstStaticCell<[u8; 16_640]> = ConstStaticCell::new([0; 16_640]);
    static WRITE_RECORD: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);

    let Some(connection_string) = option_env!("SERVICEBUS_CONNECTION_STRING") else {
        panic!("built without SERVICEBUS_CONNECTION_STRING");
    };
    let chip = embassy_rp::init(Default::default());
    let mut random = Trng::new(chip.TRNG, Interrupts, Default::default());
    let mut thermometer = Adc::new(chip.ADC, Interrupts, Default::default());
    let mut sensor = Channel::new_temp_sensor(chip.ADC_TEMP_SENSOR);
    let mut bus = spi::Config::default();
    bus.frequency = 40_000_000;
    let wiring = Wiring {
        spi: Spi::new(chip.SPI0, chip.PIN_18, chip.PIN_19, chip.PIN_16, chip.DMA_CH0, chip.DMA_CH1, Interrupts, bus),
        select: Output::new(chip.PIN_17, Level::High),
        interrupt: Input::new(chip.PIN_21, Pull::Up),
        reset: Output::new(chip.PIN_20, Level::High),
    };
    let stack = network(spawner, wiring, random.blocking_next_u64()).await;
    while !set_clock(stack, random.blocking_next_u64()).await {
        Timer::after_secs(15).await;
    }

    let mut seed = [0; 32];
    random.fill_bytes(&mut seed).await;
    let settings = Settings::new(connection_string, random.blocking_next_u64());
    let (client, runner) = servicebus_embassy::new(RESOURCES.take(), settings, &UTC).unwrap();
    let tcp = Tcp::new(stack, RECEIVE.take(), TRANSMIT.take());
    let records = Records { read: READ_RECORD.take(), write: WRITE_RECORD.take() };
    let tls = Tls::new(tcp, ChaCha20Rng::from_seed(seed), roots(), &UTC, records);
    spawner.spawn(carry(runner, tls).expect("spawned once"));

    let sender = match client.sender(QUEUE) {
        Ok(sender) => sender,
        Err(failure) => defmt::panic!("{}", failure),
    };
    // Ids that no other start of this board has: the queue's duplicate detection goes by them.
    let start = random.blocking_next_u64();
    let mut set_at = Instant::now();
    let mut ticker = Ticker::every(PERIOD);
    for number in 0_u32.. {
        ticker.next().await;
        let Ok(raw) = thermometer.read(&mut sensor).await else { continue };
        let (mut id, mut text) = (heapless::String::<32>::new(), heapless::String::<16>::new());
        // Both fit: 16 and 10 digits with a dash, and a small number.
        let _ = write!(id, "{start:016x}-{number}");
        let _ = write!(text, "{:.1}", celsius(raw));
        let message = MessageRef::new(text.as_str()).with_message_id(id.as_str()).with_subject("celsius");
        while let Err(failure) = sender.send(&message).await {
            warn!("reading {}: {}", number, failure);
            if !failure.is_transient() {
                break;
            }
            Timer::after_secs(1).await;
        }
        if set_at.elapsed() >= CLOCK_PERIOD && set_clock(stack, random.blocking_next_u64()).await {
            set_at = Instant::now();
        }
    }
}

/// The sensor's line, by the RP2350's data sheet (chapter 12.4.6): 0.706 V at 27 °C, falling by 1.721 mV for each more.
fn celsius(raw: u16) -> f32 {
    let volts = f32::from(raw) * 3.3 / 4096.0;
    27.0 - (volts - 0.706) / 0.001_721
}
