//! The temperature of an ESP32-C6, once in ten seconds, into a queue of Azure Service Bus over TLS and Wi-Fi.
//!
//! `WIFI_NETWORK` and `WIFI_PASSWORD` of the build's environment are the network's. The radio's driver allocates; the client
//! does not.
#![no_std]
#![no_main]

use defmt::warn;
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_time::Timer;
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::interrupt::software::SoftwareInterruptControl;
use esp_hal::ram;
use esp_hal::rng::{Trng, TrngSource};
use esp_hal::rtc_cntl::{Rtc, RwdtStage};
use esp_hal::time::Duration;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::tsens::TemperatureSensor;
use esp_println as _;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{Config, Interface, WifiController};
use servicebus_board_telemetry as telemetry;

esp_bootloader_esp_idf::esp_app_desc!();

#[embassy_executor::task]
async fn carry_packets(mut runner: telemetry::Packets<Interface<'static>>) -> ! {
    runner.run().await
}

/// Joins the network, and again when it is lost.
#[embassy_executor::task]
async fn join(mut radio: WifiController<'static>, stack: Stack<'static>) -> ! {
    let (Some(network), Some(password)) = (option_env!("WIFI_NETWORK"), option_env!("WIFI_PASSWORD")) else {
        defmt::panic!("built without WIFI_NETWORK or WIFI_PASSWORD");
    };
    let station = StationConfig::default().with_ssid(network).with_password(password.into());
    radio.set_config(&Config::Station(station)).expect("the name and the password fit");
    loop {
        match radio.connect_async().await {
            Ok(_) => telemetry::joined(stack).await,
            Err(error) => warn!("the network is not joined: {}", error),
        }
        Timer::after_secs(5).await;
    }
}

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let mut watchdog = Rtc::new(chip.LPWR).rwdt;
    watchdog.set_timeout(RwdtStage::Stage0, Duration::from_secs(telemetry::WATCHDOG_SECONDS.into()));
    watchdog.enable();

    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: 32 * 1024);
    let interrupts = SoftwareInterruptControl::new(chip.SW_INTERRUPT);
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, interrupts.software_interrupt0);

    // The numbers are true random ones while the converter of this source feeds the generator.
    let source = TrngSource::new(chip.RNG, chip.ADC1);
    let random = Trng::try_new().expect("the source is there");
    let mut seed = [0; 32];
    random.read(&mut seed);
    let [first, second] = [(); 2].map(|()| u64::from(random.random()) << 32 | u64::from(random.random()));
    drop(random);
    drop(source);

    let (radio, interfaces) = esp_radio::wifi::new(chip.WIFI, Default::default()).expect("the radio starts");
    let (stack, runner) = telemetry::stack(interfaces.station, first);
    spawner.spawn(carry_packets(runner).expect("spawned once"));
    spawner.spawn(join(radio, stack).expect("spawned once"));
    let start = telemetry::start(spawner, stack, seed);
    let client = telemetry::bring_up(telemetry::START_LIMIT, start, || watchdog.feed()).await;

    let sensor = TemperatureSensor::new(chip.TSENS, Default::default()).expect("its configuration is the default");
    let celsius = async || sensor.get_temperature().to_celsius();
    telemetry::run(&client, second, celsius, || watchdog.feed()).await;
}
