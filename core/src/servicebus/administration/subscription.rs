//! Subscriptions of topics.
// docs/evidence/sdk-features.md §7, docs/evidence/pinned-behaviour.md ADM16, ADM22

use super::description::{EntityState, entity};
use super::iso8601::MAX_TIME_SPAN;
use super::rule::RuleProperties;
use super::status::{EntityAvailabilityStatus, EntityStatus, MessageCountDetails};
use crate::time::{Duration, Timestamp};
use alloc::string::String;

entity! {
    /// Options of a new subscription. Each `None` gets the service's default.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::{CreateSubscriptionOptions, SubscriptionDescription};
    ///
    /// let ours = CreateSubscriptionOptions::new().with_max_delivery_count(3);
    /// let reports = SubscriptionDescription::new("events", "reports").with_options(ours);
    /// assert_eq!(reports.options.max_delivery_count, Some(3));
    /// ```
    options CreateSubscriptionOptions;
    /// A subscription to create.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{RuleFilter, SubscriptionDescription};
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let big = SubscriptionDescription::new("events", "big")
    ///     .with_max_delivery_count(3)
    ///     .with_filter(RuleFilter::sql("total >= 1000"));
    /// admin.create(&big).await?;
    /// # Ok(())
    /// # });
    /// ```
    description SubscriptionDescription created by create_subscription, such as ("events", "audit");
    /// A subscription's settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut audit = admin.get_subscription("events", "audit").await?;
    /// audit.dead_lettering_on_message_expiration = true;
    /// admin.update(&audit).await?;
    /// # Ok(())
    /// # });
    /// ```
    properties SubscriptionProperties {
        /// The topic's name.
        topic_name,
        /// The subscription's name: up to 50 characters.
        name,
    }
    element "SubscriptionDescription";
    timestamps SevenDigits;
    request &[
        "LockDuration", "RequiresSession", "DefaultMessageTimeToLive", "DeadLetteringOnMessageExpiration",
        "DeadLetteringOnFilterEvaluationExceptions", "MaxDeliveryCount", "EnableBatchedOperations", "Status",
        "ForwardTo", "ForwardDeadLetteredMessagesTo", "AutoDeleteOnIdle", "EntityAvailabilityStatus", "UserMetadata",
        "DefaultRuleDescription",
    ];
    response &[
        "LockDuration", "RequiresSession", "DefaultMessageTimeToLive", "DeadLetteringOnMessageExpiration",
        "DeadLetteringOnFilterEvaluationExceptions", "MessageCount", "MaxDeliveryCount", "EnableBatchedOperations",
        "Status", "ForwardTo", "CreatedAt", "UpdatedAt", "AccessedAt", "CountDetails",
        "ForwardDeadLetteredMessagesTo", "AutoDeleteOnIdle", "EntityAvailabilityStatus", "UserMetadata",
        "IsClientAffine",
    ];
    settings {
        /// How long a receiver holds a message before others can have it: 5 s to 5 min, 1 min by default.
        lock_duration, with_lock_duration: Duration = "LockDuration", default Duration::from_secs(60), such as Duration::from_secs(30);
        /// Whether messages belong to sessions; cannot be changed. Off by default.
        requires_session, with_requires_session: bool = "RequiresSession", default false, such as true;
        /// Time to live of messages without one, and the maximum for the others; at least 1 s. [`MAX_TIME_SPAN`],
        /// indefinitely, by default.
        default_message_time_to_live, with_default_message_time_to_live: Duration = "DefaultMessageTimeToLive", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// Whether expired messages are dead-lettered instead of dropped. Off by default.
        dead_lettering_on_message_expiration, with_dead_lettering_on_message_expiration: bool = "DeadLetteringOnMessageExpiration", default false, such as true;
        /// Whether messages are dead-lettered on which a filter fails. On by default.
        dead_lettering_on_filter_evaluation_exceptions, with_dead_lettering_on_filter_evaluation_exceptions: bool = "DeadLetteringOnFilterEvaluationExceptions", default true, such as false;
        /// How often a message is tried before it is dead-lettered: 1 to 2000, 10 by default.
        max_delivery_count, with_max_delivery_count: u32 = "MaxDeliveryCount", default 10, such as 3;
        /// Whether the service may gather operations for its store. On by default.
        enable_batched_operations, with_enable_batched_operations: bool = "EnableBatchedOperations", default true, such as false;
        /// What the subscription may be used for: [`EntityStatus::Active`] by default.
        status, with_status: EntityStatus = "Status", default EntityStatus::Active, such as EntityStatus::SendDisabled;
        /// How long without use until the subscription is deleted: at least 5 min; [`MAX_TIME_SPAN`], never, by
        /// default.
        auto_delete_on_idle, with_auto_delete_on_idle: Duration = "AutoDeleteOnIdle", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// Whether the subscription can be reached. It is sent along with updates for the reason that is named at
        /// [`QueueProperties::availability_status`](super::QueueProperties::availability_status).
        availability_status, with_availability_status: EntityAvailabilityStatus = "EntityAvailabilityStatus", default EntityAvailabilityStatus::Available, such as EntityAvailabilityStatus::Limited;
        /// Whether the subscription belongs to one client. Off by default; the service returns it since API version
        /// 2021-05.
        is_client_affine, with_is_client_affine: bool = "IsClientAffine", default false, such as true;
    }
    optional {
        /// The queue or topic that messages are moved to as they come in: a name, or an address in this namespace.
        /// The service answers with `sb://<host>/<name>`.
        forward_to, with_forward_to(impl Into<String>): String = "ForwardTo", such as "audit" => "audit".into();
        /// The queue or topic that dead-lettered messages are moved to: a name, or an address in this namespace.
        forward_dead_lettered_messages_to, with_forward_dead_lettered_messages_to(impl Into<String>): String = "ForwardDeadLetteredMessagesTo", such as "letters" => "letters".into();
        /// Text of the user's own, up to 1024 characters.
        user_metadata, with_user_metadata(impl Into<String>): String = "UserMetadata", such as "of the shop" => "of the shop".into();
    }
    creation {
        /// The rule that the subscription starts with instead of the one that takes every message. Without a name it
        /// is called `$Default`. The service never returns it.
        // docs/evidence/pinned-behaviour.md RUL43, RUL44
        default_rule, with_default_rule: RuleProperties = "DefaultRuleDescription";
    }
}

/// What a subscription holds and when it was used.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let audit = admin.get_subscription_runtime_properties("events", "audit").await?;
/// assert_eq!(audit.message_count_details.active, 0);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionRuntimeProperties {
    /// The topic's name.
    pub topic_name: String,
    /// The subscription's name.
    pub name: String,
    /// When it was created, where the service says so.
    pub created_at: Option<Timestamp>,
    /// When its settings were last changed, where the service says so.
    pub updated_at: Option<Timestamp>,
    /// When it was last used; `None` for never.
    pub accessed_at: Option<Timestamp>,
    /// All messages, those in its sub-queues included.
    pub total_message_count: u64,
    /// The messages by state. Scheduled ones count on the topic.
    pub message_count_details: MessageCountDetails,
}

impl SubscriptionRuntimeProperties {
    pub(super) fn new(topic_name: String, name: String, state: &EntityState) -> Self {
        let counts = state.count_details.unwrap_or_default();
        Self {
            topic_name,
            name,
            created_at: state.created(),
            updated_at: state.updated(),
            accessed_at: state.accessed(),
            total_message_count: state.message_count.unwrap_or_else(|| counts.total()),
            message_count_details: counts,
        }
    }
}
