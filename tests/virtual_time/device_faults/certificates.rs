//! Chains that a device is shown, and the reasons that it gives for refusing them.

use crate::tls_server::{Attempt, Chain, Ended, NOT_BEFORE, unknown_critical};
use servicebus_core::time::Duration;
use servicebus_embassy::tls::Refusal;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The public names of the adapter's TLS that speak of a certificate's beginning: the mode, once there is one.
fn modes() -> Vec<&'static str> {
    [
        include_str!("../../../runtime-embassy/src/tls/dialer.rs"),
        include_str!("../../../runtime-embassy/src/tls/handshake.rs"),
        include_str!("../../../runtime-embassy/src/tls/verifier.rs"),
    ]
    .into_iter()
    .flat_map(str::lines)
    .map(str::trim)
    .filter(|line| line.starts_with("pub ") && line.contains('(') || line.ends_with(','))
    .filter(|line| line.to_ascii_lowercase().replace('_', "").contains("notbefore"))
    .collect()
}

/// The most lenient handshake that there is, at this time. A mode that does not judge notBefore is set here.
fn leniently(chain: &Chain, now: servicebus_core::time::Timestamp) -> Ended {
    assert_eq!(modes(), [""; 0], "there is a mode: set it here, so that the row is judged by it");
    Attempt { now, ..Attempt::new(chain) }.run()
}

#[known_fault("D7")]
fn a_board_whose_clock_was_set_by_its_build_takes_newer_certificates_d7() {
    let (chain, mut judge) = (Chain::plain(), Judge::new());
    for (name, before) in [
        ("a second", Duration::from_secs(1)),
        ("an hour", Duration::from_secs(3_600)),
        ("a day", DAY),
        ("three months", DAY * 90),
        ("a year", DAY * 365),
        ("ten years", DAY * 3_650),
    ] {
        let ended = leniently(&chain, NOT_BEFORE - before);
        judge.equal(format!("built {name} before"), ended, Ended::Opened(None), Ended::Refused(Refusal::Time));
    }
    judge.finish();
}

fn judge_named(judge: &mut Judge, name: &str, chain: &Chain) {
    judge.case(
        name,
        Attempt::new(chain).run(),
        |ended| matches!(ended, Ended::Refused(refusal) if *refusal != Refusal::Malformed),
        |ended| *ended == Ended::Refused(Refusal::Malformed),
    );
}

#[known_fault("D10")]
fn a_chain_that_is_too_long_is_named_d10() {
    let mut judge = Judge::new();
    for intermediates in 7..=12 {
        judge_named(
            &mut judge,
            &format!("{intermediates} intermediates"),
            &Chain::new(intermediates, |_, params| params),
        );
    }
    judge.finish();
}

#[test]
fn six_intermediates_are_taken_d10() {
    for intermediates in [1, 2, 5, 6] {
        let chain = Chain::new(intermediates, |_, params| params);
        assert_eq!(Attempt::new(&chain).run(), Ended::Opened(None), "{intermediates}");
    }
}

#[known_fault("D10")]
fn a_critical_extension_that_is_not_known_is_named_d10() {
    let mut judge = Judge::new();
    for (intermediates, bearer) in [(0, 0), (1, 0), (1, 1), (2, 1), (3, 3)] {
        let chain =
            Chain::new(intermediates, |place, params| if place == bearer { unknown_critical(params) } else { params });
        judge_named(&mut judge, &format!("certificate {bearer} of {}", intermediates + 1), &chain);
    }
    judge.finish();
}
