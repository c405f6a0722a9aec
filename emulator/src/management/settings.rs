//! Settings as clients send them, and as the entities have them.

use super::refusal::{MORE, Refusal, Speaker};
use crate::broker::Tier;
use crate::broker::entities::{
    self, EntityStatus, MAX_DELIVERY_COUNT, QueueDescription, Rights, SubscriptionDescription, TopicDescription,
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
/// Most keys of one entity.
const MAX_RULES: usize = 12;
/// Most characters of the user's own text.
const MAX_METADATA: usize = 1_024;

/// What an update changes: a queue or topic that is there already.
pub(super) enum Stage<'a, D> {
    Create,
    Update(&'a D),
}

/// Whoever asks, and what for.
pub(super) struct Request<'a> {
    /// The namespace's name.
    pub(super) namespace: &'a str,
    /// The namespace's host, without a port.
    pub(super) host: &'a str,
    /// `topic` of a subscription, empty otherwise.
    pub(super) topic: &'a str,
    pub(super) tier: Tier,
    /// Whether the version of the API has `MaxMessageSizeInKilobytes`.
    pub(super) has_message_size: bool,
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

fn lock(lock: Option<Duration>, request: &Request<'_>) -> Result<Duration, Refusal> {
    let lock = lock.unwrap_or(Duration::from_secs(60));
    if lock > Duration::from_secs(300) {
        let topic = Some(request.topic).filter(|topic| !topic.is_empty());
        return Err(Refusal::lock_too_long(lock, topic.map(|topic| format!("{}:Topic:{topic}", request.namespace))));
    }
    if lock.is_zero() {
        return Err(Refusal::setting("The lock time must be greater than zero.", Some(("LockDuration", "00:00:00"))));
    }
    Ok(lock)
}

fn deliveries(count: Option<u32>) -> Result<u32, Refusal> {
    let count = count.unwrap_or(10);
    if !(1..=MAX_DELIVERY_COUNT).contains(&count) {
        let text = format!("The value of the property 'MaxDeliveryCount' must be between 1 and {MAX_DELIVERY_COUNT}.");
        return Err(Refusal::setting(&text, Some(("MaxDeliveryCount", &count.to_string()))));
    }
    Ok(count)
}

fn time_to_live(duration: Option<Duration>) -> Result<Option<Duration>, Refusal> {
    if duration.is_some_and(|duration| duration < Duration::from_secs(1)) {
        return Err(Refusal::setting(
            "The value of the property 'DefaultMessageTimeToLive' must be at least 1 second.",
            None,
        ));
    }
    Ok(limit(duration))
}

fn metadata(text: Option<String>) -> Result<Option<String>, Refusal> {
    if text.as_ref().is_some_and(|text| text.chars().count() > MAX_METADATA) {
        return Err(Refusal::setting(
            "The value of the property 'UserMetadata' must not exceed 1024 characters.",
            None,
        ));
    }
    Ok(text)
}

/// The size that was asked for, one of those that the tier has (ADM72). An update sends back the reported one.
fn size(megabytes: Option<u64>, partitioned: bool, update: bool, tier: Tier) -> Result<u64, Refusal> {
    let asked = megabytes.unwrap_or(1_024);
    let reported = if partitioned && update && asked.is_multiple_of(PARTITIONS) { asked / PARTITIONS } else { asked };
    let sizes = tier.entity_megabytes();
    match sizes.iter().find(|size| **size == reported || **size == asked) {
        Some(size) => Ok(*size),
        None => Err(Refusal::setting(
            &format!(
                "The specified value {asked} is invalid. The property 'MaxSizeInMegabytes', must be one of the following \
                 values: {}.",
                sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(";")
            ),
            None,
        )),
    }
}

fn told_size(megabytes: u64, partitioned: bool) -> u64 {
    if partitioned { megabytes.saturating_mul(PARTITIONS) } else { megabytes }
}

/// The largest message that was asked for, which an update sends back. An older version of the API does not know the
/// setting (docs/evidence/field-reports.md F24). On the Standard tier the service gives no reason
/// (Azure/ResourceModules#2629).
fn message_size(kilobytes: Option<u64>, request: &Request<'_>) -> Result<Option<u64>, Refusal> {
    let Some(kilobytes) = kilobytes else { return Ok(None) };
    if request.has_message_size && request.tier.takes_message_kilobytes(kilobytes) {
        return Ok(Some(kilobytes));
    }
    if !request.has_message_size || request.tier == Tier::Standard {
        return Err(Refusal::bad_request(format!("SubCode=40000. Bad Request. {MORE} .")));
    }
    let text = format!(
        "The property value for 'MaxMessageSizeInKilobytes' must be between 1024 and 102400 when the namespace '{}' is using \
         'Premium' tier.",
        request.namespace
    );
    Err(Refusal::setting(&text, Some(("MaxMessageSizeInKilobytes", &kilobytes.to_string()))))
}

fn express(sent: Option<bool>, tier: Tier) -> Result<bool, Refusal> {
    if sent == Some(true) && !tier.has_partitioned_and_express_entities() {
        let text = "Express entities are not supported in the Premium tier.";
        return Err(Refusal::setting(text, Some(("EnableExpress", "True"))));
    }
    Ok(sent.unwrap_or(false))
}

fn window(window: Option<Duration>) -> Result<Duration, Refusal> {
    let window = window.unwrap_or(Duration::from_secs(600));
    if !(Duration::from_secs(20)..=Duration::from_secs(7 * 86_400)).contains(&window) {
        let text =
            "The value of the property 'DuplicateDetectionHistoryTimeWindow' must be between 20 seconds and 7 days.";
        return Err(Refusal::setting(text, None));
    }
    Ok(window)
}

fn idle(idle: Option<Duration>) -> Result<Option<Duration>, Refusal> {
    if idle.is_some_and(|idle| idle < Duration::from_secs(300)) {
        return Err(Refusal::setting("The value of the property 'AutoDeleteOnIdle' must be at least 5 minutes.", None));
    }
    Ok(limit(idle))
}

fn sessions_and_forwarding(requires_session: bool, forward_to: Option<&String>) -> Result<(), Refusal> {
    // FWD11, in the words of docs/evidence/field-reports.md F22.
    if requires_session && forward_to.is_some() {
        return Err(Refusal::bad_request(format!("SubCode=40000. Bad Request. {MORE} .")));
    }
    Ok(())
}

/// A setting that an update leaves out stays as it is where it cannot be changed, and may be sent as it is.
fn fixed(sent: Option<bool>, stage: Option<bool>, property: &str, kind: &str) -> Result<bool, Refusal> {
    match (sent, stage) {
        (Some(sent), Some(before)) if sent != before => {
            let text = format!("The value for the {property} property of an existing {kind} cannot be changed.");
            Err(Refusal::setting(&text, None))
        }
        (sent, before) => Ok(sent.or(before).unwrap_or_default()),
    }
}

fn partitioning(sent: Option<bool>, before: Option<bool>, kind: &str, tier: Tier) -> Result<bool, Refusal> {
    if sent == Some(true) && before.is_none() && !tier.has_partitioned_and_express_entities() {
        let text = "Partitioned entities are not allowed in a non-partitioned namespace of the Premium tier.";
        return Err(Refusal::setting(text, Some(("EnablePartitioning", "True"))));
    }
    match (sent, before) {
        (Some(sent), Some(before)) if sent != before => {
            Err(Refusal::bad_request(format!("SubCode=40000. Partitioning cannot be changed for {kind}. ")))
        }
        (sent, before) => Ok(sent.or(before).unwrap_or_default()),
    }
}

/// Checks the keys and makes those that were not sent.
pub(super) fn complete_keys(rules: &mut [AuthorizationRule], random: &mut Random) -> Result<(), Refusal> {
    if rules.len() > MAX_RULES {
        return Err(Refusal::setting("An entity cannot have more than 12 authorization rules.", None));
    }
    for at in 0..rules.len() {
        let (before, rest) = rules.split_at_mut(at);
        let Some(rule) = rest.first_mut() else { break };
        if rule.key_name.is_empty() || before.iter().any(|other| other.key_name.eq_ignore_ascii_case(&rule.key_name)) {
            let text = format!("The key name '{}' of an authorization rule is empty or used twice.", rule.key_name);
            return Err(Refusal::setting(&text, None));
        }
        let has = |right| rule.rights.contains(&right);
        if rule.rights.is_empty()
            || has(AccessRights::Manage) && !(has(AccessRights::Send) && has(AccessRights::Listen))
        {
            let text = format!(
                "The authorization rule '{}' must have rights, and 'Manage' requires 'Send' and 'Listen'.",
                rule.key_name
            );
            return Err(Refusal::setting(&text, None));
        }
        for key in [&mut rule.primary_key, &mut rule.secondary_key] {
            if key.as_ref().is_none_or(String::is_empty) {
                let bytes: Vec<u8> = random.uuid().into_iter().chain(random.uuid()).collect();
                *key = Some(STANDARD.encode(bytes));
            }
        }
    }
    Ok(())
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
    let partitioned =
        partitioning(options.enable_partitioning, old(|queue| queue.enable_partitioning), "Queue", request.tier)?;
    let requires_session =
        fixed(options.requires_session, old(|queue| queue.requires_session), "RequiresSession", "Queue")?;
    let forward_to = target(options.forward_to.clone(), request.host);
    sessions_and_forwarding(requires_session, forward_to.as_ref())?;
    Ok(QueueDescription {
        lock_duration: lock(options.lock_duration, request)?,
        max_size_in_megabytes: size(options.max_size_in_megabytes, partitioned, before.is_some(), request.tier)?,
        requires_duplicate_detection: fixed(
            options.requires_duplicate_detection,
            old(|queue| queue.requires_duplicate_detection),
            "'requiresDuplicateDetection'",
            "Queue",
        )?,
        requires_session,
        default_message_time_to_live: time_to_live(options.default_message_time_to_live)?,
        dead_lettering_on_message_expiration: options.dead_lettering_on_message_expiration.unwrap_or(false),
        duplicate_detection_history_time_window: window(options.duplicate_detection_history_time_window)?,
        max_delivery_count: deliveries(options.max_delivery_count)?,
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        forward_to,
        forward_dead_lettered_messages_to: target(options.forward_dead_lettered_messages_to.clone(), request.host),
        auto_delete_on_idle: idle(options.auto_delete_on_idle)?,
        enable_partitioning: partitioned,
        enable_express: express(options.enable_express, request.tier)?,
        support_ordering: options.support_ordering.unwrap_or(true),
        user_metadata: metadata(options.user_metadata.clone())?,
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
        .lock_duration(queue.lock_duration)
        .max_size_in_megabytes(told_size(queue.max_size_in_megabytes, queue.enable_partitioning))
        .requires_duplicate_detection(queue.requires_duplicate_detection)
        .requires_session(queue.requires_session)
        .default_message_time_to_live(unlimited(queue.default_message_time_to_live))
        .dead_lettering_on_message_expiration(queue.dead_lettering_on_message_expiration)
        .duplicate_detection_history_time_window(queue.duplicate_detection_history_time_window)
        .max_delivery_count(queue.max_delivery_count)
        .enable_batched_operations(queue.enable_batched_operations)
        .status(told(queue.status))
        .support_ordering(queue.support_ordering)
        .auto_delete_on_idle(unlimited(queue.auto_delete_on_idle))
        .enable_partitioning(queue.enable_partitioning)
        .enable_express(queue.enable_express)
        .max_message_size_in_kilobytes(queue.max_message_size_in_kilobytes.unwrap_or(tier.default_message_kilobytes()));
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
    let partitioned =
        partitioning(options.enable_partitioning, old(|topic| topic.enable_partitioning), "Topic", request.tier)?;
    Ok(TopicDescription {
        default_message_time_to_live: time_to_live(options.default_message_time_to_live)?,
        max_size_in_megabytes: size(options.max_size_in_megabytes, partitioned, before.is_some(), request.tier)?,
        requires_duplicate_detection: fixed(
            options.requires_duplicate_detection,
            old(|topic| topic.requires_duplicate_detection),
            "'requiresDuplicateDetection'",
            "Topic",
        )?,
        duplicate_detection_history_time_window: window(options.duplicate_detection_history_time_window)?,
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        auto_delete_on_idle: idle(options.auto_delete_on_idle)?,
        enable_partitioning: partitioned,
        enable_express: express(options.enable_express, request.tier)?,
        support_ordering: options.support_ordering.unwrap_or(true),
        user_metadata: metadata(options.user_metadata.clone())?,
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
        .default_message_time_to_live(unlimited(topic.default_message_time_to_live))
        .max_size_in_megabytes(told_size(topic.max_size_in_megabytes, topic.enable_partitioning))
        .requires_duplicate_detection(topic.requires_duplicate_detection)
        .duplicate_detection_history_time_window(topic.duplicate_detection_history_time_window)
        .enable_batched_operations(topic.enable_batched_operations)
        .status(told(topic.status))
        .support_ordering(topic.support_ordering)
        .auto_delete_on_idle(unlimited(topic.auto_delete_on_idle))
        .enable_partitioning(topic.enable_partitioning)
        .enable_express(topic.enable_express)
        .max_message_size_in_kilobytes(topic.max_message_size_in_kilobytes.unwrap_or(tier.default_message_kilobytes()));
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
    let old = before.map(|subscription| subscription.requires_session);
    let requires_session = fixed(options.requires_session, old, "RequiresSession", "Subscription")
        .map_err(|refusal| Refusal { speaker: Speaker::Broker, ..refusal })?;
    let forward_to = target(options.forward_to.clone(), request.host);
    sessions_and_forwarding(requires_session, forward_to.as_ref())?;
    Ok(SubscriptionDescription {
        lock_duration: lock(options.lock_duration, request)?,
        requires_session,
        default_message_time_to_live: time_to_live(options.default_message_time_to_live)?,
        dead_lettering_on_message_expiration: options.dead_lettering_on_message_expiration.unwrap_or(false),
        dead_lettering_on_filter_evaluation_exceptions: options
            .dead_lettering_on_filter_evaluation_exceptions
            .unwrap_or(true),
        max_delivery_count: deliveries(options.max_delivery_count)?,
        enable_batched_operations: options.enable_batched_operations.unwrap_or(true),
        status: status(options.status)?,
        forward_to,
        forward_dead_lettered_messages_to: target(options.forward_dead_lettered_messages_to.clone(), request.host),
        auto_delete_on_idle: idle(options.auto_delete_on_idle)?,
        user_metadata: metadata(options.user_metadata.clone())?,
    })
}

/// A subscription's settings as they are told.
pub(super) fn told_subscription(subscription: &SubscriptionDescription, host: &str) -> CreateSubscriptionOptions {
    let mut options = CreateSubscriptionOptions::new()
        .lock_duration(subscription.lock_duration)
        .requires_session(subscription.requires_session)
        .default_message_time_to_live(unlimited(subscription.default_message_time_to_live))
        .dead_lettering_on_message_expiration(subscription.dead_lettering_on_message_expiration)
        .dead_lettering_on_filter_evaluation_exceptions(subscription.dead_lettering_on_filter_evaluation_exceptions)
        .max_delivery_count(subscription.max_delivery_count)
        .enable_batched_operations(subscription.enable_batched_operations)
        .status(told(subscription.status))
        .auto_delete_on_idle(unlimited(subscription.auto_delete_on_idle));
    options.forward_to = subscription.forward_to.as_deref().map(|target| address(target, host));
    options.forward_dead_lettered_messages_to =
        subscription.forward_dead_lettered_messages_to.as_deref().map(|target| address(target, host));
    options.user_metadata = subscription.user_metadata.clone();
    options
}

/// The refusal for a target of forwarding that is not there (ADM76).
pub(super) fn missing_target(target: &str) -> Refusal {
    Refusal::bad_request(format!(
        "SubCode=40000. The autoforwarding destination entity does not exist. The destination '{target}' must be created \
         before its source. {MORE}"
    ))
}
