//! How long a call may take.

use servicebus_core::servicebus::{RetryMode, RetryPolicy};
use servicebus_core::time::Duration;

/// How long `close` may take once the transport is open: five seconds until links are drained and detached, five more
/// for the peer's `close` (`core/src/machine/close.rs`).
const CLOSING: Duration = Duration::from_secs(10);

/// The shortest pause after "server busy", unless the policy's longest is shorter (`core/src/servicebus/retry.rs`).
const BUSY: Duration = Duration::from_secs(4);

/// How long a call may take, whatever the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The whole retry policy, as [`policy`] counts it: the bound of every call that names no other.
    Policy,
    /// The retry policy for each of so many requests that follow one another.
    Policies(u32),
    /// One attempt: calls under a transaction are not tried again.
    Attempt,
    /// The time that the caller gives, such as the longest wait of a receive. Opening a link counts within it.
    Given(Duration),
    /// An attempt to connect that is under way, then draining, detaching and closing.
    Close,
    /// None of its own: it ends when the client closes or its driver is dropped. A failure may end it sooner.
    UntilClosed,
}

impl Bound {
    /// The longest time under this policy; `None` where the call waits until the client closes.
    pub fn limit(self, retry: &RetryPolicy) -> Option<Duration> {
        match self {
            Self::Policy => Some(policy(retry)),
            Self::Policies(requests) => Some(policy(retry) * requests),
            Self::Attempt => Some(retry.try_timeout),
            Self::Given(duration) => Some(duration),
            Self::Close => Some(closing(retry)),
            Self::UntilClosed => None,
        }
    }
}

/// The longest time that a call with this policy takes: each attempt for the try time-out, and between two attempts
/// the longest pause.
///
/// After attempt `n`, counted from zero, the policy waits for its delay, doubled `n` times where it is exponential, at
/// most `max_delay`, and up to a fifth longer by chance. A peer that answers "server busy", or names a time to come
/// back, prolongs a pause up to `max_delay`.
pub fn policy(retry: &RetryPolicy) -> Duration {
    let attempts = retry.try_timeout * (retry.max_retries + 1);
    let pause = |attempt: u32| {
        let doubled = match retry.mode {
            RetryMode::Fixed => retry.delay,
            _ => retry.delay.saturating_mul(1 << attempt.min(20)),
        };
        let by_chance = doubled.min(retry.max_delay) * 6 / 5;
        by_chance.max(BUSY.min(retry.max_delay))
    };
    attempts + (0..retry.max_retries).map(pause).sum::<Duration>()
}

/// The longest time that closing takes.
pub fn closing(retry: &RetryPolicy) -> Duration {
    retry.try_timeout + CLOSING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_takes_its_attempts_and_their_pauses() {
        let retry = RetryPolicy::new()
            .with_max_retries(2)
            .with_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_millis(150))
            .with_mode(RetryMode::Exponential)
            .with_try_timeout(Duration::from_secs(1));
        // Three attempts; 100 ms may last 120 or, when the peer is busy, 150; twice that is cut to 150 and may last 180.
        assert_eq!(policy(&retry), Duration::from_millis(3_000 + 150 + 180));
        assert_eq!(policy(&retry.with_max_retries(0)), Duration::from_secs(1));
        assert_eq!(Bound::Policies(2).limit(&retry), Some(policy(&retry) * 2));
    }
}
