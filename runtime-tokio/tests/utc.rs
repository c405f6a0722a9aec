//! The client's UTC follows tokio's clock: the system's while that runs, and by hand once it is paused.

use servicebus_core::runtime::Runtime;
use servicebus_core::time::Timestamp;
use servicebus_tokio::Tokio;
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3_600);

fn system() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// Milliseconds from `earlier` to `later`.
fn millis(earlier: Timestamp, later: Timestamp) -> i64 {
    later.as_millis() - earlier.as_millis()
}

#[tokio::test]
async fn utc_is_the_systems_while_tokios_clock_runs() {
    for _ in 0..1_000 {
        let before = system();
        let utc = Tokio.clock().utc;
        assert!((before..=system()).contains(&utc), "{before} {utc}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn utc_is_an_hour_on_when_tokios_clock_is_advanced_by_an_hour() {
    tokio::time::pause();
    let (before, now) = (Tokio.clock().utc, Tokio.now());
    tokio::time::advance(HOUR).await;
    let after = Tokio.clock().utc;
    // A millisecond, into which tokio rounds, and one, into which UTC is cut.
    assert!((3_600_000..=3_600_002).contains(&millis(before, after)), "{before} {after}");
    assert!(Tokio.now().saturating_duration_since(now) >= HOUR);
    // Sleeping moves the paused clock as well, and UTC with it.
    tokio::time::sleep(HOUR).await;
    assert!((7_200_000..=7_200_004).contains(&millis(before, Tokio.clock().utc)));
    assert!(millis(system(), Tokio.clock().utc) > 7_000_000, "the system's clock stayed where it was");
}

#[tokio::test]
async fn utc_stands_while_tokios_clock_is_paused() {
    tokio::time::pause();
    let (utc, system_before) = (Tokio.clock().utc, system());
    // The machine's clock must move for this to mean anything.
    while millis(system_before, system()) < 20 {
        std::hint::spin_loop();
    }
    assert_eq!(Tokio.clock().utc, utc);
}

#[tokio::test]
async fn utc_stays_ahead_and_runs_on_when_tokios_clock_is_resumed() {
    tokio::time::pause();
    tokio::time::advance(HOUR).await;
    tokio::time::resume();
    let (utc, began) = (Tokio.clock().utc, system());
    while millis(began, system()) < 20 {
        tokio::task::yield_now().await;
    }
    assert!(millis(began, utc) > 3_500_000);
    assert!((15..10_000).contains(&millis(utc, Tokio.clock().utc)));
}
