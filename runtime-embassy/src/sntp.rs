//! UTC by SNTP (RFC 4330, RFC 5905 §14), over embassy-net's UDP.

use crate::clock::Utc;
use crate::format::texts;
use core::cell::Cell;
use core::net::SocketAddr;
use embassy_net::dns::DnsQueryType;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::{Mutex, raw::CriticalSectionRawMutex};
use embassy_time::{Duration, Instant, with_timeout};
use servicebus_core::time::Timestamp;
use sntpc::{Error, KissOfDeathCode, NtpContext, NtpResult, NtpTimestampGenerator, NtpUdpSocket};

/// How long one exchange may take, the look-up of the name included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// So many packets that are no answer to the request are overlooked.
const STRAYS: usize = 8;
/// Bytes of a packet without extensions (RFC 5905 §7.3).
const PACKET: usize = 48;

/// A clock that a time server sets and that embassy-time carries on: `static UTC: Sntp = Sntp::new(BUILT_AT)`.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::{Sntp, Timestamp, Utc};
///
/// static UTC: Sntp = Sntp::new(Timestamp::from_secs(1_767_225_600)); // when the firmware was built
/// assert_eq!(UTC.now().to_string(), "2026-01-01T00:00:00.000Z", "until a server was asked");
/// ```
pub struct Sntp {
    /// UTC at embassy-time's zero.
    zero: Mutex<CriticalSectionRawMutex, Cell<Timestamp>>,
    earliest: Timestamp,
}

impl Sntp {
    /// A clock that is not set yet: it begins at `earliest`, such as the time that the firmware was built at.
    ///
    /// No earlier time is taken from a server. The 32 bits of seconds in a packet start over in 2036 and every 136
    /// years after it: they are understood as the time that is nearest to what the clock shows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Sntp, Timestamp, Utc};
    /// let built_at = Timestamp::from_secs(1_767_225_600);
    /// assert_eq!(Sntp::new(built_at).now(), built_at);
    /// ```
    pub const fn new(earliest: Timestamp) -> Self {
        Self { zero: Mutex::new(Cell::new(earliest)), earliest }
    }

    /// Asks `port` (123) of `server`, a DNS name or an address, for the time, once. `stack` needs a socket for it.
    ///
    /// `nonce` is a fresh random number: the server repeats it, and a packet without it is not looked at. Ask again
    /// after 15 seconds at the earliest (RFC 4330 §10), and once an hour or so when the clock is set.
    ///
    /// Errors: see [`SntpError`]; the clock is what it was. Cancel safety: a dropped future leaves the clock as it was.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use embassy_net::Stack;
    /// # use embassy_time::{Duration, Timer};
    /// # use servicebus_embassy::{Sntp, Timestamp};
    /// static UTC: Sntp = Sntp::new(Timestamp::from_secs(1_767_225_600));
    ///
    /// async fn keep_time(stack: Stack<'static>, mut random: impl FnMut() -> u64) {
    ///     loop {
    ///         let pause = match UTC.synchronise(stack, "pool.ntp.org", 123, random()).await {
    ///             Ok(()) => Duration::from_secs(3_600),
    ///             Err(_) => Duration::from_secs(15),
    ///         };
    ///         Timer::after(pause).await;
    ///     }
    /// }
    /// ```
    pub async fn synchronise(&self, stack: Stack<'_>, server: &str, port: u16, nonce: u64) -> Result<(), SntpError> {
        let asked = async {
            let address = address_of(stack, server).await.ok_or(SntpError::Unreachable)?;
            let (mut received, mut waiting) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 1]);
            let (mut receive, mut transmit) = ([0; 2 * PACKET], [0; PACKET]);
            let mut socket = UdpSocket::new(stack, &mut received, &mut receive, &mut waiting, &mut transmit);
            socket.bind(0).map_err(|_| SntpError::Unreachable)?;
            let server = IpEndpoint::new(address, port);
            self.exchange(&Datagrams { socket, server }, shown(server), nonce).await
        };
        with_timeout(TIMEOUT, asked).await.unwrap_or(Err(SntpError::NoAnswer))
    }

    async fn exchange<S: NtpUdpSocket>(&self, socket: &S, server: SocketAddr, nonce: u64) -> Result<(), SntpError> {
        let began = Instant::now();
        // In place of our own time, which is nothing to the server; the round trip is measured by embassy-time.
        let nonce = NtpContext::new(At(nonce >> 32, nonce as u32 % 1_000_000));
        let request = sntpc::sntp_send_request(server, socket, nonce).await.map_err(|_| SntpError::Unreachable)?;
        // For the seconds' place in history.
        let shown = NtpContext::new(At(u64::try_from(self.now().as_secs()).unwrap_or(0), 0));
        for _ in 0..STRAYS {
            return match sntpc::sntp_process_response(server, socket, shown, request).await {
                Ok(answer) => self.set(&answer, began.elapsed()),
                Err(Error::KissOfDeath(KissOfDeathCode::Rate)) => Err(SntpError::TooOften),
                Err(Error::KissOfDeath(_)) => Err(SntpError::Denied),
                // Anybody can send such a packet: it does not end the wait for the server's.
                Err(Error::ResponseAddressMismatch | Error::IncorrectOriginTimestamp) => continue,
                Err(Error::IncorrectPayload | Error::Network) => continue,
                Err(_) => Err(SntpError::Useless),
            };
        }
        Err(SntpError::NoAnswer)
    }

    /// The answer left the server half the round trip ago.
    fn set(&self, answer: &NtpResult, round_trip: Duration) -> Result<(), SntpError> {
        let millis = answer.seconds * 1_000 + ((u64::from(answer.seconds_fraction) * 1_000) >> 32);
        let left_at = Timestamp::from_millis(i64::try_from(millis).map_err(|_| SntpError::Useless)?);
        let utc = left_at + (round_trip / 2).into();
        if utc < self.earliest {
            return Err(SntpError::Useless);
        }
        self.zero.lock(|zero| zero.set(utc - since_zero()));
        #[cfg(feature = "defmt")]
        defmt::debug!("the clock is set: {}", utc);
        Ok(())
    }
}

/// The first address, IPv4 before IPv6.
async fn address_of(stack: Stack<'_>, server: &str) -> Option<IpAddress> {
    for kind in [DnsQueryType::A, DnsQueryType::Aaaa] {
        if let Ok(found) = stack.dns_query(server, kind).await
            && let Some(address) = found.first()
        {
            return Some(*address);
        }
    }
    None
}

fn shown(endpoint: IpEndpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr.into(), endpoint.port)
}

/// What goes to the server, and what comes from anywhere.
struct Datagrams<'s> {
    socket: UdpSocket<'s>,
    server: IpEndpoint,
}

impl NtpUdpSocket for Datagrams<'_> {
    async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
        self.socket.send_to(bytes, self.server).await.map_err(|_| Error::Network)?;
        Ok(bytes.len())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let (length, from) = self.socket.recv_from(buffer).await.map_err(|_| Error::Network)?;
        Ok((length, shown(from.endpoint)))
    }
}

fn since_zero() -> core::time::Duration {
    core::time::Duration::from_millis(Instant::now().as_millis())
}

impl Utc for Sntp {
    fn now(&self) -> Timestamp {
        self.zero.lock(Cell::get) + since_zero()
    }
}

/// A point in time for sntpc: seconds and microseconds.
#[derive(Clone, Copy)]
struct At(u64, u32);

impl NtpTimestampGenerator for At {
    fn init(&mut self) {}

    fn timestamp_sec(&self) -> u64 {
        self.0
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.1
    }
}

/// Why the clock was not set.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::SntpError;
///
/// fn pause_in_seconds(error: SntpError) -> u64 {
///     match error {
///         SntpError::TooOften | SntpError::Denied => 3_600,
///         _ => 15,
///     }
/// }
/// assert_eq!(pause_in_seconds(SntpError::NoAnswer), 15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SntpError {
    /// The name could not be resolved, or there is no way to the server.
    Unreachable,
    /// No answer came in time, or too many packets came that were none.
    NoAnswer,
    /// The answer is not the time: from a server that is not synchronised itself, damaged, or before `earliest`.
    Useless,
    /// The server asks for longer pauses.
    TooOften,
    /// The server does not serve us: ask another one (RFC 4330 §8).
    Denied,
}

texts! {
    SntpError {
        Self::Unreachable => "the time server cannot be reached",
        Self::NoAnswer => "the time server does not answer",
        Self::Useless => "the time server's answer is useless",
        Self::TooOften => "the time server was asked too often",
        Self::Denied => "the time server does not serve us",
    }
}

impl core::error::Error for SntpError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::cell::RefCell;
    use embassy_time::MockDriver;
    use futures_util::FutureExt;
    use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
    use std::vec::Vec;

    /// 2026-01-01.
    const BUILT: Timestamp = Timestamp::from_secs(1_767_225_600);
    /// Seconds from 1900 to 1970.
    const TO_1970: u64 = 2_208_988_800;
    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 123);

    /// There is one mock clock.
    static CLOCK: StdMutex<()> = StdMutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        let guard = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
        MockDriver::get().reset();
        guard
    }

    type Packet = [u8; PACKET];

    /// Answers a request by the function, and with what is queued before it.
    struct Server<F> {
        strays: RefCell<Vec<(Vec<u8>, SocketAddr)>>,
        answer: F,
        request: Cell<Packet>,
    }

    impl<F: Fn(&Packet) -> Vec<u8>> NtpUdpSocket for Server<F> {
        async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
            self.request.set(bytes.try_into().expect("48 bytes"));
            Ok(bytes.len())
        }

        async fn recv_from(&self, buffer: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
            MockDriver::get().advance(Duration::from_millis(20));
            let queued = self.strays.borrow_mut().pop();
            let (packet, from) = queued.unwrap_or_else(|| ((self.answer)(&self.request.get()), SERVER.into()));
            let place = buffer.get_mut(..packet.len()).ok_or(Error::Network)?;
            place.copy_from_slice(&packet);
            Ok((packet.len(), from))
        }
    }

    fn server<F: Fn(&Packet) -> Vec<u8>>(answer: F) -> Server<F> {
        Server { strays: RefCell::default(), answer, request: Cell::new([0; PACKET]) }
    }

    /// A good answer at `utc`; the fraction is a quarter of a second.
    fn good(request: &Packet, utc: u64) -> Packet {
        let mut packet = [0; PACKET];
        packet[..4].copy_from_slice(&[0b00_100_100, 2, 6, 0xe8]);
        packet[24..32].copy_from_slice(&request[40..48]);
        let time = ((utc + TO_1970) << 32 | 0x4000_0000).to_be_bytes();
        packet[16..24].copy_from_slice(&time);
        packet[32..40].copy_from_slice(&time);
        packet[40..48].copy_from_slice(&time);
        packet
    }

    /// What is done to a good answer, and what comes of it.
    type Case = (&'static str, fn(&mut Packet), SntpError);

    fn ask<F: Fn(&Packet) -> Vec<u8>>(clock: &Sntp, server: &Server<F>) -> Result<(), SntpError> {
        clock.exchange(server, SERVER.into(), 0x0123_4567_89ab_cdef).now_or_never().expect("it never waits")
    }

    #[test]
    fn the_clock_shows_the_servers_time_and_half_the_way_back() {
        let _alone = alone();
        let clock = Sntp::new(BUILT);
        assert_eq!(clock.now(), BUILT);
        assert_eq!(ask(&clock, &server(|request| good(request, 1_800_000_000).to_vec())), Ok(()));
        assert_eq!(clock.now(), Timestamp::from_millis(1_800_000_000_250 + 10));
        MockDriver::get().advance(Duration::from_secs(3600));
        assert_eq!(clock.now(), Timestamp::from_millis(1_800_003_600_250 + 10));
    }

    #[test]
    fn a_request_tells_nothing_but_the_nonce() {
        let _alone = alone();
        let server = server(|request| good(request, 1_800_000_000).to_vec());
        ask(&Sntp::new(BUILT), &server).expect("a good answer");
        let request = server.request.get();
        // No leap second, version 4, client.
        assert_eq!(request[0], 0b00_100_011);
        assert_eq!(request[1..40], [0; 39]);
        assert_ne!(request[40..48], [0; 8]);
    }

    #[test]
    fn the_seconds_start_over_in_2036() {
        let _alone = alone();
        // The last second before, the first after, and a firmware of the year 2100 in 2106.
        let late = Timestamp::from_secs(4_102_444_800);
        for (built, utc) in
            [(BUILT, 2_085_978_495), (BUILT, 2_085_978_496), (BUILT, 3_900_000_000), (late, 4_300_000_000)]
        {
            let clock = Sntp::new(built);
            assert_eq!(ask(&clock, &server(|request| good(request, utc).to_vec())), Ok(()));
            assert_eq!(clock.now().as_secs(), utc as i64);
        }
    }

    #[test]
    fn answers_that_are_not_the_time_leave_the_clock_alone() {
        let _alone = alone();
        let cases: &[Case] = &[
            ("from a client", |packet| packet[0] = 0b00_100_011, SntpError::Useless),
            ("a broadcast", |packet| packet[0] = 0b00_100_101, SntpError::Useless),
            ("not synchronised", |packet| packet[0] = 0b11_100_100, SntpError::Useless),
            ("version 0", |packet| packet[0] = 0b00_000_100, SntpError::Useless),
            ("version 7", |packet| packet[0] = 0b00_111_100, SntpError::Useless),
            ("stratum 16", |packet| packet[1] = 16, SntpError::Useless),
            ("stratum 255", |packet| packet[1] = 255, SntpError::Useless),
            ("no time", |packet| packet[40..48].fill(0), SntpError::Useless),
            ("far from the source", |packet| packet[8..12].fill(0xff), SntpError::Useless),
            (
                "asked too often",
                |packet| {
                    packet[1] = 0;
                    packet[12..16].copy_from_slice(b"RATE");
                },
                SntpError::TooOften,
            ),
            (
                "denied",
                |packet| {
                    packet[1] = 0;
                    packet[12..16].copy_from_slice(b"DENY");
                },
                SntpError::Denied,
            ),
            ("another origin", |packet| packet[31] ^= 1, SntpError::NoAnswer),
        ];
        for (what, spoil, error) in cases {
            let clock = Sntp::new(BUILT);
            let shown = clock.zero.lock(Cell::get);
            let server = server(|request| {
                let mut packet = good(request, 1_800_000_000);
                spoil(&mut packet);
                packet.to_vec()
            });
            assert_eq!(ask(&clock, &server), Err(*error), "{what}");
            assert_eq!(clock.zero.lock(Cell::get), shown, "{what}");
        }
        // Before the firmware was built.
        let clock = Sntp::new(BUILT);
        assert_eq!(ask(&clock, &server(|request| good(request, 1_767_225_000).to_vec())), Err(SntpError::Useless));
        assert_eq!(clock.zero.lock(Cell::get), BUILT);
    }

    #[test]
    fn packets_of_others_are_overlooked_up_to_a_bound() {
        let _alone = alone();
        let forged = good(&[7; PACKET], 1_900_000_000).to_vec();
        let strays = [
            (forged.clone(), SERVER.into()),
            (forged.clone(), ([192, 0, 2, 66], 123).into()),
            (forged[..47].to_vec(), SERVER.into()),
            (Vec::new(), SERVER.into()),
            (std::vec![0xff; 1000], SERVER.into()),
        ];
        let clock = Sntp::new(BUILT);
        let one = server(|request| good(request, 1_800_000_000).to_vec());
        one.strays.borrow_mut().extend(strays);
        assert_eq!(ask(&clock, &one), Ok(()));
        assert_eq!(clock.now().as_secs(), 1_800_000_000);
        // Nothing but such packets, without an end.
        assert_eq!(ask(&clock, &server(|_| forged.clone())), Err(SntpError::NoAnswer));
        assert_eq!(ask(&clock, &server(|_| Vec::new())), Err(SntpError::NoAnswer));
    }

    #[test]
    fn no_packet_can_panic_or_set_the_clock_back() {
        let _alone = alone();
        let random = Cell::new(0x9e37_79b9_7f4a_7c15_u64);
        let next = || {
            // xorshift64
            let mut word = random.get();
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            random.set(word);
            word
        };
        for _ in 0..100_000 {
            let clock = Sntp::new(BUILT);
            let server = server(|request| {
                let mut packet = good(request, 1_800_000_000);
                for _ in 0..next() % 12 {
                    packet[(next() % 24) as usize + [0, 24][(next() % 2) as usize]] = next() as u8;
                }
                packet[24..32].copy_from_slice(&request[40..48]);
                packet.to_vec()
            });
            let result = ask(&clock, &server);
            assert!(result.is_err() || clock.zero.lock(Cell::get) >= BUILT - core::time::Duration::from_secs(1));
        }
    }
}
