//! One connection of a service: an emulator's, behind a filter that makes it sick.

use super::edit::{cut, detach, edit, error, performative};
use super::links::{Links, Step};
use super::service::Service;
use super::sick::{Fault, Flood, Sick};
use super::{Output, Peer};
use crate::engine::{flow, frame, sasl_frame};
use servicebus_core::storage::{Buffer as _, Heap, HeapBuffer, Storage as _};
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::EMPTY;
use servicebus_core::wire::messaging::{DeliveryState, Outcome};
use servicebus_core::wire::performative::{Close, Disposition, End, Flow, Performative, Role, Transfer};
use servicebus_core::wire::sasl::{SaslCode, SaslOutcome};
use servicebus_emulator::broker::{Broker, ConnectionId, MAX_FRAME_SIZE};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// The pause between the heartbeats of a peer that sends nothing else.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Where a session of the client stands.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    begun: bool,
    next_incoming_id: u32,
    next_outgoing_id: u32,
    last_delivery: u32,
}

/// The service's end of a connection.
pub(super) struct Connection {
    service: Service,
    id: Option<ConnectionId>,
    rx: HeapBuffer,
    tx: HeapBuffer,
    /// The emulator's bytes that are not cut into frames yet, and the client's.
    raw: Vec<u8>,
    client: Vec<u8>,
    links: Links,
    sessions: BTreeMap<u16, Session>,
    /// The channel of the session that floods are about: the last one that has begun.
    channel: u16,
    sick: Option<&'static Sick>,
    epoch: u32,
    now: Instant,
    /// The step has been reached.
    triggered: bool,
    opened: bool,
    /// Units to send, with their times.
    out: VecDeque<(Instant, Vec<u8>)>,
    sent: usize,
    /// Nothing more of the emulator's is sent.
    mute: bool,
    dead_channels: HashSet<u16>,
    refused: HashSet<(u16, u32)>,
    closes_at: Option<Instant>,
    heartbeat_at: Option<Instant>,
    flood_at: Option<Instant>,
    /// The frame that a flood repeats.
    sample: Vec<u8>,
    over: bool,
}

impl Connection {
    pub(super) fn new(service: Service) -> Self {
        Self {
            service,
            id: None,
            rx: Broker::rx(),
            tx: Heap::tx(MAX_FRAME_SIZE),
            raw: Vec::new(),
            client: Vec::new(),
            links: Links::default(),
            sessions: BTreeMap::new(),
            channel: 0,
            sick: None,
            epoch: 0,
            now: Instant::ZERO,
            triggered: false,
            opened: false,
            out: VecDeque::new(),
            sent: 0,
            mute: false,
            dead_channels: HashSet::new(),
            refused: HashSet::new(),
            closes_at: None,
            heartbeat_at: None,
            flood_at: None,
            sample: Vec::new(),
            over: false,
        }
    }

    fn push(&mut self, unit: Vec<u8>) {
        self.push_at(self.now, unit);
    }

    /// A delayed unit delays those behind it.
    fn push_at(&mut self, at: Instant, unit: Vec<u8>) {
        let at = self.out.back().map_or(at, |(last, _)| at.max(*last));
        self.out.push_back((at, unit));
    }

    /// The service fell sick or was healed since the last output.
    fn turn(&mut self, sick: Option<&'static Sick>, is_new: bool) {
        let before = std::mem::replace(&mut self.sick, sick);
        let Some(sick) = sick else {
            if before.is_some() {
                self.closes_at = Some(self.now);
            }
            return;
        };
        if !is_new && sick.step.is_opening() {
            self.closes_at = Some(self.now);
        } else if let Fault::ClosesAfter(life) = sick.fault {
            self.hit();
            self.closes_at = Some(self.now + life);
        } else if sick.step == Step::Now {
            self.trigger();
        }
    }

    fn hit(&self) {
        self.service.lock().hits += 1;
    }

    fn trigger(&mut self) {
        self.hit();
        self.triggered = true;
        match self.sick.map(|sick| sick.fault) {
            Some(Fault::Silent { heartbeats: true } | Fault::StopsReading { heartbeats: true } | Fault::NeverEnds) => {
                self.heartbeat_at = Some(self.now + HEARTBEAT);
            }
            Some(Fault::Floods(_)) => self.flood_at = Some(self.now),
            _ => {}
        }
    }

    fn is_silent(&self) -> bool {
        let fault = self.sick.map(|sick| sick.fault);
        let silent = matches!(fault, Some(Fault::Silent { .. } | Fault::StopsReading { .. } | Fault::NeverEnds));
        silent && self.triggered
    }

    fn has_stopped_reading(&self) -> bool {
        self.triggered && matches!(self.sick.map(|sick| sick.fault), Some(Fault::StopsReading { .. }))
    }

    /// Tracks the session; false for units that follow a refusal and are dropped.
    fn note(&mut self, unit: &[u8]) -> bool {
        let Some((channel, performative, _)) = performative(unit) else { return !self.mute };
        let handle = match &performative {
            Performative::Open(_) => {
                self.opened = true;
                None
            }
            Performative::Begin(begin) => {
                self.channel = channel;
                let session = self.sessions.entry(channel).or_default();
                session.begun = true;
                session.next_outgoing_id = begin.next_outgoing_id;
                None
            }
            Performative::Flow(flow) => flow.handle,
            Performative::Transfer(transfer) => {
                let session = self.sessions.entry(channel).or_default();
                session.next_outgoing_id = session.next_outgoing_id.wrapping_add(1);
                session.last_delivery = transfer.delivery_id.unwrap_or(session.last_delivery);
                Some(transfer.handle)
            }
            Performative::Detach(detach) => {
                // The answer to the client's answer: the handle is free again.
                if self.refused.remove(&(channel, detach.handle)) {
                    return false;
                }
                Some(detach.handle)
            }
            _ => None,
        };
        let refused = handle.is_some_and(|handle| self.refused.contains(&(channel, handle)));
        !(self.mute || refused || self.dead_channels.contains(&channel))
    }

    /// Sends a unit of the emulator's, changed by the sickness.
    fn pass(&mut self, unit: Vec<u8>) {
        let step = self.links.from_service(&unit);
        if !self.note(&unit) {
            return;
        }
        let Some(sick) = self.sick else { return self.push(unit) };
        let here = step == sick.step;
        if here {
            self.hit();
        }
        match sick.fault {
            Fault::Silent { .. } | Fault::StopsReading { .. } => {
                if here {
                    self.trigger();
                }
                if !self.triggered {
                    self.push(unit);
                }
            }
            Fault::Omits if here => {}
            Fault::Late(delay) if here => self.push_at(self.now + delay, unit),
            Fault::Twice if here => {
                self.push(unit.clone());
                self.push(unit);
            }
            Fault::Refuses(condition) if here => self.refuse(step, &unit, condition),
            Fault::AttachesThenDetaches(condition) if here => self.detach_at_once(unit, condition),
            Fault::Judges(verdict) if here => self.push(edit(&unit, |performative| {
                if let Performative::Disposition(disposition) = performative {
                    disposition.state = verdict.state();
                }
            })),
            Fault::Floods(Flood::Transfers | Flood::Continuations) if here => self.begin_flood(unit, sick.fault),
            Fault::NeverEnds if here || self.triggered => {
                if !self.triggered {
                    self.begin_flood(unit, sick.fault);
                }
            }
            Fault::Overdelivers(extra) if here => self.overdeliver(unit, extra),
            Fault::GrantsNothing if here => self.push(set_credit(&unit, 0)),
            Fault::TakesBack if here => {
                let taken = set_credit(&unit, 0);
                self.push(unit);
                self.push(taken);
            }
            Fault::ShutsWindow => self.push(edit(&unit, |performative| match performative {
                Performative::Begin(begin) => begin.incoming_window = 0,
                Performative::Flow(flow) => flow.incoming_window = 0,
                _ => {}
            })),
            Fault::MisplacesWindow => self.push(edit(&unit, |performative| {
                if let Performative::Flow(flow) = performative {
                    flow.next_incoming_id = flow.next_incoming_id.map(|id| id.wrapping_add(1_000));
                    flow.next_outgoing_id = flow.next_outgoing_id.wrapping_sub(1_000);
                }
            })),
            _ => self.push(unit),
        }
    }

    fn refuse(&mut self, step: Step, unit: &[u8], condition: &str) {
        let channel = performative(unit).map_or(0, |(channel, _, _)| channel);
        match step {
            Step::SaslOutcome => {
                self.push(sasl_frame(&SaslOutcome { code: SaslCode::Auth, additional_data: None }));
                self.mute = true;
                self.closes_at = Some(self.now);
            }
            Step::Open => {
                self.push(unit.to_vec());
                self.push(frame(0, &Close { error: Some(error(condition)) }, &[]));
                self.mute = true;
                self.closes_at = Some(self.now);
            }
            Step::Begin => {
                self.push(unit.to_vec());
                self.push(frame(channel, &End { error: Some(error(condition)) }, &[]));
                self.dead_channels.insert(channel);
            }
            _ => {
                let refusal = edit(unit, |performative| {
                    if let Performative::Attach(attach) = performative {
                        // Without the terminus on the service's side there is no link (AMQP 1.0 §2.6.3).
                        match attach.role {
                            Role::Sender => attach.source = None,
                            Role::Receiver => attach.target = None,
                        }
                    }
                });
                self.detach_at_once(refusal, condition);
            }
        }
    }

    fn detach_at_once(&mut self, unit: Vec<u8>, condition: &str) {
        let found = performative(&unit).and_then(|(channel, performative, _)| match performative {
            Performative::Attach(attach) => Some((channel, attach.handle)),
            _ => None,
        });
        self.push(unit);
        if let Some((channel, handle)) = found {
            self.push(detach(channel, handle, condition));
            self.refused.insert((channel, handle));
        }
    }

    fn overdeliver(&mut self, unit: Vec<u8>, extra: u8) {
        if self.triggered {
            // The ids of the emulator's deliveries are taken.
            return;
        }
        self.triggered = true;
        let channel = performative(&unit).map_or(0, |(channel, _, _)| channel);
        let last = self.sessions.entry(channel).or_default().last_delivery;
        self.push(unit.clone());
        for more in 1..=extra {
            self.push(copy_of(&unit, last.wrapping_add(u32::from(more))));
        }
    }

    /// Begins a flood of transfers with the first of them.
    fn begin_flood(&mut self, unit: Vec<u8>, fault: Fault) {
        if self.triggered {
            return;
        }
        let unit = if fault == Fault::Floods(Flood::Transfers) { unit } else { with_more(&unit) };
        self.sample.clone_from(&unit);
        self.push(unit);
        self.trigger();
        if fault == Fault::NeverEnds {
            for _ in 0..3 {
                self.push(continuation(&self.sample, 1_024));
            }
        }
    }

    fn flood(&mut self) {
        let Some(Fault::Floods(flood)) = self.sick.map(|sick| sick.fault) else { return };
        if self.flood_at.is_none_or(|at| at > self.now) {
            return;
        }
        let pace = self.service.lock().pace;
        self.flood_at = Some(self.now + pace.every);
        let session = self.sessions.get(&self.channel).copied().unwrap_or_default();
        if !session.begun {
            // Before the session there is nothing valid to repeat.
            self.flood_at = Some(self.now + pace.every.max(Duration::from_millis(1)));
            return;
        }
        let (channel, Session { next_incoming_id, next_outgoing_id, .. }) = (self.channel, session);
        for _ in 0..pace.burst {
            let state = Some(DeliveryState::Outcome(Outcome::Accepted));
            let unit = match flood {
                Flood::Heartbeats => EMPTY.to_vec(),
                Flood::Dispositions => {
                    let (role, first) = (Role::Receiver, next_incoming_id.wrapping_sub(1));
                    let settled = Disposition { role, first, last: None, settled: true, state, batchable: false };
                    frame(channel, &settled, &[])
                }
                Flood::Flows | Flood::Echoes => {
                    let session = Flow {
                        next_incoming_id: Some(next_incoming_id),
                        next_outgoing_id,
                        incoming_window: 5_000,
                        outgoing_window: 5_000,
                        handle: None,
                        delivery_count: None,
                        link_credit: None,
                        echo: flood == Flood::Echoes,
                        ..flow(0, 0, 0)
                    };
                    frame(channel, &session, &[])
                }
                Flood::Transfers => {
                    let channel = performative(&self.sample).map_or(0, |(channel, _, _)| channel);
                    let session = self.sessions.entry(channel).or_default();
                    session.last_delivery = session.last_delivery.wrapping_add(1);
                    copy_of(&self.sample, session.last_delivery)
                }
                Flood::Continuations => continuation(&self.sample, pace.payload),
            };
            self.push(unit);
        }
    }

    fn beat(&mut self) {
        if self.heartbeat_at.is_some_and(|at| at <= self.now) {
            self.heartbeat_at = Some(self.now + HEARTBEAT);
            if self.opened {
                self.push(EMPTY.to_vec());
            }
        }
    }

    /// The bytes that are due.
    fn due(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.out.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, unit)) = self.out.pop_front() else { break };
            bytes.extend(unit);
        }
        if let Some(Fault::CutAt(end)) = self.sick.map(|sick| sick.fault)
            && self.sent + bytes.len() >= end
        {
            self.hit();
            bytes.truncate(end.saturating_sub(self.sent));
            self.over = true;
        }
        self.sent += bytes.len();
        bytes
    }
}

impl Peer for Connection {
    fn connected(&mut self, now: Instant) {
        self.now = now;
        let service = self.service.clone();
        let mut inner = service.lock();
        let clock = inner.clock(now);
        self.id = inner.broker.connect(clock);
        self.epoch = inner.epoch;
        let sick = inner.sick;
        drop(inner);
        self.turn(sick, true);
    }

    fn input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = now;
        self.client.extend_from_slice(bytes);
        for unit in cut(&mut self.client) {
            let step = self.links.from_client(&unit);
            match performative(&unit) {
                Some((_, Performative::Attach(_), _)) => self.service.lock().attaches += 1,
                Some((channel, Performative::Begin(begin), _)) => {
                    self.sessions.entry(channel).or_default().next_incoming_id = begin.next_outgoing_id;
                }
                Some((channel, Performative::Transfer(_), _)) => {
                    let session = self.sessions.entry(channel).or_default();
                    session.next_incoming_id = session.next_incoming_id.wrapping_add(1);
                }
                _ => {}
            }
            let silent = |fault| matches!(fault, Fault::Silent { .. } | Fault::StopsReading { .. });
            if self.sick.is_some_and(|sick| sick.step == step && silent(sick.fault)) {
                self.trigger();
            }
        }
        let service = self.service.clone();
        let mut inner = service.lock();
        let clock = inner.clock(now);
        let Some(id) = self.id else { return };
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.rx.spare();
            let count = rest.len().min(spare.len());
            if count == 0 {
                break;
            }
            spare[..count].copy_from_slice(&rest[..count]);
            self.rx.commit(count);
            rest = &rest[count..];
            // What is wrong with the input is in what is sent next.
            _ = inner.broker.handle_input(id, clock, &mut self.rx);
        }
        inner.note_ready();
    }

    fn output(&mut self, now: Instant) -> Output {
        self.now = now;
        let service = self.service.clone();
        let mut inner = service.lock();
        let clock = inner.clock(now);
        if inner.broker.poll_timeout().is_some_and(|at| at <= now) {
            inner.broker.handle_timeout(clock);
        }
        let turned = self.epoch != inner.epoch;
        self.epoch = inner.epoch;
        let (sick, stays) = (inner.sick, inner.leaves_the_sick);
        let Some(id) = self.id else { return Output { closes: true, ..Output::NOTHING } };
        while inner.broker.poll_transmit(id, clock, &mut self.tx) {
            self.raw.extend_from_slice(self.tx.filled());
            self.tx.clear();
        }
        inner.note_ready();
        inner.ready.remove(&id);
        let closed = inner.broker.is_closed(id);
        drop(inner);
        if turned && !(stays && self.sick.is_some()) {
            self.turn(sick, false);
        }
        for unit in cut(&mut self.raw) {
            self.pass(unit);
        }
        self.flood();
        self.beat();
        let bytes = self.due();
        self.over |= closed && self.out.is_empty() && !self.is_silent();
        self.over |= self.closes_at.is_some_and(|at| at <= now);
        Output { bytes, reads: !self.has_stopped_reading(), closes: self.over }
    }

    fn next(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let inner = self.service.lock();
        if self.epoch != inner.epoch || self.id.is_some_and(|id| inner.ready.contains(&id)) {
            return Some(self.now);
        }
        let out = self.out.front().map(|(at, _)| *at);
        let times = [out, inner.broker.poll_timeout(), self.closes_at, self.heartbeat_at, self.flood_at];
        times.into_iter().flatten().min()
    }

    fn window(&self) -> usize {
        if self.has_stopped_reading() { 0 } else { 65_536 }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut inner = self.service.lock();
        let clock = inner.clock(self.now);
        if let Some(id) = self.id.take() {
            inner.broker.disconnect(id, clock);
            inner.ready.remove(&id);
            inner.note_ready();
        }
    }
}

fn set_credit(unit: &[u8], credit: u32) -> Vec<u8> {
    edit(unit, |performative| {
        if let Performative::Flow(flow) = performative {
            flow.link_credit = flow.link_credit.map(|_| credit);
        }
    })
}

fn with_more(unit: &[u8]) -> Vec<u8> {
    edit(unit, |performative| {
        if let Performative::Transfer(transfer) = performative {
            transfer.more = true;
        }
    })
}

/// The same message as another delivery.
fn copy_of(unit: &[u8], id: u32) -> Vec<u8> {
    let Some((channel, Performative::Transfer(transfer), payload)) = performative(unit) else { return unit.to_vec() };
    let mut tag = transfer.delivery_tag.unwrap_or_default().to_vec();
    for (byte, of_id) in tag.iter_mut().zip(id.to_be_bytes()) {
        *byte ^= of_id ^ 0x5a;
    }
    let copy = Transfer { delivery_id: Some(id), delivery_tag: Some(&tag), ..transfer };
    frame(channel, &copy, payload)
}

/// A frame that continues the message of this one, and more to follow.
fn continuation(unit: &[u8], payload: usize) -> Vec<u8> {
    let Some((channel, Performative::Transfer(transfer), _)) = performative(unit) else { return Vec::new() };
    let (delivery_id, delivery_tag, message_format, settled) = (None, None, None, None);
    let next = Transfer { delivery_id, delivery_tag, message_format, settled, more: true, ..transfer };
    frame(channel, &next, &vec![0; payload])
}
