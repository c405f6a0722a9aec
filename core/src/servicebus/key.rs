//! Names of what Service Bus keeps in the maps of a message.
// docs/evidence/wire-protocol.md §4.7

/// `x-opt-partition-key`
pub const PARTITION_KEY: &str = "x-opt-partition-key";
/// `x-opt-via-partition-key`
pub const VIA_PARTITION_KEY: &str = "x-opt-via-partition-key";
/// `x-opt-partition-id`
pub const PARTITION_ID: &str = "x-opt-partition-id";
/// `x-opt-scheduled-enqueue-time`
pub const SCHEDULED_ENQUEUE_TIME: &str = "x-opt-scheduled-enqueue-time";
/// `x-opt-enqueued-time`
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// `x-opt-sequence-number`
pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
/// `x-opt-enqueue-sequence-number`
pub const ENQUEUED_SEQUENCE_NUMBER: &str = "x-opt-enqueue-sequence-number";
/// `x-opt-locked-until`
pub const LOCKED_UNTIL: &str = "x-opt-locked-until";
/// `x-opt-lock-token`, a delivery annotation
pub const LOCK_TOKEN: &str = "x-opt-lock-token";
/// `x-opt-deadletter-source`
pub const DEAD_LETTER_SOURCE: &str = "x-opt-deadletter-source";
/// `x-opt-message-state`
pub const MESSAGE_STATE: &str = "x-opt-message-state";
/// `DeadLetterReason`
pub const DEAD_LETTER_REASON: &str = "DeadLetterReason";
/// `DeadLetterErrorDescription`
pub const DEAD_LETTER_ERROR_DESCRIPTION: &str = "DeadLetterErrorDescription";

/// `traceparent`: the W3C trace context, as an application property
// docs/evidence/sdk-features.md §9
pub const TRACEPARENT: &str = "traceparent";
/// `tracestate`
pub const TRACESTATE: &str = "tracestate";
