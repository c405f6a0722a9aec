//! A scripted client against the emulator; the script serves for the other role too.

use super::edit::{cut, performative};
use super::{Output, Peer};
use crate::engine::{attach, begin, flow, frame, open, sasl_frame, transfer};
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::{EMPTY, Protocol};
use servicebus_core::wire::messaging::{Source, Target};
use servicebus_core::wire::performative::{Attach, Performative, Role, TargetArchetype};
use servicebus_core::wire::sasl::SaslInit;
use servicebus_core::wire::{Composite as _, Symbol};
use std::collections::VecDeque;

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes so many times, with a pause between.
    Repeat(Vec<u8>, usize, Duration),
    /// Waits for a performative with this descriptor.
    Await(u64),
    /// Waits for so many bytes.
    AwaitBytes(usize),
    /// Waits.
    Wait(Duration),
    /// Reads no more.
    StopReading,
    /// Reads again.
    Read,
    /// Closes the connection.
    Close,
}

/// A peer that acts line by line; behind the last line it reads and sends nothing.
#[derive(Debug)]
pub struct ScriptedClient {
    acts: VecDeque<Act>,
    came: Vec<u8>,
    bytes_came: usize,
    descriptors: Vec<u64>,
    now: Instant,
    wakes: Option<Instant>,
    reads: bool,
    closed: bool,
}

impl ScriptedClient {
    /// A peer with this script.
    pub fn new(acts: Vec<Act>) -> Self {
        Self {
            acts: acts.into(),
            came: Vec::new(),
            bytes_came: 0,
            descriptors: Vec::new(),
            now: Instant::ZERO,
            wakes: None,
            reads: true,
            closed: false,
        }
    }

    /// The lines that are left.
    pub fn left(&self) -> usize {
        self.acts.len()
    }
}

fn descriptor(performative: &Performative<'_>) -> u64 {
    match performative {
        Performative::Open(_) => code::OPEN,
        Performative::Begin(_) => code::BEGIN,
        Performative::Attach(_) => code::ATTACH,
        Performative::Flow(_) => code::FLOW,
        Performative::Transfer(_) => code::TRANSFER,
        Performative::Disposition(_) => code::DISPOSITION,
        Performative::Detach(_) => code::DETACH,
        Performative::End(_) => code::END,
        Performative::Close(_) => code::CLOSE,
    }
}

/// The descriptors of the performatives.
pub(super) mod code {
    use super::*;
    use servicebus_core::wire::performative::*;

    pub(in super::super) const OPEN: u64 = Open::DEFINITION.code;
    pub(in super::super) const BEGIN: u64 = Begin::DEFINITION.code;
    pub(in super::super) const ATTACH: u64 = Attach::DEFINITION.code;
    pub(in super::super) const FLOW: u64 = Flow::DEFINITION.code;
    pub(in super::super) const TRANSFER: u64 = Transfer::DEFINITION.code;
    pub(in super::super) const DISPOSITION: u64 = Disposition::DEFINITION.code;
    pub(in super::super) const DETACH: u64 = Detach::DEFINITION.code;
    pub(in super::super) const END: u64 = End::DEFINITION.code;
    pub(in super::super) const CLOSE: u64 = Close::DEFINITION.code;
}

impl Peer for ScriptedClient {
    fn connected(&mut self, now: Instant) {
        self.now = now;
    }

    fn input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = now;
        self.bytes_came += bytes.len();
        // Where a script is not about AMQP, bytes are only counted.
        if self.acts.iter().any(|act| matches!(act, Act::Await(_))) {
            self.came.extend_from_slice(bytes);
            let units = cut(&mut self.came);
            self.descriptors.extend(units.iter().filter_map(|unit| Some(descriptor(&performative(unit)?.1))));
        }
    }

    fn output(&mut self, now: Instant) -> Output {
        self.now = now;
        let mut bytes = Vec::new();
        while let Some(act) = self.acts.front_mut() {
            match act {
                Act::Send(sent) => bytes.append(sent),
                Act::Repeat(sent, times, every) => {
                    if self.wakes.is_some_and(|at| at > now) {
                        break;
                    }
                    self.wakes = Some(now + *every);
                    bytes.extend_from_slice(sent);
                    *times -= 1;
                    if *times > 0 {
                        break;
                    }
                    self.wakes = None;
                }
                Act::Await(code) => {
                    let Some(at) = self.descriptors.iter().position(|came| came == code) else { break };
                    self.descriptors.drain(..=at);
                }
                Act::AwaitBytes(count) => {
                    if self.bytes_came < *count {
                        break;
                    }
                    self.bytes_came -= *count;
                }
                Act::Wait(time) => {
                    let until = *self.wakes.get_or_insert(now + *time);
                    if until > now {
                        break;
                    }
                    self.wakes = None;
                }
                Act::StopReading => self.reads = false,
                Act::Read => self.reads = true,
                Act::Close => self.closed = true,
            }
            self.acts.pop_front();
        }
        Output { bytes, reads: self.reads, closes: self.closed }
    }

    fn next(&self) -> Option<Instant> {
        self.wakes.filter(|_| !self.closed)
    }

    fn window(&self) -> usize {
        if self.reads { 65_536 } else { 0 }
    }
}

/// The lines of well-behaved clients.
pub mod actions {
    use super::*;

    /// The SASL exchange with the key of the emulator.
    pub fn sasl() -> Vec<Act> {
        let key = b"\0RootManageSharedAccessKey\0SAS_KEY_VALUE";
        sasl_with("PLAIN", key)
    }

    /// The SASL exchange of a client without a name.
    pub fn anonymous() -> Vec<Act> {
        sasl_with("ANONYMOUS", b"")
    }

    fn sasl_with(mechanism: &str, response: &[u8]) -> Vec<Act> {
        let mechanism = Symbol::new(mechanism);
        let init = SaslInit { mechanism, initial_response: Some(response), hostname: None };
        vec![
            Act::Send(Protocol::Sasl.header().to_vec()),
            // The header and the mechanisms.
            Act::AwaitBytes(9),
            Act::Send(sasl_frame(&init)),
            Act::AwaitBytes(9),
            Act::Send(Protocol::Amqp.header().to_vec()),
        ]
    }

    /// `open` and a session on channel 0.
    pub fn session() -> Vec<Act> {
        vec![
            Act::Send(frame(0, &open("scripted"), &[])),
            Act::Await(code::OPEN),
            Act::Send(frame(0, &begin(None), &[])),
            Act::Await(code::BEGIN),
        ]
    }

    /// A link to an address; waits for the answer.
    pub fn link(handle: u32, role: Role, address: &str) -> Vec<Act> {
        let name = format!("link-{handle}");
        let attach = Attach {
            source: Some(Source::new(Some(address))),
            target: Some(TargetArchetype::Target(Target::new(Some(address)))),
            ..attach(&name, handle, role)
        };
        vec![Act::Send(frame(0, &attach, &[])), Act::Await(code::ATTACH)]
    }

    /// Credit on a receiving link.
    pub fn credit(handle: u32, credit: u32) -> Act {
        Act::Send(frame(0, &flow(handle, 0, credit), &[]))
    }

    /// A message in frames of 32 KiB; the last of them is left out where it is to be unfinished.
    pub fn message(handle: u32, id: u32, message: &[u8], finished: bool) -> Act {
        let chunks: Vec<_> = message.chunks(32_768).collect();
        let last = chunks.len().saturating_sub(1);
        let frames =
            chunks.iter().enumerate().map(|(at, chunk)| frame(0, &transfer(handle, id, at < last || !finished), chunk));
        Act::Send(frames.flatten().collect())
    }

    /// SASL, `open` and `begin`.
    pub fn opened() -> Vec<Act> {
        [sasl(), session()].concat()
    }
}

/// A client that misbehaves.
#[derive(Clone, Copy, Debug)]
pub struct HostileClient {
    /// Names it in tables.
    pub name: &'static str,
    /// Its script.
    pub script: fn() -> Vec<Act>,
}

/// The opening of a client that stops after its first `N` lines.
fn half<const N: usize>() -> Vec<Act> {
    let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue")].concat();
    acts.truncate(N);
    acts
}

/// A message whose body is a list of so many nulls.
fn list_of_nulls(count: u32) -> Vec<u8> {
    let mut bytes = vec![0x00, 0x53, 0x77, 0xd0];
    bytes.extend((count + 4).to_be_bytes());
    bytes.extend(count.to_be_bytes());
    bytes.resize(bytes.len() + count as usize, 0x40);
    bytes
}

fn floods_with(unit: Vec<u8>) -> Vec<Act> {
    let mut acts = actions::opened();
    acts.push(Act::Repeat(unit, 2_000, Duration::from_millis(1)));
    acts
}

fn refused_attaches(reads: bool) -> Vec<Act> {
    let mut acts = [actions::anonymous(), actions::session()].concat();
    if !reads {
        acts.push(Act::StopReading);
    }
    for handle in 0..200 {
        acts.push(actions::link(handle, Role::Sender, "queue").swap_remove(0));
    }
    acts
}

/// Every hostile client of the library.
pub const CLIENTS: &[HostileClient] = &[
    HostileClient { name: "half-open after TCP", script: half::<0> },
    HostileClient { name: "half-open after the SASL header", script: half::<1> },
    HostileClient { name: "half-open after SASL", script: half::<5> },
    HostileClient { name: "half-open after open", script: half::<7> },
    HostileClient { name: "half-open after begin", script: half::<9> },
    HostileClient { name: "half-open after attach", script: half::<11> },
    HostileClient { name: "attaches without a right and reads", script: || refused_attaches(true) },
    HostileClient { name: "attaches without a right and reads nothing", script: || refused_attaches(false) },
    HostileClient {
        name: "asks for messages and reads nothing",
        script: || {
            let mut acts = [actions::opened(), actions::link(0, Role::Receiver, "queue")].concat();
            acts.extend([Act::StopReading, actions::credit(0, 1_000)]);
            acts
        },
    },
    HostileClient {
        name: "never ends a message",
        script: || {
            let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue")].concat();
            acts.push(actions::message(0, 0, &[0; 100_000], false));
            acts
        },
    },
    HostileClient {
        name: "never ends a request",
        script: || {
            let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue/$management")].concat();
            acts.push(actions::message(0, 0, &[0; 100_000], false));
            acts
        },
    },
    HostileClient {
        name: "asks with a list of 262 144 items",
        script: || {
            let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue/$management")].concat();
            acts.push(actions::message(0, 0, &list_of_nulls(262_144), true));
            acts
        },
    },
    HostileClient { name: "floods with heartbeats", script: || floods_with(EMPTY.to_vec()) },
    HostileClient {
        name: "floods with flows that want an answer",
        script: || {
            let session = servicebus_core::wire::performative::Flow {
                next_incoming_id: Some(0),
                handle: None,
                delivery_count: None,
                link_credit: None,
                echo: true,
                ..flow(0, 0, 0)
            };
            floods_with(frame(0, &session, &[]))
        },
    },
    HostileClient {
        name: "closes at once",
        script: || {
            let mut acts = actions::opened();
            acts.push(Act::Close);
            acts
        },
    },
];
