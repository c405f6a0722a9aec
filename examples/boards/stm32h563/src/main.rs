//! The temperature of a NUCLEO-H563ZI, once in ten seconds, into a queue of Azure Service Bus over TLS.
//!
//! The network is the board's own Ethernet (RMII, a LAN8742), the clock the 8 MHz of its debug probe.
#![no_std]
#![no_main]

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_stm32::dts::{self, Dts};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::peripherals::{DTS, ETH, ETH_SMA, RNG};
use embassy_stm32::rcc::{
    self, AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::time::Hertz;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts};
use panic_probe as _;
use servicebus_board_telemetry as telemetry;
use static_cell::StaticCell;

bind_interrupts!(
    struct Interrupts {
        DTS => dts::InterruptHandler;
        ETH => eth::InterruptHandler;
        RNG => rng::InterruptHandler<RNG>;
    }
);

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

#[embassy_executor::task]
async fn carry_packets(mut runner: telemetry::Packets<Device>) -> ! {
    runner.run().await
}

/// 250 MHz from the debug probe's 8 MHz.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = None;
    config.rcc.hsi48 = Some(Default::default()); // for the random numbers
    config.rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::BypassDigital });
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV2,
        mul: PllMul::MUL125,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.ahb_pre = AHBPrescaler::DIV1;
    config.rcc.apb1_pre = APBPrescaler::DIV2; // the thermometer takes up to 127 MHz
    config.rcc.apb2_pre = APBPrescaler::DIV1;
    config.rcc.apb3_pre = APBPrescaler::DIV1;
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.voltage_scale = VoltageScale::Scale0;
    config
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static QUEUE: StaticCell<PacketQueue<4, 4>> = StaticCell::new();
    let chip = embassy_stm32::init(clocks());
    let mut watchdog = IndependentWatchdog::new(chip.IWDG, telemetry::WATCHDOG_SECONDS * 1_000_000);
    watchdog.unleash();

    let mut generator = Rng::new(chip.RNG, Interrupts);
    let (mut seed, mut ids) = ([0; 32], [0; 16]);
    for bytes in [&mut seed[..], &mut ids[..]] {
        generator.async_fill_bytes(bytes).await.expect("the generator of random numbers works");
    }
    let [first, second] = telemetry::numbers(ids);

    // Locally administered; a product has one of its own.
    let mac = [2, 0, 0, ids[0], ids[1], ids[2]];
    let device = Ethernet::new(
        QUEUE.init(PacketQueue::new()),
        chip.ETH,
        Interrupts,
        chip.PA1,
        chip.PA7,
        chip.PC4,
        chip.PC5,
        chip.PG13,
        chip.PB15,
        chip.PG11,
        mac,
        chip.ETH_SMA,
        chip.PA2,
        chip.PC1,
    );
    let (stack, runner) = telemetry::stack(device, first);
    spawner.spawn(carry_packets(runner).expect("spawned once"));
    let start = telemetry::start(spawner, stack, seed);
    let client = telemetry::bring_up(telemetry::START_LIMIT, start, || watchdog.pet()).await;
    let mut sensor = Dts::new(chip.DTS, Interrupts, Default::default());
    let celsius = async || celsius(sensor.read().await);
    telemetry::run(&client, second, celsius, || watchdog.pet()).await;
}

/// By the reference manual RM0481 (digital temperature sensor): `cycles` of PCLK1 passed in one period of the sensor, whose
/// frequency is a line over the temperature.
fn celsius(cycles: u16) -> f32 {
    let line = Dts::factory_calibration();
    let hertz = rcc::frequency::<DTS>().0 as f32 / f32::from(cycles);
    f32::from(line.t0) + (hertz - line.fmt0.0 as f32) / f32::from(line.ramp_coeff)
}
