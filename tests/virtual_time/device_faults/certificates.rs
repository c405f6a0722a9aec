//! Chains that a device is shown, and the reasons that it gives for refusing them.

use crate::closing::TLS_KEY;
use crate::forged::{Flight, HANDSHAKE, Script, inner, whole};
use crate::network::{UTC, run};
use crate::tls_server::{Attempt, Chain, Ended, NOT_BEFORE, unknown_critical};
use rcgen::date_time_ymd;
use rsa::rand_core::OsRng;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_embassy::tls::{CertificateError, Records, Root, Tls};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[test]
fn a_board_whose_clock_was_set_by_its_build_takes_newer_certificates_d7() {
    let chain = Chain::plain();
    for (name, before) in [
        ("a second", Duration::from_secs(1)),
        ("an hour", Duration::from_secs(3_600)),
        ("a day", DAY),
        ("three months", DAY * 90),
        ("a year", DAY * 365),
        ("ten years", DAY * 3_650),
    ] {
        let attempt =
            |judges_not_before| Attempt { now: NOT_BEFORE - before, judges_not_before, ..Attempt::new(&chain) };
        assert_eq!(
            attempt(true).run(),
            Ended::Refused(CertificateError::NotYetValid, Some(0)),
            "{name} before, judged"
        );
        let ended = attempt(false).run();
        assert_eq!(ended, Ended::Opened(None), "built {name} before");
    }
}

#[test]
fn a_chain_that_is_too_long_is_named_d10() {
    for intermediates in 7..=12 {
        let chain = Chain::new(intermediates, |_, params| params);
        // The first one that is too many: of those looked at, or of those in a path.
        let index = if intermediates > 8 { 9 } else { 7 };
        let ended = Attempt::new(&chain).run();
        assert_eq!(ended, Ended::Refused(CertificateError::TooLong, Some(index)), "{intermediates} intermediates");
    }
}

#[test]
fn six_intermediates_are_taken_d10() {
    for intermediates in [1, 2, 5, 6] {
        let chain = Chain::new(intermediates, |_, params| params);
        assert_eq!(Attempt::new(&chain).run(), Ended::Opened(None), "{intermediates}");
    }
}

#[test]
fn a_critical_extension_that_is_not_known_is_named_d10() {
    for (intermediates, bearer) in [(0, 0), (1, 0), (1, 1), (2, 1), (3, 3)] {
        let chain =
            Chain::new(intermediates, |place, params| if place == bearer { unknown_critical(params) } else { params });
        let ended = Attempt::new(&chain).run();
        let refused = Ended::Refused(CertificateError::Extension, Some(bearer as u8));
        assert_eq!(ended, refused, "certificate {bearer} of {}", intermediates + 1);
    }
}

/// Without a look at notBefore, the end of a certificate still counts, against the clock and within the chain.
#[test]
fn a_certificate_that_has_ended_is_refused_in_every_mode_d7() {
    let chain = Chain::plain();
    for judges_not_before in [true, false] {
        let attempt = Attempt { now: NOT_BEFORE + DAY * 400, judges_not_before, ..Attempt::new(&chain) };
        assert_eq!(attempt.run(), Ended::Refused(CertificateError::Expired, Some(0)), "{judges_not_before}");
    }
}

/// An application sees which certificate it was, and what was wrong with it.
#[test]
fn the_failure_of_a_call_names_the_certificate_and_the_rule() {
    for (place, name) in ["server", "intermediate 1", "intermediate 0"].into_iter().enumerate() {
        let chain = Chain::new(2, |at, mut params| {
            if at == place {
                params.not_after = date_time_ymd(2026, 3, 1);
            }
            params
        });
        let root = Root::from_certificate(&chain.root.der).expect("an authority");
        let (mut read, mut write) = (vec![0; 16_640], vec![0; 4_096]);
        let records = Records::new(&mut read, &mut write);
        let dialer = |tcp| Tls::new(tcp, OsRng, core::slice::from_ref(&root), &UTC, records);
        run(TLS_KEY, Some(&chain), dialer, |client, _| async move {
            let sender = client.sender("readings").expect("there is room");
            let failure = sender.send(&MessageRef::new("21.5")).await.expect_err("no server is proven");
            let text = format!("certificate {place} ({name}): expired");
            assert_eq!(client.last_description(), text.as_str(), "{failure}");
            sender.close().await;
            client.close().await;
        });
    }
}

/// ECDSA takes seconds on some boards: each signature is spread over polls, and nothing is sent to a server before all of them
/// hold, also when all of its messages come in one record.
#[test]
fn signatures_take_their_turns_and_nothing_is_sent_before_they_hold() {
    let chain = Chain::new(1, |_, params| params);
    let apart = |flight: &[u8]| flight.chunks(100).map(|part| inner(part, HANDSHAKE)).collect();
    let flights: [(&str, Flight<'_>); 2] = [("one record", &whole), ("many records", &apart)];
    for (name, flight) in flights {
        let script = || Script { flight, after: Vec::new() };
        let watched = Attempt { script: script(), ..Attempt::new(&chain) }.watch();
        assert_eq!((watched.ended, watched.answered), (Ended::Opened(None), true), "{name}");
        // Three signatures of 32 bytes, four of which are done at once.
        assert!(watched.polls >= 3 * 8, "{name}: {} polls", watched.polls);
        // A root of the same name with another key: all is right but the chain's last signature.
        let stranger = Chain { root: Chain::plain().root, shown: Chain::new(1, |_, params| params).shown };
        let watched = Attempt { script: script(), ..Attempt::new(&stranger) }.watch();
        assert_eq!(
            (watched.ended, watched.answered),
            (Ended::Refused(CertificateError::Signature, Some(1)), false),
            "{name}"
        );
    }
}
