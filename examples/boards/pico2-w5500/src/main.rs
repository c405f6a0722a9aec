//! The temperature of a Raspberry Pi Pico 2, once in ten seconds, into a queue of Azure Service Bus over TLS.
//!
//! The network is a W5500 on SPI0, as on WIZnet's W5500-EVB-Pico2, or as a module wired to a Pico 2: MISO 16, CS 17,
//! SCK 18, MOSI 19, reset 20, interrupt 21. The address comes by DHCP and the time by SNTP.
#![no_std]
#![no_main]

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0, TRNG};
use embassy_rp::spi::{self, Spi};
use embassy_rp::trng::{self, Trng};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, dma};
use embassy_time::{Delay, Duration};
use embedded_hal_bus::spi::ExclusiveDevice;
use panic_probe as _;
use servicebus_board_telemetry as telemetry;
use static_cell::ConstStaticCell;

bind_interrupts!(
    struct Interrupts {
        ADC_IRQ_FIFO => adc::InterruptHandler;
        DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
        TRNG_IRQ => trng::InterruptHandler<TRNG>;
    }
);

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
async fn carry_packets(mut runner: telemetry::Packets<Device<'static>>) -> ! {
    runner.run().await
}

/// The pins that a W5500 is at.
struct Wiring {
    spi: Spi<'static, SPI0, spi::Async>,
    select: Output<'static>,
    interrupt: Input<'static>,
    reset: Output<'static>,
}

/// Starts the controller.
async fn network(spawner: Spawner, wiring: Wiring, seed: u64) -> Stack<'static> {
    static STATE: ConstStaticCell<State<4, 4>> = ConstStaticCell::new(State::new());
    // Locally administered; a product has one of its own.
    let [.., a, b, c] = seed.to_be_bytes();
    let device = ExclusiveDevice::new(wiring.spi, wiring.select, Delay).expect("the pin can be set");
    let (device, controller) =
        embassy_net_wiznet::new([2, 0, 0, a, b, c], STATE.take(), device, wiring.interrupt, wiring.reset)
            .await
            .expect("a W5500 answers, if not by now then after the watchdog's reset");
    spawner.spawn(drive(controller).expect("spawned once"));
    let (stack, runner) = telemetry::stack(device, seed);
    spawner.spawn(carry_packets(runner).expect("spawned once"));
    stack
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let chip = embassy_rp::init(Default::default());
    let time = Duration::from_secs(telemetry::WATCHDOG_SECONDS.into());
    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    watchdog.start(time);
    let mut feed = || watchdog.feed(time);

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
    let start = async {
        let stack = network(spawner, wiring, random.blocking_next_u64()).await;
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed).await;
        telemetry::start(spawner, stack, seed).await
    };
    let client = telemetry::bring_up(telemetry::START_LIMIT, start, &mut feed).await;
    let celsius = async || thermometer.read(&mut sensor).await.map_or(f32::NAN, celsius);
    telemetry::run(&client, random.blocking_next_u64(), celsius, feed).await;
}

/// The sensor's line, by the RP2350's data sheet (chapter 12.4.6): 0.706 V at 27 °C, falling by 1.721 mV for each more.
fn celsius(raw: u16) -> f32 {
    let volts = f32::from(raw) * 3.3 / 4096.0;
    27.0 - (volts - 0.706) / 0.001_721
}
