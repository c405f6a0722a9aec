//! Pauses between attempts that fail: connections, links, channels, tokens and renewals have one rule.

use crate::random::Random;
use crate::servicebus::{Reason, RetryPolicy};
use crate::time::{Instant, Millis};

/// A connection or link that lived for this long, or has moved a delivery, is healthy: its failures are forgotten, and
/// when it is lost it comes back at once. One that is lost sooner counts as a failed attempt, or it would come back in
/// a tight loop.
// docs/evidence/field-reports.md C17, H2
pub(crate) const HEALTHY: Millis = Millis::from_secs(30);

/// Attempts that failed in a row. Half a word: every link has some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff(u16);

/// In place of a number of failures: the attempt after the last one was healthy.
const WAS_HEALTHY: u16 = u16::MAX;

impl Backoff {
    /// It works: earlier failures are forgotten.
    pub(super) fn healthy(&mut self) {
        *self = Self(WAS_HEALTHY);
    }

    /// Earlier failures are forgotten; the next is the first.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// An attempt has failed, or the connection or link that it opened was lost.
    pub(super) fn failed(&mut self) {
        self.0 = if self.0 == WAS_HEALTHY { 0 } else { (self.0 + 1).min(WAS_HEALTHY - 1) };
    }

    /// How many there are.
    pub(super) fn failures(self) -> u16 {
        if self.0 == WAS_HEALTHY { 0 } else { self.0 }
    }

    /// Whether more attempts in a row have failed than a call would make.
    pub(super) fn is_exhausted(self, policy: &RetryPolicy) -> bool {
        u32::from(self.failures()) > policy.max_retries
    }

    /// The pause after the last failure. Beyond the policy's attempts none is longer than half of what a whole call may
    /// take: one that finds a pause under way has time for an attempt.
    pub(super) fn pause(self, policy: &RetryPolicy, reason: Option<Reason>, random: &mut Random) -> Millis {
        let pause = policy.wait(u32::from(self.failures()).saturating_sub(1), reason, random);
        if !self.is_exhausted(policy) {
            return pause;
        }
        let attempts = policy.max_retries.saturating_add(1);
        pause.min(Millis::new(Millis::from(policy.try_timeout).get().saturating_mul(attempts) / 2))
    }

    /// When to try again; `None` for at once.
    pub(super) fn retry_at(
        self,
        policy: &RetryPolicy,
        now: Instant,
        reason: Option<Reason>,
        random: &mut Random,
    ) -> Option<Instant> {
        if self.failures() == 0 {
            return None;
        }
        let pause = self.pause(policy, reason, random);
        (pause.get() > 0).then(|| now.after(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn pauses_grow_until_it_is_healthy() {
        let (policy, mut random) = (RetryPolicy::default(), Random::seeded(1));
        let now = Instant::from_millis(1);
        let mut backoff = Backoff::default();
        let mut retry = |backoff: Backoff| backoff.retry_at(&policy, now, None, &mut random);
        assert_eq!(retry(backoff), None, "no failure, no pause");
        for base in [800, 1_600, 3_200, 6_400] {
            backoff.failed();
            let pause = retry(backoff).unwrap().left(now).get();
            assert!((base * 8 / 10..=base * 12 / 10).contains(&pause), "{base}: {pause}");
        }
        assert!(backoff.is_exhausted(&policy), "four failures, three retries");
        backoff.healthy();
        backoff.failed();
        assert_eq!(
            (retry(backoff), backoff.is_exhausted(&policy)),
            (None, false),
            "what was healthy comes back at once"
        );
        backoff.failed();
        assert!(retry(backoff).is_some(), "and only once");
        for _ in 0..=u32::from(u16::MAX) {
            backoff.failed();
        }
        assert_eq!(backoff.failures(), u16::MAX - 1, "never healthy by their number");
    }

    #[test]
    fn no_pause_is_longer_than_half_of_a_call() {
        let policy = RetryPolicy { max_retries: 2, try_timeout: Duration::from_secs(2), ..RetryPolicy::default() };
        let mut random = Random::seeded(1);
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.failed();
            assert!(backoff.pause(&policy, None, &mut random) <= Millis::from_secs(3));
        }
    }
}
