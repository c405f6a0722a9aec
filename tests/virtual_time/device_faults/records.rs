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

/// Messages that are left out, come twice or in another order, under a Finished that is right for what was sent: the server has
/// the keys of the connection, and no key of a certificate. Where its signature is, it was made for the flight as it should be.
#[test]
fn a_right_finished_proves_no_server_d1() {
    let chain = Chain::plain();
    let run = |order: &[usize]| {
        let flight = |flight: &[u8]| {
            let messages = messages(flight);
            vec![Sent::Finished(order.iter().flat_map(|place| messages[*place]).copied().collect())]
        };
        Attempt { script: Script { flight: &flight, after: Vec::new() }, ..Attempt::new(&chain) }.run()
    };
    // EncryptedExtensions, Certificate, CertificateVerify.
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    let mut tried = 0;
    for _ in 0..=4 {
        for order in &orders {
            let ended = run(order);
            // The signature is over all up to the certificates: what is sent behind them changes nothing that it says.
            let proven = order.starts_with(&[0, 1]) && !order[2..].contains(&1) && order.contains(&2);
            if *order == [0, 1, 2] {
                assert_eq!(ended, Ended::Opened(None), "the Finished is right");
            } else if !proven {
                assert!(matches!(ended, Ended::Refused(..) | Ended::Failed(_)), "{order:?}: {ended:?}");
            }
            assert!(!matches!(ended, Ended::Panicked(_)), "{order:?}: {ended:?}");
            tried += 1;
        }
        let longer = |order: &Vec<usize>| (0..3).map(|next| [&order[..], &[next]].concat()).collect::<Vec<_>>();
        orders = orders.iter().flat_map(longer).collect();
    }
    assert_eq!(tried, 121);
}

/// Every byte of the ServerHello.
#[test]
fn a_server_hello_that_is_cut_or_damaged_does_not_panic_d1() {
    let chain = Chain::plain();
    let mut length = 0;
    let mut at = 0;
    while at <= length {
        for damage in [None, Some(0x01), Some(0x80), Some(0xff)] {
            let found = std::cell::Cell::new(0);
            let hello = |record: &[u8]| {
                let mut bytes = record.to_vec();
                if record[0] == HANDSHAKE {
                    found.set(bytes.len());
                    let at = at.min(bytes.len() - 1);
                    match damage {
                        None => bytes.truncate(at),
                        Some(mask) => bytes[at] ^= mask,
                    }
                }
                bytes
            };
            let ended = Attempt { hello: &hello, ..Attempt::new(&chain) }.run();
            assert!(!matches!(ended, Ended::Panicked(_)), "byte {at}, {damage:?}: {ended:?}");
            // The version of a record says nothing.
            let taken = matches!(ended, Ended::Opened(_));
            assert!(!taken || (1..3).contains(&at), "byte {at}, {damage:?}: {ended:?}");
            length = found.get();
        }
        at += 1;
    }
    assert!(length > 100, "{length}");
}

/// Keys that are no points, of every length.
#[test]
fn a_key_share_that_is_none_is_refused_d1() {
    let chain = Chain::plain();
    // The extension, its group and the length of its key: all of them are of fixed size.
    let share = [0, 51, 0, 69, 0, 23, 0, 65];
    let keys = [vec![0; 65], vec![0xff; 65], [vec![4], vec![0; 64]].concat(), [vec![4], vec![0xff; 64]].concat()];
    let compressed = [2, 3].map(|kind| [vec![kind], vec![7; 32]].concat());
    let others = (0..70).map(|length| vec![4; length]);
    for key in keys.into_iter().chain(compressed).chain(others) {
        let hello = |record: &[u8]| {
            let Some(at) = record.windows(share.len()).position(|window| window == share) else {
                return record.to_vec();
            };
            let (length, more) = (key.len() as u8, key.len() as i32 - 65);
            let replaced = [&[0, 51, 0, length + 4, 0, 23, 0, length][..], &key].concat();
            let mut bytes = [&record[..at], &replaced, &record[at + share.len() + 65..]].concat();
            // The lengths around it: of the record, of the message, of its extensions.
            let extensions = 5 + 4 + 2 + 32 + 1 + usize::from(record[5 + 4 + 34]) + 3;
            for place in [3, 7, extensions] {
                let length = i32::from(u16::from_be_bytes([bytes[place], bytes[place + 1]])) + more;
                bytes[place..place + 2].copy_from_slice(&(length as u16).to_be_bytes());
            }
            bytes
        };
        let ended = Attempt { hello: &hello, ..Attempt::new(&chain) }.run();
        assert!(matches!(ended, Ended::Failed(_)), "{key:?}: {ended:?}");
    }
}

/// Of levels that there are and others, with descriptions from all over, in the handshake and behind it, encrypted and not.
#[test]
fn no_alert_panics_d1() {
    let chain = Chain::plain();
    for level in [0, 1, 2, 255] {
        for description in (0..=255).filter(|description| description % if level == 2 { 5 } else { 20 } == 0) {
            let sealed = inner(&[level, description], ALERT);
            let bare = Sent::Raw(vec![ALERT, 3, 3, 0, 2, level, description]);
            for alert in [&sealed, &bare] {
                let flight = |_: &[u8]| vec![alert.clone()];
                let early = Attempt { script: Script { flight: &flight, after: Vec::new() }, ..Attempt::new(&chain) };
                let late = Script { flight: &whole, after: vec![alert.clone()] };
                for ended in [early.run(), Attempt { script: late, ..Attempt::new(&chain) }.run()] {
                    let ends = matches!(ended, Ended::Failed(_) | Ended::Opened(Some(0)) | Ended::Waits);
                    assert!(ends, "level {level}, description {description}: {ended:?}");
                }
            }
        }
    }
}

/// The longest records there are, in a buffer that holds them just so. A part of a ticket that came before them ends the
/// connection, or goes with the ticket, which nobody wants; what comes is the data.
#[test]
fn the_longest_records_pass_d9() {
    let chain = Chain::plain();
    let longest = 1 << 14;
    let run = |after: Vec<Sent>, buffer| {
        Attempt { script: Script { flight: &whole, after }, buffer, ..Attempt::new(&chain) }.run()
    };
    for length in [longest - 300, longest - 200, longest - 1, longest] {
        for padding in [0, 1, 100, 239] {
            let mut plaintext = vec![7; length];
            plaintext.push(APPLICATION_DATA);
            plaintext.resize(plaintext.len() + padding, 0);
            for buffer in [16_640, 16_644, 70_000] {
                let ended = run(vec![Sent::Sealed(plaintext.clone())], buffer);
                let fits = plaintext.len() <= longest + 240;
                assert_eq!(matches!(ended, Ended::Opened(Some(256))), fits, "{length} and {padding}: {ended:?}");
                let part = inner(&message(4, &[7; 20])[..10], HANDSHAKE);
                let ended = run(vec![part, Sent::Sealed(plaintext.clone())], buffer);
                let passes = matches!(ended, Ended::Failed(_) | Ended::Opened(Some(256)));
                assert!(passes, "{length} and {padding}, {buffer}, in a ticket: {ended:?}");
            }
        }
    }
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
