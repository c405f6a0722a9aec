//! What the endpoint refuses, with the service's texts.
// docs/evidence/service-evidence.md §13.5, docs/evidence/pinned-behaviour.md §15

use crate::broker::entities::{EntityError, OutOfBounds};
use servicebus_core::servicebus::administration::Method;
use servicebus_core::servicebus::administration::service::BodyError;

/// Ends most of the service's texts.
pub(super) const MORE: &str = "To know more visit https://aka.ms/sbResourceMgrExceptions.";

/// Who says so, as the tracking block tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The gateway, about the address of the request.
    Gateway,
    /// The broker of the entity; subscriptions and rules are its business.
    Broker,
    /// The broker, about this entity.
    Entity(String),
    /// The gateway, about an operation: its text ends with the tracking id.
    Operation,
}

/// A refusal: its status, and its text without the tracking block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) speaker: Speaker,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), speaker: Speaker::Gateway }
    }

    /// A value that is not valid.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(400, text)
    }

    /// A setting that is not valid; `parameter` is its name and value.
    pub(super) fn setting(text: &str, parameter: Option<(&str, &str)>) -> Self {
        let lines = parameter
            .map_or(String::new(), |(name, value)| format!("\r\nParameter name: {name}\r\nActual value was {value}."));
        Self::bad_request(format!("SubCode=40000. {text} {MORE}{lines}"))
    }

    /// Too many requests.
    pub(super) fn busy(namespace: &str) -> Self {
        let text = format!("The request was terminated because the namespace {namespace} is being throttled.");
        Self::new(503, format!("SubCode=50009. {text} Please wait 2 seconds and try again. {MORE}"))
    }

    /// ADM43.
    pub(super) fn exists() -> Self {
        let text = "SubCode=40900. Conflict. You're requesting an operation that isn't allowed in the resource's current state.";
        Self::new(409, format!("{text} {MORE} ."))
    }

    /// ADM44: `path` is that of a subscription or rule.
    pub(super) fn exists_below(path: &str) -> Self {
        let text = format!("The messaging entity '{path}' already exists. {MORE} ");
        Self { speaker: Speaker::Broker, ..Self::new(409, text) }
    }

    /// ADM38: an update of a queue or topic that is not there.
    pub(super) fn nothing_to_update() -> Self {
        Self::new(404, format!("SubCode=40400. Not Found. The Operation doesn't exist. {MORE} ."))
    }

    /// ADM36, ADM39: `path` is that of a subscription or rule.
    pub(super) fn missing_below(path: &str) -> Self {
        let text = format!("Entity '{path}' was not found. {MORE} ");
        Self { speaker: Speaker::Broker, ..Self::new(404, text) }
    }

    /// ADM41: a subscription of a topic that is not there.
    pub(super) fn missing_topic() -> Self {
        Self::new(404, "The incoming request is not recognized as a namespace policy put request.")
    }

    /// ADM37.
    pub(super) fn nothing_here() -> Self {
        Self::new(404, "No service is hosted at the specified address.")
    }

    /// DLQ13: a sub-queue is no resource; `path` is that of its entity.
    pub(super) fn no_resource(path: String, method: Method) -> Self {
        let verb = method.as_str();
        let text = format!("The specified HTTP verb ({verb}) is not valid. {MORE} .");
        Self { speaker: Speaker::Entity(path), ..Self::new(400, text) }
    }

    /// A refusal for which the service gives no reason.
    pub(super) fn unexplained() -> Self {
        Self::bad_request(format!("SubCode=40000. Bad Request. {MORE} ."))
    }

    /// A setting that a client cannot have.
    pub(super) fn out_of_bounds(error: &OutOfBounds, namespace: &str) -> Self {
        if error.is_unexplained() {
            return Self::unexplained();
        }
        let name = format!("the namespace '{namespace}' is");
        let parameter = error.parameter();
        let parameter = parameter.as_ref().map(|(name, value)| (*name, value.as_str()));
        Self::setting(&error.to_string().replace("the namespace is", &name), parameter)
    }

    /// A setting of a subscription of this topic that a client cannot have; of its lock the topic's broker says so
    /// (ADM71).
    pub(super) fn out_of_bounds_below(error: &OutOfBounds, namespace: &str, topic: &str) -> Self {
        let refusal = Self::out_of_bounds(error, namespace);
        match error {
            OutOfBounds::LockTooLong(_) => Self {
                text: refusal.text.trim_start_matches("SubCode=40000. ").into(),
                speaker: Speaker::Entity(format!("{namespace}:Topic:{topic}")),
                ..refusal
            },
            _ => refusal,
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Element(error) => {
                let text = format!("The value '{}' of the property '{}' is not valid.", error.text, error.element);
                Self::setting(&text, None)
            }
            error => Self::bad_request(format!("SubCode=40000. Bad Request: {error}. {MORE}")),
        }
    }
}

/// Refusals by the entities of what the endpoint has not looked at itself.
impl From<EntityError> for Refusal {
    fn from(error: EntityError) -> Self {
        match &error {
            EntityError::NotFound(_) => Self::nothing_to_update(),
            EntityError::RuleNotFound(path) => Self::missing_below(path),
            EntityError::AlreadyExists(_) => Self::exists(),
            // Of the codes that clients wait and try again on, the one for too much rather than too often.
            EntityError::OverBudget(error) => Self::new(429, format!("SubCode=42900. {error} {MORE}")),
            EntityError::OutOfRange(text) => Self::new(403, format!("SubCode=40300. {text} {MORE}")),
            EntityError::Unchangeable(what) if what.starts_with("partitioning") => {
                let kind = if what.ends_with("Topic") { "Topic" } else { "Queue" };
                Self::bad_request(format!("SubCode=40000. Partitioning cannot be changed for {kind}. "))
            }
            error => Self::setting(&error.to_string(), None),
        }
    }
}
