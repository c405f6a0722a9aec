//! A message's properties as filters read and actions write them.

use super::value::Value;
use core::fmt;

/// A property that Service Bus itself gives a meaning; `sys.` addresses it.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::SystemProperty;
///
/// let kept = match SystemProperty::from_name("label") {
///     Some(SystemProperty::Label) => "the subject",
///     Some(_) => "another property of Service Bus",
///     None => "an application property",
/// };
/// assert_eq!(kept, "the subject");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemProperty {
    /// Text.
    MessageId,
    /// Text.
    CorrelationId,
    /// Text.
    To,
    /// Text.
    ReplyTo,
    /// Text: the subject.
    Label,
    /// Text.
    SessionId,
    /// Text.
    ReplyToSessionId,
    /// Text.
    ContentType,
    /// Text.
    PartitionKey,
    /// Text: the transaction partition key.
    ViaPartitionKey,
    /// Duration.
    TimeToLive,
    /// Timestamp.
    ScheduledEnqueueTime,
    /// Timestamp, read only.
    EnqueuedTime,
    /// Long, read only.
    SequenceNumber,
    /// Long, read only.
    EnqueuedSequenceNumber,
    /// Int, read only.
    DeliveryCount,
    /// Timestamp, read only.
    ExpiresAt,
    /// Text, read only.
    DeadLetterSource,
    /// Int, read only.
    State,
    /// Long: bytes, read only.
    Size,
}

/// Names by which the SDKs know the properties; the first of each property is the canonical one.
const NAMES: &[(&str, SystemProperty)] = &[
    ("MessageId", SystemProperty::MessageId),
    ("CorrelationId", SystemProperty::CorrelationId),
    ("To", SystemProperty::To),
    ("ReplyTo", SystemProperty::ReplyTo),
    ("Label", SystemProperty::Label),
    ("Subject", SystemProperty::Label),
    ("SessionId", SystemProperty::SessionId),
    ("ReplyToSessionId", SystemProperty::ReplyToSessionId),
    ("ContentType", SystemProperty::ContentType),
    ("PartitionKey", SystemProperty::PartitionKey),
    ("ViaPartitionKey", SystemProperty::ViaPartitionKey),
    ("TransactionPartitionKey", SystemProperty::ViaPartitionKey),
    ("TimeToLive", SystemProperty::TimeToLive),
    ("ScheduledEnqueueTimeUtc", SystemProperty::ScheduledEnqueueTime),
    ("ScheduledEnqueueTime", SystemProperty::ScheduledEnqueueTime),
    ("EnqueuedTimeUtc", SystemProperty::EnqueuedTime),
    ("EnqueuedTime", SystemProperty::EnqueuedTime),
    ("SequenceNumber", SystemProperty::SequenceNumber),
    ("EnqueuedSequenceNumber", SystemProperty::EnqueuedSequenceNumber),
    ("DeliveryCount", SystemProperty::DeliveryCount),
    ("ExpiresAtUtc", SystemProperty::ExpiresAt),
    ("ExpiresAt", SystemProperty::ExpiresAt),
    ("DeadLetterSource", SystemProperty::DeadLetterSource),
    ("State", SystemProperty::State),
    ("Size", SystemProperty::Size),
];

impl SystemProperty {
    /// The property of this name without `sys.`, in any case.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::SystemProperty;
    /// assert_eq!(SystemProperty::from_name("Subject"), Some(SystemProperty::Label));
    /// assert_eq!(SystemProperty::from_name("color"), None);
    /// ```
    // docs/evidence/pinned-behaviour.md RUL19
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, property)| property)
    }

    /// The canonical name without `sys.`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::SystemProperty;
    /// assert_eq!(SystemProperty::TimeToLive.name(), "TimeToLive");
    /// ```
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|&&(_, property)| property == self).map_or("", |&(name, _)| name)
    }

    /// Whether an action may change the property.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::SystemProperty;
    /// assert!(SystemProperty::Label.is_settable());
    /// assert!(!SystemProperty::SequenceNumber.is_settable());
    /// ```
    pub const fn is_settable(self) -> bool {
        self.is_text() && !matches!(self, Self::DeadLetterSource)
            || matches!(self, Self::TimeToLive | Self::ScheduledEnqueueTime)
    }

    /// Whether the property is an id, whose length is limited.
    pub(super) const fn is_id(self) -> bool {
        matches!(
            self,
            Self::MessageId | Self::SessionId | Self::ReplyToSessionId | Self::PartitionKey | Self::ViaPartitionKey
        )
    }

    /// Whether the property holds a text.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::SystemProperty;
    /// assert!(SystemProperty::SessionId.is_text());
    /// assert!(!SystemProperty::DeliveryCount.is_text());
    /// ```
    pub const fn is_text(self) -> bool {
        matches!(
            self,
            Self::MessageId
                | Self::CorrelationId
                | Self::To
                | Self::ReplyTo
                | Self::Label
                | Self::SessionId
                | Self::ReplyToSessionId
                | Self::ContentType
                | Self::PartitionKey
                | Self::ViaPartitionKey
                | Self::DeadLetterSource
        )
    }
}

impl fmt::Display for SystemProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sys.{}", self.name())
    }
}

/// What filters read of a message.
pub trait MessageProperties {
    /// A system property; `None` when the message does not have it. The type is the one that the property's
    /// documentation names.
    fn system(&self, property: SystemProperty) -> Option<Value<'_>>;

    /// An application property, whatever the case of its name ([`Value::Null`] when it is there without a value).
    fn user(&self, name: &str) -> Option<Value<'_>>;
}

/// What actions write on a message.
pub trait MessagePropertiesMut: MessageProperties {
    /// Sets a system property for which [`SystemProperty::is_settable`] holds, or removes it. The value's type is the
    /// one that the property's documentation names, and its text has been checked.
    fn set_system(&mut self, property: SystemProperty, value: Option<Value<'static>>);

    /// Sets an application property. One that differs in case only is changed and keeps the spelling of its name.
    // docs/evidence/service-evidence.md §11
    fn set_user(&mut self, name: &str, value: Value<'static>);

    /// Removes an application property, whatever the case of its name.
    fn remove_user(&mut self, name: &str);
}

/// Application properties in the order in which they came. Names are looked up without regard to case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserProperties(Vec<(String, Value<'static>)>);

impl UserProperties {
    /// No properties.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a property behind the others, also when one of this name is there: what a sender sent is kept as it came.
    pub fn push(&mut self, name: String, value: Value<'static>) {
        self.0.push((name, value));
    }

    /// The property of this name: spelled the same, else the first that differs in case only.
    pub fn get(&self, name: &str) -> Option<&Value<'static>> {
        self.position(name).and_then(|index| self.0.get(index)).map(|(_, value)| value)
    }

    /// Changes the property that [`UserProperties::get`] finds, or adds one.
    pub fn set(&mut self, name: &str, value: Value<'static>) {
        match self.position(name).and_then(|index| self.0.get_mut(index)) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes every property of this name, whatever its case.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(found, _)| !same_name(found, name));
    }

    /// The properties in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'static>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        let exact = self.0.iter().position(|(found, _)| found == name);
        exact.or_else(|| self.0.iter().position(|(found, _)| same_name(found, name)))
    }
}

impl FromIterator<(String, Value<'static>)> for UserProperties {
    fn from_iter<T: IntoIterator<Item = (String, Value<'static>)>>(properties: T) -> Self {
        Self(properties.into_iter().collect())
    }
}

/// Whether two names of properties are the same but for case, character by character.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    fn upper(c: char) -> char {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(single), None) => single,
            _ => c,
        }
    }
    a.eq_ignore_ascii_case(b) || !(a.is_ascii() && b.is_ascii()) && a.chars().map(upper).eq(b.chars().map(upper))
}
