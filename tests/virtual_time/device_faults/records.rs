//! Records and handshake messages that a server can send, before it is authenticated and after.

use crate::forged::{
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Flight, HANDSHAKE, Hello, Script, Sent, inner, whole,
};
use crate::tls_server::{Attempt, Chain, Ended};

/// Inner plaintexts with less in them than a message has.
fn short() -> Vec<(String, Sent)> {
    let mut found: Vec<(String, Sent)> = vec![("an empty inner plaintext".into(), Sent::Sealed(Vec::new()))];
    for padding in [1, 2, 16, 255] {
        found.push((format!("{padding} bytes of padding only"), Sent::Sealed(vec![0; padding])));
    }
    for kind in [0, 1, CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, 24, 255] {
        for length in 0..=20 {
            found.push((format!("{length} bytes of type {kind}"), inner(&vec![1; length], kind)));
        }
    }
    // Shorter than a tag, and bytes that are no ciphertext.
    for length in 0..=33 {
        for kind in [APPLICATION_DATA, HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, 24, 0] {
            let mut record = vec![kind, 3, 3, 0, length];
            record.resize(5 + usize::from(length), 7);
            found.push((format!("a bare record of type {kind} and {length} bytes"), Sent::Raw(record)));
        }
    }
    found
}

#[test]
fn no_short_record_of_a_server_without_a_certificate_panics_d1() {
    let chain = Chain::plain();
    for (name, sent) in short() {
        let flight = |_: &[u8]| vec![sent.clone()];
        let script = Script { flight: &flight, after: Vec::new() };
        let ended = Attempt { script, ..Attempt::new(&chain) }.run();
        assert!(!matches!(ended, Ended::Panicked(_)), "{name}: {ended:?}");
    }
}

#[test]
fn no_short_record_behind_the_handshake_panics_d1() {
    let chain = Chain::plain();
    for (name, sent) in short() {
        let script = Script { flight: &whole, after: vec![sent] };
        let ended = Attempt { script, ..Attempt::new(&chain) }.run();
        assert!(!matches!(ended, Ended::Panicked(_)), "{name}: {ended:?}");
    }
}

/// The messages of a flight.
fn messages(mut flight: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !flight.is_empty() {
        let length = 4 + u32::from_be_bytes([0, flight[1], flight[2], flight[3]]) as usize;
        found.push(&flight[..length]);
        flight = &flight[length..];
    }
    found
}

/// A handshake message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, body.len() as u8], body].concat()
}

#[test]
fn no_message_behind_the_handshake_panics_d1() {
    let chain = Chain::plain();
    let mut hello = vec![3, 3];
    hello.resize(34, 5);
    // No session id, AES-128-GCM with SHA-256, no extensions.
    hello.extend_from_slice(&[0, 0x13, 1, 0, 0, 0]);
    // An extension with one signature scheme.
    let request = [0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let messages = [
        ("HelloRequest", message(0, &[])),
        ("ServerHello", message(2, &hello)),
        ("NewSessionTicket", message(4, &[0, 0, 0, 9, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0])),
        ("EndOfEarlyData", message(5, &[])),
        ("EncryptedExtensions", message(8, &[0, 0])),
        ("Certificate", message(11, &[0, 0, 0, 0])),
        ("CertificateRequest", message(13, &request)),
        ("CertificateVerify", message(15, &[4, 3, 0, 4, 1, 2, 3, 4])),
        ("Finished", message(20, &[7; 32])),
        ("KeyUpdate", message(24, &[0])),
        ("KeyUpdate that asks for one", message(24, &[1])),
        ("message_hash", message(254, &[7; 32])),
        ("a length without a body", vec![4, 0, 0, 40]),
    ];
    for (name, bytes) in messages {
        let script = Script { flight: &whole, after: vec![inner(&bytes, HANDSHAKE)] };
        let ended = Attempt { script, ..Attempt::new(&chain) }.run();
        assert!(!matches!(ended, Ended::Panicked(_)), "{name}: {ended:?}");
    }
}

/// A ticket says how long it is twice: as a message, and by its fields. What lies behind its fields is part of it.
#[test]
fn tickets_are_passed_over_d1() {
    let chain = Chain::plain();
    let fields = [0, 0, 0, 9, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0];
    let hidden = [&fields[..], &message(8, &[0, 0])].concat();
    for (name, tickets) in [
        ("one", message(4, &fields)),
        ("two in a record", message(4, &fields).repeat(2)),
        ("a message behind its fields", message(4, &hidden)),
        ("no fields", message(4, &[])),
    ] {
        let after = vec![inner(&tickets, HANDSHAKE), inner(&tickets, HANDSHAKE), inner(b"data", APPLICATION_DATA)];
        let script = Script { flight: &whole, after };
        assert_eq!(Attempt { script, ..Attempt::new(&chain) }.run(), Ended::Opened(Some(4)), "{name}");
    }
}

#[test]
fn tickets_may_lie_in_several_records_d9() {
    let chain = Chain::plain();
    let run = |after: Vec<Sent>, buffer| {
        let script = Script { flight: &whole, after };
        Attempt { script, buffer, ..Attempt::new(&chain) }.run()
    };
    let parts = |bytes: &[u8], size| -> Vec<Sent> { bytes.chunks(size).map(|part| inner(part, HANDSHAKE)).collect() };
    let tickets = [message(4, &[7; 200]), message(4, &[]), message(4, &[9; 30])].concat();
    for size in (1..20).chain([50, 203, 204, 205, 206, 300]) {
        for buffer in [1_000, 16_640, 70_000] {
            let mut after = parts(&tickets, size);
            after.push(inner(b"data", APPLICATION_DATA));
            assert_eq!(run(after, buffer), Ended::Opened(Some(4)), "{size} bytes in each, a buffer of {buffer}");
        }
    }
    let long = [&[4, 0, 4, 0][..], &[7; 1_024]].concat();
    assert!(matches!(run(parts(&long, 100), 1_000), Ended::Failed(_)), "a ticket that does not fit");
    for (name, between) in [
        ("an alert", inner(&[1, 90], ALERT)),
        ("data", inner(b"data", APPLICATION_DATA)),
        ("no content", inner(&[], HANDSHAKE)),
    ] {
        let [first, second] = [&tickets[..10], &tickets[10..]].map(|part| inner(part, HANDSHAKE));
        let ended = run(vec![first, between, second, inner(b"data", APPLICATION_DATA)], 16_640);
        assert!(matches!(ended, Ended::Failed(_)), "{name} between the parts of a ticket: {ended:?}");
    }
    // Another message, whole or its first byte, behind a part of a ticket's message.
    for kind in [0, 1, 8, 24] {
        let bytes = [message(4, &[7; 20]), message(kind, &[0])].concat();
        for size in [1, 23, 24, 25, 40] {
            let ended = run(parts(&bytes, size), 16_640);
            assert!(matches!(ended, Ended::Failed(_)), "message {kind}, {size} bytes in each: {ended:?}");
        }
    }
}

/// A plain alert behind the handshake is nobody's: it could end a connection that it does not belong to.
#[test]
fn plain_records_behind_the_handshake_are_refused_d1() {
    let chain = Chain::plain();
    for record in [[ALERT, 3, 3, 0, 2, 1, 0], [CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1, 0], [HANDSHAKE, 3, 3, 0, 2, 4, 0]] {
        let script = Script { flight: &whole, after: vec![Sent::Raw(record.to_vec())] };
        let ended = Attempt { script, ..Attempt::new(&chain) }.run();
        assert_eq!(ended, Ended::Failed("Io(InvalidData)".into()), "a record of type {}", record[0]);
    }
}

/// Every message of the flight cut short, and the lengths in it changed.
#[test]
fn a_flight_that_is_cut_or_damaged_does_not_panic_d1() {
    let chain = Chain::plain();
    for at in (0..700).step_by(5) {
        for damage in [None, Some(0x01), Some(0xff)] {
            let flight = |flight: &[u8]| {
                let mut bytes = flight.to_vec();
                let at = at.min(bytes.len() - 1);
                match damage {
                    None => bytes.truncate(at),
                    Some(mask) => bytes[at] ^= mask,
                }
                vec![inner(&bytes, HANDSHAKE)]
            };
            let script = Script { flight: &flight, after: Vec::new() };
            let ended = Attempt { script, ..Attempt::new(&chain) }.run();
            assert!(!matches!(ended, Ended::Panicked(_)), "byte {at}, {damage:?}: {ended:?}");
        }
    }
}

#[test]
fn handshake_messages_may_lie_in_several_records_d9() {
    let chain = Chain::new(2, |_, params| params);
    let run = |flight: Flight<'_>, buffer| {
        let script = Script { flight, after: vec![inner(b"data", APPLICATION_DATA)] };
        Attempt { script, buffer, ..Attempt::new(&chain) }.run()
    };
    let flight = |flight: &[u8]| messages(flight).iter().map(|message| inner(message, HANDSHAKE)).collect();
    assert_eq!(run(&flight, 16_640), Ended::Opened(Some(4)), "one message in each");
    for size in [1, 3, 16, 100, 256, 400, 512] {
        let flight = |flight: &[u8]| flight.chunks(size).map(|chunk| inner(chunk, HANDSHAKE)).collect();
        for buffer in [2_500, 16_640, 70_000] {
            assert_eq!(run(&flight, buffer), Ended::Opened(Some(4)), "{size} bytes in each, a buffer of {buffer}");
        }
        assert!(matches!(run(&flight, 1_000), Ended::Failed(_)), "{size} bytes in each: the chain does not fit");
    }
    // For the middleboxes, wherever it is.
    let flight = |flight: &[u8]| {
        let record = Sent::Raw(vec![CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1]);
        flight.chunks(100).flat_map(|chunk| [record.clone(), inner(chunk, HANDSHAKE)]).collect()
    };
    assert_eq!(run(&flight, 16_640), Ended::Opened(Some(4)), "with a ChangeCipherSpec before each");
    for (name, between) in [
        ("an alert", inner(&[1, 90], ALERT)),
        ("data", inner(b"data", APPLICATION_DATA)),
        ("no content", inner(&[], HANDSHAKE)),
    ] {
        let flight = |flight: &[u8]| {
            let [first, second] = [&flight[..10], &flight[10..]].map(|part| inner(part, HANDSHAKE));
            vec![first, between.clone(), second]
        };
        assert!(matches!(run(&flight, 16_640), Ended::Failed(_)), "{name} between the parts of a message");
    }
    let flight = |flight: &[u8]| vec![inner(&[flight, &[4]].concat(), HANDSHAKE)];
    assert!(matches!(run(&flight, 16_640), Ended::Failed(_)), "something behind Finished");
}

#[test]
fn a_server_hello_may_lie_in_several_records_d9() {
    let chain = Chain::plain();
    let run = |hello: Hello<'_>| Attempt { hello, ..Attempt::new(&chain) }.run();
    let spread = |record: &[u8], size: usize| -> Vec<u8> {
        if record[0] != HANDSHAKE {
            return record.to_vec();
        }
        let records = record[5..].chunks(size).map(|part| [&[HANDSHAKE, 3, 3, 0, part.len() as u8], part].concat());
        records.collect::<Vec<_>>().concat()
    };
    for size in [1, 2, 3, 4, 5, 50, 100] {
        assert_eq!(run(&|record| spread(record, size)), Ended::Opened(None), "{size} bytes in each");
    }
    let between = |record: &[u8]| {
        let spread = spread(record, 50);
        [&spread[..spread.len().min(55)], &[ALERT, 3, 3, 0, 2, 1, 90]].concat()
    };
    assert!(matches!(run(&between), Ended::Failed(_)), "an alert in it");
    let behind = |record: &[u8]| {
        let mut record = record.to_vec();
        if record[0] == HANDSHAKE {
            record[4] += 4;
            record.extend_from_slice(&[8, 0, 0, 0]);
        }
        record
    };
    assert!(matches!(run(&behind), Ended::Failed(_)), "a message behind it");
}

/// The client offers one choice of each kind: a server that has another is refused, and the guide names the choices.
#[test]
fn the_guide_says_what_tls_offers_d9() {
    let guide = include_str!("../../../runtime-embassy/README.md");
    for words in [
        &["AES-128-GCM", "AES_128_GCM"][..],
        &["AES-256", "AES_256"],
        &["X25519"],
        &["secp256r1", "ECDH over P-256", "key exchange"],
        &["HelloRetryRequest"],
    ] {
        let named = words.iter().any(|word| guide.contains(word));
        assert!(named, "{}", words[0]);
    }
}
