//! Rules of subscriptions as they travel over AMQP.
// docs/evidence/wire-protocol.md §5, rule descriptors

use crate::time::Timestamp;
use crate::wire::{Described, Encode, List, Map, MapWriter, Sink, Value};

/// Descriptor codes; filters and rules have different vendor prefixes.
// docs/evidence/wire-protocol.md §0 fact 11
mod code {
    pub(super) const SQL_FILTER: u64 = 0x0000_0013_7000_0006;
    pub(super) const TRUE_FILTER: u64 = 0x0000_0013_7000_0007;
    pub(super) const FALSE_FILTER: u64 = 0x0000_0013_7000_0008;
    pub(super) const CORRELATION_FILTER: u64 = 0x0000_0013_7000_0009;
    pub(super) const SQL_ACTION: u64 = 0x0000_0137_0000_0006;
}

/// The values that messages need for a rule over AMQP, borrowed: `RuleManager` takes it in a [`RuleFilterRef`], where
/// `AdministrationClient` takes the owned `CorrelationRuleFilter`. Fields that are `None` are not compared.
///
/// ```
/// use servicebus_core::servicebus::{CorrelationRuleFilterRef, RuleFilterRef, RuleRef};
///
/// let hot = [("hot", true.into())];
/// let tea = CorrelationRuleFilterRef::new().with_subject("tea").with_properties(&hot);
/// let rule = RuleRef::new("tea", RuleFilterRef::Correlation(tea)).with_action("SET seen = TRUE");
/// # let _ = rule;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CorrelationRuleFilterRef<'a> {
    /// The correlation id.
    pub correlation_id: Option<&'a str>,
    /// The message id.
    pub message_id: Option<&'a str>,
    /// Where the message is meant to go.
    pub to: Option<&'a str>,
    /// Where replies go.
    pub reply_to: Option<&'a str>,
    /// The subject.
    pub subject: Option<&'a str>,
    /// The session.
    pub session_id: Option<&'a str>,
    /// The session of replies.
    pub reply_to_session_id: Option<&'a str>,
    /// The MIME type.
    pub content_type: Option<&'a str>,
    /// Application properties.
    pub properties: FilterProperties<'a>,
}

impl<'a> CorrelationRuleFilterRef<'a> {
    /// Takes every message until it compares something.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// assert_eq!(CorrelationRuleFilterRef::new().subject, None);
    /// ```
    pub const fn new() -> Self {
        Self {
            correlation_id: None,
            message_id: None,
            to: None,
            reply_to: None,
            subject: None,
            session_id: None,
            reply_to_session_id: None,
            content_type: None,
            properties: FilterProperties::Listed(&[]),
        }
    }

    /// Compares the correlation id.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let answers = CorrelationRuleFilterRef::new().with_correlation_id("offer-3");
    /// assert_eq!(answers.correlation_id, Some("offer-3"));
    /// ```
    #[must_use]
    pub const fn with_correlation_id(mut self, correlation_id: &'a str) -> Self {
        self.correlation_id = Some(correlation_id);
        self
    }

    /// Compares the message id.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let one = CorrelationRuleFilterRef::new().with_message_id("order-7");
    /// assert_eq!(one.message_id, Some("order-7"));
    /// ```
    #[must_use]
    pub const fn with_message_id(mut self, message_id: &'a str) -> Self {
        self.message_id = Some(message_id);
        self
    }

    /// Compares where the message is meant to go.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let warehouse = CorrelationRuleFilterRef::new().with_to("warehouse");
    /// assert_eq!(warehouse.to, Some("warehouse"));
    /// ```
    #[must_use]
    pub const fn with_to(mut self, to: &'a str) -> Self {
        self.to = Some(to);
        self
    }

    /// Compares where replies go.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let shop = CorrelationRuleFilterRef::new().with_reply_to("shop");
    /// assert_eq!(shop.reply_to, Some("shop"));
    /// ```
    #[must_use]
    pub const fn with_reply_to(mut self, reply_to: &'a str) -> Self {
        self.reply_to = Some(reply_to);
        self
    }

    /// Compares the subject.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{CorrelationRuleFilterRef, Entity, Message, RuleFilterRef, RuleRef};
    /// # servicebus_simulation::example(async |client| {
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// rules.remove("$Default").await?;
    /// let refunds = CorrelationRuleFilterRef::new().with_subject("refund");
    /// rules.add(&RuleRef::new("refunds", RuleFilterRef::Correlation(refunds))).await?;
    ///
    /// let events = client.sender("events")?;
    /// events.send(&Message::new("2 blue").with_subject("sale")).await?;
    /// events.send(&Message::new("1 blue").with_subject("refund")).await?;
    /// let audit = client.receiver(Entity::subscription("events", "audit"))?;
    /// assert_eq!(audit.next().await?.text()?, "1 blue");
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub const fn with_subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Compares the session.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let contoso = CorrelationRuleFilterRef::new().with_session_id("contoso");
    /// assert_eq!(contoso.session_id, Some("contoso"));
    /// ```
    #[must_use]
    pub const fn with_session_id(mut self, session_id: &'a str) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// Compares the session of replies.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let contoso = CorrelationRuleFilterRef::new().with_reply_to_session_id("contoso");
    /// assert_eq!(contoso.reply_to_session_id, Some("contoso"));
    /// ```
    #[must_use]
    pub const fn with_reply_to_session_id(mut self, reply_to_session_id: &'a str) -> Self {
        self.reply_to_session_id = Some(reply_to_session_id);
        self
    }

    /// Compares the MIME type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let json = CorrelationRuleFilterRef::new().with_content_type("application/json");
    /// assert_eq!(json.content_type, Some("application/json"));
    /// ```
    #[must_use]
    pub const fn with_content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// Compares application properties.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::CorrelationRuleFilterRef;
    /// let properties = [("country", "de".into()), ("express", true.into())];
    /// let german = CorrelationRuleFilterRef::new().with_properties(&properties);
    /// assert_eq!(german.properties.iter().count(), 2);
    /// ```
    #[must_use]
    pub const fn with_properties(mut self, properties: &'a [(&'a str, Value<'a>)]) -> Self {
        self.properties = FilterProperties::Listed(properties);
        self
    }
}

/// Application properties of a filter: written from a slice, read as they came. They are equal with the same names and
/// values in the same order.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{CorrelationRuleFilterRef, FilterProperties};
///
/// let express = [("express", true.into())];
/// let filter = CorrelationRuleFilterRef::new().with_properties(&express);
/// assert_eq!(filter.properties, FilterProperties::Listed(&express));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FilterProperties<'a> {
    /// Written by the application.
    Listed(&'a [(&'a str, Value<'a>)]),
    /// Read from the wire.
    Encoded(Map<'a>),
}

impl Default for FilterProperties<'_> {
    fn default() -> Self {
        Self::Listed(&[])
    }
}

impl PartialEq for FilterProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> FilterProperties<'a> {
    /// The properties in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::FilterProperties;
    /// let express = [("express", true.into())];
    /// for (name, value) in FilterProperties::Listed(&express).iter() {
    ///     println!("{name} = {value:?}");
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let (listed, map) = match *self {
            Self::Listed(listed) => (listed, Map::EMPTY),
            Self::Encoded(map) => (&[][..], map),
        };
        let encoded = map.iter().map_while(Result::ok).filter_map(|(key, value)| Some((key.as_str()?, value)));
        listed.iter().copied().chain(encoded)
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::FilterProperties;
    /// assert!(FilterProperties::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Which messages a rule takes.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::RuleFilterRef;
///
/// fn describe(filter: RuleFilterRef<'_>) -> String {
///     match filter {
///         RuleFilterRef::True => "everything".into(),
///         RuleFilterRef::False => "nothing".into(),
///         RuleFilterRef::Sql(expression) => format!("where {expression}"),
///         RuleFilterRef::Correlation(filter) => format!("with subject {:?}", filter.subject),
///         _ => "something else".into(),
///     }
/// }
/// assert_eq!(describe(RuleFilterRef::Sql("total >= 1000")), "where total >= 1000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RuleFilterRef<'a> {
    /// Every message.
    True,
    /// No message.
    False,
    /// Those for which a SQL expression is true.
    Sql(&'a str),
    /// Those with equal properties.
    Correlation(CorrelationRuleFilterRef<'a>),
}

/// A rule of a subscription.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{Entity, RuleFilterRef, RuleRef};
/// # servicebus_simulation::example(async |client| {
/// let rules = client.rule_manager(Entity::subscription("events", "audit"));
/// rules.add(&RuleRef::new("big", RuleFilterRef::Sql("total >= 1000")).with_action("SET big = TRUE")).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RuleRef<'a> {
    /// Its name, at most 50 characters.
    pub name: &'a str,
    /// Which messages it takes.
    pub filter: RuleFilterRef<'a>,
    /// A SQL action that changes them.
    pub action: Option<&'a str>,
    /// When it was created; set only by the service.
    pub created_at: Option<Timestamp>,
}

impl<'a> RuleRef<'a> {
    /// A rule without an action.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{RuleFilterRef, RuleRef};
    /// let rule = RuleRef::new("big", RuleFilterRef::Sql("total >= 1000"));
    /// assert_eq!((rule.name, rule.action), ("big", None));
    /// ```
    pub const fn new(name: &'a str, filter: RuleFilterRef<'a>) -> Self {
        Self { name, filter, action: None, created_at: None }
    }

    /// Sets the SQL action.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{RuleFilterRef, RuleRef};
    /// let rule = RuleRef::new("all", RuleFilterRef::True).with_action("SET seen = TRUE");
    /// assert_eq!(rule.action, Some("SET seen = TRUE"));
    /// ```
    #[must_use]
    pub const fn with_action(mut self, action: &'a str) -> Self {
        self.action = Some(action);
        self
    }

    /// Reads the described list that the service sends.
    pub(crate) fn from_value(value: Value<'a>) -> Option<Self> {
        let Value::Described(described) = value else { return None };
        let fields = list(described)?;
        let mut fields = fields.iter().map_while(Result::ok);
        let filter = RuleFilterRef::from_value(fields.next()?)?;
        let action = match fields.next() {
            Some(Value::Described(described)) if described.code() == Some(code::SQL_ACTION) => {
                list(described)?.iter().next()?.ok()?.as_str()
            }
            _ => None,
        };
        let name = fields.next().and_then(|value| value.as_str()).unwrap_or_default();
        let created_at = fields.next().and_then(|value| value.as_timestamp());
        Some(Self { name, filter, action, created_at })
    }
}

fn list(described: Described<'_>) -> Option<List<'_>> {
    match described.value() {
        Ok(Value::List(list)) => Some(list),
        _ => None,
    }
}

impl<'a> RuleFilterRef<'a> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        let Value::Described(described) = value else { return None };
        let fields = list(described)?;
        let mut fields = fields.iter().map_while(Result::ok);
        Some(match described.code()? {
            code::SQL_FILTER => Self::Sql(fields.next()?.as_str()?),
            code::TRUE_FILTER => Self::True,
            code::FALSE_FILTER => Self::False,
            code::CORRELATION_FILTER => {
                let mut text = || fields.next().and_then(|value| value.as_str());
                Self::Correlation(CorrelationRuleFilterRef {
                    correlation_id: text(),
                    message_id: text(),
                    to: text(),
                    reply_to: text(),
                    subject: text(),
                    session_id: text(),
                    reply_to_session_id: text(),
                    content_type: text(),
                    properties: match fields.next() {
                        Some(Value::Map(map)) => FilterProperties::Encoded(map),
                        _ => FilterProperties::default(),
                    },
                })
            }
            _ => return None,
        })
    }
}

/// A map that holds a SQL text.
fn put_sql(sink: &mut Sink<'_>, expression: &str) {
    let mut map = MapWriter::begin(sink);
    map.put("expression", expression);
    map.end();
}

impl Encode for RuleFilterRef<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let filter = match self {
            // The service knows these two only as SQL on this path.
            Self::True => return put_sql(sink, "1=1"),
            Self::False => return put_sql(sink, "1=0"),
            Self::Sql(expression) => return put_sql(sink, expression),
            Self::Correlation(filter) => filter,
        };
        let mut map = MapWriter::begin(sink);
        for (key, text) in [
            ("correlation-id", filter.correlation_id),
            ("message-id", filter.message_id),
            ("to", filter.to),
            ("reply-to", filter.reply_to),
            ("label", filter.subject),
            ("session-id", filter.session_id),
            ("reply-to-session-id", filter.reply_to_session_id),
            ("content-type", filter.content_type),
        ] {
            map.put_if(key, text);
        }
        let mut properties = MapWriter::begin(map.key("properties"));
        for (key, value) in filter.properties.iter() {
            properties.put(key, value);
        }
        properties.end();
        map.end();
    }
}

/// The map that `add-rule` takes.
impl Encode for RuleRef<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let mut map = MapWriter::begin(sink);
        self.filter.encode(map.key(match self.filter {
            RuleFilterRef::Correlation(_) => "correlation-filter",
            _ => "sql-filter",
        }));
        if let Some(action) = self.action {
            put_sql(map.key("sql-rule-action"), action);
        }
        map.end();
    }
}
