//! Queues.
// docs/evidence/sdk-features.md §7, docs/evidence/pinned-behaviour.md ADM14, ADM20

use super::authorization::AuthorizationRule;
use super::description::{EntityState, entity};
use super::iso8601::MAX_TIME_SPAN;
use super::status::{EntityAvailabilityStatus, EntityStatus, MessageCountDetails};
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;

entity! {
    /// Options of a new queue. Each `None` gets the service's default.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::{CreateQueueOptions, QueueDescription};
    ///
    /// let ours = CreateQueueOptions::new().with_max_delivery_count(3).with_forward_dead_lettered_messages_to("letters");
    /// let queues = ["orders", "invoices"].map(|name| QueueDescription::new(name).with_options(ours.clone()));
    /// assert_eq!(queues[1].options.max_delivery_count, Some(3));
    /// ```
    options CreateQueueOptions;
    /// A queue to create.
    ///
    /// ```
    /// use core::time::Duration;
    /// use servicebus_core::servicebus::administration::QueueDescription;
    ///
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let baskets =
    ///     QueueDescription::new("baskets").with_lock_duration(Duration::from_secs(30)).with_requires_session(true);
    /// let created = admin.create(&baskets).await?;
    /// assert!(created.requires_session);
    /// # Ok(())
    /// # });
    /// ```
    description QueueDescription created by create_queue, such as ("orders");
    /// A queue's settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut orders = admin.get_queue("orders").await?;
    /// orders.max_delivery_count = 3;
    /// let orders = admin.update(&orders).await?;
    /// assert_eq!(orders.max_delivery_count, 3);
    /// # Ok(())
    /// # });
    /// ```
    properties QueueProperties {
        /// The queue's name: its path in the namespace.
        name,
    }
    element "QueueDescription";
    version etag;
    timestamps Trimmed;
    request &[
        "LockDuration", "MaxSizeInMegabytes", "RequiresDuplicateDetection", "RequiresSession",
        "DefaultMessageTimeToLive", "DeadLetteringOnMessageExpiration", "DuplicateDetectionHistoryTimeWindow",
        "MaxDeliveryCount", "EnableBatchedOperations", "IsAnonymousAccessible", "AuthorizationRules", "Status",
        "SupportOrdering", "AutoDeleteOnIdle", "EnablePartitioning", "EntityAvailabilityStatus", "EnableExpress",
        "ForwardTo", "UserMetadata", "ForwardDeadLetteredMessagesTo", "MaxMessageSizeInKilobytes",
    ];
    response &[
        "LockDuration", "MaxSizeInMegabytes", "RequiresDuplicateDetection", "RequiresSession",
        "DefaultMessageTimeToLive", "DeadLetteringOnMessageExpiration", "DuplicateDetectionHistoryTimeWindow",
        "MaxDeliveryCount", "EnableBatchedOperations", "SizeInBytes", "MessageCount", "IsAnonymousAccessible",
        "AuthorizationRules", "Status", "ForwardTo", "CreatedAt", "UpdatedAt", "AccessedAt", "UserMetadata",
        "SupportOrdering", "CountDetails", "AutoDeleteOnIdle", "EnablePartitioning", "EntityAvailabilityStatus",
        "ForwardDeadLetteredMessagesTo", "EnableExpress", "MaxMessageSizeInKilobytes",
    ];
    settings {
        /// How long a receiver holds a message before others can have it: 5 s to 5 min, 1 min by default.
        lock_duration, with_lock_duration: Duration = "LockDuration", default Duration::from_secs(60), such as Duration::from_secs(30);
        /// The queue's size in MB: 1024 (the default), 2048, 3072, 4096 or 5120. A partitioned queue is reported with
        /// 16 times as much.
        max_size_in_megabytes, with_max_size_in_megabytes: u64 = "MaxSizeInMegabytes", default 1_024, such as 2_048;
        /// Whether messages with an identifier seen before are dropped; cannot be changed. Off by default.
        requires_duplicate_detection, with_requires_duplicate_detection: bool = "RequiresDuplicateDetection", default false, such as true;
        /// Whether messages belong to sessions; cannot be changed. Off by default.
        requires_session, with_requires_session: bool = "RequiresSession", default false, such as true;
        /// Time to live of messages without one, and the maximum for the others; at least 1 s. [`MAX_TIME_SPAN`],
        /// indefinitely, by default.
        default_message_time_to_live, with_default_message_time_to_live: Duration = "DefaultMessageTimeToLive", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// Whether expired messages are dead-lettered instead of dropped. Off by default.
        dead_lettering_on_message_expiration, with_dead_lettering_on_message_expiration: bool = "DeadLetteringOnMessageExpiration", default false, such as true;
        /// How long identifiers are remembered: 20 s to 7 days, 10 min by default.
        duplicate_detection_history_time_window, with_duplicate_detection_history_time_window: Duration = "DuplicateDetectionHistoryTimeWindow", default Duration::from_secs(600), such as Duration::from_secs(3_600);
        /// How often a message is tried before it is dead-lettered: 1 to 2000, 10 by default.
        max_delivery_count, with_max_delivery_count: u32 = "MaxDeliveryCount", default 10, such as 3;
        /// Whether the service may gather operations for its store. On by default.
        enable_batched_operations, with_enable_batched_operations: bool = "EnableBatchedOperations", default true, such as false;
        /// Whether the queue can be used without credentials. Off by default.
        is_anonymous_accessible, with_is_anonymous_accessible: bool = "IsAnonymousAccessible", default false, such as true;
        /// Keys for this queue only: none by default. An update replaces all of them.
        authorization_rules, with_authorization_rules: Vec<AuthorizationRule> = "AuthorizationRules", default Vec::new(), such as vec![AuthorizationRule::new("shop", [AccessRights::Send])];
        /// What the queue may be used for: [`EntityStatus::Active`] by default.
        status, with_status: EntityStatus = "Status", default EntityStatus::Active, such as EntityStatus::SendDisabled;
        /// Whether messages keep their order. On by default.
        support_ordering, with_support_ordering: bool = "SupportOrdering", default true, such as false;
        /// How long without use until the queue is deleted: at least 5 min; [`MAX_TIME_SPAN`], never, by default.
        auto_delete_on_idle, with_auto_delete_on_idle: Duration = "AutoDeleteOnIdle", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// Whether the queue is kept by several brokers; cannot be changed. Off by default.
        enable_partitioning, with_enable_partitioning: bool = "EnablePartitioning", default false, such as true;
        /// Whether the queue can be reached. The service sets it to unknown when an update leaves it out, so it is sent
        /// along.
        // docs/evidence/pinned-behaviour.md ADM18
        availability_status, with_availability_status: EntityAvailabilityStatus = "EntityAvailabilityStatus", default EntityAvailabilityStatus::Available, such as EntityAvailabilityStatus::Limited;
        /// Whether messages are held in memory for a while before they are stored. Off by default.
        enable_express, with_enable_express: bool = "EnableExpress", default false, such as true;
    }
    optional {
        /// The queue or topic that messages are moved to as they come in: a name, or an address in this namespace.
        /// The service answers with `sb://<host>/<name>`.
        forward_to, with_forward_to(impl Into<String>): String = "ForwardTo", such as "audit" => "audit".into();
        /// Text of the user's own, up to 1024 characters.
        user_metadata, with_user_metadata(impl Into<String>): String = "UserMetadata", such as "of the shop" => "of the shop".into();
        /// The queue or topic that dead-lettered messages are moved to: a name, or an address in this namespace.
        forward_dead_lettered_messages_to, with_forward_dead_lettered_messages_to(impl Into<String>): String = "ForwardDeadLetteredMessagesTo", such as "letters" => "letters".into();
        /// The largest message in KB, 1024 to 102400, which only the Premium tier can change. Since API version
        /// 2021-05.
        max_message_size_in_kilobytes, with_max_message_size_in_kilobytes(u64): u64 = "MaxMessageSizeInKilobytes", such as 102_400 => 102_400;
    }
}

/// What a queue holds and when it was used.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let orders = admin.get_queue_runtime_properties("orders").await?;
/// println!("{} messages, {} of them dead", orders.total_message_count, orders.message_count_details.dead_letter);
/// assert_eq!(orders.accessed_at, None, "nothing has used it yet");
/// # assert_eq!(orders.total_message_count, 0);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueRuntimeProperties {
    /// The queue's name.
    pub name: String,
    /// When it was created, where the service says so.
    pub created_at: Option<Timestamp>,
    /// When its settings were last changed, where the service says so.
    pub updated_at: Option<Timestamp>,
    /// When it was last used; `None` for never.
    pub accessed_at: Option<Timestamp>,
    /// Bytes that its messages take.
    pub size_in_bytes: u64,
    /// All messages, those in its sub-queues included.
    pub total_message_count: u64,
    /// The messages by state.
    pub message_count_details: MessageCountDetails,
}

impl QueueRuntimeProperties {
    pub(super) fn new(name: String, state: &EntityState) -> Self {
        let counts = state.count_details.unwrap_or_default();
        Self {
            name,
            created_at: state.created(),
            updated_at: state.updated(),
            accessed_at: state.accessed(),
            size_in_bytes: state.size_in_bytes.unwrap_or_default(),
            total_message_count: state.message_count.unwrap_or_else(|| counts.total()),
            message_count_details: counts,
        }
    }
}
