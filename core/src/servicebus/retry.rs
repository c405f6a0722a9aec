//! How often and how long after a failure to try again.
// docs/evidence/wire-protocol.md §6.3

use super::reason::Reason;
use crate::random::Random;
use crate::time::{Duration, Millis};
use core::fmt;

/// How the waits grow.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{RetryMode, RetryPolicy};
///
/// let steady = RetryPolicy::new().with_mode(RetryMode::Fixed);
/// assert_eq!(steady.mode, RetryMode::Fixed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryMode {
    /// Doubled each time.
    Exponential,
    /// The same each time.
    Fixed,
}

impl fmt::Display for RetryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exponential => "exponential",
            Self::Fixed => "fixed",
        })
    }
}

/// When to try again.
///
/// A call takes at most `(max_retries + 1) × try_timeout`, and the pauses: after attempt `n`, counted from 0, `delay`, doubled
/// `n` times where they grow, at most `max_delay`, and by chance a fifth more or less. "Server busy" makes a pause at
/// least four seconds, or `max_delay` where that is shorter. Attempts to connect do not come on top: the opening of a
/// connection, from TCP to the first answer of `$cbs`, has `try_timeout`, and one that fails is a failed attempt of every
/// call that waits for it. A call that is given a longest wait, such as a receive, ends with that.
///
/// **The reconnect after an outage uses the same pauses.** While the service cannot be reached, they grow up to `max_delay`:
/// by default attempts to connect are up to a minute apart, and the client notices only then that the service is back. A
/// new call does not shorten the pause under way, nor does [`ready`](crate::client::Client::ready). For a service that has
/// to be back sooner, set `max_delay` to a second or a few. A connection that lasted for 30 seconds or has moved a message is
/// replaced at once when it is lost; the first pause comes after that attempt has failed.
///
/// A call whose attempt was lost with the connection makes its pause as after any other failure, even where the connection
/// is back sooner. With a time-out shorter than the pause it ends without another attempt: with the default policy a send by
/// `sender.timeout(500 ms)` does not survive a lost connection. Give it more than `delay` and a fifth, or a shorter `delay`.
///
/// # Examples
///
/// ```
/// # use servicebus_core::{machine::Settings, storage::Heap};
/// use core::time::Duration;
/// use servicebus_core::servicebus::RetryPolicy;
///
/// # let connection_string = servicebus_simulation::CONNECTION_STRING;
/// // Back within a second after an outage, at the price of more attempts.
/// let eager = RetryPolicy::new().with_max_retries(60).with_max_delay(Duration::from_secs(1));
/// // Adapters have `Options::with_retry`.
/// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_retry(eager);
/// # drop(settings);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The first wait.
    pub delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// How the waits grow.
    pub mode: RetryMode,
    /// How long one attempt may take.
    pub try_timeout: Duration,
}

impl Default for RetryPolicy {
    /// Three retries, exponential from 0.8 s up to 60 s, 60 s for each attempt.
    fn default() -> Self {
        Self::new()
    }
}

/// A throttled namespace asks for patience.
// docs/evidence/service-evidence.md §5: "wait 2 seconds"; SDKs wait 4 s and more
const BUSY_DELAY: Millis = Millis::from_secs(4);

impl RetryPolicy {
    /// That of the official SDKs: three retries, exponential from 0.8 s up to 60 s, 60 s for each attempt.
    ///
    /// ```
    /// use core::time::Duration;
    /// use servicebus_core::servicebus::RetryPolicy;
    ///
    /// let patient = RetryPolicy::new().with_max_retries(10).with_try_timeout(Duration::from_secs(20));
    /// assert_eq!(patient.max_delay, Duration::from_secs(60));
    /// ```
    pub const fn new() -> Self {
        Self {
            max_retries: 3,
            delay: Duration::from_millis(800),
            max_delay: Duration::from_secs(60),
            mode: RetryMode::Exponential,
            try_timeout: Duration::from_secs(60),
        }
    }

    /// Sets the number of attempts after the first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// assert_eq!(RetryPolicy::new().with_max_retries(10).max_retries, 10);
    /// ```
    #[must_use]
    pub const fn with_max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
        self
    }

    /// Sets the first wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let quick = RetryPolicy::new().with_delay(Duration::from_millis(100));
    /// assert_eq!(quick.delay, Duration::from_millis(100));
    /// ```
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the longest wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let eager = RetryPolicy::new().with_max_delay(Duration::from_secs(2));
    /// assert_eq!(eager.max_delay, Duration::from_secs(2));
    /// ```
    #[must_use]
    pub const fn with_max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets how the waits grow.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::{RetryMode, RetryPolicy};
    /// let steady = RetryPolicy::new().with_mode(RetryMode::Fixed).with_delay(Duration::from_secs(5));
    /// assert_eq!((steady.mode, steady.delay), (RetryMode::Fixed, Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub const fn with_mode(mut self, mode: RetryMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how long one attempt may take.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let short = RetryPolicy::new().with_try_timeout(Duration::from_secs(5));
    /// assert_eq!(short.try_timeout, Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn with_try_timeout(mut self, try_timeout: Duration) -> Self {
        self.try_timeout = try_timeout;
        self
    }

    /// No second attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let once = RetryPolicy::none().with_try_timeout(Duration::from_secs(5));
    /// assert_eq!(once.max_retries, 0);
    /// ```
    pub const fn none() -> Self {
        Self {
            max_retries: 0,
            delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            mode: RetryMode::Fixed,
            try_timeout: Duration::from_secs(60),
        }
    }

    /// The wait after attempt number `attempt` (the first is 0) failed, or `None` when it was the last. Waits vary by
    /// up to a fifth, so that clients that failed together do not come back together.
    #[doc(hidden)]
    pub fn delay(&self, attempt: u32, reason: Option<Reason>, random: &mut Random) -> Option<Duration> {
        self.next(attempt, reason, random).map(Duration::from)
    }

    /// As [`RetryPolicy::delay`], as the machine counts.
    pub(crate) fn next(&self, attempt: u32, reason: Option<Reason>, random: &mut Random) -> Option<Millis> {
        (attempt < self.max_retries).then(|| self.wait(attempt, reason, random))
    }

    /// No call takes longer: each attempt its time-out, and each pause the longest, which may be a fifth longer by chance.
    #[cfg(feature = "alloc")]
    pub(crate) fn longest(&self) -> Duration {
        let attempts = self.try_timeout.saturating_mul(self.max_retries.saturating_add(1));
        let pauses = self.max_delay.saturating_add(self.max_delay / 5).saturating_mul(self.max_retries);
        attempts.saturating_add(pauses)
    }

    /// The wait after attempt number `attempt` when attempts have no end.
    #[doc(hidden)]
    pub fn backoff(&self, attempt: u32, reason: Option<Reason>, random: &mut Random) -> Duration {
        self.wait(attempt, reason, random).into()
    }

    /// As [`RetryPolicy::backoff`]; fractions of a millisecond are cut.
    #[inline(never)]
    pub(crate) fn wait(&self, attempt: u32, reason: Option<Reason>, random: &mut Random) -> Millis {
        let (mut base, max_delay) = (Millis::from(self.delay).get(), Millis::from(self.max_delay).get());
        if self.mode == RetryMode::Exponential {
            for _ in 0..attempt.min(20) {
                base = base.saturating_add(base);
            }
        }
        base = base.min(max_delay);
        let fifth = base / 5;
        let jittered = (base - fifth).saturating_add(random.below(u64::from(fifth) * 2 + 1) as u32);
        let least = if reason == Some(Reason::ServerBusy) { BUSY_DELAY.get().min(max_delay) } else { 0 };
        Millis::new(jittered.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_end() {
        let policy = RetryPolicy::default();
        let mut random = Random::seeded(1);
        for (attempt, base) in [(0, 800), (1, 1_600), (2, 3_200)] {
            let delay = policy.delay(attempt, None, &mut random).unwrap().as_millis();
            assert!((base * 8 / 10..=base * 12 / 10).contains(&delay), "{attempt}: {delay}");
        }
        assert_eq!(policy.delay(3, None, &mut random), None);
        assert!(policy.backoff(60, None, &mut random) <= Duration::from_secs(72));
        assert!(policy.delay(0, Some(Reason::ServerBusy), &mut random).unwrap() >= Duration::from(BUSY_DELAY));
        assert_eq!(RetryPolicy::none().delay(0, None, &mut random), None);
    }
}
