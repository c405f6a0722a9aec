//! Chains that a device is shown, and the reasons that it gives for refusing them.

use crate::tls_server::{Attempt, Chain, Ended, NOT_BEFORE, unknown_critical};
use servicebus_core::time::Duration;
use servicebus_embassy::tls::Refusal;

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
        assert_eq!(attempt(true).run(), Ended::Refused(Refusal::Time), "{name} before, judged");
        let ended = attempt(false).run();
        assert_eq!(ended, Ended::Opened(None), "built {name} before");
    }
}

#[test]
fn a_chain_that_is_too_long_is_named_d10() {
    for intermediates in 7..=12 {
        let chain = Chain::new(intermediates, |_, params| params);
        assert_eq!(Attempt::new(&chain).run(), Ended::Refused(Refusal::TooLong), "{intermediates} intermediates");
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
        assert_eq!(ended, Ended::Refused(Refusal::Extension), "certificate {bearer} of {}", intermediates + 1);
    }
}

/// Without a look at notBefore, the end of a certificate still counts, against the clock and within the chain.
#[test]
fn a_certificate_that_has_ended_is_refused_in_every_mode_d7() {
    let chain = Chain::plain();
    for judges_not_before in [true, false] {
        let attempt = Attempt { now: NOT_BEFORE + DAY * 400, judges_not_before, ..Attempt::new(&chain) };
        assert_eq!(attempt.run(), Ended::Refused(Refusal::Time), "{judges_not_before}");
    }
}
