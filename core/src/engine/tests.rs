//! Two engines back to back, in virtual time.

use super::*;
use crate::fixed_storage;
use crate::storage::{Buffer, Heap, Payload, RxOf, Storage, TxOf};
use crate::time::Instant;
use crate::wire::frame::{Kind, Outgoing, Protocol};
use crate::wire::messaging::{DeliveryState, Source, Target};
use crate::wire::performative::{
    Attach, Begin, Detach, Open, ReceiverSettleMode, Role, SenderSettleMode, TargetArchetype, Transfer,
};
use crate::wire::sasl::SaslInit;
use crate::wire::{Encode, Multiple, Symbol, to_vec};
use alloc::vec::Vec;

fixed_storage! {
    /// Tables of one or two.
    type Tiny { sessions: 1, links: 2, deliveries: 2, receive: 1024, transmit: 1024, message: 4096, engine_alone: true }
}

fn open(name: &str) -> Open<'_> {
    Open { channel_max: 0, ..Open::new(name) }
}

fn attach(name: &str, role: Role) -> Attach<'_> {
    Attach {
        snd_settle_mode: SenderSettleMode::Unsettled,
        rcv_settle_mode: ReceiverSettleMode::Second,
        source: Some(Source::new(Some("queue"))),
        target: Some(TargetArchetype::Target(Target::new(Some("queue")))),
        ..Attach::new(name, role)
    }
}

/// What is reported of deliveries: link, whether it is settled, and the outcome.
#[derive(Default)]
struct Reported(Vec<(DeliveryId, LinkId, bool, Option<OutcomeKind>)>);

impl Handler for Reported {
    fn state(&mut self, update: &StateUpdate<'_>) {
        self.0.push((update.delivery, update.link, update.settled, update.outcome()));
    }
}

/// A client and a server joined by two pipes that deliver `chunk` bytes at a time.
struct Pair<S: Storage> {
    now: Instant,
    client: Connection<S>,
    server: Connection<S>,
    client_events: Vec<Event>,
    server_events: Vec<Event>,
    client_reported: Reported,
    server_reported: Reported,
    chunk: usize,
    frames: (TxOf<S>, RxOf<S>, TxOf<S>, RxOf<S>),
}

impl<S: Storage> Pair<S> {
    fn new(chunk: usize) -> Self {
        let config = Config { max_frame_size: 1024, incoming_window: 4, ..Config::default() };
        let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
        let client = Connection::client(config, Instant::ZERO, Some(&init), &open("client")).unwrap();
        let server = Connection::server(config, Instant::ZERO);
        let frames = (S::tx(1024), S::rx(1024), S::tx(1024), S::rx(1024));
        Self {
            now: Instant::ZERO,
            client,
            server,
            client_events: Vec::new(),
            server_events: Vec::new(),
            client_reported: Reported::default(),
            server_reported: Reported::default(),
            chunk,
            frames,
        }
    }

    fn pump(
        from: &mut Connection<S>,
        tx: &mut TxOf<S>,
        to: &mut Connection<S>,
        rx: &mut RxOf<S>,
        told: &mut Reported,
        chunk: usize,
        now: Instant,
    ) -> bool {
        let mut moved = false;
        while from.poll_transmit(now, tx) || !tx.filled().is_empty() {
            moved = true;
            let spare = rx.spare();
            let count = tx.filled().len().min(chunk).min(spare.len());
            spare[..count].copy_from_slice(&tx.filled()[..count]);
            rx.commit(count);
            tx.consume(count);
            let _ = to.handle_input(now, rx, told);
        }
        moved
    }

    /// Moves bytes and answers what servers answer until nothing happens any more.
    fn settle_down(&mut self) {
        loop {
            let (a, b, c, d) = &mut self.frames;
            let mut moved =
                Self::pump(&mut self.client, a, &mut self.server, b, &mut self.server_reported, self.chunk, self.now);
            moved |=
                Self::pump(&mut self.server, c, &mut self.client, d, &mut self.client_reported, self.chunk, self.now);
            while let Some(event) = self.client.poll_event() {
                self.client_events.push(event);
            }
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::Opened => self.server.open(&open("server")).unwrap(),
                    Event::SessionBegun(session) => self.server.accept_session(session).unwrap(),
                    Event::LinkAttached(link) => {
                        let role = self.server.link(link).unwrap().role;
                        self.server.accept_link(link, &attach("link", role)).unwrap();
                    }
                    _ => {}
                }
                self.server_events.push(event);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn linked(chunk: usize, role: Role) -> (Self, LinkId, LinkId) {
        let mut pair = Self::new(chunk);
        let session = pair.client.begin().unwrap();
        let link = pair.client.attach(session, &attach("link", role)).unwrap();
        pair.settle_down();
        let theirs = pair
            .server_events
            .iter()
            .find_map(|event| if let Event::LinkAttached(link) = event { Some(*link) } else { None })
            .unwrap();
        (pair, link, theirs)
    }
}

fn message_goes_round<S: Storage>(chunk: usize, size: usize) {
    let (mut pair, ours, theirs) = Pair::<S>::linked(chunk, Role::Sender);
    let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let payload = S::Payload::copy_from(&bytes).unwrap();
    let delivery = pair.client.send(ours, &payload, &SendOptions::default()).unwrap();
    pair.settle_down();
    assert_eq!(pair.server.grant(theirs, 1), Ok(1));
    pair.settle_down();
    let incoming = pair.server.receive(theirs).unwrap();
    assert_eq!(incoming.payload.as_ref(), &bytes[..]);
    // Two-phase: the sender's side settles after the receiver proposed the outcome.
    pair.server.settle(incoming.delivery, &DeliveryState::ACCEPTED, false).unwrap();
    pair.settle_down();
    assert_eq!(pair.client_reported.0, [(delivery, ours, false, Some(OutcomeKind::Accepted))]);
    pair.client.settle(delivery, &DeliveryState::ACCEPTED, true).unwrap();
    pair.settle_down();
    assert_eq!(pair.server_reported.0, [(incoming.delivery, theirs, true, Some(OutcomeKind::Accepted))]);
    assert_eq!(pair.client.table_sizes(), (1, 1, 0));
    assert_eq!(pair.server.table_sizes(), (1, 1, 0));
    pair.client.detach(ours, true, None).unwrap();
    pair.settle_down();
    pair.client.forget(ours);
    pair.server.forget(theirs);
    pair.client.close(None);
    pair.settle_down();
    assert_eq!(pair.client_events.last(), Some(&Event::Closed(ConnectionError::ClosedByPeer)));
    assert_eq!(pair.client.table_sizes().1, 0);
}

#[test]
fn a_message_goes_round_on_both_storages_however_the_bytes_are_cut() {
    for chunk in [1, 7, 100, 10_000] {
        message_goes_round::<Heap>(chunk, 10);
        message_goes_round::<Heap>(chunk, 4_000);
        message_goes_round::<Tiny>(chunk, 10);
        message_goes_round::<Tiny>(chunk, 4_000);
    }
    message_goes_round::<Heap>(10_000, 1_000_000);
}

fn many_deliveries<S: Storage>() {
    let (mut pair, ours, theirs) = Pair::<S>::linked(10_000, Role::Sender);
    for round in 0..100u8 {
        let payload = S::Payload::copy_from(&[round]).unwrap();
        let delivery = pair.client.send(ours, &payload, &SendOptions::default()).unwrap();
        pair.server.grant(theirs, 1).unwrap();
        pair.settle_down();
        let incoming = pair.server.receive(theirs).unwrap();
        assert_eq!(incoming.payload.as_ref(), &[round]);
        pair.server.settle(incoming.delivery, &DeliveryState::RELEASED, true).unwrap();
        pair.settle_down();
        assert_eq!(pair.client_reported.0.pop(), Some((delivery, ours, true, Some(OutcomeKind::Released))));
    }
    assert_eq!(pair.client.table_sizes(), (1, 1, 0));
}

#[test]
fn windows_are_renewed_and_places_are_used_again() {
    many_deliveries::<Heap>();
    many_deliveries::<Tiny>();
}

#[test]
fn settled_neighbours_travel_in_one_frame() {
    let (mut pair, ours, theirs) = Pair::<Heap>::linked(100_000, Role::Sender);
    pair.server.grant(theirs, 100).unwrap();
    pair.settle_down();
    for _ in 0..100 {
        pair.client.send(ours, &Default::default(), &SendOptions::default()).unwrap();
    }
    pair.settle_down();
    let mut tx = Heap::tx(4096);
    while let Some(incoming) = pair.server.receive(theirs) {
        pair.server.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    }
    assert!(pair.server.poll_transmit(pair.now, &mut tx));
    assert!(tx.filled().len() < 64, "{} bytes", tx.filled().len());
}

/// Outcomes for a range of deliveries of ours whose numbers pass the largest.
fn ranges_pass_the_wrap<S: Storage>() {
    let (mut pair, ours, theirs) = Pair::<S>::linked(10_000, Role::Sender);
    let session = pair.client.links.get(ours.at()).unwrap().session;
    for id in [u32::MAX - 1, (1 << 31) - 1] {
        pair.client.sessions.get_mut(session).unwrap().next_delivery_id = id;
        pair.client.sessions.get_mut(session).unwrap().next_outgoing_id = id;
        let server_session = pair.server.links.get(theirs.at()).unwrap().session;
        pair.server.sessions.get_mut(server_session).unwrap().next_incoming_id = id;
        // The window of the peer as seen from the new numbers.
        pair.client.sessions.get_mut(session).unwrap().peer_incoming_window = 2;
        pair.client_reported.0.clear();
        assert_eq!(pair.server.grant(theirs, 2), Ok(2));
        let deliveries =
            [(); 2].map(|()| pair.client.send(ours, &Default::default(), &SendOptions::default()).unwrap());
        pair.settle_down();
        while let Some(incoming) = pair.server.receive(theirs) {
            pair.server.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
        }
        pair.settle_down();
        let settled = |delivery| (delivery, ours, true, Some(OutcomeKind::Accepted));
        assert_eq!(pair.client_reported.0, deliveries.map(settled));
        assert_eq!(pair.client.table_sizes(), (1, 1, 0));
        assert_eq!(pair.client.sessions.get(session).unwrap().next_delivery_id, id.wrapping_add(2));
    }
}

#[test]
fn outcomes_of_sent_messages_travel_in_ranges_over_the_wrap() {
    ranges_pass_the_wrap::<Heap>();
    ranges_pass_the_wrap::<Tiny>();
}

#[test]
fn a_drain_gives_the_credit_back() {
    let (mut pair, ours, theirs) = Pair::<Heap>::linked(100_000, Role::Receiver);
    pair.client.grant(ours, 10).unwrap();
    pair.settle_down();
    assert_eq!(pair.server.link(theirs).unwrap().credit, 10);
    pair.client.drain(ours).unwrap();
    pair.server.send(theirs, &Default::default(), &SendOptions::default()).unwrap();
    pair.settle_down();
    assert!(pair.server_events.contains(&Event::DrainRequested(theirs)));
    pair.server.drained(theirs).unwrap();
    pair.settle_down();
    assert!(pair.client_events.contains(&Event::Drained(ours)));
    assert_eq!(pair.client.link(ours).unwrap().credit, 0);
    assert_eq!(pair.server.link(theirs).unwrap().credit, 0);
    assert!(pair.client.receive(ours).is_some());
}

#[test]
fn mechanisms_are_an_array_of_symbols() {
    let listed = [Symbol::new("PLAIN"), Symbol::new("ANONYMOUS")];
    assert_eq!(Multiple::new(&listed).iter().count(), 2);
}

/// Hands a frame to an engine.
fn feed(connection: &mut Connection<Heap>, rx: &mut RxOf<Heap>, channel: u16, body: &dyn Encode) {
    let bytes = to_vec(&Outgoing { kind: Kind::Amqp, channel, body });
    rx.spare()[..bytes.len()].copy_from_slice(&bytes);
    rx.commit(bytes.len());
    connection.handle_input(Instant::ZERO, rx, &mut ()).unwrap();
}

/// Everything that an engine has to send goes nowhere.
fn drop_output(connection: &mut Connection<Heap>, tx: &mut TxOf<Heap>) {
    while connection.poll_transmit(Instant::ZERO, tx) || !tx.filled().is_empty() {
        tx.clear();
    }
}

/// How many entries are touched for each link that is attached, brings a message, sends one, and is detached, where all
/// are there at once: 200 on each session.
fn touched_for_each_link(sessions: u16) -> usize {
    const LINKS: u32 = 200;
    let config = Config { max_frame_size: 1024, incoming_window: 1_000_000, ..Config::default() };
    let mut client = Connection::<Heap>::client(config, Instant::ZERO, None, &open("client")).unwrap();
    let (mut tx, mut rx) = (Heap::tx(1024), Heap::rx(1024));
    rx.spare()[..8].copy_from_slice(&Protocol::Amqp.header());
    rx.commit(8);
    client.handle_input(Instant::ZERO, &mut rx, &mut ()).unwrap();
    feed(&mut client, &mut rx, 0, &Open { max_frame_size: 1024, channel_max: u16::MAX, ..open("server") });
    let begin = |channel| Begin {
        remote_channel: Some(channel),
        next_outgoing_id: 0,
        incoming_window: u32::MAX,
        outgoing_window: u32::MAX,
        handle_max: 255,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    };
    let ids: Vec<_> = (0..sessions).map(|_| client.begin().unwrap()).collect();
    (0..sessions).for_each(|channel| feed(&mut client, &mut rx, channel, &begin(channel)));
    let before = [client.links.touched(), client.deliveries.touched()];
    let all: Vec<_> = (0..sessions).flat_map(|session| (0..LINKS).map(move |number| (session, number))).collect();
    let role = |number: u32| if number.is_multiple_of(2) { Role::Sender } else { Role::Receiver };
    let name = |session: u16, number: u32| alloc::format!("{session}-{number}");
    let mut links = Vec::new();
    for &(session, number) in &all {
        let name = name(session, number);
        let asked = attach(&name, role(number));
        let link = client.attach(ids[usize::from(session)], &asked).unwrap();
        if role(number) == Role::Receiver {
            client.grant(link, 1).unwrap();
        }
        links.push(link);
    }
    drop_output(&mut client, &mut tx);
    for &(session, number) in &all {
        let name = name(session, number);
        let answer = Attach { handle: number, ..attach(&name, role(number).other()) };
        feed(&mut client, &mut rx, session, &answer);
    }
    for (&(session, number), link) in all.iter().zip(&links) {
        assert!(client.link(*link).unwrap().attached);
        if role(number) == Role::Sender {
            client.send(*link, &Default::default(), &SendOptions::default()).unwrap();
            continue;
        }
        let transfer = Transfer {
            handle: number,
            delivery_id: Some(number),
            delivery_tag: Some(b"tag"),
            message_format: Some(0),
            settled: Some(false),
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        };
        feed(&mut client, &mut rx, session, &transfer);
    }
    for (&(session, number), link) in all.iter().zip(&links) {
        client.detach(*link, true, None).unwrap();
        feed(&mut client, &mut rx, session, &Detach { handle: number, closed: true, error: None });
    }
    drop_output(&mut client, &mut tx);
    while let Some(event) = client.poll_event() {
        if let Event::LinkDetached(link) = event {
            client.forget(link);
        }
    }
    assert_eq!(client.table_sizes(), (usize::from(sessions), 0, 0));
    let touched = client.links.touched() + client.deliveries.touched() - before[0] - before[1];
    touched / all.len()
}

/// No step of a link walks the links, sessions or deliveries that there are beside it.
// docs/evidence/field-reports.md C22
#[test]
fn a_link_costs_the_same_however_many_there_are_c22() {
    let (few, many) = (touched_for_each_link(1), touched_for_each_link(24));
    assert!(many <= few * 11 / 10, "{few} entries for each of 200 links, {many} for each of 4800");
}

/// How many entries are touched for each of so many messages that wait without credit and are taken back, the last one
/// first, and for each of as many that are not settled when their link ends.
fn touched_for_each_delivery(count: u32) -> [usize; 2] {
    let (mut pair, ours, theirs) = Pair::<Heap>::linked(100_000, Role::Sender);
    let touched = |pair: &Pair<Heap>| pair.client.links.touched() + pair.client.deliveries.touched();
    let payload = <Heap as Storage>::Payload::default();
    let send = |pair: &mut Pair<Heap>| pair.client.send(ours, &payload, &SendOptions::default()).unwrap();
    let waiting: Vec<_> = (0..count).map(|_| send(&mut pair)).collect();
    let before = touched(&pair);
    assert!(waiting.into_iter().rev().all(|delivery| pair.client.cancel(delivery)));
    let taken_back = touched(&pair) - before;
    pair.server.grant(theirs, count).unwrap();
    let sent = (0..count).map(|_| send(&mut pair)).count();
    pair.settle_down();
    while pair.server.receive(theirs).is_some() {}
    pair.settle_down();
    assert_eq!(pair.client.table_sizes(), (1, 1, sent));
    pair.client.detach(ours, true, None).unwrap();
    let before = touched(&pair);
    pair.settle_down();
    pair.client.forget(ours);
    assert_eq!(pair.client.table_sizes().2, 0);
    [taken_back, touched(&pair) - before].map(|touched| touched / count as usize)
}

/// What is done with a message costs the same however many there are on its link.
#[test]
fn a_message_is_taken_back_or_forgotten_at_the_same_cost_however_many_there_are_c22() {
    let (few, many) = (touched_for_each_delivery(100), touched_for_each_delivery(10_000));
    assert!(few.iter().zip(many).all(|(few, many)| many <= few * 11 / 10), "{few:?} entries each, {many:?} of many");
}

/// What names links and sessions inside takes half a word.
#[test]
fn no_limit_gives_more_links_and_sessions_than_there_are_numbers() {
    use super::entries::Number;
    use super::event::Changed;
    use super::id::{LinkIndex, SessionIndex};
    use crate::storage::{Limits, SmallPlace};
    let limits = Limits::new().with_links(usize::MAX).with_sessions(usize::MAX);
    let config = Config { limits, handle_max: u32::MAX, channel_max: u16::MAX, ..Config::default() };
    let client = Connection::<Heap>::silent_client(config, Instant::ZERO);
    let last = client.config.handle_max;
    assert_eq!((last, client.config.channel_max, client.links.capacity()), (32_765, 32_765, 32_766));
    for index in [0, 1, last] {
        let (session, link) = (Changed::Session(SessionIndex::of(index)), Changed::Link(LinkIndex::of(index)));
        assert_eq!([session, link].map(|entry| Changed::of(entry.number())), [session, link]);
        assert_eq!(SmallPlace::new(index).index(), index, "of a handle");
    }
}
