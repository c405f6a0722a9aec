//! A device without a key: a back end signs a token for each entity, and again before the last one ends. For the emulator,
//! over plain TCP; the back end is on the host, at the port that is the third number of the command line, behind the time
//! server's.
#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use servicebus_core::driver::Credential;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::{MessageRef, Token};
use servicebus_core::storage::{Payload, Storage};
use servicebus_core::time::Timestamp;
use servicebus_embassy::{Plain, Resources, Runner, Tcp};
use servicebus_firmware::board::{self, println};
use servicebus_firmware::device::Device;
use static_cell::ConstStaticCell;

servicebus_core::fixed_storage! {
    /// One queue out. Tokens come from outside.
    type Board {
        sessions: 1, links: 3, deliveries: 4, receive: 2048, transmit: 2048, message: 1024, external_tokens: true
    }
}

type Text = <Board as Storage>::Payload;

const READINGS: u32 = 20;
const PERIOD: Duration = Duration::from_millis(50);
/// Between two tries, when the client has given up.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the back end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the back end: the audience, and a line with the token's end, in seconds since 1970, and the token. A product asks
/// over TLS, as the device that it is.
struct BackEnd {
    stack: Stack<'static>,
    port: u16,
    receive: &'static mut [u8; 1024],
    transmit: &'static mut [u8; 256],
}

/// Why there is no token.
#[derive(Debug)]
enum NoToken {
    Unreachable,
    Malformed,
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the back end does not answer",
            Self::Malformed => "the back end's answer is no token",
        })
    }
}

impl core::error::Error for NoToken {}

impl BackEnd {
    /// The answer to one question, in `answer`.
    async fn ask<'a>(&mut self, audience: &str, answer: &'a mut [u8]) -> Option<&'a str> {
        let mut socket = TcpSocket::new(self.stack, self.receive, self.transmit);
        socket.connect((board::HOST, self.port)).await.ok()?;
        socket.write_all(audience.as_bytes()).await.ok()?;
        socket.write_all(b"\n").await.ok()?;
        socket.flush().await.ok()?;
        let mut length = 0;
        loop {
            match Read::read(&mut socket, answer.get_mut(length..)?).await.ok()? {
                0 => return core::str::from_utf8(answer.get(..length)?).ok(),
                count => length += count,
            }
        }
    }
}

impl Credential<Text> for BackEnd {
    type Error = NoToken;

    async fn token(&mut self, audience: &str) -> Result<Token<Text>, NoToken> {
        let mut place = [0; 600];
        let answer = with_timeout(PATIENCE, self.ask(audience, &mut place)).await;
        let answer = answer.ok().flatten().ok_or(NoToken::Unreachable)?;
        let (end, text) = answer.trim_end().split_once(' ').ok_or(NoToken::Malformed)?;
        let end = end.parse().map_err(|_| NoToken::Malformed)?;
        let token = Text::copy_from(text.as_bytes()).map_err(|_| NoToken::Malformed)?;
        println!("signed: a token that ends at {}", Timestamp::from_secs(end));
        Ok(Token::sas(token, Timestamp::from_secs(end)))
    }
}

#[embassy_executor::task]
async fn carry(runner: Runner<Board>, dialer: Plain<Tcp<'static>>, back_end: BackEnd) {
    runner.run_with_credential(dialer, back_end).await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    static RECEIVE: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);
    static TRANSMIT: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);

    let device = Device::start(spawner).await;
    let Some(port) = board::port_argument(2) else { panic!("the back end's port is missing on the command line") };
    let settings = Settings::new(device.connection_string("10.0.2.2", "UseDevelopmentEmulator=true"), device.seed);
    let (client, runner) =
        servicebus_embassy::new(RESOURCES.take(), settings.with_external_tokens(), device.utc).unwrap();
    let (receive, transmit) = (RECEIVE.take(), TRANSMIT.take());
    let back_end = BackEnd { stack: device.stack, port, receive, transmit };
    spawner.spawn(carry(runner, Plain::new(device.tcp()), back_end).expect("the runner's task is spawned once"));

    let Ok(sender) = client.sender("readings") else { panic!("there is room for a sender") };
    for number in 0..READINGS {
        let mut id = heapless::String::<16>::new();
        // It fits: two digits.
        _ = write!(id, "r-{number}");
        while let Err(error) = sender.send(&MessageRef::new("21.5").with_message_id(id.as_str())).await {
            println!("signed: {error} ({})", client.last_description());
            Timer::after(PAUSE).await;
        }
        Timer::after(PERIOD).await;
    }
    println!("signed: {READINGS} readings sent");
    client.close().await;
    board::exit(0)
}
