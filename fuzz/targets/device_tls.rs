//! The whole TLS client of a device, against a server whose handshake is right until it is changed: messages, records and
//! lengths, before the device knows the server and behind the handshake. No panic, and no connection whose handshake was
//! changed.
#![no_main]

// The server of the tests, and what it is linked with.
#[allow(dead_code)]
#[path = "../../tests/virtual_time/device_faults/forged.rs"]
mod forged;
#[allow(dead_code)]
#[path = "../../tests/virtual_time/device_faults/tls_server.rs"]
mod tls_server;

use arbitrary::Arbitrary;
use critical_section as _;
use embassy_time as _;
use forged::{HANDSHAKE, Script, Sent, inner};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::sync::Once;
use tls_server::{Attempt, Chain, Ended};

/// A change of bytes, at a place that is taken modulo their number.
#[derive(Arbitrary, Clone, Debug)]
enum Edit {
    Turn(u16, u8),
    Remove(u16, u8),
    Insert(u16, Vec<u8>),
    /// Bytes that are there come again.
    Repeat(u16, u8),
    Cut(u16),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &u16, length: usize| usize::from(*at) % length.max(1);
        match self {
            Self::Turn(at, bits) => {
                let at = place(at, bytes.len());
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Self::Remove(at, count) | Self::Repeat(at, count) => {
                let at = place(at, bytes.len());
                let end = (at + usize::from(*count)).min(bytes.len());
                let removed: Vec<u8> = bytes.splice(at..end, []).collect();
                if matches!(self, Self::Repeat(..)) {
                    bytes.splice(at..at, removed.repeat(2));
                }
            }
            Self::Insert(at, more) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(place(at, bytes.len())),
        }
    }
}

/// A record that the server adds.
#[derive(Arbitrary, Clone, Debug)]
enum Extra {
    Raw(Vec<u8>),
    /// With a header of a kind, and the length of its body.
    Plain(u8, Vec<u8>),
    Sealed(Vec<u8>),
    Content(Vec<u8>, u8),
}

impl Extra {
    fn sent(&self) -> Sent {
        match self {
            Self::Raw(bytes) => Sent::Raw(bytes.clone()),
            Self::Plain(kind, body) => {
                let mut record = vec![*kind, 3, 3];
                record.extend_from_slice(&(body.len() as u16).to_be_bytes());
                record.extend_from_slice(body);
                Sent::Raw(record)
            }
            Self::Sealed(plaintext) => Sent::Sealed(plaintext.clone()),
            Self::Content(content, kind) => inner(content, *kind),
        }
    }
}

impl Extra {
    /// Whether it is a part of the handshake's messages, which the client has to notice.
    fn is_handshake(&self) -> bool {
        let Sent::Sealed(plaintext) = self.sent() else { return false };
        let end = plaintext.iter().rposition(|byte| *byte != 0);
        end.is_some_and(|end| end > 0 && plaintext[end] == HANDSHAKE)
    }
}

#[derive(Arbitrary, Debug)]
struct Attack {
    intermediates: u8,
    hello: Vec<Edit>,
    flight: Vec<Edit>,
    /// How the flight is spread over records; all of it in one when there are none.
    records: Vec<u16>,
    /// Between the records of the flight.
    between: Vec<(u8, Extra)>,
    after: Vec<Extra>,
    small_buffer: bool,
}

thread_local! {
    static CHAINS: [&'static Chain; 4] =
        core::array::from_fn(|intermediates| &*Box::leak(Box::new(Chain::new(intermediates, |_, params| params))));
}

impl Attack {
    /// What made a device panic (docs/evidence/field-reports.md, D1): a record with nothing in it before the server is
    /// authenticated, and behind the handshake; a message that no server sends there.
    fn recorded() -> [Self; 3] {
        let calm = || Self {
            intermediates: 0,
            hello: Vec::new(),
            flight: Vec::new(),
            records: Vec::new(),
            between: Vec::new(),
            after: Vec::new(),
            small_buffer: false,
        };
        [
            Self { between: vec![(0, Extra::Sealed(Vec::new()))], ..calm() },
            Self { after: vec![Extra::Sealed(Vec::new())], ..calm() },
            Self { after: vec![Extra::Content(vec![24, 0, 0, 1, 0], HANDSHAKE)], ..calm() },
        ]
    }
}

static RECORDED: Once = Once::new();

fuzz_target!(|attack: Attack| {
    RECORDED.call_once(|| Attack::recorded().iter().for_each(run));
    run(&attack);
});

fn run(attack: &Attack) {
    let chain = CHAINS.with(|chains| chains[usize::from(attack.intermediates) % chains.len()]);
    let changed = Cell::new(false);
    let edit = |edits: &[Edit], bytes: &[u8]| {
        let mut edited = bytes.to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut edited));
        edited
    };
    let hello = |record: &[u8]| edit(&attack.hello, record);
    let flight = |bytes: &[u8]| {
        let edited = edit(&attack.flight, bytes);
        changed.set(edited != bytes);
        let mut rest = &edited[..];
        let mut sent = Vec::new();
        for length in &attack.records {
            let (record, behind) = rest.split_at(usize::from(*length).min(rest.len()));
            rest = behind;
            sent.push(inner(record, HANDSHAKE));
        }
        // No record is longer than 16 KiB.
        sent.extend(rest.chunks(16_000).map(|record| inner(record, HANDSHAKE)));
        for (at, extra) in &attack.between {
            changed.set(changed.get() || extra.is_handshake());
            sent.insert(usize::from(*at) % (sent.len() + 1), extra.sent());
        }
        sent
    };
    let mut attempt = Attempt::new(chain);
    attempt.hello = &hello;
    attempt.script = Script { flight: &flight, after: attack.after.iter().map(Extra::sent).collect() };
    if attack.small_buffer {
        attempt.buffer = 1_024;
    }
    match attempt.run() {
        Ended::Panicked(text) => panic!("{text}"),
        // A hello may be changed where it means nothing: in the version of its record (RFC 8446 §5.1).
        Ended::Opened(_) => assert!(!changed.get(), "a flight that was changed is taken"),
        Ended::Refused(..) | Ended::Failed(_) | Ended::Waits => {}
    }
}
