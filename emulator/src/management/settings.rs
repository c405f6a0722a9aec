//! Settings as clients send them, and as the entities have them.

use super::refusal::Refusal;
use crate::broker::Tier;
use crate::broker::entities::{
    self, EntityStatus, QueueDescription, Rights, SubscriptionDescription, TopicDescription,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use servicebus_core::random::Random;
use servicebus_core::servicebus::administration::{
    self as api, AccessRights, AuthorizationRule, CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions,
    MAX_TIME_SPAN,
};
use servicebus_core::time::Duration;

/// How much larger a partitioned entity is reported than it was asked for (ADM24).
const PARTITIONS: u64 = 16;
/// The lock of an entity that is created without one, its window of duplicates and its deliveries (ADM20).
const LOCK: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(600);
const DELIVERIES: u32 = 10;

/// What an update changes: a queue or topic that is there already.
pub(super) enum Stage<'a, D> {
    Create,
    Update(&'a D),
}

/// Context of the request.
pub(super) struct Request<'a> {
    /// The namespace's host, without a port.
    pub(super) host: &'a str,
    pub(super) tier: Tier,
    /// Whether the version of the API has `MaxMessageSizeInKilobytes`.
    pub(super) has_message_size: bool,
}

/// A setting that cannot be changed stays as it is where an update leaves it out.
fn fixed(sent: Option<bool>, before: Option<bool>) -> bool {
    sent.or(before).unwrap_or(false)
}

fn limit(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| *duration < MAX_TIME_SPAN)
}

fn unlimited(duration: Option<Duration>) -> Duration {
    duration.unwrap_or(MAX_TIME_SPAN)
}

fn status(status: Option<api::EntityStatus>) -> Result<EntityStatus, Refusal> {
    match status {
        None | Some(api::EntityStatus::Active) => Ok(EntityStatus::Active),
        Some(api::EntityStatus::Disabled) => Ok(EntityStatus::Disabled),
        Some(api::EntityStatus::SendDisabled) => Ok(EntityStatus::SendDisabled),
        Some(api::EntityStatus::ReceiveDisabled) => Ok(EntityStatus::ReceiveDisabled),
        Some(other) => Err(Refusal::setting(&format!("The status '{other}' cannot be set."), None)),
    }
}

fn told(status: EntityStatus) -> api::EntityStatus {
    match status {
        EntityStatus::Active => api::EntityStatus::Active,
        EntityStatus::Disabled => api::EntityStatus::Disabled,
        EntityStatus::SendDisabled => api::EntityStatus::SendDisabled,
        EntityStatus::ReceiveDisabled => api::EntityStatus::ReceiveDisabled,
    }
}

/// A target of forwarding: a bare name becomes an address, scheme and host of an address become lower case (FWD5 to
/// FWD7).
pub(super) fn address(target: &str, host: &str) -> String {
    match target.split_once("://") {
        None => format!("sb://{host}/{}", target.trim_start_matches('/')),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{}://{}/{path}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
        }
    }
}

fn target(target: Option<String>, host: &str) -> Option<String> {
    target.filter(|target| !target.is_empty()).map(|target| address(&target, host))
}

/// The size that was asked for. An update of a partitioned entity sends back the reported one.
fn size(megabytes: Option<u64>, partitioned: bool, update: bool, tier: Tier) -> u64 {
    let asked = megabytes.unwrap_or(1_024);
    let is_reported = partitioned
        && update
        && asked.is_multiple_of(PARTITIONS)
        && tier.entity_megabytes().contains(&(asked / PARTITIONS));
    if is_reported { asked / PARTITIONS } else { asked }
}

fn told_size(megabytes: u64, partitioned: bool) -> u64 {
    if partitioned { megabytes.saturating_mul(PARTITIONS) } else { megabytes }
}

/// The largest message that was asked for. An older version of the API does not know the setting.
// docs/evidence/field-reports.md F24
fn message_size(kilobytes: Option<u64>, request: &Request<'_>) -> Result<Option<u64>, Refusal> {
    if kilobytes.is_some() && !request.has_message_size {
        return Err(Refusal::unexplained());
    }
    Ok(kilobytes)
}

/// Makes the keys that were not sent.
pub(super) fn complete_keys(rules: &mut [AuthorizationRule], random: &mut Random) {
    for rule in rules {
        for key in [&mut rule.primary_key, &mut rule.secondary_key] {
            if key.as_ref().is_none_or(String::is_empty) {
                let bytes: Vec<u8> = random.uuid().into_iter().chain(random.uuid()).collect();
                *key = Some(STANDARD.encode(bytes));
            }
        }
    }
}

fn keys(rules: &[AuthorizationRule]) -> Vec<entities::AuthorizationRule> {
    rules
        .iter()
        .map(|rule| entities::AuthorizationRule {
            key_name: rule.key_name.clone(),
            primary_key: rule.primary_key.clone().unwrap_or_default(),
            secondary_key: rule.secondary_key.clone().unwrap_or_default(),
            rights: Rights {
                send: rule.rights.contains(&AccessRights::Send),
                listen: rule.rights.contains(&AccessRights::Listen),
                manage: rule.rights.contains(&AccessRights::Manage),
            },
        })
        .collect()
}

/// The keys as they are told when nothing else is known about them than what they permit.
pub(super) fn told_keys(rules: &[entities::AuthorizationRule]) -> Vec<AuthorizationRule> {
    rules
        .iter()
        .map(|rule| {
            let rights = [
                (rule.rights.manage, AccessRights::Manage),
                (rule.rights.listen, AccessRights::Listen),
                (rule.rights.send, AccessRights::Send),
            ];
            let rights = rights.into_iter().filter(|(has, _)| *has).map(|(_, right)| right);
            AuthorizationRule::new(rule.key_name.clone(), rights)
                .with_keys(rule.primary_key.clone(), rule.secondary_key.clone())
        })
        .collect()
}

/// The queue that a client describes.
pub(super) fn queue(
    options: &CreateQueueOptions,
    stage: Stage<'_, QueueDescription>,
    request: &Request<'_>,
) -> Result<QueueDescription, Refusal> {
    let before = match stage {
        Stage::Create => None,
        Stage::Update(description) => Some(description),
    };
    let old = |get: fn(&QueueDescription) -> bool| before.map(get);
    let partitioned = fixed(options.enable_partitioning, old(|queue| queue.enable_partitioning));
    Ok(QueueDescription {
        lock_duration: options.lock_duration.unwrap_or(LOCK),
        max_size_in_megabytes: size(options.max_size_in_megabytes, partitioned, before.is_some(), request.tier),
        requires_duplicate_detection: fixed(
            options.requires_duplicate_detection,
            old(|queue| queue.requires_duplicate_detection),
        ),
        requires_session: fixed(options.requires_session, old(|queue| queue.requires_session)),
        default_message_time_to_live: limit(options.default_message_time_to_live),
        dead_lettering_on_message_expiration: options.dead_lettering_on_message_expiration.unwrap_or(false),
        duplicate_detection_history_time_window: options.duplicate_detection_history_time_window.unwrap_or(WINDOW),
        max_delivery_count: options.max_delivery_count.unwrap_or(DELIVERIES),
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        forward_to: target(options.forward_to.clone(), request.host),
        forward_dead_lettered_messages_to: target(options.forward_dead_lettered_messages_to.clone(), request.host),
        auto_delete_on_idle: limit(options.auto_delete_on_idle),
        enable_partitioning: partitioned,
        enable_express: options.enable_express.unwrap_or(false),
        support_ordering: options.support_ordering.unwrap_or(true),
        user_metadata: options.user_metadata.clone(),
        max_message_size_in_kilobytes: message_size(options.max_message_size_in_kilobytes, request)?,
        authorization_rules: match (&options.authorization_rules, before) {
            (Some(rules), _) => keys(rules),
            (None, Some(before)) => before.authorization_rules.clone(),
            (None, None) => Vec::new(),
        },
    })
}

/// A queue's settings as they are told.
pub(super) fn told_queue(queue: &QueueDescription, tier: Tier, host: &str) -> CreateQueueOptions {
    let mut options = CreateQueueOptions::new()
        .with_lock_duration(queue.lock_duration)
        .with_max_size_in_megabytes(told_size(queue.max_size_in_megabytes, queue.enable_partitioning))
        .with_requires_duplicate_detection(queue.requires_duplicate_detection)
        .with_requires_session(queue.requires_session)
        .with_default_message_time_to_live(unlimited(queue.default_message_time_to_live))
        .with_dead_lettering_on_message_expiration(queue.dead_lettering_on_message_expiration)
        .with_duplicate_detection_history_time_window(queue.duplicate_detection_history_time_window)
        .with_max_delivery_count(queue.max_delivery_count)
        .with_enable_batched_operations(queue.enable_batched_operations)
        .with_status(told(queue.status))
        .with_support_ordering(queue.support_ordering)
        .with_auto_delete_on_idle(unlimited(queue.auto_delete_on_idle))
        .with_enable_partitioning(queue.enable_partitioning)
        .with_enable_express(queue.enable_express)
        .with_max_message_size_in_kilobytes(
            queue.max_message_size_in_kilobytes.unwrap_or(tier.default_message_kilobytes()),
        );
    options.forward_to = queue.forward_to.as_deref().map(|target| address(target, host));
    options.forward_dead_lettered_messages_to =
        queue.forward_dead_lettered_messages_to.as_deref().map(|target| address(target, host));
    options.user_metadata = queue.user_metadata.clone();
    options
}

/// The topic that a client describes.
pub(super) fn topic(
    options: &CreateTopicOptions,
    stage: Stage<'_, TopicDescription>,
    request: &Request<'_>,
) -> Result<TopicDescription, Refusal> {
    let before = match stage {
        Stage::Create => None,
        Stage::Update(description) => Some(description),
    };
    let old = |get: fn(&TopicDescription) -> bool| before.map(get);
    let partitioned = fixed(options.enable_partitioning, old(|topic| topic.enable_partitioning));
    Ok(TopicDescription {
        default_message_time_to_live: limit(options.default_message_time_to_live),
        max_size_in_megabytes: size(options.max_size_in_megabytes, partitioned, before.is_some(), request.tier),
        requires_duplicate_detection: fixed(
            options.requires_duplicate_detection,
            old(|topic| topic.requires_duplicate_detection),
        ),
        duplicate_detection_history_time_window: options.duplicate_detection_history_time_window.unwrap_or(WINDOW),
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        auto_delete_on_idle: limit(options.auto_delete_on_idle),
        enable_partitioning: partitioned,
        enable_express: options.enable_express.unwrap_or(false),
        support_ordering: options.support_ordering.unwrap_or(true),
        user_metadata: options.user_metadata.clone(),
        max_message_size_in_kilobytes: message_size(options.max_message_size_in_kilobytes, request)?,
        authorization_rules: match (&options.authorization_rules, before) {
            (Some(rules), _) => keys(rules),
            (None, Some(before)) => before.authorization_rules.clone(),
            (None, None) => Vec::new(),
        },
    })
}

/// A topic's settings as they are told.
pub(super) fn told_topic(topic: &TopicDescription, tier: Tier) -> CreateTopicOptions {
    let mut options = CreateTopicOptions::new()
        .with_default_message_time_to_live(unlimited(topic.default_message_time_to_live))
        .with_max_size_in_megabytes(told_size(topic.max_size_in_megabytes, topic.enable_partitioning))
        .with_requires_duplicate_detection(topic.requires_duplicate_detection)
        .with_duplicate_detection_history_time_window(topic.duplicate_detection_history_time_window)
        .with_enable_batched_operations(topic.enable_batched_operations)
        .with_status(told(topic.status))
        .with_support_ordering(topic.support_ordering)
        .with_auto_delete_on_idle(unlimited(topic.auto_delete_on_idle))
        .with_enable_partitioning(topic.enable_partitioning)
        .with_enable_express(topic.enable_express)
        .with_max_message_size_in_kilobytes(
            topic.max_message_size_in_kilobytes.unwrap_or(tier.default_message_kilobytes()),
        );
    options.user_metadata = topic.user_metadata.clone();
    options
}

/// The subscription that a client describes.
pub(super) fn subscription(
    options: &CreateSubscriptionOptions,
    stage: Stage<'_, SubscriptionDescription>,
    request: &Request<'_>,
) -> Result<SubscriptionDescription, Refusal> {
    let before = match stage {
        Stage::Create => None,
        Stage::Update(description) => Some(description),
    };
    Ok(SubscriptionDescription {
        lock_duration: options.lock_duration.unwrap_or(LOCK),
        requires_session: fixed(options.requires_session, before.map(|before| before.requires_session)),
        default_message_time_to_live: limit(options.default_message_time_to_live),
        dead_lettering_on_message_expiration: options.dead_lettering_on_message_expiration.unwrap_or(false),
        dead_lettering_on_filter_evaluation_exceptions: options
            .dead_lettering_on_filter_evaluation_exceptions
            .unwrap_or(true),
        max_delivery_count: options.max_delivery_count.unwrap_or(DELIVERIES),
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        forward_to: target(options.forward_to.clone(), request.host),
        forward_dead_lettered_messages_to: target(options.forward_dead_lettered_messages_to.clone(), request.host),
        auto_delete_on_idle: limit(options.auto_delete_on_idle),
        user_metadata: options.user_metadata.clone(),
    })
}

/// A subscription's settings as they are told.
pub(super) fn told_subscription(subscription: &SubscriptionDescription, host: &str) -> CreateSubscriptionOptions {
    let mut options = CreateSubscriptionOptions::new()
        .with_lock_duration(subscription.lock_duration)
        .with_requires_session(subscription.requires_session)
        .with_default_message_time_to_live(unlimited(subscription.default_message_time_to_live))
        .with_dead_lettering_on_message_expiration(subscription.dead_lettering_on_message_expiration)
        .with_dead_lettering_on_filter_evaluation_exceptions(
            subscription.dead_lettering_on_filter_evaluation_exceptions,
        )
        .with_max_delivery_count(subscription.max_delivery_count)
        .with_enable_batched_operations(subscription.enable_batched_operations)
        .with_status(told(subscription.status))
        .with_auto_delete_on_idle(unlimited(subscription.auto_delete_on_idle));
    options.forward_to = subscription.forward_to.as_deref().map(|target| address(target, host));
    options.forward_dead_lettered_messages_to =
        subscription.forward_dead_lettered_messages_to.as_deref().map(|target| address(target, host));
    options.user_metadata = subscription.user_metadata.clone();
    options
}
