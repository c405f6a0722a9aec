//! What every firmware here begins with: the board, its network, its clock.

use crate::board::{self, Board as Hardware};
use crate::clock;
use core::fmt::Write;
use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use servicebus_embassy::{Tcp, Utc};
use static_cell::{ConstStaticCell, StaticCell};

/// A board that has an address and knows the time.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its network.
    pub stack: Stack<'static>,
    /// Its clock.
    pub utc: &'static (dyn Utc + Sync),
    /// A random number, another one after each start.
    pub seed: u64,
    /// The server's port on the host.
    pub port: u16,
}

impl core::fmt::Debug for Device {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Device").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Device {
    /// Starts everything; once.
    pub async fn start(spawner: Spawner) -> Self {
        static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
        let hardware = Hardware::take();
        let (seed, port) = (hardware.seed, board::server_port());
        let (stack, network) =
            embassy_net::new(hardware.ethernet, board::network(), RESOURCES.init(StackResources::new()), seed);
        spawner.spawn(carry_packets(network).expect("the network's task is spawned once"));
        stack.wait_config_up().await;
        let utc = clock::utc(spawner, stack).await;
        Self { stack, utc, seed, port }
    }

    /// The connection to the server; once.
    pub fn tcp(&self) -> Tcp<'static> {
        static RECEIVE: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
        static TRANSMIT: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
        Tcp::new(self.stack, RECEIVE.take(), TRANSMIT.take())
    }

    /// A connection string for the emulator on the host, with `rest` behind the endpoint; once.
    pub fn connection_string(&self, host: &str, rest: &str) -> &'static str {
        static TEXT: StaticCell<heapless::String<192>> = StaticCell::new();
        let text = TEXT.init(heapless::String::new());
        // 192 bytes hold a name of 60.
        _ = write!(text, "Endpoint=sb://{host}:{};{rest}", self.port);
        text
    }
}

/// The emulator's key, over plain TCP.
pub const PLAIN: &str =
    "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";
/// The same over TLS.
pub const ENCRYPTED: &str = "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE";

#[embassy_executor::task]
async fn carry_packets(mut runner: embassy_net::Runner<'static, board::Lan9118>) -> ! {
    runner.run().await
}
