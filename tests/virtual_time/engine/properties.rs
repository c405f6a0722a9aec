//! What holds for every engine, whatever the peer sends and however its bytes are cut.

use servicebus_core::engine::{
    Capacity, Config, Connection, DeliveryId, EngineError, Event, LinkId, OutcomeKind, SendOptions, SessionId, Tag,
};
use servicebus_core::random::Random;
use servicebus_core::storage::{Payload, Storage};
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected};
use servicebus_core::wire::performative::*;
use servicebus_tests::conformance::Conformance;
use servicebus_tests::engine::{Item, Pair, Reported, Sent, Side, attach, begin, config, flow, frame, open, transfer};
use servicebus_tests::on_storages;

on_storages! {
    any_chopping_gives_the_same: Heap Small Tiny;
    any_frames_do_no_harm_to_a_client: Heap Small Tiny;
    any_frames_do_no_harm_to_a_server: Heap Small Tiny;
    no_more_comes_than_was_granted: Heap Small Tiny;
    windows_hold_at_any_number: Heap Small;
    outcomes_travel_in_ranges_over_the_wrap: Heap Small;
    messages_of_many_frames_are_interleaved: Heap Small Tiny;
    aborted_deliveries_leave_nothing: Heap Small Tiny;
    everything_that_begins_ends: Heap Small Tiny;
    stale_ids_are_nobody_elses: Heap Small Tiny;
    both_ends_begin_and_attach: Heap Small;
}

fn payload<S: Storage>(bytes: &[u8]) -> S::Payload {
    S::Payload::copy_from(bytes).expect("room")
}

/// What a scenario leaves behind.
#[derive(Debug, PartialEq)]
struct Trace {
    applied: [Vec<String>; 2],
    sent: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    settled: Vec<Option<OutcomeKind>>,
    tables: [(usize, usize, usize); 2],
}

/// A client sends and receives, the server answers, everything is closed at the end. The bytes of each turn are cut
/// by `random`; the applications act when a turn's bytes have all come, so that only the cutting differs.
fn scenario<S: Storage>(random: &mut Option<Random>) -> Trace {
    let mut pair = Pair::<S>::new(0, config());
    let session = pair.client.connection.begin().expect("room");
    let sender = pair.client.connection.attach(session, &attach("link", 0, Role::Sender)).expect("room");
    let receiver = pair.client.connection.attach(session, &attach("link", 0, Role::Receiver)).expect("room");
    pair.client.connection.grant(receiver, 1).expect("a receiver");
    let large: Vec<u8> = (0..1_500u32).map(|at| at as u8).collect();
    let _ = pair.client.connection.send(sender, &payload::<S>(&large), &SendOptions::default());
    let (mut sent, mut messages, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..40 {
        for to_server in [true, false] {
            let Pair { client, server, .. } = &mut pair;
            let (from, to) = if to_server { (client, server) } else { (server, client) };
            let bytes = from.transmit().0;
            let mut events = Vec::new();
            match random {
                None => to.feed(&bytes),
                Some(random) => {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let (piece, after) = rest.split_at(1 + random.below(rest.len().min(90) as u64) as usize);
                        rest = after;
                        to.feed(piece);
                        while let Some(event) = to.connection.poll_event() {
                            events.push(event);
                        }
                    }
                }
            }
            sent.push(bytes);
            while let Some(event) = to.connection.poll_event() {
                events.push(event);
            }
            // Events are flags: how often one is said, and in which order those of different things come, depends on
            // when they are asked for.
            events.sort_by_key(|event| {
                let rank = match event {
                    Event::Opened => 0,
                    Event::SessionBegun(_) => 1,
                    Event::LinkAttached(_) => 2,
                    Event::LinkDetached(_) => 4,
                    Event::SessionEnded(_) => 5,
                    _ => 3,
                };
                (rank, format!("{event:?}"))
            });
            events.dedup();
            settled.extend(to.reported().iter().filter(|told| told.settled).map(|told| told.outcome));
            for event in events {
                match event {
                    Event::Opened if to_server => to.connection.open(&open("server")).expect("room"),
                    Event::SessionBegun(session) if to_server => to.connection.accept_session(session).expect("room"),
                    Event::LinkAttached(link) if to_server => {
                        let role = to.connection.link(link).expect("a link").role;
                        to.connection.accept_link(link, &attach("link", 0, role)).expect("room");
                        if role == Role::Receiver {
                            to.connection.grant(link, 1).expect("a receiver");
                        }
                    }
                    Event::LinkDetached(link) => to.connection.forget(link),
                    Event::Readable(link) => {
                        while let Some(incoming) = to.connection.receive(link) {
                            let state = if messages.len() % 2 == 0 {
                                DeliveryState::ACCEPTED
                            } else {
                                DeliveryState::Outcome(Outcome::Rejected(Rejected { error: None }))
                            };
                            messages.push(incoming.payload.as_ref().to_vec());
                            to.connection.settle(incoming.delivery, &state, true).expect("room");
                            // The message goes back the other way.
                            if to_server {
                                let back = to.events.iter().find_map(|event| match event {
                                    Event::Credit(link) => Some(*link),
                                    _ => None,
                                });
                                if let Some(back) = back {
                                    let _ = to.connection.send(back, &incoming.payload, &SendOptions::default());
                                }
                            }
                        }
                    }
                    _ => {}
                }
                // Credit is said once for each rise; keep the link and not how often.
                if !to.events.contains(&event) {
                    to.events.push(event);
                }
            }
        }
        match turn {
            10 => {
                let _ = pair.client.connection.send(sender, &payload::<S>(b"small"), &SendOptions::default());
                if let Some(Event::LinkAttached(link)) = pair.server.events.iter().find(|event| {
                    matches!(event, Event::LinkAttached(link)
                        if pair.server.connection.link(*link).is_some_and(|link| link.role == Role::Receiver))
                }) {
                    pair.server.connection.grant(*link, 1).expect("a receiver");
                }
            }
            20 => pair.client.connection.drain(receiver).expect("a receiver"),
            25 => pair.client.connection.detach(sender, true, None).expect("a link"),
            30 => pair.client.connection.end(session, None),
            35 => pair.client.connection.close(None),
            _ => {}
        }
    }
    assert!(pair.client.connection.is_closed() && pair.server.connection.is_closed());
    Trace {
        applied: [pair.client.log.0, pair.server.log.0],
        sent,
        messages,
        settled,
        tables: [pair.client.connection.table_sizes(), pair.server.connection.table_sizes()],
    }
}

fn any_chopping_gives_the_same<S: Storage>() {
    let whole = scenario::<S>(&mut None);
    assert!(whole.messages.len() >= 2 && whole.settled.len() >= 2, "{:?}", whole.settled);
    assert_eq!(whole.tables, [(0, 0, 0); 2]);
    for seed in 0..60 {
        let chopped = scenario::<S>(&mut Some(Random::seeded(seed)));
        for (turn, (one, other)) in whole.sent.iter().zip(&chopped.sent).enumerate() {
            assert_eq!(Sent(one.clone()).names(), Sent(other.clone()).names(), "seed {seed}, turn {turn}");
        }
        assert_eq!(whole.settled, chopped.settled, "seed {seed}");
        assert_eq!(whole.messages, chopped.messages, "seed {seed}");
        assert_eq!(whole.sent, chopped.sent, "seed {seed}");
        assert_eq!(whole, chopped, "seed {seed}");
    }
}

/// A number that is likely to hit something: small, or near where serial numbers wrap.
fn number(random: &mut Random) -> u32 {
    match random.below(8) {
        0 => u32::MAX - random.below(3) as u32,
        1 => (1 << 31) - 1 + random.below(3) as u32,
        2 => random.next() as u32,
        _ => random.below(5) as u32,
    }
}

fn role(random: &mut Random) -> Role {
    if random.below(2) == 0 { Role::Sender } else { Role::Receiver }
}

fn maybe<T>(value: T, random: &mut Random) -> Option<T> {
    (random.below(4) > 0).then_some(value)
}

/// A frame that a peer might send, right or wrong, mostly on a channel it has begun.
fn any_frame(random: &mut Random, begun: &mut [bool; 2], client: bool, tiny: bool) -> Vec<u8> {
    // Mostly on what was announced: one session and two links in the smallest tables.
    let (channels, handles) = if tiny { (1, 2) } else { (2, 3) };
    let channel = if random.below(200) == 0 { 2 } else { random.below(channels) as u16 };
    if let Some(begun) = begun.get_mut(usize::from(channel))
        && !*begun
        && random.below(30) > 0
    {
        *begun = true;
        let (number, window) = (number(random), number(random));
        // A client has begun the first one itself.
        let remote = (client && channel == 0).then_some(0);
        return frame(channel, &Begin { next_outgoing_id: number, incoming_window: window, ..begin(remote) }, &[]);
    }
    let handle = if random.below(100) == 0 { number(random) } else { random.below(handles) as u32 };
    let error = Some(ErrorCondition::new("amqp:not-found")).filter(|_| random.below(2) == 0);
    let state = match random.below(5) {
        0 => None,
        1 => Some(DeliveryState::RELEASED),
        2 => Some(DeliveryState::Outcome(Outcome::Modified(Modified {
            delivery_failed: Some(true),
            undeliverable_here: None,
            message_annotations: None,
        }))),
        _ => Some(DeliveryState::ACCEPTED),
    };
    match random.below(24) {
        0 if random.below(20) == 0 => {
            let remote = maybe(random_channel(channel), random).filter(|_| channel != 2);
            let number = number(random);
            frame(channel, &Begin { next_outgoing_id: number, incoming_window: number, ..begin(remote) }, &[])
        }
        3..=6 => {
            let role = role(random);
            let name = ["link", "other", "third"][random.below(3) as usize];
            let count = maybe(number(random), random);
            frame(channel, &Attach { initial_delivery_count: count, ..attach(name, handle, role) }, &[])
        }
        7..=9 => {
            let (a, b) = (number(random), number(random));
            let flow = Flow {
                next_incoming_id: maybe(number(random), random),
                incoming_window: number(random),
                handle: maybe(handle, random),
                delivery_count: maybe(a, random),
                link_credit: maybe(b, random),
                available: maybe(3, random),
                drain: random.below(3) == 0,
                echo: random.below(3) == 0,
                ..flow(handle, a, b)
            };
            frame(channel, &flow, &[])
        }
        10..=13 => {
            let transfer = Transfer {
                delivery_id: maybe(number(random), random),
                delivery_tag: maybe(&b"tag"[..], random),
                settled: maybe(random_bool(handle), random),
                more: random.below(3) == 0,
                aborted: random.below(8) == 0,
                state: state.filter(|_| channel == 1),
                ..transfer(handle, 0, false)
            };
            frame(channel, &transfer, &vec![7; random.below(300) as usize])
        }
        14..=16 => {
            let first = number(random);
            let disposition = Disposition {
                role: role(random),
                first,
                last: maybe(first.wrapping_add(number(random)), random),
                settled: random.below(2) == 0,
                state,
                batchable: false,
            };
            frame(channel, &disposition, &[])
        }
        17 => frame(channel, &Detach { handle, closed: random.below(2) == 0, error }, &[]),
        18 if random.below(3) == 0 && channel < 2 => {
            begun[usize::from(channel)] = false;
            frame(channel, &End { error }, &[])
        }
        19 if random.below(20) == 0 => frame(channel, &Close { error }, &[]),
        _ => servicebus_core::wire::frame::EMPTY.to_vec(),
    }
}

fn random_channel(channel: u16) -> u16 {
    channel % 2
}

fn random_bool(handle: u32) -> bool {
    handle.is_multiple_of(2)
}

/// Something an application might want, right or wrong, on whatever ids it has heard of.
fn any_verb<S: Storage>(
    random: &mut Random,
    side: &mut Side<S>,
    sessions: &mut Vec<SessionId>,
    links: &mut Vec<LinkId>,
    deliveries: &mut Vec<DeliveryId>,
) {
    let pick = |random: &mut Random, len: usize| random.below(len as u64) as usize;
    let connection = &mut side.connection;
    let state = [DeliveryState::ACCEPTED, DeliveryState::RELEASED][pick(random, 2)];
    match random.below(14) {
        0 => sessions.extend(connection.begin()),
        1 if !sessions.is_empty() => {
            let session = sessions[pick(random, sessions.len())];
            let role = role(random);
            let number = number(random);
            let attach =
                Attach { initial_delivery_count: (role == Role::Sender).then_some(number), ..attach("link", 0, role) };
            links.extend(connection.attach(session, &attach));
        }
        2 if !sessions.is_empty() && random.below(5) == 0 => {
            connection.end(sessions[pick(random, sessions.len())], None);
        }
        3 if random.below(60) == 0 => connection.close(None),
        4 => {
            side.now += Duration::from_secs(random.below(20));
            connection.handle_timeout(side.now);
        }
        _ if links.is_empty() => {}
        action => {
            let link = links[pick(random, links.len())];
            match action {
                5 => drop(connection.detach(link, random.below(2) == 0, None)),
                6 | 7 => {
                    let size = random.below(1_200) as usize;
                    let options = SendOptions { settled: random.below(3) == 0, ..SendOptions::default() };
                    if let Ok(delivery) = connection.send(link, &payload::<S>(&vec![1; size]), &options) {
                        deliveries.push(delivery);
                    }
                }
                8 => drop(connection.grant(link, random.below(4) as u32)),
                9 => drop(connection.drain(link)),
                10 => drop(connection.drained(link)),
                11 => deliveries.extend(connection.receive(link).map(|incoming| incoming.delivery)),
                12 => connection.forget(link),
                _ if !deliveries.is_empty() => {
                    let delivery = deliveries[pick(random, deliveries.len())];
                    if random.below(4) == 0 {
                        connection.cancel(delivery);
                    } else {
                        let _ = connection.settle(delivery, &state, random.below(3) > 0);
                    }
                }
                _ => {}
            }
        }
    }
}

fn any_frames_do_no_harm<S: Storage>(client: bool) {
    let mut most_applied = 0;
    for seed in 0..1_500 {
        let mut random = Random::seeded(seed);
        let mut checked = Conformance::default();
        let connection = if client {
            Connection::client(config(), Instant::ZERO, None, &open("client")).expect("room")
        } else {
            Connection::server(config(), Instant::ZERO)
        };
        let mut side = Side::<S>::new(connection, 512);
        let (mut sessions, mut links, mut deliveries) = (Vec::new(), Vec::new(), Vec::new());
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &Open { idle_time_out: Some(30_000), ..open("peer") }, &[]));
        if client {
            sessions.extend(side.connection.begin());
        }
        let mut begun = [false; 2];
        for _ in 0..150 {
            match random.below(6) {
                0 | 1 => {
                    for _ in 0..random.below(3) {
                        any_verb(&mut random, &mut side, &mut sessions, &mut links, &mut deliveries);
                    }
                }
                2 if random.below(3) == 0 => {
                    let sent = side.transmit();
                    checked_structure(&mut checked, &sent);
                    // An end is answered, so that another session can begin.
                    let mut ended = false;
                    sent.each(|item| ended |= matches!(item, Item::Frame(_, Performative::End(_), _)));
                    for (channel, begun) in begun.iter_mut().enumerate().filter(|_| ended) {
                        if std::mem::take(begun) && side.result.is_ok() {
                            side.feed(&frame(channel as u16, &End { error: None }, &[]));
                        }
                    }
                }
                _ => {
                    let bytes = any_frame(&mut random, &mut begun, client, S::MAX_FRAME_SIZE == 512);
                    side.feed_in(&bytes, |left| 1 + random.below(left as u64) as usize);
                    if side.result.is_err() {
                        break;
                    }
                }
            }
            // The failure of a link asks for nothing: its end follows.
            while random.below(3) > 0
                && let Some(event) = std::iter::from_fn(|| side.connection.poll_event())
                    .find(|event| !matches!(event, Event::LinkFailed(_)))
            {
                match event {
                    Event::Opened if !client => side.connection.open(&open("server")).expect("room"),
                    Event::SessionBegun(session) => {
                        let _ = side.connection.accept_session(session);
                        sessions.push(session);
                    }
                    Event::LinkAttached(link) => {
                        if let Some(status) = side.connection.link(link) {
                            let answer = attach("link", 0, status.role);
                            let error = ErrorCondition::new("amqp:not-found");
                            let _ = if random.below(4) == 0 {
                                side.connection.refuse_link(link, "link", &error)
                            } else {
                                side.connection.accept_link(link, &answer)
                            };
                        }
                        links.push(link);
                    }
                    Event::LinkDetached(link) if random.below(2) == 0 => side.connection.forget(link),
                    _ => {}
                }
            }
            let (sessions, links, deliveries) = side.connection.table_sizes();
            assert!(sessions <= 200 && links <= 200 && deliveries <= 200, "seed {seed}");
        }
        most_applied = most_applied.max(side.log.0.len());
        checked_structure(&mut checked, &side.transmit());
        // Whatever has happened, it can be brought to an end, and nothing is left.
        if side.result.is_ok() && side.connection.failure().is_none() {
            if !client {
                let _ = side.connection.open(&open("server"));
            }
            side.connection.close(None);
            checked_structure(&mut checked, &side.transmit());
            assert!(checked.is_closed(), "seed {seed}");
            side.feed(&frame(0, &Close { error: None }, &[]));
        }
        side.connection.handle_disconnect();
        side.poll();
        assert!(side.events.iter().any(|event| matches!(event, Event::Closed(_))), "seed {seed}");
        assert_eq!(side.connection.poll_event(), None);
        assert_eq!(side.connection.poll_timeout(), None);
    }
    assert!(most_applied >= 10, "the frames come through: {most_applied} at most");
}

/// Checks the order and the numbers of what was sent, not what the peer has allowed: this one allows nonsense.
fn checked_structure(checked: &mut Conformance, sent: &Sent) {
    let everything = Flow { next_incoming_id: None, incoming_window: u32::MAX, ..flow(0, 0, 0) };
    // Frame by frame, so that a window and a credit are there before each transfer.
    let mut rest = &sent.0[..];
    while !rest.is_empty() {
        let size = if rest.starts_with(b"AMQP") {
            8
        } else {
            u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize
        };
        let one = Sent(rest[..size].to_vec());
        let mut place = None;
        one.each(|item| match item {
            Item::Frame(channel, Performative::Transfer(transfer), _) => place = Some((channel, transfer.handle)),
            Item::Frame(channel, Performative::Flow(Flow { handle: Some(handle), .. }), _) => {
                place = Some((channel, handle));
            }
            _ => {}
        });
        if let Some((channel, handle)) = place {
            let unlimited = Flow { delivery_count: None, link_credit: Some(u32::MAX), ..everything };
            checked.granted(channel, Some(handle), &unlimited);
        }
        checked.check(&one);
        rest = &rest[size..];
    }
}

fn any_frames_do_no_harm_to_a_client<S: Storage>() {
    any_frames_do_no_harm::<S>(true);
}

fn any_frames_do_no_harm_to_a_server<S: Storage>() {
    any_frames_do_no_harm::<S>(false);
}

fn no_more_comes_than_was_granted<S: Storage>() {
    for (seed, initial) in [0, 5, u32::MAX - 2, u32::MAX, (1 << 31) - 2, 1 << 31].into_iter().enumerate() {
        let mut random = Random::seeded(seed as u64);
        let mut pair = Pair::<S>::new(seed as u64, config());
        pair.initial_delivery_count = initial;
        let session = pair.client.connection.begin().expect("room");
        let (ours, theirs) = pair.attach(session, "link", Role::Receiver);
        let (mut sent, mut received, mut granted) = (0u32, 0u32, 0u32);
        for _ in 0..200 {
            match random.below(6) {
                0 | 1 => {
                    // Credit is what may come from now on; what was granted and is lowered may still come.
                    let credit = pair.client.connection.grant(ours, random.below(3) as u32).expect("a receiver");
                    granted = granted.max(received + pair.client.connection.link(ours).unwrap().waiting + credit);
                }
                2 | 3 => {
                    let message = payload::<S>(&sent.to_be_bytes());
                    let options = SendOptions { settled: random.below(2) == 0, ..SendOptions::default() };
                    sent += u32::from(pair.server.connection.send(theirs, &message, &options).is_ok());
                }
                4 if random.below(3) == 0 => {
                    pair.client.connection.drain(ours).expect("a receiver");
                    pair.run();
                    pair.server.connection.drained(theirs).expect("a sender");
                    pair.run();
                    assert_eq!(pair.client.connection.link(ours).unwrap().credit, 0, "drained");
                    assert_eq!(pair.server.connection.link(theirs).unwrap().credit, 0, "drained");
                    assert!(pair.client.events.contains(&Event::Drained(ours)));
                    granted = received + pair.client.connection.link(ours).unwrap().waiting;
                }
                _ => {
                    pair.run();
                    while let Some(incoming) = pair.client.connection.receive(ours) {
                        assert_eq!(incoming.payload.as_ref(), received.to_be_bytes());
                        received += 1;
                        if !incoming.settled {
                            pair.client.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
                        }
                    }
                }
            }
            let waiting = pair.client.connection.link(ours).unwrap().waiting;
            assert!(received + waiting <= granted, "{} messages for {granted} granted", received + waiting);
        }
        assert!(received > 20, "{received} messages of {sent} at {initial}");
        assert_eq!(pair.client.result, Ok(()));
    }
}

fn windows_hold_at_any_number<S: Storage>() {
    // Outgoing: never beyond the window, which is counted from what the peer has seen.
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &Flow { next_incoming_id: Some(1), incoming_window: 3, ..flow(0, 0, 5) }, &[]));
    let bytes = vec![9; 4_000];
    side.connection.send(link, &payload::<S>(&bytes), &SendOptions::default()).unwrap();
    // The peer is asked for its window when it is used up, once.
    assert_eq!(side.transmit().names(), ["transfer", "transfer", "transfer", "flow"]);
    let mut seen = 3u32;
    // A flow that is older than what we have sent opens nothing.
    side.feed(&frame(0, &Flow { next_incoming_id: Some(2), incoming_window: 2, ..flow(0, 1, 5) }, &[]));
    // Nor does one that takes back what is under way.
    side.feed(&frame(0, &Flow { next_incoming_id: Some(1), incoming_window: 1, ..flow(0, 1, 5) }, &[]));
    assert!(side.transmit().0.is_empty());
    for window in [1, 0, 2, 1] {
        let before = seen;
        side.feed(&frame(0, &Flow { next_incoming_id: Some(1 + seen), incoming_window: window, ..flow(0, 1, 5) }, &[]));
        let mut echoes = 0;
        side.transmit().each(|item| match item {
            Item::Frame(_, Performative::Transfer(_), _) => seen += 1,
            Item::Frame(_, Performative::Flow(Flow { echo: true, handle: None, .. }), _) => echoes += 1,
            other => panic!("{other:?}"),
        });
        assert_eq!(echoes, u32::from(window > 0));
        assert_eq!(seen, before + window);
    }
    side.feed(&frame(0, &Flow { next_incoming_id: Some(1 + seen), incoming_window: u32::MAX, ..flow(0, 1, 5) }, &[]));
    seen += side.transmit().names().len() as u32;
    assert!((8..=10).contains(&seen), "{seen} frames");

    // Incoming: whatever number the peer begins with, the flows that renew the window name the next.
    for first in [0, u32::MAX - 3, (1 << 31) - 3] {
        let connection = Connection::client(config(), Instant::ZERO, None, &open("client")).unwrap();
        let mut side = Side::<S>::new(connection, 512);
        let session = side.connection.begin().unwrap();
        let link = side.connection.attach(session, &attach("link", 0, Role::Receiver)).unwrap();
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &open("server"), &[]));
        side.feed(&frame(0, &Begin { next_outgoing_id: first, ..begin(Some(0)) }, &[]));
        side.feed(&frame(0, &attach("link", 0, Role::Sender), &[]));
        side.transmit();
        let mut left = 8u32;
        for number in 0..100u32 {
            side.connection.grant(link, 1).unwrap();
            side.transmit().each(|item| {
                if let Item::Frame(_, Performative::Flow(flow), _) = item {
                    assert_eq!(flow.next_incoming_id, Some(first.wrapping_add(number)));
                    left = flow.incoming_window;
                }
            });
            assert!(left > 0, "the window is closed");
            left -= 1;
            side.feed(&frame(0, &Transfer { settled: Some(true), ..transfer(0, number, false) }, b"x"));
            assert!(side.connection.receive(link).is_some());
        }
    }
}

servicebus_core::fixed_storage! {
    /// Fewer places for messages than for deliveries.
    type Crowded {
        sessions: 1, links: 2, deliveries: 8, receive: 512, transmit: 512, message: 600, messages: 3, engine_alone: true
    }
}

#[test]
fn a_delivery_keeps_its_place_for_a_message_only_until_that_is_written_or_taken() {
    let (mut side, link) = Side::<Crowded>::linked(Role::Sender, 0);
    let full = EngineError::NoCapacity(Capacity::Deliveries);
    let send = |side: &mut Side<Crowded>| {
        let payload = Payload::copy_from(b"message").unwrap();
        side.connection.send(link, &payload, &SendOptions::default())
    };
    // What was sent until here has left the outbox.
    side.connection.take_freed();
    for _ in 0..3 {
        send(&mut side).unwrap();
    }
    assert_eq!(send(&mut side), Err(full));
    assert!(!side.connection.take_freed());
    side.feed(&frame(0, &flow(0, 0, 10), &[]));
    side.transmit();
    assert!(side.connection.take_freed());
    // All three wait for their outcomes, and there is room for others: eight in all.
    for _ in 0..5 {
        send(&mut side).unwrap();
        side.transmit();
    }
    assert_eq!(send(&mut side), Err(full));

    let (mut side, link) = Side::<Crowded>::linked(Role::Receiver, 0);
    assert_eq!(side.connection.grant(link, 8), Ok(3), "no more than can be kept");
    side.transmit();
    for number in 0..8 {
        side.feed(&frame(0, &transfer(0, number, false), b"x"));
        assert!(side.connection.receive(link).is_some());
        assert!(side.connection.take_freed());
        let _ = side.connection.grant(link, 3);
        side.transmit();
    }
    assert_eq!(side.connection.grant(link, 3), Ok(0), "eight wait for their settlement");
    // A message that is cut off gives its place back as well.
    let (mut side, link) = Side::<Crowded>::linked(Role::Receiver, 3);
    side.feed(&frame(0, &transfer(0, 0, true), b"x"));
    side.feed(&frame(0, &Transfer { aborted: true, ..transfer(0, 0, false) }, &[]));
    assert_eq!(side.connection.grant(link, 3), Ok(3));
}

fn outcomes_travel_in_ranges_over_the_wrap<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 6);
    let first = u32::MAX - 2;
    let mut deliveries = Vec::new();
    for number in 0..6 {
        side.feed(&frame(0, &transfer(0, first.wrapping_add(number), false), b"x"));
        deliveries.push(side.connection.receive(link).expect("a message").delivery);
    }
    side.transmit();
    for (number, delivery) in deliveries.iter().enumerate() {
        let state = if number < 5 { DeliveryState::ACCEPTED } else { DeliveryState::RELEASED };
        side.connection.settle(*delivery, &state, true).unwrap();
    }
    let mut ranges = Vec::new();
    side.transmit().each(|item| {
        let Item::Frame(_, Performative::Disposition(disposition), _) = item else { panic!("{item:?}") };
        ranges.push((disposition.first, disposition.last, disposition.settled, disposition.state.is_some()));
    });
    assert_eq!(ranges, [(first, Some(1), true, true), (2, None, true, true)]);
    assert_eq!(side.connection.table_sizes().2, 0);

    // The peer settles a range over the wrap, of deliveries that we proposed outcomes for.
    side.connection.grant(link, 6).unwrap();
    side.transmit();
    let mut deliveries = Vec::new();
    for number in 0..4 {
        side.feed(&frame(0, &transfer(0, first.wrapping_add(number), false), b"x"));
        let delivery = side.connection.receive(link).expect("a message").delivery;
        side.connection.settle(delivery, &DeliveryState::ACCEPTED, false).unwrap();
        deliveries.push(delivery);
    }
    side.transmit();
    let range = |first, last| Disposition {
        role: Role::Sender,
        first,
        last: Some(last),
        settled: true,
        state: Some(DeliveryState::ACCEPTED),
        batchable: false,
    };
    side.feed(&frame(0, &range(first, 0), &[]));
    let expected: Vec<Reported> = deliveries.iter().map(|&delivery| Reported::accepted(delivery, link)).collect();
    assert_eq!(side.reported(), expected);
    assert_eq!(side.connection.table_sizes().2, 0);
    for delivery in deliveries {
        assert_eq!(side.connection.settle(delivery, &DeliveryState::ACCEPTED, true), Err(EngineError::Detached));
    }
}

fn messages_of_many_frames_are_interleaved<S: Storage>() {
    for seed in 0..20 {
        let mut pair = Pair::<S>::new(seed, config());
        let session = pair.client.connection.begin().expect("room");
        let (one, one_there) = pair.attach(session, "one", Role::Sender);
        let (two, two_there) = pair.attach(session, "two", Role::Sender);
        pair.server.connection.grant(one_there, 1).unwrap();
        pair.server.connection.grant(two_there, 1).unwrap();
        pair.run();
        let bytes = |fill: u8| (0..3_500u32).map(|at| fill ^ at as u8).collect::<Vec<u8>>();
        pair.send(one, &bytes(1));
        pair.send(two, &bytes(2));
        // No link starves the other: their frames take turns.
        let mut handles = Vec::new();
        let sent = pair.client.transmit();
        sent.each(|item| {
            if let Item::Frame(_, Performative::Transfer(transfer), _) = item {
                handles.push(transfer.handle);
            }
        });
        assert!(handles.windows(2).all(|two| two[0] != two[1]), "{handles:?}");
        pair.server.feed(&sent.0);
        pair.run();
        for (link, fill) in [(one_there, 1), (two_there, 2)] {
            let incoming = pair.server.connection.receive(link).expect("a message");
            assert_eq!(incoming.payload.as_ref(), bytes(fill));
            pair.server.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
        }
        pair.run();
        let settled = pair.client.reported().iter().filter(|told| told.settled).count();
        assert_eq!((settled, pair.client.connection.table_sizes().2), (2, 0));
    }
}

fn aborted_deliveries_leave_nothing<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    let abort = |id: Option<u32>| Transfer { delivery_id: id, aborted: true, ..transfer(0, 0, true) };
    // In the middle, and with the first frame.
    side.feed(&frame(0, &transfer(0, 0, true), b"some"));
    assert_eq!(side.connection.table_sizes().2, 1);
    side.feed(&frame(0, &abort(Some(0)), b"ignored"));
    assert_eq!(side.connection.table_sizes().2, 0);
    side.feed(&frame(0, &abort(Some(1)), b""));
    assert_eq!(side.connection.table_sizes().2, 0);
    assert!(side.connection.receive(link).is_none());
    assert_eq!(side.connection.link(link).unwrap().credit, 0, "an aborted delivery has used its credit");
    // A new one begins after it.
    side.connection.grant(link, 1).unwrap();
    side.feed(&frame(0, &transfer(0, 2, true), b"wh"));
    side.feed(&frame(0, &Transfer { delivery_id: None, delivery_tag: None, ..transfer(0, 2, false) }, b"ole"));
    assert_eq!(side.connection.receive(link).expect("a message").payload.as_ref(), b"whole");
    assert_eq!(side.result, Ok(()));

    // The last of a drain's messages is aborted: the drain is over all the same.
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.connection.drain(link).unwrap();
    side.feed(&frame(0, &transfer(0, 0, true), b"some"));
    side.poll();
    assert!(!side.events.contains(&Event::Drained(link)), "a message is still coming");
    side.feed(&frame(0, &abort(None), b""));
    side.poll();
    assert!(side.events.contains(&Event::Drained(link)));
}

fn everything_that_begins_ends<S: Storage>() {
    let mut pair = Pair::<S>::new(3, config());
    for round in 0..300u32 {
        let session = pair.client.connection.begin().expect("a place");
        let role = if round % 2 == 0 { Role::Sender } else { Role::Receiver };
        let (ours, theirs) = pair.attach(session, "link", role);
        let (from, to, link, there) = match role {
            Role::Sender => (&mut pair.client, &mut pair.server, ours, theirs),
            Role::Receiver => (&mut pair.server, &mut pair.client, theirs, ours),
        };
        to.connection.grant(there, 1).unwrap();
        let message = payload::<S>(&[round as u8; 700]);
        from.connection.send(link, &message, &SendOptions::default()).unwrap();
        pair.run();
        let to = if role == Role::Sender { &mut pair.server } else { &mut pair.client };
        match round % 3 {
            0 => {
                let incoming = to.connection.receive(there).expect("a message");
                to.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
            }
            1 => drop(to.connection.receive(there).expect("a message")),
            _ => {}
        }
        // By a detach from either end, by an end from either end.
        match round % 4 {
            0 => pair.client.connection.detach(ours, true, None).unwrap(),
            1 => pair.server.connection.detach(theirs, true, None).unwrap(),
            2 => pair.client.connection.end(session, None),
            _ => {
                let session = pair.server.connection.session_of(theirs).unwrap();
                pair.server.connection.end(session, None);
            }
        }
        pair.run();
        assert!(pair.client.events.contains(&Event::LinkDetached(ours)));
        assert!(pair.server.events.contains(&Event::LinkDetached(theirs)));
        pair.client.connection.forget(ours);
        pair.server.connection.forget(theirs);
        assert_eq!(pair.client.connection.link(ours), None);
        pair.client.connection.end(session, None);
        pair.run();
        assert!(pair.client.events.contains(&Event::SessionEnded(session)));
        assert_eq!(pair.client.connection.table_sizes(), (0, 0, 0), "round {round}");
        assert_eq!(pair.server.connection.table_sizes(), (0, 0, 0), "round {round}");
        pair.client.events.clear();
        pair.server.events.clear();
    }
}

fn stale_ids_are_nobody_elses<S: Storage>() {
    let (mut pair, ours, theirs) = Pair::<S>::linked(5, Role::Sender);
    let session = pair.client.connection.session_of(ours).unwrap();
    pair.server.connection.grant(theirs, 1).unwrap();
    let stale_delivery = pair.send(ours, b"one");
    pair.run();
    pair.client.connection.detach(ours, true, None).unwrap();
    pair.run();
    pair.client.connection.forget(ours);
    pair.server.connection.forget(theirs);
    // Others take the places.
    let (new, new_there) = pair.attach(session, "link", Role::Sender);
    assert_eq!(new.index(), ours.index());
    assert_ne!(new, ours);
    let delivery = pair.send(new, b"two");
    assert_eq!(delivery.index(), stale_delivery.index());
    let connection = &mut pair.client.connection;
    assert_eq!(connection.send(ours, &payload::<S>(b"x"), &SendOptions::default()), Err(EngineError::Detached));
    assert_eq!(connection.grant(ours, 1), Err(EngineError::Detached));
    assert_eq!(connection.drain(ours), Err(EngineError::Detached));
    assert_eq!(connection.drained(ours), Err(EngineError::Detached));
    assert_eq!(connection.detach(ours, true, None), Err(EngineError::Detached));
    assert_eq!(connection.settle(stale_delivery, &DeliveryState::ACCEPTED, true), Err(EngineError::Detached));
    assert_eq!(connection.link(ours), None);
    assert_eq!(connection.session_of(ours), None);
    assert!(connection.receive(ours).is_none());
    assert!(!connection.cancel(stale_delivery));
    connection.forget(ours);
    pair.server.connection.grant(new_there, 1).unwrap();
    pair.run();
    assert_eq!(pair.server.connection.receive(new_there).expect("a message").payload.as_ref(), b"two");
    // And a session's.
    pair.client.connection.end(session, None);
    pair.run();
    pair.client.connection.forget(new);
    let next = pair.client.connection.begin().unwrap();
    assert_ne!(next, session);
    assert_eq!(pair.client.connection.attach(session, &attach("x", 0, Role::Sender)), Err(EngineError::Detached));
    pair.client.connection.end(session, None);
    pair.run();
    assert!(!pair.client.events.contains(&Event::SessionEnded(next)));
}

/// Either end may begin sessions and attach links: the numbers that each sends on never collide.
fn both_ends_begin_and_attach<S: Storage>() {
    let mut pair = Pair::<S>::new(7, config());
    let from_client = pair.client.connection.begin().unwrap();
    pair.run();
    let from_server = pair.server.connection.begin().unwrap();
    pair.run();
    // The client answers sessions by attaching on them.
    let mut theirs = pair.client.events.iter().filter_map(|event| match event {
        Event::SessionBegun(session) if *session != from_client => Some(*session),
        _ => None,
    });
    let theirs = theirs.next_back().expect("the server's session");
    pair.client.connection.accept_session(theirs).unwrap();
    let config = Config::default();
    assert!(config.handle_max > 3);
    let here = pair.client.connection.attach(theirs, &attach("from client", 0, Role::Sender)).unwrap();
    let there = pair.server.connection.attach(from_server, &attach("from server", 0, Role::Sender)).unwrap();
    pair.run();
    let seen = pair.client.events.iter().find_map(|event| match event {
        Event::LinkAttached(link) if *link != here => Some(*link),
        _ => None,
    });
    let seen = seen.expect("the server's link");
    pair.client.connection.accept_link(seen, &attach("from server", 0, Role::Receiver)).unwrap();
    pair.client.connection.grant(seen, 1).unwrap();
    let options = SendOptions { tag: Tag::new(b"t").unwrap(), ..SendOptions::default() };
    pair.server.connection.send(there, &payload::<S>(b"hello"), &options).unwrap();
    pair.run();
    assert_eq!((pair.client.result, pair.server.result), (Ok(()), Ok(())));
    assert_eq!(pair.client.connection.receive(seen).expect("a message").payload.as_ref(), b"hello");
    assert!(
        pair.client.connection.link(here).unwrap().attached && pair.server.connection.link(there).unwrap().attached
    );
}
