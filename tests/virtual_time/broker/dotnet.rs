//! What the official SDK for .NET sends (`docs/evidence/data/dotnet-wire`), replayed frame for frame and chopped anyhow:
//! the broker answers as the SDK expects, whatever the cuts.

use servicebus_core::engine::ConnectionError;
use servicebus_core::random::Random;
use servicebus_core::servicebus::administration::{Headers, Method, Request};
use servicebus_core::storage::Buffer as _;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_core::wire::frame::{Frame, Kind};
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, Clock, ConnectionId};
use servicebus_tests::evidence;
use std::collections::BTreeMap;

/// Tokens of the recordings are valid around 2026-11-29 11:00 UTC.
const RECORDED: Timestamp = Timestamp::from_secs(1_795_950_000);

/// Bytes of the client, or of the emulator of that day.
#[derive(Clone, Debug)]
struct Chunk {
    is_sent: bool,
    bytes: Vec<u8>,
}

fn chunks(mut recording: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some((&direction, rest)) = recording.split_first() {
        let (length, rest) = rest.split_first_chunk().expect("a length");
        let (bytes, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        chunks.push(Chunk { is_sent: direction == b'>', bytes: bytes.to_vec() });
        recording = rest;
    }
    chunks
}

/// Recordings by scenario: each has the chunks of its connections, in order.
fn scenarios(of_administration: bool) -> BTreeMap<String, Vec<Vec<Chunk>>> {
    let mut scenarios: BTreeMap<String, Vec<Vec<Chunk>>> = BTreeMap::new();
    for (file, bytes) in evidence::files(&evidence::fixture("dotnet-wire")) {
        let Some(name) = file.strip_suffix(".rec").and_then(|name| name.rsplit_once('.')).map(|(name, _)| name) else {
            continue;
        };
        if name.starts_with("admin-") == of_administration {
            scenarios.entry(name.to_owned()).or_default().push(chunks(&bytes));
        }
    }
    scenarios
}

/// Takes a WebSocket apart: the chunks of AMQP that it carried.
fn unframed(chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut rest = [Vec::new(), Vec::new()];
    let mut upgraded = [false, false];
    let mut all = Vec::new();
    for Chunk { is_sent, bytes } in chunks {
        let side = usize::from(is_sent);
        rest[side].extend(bytes);
        if !upgraded[side] {
            let Some(end) = rest[side].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            rest[side].drain(..end + 4);
            upgraded[side] = true;
        }
        let mut carried = Vec::new();
        while let [kind, short, after @ ..] = &rest[side][..] {
            let (length, head) = match (short & 0x7f, after) {
                (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
                (126.., _) => break,
                (short, _) => (usize::from(short), 2),
            };
            let masked = if short & 0x80 == 0 { 0 } else { 4 };
            let Some(frame) = rest[side].get(head..head + masked + length) else { break };
            let (mask, payload) = frame.split_at(masked);
            if kind & 0x0f == 2 {
                let mask = |at: usize| mask.get(at % 4).copied().unwrap_or(0);
                carried.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask(at)));
            }
            rest[side].drain(..head + masked + length);
        }
        if !carried.is_empty() {
            all.push(Chunk { is_sent, bytes: carried });
        }
    }
    all
}

/// The frames of a stream, behind its protocol headers: channel and body, without empty ones.
fn frames(mut bytes: &[u8]) -> Vec<(Kind, u16, Vec<u8>)> {
    let mut frames = Vec::new();
    while bytes.len() >= 8 {
        if bytes.starts_with(b"AMQP") {
            bytes = &bytes[8..];
            continue;
        }
        let frame = Frame::parse(bytes, u32::MAX).expect("a frame").expect("a whole frame");
        if !frame.body.is_empty() {
            frames.push((frame.kind, frame.channel, frame.body.to_vec()));
        }
        bytes = &bytes[frame.size..];
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    frames
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// What the client sees of a frame: its performative, and the outcome, the status or the error in it.
fn summary(channel: u16, body: &[u8]) -> String {
    let code = body.get(2).copied().unwrap_or(0);
    let rest = body.get(3..).unwrap_or_default();
    let (name, known): (_, &[(&str, u8)]) = match code {
        0x10 => ("open", &[]),
        0x11 => ("begin", &[]),
        0x12 => ("attach", &[]),
        0x13 => ("flow", &[]),
        0x14 => ("transfer", &[]),
        0x15 => (
            "disposition",
            &[("accepted", 0x24), ("rejected", 0x25), ("released", 0x26), ("modified", 0x27), ("declared", 0x33)],
        ),
        0x16 => ("detach", &[("error", 0x1d)]),
        0x17 => ("end", &[("error", 0x1d)]),
        0x18 => ("close", &[("error", 0x1d)]),
        _ => ("other", &[]),
    };
    let mut text = format!("{channel} {name}");
    for (word, code) in known {
        if find(rest, &[0x00, 0x53, *code]).is_some() {
            text.push_str(&format!(" {word}"));
        }
    }
    for key in ["statusCode", "status-code"] {
        if let Some(at) = find(rest, key.as_bytes()).filter(|_| code == 0x14) {
            let status = match &rest[at + key.len()..] {
                [0x54, status, ..] => u32::from(*status),
                [0x71, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
                _ => 0,
            };
            text.push_str(&format!(" {status}"));
        }
    }
    text
}

/// Frames that the client counts on. Flows and the cut of a large message into transfers may differ.
fn summaries(bytes: &[u8]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for (kind, channel, body) in frames(bytes) {
        if kind == Kind::Amqp && body.get(2) != Some(&0x13) {
            *all.entry(summary(channel, &body)).or_default() += 1;
        }
    }
    all
}

/// Identifiers that the broker makes: the delivery tags of 16 bytes, which are lock tokens, those in answers of
/// `$management`, and ids of transactions.
fn identifiers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (kind, _, body) in frames(bytes) {
        let start = match (kind, body.get(2)) {
            (Kind::Amqp, Some(0x14)) => find(&body, &[0xa0, 16]).filter(|at| *at < 24),
            (Kind::Amqp, Some(0x15)) => find(&body, &[0x00, 0x53, 0x33]).map(|at| at + 6),
            _ => None,
        };
        let mut rest = body.as_slice();
        while let Some(at) = find(rest, b"lock-token\x98") {
            found.push(swapped(&rest[at + 11..at + 27]));
            rest = &rest[at + 27..];
        }
        if let Some(start) = start {
            let length = usize::from(body[start + 1]);
            found.push(body[start + 2..start + 2 + length].to_vec());
        }
    }
    found
}

/// A lock token as a UUID, in the order of its text, from a delivery tag, and back: .NET keeps three of its fields the
/// other way round.
fn swapped(tag: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    if bytes.len() == 16 {
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
    }
    bytes
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "identifiers have one length");
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], from) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
}

/// A broker as it was when it was recorded.
fn broker(clock: Clock) -> Broker {
    Emulator::builder()
        .queue("q")
        .queue_with("s", QueueDescription { requires_session: true, ..QueueDescription::default() })
        .topic("t")
        .subscription("sub")
        .seed(7)
        .broker(clock)
        .expect("entities")
}

/// Replays a connection; what the broker wrote, and whether it was closed in the end.
fn replay(broker: &mut Broker, clock: Clock, recorded: &[Chunk], mut size: impl FnMut() -> usize) -> (Vec<u8>, bool) {
    let id: ConnectionId = broker.connect(clock).expect("room");
    let (mut rx, mut tx) = (Broker::rx(), Broker::tx());
    let (mut then, mut now) = (Vec::new(), Vec::new());
    for chunk in recorded {
        if !chunk.is_sent {
            then.extend(&chunk.bytes);
            continue;
        }
        let mut bytes = chunk.bytes.clone();
        for (from, to) in identifiers(&then).iter().zip(identifiers(&now)) {
            replace(&mut bytes, from, &to);
            replace(&mut bytes, &swapped(from), &swapped(&to));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let spare = rx.spare();
            let count = size().clamp(1, rest.len()).min(spare.len());
            spare[..count].copy_from_slice(&rest[..count]);
            rx.commit(count);
            rest = &rest[count..];
            match broker.handle_input(id, clock, &mut rx) {
                Ok(()) | Err(ConnectionError::ClosedByPeer) => {}
                Err(error) => panic!("the SDK speaks AMQP: {error}"),
            }
        }
        while broker.poll_transmit(id, clock, &mut tx) || !tx.filled().is_empty() {
            now.extend(tx.filled());
            tx.clear();
        }
    }
    let closed = broker.is_closed(id);
    broker.disconnect(id, clock);
    (now, closed)
}

/// The scenarios in the order in which they were recorded, on one broker.
const ORDER: [&str; 31] = [
    "send-one",
    "send-batch",
    "send-all-fields",
    "send-value-bodies",
    "schedule-cancel",
    "receive-complete",
    "receive-settlements",
    "receive-and-delete",
    "receive-prefetch",
    "peek",
    "defer",
    "renew-lock",
    "dead-letter-queue",
    "session-named",
    "session-next",
    "session-state-renew",
    "session-non-exclusive",
    "session-list",
    "processor",
    "session-processor",
    "rules",
    "transaction-one-entity",
    "transaction-cross-entity",
    "delete-messages",
    "subscription",
    "sas-signature",
    "identifiers",
    "large-message",
    "missing-entity",
    "wrong-key",
    "websockets",
];

/// Scenarios whose answers have changed since, with the row that changed them.
const MENDED: [(&str, &str); 1] = [("session-non-exclusive", "F68: refused then")];

/// Scenarios that meet what others left: how much of it there is depends on pauses that were not recorded, so their
/// transfers are not counted.
const OF_LEFTOVERS: [&str; 2] = ["delete-messages", "large-message"];

/// When a connection was recorded: its first token ends half an hour later. Some tokens live longer.
fn recorded_at(chunks: &[Chunk], before: Timestamp) -> Timestamp {
    let sent: Vec<u8> = chunks.iter().filter(|chunk| chunk.is_sent).flat_map(|chunk| chunk.bytes.clone()).collect();
    let end = find(&sent, b"&se=").map(|at| &sent[at + 4..at + 14]);
    let end = end.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).map(Timestamp::from_secs);
    match end.map(|end| end - Duration::from_secs(1_800)) {
        Some(at) if at > before && at < before + Duration::from_secs(120) => at,
        _ => before,
    }
}

/// Replays every scenario: its name, what the client counts on of the answers then and now, and the bytes of now.
type Replayed = (String, BTreeMap<String, usize>, BTreeMap<String, usize>, Vec<u8>);

fn replay_all(scenarios: &BTreeMap<String, Vec<Vec<Chunk>>>, mut size: impl FnMut() -> usize) -> Vec<Replayed> {
    let mut utc = RECORDED - Duration::from_secs(60);
    let mut broker = broker(Clock { now: Instant::ZERO, utc });
    let mut clock = Clock { now: Instant::ZERO, utc };
    let mut all = Vec::new();
    for name in ORDER {
        for (number, connection) in scenarios[name].iter().enumerate() {
            utc = recorded_at(connection, utc);
            clock = clock.after(Duration::from_millis(utc.as_millis().abs_diff(clock.utc.as_millis())));
            broker.handle_timeout(clock);
            let (now, closed) = replay(&mut broker, clock, connection, &mut size);
            assert!(closed, "{name}: the client's close is answered");
            let then = connection.iter().filter(|chunk| !chunk.is_sent);
            let then: Vec<u8> = then.flat_map(|chunk| chunk.bytes.clone()).collect();
            all.push((format!("{name}.{}", number + 1), summaries(&then), summaries(&now), now));
        }
    }
    all
}

/// Cuts do not show in what the broker writes, but for the identifiers that it makes: a message that is offered and taken
/// back between two pieces of a chunk has used one up.
fn same(whole: &[Replayed], other: &[Replayed], cut: &str) {
    let shape = |bytes: &[u8]| -> Vec<(String, usize)> {
        frames(bytes).iter().map(|(_, channel, body)| (summary(*channel, body), body.len())).collect()
    };
    for ((name, _, _, one), (_, _, _, other)) in whole.iter().zip(other) {
        assert_eq!(shape(one), shape(other), "{name}, {cut}");
    }
}

#[test]
fn what_the_sdk_for_dotnet_sends_is_answered_as_it_expects_f68() {
    let mut scenarios = scenarios(false);
    assert_eq!(scenarios.len(), ORDER.len());
    for connection in scenarios.get_mut("websockets").into_iter().flatten() {
        *connection = unframed(core::mem::take(connection));
    }
    let mut whole = replay_all(&scenarios, || usize::MAX);
    same(&whole, &replay_all(&scenarios, || 1), "byte by byte");
    for seed in 0..5 {
        let mut random = Random::seeded(seed);
        let chopped = replay_all(&scenarios, || 1 + random.below(90) as usize);
        same(&whole, &chopped, &format!("chopped with seed {seed}"));
    }
    let mut wrong = Vec::new();
    for (name, then, now, _) in &mut whole {
        if OF_LEFTOVERS.iter().any(|of_leftovers| name.starts_with(of_leftovers)) {
            assert!(now.keys().all(|text| !text.contains(" 4") && !text.contains("error")), "{name}: {now:?}");
            for summaries in [&mut *then, &mut *now] {
                summaries.retain(|text, _| !text.contains(" transfer"));
            }
        }
        if MENDED.iter().any(|(mended, _)| name.starts_with(mended)) {
            assert!(!now.keys().any(|text| text.contains("detach error")), "{name}: {now:?}");
        } else if then != now {
            let only = |one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>| {
                let differing = one.iter().filter(|(text, count)| other.get(*text) != Some(*count));
                differing.map(|(text, count)| format!("{count} × {text}")).collect::<Vec<_>>()
            };
            wrong.push(format!("{name}: then {:?}, now {:?}", only(then, now), only(now, then)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One request of a recording.
fn request(bytes: &[u8]) -> Request {
    let end = find(bytes, b"\r\n\r\n").expect("the end of the head");
    let head = std::str::from_utf8(&bytes[..end]).expect("text");
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let method = match words.next() {
        Some("GET") => Method::Get,
        Some("PUT") => Method::Put,
        Some("DELETE") => Method::Delete,
        other => panic!("{other:?}"),
    };
    let path_and_query = words.next().unwrap_or_default().to_owned();
    let mut headers = Headers::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.push(name, value);
    }
    Request { method, path_and_query, headers, body: bytes[end + 4..].to_vec() }
}

/// Statuses that have changed since they were recorded, with the row that changed them.
const OTHER_STATUS: [(&str, &str, u16, &str); 2] = [
    ("admin-errors", "/events/$DeadLetterQueue", 400, "F73: an empty list then"),
    ("admin-errors", "/mdc", 201, "F10: a maximum of 2147483647 was refused then"),
];

#[test]
fn what_the_administration_client_for_dotnet_sends_is_answered_as_it_expects() {
    let clock = Clock { now: Instant::ZERO, utc: RECORDED };
    let mut broker = Emulator::builder().seed(7).broker(clock).expect("no entities");
    let scenarios = scenarios(true);
    assert_eq!(scenarios.len(), 7);
    let mut wrong = Vec::new();
    // They were recorded one after the other, on one namespace.
    for name in ["queue", "topic", "subscription", "rules", "lists-and-runtime", "errors", "namespace"] {
        let name = format!("admin-{name}");
        for chunks in &scenarios[&name] {
            for pair in chunks.chunks(2) {
                let [sent, answered] = pair else { panic!("{name}: a request without an answer") };
                let request = request(&sent.bytes);
                let status: u16 =
                    std::str::from_utf8(&answered.bytes[9..12]).expect("digits").parse().expect("a status");
                let response = broker.manage(clock, "http", &request);
                let path = request.path_and_query.split('?').next().unwrap_or_default();
                let mended = OTHER_STATUS.iter().find(|(of, at, ..)| *of == name && *at == path);
                let right = mended.map_or(status, |(_, _, status, _)| *status);
                // Until it is mended, the status of then is as good.
                if response.status != right && response.status != status {
                    let text = String::from_utf8_lossy(&response.body).into_owned();
                    wrong.push(format!(
                        "{name} {:?} {path}: {status} then, {} now: {text}",
                        request.method, response.status
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
