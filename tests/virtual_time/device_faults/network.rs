//! A board's network stack (embassy-net) on a cable to another one with the emulator's broker behind it; every frame
//! that the board sends is kept. Time passes only when nothing else can happen.

use crate::tls_server::{Chain, NOW};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_time::MockDriver;
use futures_util::future::join3;
use rustls::ServerConnection;
use servicebus_core::driver::Dial;
use servicebus_core::machine::Settings;
use servicebus_core::storage::Buffer as _;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_embassy::{Client, Resources, Tcp, new};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{Read as _, Write as _};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

servicebus_core::fixed_storage! {
    /// One queue out, one in.
    pub(crate) type Board {
        sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}

pub(crate) const KEY: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

pub(crate) const BOARD: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
pub(crate) const PEER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);

/// There is one mock clock.
static CLOCK: Mutex<()> = Mutex::new(());
pub(crate) static UTC: fn() -> Timestamp = || clock().utc;

/// The clock's beginning for the test that runs.
fn clock() -> Clock {
    let micros = embassy_time::Instant::now().as_micros();
    // Tests follow each other on one clock: the certificates' year has room for some months of them.
    Clock { now: Instant::from_micros(micros), utc: NOW + Duration::from_micros(micros) }
}

/// Takes the clock for one test.
pub(crate) fn take_clock() -> MutexGuard<'static, ()> {
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a cable.
#[derive(Clone)]
pub(crate) struct Port {
    number: u8,
    pub(crate) incoming: Frames,
    pub(crate) outgoing: Frames,
    /// Every frame that went out.
    pub(crate) sent: Rc<RefCell<Vec<Vec<u8>>>>,
}

/// Both ends of a cable.
pub(crate) fn cable() -> (Port, Port) {
    let (one, other) = (Frames::default(), Frames::default());
    let port = |number, incoming: &Frames, outgoing: &Frames| Port {
        number,
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        sent: Rc::default(),
    };
    (port(2, &one, &other), port(1, &other, &one))
}

pub(crate) struct Incoming(Vec<u8>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

pub(crate) struct Outgoing<'a>(&'a Port);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.sent.borrow_mut().push(frame.clone());
        self.0.outgoing.borrow_mut().push_back(frame);
        result
    }
}

impl Driver for Port {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Incoming, Outgoing<'_>)> {
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Incoming(frame), Outgoing(self)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Outgoing<'_>> {
        Some(Outgoing(self))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1_514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, self.number])
    }
}

/// A stack and what carries its packets.
pub(crate) type Running = (Stack<'static>, Pin<Box<dyn Future<Output = ()>>>);

/// A stack on a port.
pub(crate) fn stack(port: Port, address: Ipv4Address) -> Running {
    let mut dns_servers = heapless::Vec::new();
    dns_servers.push(PEER).expect("room");
    let config =
        Config::ipv4_static(StaticConfigV4 { address: Ipv4Cidr::new(address, 24), gateway: None, dns_servers });
    stack_with(port, config)
}

/// A stack on a port or on what is in front of it.
pub(crate) fn stack_with(driver: impl Driver + 'static, config: Config) -> Running {
    let resources = Box::leak(Box::new(StackResources::<4>::new()));
    let (stack, mut runner) = embassy_net::new(driver, config, resources, 7);
    (stack, Box::pin(async move { runner.run().await }))
}

/// Lets milliseconds pass while futures are polled.
pub(crate) fn poll_until<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    step: &Cell<u64>,
    limit: Duration,
    mut each: impl FnMut(),
) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    let end = embassy_time::Instant::now() + embassy_time::Duration::from_micros(limit.as_micros() as u64);
    while embassy_time::Instant::now() < end {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        each();
        MockDriver::get().advance(embassy_time::Duration::from_millis(step.get()));
    }
    None
}

/// The broker at the peer's end.
#[derive(Clone)]
pub(crate) struct Peer {
    broker: Rc<RefCell<Broker>>,
    tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    /// Connections that ended with a FIN, and with a close_notify before it.
    pub(crate) finished: Rc<Cell<u32>>,
    pub(crate) notified: Rc<Cell<u32>>,
}

impl Peer {
    fn new(chain: Option<&Chain>) -> Self {
        let mut broker = Broker::new(BrokerConfig::default(), 7);
        for name in ["readings", "commands"] {
            let queue = QueueDescription::default();
            broker.with_namespace(clock(), |namespace| namespace.create_queue(name, queue, clock().utc)).expect("new");
        }
        let broker = Rc::new(RefCell::new(broker));
        Self { broker, tls: chain.map(|chain| chain.config().into()), finished: Rc::default(), notified: Rc::default() }
    }

    /// Serves one connection after the other.
    async fn serve(self, stack: Stack<'static>) {
        let (mut receive, mut transmit) = (vec![0; 8_192], vec![0; 8_192]);
        loop {
            let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
            let port = if self.tls.is_some() { 5_671 } else { 5_672 };
            if socket.accept(port).await.is_ok() {
                self.connection(&mut socket).await;
            }
        }
    }

    async fn connection(&self, socket: &mut TcpSocket<'_>) {
        let Some(id) = self.broker.borrow_mut().connect(clock()) else { return };
        let mut tls = self.tls.clone().map(|config| ServerConnection::new(config).expect("a server"));
        let (mut rx, mut tx, mut wire) = (Broker::rx(), Broker::tx(), Vec::new());
        let mut buffer = [0; 4_096];
        loop {
            // Every task is polled each millisecond.
            let mut polled = false;
            poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            if socket.can_recv() || !socket.may_recv() {
                let Ok(count) = socket.read(&mut buffer).await else { break };
                if count == 0 {
                    self.finished.set(self.finished.get() + 1);
                    break;
                }
                let mut plain = buffer[..count].to_vec();
                if let Some(tls) = &mut tls {
                    let mut bytes = &buffer[..count];
                    plain.clear();
                    while !bytes.is_empty() {
                        tls.read_tls(&mut bytes).expect("room");
                        let Ok(state) = tls.process_new_packets() else { break };
                        if state.peer_has_closed() {
                            self.notified.set(self.notified.get() + 1);
                        }
                        // An end of the stream is known by the socket.
                        _ = tls.reader().read_to_end(&mut plain);
                    }
                }
                let mut bytes = plain.as_slice();
                while !bytes.is_empty() {
                    let count = bytes.len().min(rx.spare().len());
                    rx.spare()[..count].copy_from_slice(&bytes[..count]);
                    rx.commit(count);
                    bytes = &bytes[count..];
                    if self.broker.borrow_mut().handle_input(id, clock(), &mut rx).is_err() {
                        break;
                    }
                }
            }
            while self.broker.borrow_mut().poll_transmit(id, clock(), &mut tx) {
                match &mut tls {
                    Some(tls) => tls.writer().write_all(tx.filled()).expect("room"),
                    None => wire.extend_from_slice(tx.filled()),
                }
                tx.clear();
            }
            if let Some(tls) = &mut tls {
                while tls.wants_write() {
                    tls.write_tls(&mut wire).expect("room");
                }
            }
            if !wire.is_empty() && socket.can_send() {
                let Ok(count) = socket.write(&wire).await else { break };
                wire.drain(..count);
            }
        }
        self.broker.borrow_mut().disconnect(id, clock());
    }
}

/// The board, the cable and the peer of one test.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) board: Port,
    pub(crate) peer: Peer,
    /// How many milliseconds pass after each round.
    pub(crate) step: Rc<Cell<u64>>,
    /// A count that the test keeps.
    pub(crate) counted: Rc<Cell<usize>>,
}

impl Network {
    /// Lets time pass.
    pub(crate) async fn sleep(&self, duration: Duration) {
        embassy_time::Timer::after_micros(duration.as_micros() as u64).await;
    }
}

/// Runs `test` beside the client's runner and both stacks, and five seconds more.
pub(crate) fn run<D: Dial, F: Future<Output = ()>>(
    connection_string: &'static str,
    chain: Option<&Chain>,
    dialer: impl FnOnce(Tcp<'static>) -> D,
    test: impl FnOnce(Client<Board>, Network) -> F,
) -> Network {
    let _one = take_clock();
    let (board, other) = cable();
    let (stack_of_board, board_runner) = stack(board.clone(), BOARD);
    let (stack_of_peer, peer_runner) = stack(other, PEER);
    let network = Network { board, peer: Peer::new(chain), step: Rc::new(Cell::new(1)), counted: Rc::default() };
    let mut background = pin!(join3(board_runner, peer_runner, network.peer.clone().serve(stack_of_peer)));
    let resources = Box::leak(Box::new(Resources::<Board>::new()));
    let (client, runner) = new(resources, Settings::new(connection_string, 7), &UTC).unwrap();
    let tcp = Tcp::new(stack_of_board, vec![0; 4_096].leak(), vec![0; 4_096].leak()).with_address(PEER);
    let mut both = Box::pin(futures_util::future::join(runner.run(dialer(tcp)), test(client, network.clone())));
    let mut cx = Context::from_waker(Waker::noop());
    let mut each = || {
        assert!(background.as_mut().poll(&mut cx).is_pending());
        network.peer.broker.borrow_mut().handle_timeout(clock());
    };
    let day = Duration::from_secs(86_400);
    poll_until(both.as_mut(), &network.step, day, &mut each).expect("it ends");
    drop(both);
    let rest = Duration::from_secs(5);
    poll_until(pin!(std::future::pending::<()>()), &Cell::new(1), rest, &mut each);
    network
}

/// A frame's TCP header and payload, where it has them: flags, and the payload's length.
pub(crate) struct Segment {
    pub(crate) fin: bool,
    pub(crate) syn: bool,
    pub(crate) payload: usize,
    pub(crate) destination: Ipv4Address,
}

/// A frame as a TCP segment.
pub(crate) fn segment(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let header = usize::from(ip[0] & 15) * 4;
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let tcp = ip.get(header..length).filter(|_| ip[9] == 6)?;
    let offset = usize::from(tcp[12] >> 4) * 4;
    Some(Segment {
        fin: tcp[13] & 1 != 0,
        syn: tcp[13] & 2 != 0,
        payload: tcp.len() - offset,
        destination: Ipv4Address::new(ip[16], ip[17], ip[18], ip[19]),
    })
}
