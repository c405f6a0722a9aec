//! The temperature of a Raspberry Pi Pico W, once in ten seconds, into a queue of Azure Service Bus over TLS.
//!
//! The radio is a CYW43439, whose firmware is not in this repository: `CYW43_FIRMWARE` names the folder that has it, and
//! `WIFI_NETWORK` and `WIFI_PASSWORD` are the network's.
#![no_std]
#![no_main]

mod seed;

use aligned::{A4, Aligned};
use cyw43::{Control, JoinOptions, NetDriver, PowerManagementMode, SpiBus, State};
use cyw43_pio::{DEFAULT_CLOCK_DIVIDER, PioSpi};
use defmt::warn;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::clocks::RoscRng;
use embassy_rp::flash::{Blocking, Flash};
use embassy_rp::gpio::{Level, Output};
use embassy_rp::peripherals::{DMA_CH0, PIO0};
use embassy_rp::pio::{self, Pio};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{bind_interrupts, dma};
use embassy_time::{Duration, Timer};
use panic_probe as _;
use servicebus_board_telemetry as telemetry;
use static_cell::StaticCell;

include!(concat!(env!("OUT_DIR"), "/radio.rs"));

bind_interrupts!(
    struct Interrupts {
        ADC_IRQ_FIFO => adc::InterruptHandler;
        DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>;
        PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
    }
);

/// The flash of a Pico W.
const FLASH_BYTES: usize = 2 * 1024 * 1024;

#[embassy_executor::task]
async fn drive(radio: cyw43::Runner<'static, SpiBus<Output<'static>, PioSpi<'static, PIO0, 0>>>) -> ! {
    radio.run().await
}

#[embassy_executor::task]
async fn carry_packets(mut runner: telemetry::Packets<NetDriver<'static>>) -> ! {
    runner.run().await
}

/// Joins the network, and again when it is lost.
#[embassy_executor::task]
async fn join(mut control: Control<'static>, stack: Stack<'static>) -> ! {
    let (network, password) = (env_or_panic(option_env!("WIFI_NETWORK")), env_or_panic(option_env!("WIFI_PASSWORD")));
    control.init(COUNTRIES).await;
    control.set_power_management(PowerManagementMode::PowerSave).await;
    loop {
        match control.join(network, JoinOptions::new(password.as_bytes())).await {
            Ok(()) => telemetry::joined(stack).await,
            Err(error) => warn!("the network is not joined: {}", error),
        }
        Timer::after_secs(5).await;
    }
}

fn env_or_panic(value: Option<&'static str>) -> &'static str {
    value.unwrap_or_else(|| defmt::panic!("built without WIFI_NETWORK or WIFI_PASSWORD"))
}

/// 32 random bytes, as soon as the ring oscillator has any.
async fn random(board: &[u8]) -> [u8; 32] {
    loop {
        if let Some(seed) = seed::seed(board, RoscRng::next_u8) {
            return seed;
        }
        warn!("the ring oscillator yields no random bits");
        Timer::after_millis(100).await;
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static STATE: StaticCell<State> = StaticCell::new();
    if FIRMWARE.is_empty() {
        defmt::panic!("built without CYW43_FIRMWARE");
    }
    let chip = embassy_rp::init(Default::default());
    let time = Duration::from_secs(telemetry::WATCHDOG_SECONDS.into());
    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    watchdog.start(time);
    let mut feed = || watchdog.feed(time);

    let mut thermometer = Adc::new(chip.ADC, Interrupts, Default::default());
    let mut sensor = Channel::new_temp_sensor(chip.ADC_TEMP_SENSOR);
    let start = async {
        let mut board = [0; 8];
        let mut flash = Flash::<_, Blocking, FLASH_BYTES>::new_blocking(chip.FLASH);
        flash.blocking_unique_id(&mut board).expect("this is core 0");
        let mut ids = [0; 16];
        ids.copy_from_slice(&random(&board).await[..16]);
        let [first, second] = telemetry::numbers(ids);

        let (power, select) = (Output::new(chip.PIN_23, Level::Low), Output::new(chip.PIN_25, Level::High));
        let Pio { mut common, irq0, sm0, .. } = Pio::new(chip.PIO0, Interrupts);
        let dma = dma::Channel::new(chip.DMA_CH0, Interrupts);
        let bus = PioSpi::new(&mut common, sm0, DEFAULT_CLOCK_DIVIDER, irq0, select, chip.PIN_24, chip.PIN_29, dma);
        let (device, control, radio) = cyw43::new(STATE.init(State::new()), power, bus, FIRMWARE, NVRAM).await;
        spawner.spawn(drive(radio).expect("spawned once"));
        let (stack, runner) = telemetry::stack(device, first);
        spawner.spawn(carry_packets(runner).expect("spawned once"));
        spawner.spawn(join(control, stack).expect("spawned once"));
        (telemetry::start(spawner, stack, random(&board).await).await, second)
    };
    let (client, second) = telemetry::bring_up(telemetry::START_LIMIT, start, &mut feed).await;

    let celsius = async || thermometer.read(&mut sensor).await.map_or(f32::NAN, celsius);
    telemetry::run(&client, second, celsius, feed).await;
}

/// The sensor's line, by the RP2040's data sheet (chapter 4.9.5): 0.706 V at 27 °C, falling by 1.721 mV for each more.
fn celsius(raw: u16) -> f32 {
    let volts = f32::from(raw) * 3.3 / 4096.0;
    27.0 - (volts - 0.706) / 0.001_721
}
