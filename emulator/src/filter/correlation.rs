//! Filters that compare properties with given values.

use super::number::equal;
use super::property::{MessageProperties, SystemProperty};
use super::value::Value;

/// Matches messages that have all of these values; a filter that sets none matches every message.
///
/// Values are compared exactly, case included; numbers whatever their types. Names of application properties are
/// compared without case. A property that the message lacks does not match (RUL28).
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{CorrelationFilter, Value};
///
/// let red_orders = CorrelationFilter {
///     label: Some("order".into()),
///     properties: vec![("color".into(), Value::String("red".into()))],
///     ..CorrelationFilter::default()
/// };
/// assert_eq!(red_orders.message_id, None);
/// ```
// docs/evidence/pinned-behaviour.md RUL18
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CorrelationFilter {
    /// The correlation id.
    pub correlation_id: Option<String>,
    /// The message id.
    pub message_id: Option<String>,
    /// Where the message is meant to go.
    pub to: Option<String>,
    /// Where to send replies.
    pub reply_to: Option<String>,
    /// What the message is about.
    pub label: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// The session that replies belong to.
    pub reply_to_session_id: Option<String>,
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// Application properties. [`Value::Null`] matches a property that is there without a value.
    pub properties: Vec<(String, Value<'static>)>,
}

impl CorrelationFilter {
    /// The values of system properties, set or not, in the order of the filter's fields on the wire.
    // docs/evidence/wire-protocol.md §5, rule descriptors
    #[doc(hidden)]
    pub fn fields(&self) -> [(SystemProperty, Option<&str>); 8] {
        [
            (SystemProperty::CorrelationId, self.correlation_id.as_deref()),
            (SystemProperty::MessageId, self.message_id.as_deref()),
            (SystemProperty::To, self.to.as_deref()),
            (SystemProperty::ReplyTo, self.reply_to.as_deref()),
            (SystemProperty::Label, self.label.as_deref()),
            (SystemProperty::SessionId, self.session_id.as_deref()),
            (SystemProperty::ReplyToSessionId, self.reply_to_session_id.as_deref()),
            (SystemProperty::ContentType, self.content_type.as_deref()),
        ]
    }

    /// Whether the message has all of the values.
    #[doc(hidden)]
    pub fn matches<M: MessageProperties>(&self, message: &M) -> bool {
        let fields = self.fields().into_iter().all(|(property, wanted)| match wanted {
            Some(wanted) => message.system(property).is_some_and(|found| match (property, found.as_str()) {
                // Session ids know no case (docs/evidence/field-reports.md F67).
                (SystemProperty::SessionId, Some(found)) => found.to_lowercase() == wanted.to_lowercase(),
                (_, found) => found == Some(wanted),
            }),
            None => true,
        });
        fields
            && self.properties.iter().all(|(name, wanted)| match (message.user(name), wanted) {
                (Some(Value::Null), Value::Null) => true,
                (Some(found), wanted) => equal(&found, wanted) == Some(true),
                (None, _) => false,
            })
    }
}
