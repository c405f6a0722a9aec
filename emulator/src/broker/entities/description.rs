//! What can be set on entities, with the service's defaults and bounds.
// docs/evidence/pinned-behaviour.md ADM20–ADM22

use super::error::EntityError;
use servicebus_core::time::Duration;

/// Whether an entity takes and gives messages.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::entities::{EntityStatus, QueueDescription};
///
/// let queue = QueueDescription { status: EntityStatus::SendDisabled, ..QueueDescription::default() };
/// let text = match queue.status {
///     EntityStatus::Active => "takes and gives",
///     EntityStatus::SendDisabled => "is being emptied",
///     EntityStatus::ReceiveDisabled => "collects",
///     EntityStatus::Disabled => "rests",
/// };
/// assert_eq!(text, "is being emptied");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntityStatus {
    /// Both.
    #[default]
    Active,
    /// Neither.
    Disabled,
    /// Only gives.
    SendDisabled,
    /// Only takes.
    ReceiveDisabled,
}

impl EntityStatus {
    /// Whether messages can be sent.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// assert!(!EntityStatus::SendDisabled.can_send());
    /// ```
    pub const fn can_send(self) -> bool {
        matches!(self, Self::Active | Self::ReceiveDisabled)
    }

    /// Whether messages can be received.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// assert!(EntityStatus::SendDisabled.can_receive());
    /// ```
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Active | Self::SendDisabled)
    }
}

/// What a key may do. Manage includes the others.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::entities::Rights;
///
/// let clerk = Rights { send: true, listen: true, ..Rights::default() };
/// assert!(!clerk.manage);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Send messages.
    pub send: bool,
    /// Receive messages.
    pub listen: bool,
    /// Create, change and delete entities.
    pub manage: bool,
}

impl Rights {
    /// Everything.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// assert!(Rights::ALL.manage);
    /// ```
    pub const ALL: Self = Self { send: true, listen: true, manage: true };
    /// Sending alone.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// assert_eq!(Rights::SEND, Rights { send: true, ..Rights::default() });
    /// ```
    pub const SEND: Self = Self { send: true, listen: false, manage: false };
    /// Receiving alone.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// assert_eq!(Rights::LISTEN, Rights { listen: true, ..Rights::default() });
    /// ```
    pub const LISTEN: Self = Self { send: false, listen: true, manage: false };
}

/// A named pair of keys and what they may do.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::entities::{AuthorizationRule, QueueDescription, Rights};
///
/// let till = AuthorizationRule {
///     key_name: "till".into(),
///     primary_key: "TILL_KEY".into(),
///     secondary_key: String::new(),
///     rights: Rights::SEND,
/// };
/// let queue = QueueDescription { authorization_rules: vec![till], ..QueueDescription::default() };
/// assert!(!format!("{queue:?}").contains("TILL_KEY"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationRule {
    /// The name.
    pub key_name: String,
    /// A key, as printed.
    pub primary_key: String,
    /// Another key, as printed; may be empty.
    pub secondary_key: String,
    /// What both may do.
    pub rights: Rights,
}

impl core::fmt::Debug for AuthorizationRule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the keys.
        f.debug_struct("AuthorizationRule")
            .field("key_name", &self.key_name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// A queue's settings. A duration that is `None` is without limit.
///
/// # Examples
/// ```
/// use servicebus_core::time::Duration;
/// use servicebus_emulator::broker::entities::QueueDescription;
///
/// let orders = QueueDescription {
///     lock_duration: Duration::from_secs(30),
///     max_delivery_count: 3,
///     dead_lettering_on_message_expiration: true,
///     ..QueueDescription::default()
/// };
/// assert!(orders.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QueueDescription {
    /// How long a message or session stays locked: 5 s to 5 min.
    pub lock_duration: Duration,
    /// What the queue may hold.
    pub max_size_in_megabytes: u64,
    /// Whether repeated message ids are dropped.
    pub requires_duplicate_detection: bool,
    /// Whether messages are received by session.
    pub requires_session: bool,
    /// How long messages live at most.
    pub default_message_time_to_live: Option<Duration>,
    /// Whether expired messages go to the dead-letter queue.
    pub dead_lettering_on_message_expiration: bool,
    /// How long message ids are remembered.
    pub duplicate_detection_history_time_window: Duration,
    /// Failed deliveries after which a message is dead-lettered.
    pub max_delivery_count: u32,
    /// Kept and shown.
    pub enable_batched_operations: bool,
    /// Whether it takes and gives messages.
    pub status: EntityStatus,
    /// The queue or topic that every message moves on to.
    pub forward_to: Option<String>,
    /// The queue or topic that dead-lettered messages move on to.
    pub forward_dead_lettered_messages_to: Option<String>,
    /// Idle time after which the queue is deleted.
    pub auto_delete_on_idle: Option<Duration>,
    /// Kept and shown; there is one partition.
    pub enable_partitioning: bool,
    /// Kept and shown.
    pub enable_express: bool,
    /// Kept and shown.
    pub support_ordering: bool,
    /// Kept and shown.
    pub user_metadata: Option<String>,
    /// The largest message: 1 to 102 400; `None` for what the tier of the namespace has.
    pub max_message_size_in_kilobytes: Option<u64>,
    /// Keys of the queue's own.
    pub authorization_rules: Vec<AuthorizationRule>,
}

impl Default for QueueDescription {
    fn default() -> Self {
        Self {
            lock_duration: Duration::from_secs(60),
            max_size_in_megabytes: 1_024,
            requires_duplicate_detection: false,
            requires_session: false,
            default_message_time_to_live: None,
            dead_lettering_on_message_expiration: false,
            duplicate_detection_history_time_window: Duration::from_secs(600),
            max_delivery_count: 10,
            enable_batched_operations: true,
            status: EntityStatus::Active,
            forward_to: None,
            forward_dead_lettered_messages_to: None,
            auto_delete_on_idle: None,
            enable_partitioning: false,
            enable_express: false,
            support_ordering: true,
            user_metadata: None,
            max_message_size_in_kilobytes: None,
            authorization_rules: Vec::new(),
        }
    }
}

/// A topic's settings. A duration that is `None` is without limit.
///
/// # Examples
/// ```
/// use servicebus_core::time::Duration;
/// use servicebus_emulator::broker::entities::TopicDescription;
///
/// let day = Some(Duration::from_secs(86_400));
/// let events = TopicDescription { default_message_time_to_live: day, ..TopicDescription::default() };
/// assert!(events.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TopicDescription {
    /// How long messages live at most.
    pub default_message_time_to_live: Option<Duration>,
    /// What the topic may hold.
    pub max_size_in_megabytes: u64,
    /// Whether repeated message ids are dropped.
    pub requires_duplicate_detection: bool,
    /// How long message ids are remembered.
    pub duplicate_detection_history_time_window: Duration,
    /// Kept and shown.
    pub enable_batched_operations: bool,
    /// Whether it takes messages.
    pub status: EntityStatus,
    /// Idle time after which the topic is deleted.
    pub auto_delete_on_idle: Option<Duration>,
    /// Kept and shown; there is one partition.
    pub enable_partitioning: bool,
    /// Kept and shown.
    pub enable_express: bool,
    /// Kept and shown.
    pub support_ordering: bool,
    /// Kept and shown.
    pub user_metadata: Option<String>,
    /// The largest message: 1 to 102 400; `None` for what the tier of the namespace has.
    pub max_message_size_in_kilobytes: Option<u64>,
    /// Keys of the topic's own.
    pub authorization_rules: Vec<AuthorizationRule>,
}

impl Default for TopicDescription {
    fn default() -> Self {
        Self {
            default_message_time_to_live: None,
            max_size_in_megabytes: 1_024,
            requires_duplicate_detection: false,
            duplicate_detection_history_time_window: Duration::from_secs(600),
            enable_batched_operations: true,
            status: EntityStatus::Active,
            auto_delete_on_idle: None,
            enable_partitioning: false,
            enable_express: false,
            support_ordering: true,
            user_metadata: None,
            max_message_size_in_kilobytes: None,
            authorization_rules: Vec::new(),
        }
    }
}

/// A subscription's settings. A duration that is `None` is without limit.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::entities::SubscriptionDescription;
///
/// let forward_to = Some("orders".to_owned());
/// let all = SubscriptionDescription { forward_to, ..SubscriptionDescription::default() };
/// assert!(all.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionDescription {
    /// How long a message or session stays locked: 5 s to 5 min.
    pub lock_duration: Duration,
    /// Whether messages are received by session.
    pub requires_session: bool,
    /// How long messages live at most.
    pub default_message_time_to_live: Option<Duration>,
    /// Whether expired messages go to the dead-letter queue.
    pub dead_lettering_on_message_expiration: bool,
    /// Whether messages whose filter fails go to the dead-letter queue.
    pub dead_lettering_on_filter_evaluation_exceptions: bool,
    /// Failed deliveries after which a message is dead-lettered.
    pub max_delivery_count: u32,
    /// Kept and shown.
    pub enable_batched_operations: bool,
    /// Whether it gives messages.
    pub status: EntityStatus,
    /// The queue or topic that every message moves on to.
    pub forward_to: Option<String>,
    /// The queue or topic that dead-lettered messages move on to.
    pub forward_dead_lettered_messages_to: Option<String>,
    /// Idle time after which the subscription is deleted.
    pub auto_delete_on_idle: Option<Duration>,
    /// Kept and shown.
    pub user_metadata: Option<String>,
}

impl Default for SubscriptionDescription {
    fn default() -> Self {
        Self {
            lock_duration: Duration::from_secs(60),
            requires_session: false,
            default_message_time_to_live: None,
            dead_lettering_on_message_expiration: false,
            dead_lettering_on_filter_evaluation_exceptions: true,
            max_delivery_count: 10,
            enable_batched_operations: true,
            status: EntityStatus::Active,
            forward_to: None,
            forward_dead_lettered_messages_to: None,
            auto_delete_on_idle: None,
            user_metadata: None,
        }
    }
}

/// The largest number of deliveries: NServiceBus creates every queue so.
///
/// # Examples
/// ```
/// # use servicebus_emulator::broker::entities::*;
/// let patient = QueueDescription { max_delivery_count: MAX_DELIVERY_COUNT, ..QueueDescription::default() };
/// assert!(patient.validate().is_ok());
/// ```
// docs/evidence/field-reports.md F10
pub const MAX_DELIVERY_COUNT: u32 = 2_147_483_647;

fn check_lock(lock_duration: Duration) -> Result<(), EntityError> {
    if lock_duration > Duration::from_secs(300) {
        let text = "The supplied lock time exceeds the allowed maximum of '5' minutes.";
        return Err(EntityError::InvalidSetting("LockDuration", text.into()));
    }
    if lock_duration.is_zero() {
        return Err(EntityError::InvalidSetting("LockDuration", "it must be longer than zero.".into()));
    }
    Ok(())
}

fn check_deliveries(max_delivery_count: u32) -> Result<(), EntityError> {
    if !(1..=MAX_DELIVERY_COUNT).contains(&max_delivery_count) {
        let text = format!("it must be between 1 and {MAX_DELIVERY_COUNT}.");
        return Err(EntityError::InvalidSetting("MaxDeliveryCount", text));
    }
    Ok(())
}

fn check_idle(idle: Option<Duration>) -> Result<(), EntityError> {
    if idle.is_some_and(|idle| idle < Duration::from_secs(300)) {
        return Err(EntityError::InvalidSetting("AutoDeleteOnIdle", "it must be at least 5 minutes.".into()));
    }
    Ok(())
}

fn check_size(kilobytes: Option<u64>) -> Result<(), EntityError> {
    if kilobytes.is_some_and(|kilobytes| !(1..=102_400).contains(&kilobytes)) {
        let text = "it must be between 1 and 102400.";
        return Err(EntityError::InvalidSetting("MaxMessageSizeInKilobytes", text.into()));
    }
    Ok(())
}

fn check_window(window: Duration) -> Result<(), EntityError> {
    if !(Duration::from_secs(5)..=Duration::from_secs(7 * 86_400)).contains(&window) {
        let text = "it must be between 20 seconds and 7 days.";
        return Err(EntityError::InvalidSetting("DuplicateDetectionHistoryTimeWindow", text.into()));
    }
    Ok(())
}

fn check_forwarding(requires_session: bool, forward_to: Option<&String>) -> Result<(), EntityError> {
    // docs/evidence/pinned-behaviour.md FWD11
    if requires_session && forward_to.is_some() {
        let text = "an entity that requires sessions cannot forward its messages.";
        return Err(EntityError::InvalidSetting("ForwardTo", text.into()));
    }
    Ok(())
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a Option<String>>) -> usize {
    texts.into_iter().flatten().map(String::len).sum()
}

fn keys(rules: &[AuthorizationRule]) -> usize {
    let texts = |rule: &AuthorizationRule| rule.key_name.len() + rule.primary_key.len() + rule.secondary_key.len();
    rules.iter().map(|rule| size_of::<AuthorizationRule>() + texts(rule)).sum()
}

impl QueueDescription {
    /// Bytes of its texts.
    pub(super) fn memory(&self) -> usize {
        let all = [&self.forward_to, &self.forward_dead_lettered_messages_to, &self.user_metadata];
        texts(all) + keys(&self.authorization_rules)
    }

    /// What forwards is never idle: the service sets `AutoDeleteOnIdle` to its maximum there.
    // docs/evidence/field-reports.md F8
    pub(in crate::broker) fn never_idle_where_it_forwards(mut self) -> Self {
        if self.forward_to.is_some() || self.forward_dead_lettered_messages_to.is_some() {
            self.auto_delete_on_idle = None;
        }
        self
    }

    /// Checks what does not depend on other entities.
    ///
    /// # Errors
    /// [`EntityError::InvalidSetting`], which names the setting.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// let never = QueueDescription { max_delivery_count: 0, ..QueueDescription::default() };
    /// assert!(matches!(never.validate(), Err(EntityError::InvalidSetting("MaxDeliveryCount", _))));
    /// ```
    pub fn validate(&self) -> Result<(), EntityError> {
        check_lock(self.lock_duration)?;
        check_deliveries(self.max_delivery_count)?;
        check_idle(self.auto_delete_on_idle)?;
        check_size(self.max_message_size_in_kilobytes)?;
        check_window(self.duplicate_detection_history_time_window)?;
        check_forwarding(self.requires_session, self.forward_to.as_ref())
    }
}

impl TopicDescription {
    /// Bytes of its texts.
    pub(super) fn memory(&self) -> usize {
        texts([&self.user_metadata]) + keys(&self.authorization_rules)
    }

    /// Checks what does not depend on other entities.
    ///
    /// # Errors
    /// [`EntityError::InvalidSetting`], which names the setting.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// let empty = TopicDescription { max_message_size_in_kilobytes: Some(0), ..TopicDescription::default() };
    /// assert!(empty.validate().is_err());
    /// ```
    pub fn validate(&self) -> Result<(), EntityError> {
        check_idle(self.auto_delete_on_idle)?;
        check_size(self.max_message_size_in_kilobytes)?;
        check_window(self.duplicate_detection_history_time_window)
    }
}

impl SubscriptionDescription {
    /// Bytes of its texts.
    pub(super) fn memory(&self) -> usize {
        texts([&self.forward_to, &self.forward_dead_lettered_messages_to, &self.user_metadata])
    }

    /// As [`QueueDescription::never_idle_where_it_forwards`].
    pub(in crate::broker) fn never_idle_where_it_forwards(mut self) -> Self {
        if self.forward_to.is_some() || self.forward_dead_lettered_messages_to.is_some() {
            self.auto_delete_on_idle = None;
        }
        self
    }

    /// Checks what does not depend on other entities.
    ///
    /// # Errors
    /// [`EntityError::InvalidSetting`], which names the setting.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::*;
    /// # use servicebus_core::time::Duration;
    /// let lock_duration = Duration::from_secs(3_600);
    /// let slow = SubscriptionDescription { lock_duration, ..SubscriptionDescription::default() };
    /// assert!(matches!(slow.validate(), Err(EntityError::InvalidSetting("LockDuration", _))));
    /// ```
    pub fn validate(&self) -> Result<(), EntityError> {
        check_lock(self.lock_duration)?;
        check_deliveries(self.max_delivery_count)?;
        check_idle(self.auto_delete_on_idle)?;
        check_forwarding(self.requires_session, self.forward_to.as_ref())
    }
}
