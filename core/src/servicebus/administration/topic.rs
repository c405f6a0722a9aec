//! Topics.
// docs/evidence/sdk-features.md §7, docs/evidence/pinned-behaviour.md ADM15, ADM21

use super::authorization::AuthorizationRule;
use super::description::{EntityState, entity};
use super::iso8601::MAX_TIME_SPAN;
use super::status::{EntityAvailabilityStatus, EntityStatus};
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;

entity! {
    /// Options of a new topic. Each `None` gets the service's default.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::{CreateTopicOptions, TopicDescription};
    ///
    /// let ours = CreateTopicOptions::new().with_requires_duplicate_detection(true);
    /// let topics = ["events", "alarms"].map(|name| TopicDescription::new(name).with_options(ours.clone()));
    /// assert_eq!(topics[1].options.requires_duplicate_detection, Some(true));
    /// ```
    options CreateTopicOptions;
    /// A topic to create.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::TopicDescription;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.create(&TopicDescription::new("alarms").with_requires_duplicate_detection(true)).await?;
    /// assert!(admin.topic_exists("alarms").await?);
    /// # Ok(())
    /// # });
    /// ```
    description TopicDescription created by create_topic, such as ("events");
    /// A topic's settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut events = admin.get_topic("events").await?;
    /// events.filtering_messages_before_publishing = true;
    /// admin.update(&events).await?;
    /// # Ok(())
    /// # });
    /// ```
    properties TopicProperties {
        /// The topic's name: its path in the namespace.
        name,
    }
    element "TopicDescription";
    version etag;
    timestamps Trimmed;
    request &[
        "DefaultMessageTimeToLive", "MaxSizeInMegabytes", "RequiresDuplicateDetection",
        "DuplicateDetectionHistoryTimeWindow", "EnableBatchedOperations", "FilteringMessagesBeforePublishing",
        "IsAnonymousAccessible", "AuthorizationRules", "Status", "SupportOrdering", "AutoDeleteOnIdle",
        "EnablePartitioning", "EntityAvailabilityStatus", "EnableSubscriptionPartitioning", "EnableExpress",
        "UserMetadata", "MaxMessageSizeInKilobytes",
    ];
    response &[
        "DefaultMessageTimeToLive", "MaxSizeInMegabytes", "RequiresDuplicateDetection",
        "DuplicateDetectionHistoryTimeWindow", "EnableBatchedOperations", "SizeInBytes",
        "FilteringMessagesBeforePublishing", "IsAnonymousAccessible", "AuthorizationRules", "Status", "CreatedAt",
        "UpdatedAt", "AccessedAt", "UserMetadata", "SupportOrdering", "CountDetails", "SubscriptionCount",
        "SqlFilterCount", "CorrelationFilterCount", "AutoDeleteOnIdle", "EnablePartitioning",
        "EntityAvailabilityStatus", "EnableSubscriptionPartitioning", "EnableExpress", "MaxMessageSizeInKilobytes",
    ];
    settings {
        /// Time to live of messages without one, and the maximum for the others; at least 1 s. [`MAX_TIME_SPAN`],
        /// indefinitely, by default.
        default_message_time_to_live, with_default_message_time_to_live: Duration = "DefaultMessageTimeToLive", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// The topic's size in MB: 1024 (the default), 2048, 3072, 4096 or 5120. A partitioned topic is reported with
        /// 16 times as much.
        max_size_in_megabytes, with_max_size_in_megabytes: u64 = "MaxSizeInMegabytes", default 1_024, such as 2_048;
        /// Whether messages with an identifier seen before are dropped; cannot be changed. Off by default.
        requires_duplicate_detection, with_requires_duplicate_detection: bool = "RequiresDuplicateDetection", default false, such as true;
        /// How long identifiers are remembered: 20 s to 7 days, 10 min by default.
        duplicate_detection_history_time_window, with_duplicate_detection_history_time_window: Duration = "DuplicateDetectionHistoryTimeWindow", default Duration::from_secs(600), such as Duration::from_secs(3_600);
        /// Whether the service may gather operations for its store. On by default.
        enable_batched_operations, with_enable_batched_operations: bool = "EnableBatchedOperations", default true, such as false;
        /// Whether a message that no subscription takes is refused to its sender. Off by default.
        filtering_messages_before_publishing, with_filtering_messages_before_publishing: bool = "FilteringMessagesBeforePublishing", default false, such as true;
        /// Whether the topic can be used without credentials. Off by default.
        is_anonymous_accessible, with_is_anonymous_accessible: bool = "IsAnonymousAccessible", default false, such as true;
        /// Keys for this topic only: none by default. An update replaces all of them.
        authorization_rules, with_authorization_rules: Vec<AuthorizationRule> = "AuthorizationRules", default Vec::new(), such as vec![AuthorizationRule::new("shop", [AccessRights::Send])];
        /// What the topic may be used for: [`EntityStatus::Active`] by default.
        status, with_status: EntityStatus = "Status", default EntityStatus::Active, such as EntityStatus::SendDisabled;
        /// Whether messages keep their order. On by default.
        support_ordering, with_support_ordering: bool = "SupportOrdering", default true, such as false;
        /// How long without use until the topic is deleted: at least 5 min; [`MAX_TIME_SPAN`], never, by default.
        auto_delete_on_idle, with_auto_delete_on_idle: Duration = "AutoDeleteOnIdle", default MAX_TIME_SPAN, such as Duration::from_secs(86_400);
        /// Whether the topic is kept by several brokers; cannot be changed. Off by default.
        enable_partitioning, with_enable_partitioning: bool = "EnablePartitioning", default false, such as true;
        /// Whether the topic can be reached. It is sent along with updates for the reason that is named at
        /// [`QueueProperties::availability_status`](super::QueueProperties::availability_status).
        availability_status, with_availability_status: EntityAvailabilityStatus = "EntityAvailabilityStatus", default EntityAvailabilityStatus::Available, such as EntityAvailabilityStatus::Limited;
        /// Whether subscriptions are kept by several brokers. Off by default.
        enable_subscription_partitioning, with_enable_subscription_partitioning: bool = "EnableSubscriptionPartitioning", default false, such as true;
        /// Whether messages are held in memory for a while before they are stored. Off by default.
        enable_express, with_enable_express: bool = "EnableExpress", default false, such as true;
    }
    optional {
        /// Text of the user's own, up to 1024 characters.
        user_metadata, with_user_metadata(impl Into<String>): String = "UserMetadata", such as "of the shop" => "of the shop".into();
        /// The largest message in KB, 1024 to 102400, which only the Premium tier can change. Since API version
        /// 2021-05.
        max_message_size_in_kilobytes, with_max_message_size_in_kilobytes(u64): u64 = "MaxMessageSizeInKilobytes", such as 102_400 => 102_400;
    }
}

/// What a topic holds and when it was used.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let events = admin.get_topic_runtime_properties("events").await?;
/// assert_eq!((events.subscription_count, events.scheduled_message_count), (2, 0));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicRuntimeProperties {
    /// The topic's name.
    pub name: String,
    /// When it was created, where the service says so.
    pub created_at: Option<Timestamp>,
    /// When its settings were last changed, where the service says so.
    pub updated_at: Option<Timestamp>,
    /// When it was last used; `None` for never.
    pub accessed_at: Option<Timestamp>,
    /// Bytes that its messages take.
    pub size_in_bytes: u64,
    /// Messages that are not due yet: they count here, not on the subscriptions.
    pub scheduled_message_count: u64,
    /// The subscriptions.
    pub subscription_count: u32,
    /// The SQL filters of all subscriptions; `None` before API version 2024-05.
    pub sql_filter_count: Option<u32>,
    /// The correlation filters of all subscriptions; `None` before API version 2024-05.
    pub correlation_filter_count: Option<u32>,
}

impl TopicRuntimeProperties {
    pub(super) fn new(name: String, state: &EntityState) -> Self {
        Self {
            name,
            created_at: state.created(),
            updated_at: state.updated(),
            accessed_at: state.accessed(),
            size_in_bytes: state.size_in_bytes.unwrap_or_default(),
            scheduled_message_count: state.count_details.unwrap_or_default().scheduled,
            subscription_count: state.subscription_count.unwrap_or_default(),
            sql_filter_count: state.sql_filter_count,
            correlation_filter_count: state.correlation_filter_count,
        }
    }
}
