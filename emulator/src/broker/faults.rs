//! Faults on request, for tests of how clients take them.

use servicebus_core::servicebus::Reason;
use servicebus_core::time::Duration;

/// What is to go wrong next.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The filter of non-exclusive sessions is not known, as where the service does not offer them.
    pub(crate) exclusive_only: bool,
    /// Responses of `$management` that are still to be lost.
    pub(crate) lost_responses: u64,
    operations: Countdown,
    tokens: Countdown,
    /// How long `$management` takes the new holder of a session for a stranger.
    pub(crate) takeover_delay: Duration,
}

/// Refusals that are left, and their reason.
#[derive(Debug, Default)]
struct Countdown {
    left: u64,
    reason: Option<Reason>,
}

impl Countdown {
    fn set(&mut self, count: u64, reason: Reason) {
        *self = Self { left: count, reason: Some(reason) };
    }

    fn take(&mut self) -> Option<Reason> {
        self.left = self.left.checked_sub(1)?;
        self.reason
    }
}

impl Faults {
    /// The next `count` sends and management requests are refused.
    pub(crate) fn refuse_operations(&mut self, count: u64, reason: Reason) {
        self.operations.set(count, reason);
    }

    /// The next `count` tokens are refused.
    pub(crate) fn refuse_tokens(&mut self, count: u64, reason: Reason) {
        self.tokens.set(count, reason);
    }

    /// Whether the next response of `$management` is lost.
    pub(crate) fn loses_response(&mut self) -> bool {
        let lost = self.lost_responses > 0;
        self.lost_responses = self.lost_responses.saturating_sub(1);
        lost
    }

    pub(crate) fn take_operation(&mut self) -> Option<Reason> {
        self.operations.take()
    }

    pub(crate) fn take_token(&mut self) -> Option<Reason> {
        self.tokens.take()
    }
}
