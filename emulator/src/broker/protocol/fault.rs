//! What the service answers when something is wrong: condition, text, and the tracking block behind it.
// docs/evidence/service-evidence.md §4, §5

use crate::broker::budget::OverBudget;
use crate::broker::entities::EntityError;
use servicebus_core::random::Random;
use servicebus_core::servicebus::Reason;
use servicebus_core::time::Timestamp;

/// A refusal, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The AMQP condition.
    pub condition: &'static str,
    /// The status of `$management` and `$cbs`.
    pub status: u16,
    /// Text with tracking block.
    pub description: String,
}

/// A refusal that has no tracking block yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The condition.
    pub reason: Reason,
    /// The text.
    pub text: String,
    /// Whether it ends what has done nothing wrong, such as a connection that is idle.
    pub is_orderly: bool,
}

impl Refusal {
    /// The end of a connection that has done nothing wrong.
    pub(crate) fn orderly(text: impl Into<String>) -> Self {
        Self { is_orderly: true, ..Self::new(Reason::ConnectionForced, text) }
    }

    /// A refusal for this reason.
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), is_orderly: false }
    }
}

impl From<EntityError> for Refusal {
    fn from(error: EntityError) -> Self {
        let reason = match &error {
            EntityError::NotFound(_) | EntityError::RuleNotFound(_) => Reason::EntityNotFound,
            EntityError::AlreadyExists(_) => Reason::EntityAlreadyExists,
            EntityError::Disabled(_) => Reason::EntityDisabled,
            EntityError::Malformed => Reason::DecodeError,
            EntityError::QuotaExceeded { .. } | EntityError::OverBudget(_) => Reason::QuotaExceeded,
            EntityError::SessionCannotBeLocked(_) => Reason::SessionCannotBeLocked,
            EntityError::MessageLockLost => Reason::MessageLockLost,
            EntityError::SessionLockLost => Reason::SessionLockLost,
            EntityError::MessageNotFound(_) => Reason::MessageNotFound,
            EntityError::PropertyTooLong | EntityError::BatchTooLong => Reason::InternalError,
            EntityError::HeaderTooLarge => Reason::MessageSizeExceeded,
            EntityError::OutOfRange(_) => Reason::ArgumentOutOfRange,
            EntityError::InvalidName(_)
            | EntityError::InvalidSetting(..)
            | EntityError::InvalidFilter(_)
            | EntityError::IdTooLong(_)
            | EntityError::NullAnnotation(_)
            | EntityError::WrongAnnotation(_) => Reason::ArgumentError,
            _ => Reason::NotAllowed,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<OverBudget> for Refusal {
    fn from(error: OverBudget) -> Self {
        Self::new(Reason::QuotaExceeded, error.to_string())
    }
}

/// Makes tracking blocks.
#[derive(Debug)]
pub(crate) struct Tracker {
    random: Random,
    namespace: String,
}

impl Tracker {
    /// A tracker of this namespace.
    pub(crate) fn new(namespace: String, seed: u64) -> Self {
        Self { random: Random::seeded(seed), namespace }
    }

    /// The namespace's name.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// 32 hexadecimal digits.
    pub(crate) fn hex(&mut self) -> String {
        self.random.uuid().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A UUID as text.
    pub(crate) fn guid(&mut self) -> String {
        let uuid = servicebus_core::wire::Uuid(self.random.uuid());
        servicebus_core::servicebus::LockToken::from_uuid(uuid).to_string()
    }

    /// Adds the tracking block of an entity, or of the gateway.
    pub(crate) fn fault(&mut self, refusal: Refusal, entity: Option<&str>, utc: Timestamp) -> Fault {
        let Refusal { reason, mut text, .. } = refusal;
        if matches!(reason, Reason::MessageLockLost | Reason::SessionLockLost | Reason::InternalError) {
            let guid = self.guid();
            text.push_str(&format!(" Reference:{guid},"));
        }
        let id = self.hex();
        let stamp = utc.to_string();
        let seconds = stamp.get(..19).unwrap_or(&stamp);
        text.push_str(&match entity {
            Some(entity) => {
                format!(" TrackingId:{id}_G0_B0, SystemTracker:{}:{entity}, Timestamp:{seconds}", self.namespace)
            }
            None => format!(" TrackingId:{id}_G0, SystemTracker:gateway0, Timestamp:{seconds}"),
        });
        Fault { condition: reason.condition(), status: reason.status_code(), description: text }
    }
}
