//! Rules of subscriptions that own what they hold.

use super::encoded_entries::EncodedEntries;
use super::rule::{CorrelationRuleFilterRef, FilterProperties, RuleFilterRef, RuleRef};
use crate::time::Timestamp;
use crate::wire::Value;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// A rule of a subscription, as it is listed over AMQP: it owns what a [`RuleRef`] borrows.
///
/// ```
/// use servicebus_core::servicebus::{Rule, RuleFilterRef, RuleRef};
///
/// let rule = Rule::from(RuleRef::new("big", RuleFilterRef::Sql("total >= 1000")).with_action("SET big = TRUE"));
/// assert_eq!(rule.filter(), RuleFilterRef::Sql("total >= 1000"));
/// assert_eq!((rule.name(), rule.action()), ("big", Some("SET big = TRUE")));
/// ```
#[derive(Clone, PartialEq)]
pub struct Rule {
    name: String,
    filter: Filter,
    action: Option<String>,
    created_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq)]
enum Filter {
    True,
    False,
    Sql(String),
    Correlation(Box<Correlation>),
}

#[derive(Clone, PartialEq)]
struct Correlation {
    correlation_id: Option<String>,
    message_id: Option<String>,
    to: Option<String>,
    reply_to: Option<String>,
    subject: Option<String>,
    session_id: Option<String>,
    reply_to_session_id: Option<String>,
    content_type: Option<String>,
    properties: EncodedEntries,
}

impl Rule {
    /// Its name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let rules = client.rule_manager(Entity::subscription("events", "audit")).list().await?;
    /// assert_eq!(rules[0].name(), "$Default");
    /// # Ok(())
    /// # });
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which messages it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Entity, RuleFilterRef, RuleRef};
    /// # servicebus_simulation::example(async |client| {
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// rules.remove("$Default").await?;
    /// rules.add(&RuleRef::new("big", RuleFilterRef::Sql("total >= 1000"))).await?;
    /// assert_eq!(rules.list().await?[0].filter(), RuleFilterRef::Sql("total >= 1000"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn filter(&self) -> RuleFilterRef<'_> {
        match &self.filter {
            Filter::True => RuleFilterRef::True,
            Filter::False => RuleFilterRef::False,
            Filter::Sql(expression) => RuleFilterRef::Sql(expression),
            Filter::Correlation(filter) => RuleFilterRef::Correlation(filter.as_filter()),
        }
    }

    /// A SQL action that changes them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Rule, RuleFilterRef, RuleRef};
    /// let rule = Rule::from(RuleRef::new("all", RuleFilterRef::True).with_action("SET seen = TRUE"));
    /// assert_eq!(rule.action(), Some("SET seen = TRUE"));
    /// ```
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// When it was created; set only by the service.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let rules = client.rule_manager(Entity::subscription("events", "audit")).list().await?;
    /// assert!(rules[0].created_at().is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub const fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// The same rule, borrowed: what [`RuleManager::add`](crate::client::RuleManager::add) takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let audit = client.rule_manager(Entity::subscription("events", "audit"));
    /// let all = client.rule_manager(Entity::subscription("events", "all"));
    /// all.remove("$Default").await?;
    /// for rule in audit.list().await? {
    ///     all.add(&rule.as_rule()).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn as_rule(&self) -> RuleRef<'_> {
        RuleRef { name: &self.name, filter: self.filter(), action: self.action(), created_at: self.created_at }
    }
}

impl Correlation {
    fn as_filter(&self) -> CorrelationRuleFilterRef<'_> {
        CorrelationRuleFilterRef {
            correlation_id: self.correlation_id.as_deref(),
            message_id: self.message_id.as_deref(),
            to: self.to.as_deref(),
            reply_to: self.reply_to.as_deref(),
            subject: self.subject.as_deref(),
            session_id: self.session_id.as_deref(),
            reply_to_session_id: self.reply_to_session_id.as_deref(),
            content_type: self.content_type.as_deref(),
            properties: FilterProperties::Encoded(self.properties.as_map()),
        }
    }
}

impl From<CorrelationRuleFilterRef<'_>> for Correlation {
    fn from(filter: CorrelationRuleFilterRef<'_>) -> Self {
        let text = |text: Option<&str>| text.map(String::from);
        let mut properties = EncodedEntries::default();
        for (name, value) in filter.properties.iter() {
            properties.append(Value::String(name), value);
        }
        Self {
            correlation_id: text(filter.correlation_id),
            message_id: text(filter.message_id),
            to: text(filter.to),
            reply_to: text(filter.reply_to),
            subject: text(filter.subject),
            session_id: text(filter.session_id),
            reply_to_session_id: text(filter.reply_to_session_id),
            content_type: text(filter.content_type),
            properties,
        }
    }
}

/// Copies everything that a borrowed rule holds.
impl From<RuleRef<'_>> for Rule {
    fn from(rule: RuleRef<'_>) -> Self {
        Self {
            name: rule.name.into(),
            filter: match rule.filter {
                RuleFilterRef::True => Filter::True,
                RuleFilterRef::False => Filter::False,
                RuleFilterRef::Sql(expression) => Filter::Sql(expression.into()),
                RuleFilterRef::Correlation(filter) => Filter::Correlation(Box::new(filter.into())),
            },
            action: rule.action.map(String::from),
            created_at: rule.created_at,
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_rule().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_keeps_everything() {
        let properties = [("hot", true.into()), ("cups", 2.into())];
        let filter = CorrelationRuleFilterRef::new()
            .with_correlation_id("1")
            .with_message_id("2")
            .with_to("3")
            .with_reply_to("4")
            .with_subject("5")
            .with_session_id("6")
            .with_reply_to_session_id("7")
            .with_content_type("8")
            .with_properties(&properties);
        let filters = [
            RuleFilterRef::True,
            RuleFilterRef::False,
            RuleFilterRef::Sql("a = 1"),
            RuleFilterRef::Correlation(CorrelationRuleFilterRef::new()),
            RuleFilterRef::Correlation(filter),
        ];
        for filter in filters {
            let rule = RuleRef {
                created_at: Some(Timestamp::from_millis(1)),
                ..RuleRef::new("tea", filter).with_action("SET seen = TRUE")
            };
            let owned = Rule::from(rule);
            assert_eq!(owned.as_rule(), rule);
            assert_eq!(Rule::from(owned.as_rule()), owned);
            let other = RuleRef { filter: RuleFilterRef::Sql("b = 1"), ..rule };
            assert_ne!(owned.as_rule(), other);
        }
    }
}
