//! The client over embassy-net: the time by SNTP, and TLS.

use crate::{BEATS, BUILT_AT, Board, CARRYING, client};
use defmt::{info, warn};
use embassy_executor::Spawner;
use embassy_net::driver::Driver;
use embassy_net::{Config, Stack, StackResources};
use embassy_time::{Duration, Timer, with_timeout};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use servicebus_embassy::tls::{Records, Root, Tls, TrustAnchor};
use servicebus_embassy::{Client, Guarded, Runner, Sntp, Tcp};
use static_cell::{ConstStaticCell, StaticCell};

/// The roots of Azure's certificates.
const ROOTS: [&[u8]; 2] = [b"DigiCert Global Root G2", b"Microsoft RSA Root Certificate Authority 2017"];

/// The limit of a start over Ethernet or Wi-Fi: a router needs a few minutes after a power cut.
pub const START_LIMIT: Duration = Duration::from_secs(600);

static UTC: Sntp = Sntp::new(BUILT_AT);

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Tls<'static, Tcp<'static>, ChaCha20Rng>) {
    BEATS.keep(CARRYING, runner.run(dialer)).await;
}

/// Sets the clock each hour.
#[embassy_executor::task]
async fn keep_time(stack: Stack<'static>, mut random: ChaCha20Rng) -> ! {
    loop {
        let pause = if set_clock(stack, random.next_u64()).await { 3_600 } else { 15 };
        Timer::after_secs(pause).await;
    }
}

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

/// What carries a board's packets.
pub type Packets<D> = embassy_net::Runner<'static, Guarded<D>>;

/// The network stack over a board's device, once; it asks for an address by DHCP. The board runs what carries its packets.
pub fn stack<D: Driver>(device: D, seed: u64) -> (Stack<'static>, Packets<D>) {
    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    embassy_net::new(
        Guarded::new(device),
        Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        seed,
    )
}

/// Returns when the radio has to join its network again. The stack may see the link only after the driver has reported the
/// join: without the first wait the second one would end at once. A link that does not come up is lost, too.
pub async fn joined(stack: Stack<'static>) {
    if with_timeout(Duration::from_secs(30), stack.wait_link_up()).await.is_ok() {
        stack.wait_link_down().await;
    }
}

/// Waits for an address and for the time, and starts the client. TLS takes its private keys from `seed`: it must not be
/// predictable, and is used once.
pub async fn start(spawner: Spawner, stack: Stack<'static>, seed: [u8; 32]) -> Client<Board> {
    static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static READ_RECORD: ConstStaticCell<[u8; 16_640]> = ConstStaticCell::new([0; 16_640]);
    static WRITE_RECORD: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);

    let mut random = ChaCha20Rng::from_seed(seed);
    stack.wait_config_up().await;
    while !set_clock(stack, random.next_u64()).await {
        Timer::after_secs(15).await;
    }
    let (client, runner) = client(random.next_u64(), &UTC);
    let mut fork = || {
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        ChaCha20Rng::from_seed(seed)
    };
    let records = Records::new(READ_RECORD.take(), WRITE_RECORD.take());
    let tls = Tls::new(Tcp::new(stack, RECEIVE.take(), TRANSMIT.take()), fork(), roots(), &UTC, records);
    spawner.spawn(carry(runner, tls).expect("spawned once"));
    spawner.spawn(keep_time(stack, fork()).expect("spawned once"));
    client
}
