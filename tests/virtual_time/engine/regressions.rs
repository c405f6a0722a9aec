//! What broke for others, kept from breaking here: the list at the end of `docs/evidence/peers.md`, and what
//! `docs/evidence/invariants.md` §1 says of links and connections.

use servicebus_core::engine::{Connection, ConnectionError, EngineError, Event, SendOptions, condition};
use servicebus_core::storage::{Payload, Storage};
use servicebus_core::time::Instant;
use servicebus_core::wire::frame::{self, Protocol};
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::*;
use servicebus_tests::conformance::Conformance;
use servicebus_tests::engine::{Item, Pair, Reported, Side, attach, begin, config, flow, frame, open, transfer};
use servicebus_tests::on_storages;

on_storages! {
    an_outcome_that_comes_at_once_is_not_lost: Heap Small Tiny;
    an_outcome_before_the_last_frame_ends_the_delivery_once: Heap Small Tiny;
    delivery_ids_have_no_gaps_after_messages_of_many_frames: Heap Small Tiny;
    a_window_is_renewed_without_any_link_flow: Heap Small Tiny;
    a_send_after_a_forced_detach_says_so: Heap Small Tiny;
    what_cannot_be_decoded_can_be_settled: Heap Small Tiny;
    settling_goes_on_while_a_message_comes_in: Heap Small Tiny;
    close_works_whatever_is_still_there: Heap Small Tiny;
    credit_may_come_with_the_attach: Heap Small Tiny;
    credit_may_come_before_the_answer: Heap Small Tiny;
    large_messages_are_split_at_the_peers_frame_size: Heap Small Tiny;
    a_heartbeat_is_whole_with_eight_bytes: Heap Small Tiny;
    no_credit_means_none: Heap Small Tiny;
    credit_on_a_dead_link_does_nothing: Heap Small Tiny;
    a_handle_is_free_again_after_detach: Heap Small Tiny;
    a_late_answer_finds_its_own_link: Heap Small Tiny;
    a_drain_that_crosses_a_flow_waits_for_its_own: Heap Small Tiny;
    a_second_drain_is_not_ended_by_the_first: Heap Small Tiny;
    a_drain_without_credit_is_answered: Heap Small Tiny;
    an_attach_without_a_count_begins_at_zero: Heap Small Tiny;
    an_id_that_is_used_twice_names_the_later_delivery: Heap Small Tiny;
    what_the_peer_has_settled_meanwhile_is_not_settled_again: Heap Small Tiny;
    credit_that_comes_back_is_room: Heap Small Tiny;
    a_large_message_does_not_begin_in_the_rest_of_a_buffer: Heap Small Tiny;
}

fn payload<S: Storage>(bytes: &[u8]) -> S::Payload {
    S::Payload::copy_from(bytes).expect("room")
}

fn send<S: Storage>(
    side: &mut Side<S>,
    link: servicebus_core::engine::LinkId,
    bytes: &[u8],
) -> Result<servicebus_core::engine::DeliveryId, EngineError> {
    side.connection.send(link, &payload::<S>(bytes), &SendOptions::default())
}

fn settles(role: Role, first: u32, last: Option<u32>) -> Vec<u8> {
    let state = Some(DeliveryState::ACCEPTED);
    frame(0, &Disposition { role, first, last, settled: true, state, batchable: false }, &[])
}

fn an_outcome_that_comes_at_once_is_not_lost<S: Storage>() {
    // The peer answers before the application has looked up from sending.
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &flow(0, 0, 100), &[]));
    for number in 0..50 {
        let delivery = send(&mut side, link, b"x").expect("a place");
        side.transmit();
        side.feed(&settles(Role::Receiver, number, None));
        side.poll();
        assert_eq!(side.reported(), [Reported::accepted(delivery, link)]);
        assert_eq!(side.connection.table_sizes().2, 0);
    }
}

fn an_outcome_before_the_last_frame_ends_the_delivery_once<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &Flow { next_incoming_id: Some(1), incoming_window: 2, ..flow(0, 0, 5) }, &[]));
    let delivery = send(&mut side, link, &[1; 2_000]).expect("a place");
    assert_eq!(side.transmit().names(), ["transfer", "transfer", "flow"]);
    side.feed(&settles(Role::Receiver, 0, None));
    side.feed(&settles(Role::Receiver, 0, None));
    side.poll();
    assert_eq!(side.reported(), [Reported::accepted(delivery, link)]);
    // The rest still goes, for the peer counts on it, and the next delivery is whole.
    side.feed(&frame(0, &Flow { next_incoming_id: Some(3), incoming_window: 100, ..flow(0, 1, 5) }, &[]));
    let next = send(&mut side, link, b"next").expect("a place");
    let mut last = Vec::new();
    side.transmit().each(|item| {
        if let Item::Frame(_, Performative::Transfer(transfer), payload) = item {
            last = vec![u8::from(transfer.more)];
            last.extend_from_slice(payload);
        }
    });
    assert_eq!(last, b"\0next");
    side.feed(&settles(Role::Receiver, 1, None));
    side.poll();
    assert_eq!(side.reported(), [Reported::accepted(next, link)]);
    assert_eq!(side.connection.table_sizes().2, 0);
}

fn delivery_ids_have_no_gaps_after_messages_of_many_frames<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &flow(0, 0, 100), &[]));
    let mut ids = Vec::new();
    for number in 0..10u32 {
        send(&mut side, link, &vec![1; if number % 2 == 0 { 2_000 } else { 10 }]).expect("a place");
        side.transmit().each(|item| {
            if let Item::Frame(_, Performative::Transfer(transfer), _) = item {
                ids.extend(transfer.delivery_id);
            }
        });
        side.feed(&settles(Role::Receiver, number, None));
        side.poll();
    }
    assert_eq!(ids, (0..10).collect::<Vec<_>>());
}

fn a_window_is_renewed_without_any_link_flow<S: Storage>() {
    // Credit for many messages is given once, and no flow of a link follows.
    let (mut pair, ours, theirs) = Pair::<S>::linked(11, Role::Sender);
    for round in 0..100u32 {
        if pair.server.connection.link(theirs).unwrap().credit == 0 {
            let room = pair.server.connection.grant(theirs, 100).unwrap();
            assert!(room > 0);
        }
        pair.run();
        pair.send(ours, &round.to_be_bytes());
        pair.run();
        let incoming = pair.server.connection.receive(theirs).expect("a message");
        assert_eq!(incoming.payload.as_ref(), round.to_be_bytes());
        pair.server.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    }
}

fn a_send_after_a_forced_detach_says_so<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &flow(0, 0, 1), &[]));
    send(&mut side, link, b"one").expect("a place");
    side.transmit();
    send(&mut side, link, b"waits for credit").expect("a place");
    let error = Some(ErrorCondition::new(condition::DETACH_FORCED));
    side.feed(&frame(0, &Detach { handle: 0, closed: true, error }, &[]));
    side.poll();
    assert!(side.events.contains(&Event::LinkDetached(link)));
    assert_eq!(side.transmit().names(), ["detach"]);
    assert_eq!(send(&mut side, link, b"two"), Err(EngineError::Detached));
    side.connection.forget(link);
    assert_eq!(side.connection.table_sizes(), (1, 0, 0));
}

fn what_cannot_be_decoded_can_be_settled<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &transfer(0, 0, false), &[0xff; 40]));
    let incoming = side.connection.receive(link).expect("a message");
    assert!(servicebus_core::wire::message::MessageView::parse(incoming.payload.as_ref()).is_err());
    side.connection.settle(incoming.delivery, &DeliveryState::RELEASED, true).unwrap();
    assert_eq!(side.transmit().names(), ["disposition"]);
    assert_eq!(side.connection.table_sizes().2, 0);
}

fn settling_goes_on_while_a_message_comes_in<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.feed(&frame(0, &transfer(0, 0, false), b"first"));
    side.feed(&frame(0, &transfer(0, 1, true), b"sec"));
    let first = side.connection.receive(link).expect("a message");
    assert!(side.connection.receive(link).is_none(), "the second is not whole");
    side.connection.settle(first.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    assert_eq!(side.transmit().names(), ["disposition"]);
    side.feed(&frame(0, &Transfer { delivery_id: None, ..transfer(0, 1, false) }, b"ond"));
    let second = side.connection.receive(link).expect("a message");
    assert_eq!(second.payload.as_ref(), b"second");
    side.connection.settle(second.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    assert_eq!(side.transmit().names(), ["disposition"]);
    assert_eq!(side.connection.table_sizes().2, 0);
}

fn close_works_whatever_is_still_there<S: Storage>() {
    let (mut pair, ours, theirs) = Pair::<S>::linked(12, Role::Sender);
    let session = pair.client.connection.session_of(ours).unwrap();
    let (other, other_there) = pair.attach(session, "other", Role::Receiver);
    pair.server.connection.grant(theirs, 1).unwrap();
    pair.run();
    pair.send(ours, b"unsettled");
    let options = SendOptions::default();
    let _ = pair.server.connection.send(other_there, &payload::<S>(b"without credit"), &options);
    pair.run();
    pair.client.connection.close(None);
    pair.run();
    for side in [&pair.client, &pair.server] {
        assert!(side.connection.is_closed());
        assert_eq!(side.events.last(), Some(&Event::Closed(ConnectionError::ClosedByPeer)));
    }
    assert_eq!(pair.client.connection.grant(other, 1).map(drop), Ok(()), "nothing panics afterwards");
    assert!(pair.client.transmit().0.is_empty());
}

fn credit_may_come_with_the_attach<S: Storage>() {
    // Both ends say everything before they have heard anything.
    let connection = Connection::client(config(), Instant::ZERO, None, &open("client")).unwrap();
    let mut side = Side::<S>::new(connection, 512);
    let mut checked = Conformance::default();
    let session = side.connection.begin().unwrap();
    let receiver = side.connection.attach(session, &attach("in", 0, Role::Receiver)).unwrap();
    let sender = side.connection.attach(session, &attach("out", 0, Role::Sender)).unwrap();
    side.connection.grant(receiver, 1).unwrap();
    send(&mut side, sender, b"hello").unwrap();
    let sent = side.transmit();
    assert_eq!(
        sent.names(),
        ["amqp-header", "open", "begin", "attach", "attach", "flow"],
        "the message waits for credit"
    );
    checked.check(&sent);
    let mut flows = Vec::new();
    sent.each(|item| {
        if let Item::Frame(_, Performative::Flow(flow), _) = item {
            flows.push((flow.next_incoming_id, flow.delivery_count, flow.link_credit));
        }
    });
    assert_eq!(flows, [(None, None, Some(1))], "what is not known yet is left out");
    // The server's answer, with credit and a message right behind its attaches.
    let count = u32::MAX - 1;
    side.feed(&Protocol::Amqp.header());
    side.feed(&frame(0, &open("server"), &[]));
    side.feed(&frame(0, &begin(Some(0)), &[]));
    side.feed(&frame(0, &Attach { initial_delivery_count: Some(count), ..attach("in", 0, Role::Sender) }, &[]));
    side.feed(&frame(0, &attach("out", 1, Role::Receiver), &[]));
    side.feed(&frame(0, &Flow { delivery_count: None, next_incoming_id: None, ..flow(1, 0, 1) }, &[]));
    side.feed(&frame(0, &transfer(0, 0, false), b"there"));
    assert_eq!(side.result, Ok(()));
    assert_eq!(side.connection.receive(receiver).expect("a message").payload.as_ref(), b"there");
    assert_eq!(side.transmit().names(), ["transfer"]);
    assert_eq!(side.connection.link(receiver).unwrap().credit, 0);
}

fn credit_may_come_before_the_answer<S: Storage>() {
    // A client attaches a receiver and grants credit in one write; the server's application accepts later, and begins
    // at a count of its own.
    let mut side = Side::<S>::server();
    side.feed(&frame(0, &begin(None), &[]));
    side.feed(&frame(0, &attach("link", 0, Role::Receiver), &[]));
    side.feed(&frame(0, &Flow { delivery_count: None, next_incoming_id: None, ..flow(0, 0, 2) }, &[]));
    side.poll();
    let link = side.events.iter().find_map(|event| match event {
        Event::LinkAttached(link) => Some(*link),
        _ => None,
    });
    let link = link.expect("a link");
    let count = u32::MAX;
    let answer = Attach { initial_delivery_count: Some(count), ..attach("link", 0, Role::Sender) };
    side.connection.accept_link(link, &answer).unwrap();
    assert_eq!(side.connection.link(link).unwrap().credit, 2);
    send(&mut side, link, b"one").unwrap();
    send(&mut side, link, b"two").unwrap();
    assert_eq!(side.transmit().names(), ["begin", "attach", "transfer", "transfer"]);
    assert_eq!(side.connection.link(link).unwrap().credit, 0);
    // The peer takes credit back that has been used: none is left, and none is owed.
    side.feed(&frame(0, &flow(0, count, 1), &[]));
    assert_eq!(side.connection.link(link).unwrap().credit, 0);
    // The peer has seen one of the two, and allows three from there.
    side.feed(&frame(0, &flow(0, count.wrapping_add(1), 3), &[]));
    assert_eq!(side.connection.link(link).unwrap().credit, 2);
    side.feed(&frame(0, &flow(0, count.wrapping_add(2), u32::MAX), &[]));
    assert_eq!(side.connection.link(link).unwrap().credit, u32::MAX);
}

fn large_messages_are_split_at_the_peers_frame_size<S: Storage>() {
    for max_frame_size in [512u32, 600, 1_000] {
        let connection = Connection::client(config(), Instant::ZERO, None, &open("client")).unwrap();
        let mut side = Side::<S>::new(connection, 65_536);
        let session = side.connection.begin().unwrap();
        let link = side.connection.attach(session, &attach("link", 0, Role::Sender)).unwrap();
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &Open { max_frame_size, ..open("server") }, &[]));
        side.feed(&frame(0, &begin(Some(0)), &[]));
        side.feed(&frame(0, &attach("link", 0, Role::Receiver), &[]));
        side.feed(&frame(0, &flow(0, 0, 1), &[]));
        send(&mut side, link, &[5; 3_000]).unwrap();
        let sent = side.transmit().0;
        let mut rest = &sent[..];
        let mut sizes = Vec::new();
        while let Ok(Some(frame)) = frame::Frame::parse(rest.strip_prefix(b"AMQP\0\x01\0\0").unwrap_or(rest), u32::MAX)
        {
            let skipped = if rest.starts_with(b"AMQP") { 8 } else { 0 };
            sizes.push(frame.size as u32);
            rest = &rest[skipped + frame.size..];
        }
        assert!(rest.is_empty() && sizes.iter().all(|size| *size <= max_frame_size), "{sizes:?}");
    }
}

fn a_heartbeat_is_whole_with_eight_bytes<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame::EMPTY);
    assert!(servicebus_core::storage::Buffer::filled(&side.rx).is_empty(), "taken at once");
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    assert!(side.connection.receive(link).is_some());
}

fn no_credit_means_none<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 0);
    assert_eq!(side.connection.grant(link, 0), Ok(0));
    let mut credits = Vec::new();
    side.transmit().each(|item| {
        if let Item::Frame(_, Performative::Flow(flow), _) = item {
            credits.extend(flow.link_credit);
        }
    });
    assert!(credits.iter().all(|credit| *credit == 0), "{credits:?}");
    assert_eq!(side.connection.link(link).unwrap().credit, 0);
}

fn credit_on_a_dead_link_does_nothing<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.feed(&frame(0, &Detach { handle: 0, closed: true, error: None }, &[]));
    assert_eq!(side.connection.grant(link, 5), Err(EngineError::Detached));
    assert_eq!(side.connection.drain(link), Err(EngineError::Detached));
    assert_eq!(side.transmit().names(), ["detach"]);
    side.poll();
    assert_eq!(side.events, [Event::LinkDetached(link)]);
}

fn a_handle_is_free_again_after_detach<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    let session = side.connection.session_of(link).unwrap();
    side.connection.detach(link, true, None).unwrap();
    // The peer's answer and its next attach on the same handle come in one read.
    side.connection.attach(session, &attach("second", 0, Role::Receiver)).unwrap();
    side.feed(&frame(0, &transfer(0, 0, false), b"late"));
    side.feed(&frame(0, &Detach { handle: 0, closed: true, error: None }, &[]));
    side.feed(&frame(0, &attach("second", 0, Role::Sender), &[]));
    assert_eq!(side.result, Ok(()));
    let mut handles = Vec::new();
    side.transmit().each(|item| {
        if let Item::Frame(_, Performative::Attach(attach), _) = item {
            handles.push(attach.handle);
        }
    });
    assert_eq!(handles, [1], "our own handle is in use until the detach was answered");
}

fn a_late_answer_finds_its_own_link<S: Storage>() {
    // A link whose session ended before its attach was answered must not take the answer to its successor.
    let (mut side, session) = Side::<S>::client();
    let first = side.connection.attach(session, &attach("link", 0, Role::Receiver)).unwrap();
    side.connection.end(session, None);
    side.feed(&frame(0, &End { error: None }, &[]));
    side.poll();
    assert!(side.events.contains(&Event::SessionEnded(session)));
    let session = side.connection.begin().unwrap();
    let second = side.connection.attach(session, &attach("link", 0, Role::Receiver)).unwrap();
    side.feed(&frame(0, &begin(Some(0)), &[]));
    side.feed(&frame(0, &attach("link", 0, Role::Sender), &[]));
    side.events.clear();
    side.poll();
    assert!(side.events.contains(&Event::LinkAttached(second)) && !side.events.contains(&Event::LinkAttached(first)));
    assert!(side.connection.link(second).unwrap().attached);
}

fn a_drain_that_crosses_a_flow_waits_for_its_own<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.connection.drain(link).unwrap();
    side.transmit();
    // The sender had announced what it has before it saw any credit.
    side.feed(&frame(0, &Flow { available: Some(7), ..flow(0, 0, 0) }, &[]));
    side.poll();
    assert!(!side.events.contains(&Event::Drained(link)));
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    side.feed(&frame(0, &Flow { drain: true, ..flow(0, 2, 0) }, &[]));
    assert_eq!(side.result, Ok(()));
    side.poll();
    assert!(side.events.contains(&Event::Drained(link)));
    assert!(side.connection.receive(link).is_some());
}

fn a_second_drain_is_not_ended_by_the_first<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 1);
    side.connection.drain(link).unwrap();
    side.transmit();
    // All of the credit is used by a message; whether a flow follows is the sender's affair.
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    side.poll();
    assert!(side.events.contains(&Event::Drained(link)), "without a flow");
    side.events.clear();
    side.connection.receive(link).unwrap();
    side.connection.grant(link, 1).unwrap();
    side.connection.drain(link).unwrap();
    side.transmit();
    side.feed(&frame(0, &Flow { drain: true, ..flow(0, 1, 0) }, &[]));
    side.poll();
    assert!(!side.events.contains(&Event::Drained(link)), "that was the answer to the first");
    side.feed(&frame(0, &transfer(0, 1, false), b"y"));
    assert_eq!(side.result, Ok(()));
    side.poll();
    assert!(side.events.contains(&Event::Drained(link)) && side.connection.link(link).unwrap().attached);
}

fn a_drain_without_credit_is_answered<S: Storage>() {
    // As the Python SDK drains: credit zero and drain in one flow (docs/evidence/wire-protocol.md §4.3), while messages
    // wait.
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    send(&mut side, link, b"waits").unwrap();
    side.feed(&frame(0, &Flow { drain: true, ..flow(0, 0, 0) }, &[]));
    side.poll();
    assert!(side.events.contains(&Event::DrainRequested(link)));
    side.connection.drained(link).unwrap();
    let mut flows = Vec::new();
    side.transmit().each(|item| {
        if let Item::Frame(_, Performative::Flow(flow), _) = item {
            flows.push((flow.delivery_count, flow.link_credit, flow.drain));
        }
    });
    assert_eq!(flows, [(Some(0), Some(0), true)]);
    assert!(!side.connection.link(link).expect("a link").draining, "it is over");
    // Credit that comes later is used.
    side.feed(&frame(0, &flow(0, 0, 1), &[]));
    assert_eq!(side.transmit().names(), ["transfer"]);
}

fn an_attach_without_a_count_begins_at_zero<S: Storage>() {
    let (mut side, session) = Side::<S>::client();
    let link = side.connection.attach(session, &attach("link", 0, Role::Receiver)).unwrap();
    side.connection.grant(link, 1).unwrap();
    side.feed(&frame(0, &Attach { initial_delivery_count: None, ..attach("link", 0, Role::Sender) }, &[]));
    side.feed(&frame(0, &transfer(0, 0, false), b"x"));
    assert_eq!(side.connection.receive(link).expect("a message").payload.as_ref(), b"x");
}

fn an_id_that_is_used_twice_names_the_later_delivery<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.feed(&frame(0, &transfer(0, 5, false), b"first"));
    side.feed(&frame(0, &transfer(0, 5, false), b"second"));
    let first = side.connection.receive(link).expect("a message");
    let second = side.connection.receive(link).expect("a message");
    // The end of the first one leaves the number to the second.
    side.connection.settle(first.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    assert_eq!(side.transmit().names(), ["disposition"]);
    side.feed(&settles(Role::Sender, 5, None));
    assert_eq!(side.reported(), [Reported::accepted(second.delivery, link)]);
    assert_eq!(side.connection.table_sizes().2, 0);
}

fn what_the_peer_has_settled_meanwhile_is_not_settled_again<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.feed(&frame(0, &transfer(0, 0, false), b"first"));
    let first = side.connection.receive(link).expect("a message");
    side.connection.settle(first.delivery, &DeliveryState::ACCEPTED, true).unwrap();
    // The peer's own settlement crosses it, and its number may be another delivery's from now on.
    side.feed(&settles(Role::Sender, 0, None));
    assert!(side.transmit().0.is_empty());
    assert_eq!(side.connection.table_sizes().2, 0);
}

fn credit_that_comes_back_is_room<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Receiver, 2);
    side.connection.drain(link).unwrap();
    side.transmit();
    side.connection.take_freed();
    side.feed(&frame(0, &Flow { drain: true, ..flow(0, 2, 0) }, &[]));
    assert!(side.connection.take_freed(), "its places are free for others");
}

fn a_large_message_does_not_begin_in_the_rest_of_a_buffer<S: Storage>() {
    let (mut side, link) = Side::<S>::linked(Role::Sender, 0);
    side.feed(&frame(0, &flow(0, 0, 2), &[]));
    send(&mut side, link, &[1; 100]).expect("a place");
    send(&mut side, link, &[2; 1_500]).expect("a place");
    let mut pieces = Vec::new();
    side.transmit().each(|item| {
        if let Item::Frame(_, Performative::Transfer(transfer), payload) = item {
            pieces.push((transfer.more, payload.len()));
        }
    });
    assert_eq!((pieces.len(), pieces[0]), (5, (false, 100)), "{pieces:?}");
    assert!(pieces[1..4].iter().all(|(more, size)| *more && *size > 450), "a frame of 512 bytes is full: {pieces:?}");
}
