//! Frames of Ethernet that anyone on the line can send to a board: changed ones, with checksums that are right again, before
//! each that is as it should be. What `examples/firmware/audit panics` says of the network stack is tried here.

use crate::names::{checksum, datagram, dns_reply, is_dns_query};
use crate::network::{BOARD, PEER, Port, Running, cable, poll_until, stack, stack_with, take_clock};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, IpEndpoint, Stack};
use futures_util::future::join3;
use servicebus_core::time::Duration;
use servicebus_embassy::Guarded;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

/// Changed frames before each right one.
const CHANGED: usize = 12;
/// The port of the peer.
const SERVER: u16 = 5_672;

/// A generator of pseudo-random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    /// Values at which lengths and sequence numbers turn are likely.
    fn byte(&mut self) -> u8 {
        match self.below(4) {
            0 => [0, 1, 4, 5, 6, 0x7f, 0x80, 0xff][self.below(8)],
            _ => self.below(256) as u8,
        }
    }

    fn change(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        for _ in 0..=self.below(3) {
            match self.below(8) {
                0 => frame.truncate(self.below(frame.len())),
                1 => frame.extend(std::iter::repeat_with(|| 0xa5).take(self.below(60))),
                // Above Ethernet, so that the board looks at it.
                _ if frame.len() > 14 => {
                    let at = 14 + self.below((frame.len() - 14).min(60));
                    frame[at] = self.byte();
                }
                _ => {}
            }
        }
        if self.below(2) == 0 {
            fit(&mut frame);
        }
        mend(&mut frame);
        frame
    }
}

/// The length in the header of IPv4 is the frame's.
fn fit(frame: &mut [u8]) {
    if let Some(length) = frame.len().checked_sub(14).filter(|length| *length >= 20 && frame[12..14] == [8, 0]) {
        frame[16..18].copy_from_slice(&(length as u16).to_be_bytes());
    }
}

/// Checksums that are right, as far as there is something to sum up.
fn mend(frame: &mut [u8]) {
    let Some(ip) = frame.get_mut(14..).filter(|ip| ip.len() >= 20 && ip[0] >> 4 == 4) else { return };
    let header = (usize::from(ip[0] & 15) * 4).clamp(20, ip.len());
    ip[10..12].fill(0);
    let sum = checksum(&ip[..header]).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let end = usize::from(u16::from_be_bytes([ip[2], ip[3]])).clamp(header, ip.len());
    let (protocol, addresses) = (ip[9], ip[12..20].to_vec());
    let body = &mut ip[header..end];
    let at = match protocol {
        1 => 2,
        6 => 16,
        // None is right in UDP.
        17 => 6,
        _ => return,
    };
    let Some(place) = body.get_mut(at..at + 2) else { return };
    place.fill(0);
    let mut summed = body.to_vec();
    match protocol {
        6 => summed = [&addresses[..], &[0, 6], &(body.len() as u16).to_be_bytes(), &summed].concat(),
        17 => return,
        _ => {}
    }
    let sum = checksum(&summed).to_be_bytes();
    body[at..at + 2].copy_from_slice(&sum);
}

/// A name that is looked up, and an echo; what came back.
async fn talk(stack: Stack<'static>) -> Option<Vec<u8>> {
    let (mut receive, mut transmit) = (vec![0; 1_024], vec![0; 1_024]);
    // Changed answers may end the query.
    _ = stack.dns_query("emulator.example", DnsQueryType::A).await;
    let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
    socket.set_timeout(Some(embassy_time::Duration::from_secs(5)));
    socket.connect(IpEndpoint::new(PEER.into(), SERVER)).await.ok()?;
    let sent: Vec<u8> = (0..3_000_u32).map(|number| number as u8).collect();
    let mut came = Vec::new();
    for part in sent.chunks(500) {
        let mut written = 0;
        while written < part.len() {
            written += socket.write(&part[written..]).await.ok()?;
        }
        let mut buffer = [0; 500];
        let mut rest = part.len();
        while rest > 0 {
            let count = socket.read(&mut buffer[..rest]).await.ok().filter(|count| *count > 0)?;
            came.extend_from_slice(&buffer[..count]);
            rest -= count;
        }
    }
    socket.close();
    _ = socket.flush().await;
    Some(came)
}

async fn echo(stack: Stack<'static>) {
    let (mut receive, mut transmit) = (vec![0; 2_048], vec![0; 2_048]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
        socket.set_timeout(Some(embassy_time::Duration::from_secs(5)));
        // A board whose end was reset by a changed frame says nothing.
        socket.set_keep_alive(Some(embassy_time::Duration::from_secs(1)));
        if socket.accept(SERVER).await.is_err() {
            continue;
        }
        let mut buffer = [0; 700];
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            let mut rest = &buffer[..count];
            while !rest.is_empty()
                && let Ok(count @ 1..) = socket.write(rest).await
            {
                rest = &rest[count..];
            }
        }
        socket.abort();
        _ = socket.flush().await;
    }
}

/// Takes frames from one cable to another, changed ones first; how many of those.
fn carry(from: &Port, to: &Port, random: &mut Option<Random>) -> usize {
    let mut changed = 0;
    for frame in from.incoming.borrow_mut().drain(..) {
        let mut outgoing = to.outgoing.borrow_mut();
        if let Some(random) = random {
            outgoing.extend((0..CHANGED).map(|_| random.change(&frame)));
            changed += CHANGED;
        }
        outgoing.push_back(frame);
    }
    changed
}

#[test]
fn no_frame_of_a_peer_panics_the_network_stack_d1() {
    let _one = take_clock();
    let (mut changed, mut whole) = (0, 0);
    for seed in 1..=60 {
        let (board, near) = cable();
        let (far, peer) = cable();
        let (stack_of_board, board_runner) = stack(board, BOARD);
        let (stack_of_peer, peer_runner) = stack(peer, PEER);
        let mut background = pin!(join3(board_runner, peer_runner, echo(stack_of_peer)));
        let mut random = Some(Random(seed));
        let mut cx = Context::from_waker(Waker::noop());
        for attacked in [true, false] {
            if !attacked {
                random = None;
            }
            let each = || {
                assert!(background.as_mut().poll(&mut cx).is_pending());
                // To the board: what its peer sends, and answers to its queries.
                changed += carry(&far, &near, &mut random);
                let sent: Vec<_> = near.incoming.borrow_mut().drain(..).collect();
                for frame in sent {
                    if frame.len() >= 54 && is_dns_query(&frame) {
                        far.incoming.borrow_mut().push_back(dns_reply(&frame, &[PEER]).1);
                    } else {
                        far.outgoing.borrow_mut().push_back(frame);
                    }
                }
            };
            let talks = async {
                for _ in 0..3 {
                    let came = talk(stack_of_board).await;
                    if !attacked && came.is_some_and(|came| came.len() == 3_000) {
                        whole += 1;
                    }
                }
            };
            let ended = poll_until(pin!(talks), &Cell::new(5), Duration::from_secs(600), each);
            assert!(ended.is_some(), "seed {seed}: it never ends");
        }
    }
    // A neighbour's address that was changed may be believed for a while.
    assert!(whole > 60, "{whole} of 180 talks after the attacks are whole");
    assert!(changed > 15_000, "{changed}");
    println!("{changed} changed frames; {whole} of 180 talks after the attacks are whole");
}

/// What a server of DHCP says of itself and of the network.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// Where its answers come from, by their IPv4 headers; as its identifier they name the peer.
    source: [u8; 4],
    router: [u8; 4],
}

/// A router next to the peer.
const ROUTER: [u8; 4] = {
    let [a, b, c, _] = PEER.octets();
    [a, b, c, 254]
};

/// An answer to a board that asks for an address, for a minute; `None` for what is no question.
fn answer(frame: &[u8], lease: Lease) -> Option<Vec<u8>> {
    const MASK: [u8; 4] = [255, 255, 255, 0];
    // A name server in another network.
    const NAMES: [u8; 4] = [192, 0, 2, 1];
    let question =
        frame.get(42..).filter(|_| frame[12..14] == [8, 0] && frame[23] == 17 && frame[36..38] == [0, 67])?;
    // The kind of question is the first option; an offer follows a discovery, and a lease a request.
    let kind = if question.get(240..243)? == [53, 1, 1] { 2 } else { 5 };
    let mut answer = question[..240].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&BOARD.octets());
    answer.extend([53, 1, kind, 54, 4].into_iter().chain(PEER.octets()));
    for (option, value) in [(1, MASK), (3, lease.router), (6, NAMES), (51, [0, 0, 0, 60])] {
        answer.extend([option, 4].into_iter().chain(value));
    }
    answer.push(255);
    let mut frame = datagram(&frame[6..12], [&lease.source, &[255; 4]], [&[0, 67], &[0, 68]], &answer);
    let udp = &frame[34..];
    let sum = checksum(&[&frame[26..34], &[0, 17], &(udp.len() as u16).to_be_bytes(), udp].concat()).to_be_bytes();
    frame[40..42].copy_from_slice(&sum);
    Some(frame)
}

/// What came of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Came {
    address: Option<[u8; 4]>,
    gateway: Option<[u8; 4]>,
    /// The hardware address of the router was asked for, and that of the peer.
    asked: [bool; 2],
}

/// Looks a name up by a lease, and keeps the address for longer than half of its minute: it is asked for again then.
fn use_lease(running: impl FnOnce(Port) -> Running, lease: Lease) -> Came {
    let (board, near) = cable();
    let (stack, mut background) = running(board);
    let asked = Cell::new([false; 2]);
    let each = || {
        assert!(background.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sent: Vec<_> = near.incoming.borrow_mut().drain(..).collect();
        for frame in sent {
            near.outgoing.borrow_mut().extend(answer(&frame, lease));
            let [router, peer] = asked.get();
            let asks = |address| frame[12..14] == [8, 6] && frame[38..42] == address;
            asked.set([router || asks(ROUTER), peer || asks(PEER.octets())]);
        }
    };
    let test = async {
        stack.wait_config_up().await;
        _ = stack.dns_query("emulator.example", DnsQueryType::A).await;
        embassy_time::Timer::after_secs(35).await;
    };
    poll_until(pin!(test), &Cell::new(50), Duration::from_secs(50), each);
    let config = stack.config_v4();
    Came {
        address: config.as_ref().map(|config| config.address.address().octets()),
        gateway: config.and_then(|config| config.gateway).map(|gateway| gateway.octets()),
        asked: asked.get(),
    }
}

fn bare(port: Port) -> Running {
    stack_with(port, Config::dhcpv4(Default::default()))
}

fn guarded(port: Port) -> Running {
    stack_with(Guarded::new(port), Config::dhcpv4(Default::default()))
}

/// Nothing can be sent to these: the stack panics on each as a router, and on the first as a server.
const NOBODY: [[u8; 4]; 3] = [[0; 4], [255; 4], [224, 0, 0, 1]];

#[test]
fn a_lease_is_taken_and_renewed_d1() {
    let _one = take_clock();
    let lease = Lease { source: PEER.octets(), router: ROUTER };
    let came = Came { address: Some(BOARD.octets()), gateway: Some(ROUTER), asked: [true; 2] };
    assert_eq!((use_lease(bare, lease), use_lease(guarded, lease)), (came, came));
}

/// The stack itself panics: when it does not any more, the guard can go.
#[test]
fn a_lease_without_a_router_gives_an_address_d1() {
    let _one = take_clock();
    for router in NOBODY {
        let lease = Lease { source: PEER.octets(), router };
        let ended = catch_unwind(AssertUnwindSafe(|| use_lease(bare, lease)));
        assert!(ended.is_err(), "{router:?}: {ended:?}");
        // Names are in another network, and nothing goes there; the server is asked again.
        let came = Came { address: Some(BOARD.octets()), gateway: None, asked: [false, true] };
        assert_eq!(use_lease(guarded, lease), came, "{router:?}");
    }
}

/// The stack asks the source of an offer for more time, and panics when that is 0.0.0.0.
#[test]
fn a_lease_from_nobody_is_not_taken_d1() {
    let _one = take_clock();
    for source in NOBODY {
        let lease = Lease { source, router: ROUTER };
        let ended = catch_unwind(AssertUnwindSafe(|| use_lease(bare, lease)));
        // Broadcasts and groups are no source to it.
        assert_eq!(ended.ok(), (source != [0; 4]).then(Came::default), "{source:?}");
        assert_eq!(use_lease(guarded, lease), Came::default(), "{source:?}");
    }
}
