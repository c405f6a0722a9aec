//! Peers that break the protocol: each gets the error that AMQP has for it, and the engine the typed one.

use servicebus_core::engine::{
    Capacity, Config, Connection, ConnectionError, EngineError, Event, Handler, SendOptions, Violation, condition,
};
use servicebus_core::storage::{Buffer, Payload, Storage};
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::{self, FrameError, Protocol};
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::*;
use servicebus_core::wire::{self, Composite, DecodeError, Expected, FieldName, Multiple, Symbol};
use servicebus_tests::engine::{
    Item, Pair, Reported, Side, attach, begin, config, flow, frame, open, sasl_frame, transfer,
};
use servicebus_tests::on_storages;
use std::time::Instant as Clock;

on_storages! {
    frames_that_are_none: Heap Small Tiny;
    frames_out_of_order: Heap Small Tiny;
    bytes_that_are_not_amqp: Heap Tiny;
    the_wrong_layer: Heap Tiny;
    sasl_out_of_order: Heap Tiny;
    credentials_that_are_refused: Heap Tiny;
    more_messages_than_credit: Heap Small Tiny;
    more_frames_than_the_window: Heap Small Tiny;
    handles_that_are_wrong: Heap Small Tiny;
    endpoints_that_nobody_asked_for: Heap Small Tiny;
    transfers_that_are_wrong: Heap Small Tiny;
    channels_that_are_wrong: Heap Small Tiny;
    a_silent_peer: Heap Tiny;
    a_peer_that_says_goodbye_and_goes_on: Heap Tiny;
    ranges_of_every_size: Heap Small Tiny;
    a_message_without_an_end: Heap Small Tiny;
    a_message_larger_than_the_link_takes: Heap Small Tiny;
    more_links_than_places: Small Tiny;
    full_tables_name_the_knob: Tiny;
    answers_wait_for_their_questions: Heap Small;
    nothing_goes_out_after_close: Heap Small Tiny;
    a_flood_of_attaches: Heap Small Tiny;
    a_peer_with_the_smallest_frames: Heap Small Tiny;
}

/// The connection has failed with this error, the application hears of it, and the peer is told its condition.
fn fails<S: Storage>(mut side: Side<S>, error: ConnectionError) {
    assert_eq!(side.result, Err(error));
    assert_eq!(side.connection.failure(), Some(error));
    let sent = side.transmit();
    assert_eq!(sent.names().last().map(String::as_str), Some("close"));
    assert_eq!(sent.condition().as_deref(), Some(error.condition()));
    side.poll();
    assert_eq!(side.events.last(), Some(&Event::Closed(error)));
    // Nothing more is read, sent or wanted.
    side.feed(&frame(0, &open("again"), &[]));
    assert_eq!(side.result, Err(error));
    assert!(side.transmit().0.is_empty());
    assert_eq!(side.connection.begin(), Err(EngineError::Closed));
    assert_eq!(side.connection.poll_timeout(), None);
}

/// The session has ended with this condition, and the connection lives.
fn ends_session<S: Storage>(mut side: Side<S>, condition: &str) {
    assert_eq!(side.result, Ok(()));
    let sent = side.transmit();
    assert_eq!(sent.names().last().map(String::as_str), Some("end"));
    assert_eq!(sent.condition().as_deref(), Some(condition));
    // What is still under way on it is dropped.
    side.feed(&frame(0, &flow(77, 0, 1), &[]));
    side.feed(&frame(0, &transfer(0, 9, false), b"late"));
    side.feed(&frame(0, &End { error: None }, &[]));
    assert_eq!(side.result, Ok(()));
    side.poll();
    assert!(side.events.iter().any(|event| matches!(event, Event::SessionEnded(_))));
    assert!(side.connection.is_open());
    assert!(side.transmit().0.is_empty());
    assert_eq!(side.connection.table_sizes().0, 0);
    for event in side.events.clone() {
        if let Event::LinkDetached(link) = event {
            side.connection.forget(link);
        }
    }
    assert_eq!(side.connection.table_sizes(), (0, 0, 0));
}

/// The link was detached with this condition, and the session lives.
fn detaches<S: Storage>(mut side: Side<S>, condition: &str) {
    assert_eq!(side.result, Ok(()));
    let sent = side.transmit();
    assert_eq!(sent.names().last().map(String::as_str), Some("detach"), "{:?}", sent.names());
    assert_eq!(sent.condition().as_deref(), Some(condition));
    // What is still under way on it is dropped.
    side.feed(&frame(0, &transfer(0, 99, false), b"late"));
    side.feed(&frame(0, &Detach { handle: 0, closed: true, error: None }, &[]));
    assert_eq!(side.result, Ok(()));
    side.poll();
    let detached = side.events.iter().find_map(|event| match event {
        Event::LinkDetached(link) => Some(*link),
        _ => None,
    });
    let detached = detached.expect("the link is over");
    assert_eq!(side.connection.link(detached).map(|link| link.credit), Some(0));
    side.connection.forget(detached);
    assert_eq!(side.connection.table_sizes(), (1, 0, 0));
    assert!(side.connection.is_open());
    assert!(side.transmit().0.is_empty());
}

fn frames_that_are_none<S: Storage>() {
    let head = |size: u32, doff: u8, kind: u8| [&size.to_be_bytes()[..], &[doff, kind, 0, 0]].concat();
    let cases = [
        (head(7, 2, 0), FrameError::TooSmall(7)),
        (head(0, 2, 0), FrameError::TooSmall(0)),
        (head(513, 2, 0), FrameError::TooLarge { size: 513, limit: 512 }),
        (head(u32::MAX, 2, 0), FrameError::TooLarge { size: u32::MAX, limit: 512 }),
        (head(8, 1, 0), FrameError::BadOffset(1)),
        (head(8, 3, 0), FrameError::BadOffset(3)),
        (head(8, 2, 9), FrameError::BadType(9)),
    ];
    for (bytes, error) in cases {
        let (mut side, _) = Side::<S>::client();
        side.feed(&bytes);
        fails(side, ConnectionError::Frame(error));
        let mut side = Side::<S>::server();
        side.feed(&bytes);
        fails(side, ConnectionError::Frame(error));
    }
    let decode = [
        (
            vec![0x00, 0x53, 0x99, 0x45],
            DecodeError::UnexpectedDescriptor { expected: Expected::Performative, found: 0x99 },
        ),
        (vec![0x40], DecodeError::UnexpectedType { expected: Expected::Performative, found: 0x40 }),
        (vec![0x00, 0x53, 0x12, 0xc0, 200, 1, 0x40], DecodeError::Truncated),
        (vec![0x00, 0x53, 0x12, 0xc0, 2, 9, 0x40], DecodeError::InvalidCount),
        (vec![0x00, 0x53, 0x12, 0x45], DecodeError::MissingField(FieldName::of(&Attach::DEFINITION, 0))),
        (vec![0x00, 0x53, 0x12, 0xc0, 4, 1, 0xa1, 1, 0xff], DecodeError::InvalidText),
    ];
    for (body, error) in decode {
        let mut bytes = head(8 + body.len() as u32, 2, 0);
        bytes.extend(body);
        let (mut side, _) = Side::<S>::client();
        side.feed(&bytes);
        fails(side, ConnectionError::Decode(error));
    }
}

fn frames_out_of_order<S: Storage>() {
    let illegal = ConnectionError::Violation(Violation::IllegalState);
    // A second open, a SASL frame among AMQP frames, frames on a channel without a session.
    let (mut side, _) = Side::<S>::client();
    side.feed(&frame(0, &open("again"), &[]));
    fails(side, illegal);
    let mut side = Side::<S>::server();
    side.feed(&sasl_frame(&SaslFrame::Outcome(SaslOutcome { code: SaslCode::Ok, additional_data: None })));
    fails(side, illegal);
    for body in
        [frame(3, &flow(0, 0, 1), &[]), frame(3, &transfer(0, 0, false), b"x"), frame(3, &End { error: None }, &[])]
    {
        let (mut side, _) = Side::<S>::client();
        side.feed(&body);
        fails(side, illegal);
    }
    // Something else before the open: nothing can be said before our own open, and the reason is kept.
    let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
    side.feed(&Protocol::Amqp.header());
    side.feed(&frame(0, &begin(None), &[]));
    assert_eq!(side.result, Err(illegal));
    assert_eq!(side.transmit().names(), ["amqp-header"]);
}

fn bytes_that_are_not_amqp<S: Storage>() {
    let alert = [0x15, 3, 3, 0, 2, 2, 70];
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let cases: [(&[u8], [u8; 8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n", *b"HTTP\0\0\0\0", "HTTP"),
        (&alert, [0x15, 3, 3, 0, 0, 0, 0, 0], "TLS"),
        (&hello, [0x16, 3, 1, 2, 0, 0, 0, 0], "TLS"),
        (b"AMQP\x00\x00\x09\x01", *b"AMQP\x00\x00\x09\x01", "another AMQP"),
        (b"SSH-2.0-OpenSSH", *b"SSH-\0\0\0\0", "does not speak AMQP"),
    ];
    for (bytes, shown, says) in cases {
        let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
        for sasl in [None, Some(&init)] {
            for size in [1, 3, usize::MAX] {
                let connection = Connection::client(config(), Instant::ZERO, sasl, &open("client")).unwrap();
                let mut side = Side::<S>::new(connection, 512);
                side.feed_in(bytes, |_| size);
                assert_eq!(side.result, Err(ConnectionError::NotAmqp(shown)));
                assert!(ConnectionError::NotAmqp(shown).to_string().contains(says));
                side.poll();
                assert_eq!(side.events, [Event::Closed(ConnectionError::NotAmqp(shown))]);
            }
        }
        let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
        side.feed(bytes);
        assert_eq!(side.result, Err(ConnectionError::NotAmqp(shown)));
        // A server answers with the header it would have liked (AMQP 1.0 §2.2).
        assert_eq!(side.transmit().names(), ["sasl-header"]);
    }
}

fn the_wrong_layer<S: Storage>() {
    let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
    for (sasl, header) in [(Some(&init), Protocol::Amqp), (None, Protocol::Sasl), (None, Protocol::Tls)] {
        let connection = Connection::client(config(), Instant::ZERO, sasl, &open("client")).unwrap();
        let mut side = Side::<S>::new(connection, 512);
        side.feed(&header.header());
        assert_eq!(side.result, Err(ConnectionError::UnexpectedProtocol));
    }
    let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
    side.feed(&Protocol::Tls.header());
    assert_eq!(side.result, Err(ConnectionError::UnexpectedProtocol));
}

const ANONYMOUS: SaslInit<'_> =
    SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };

fn sasl_client<S: Storage>() -> Side<S> {
    let connection = Connection::client(config(), Instant::ZERO, Some(&ANONYMOUS), &open("client")).unwrap();
    let mut side = Side::<S>::new(connection, 512);
    side.feed(&Protocol::Sasl.header());
    side
}

fn sasl_out_of_order<S: Storage>() {
    let illegal = Err(ConnectionError::Violation(Violation::IllegalState));
    let offered = [Symbol::new("PLAIN"), Symbol::new("ANONYMOUS")];
    let mechanisms =
        sasl_frame(&SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: Multiple::new(&offered) }));
    let outcome = sasl_frame(&SaslFrame::Outcome(SaslOutcome { code: SaslCode::Ok, additional_data: None }));
    let challenge = sasl_frame(&SaslFrame::Challenge(SaslChallenge { challenge: b"?" }));
    let init = sasl_frame(&ANONYMOUS);

    // To a client: the outcome before the mechanisms, mechanisms twice, a challenge, an init, an AMQP frame.
    for first in [&outcome, &challenge, &init, &frame(0, &open("server"), &[])] {
        let mut side = sasl_client::<S>();
        side.feed(first);
        assert_eq!(side.result, illegal);
        assert_eq!(side.transmit().names(), ["sasl-header"], "nothing of what follows SASL is let out");
    }
    for second in [&mechanisms, &challenge] {
        let mut side = sasl_client::<S>();
        side.feed(&mechanisms);
        side.feed(second);
        assert_eq!(side.result, illegal);
    }
    // To a server: an outcome, and AMQP before the init.
    for first in [&outcome, &mechanisms, &frame(0, &open("client"), &[])] {
        let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
        side.feed(&Protocol::Sasl.header());
        side.feed(first);
        assert_eq!(side.result, illegal);
    }
    // A body that is none.
    let mut side = sasl_client::<S>();
    side.feed(&[0, 0, 0, 8, 2, 1, 0, 0]);
    assert_eq!(side.result, Err(ConnectionError::Decode(DecodeError::Truncated)));
    // In order it goes through, up to the open.
    let mut side = sasl_client::<S>();
    side.feed(&[mechanisms, outcome, Protocol::Amqp.header().to_vec(), frame(0, &open("server"), &[])].concat());
    assert_eq!(side.result, Ok(()));
    assert!(side.connection.is_open());
    assert_eq!(side.transmit().names(), ["sasl-header", "init", "amqp-header", "open"]);
}

fn credentials_that_are_refused<S: Storage>() {
    let mut side = sasl_client::<S>();
    let offered = [Symbol::new("SCRAM-SHA-256")];
    side.feed(&sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Multiple::new(&offered) }));
    assert_eq!(side.result, Err(ConnectionError::NoMechanism));
    assert_eq!(ConnectionError::NoMechanism.condition(), condition::UNAUTHORIZED_ACCESS);

    let offered = [Symbol::new("ANONYMOUS")];
    for code in [SaslCode::Auth, SaslCode::Sys, SaslCode::SysPerm, SaslCode::SysTemp] {
        let mut side = sasl_client::<S>();
        side.feed(&sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Multiple::new(&offered) }));
        side.feed(&sasl_frame(&SaslOutcome { code, additional_data: None }));
        assert_eq!(side.result, Err(ConnectionError::Sasl(code)));
        side.poll();
        assert_eq!(side.events, [Event::Closed(ConnectionError::Sasl(code))]);
    }
    // A server refuses a mechanism it did not offer, whatever its application says.
    let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
    side.feed(&Protocol::Sasl.header());
    side.feed(&sasl_frame(&SaslInit { mechanism: Symbol::new("SCRAM-SHA-1"), ..ANONYMOUS }));
    assert_eq!(side.result, Err(ConnectionError::Sasl(SaslCode::Auth)));
    assert_eq!(side.transmit().names(), ["sasl-header", "mechanisms", "outcome"]);
}

fn more_messages_than_credit<S: Storage>() {
    // None at all, one too many, and one after a drain has given the credit back.
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 0);
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    detaches(side, condition::TRANSFER_LIMIT_EXCEEDED);

    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &transfer(0, 0, false), b"one"));
    assert!(side.connection.receive(link).is_some());
    side.feed(&frame(0, &transfer(0, 1, false), b"two"));
    detaches(side, condition::TRANSFER_LIMIT_EXCEEDED);

    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.connection.drain(link).unwrap();
    side.transmit();
    side.feed(&frame(0, &Flow { drain: true, ..flow(0, 2, 0) }, &[]));
    side.poll();
    assert_eq!(side.events, [Event::DrainSent(link), Event::Drained(link)]);
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    detaches(side, condition::TRANSFER_LIMIT_EXCEEDED);

    // A sender that pretends to have sent more than it may: it is believed only as far as it was allowed.
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.feed(&frame(0, &flow(0, 1_000_000, 0), &[]));
    assert_eq!(side.connection.link(link).unwrap().credit, 2);
}

fn more_frames_than_the_window<S: Storage>() {
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
    // The window is of eight frames and is renewed only by what we send.
    for number in 0..8 {
        assert_eq!(side.result, Ok(()), "frame {number}");
        side.feed(&frame(0, &Transfer { delivery_id: (number == 0).then_some(0), ..transfer(0, 0, true) }, b"part"));
    }
    side.feed(&frame(0, &transfer(0, 0, true), b"one too many"));
    ends_session(side, condition::WINDOW_VIOLATION);
}

fn handles_that_are_wrong<S: Storage>() {
    // Not attached.
    for body in [frame(0, &transfer(1, 0, false), b"x"), frame(0, &flow(1, 0, 1), &[])] {
        let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
        side.feed(&body);
        ends_session(side, condition::UNATTACHED_HANDLE);
    }
    // A detach of a handle that is not attached means nothing.
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &Detach { handle: 1, closed: true, error: None }, &[]));
    assert_eq!(side.result, Ok(()));
    assert!(side.transmit().0.is_empty());
    // Attached already.
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 0);
    side.feed(&frame(0, &attach("other", 0, Role::Sender), &[]));
    ends_session(side, condition::HANDLE_IN_USE);
    // Beyond what was announced: the whole connection (AMQP 1.0 §2.7.2).
    let (mut side, _) = Side::<S>::client();
    side.feed(&frame(0, &attach("other", 1_000_000, Role::Sender), &[]));
    fails(side, ConnectionError::Violation(Violation::FramingError));
}

/// A handler that never serves.
struct Client;

impl Handler for Client {
    const SERVES: bool = false;
}

/// A client that never serves takes no sessions and no links of the peer's making, and does not look at what it has no
/// use for.
fn endpoints_that_nobody_asked_for<S: Storage>() {
    fn feed<S: Storage>(side: &mut Side<S>, bytes: &[u8]) {
        side.rx.spare()[..bytes.len()].copy_from_slice(bytes);
        side.rx.commit(bytes.len());
        side.result = side.connection.handle_input(side.now, &mut side.rx, &mut Client);
    }
    let (mut side, _) = Side::<S>::client();
    feed(&mut side, &frame(1, &begin(None), &[]));
    fails(side, ConnectionError::Violation(Violation::NotAllowed));
    let (mut side, _) = Side::<S>::client();
    feed(&mut side, &frame(0, &attach("other", 0, Role::Sender), &[]));
    assert_eq!(side.connection.table_sizes(), (1, 0, 0));
    ends_session(side, condition::NOT_ALLOWED);
    // A flow is looked at as a whole; of an attach, only what the client wants to know.
    let (mut side, session) = Side::<S>::client();
    let link = side.connection.attach(session, &attach("link", 0, Role::Receiver)).expect("room");
    side.transmit();
    let mut bytes = frame(0, &attach("link", 0, Role::Sender), &[]);
    let modes = bytes.windows(2).position(|bytes| bytes == [0x50, 2]).expect("mixed");
    bytes[modes + 1] = 9;
    feed(&mut side, &bytes);
    assert_eq!(side.result, Ok(()));
    assert!(side.connection.link(link).expect("ours").attached);
    let mut bytes = frame(0, &flow(0, 0, 1), &[]);
    let handle = bytes.len() - 1;
    bytes[handle] = 0x56;
    feed(&mut side, &bytes);
    assert!(matches!(side.result, Err(ConnectionError::Decode(_))), "{:?}", side.result);
}

fn transfers_that_are_wrong<S: Storage>() {
    // On our own sending link.
    let (mut side, _) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    ends_session(side, condition::NOT_ALLOWED);
    // Without an id; with a tag of 33 bytes.
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &Transfer { delivery_id: None, ..transfer(0, 0, false) }, b"x"));
    ends_session(side, condition::INVALID_FIELD);
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &Transfer { delivery_tag: Some(&[7; 33]), ..transfer(0, 0, false) }, b"x"));
    ends_session(side, condition::INVALID_FIELD);
    // Another delivery in the middle of one, be that to be settled or not.
    for settled in [None, Some(false), Some(true)] {
        let (mut side, _) = Side::<S>::linked(Role::Receiver, 2);
        side.feed(&frame(0, &Transfer { settled, ..transfer(0, 0, true) }, b"x"));
        side.feed(&frame(0, &Transfer { settled, ..transfer(0, 1, false) }, b"y"));
        ends_session(side, condition::ILLEGAL_STATE);
    }
}

fn channels_that_are_wrong<S: Storage>() {
    let (mut side, _) = Side::<S>::client();
    side.feed(&frame(0, &begin(None), &[]));
    fails(side, ConnectionError::Violation(Violation::IllegalState));
    // An answer to a session that was never begun, or twice to one.
    for remote in [0, 7] {
        let (mut side, _) = Side::<S>::client();
        side.feed(&frame(1, &begin(Some(remote)), &[]));
        fails(side, ConnectionError::Violation(Violation::IllegalState));
    }
    let mut side = Side::<S>::server();
    side.feed(&frame(60_000, &begin(None), &[]));
    fails(side, ConnectionError::Violation(Violation::FramingError));
}

fn a_silent_peer<S: Storage>() {
    let config = Config { idle_time_out: Some(Duration::from_secs(10)), ..config() };
    let connection = Connection::client(config, Instant::ZERO, None, &open("client")).unwrap();
    let mut side = Side::<S>::new(connection, 512);
    side.feed(&Protocol::Amqp.header());
    // The peer wants a sign of life every two seconds; one is sent each second.
    side.feed(&frame(0, &Open { idle_time_out: Some(2_000), ..open("server") }, &[]));
    side.transmit();
    for _ in 0..5 {
        let (at, _) = side.connection.poll_timeout().unwrap();
        assert_eq!(at.saturating_duration_since(side.now), Duration::from_secs(1));
        side.pass(Duration::from_secs(1));
        assert_eq!(side.transmit().names(), ["empty"]);
    }
    // The peer's own sign of life counts, and its eight bytes need nothing behind them.
    side.feed(&frame::EMPTY);
    side.pass(Duration::from_millis(19_999));
    assert_eq!(side.connection.failure(), None);
    side.pass(Duration::from_millis(1));
    assert_eq!(side.connection.failure(), Some(ConnectionError::IdleTimeout));
    let sent = side.transmit();
    assert_eq!(
        (sent.names(), sent.condition().as_deref()),
        (vec!["close".into()], Some(condition::RESOURCE_LIMIT_EXCEEDED))
    );
    side.poll();
    assert_eq!(side.events.last(), Some(&Event::Closed(ConnectionError::IdleTimeout)));
    assert_eq!(side.connection.poll_timeout(), None);

    // A peer that never says anything.
    let connection = Connection::client(config, Instant::ZERO, None, &open("client")).unwrap();
    let mut side = Side::<S>::new(connection, 512);
    let (at, _) = side.connection.poll_timeout().unwrap();
    side.connection.handle_timeout(at);
    assert_eq!(side.connection.failure(), Some(ConnectionError::IdleTimeout));
}

fn a_peer_that_says_goodbye_and_goes_on<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &Close { error: None }, &[]));
    assert_eq!(side.result, Err(ConnectionError::ClosedByPeer));
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    assert_eq!(side.result, Err(ConnectionError::ClosedByPeer));
    assert!(side.connection.receive(link).is_none());
    assert_eq!(side.transmit().names(), ["close"]);
    side.poll();
    assert_eq!(side.events, [Event::Closed(ConnectionError::ClosedByPeer)]);
    assert!(side.connection.is_closed());
}

fn ranges_of_every_size<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &flow(0, 0, 10), &[]));
    side.poll();
    side.events.clear();
    let payload = || S::Payload::copy_from(b"x").unwrap();
    let mut settled = Vec::new();
    let range = |first: u32, last: u32| {
        let state = Some(DeliveryState::ACCEPTED);
        frame(
            0,
            &Disposition { role: Role::Receiver, first, last: Some(last), settled: true, state, batchable: true },
            &[],
        )
    };
    for round in 0..4 {
        let delivery = side.connection.send(link, &payload(), &SendOptions::default()).unwrap();
        side.transmit();
        let began = Clock::now();
        // As many numbers as there are, and more than there are: none may be walked one by one.
        for _ in 0..200 {
            side.feed(&range(round + 1, round + 1 + (u32::MAX >> 1)));
        }
        side.feed(&range(0, u32::MAX >> 1));
        assert!(began.elapsed().as_secs() < 5, "a range is walked number by number");
        side.feed(&range(0, u32::MAX >> 1));
        side.poll();
        settled.push(Reported::accepted(delivery, link));
        assert_eq!(side.log.1, settled, "settled once");
        assert_eq!(side.connection.table_sizes().2, 0);
        // The other role's numbers are others.
        side.feed(&frame(
            0,
            &Disposition { role: Role::Sender, first: 0, last: None, settled: true, state: None, batchable: false },
            &[],
        ));
    }
    // The last before the first: no range of serial numbers.
    let delivery = side.connection.send(link, &payload(), &SendOptions::default()).unwrap();
    side.transmit();
    side.feed(&range(5, 4));
    side.poll();
    assert!(!side.log.1.iter().any(|told| told.delivery == delivery));
    ends_session(side, condition::INVALID_FIELD);
}

fn a_message_without_an_end<S: Storage>() {
    let (mut side, _) = Side::<S>::linked(Role::Receiver, 1);
    // 128 MiB on the heap, the room for a message on fixed storage: not one byte more is kept.
    let part = [0x55; 400];
    let body = frame(0, &transfer(0, 0, true), &part);
    for number in 0.. {
        side.feed(&body);
        let sent = side.transmit();
        if let Some(condition) = sent.condition() {
            assert_eq!(condition, condition::MESSAGE_SIZE_EXCEEDED);
            assert!(number * part.len() <= 128 << 20);
            break;
        }
    }
    assert_eq!(side.result, Ok(()));
    assert_eq!(side.connection.table_sizes().2, 0, "what was kept of it is gone");
}

fn a_message_larger_than_the_link_takes<S: Storage>() {
    for (first, second) in [(101, None), (60, Some(41))] {
        let (mut side, session) = Side::<S>::client();
        let asked = Attach { max_message_size: Some(100), ..attach("link", 0, Role::Receiver) };
        let link = side.connection.attach(session, &asked).unwrap();
        side.feed(&frame(0, &attach("link", 0, Role::Sender), &[]));
        side.connection.grant(link, 1).unwrap();
        side.transmit();
        side.feed(&frame(0, &transfer(0, 0, second.is_some()), &vec![0; first]));
        if let Some(second) = second {
            assert!(side.transmit().0.is_empty());
            side.feed(&frame(0, &transfer(0, 0, false), &vec![0; second]));
        }
        detaches(side, condition::MESSAGE_SIZE_EXCEEDED);
    }
    // And one that is larger than the peer takes is not sent.
    let (mut side, session) = Side::<S>::client();
    let link = side.connection.attach(session, &attach("link", 0, Role::Sender)).unwrap();
    side.feed(&frame(0, &Attach { max_message_size: Some(3), ..attach("link", 0, Role::Receiver) }, &[]));
    let refused = side.connection.send(link, &S::Payload::copy_from(b"four").unwrap(), &SendOptions::default());
    assert_eq!(refused, Err(EngineError::MessageTooLarge));
    assert_eq!(side.connection.link(link).unwrap().waiting, 0, "nothing of it is kept");
}

fn more_links_than_places<S: Storage>() {
    let mut side = Side::<S>::server();
    side.feed(&frame(0, &begin(None), &[]));
    side.poll();
    side.transmit();
    let mut places = 0;
    loop {
        side.feed(&frame(0, &attach(&format!("link {places}"), places, Role::Sender), &[]));
        side.poll();
        let sent = side.transmit();
        if side.result.is_err() {
            break;
        }
        if !sent.0.is_empty() {
            // The refusal is an attach without termini and a detach (AMQP 1.0 §2.6.3).
            let mut names = sent.names();
            names.retain(|name| name != "begin");
            assert_eq!(names, ["attach", "detach"]);
            assert_eq!(sent.condition().as_deref(), Some(condition::RESOURCE_LIMIT_EXCEEDED));
            return;
        }
        places += 1;
        assert!(places < 100);
    }
    // The handle lies beyond what was announced: as many as there are places.
    assert_eq!(side.result, Err(ConnectionError::Violation(Violation::FramingError)));
    assert_eq!(side.connection.table_sizes().1, places as usize);
}

fn full_tables_name_the_knob<S: Storage>() {
    let (mut side, session) = Side::<S>::client();
    assert_eq!(side.connection.begin(), Err(EngineError::NoCapacity(Capacity::Sessions)));
    let sender = side.connection.attach(session, &attach("one", 0, Role::Sender)).unwrap();
    let receiver = side.connection.attach(session, &attach("two", 0, Role::Receiver)).unwrap();
    let third = side.connection.attach(session, &attach("three", 0, Role::Sender));
    assert_eq!(third, Err(EngineError::NoCapacity(Capacity::Links)));
    side.transmit();
    // Two places for deliveries: what is promised to the peer is not given away.
    assert_eq!(side.connection.grant(receiver, 1), Ok(1));
    let send = |side: &mut Side<S>| {
        side.connection.send(sender, &S::Payload::copy_from(b"x").unwrap(), &SendOptions::default())
    };
    assert!(send(&mut side).is_ok());
    assert_eq!(send(&mut side), Err(EngineError::NoCapacity(Capacity::Deliveries)));
    assert_eq!(side.connection.grant(receiver, 5), Ok(1), "as far as there is room");
    // A detached link gives back what it was promised.
    side.connection.detach(receiver, true, None).unwrap();
    assert!(send(&mut side).is_ok());
    // The outbox: control frames that nobody sends.
    let mut description = String::from("a description that takes its share of the outbox, time after time");
    description.push_str(&description.clone());
    side.connection.close(Some(&ErrorCondition::new("x:y").with_description(&description)));
    let names = side.transmit().names();
    assert_eq!(names.last().map(String::as_str), Some("close"));
    assert!(S::Payload::copy_from(&[0; 5_000]).is_err(), "a message larger than the room for one");
}

/// A peer that does everything at once: open, begin, attach, detach, end, close. Each answer waits for what must go
/// before it, and comes once.
fn answers_wait_for_their_questions<S: Storage>() {
    let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
    let goodbye = Detach { handle: 0, closed: true, error: None };
    side.feed(&Protocol::Amqp.header());
    side.feed(&frame(0, &open("client"), &[]));
    side.feed(&frame(0, &begin(None), &[]));
    side.feed(&frame(0, &attach("first", 0, Role::Sender), &[]));
    side.feed(&frame(0, &goodbye, &[]));
    // The same handle again, at once; and one that breaks its credit before it was answered.
    side.feed(&frame(0, &attach("second", 0, Role::Sender), &[]));
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    assert_eq!(side.transmit().names(), ["amqp-header"], "nothing before our open");
    let mut attached = 0;
    let mut detached = 0;
    for _ in 0..2 {
        while let Some(event) = side.connection.poll_event() {
            match event {
                Event::Opened => side.connection.open(&open("server")).unwrap(),
                Event::SessionBegun(session) => side.connection.accept_session(session).unwrap(),
                Event::LinkAttached(link) => {
                    assert_eq!(side.connection.detach(link, true, None), Ok(()), "detached already");
                    side.connection
                        .accept_link(link, &attach(["first", "second"][attached], 0, Role::Receiver))
                        .unwrap();
                    attached += 1;
                }
                Event::LinkDetached(link) => {
                    side.connection.forget(link);
                    detached += 1;
                }
                // A link that the peer's messages on it have ended.
                Event::LinkFailed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let sent = side.transmit();
        if detached == 0 {
            let mut names = sent.names();
            names.sort();
            assert_eq!(names, ["attach", "attach", "begin", "detach", "detach", "open"]);
            assert_eq!(sent.names()[..2], ["open", "begin"]);
            let mut open_handles = Vec::new();
            sent.each(|item| match item {
                Item::Frame(_, Performative::Attach(attach), _) => open_handles.push(attach.handle),
                Item::Frame(_, Performative::Detach(detach), _) => {
                    assert!(open_handles.contains(&detach.handle), "a detach before its attach");
                }
                _ => {}
            });
            assert_ne!(open_handles[0], open_handles[1], "two links on one handle of ours");
        }
    }
    assert_eq!((attached, detached), (2, 1));
    side.feed(&frame(0, &goodbye, &[]));
    side.poll();
    let Some(Event::LinkDetached(link)) = side.events.last().copied() else { panic!("{:?}", side.events) };
    side.connection.forget(link);
    assert_eq!(side.connection.table_sizes(), (1, 0, 0));

    // A session that is over before it was answered.
    side.feed(&frame(0, &End { error: None }, &[]));
    side.poll();
    assert_eq!(side.transmit().names(), ["end"]);
    side.feed(&frame(0, &begin(None), &[]));
    side.feed(&frame(0, &End { error: None }, &[]));
    assert!(side.transmit().0.is_empty(), "no end before our begin");
    let session = loop {
        match side.connection.poll_event() {
            Some(Event::SessionBegun(session)) => break session,
            Some(_) => {}
            None => panic!("no session"),
        }
    };
    side.connection.accept_session(session).unwrap();
    assert_eq!(side.transmit().names(), ["begin", "end"]);
    assert_eq!(side.connection.poll_event(), Some(Event::SessionEnded(session)));
    assert_eq!(side.connection.table_sizes(), (0, 0, 0));

    // Open and close in one breath.
    let mut side = Side::<S>::new(Connection::server(config(), Instant::ZERO), 512);
    side.feed(&Protocol::Amqp.header());
    side.feed(&frame(0, &open("client"), &[]));
    side.feed(&frame(0, &Close { error: None }, &[]));
    side.poll();
    assert_eq!(side.events, [Event::Opened, Event::Closed(ConnectionError::ClosedByPeer)]);
    assert_eq!(side.transmit().names(), ["amqp-header"]);
    side.connection.open(&open("server")).unwrap();
    assert_eq!(side.transmit().names(), ["open", "close"]);
}

fn nothing_goes_out_after_close<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    let incoming = side.connection.receive(link).unwrap();
    side.connection.close(None);
    assert_eq!(side.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true), Err(EngineError::Closed));
    assert_eq!(side.transmit().names(), ["close"]);
    // The peer did not know yet: all of this would have been answered.
    side.feed(&frame(0, &transfer(0, 1, false), b"y"));
    side.feed(&frame(0, &transfer(0, 2, false), b"beyond its credit"));
    side.feed(&frame(0, &Flow { echo: true, ..flow(0, 3, 0) }, &[]));
    side.feed(&frame(0, &Detach { handle: 0, closed: true, error: None }, &[]));
    side.feed(&frame(0, &End { error: None }, &[]));
    side.pass(Duration::from_secs(31));
    assert!(side.transmit().0.is_empty());
    side.feed(&frame(0, &Close { error: None }, &[]));
    assert!(side.transmit().0.is_empty());
    assert!(side.connection.is_closed());
}

fn a_flood_of_attaches<S: Storage>() {
    // Answers are not fetched: whatever the peer asks for, the outbox is bounded and the state stays whole.
    let mut side = Side::<S>::server();
    side.feed(&frame(0, &begin(None), &[]));
    for number in 0..2_000u32 {
        side.feed(&frame(0, &attach(&format!("link {number}"), number % 2, Role::Sender), &[]));
        side.feed(&frame(0, &Flow { echo: true, ..flow(number % 2, 0, 1) }, &[]));
        side.feed(&frame(0, &Detach { handle: number % 2, closed: true, error: None }, &[]));
        while let Some(event) = side.connection.poll_event() {
            match event {
                Event::SessionBegun(session) => drop(side.connection.accept_session(session)),
                Event::LinkAttached(link) => {
                    let _ = side.connection.accept_link(link, &attach("link", 0, Role::Receiver));
                }
                Event::LinkDetached(link) => side.connection.forget(link),
                _ => {}
            }
        }
        if side.result.is_err() {
            break;
        }
    }
    let sent = side.transmit();
    let mut open_handles = Vec::new();
    sent.each(|item| match item {
        Item::Frame(_, Performative::Attach(attach), _) => {
            assert!(!open_handles.contains(&attach.handle), "attached twice");
            open_handles.push(attach.handle);
        }
        Item::Frame(_, Performative::Detach(detach), _) => {
            let at = open_handles.iter().position(|handle| *handle == detach.handle);
            open_handles.swap_remove(at.expect("a detach before its attach"));
        }
        _ => {}
    });
}

fn a_peer_with_the_smallest_frames<S: Storage>() {
    for max_frame_size in [0, 511, 512] {
        let (mut side, session) = {
            let connection = Connection::client(config(), Instant::ZERO, None, &open("client")).unwrap();
            let mut side = Side::<S>::new(connection, 65_536);
            let session = side.connection.begin().unwrap();
            side.feed(&Protocol::Amqp.header());
            side.feed(&frame(0, &Open { max_frame_size, ..open("server") }, &[]));
            side.feed(&frame(0, &begin(Some(0)), &[]));
            (side, session)
        };
        let link = side.connection.attach(session, &attach("link", 0, Role::Sender)).unwrap();
        side.feed(&frame(0, &attach("link", 0, Role::Receiver), &[]));
        side.feed(&frame(0, &flow(0, 0, 1), &[]));
        let bytes: Vec<u8> = (0..4_000u32).map(|at| at as u8).collect();
        let payload = S::Payload::copy_from(&bytes).unwrap();
        side.connection.send(link, &payload, &SendOptions::default()).unwrap();
        let mut whole = Vec::new();
        let mut frames = 0;
        side.transmit().each(|item| {
            if let Item::Frame(_, performative @ Performative::Transfer(_), payload) = item {
                let body = wire::to_vec(&performative);
                assert!(8 + body.len() + payload.len() <= 512);
                whole.extend_from_slice(payload);
                frames += 1;
            }
        });
        assert_eq!(whole, bytes);
        assert!((8..=10).contains(&frames), "{frames} frames");
    }
}

/// Two engines of the smallest size do all of it to each other and end up empty.
#[test]
fn a_pair_of_tiny_engines_ends_up_empty() {
    let (mut pair, ours, theirs) = Pair::<servicebus_tests::engine::Tiny>::linked(1, Role::Sender);
    pair.server.connection.grant(theirs, 1).unwrap();
    pair.send(ours, b"one");
    pair.run();
    pair.client.connection.detach(ours, true, None).unwrap();
    pair.run();
    assert!(pair.server.connection.receive(theirs).is_some(), "what has come can be taken after the detach");
    pair.client.connection.forget(ours);
    pair.server.connection.forget(theirs);
    assert_eq!(pair.client.connection.table_sizes(), (1, 0, 0));
    assert_eq!(pair.server.connection.table_sizes(), (1, 0, 0));
}
