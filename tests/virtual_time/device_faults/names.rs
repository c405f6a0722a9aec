//! How a board finds the addresses of a host, and which it tries.

use crate::network::{BOARD, Board, Port, UTC, cable, poll_until, segment, stack, take_clock};
use embassy_net::Ipv4Address;
use futures_util::future::join;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_embassy::{Plain, Resources, Tcp, new};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Waker};

/// DNS record types.
const A: u16 = 1;
const AAAA: u16 = 28;

/// A network with a name server, whose hosts answer nothing but ARP.
struct Silence {
    port: Port,
    addresses: Vec<Ipv4Address>,
    queried: Vec<u16>,
    tried: Vec<Ipv4Address>,
}

/// Of the Internet's protocols (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let sum: u32 = pairs.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The type of the record that a query asks for, and an answer with these addresses.
pub(crate) fn dns_reply(frame: &[u8], of_ipv4: &[Ipv4Address]) -> (u16, Vec<u8>) {
    let query = &frame[42..];
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).expect("the root ends a name") + 1;
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let addresses = if kind == A { of_ipv4 } else { &[] };
    let mut dns = [&query[..2], &[0x81, 0x80, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]].concat();
    dns.extend_from_slice(&query[12..end + 4]);
    for address in addresses {
        // The question's name, A, IN, an hour, four bytes.
        dns.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
        dns.extend_from_slice(&address.octets());
    }
    (kind, datagram(&frame[6..12], [&frame[30..34], &frame[26..30]], [&frame[36..38], &frame[34..36]], &dns))
}

/// A frame of UDP to a hardware address; of addresses and ports the source comes first.
pub(crate) fn datagram(to: &[u8], addresses: [&[u8]; 2], ports: [&[u8]; 2], content: &[u8]) -> Vec<u8> {
    let length = |more: usize| ((content.len() + more) as u16).to_be_bytes();
    let [source, destination] = addresses;
    let mut ip = [&[0x45, 0], &length(28)[..], &[0, 0, 0, 0, 64, 17, 0, 0], source, destination].concat();
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let udp = [ports[0], ports[1], &length(8)[..], &[0, 0]].concat();
    [to, &[2, 0, 0, 0, 0, 1], &[8, 0], &ip, &udp, content].concat()
}

/// Whether a frame asks a name server.
pub(crate) fn is_dns_query(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 17 && frame[36..38] == [0, 53]
}

impl Silence {
    fn handle(&mut self) {
        loop {
            let Some(frame) = self.port.incoming.borrow_mut().pop_front() else { return };
            if let Some(segment) = segment(&frame) {
                if segment.syn && !self.tried.contains(&segment.destination) {
                    self.tried.push(segment.destination);
                }
            } else if frame[12..14] == [8, 6] && frame[21] == 1 {
                self.reply_arp(&frame);
            } else if is_dns_query(&frame) {
                let (kind, reply) = dns_reply(&frame, &self.addresses);
                self.queried.push(kind);
                self.send(reply);
            }
        }
    }

    fn send(&self, frame: Vec<u8>) {
        self.port.outgoing.borrow_mut().push_back(frame);
    }

    fn reply_arp(&self, frame: &[u8]) {
        const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
        let reply = [&frame[6..12], &MAC, &frame[12..20], &[0, 2], &MAC, &frame[38..42], &frame[22..32]];
        self.send(reply.concat());
    }
}

/// Sends a message to a host with these addresses until that fails; what was asked and tried meanwhile.
fn attempt(connection_string: &'static str, addresses: Vec<Ipv4Address>) -> (Vec<u16>, Vec<Ipv4Address>) {
    let _one = take_clock();
    let (board, port) = cable();
    let (stack, mut background) = stack(board, BOARD);
    let mut silence = Silence { port, addresses, queried: Vec::new(), tried: Vec::new() };
    let resources = Box::leak(Box::new(Resources::<Board>::new()));
    let (client, runner) = new(resources, Settings::new(connection_string, 7), &UTC).unwrap();
    let tcp = Tcp::new(stack, vec![0; 4_096].leak(), vec![0; 4_096].leak());
    let test = async move {
        let sender = client.sender("readings").expect("there is room");
        sender.send(&MessageRef::new("21.5")).await.expect_err("no host answers");
        drop(sender);
        client.close().await;
    };
    let both = pin!(join(runner.run(Plain::new(tcp)), test));
    let each = || {
        assert!(background.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        silence.handle();
    };
    poll_until(both, &Cell::new(50), Duration::from_secs(3_600), each).expect("it fails in the end");
    (silence.queried, silence.tried)
}

fn addresses(count: u8) -> Vec<Ipv4Address> {
    (0..count).map(|number| Ipv4Address::new(10, 0, 0, 100 + number)).collect()
}

const KEY: &str = "Endpoint=sb://emulator.example;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

#[test]
fn every_address_of_a_host_is_tried_d11() {
    for count in 1..=6 {
        let all = addresses(count);
        let (_, mut tried) = attempt(KEY, all.clone());
        tried.sort_unstable();
        assert_eq!(tried, all);
    }
}

/// A name server can say anything.
#[test]
fn addresses_that_are_none_do_not_panic_d1() {
    for address in
        [[0, 0, 0, 0], [0, 0, 0, 1], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [10, 0, 0, 0], [10, 0, 0, 255]]
    {
        attempt(KEY, vec![address.into(), BOARD, address.into()]);
    }
}

#[test]
fn a_host_with_ipv6_only_is_looked_up_d11() {
    let (queried, tried) = attempt(KEY, Vec::new());
    assert!(tried.is_empty());
    assert!(queried.contains(&A) && queried.contains(&AAAA), "{queried:?}");
}
