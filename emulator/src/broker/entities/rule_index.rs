//! The rules of a topic by what a message must have to match them: a message meets the filters that it can match, and
//! no others.

use super::error::EntityError;
use super::message::Message;
use super::properties::PropertyEditor;
use crate::broker::tier::Limits;
use crate::filter::{CorrelationFilter, Filter, MessageProperties, Rule, SystemProperty, Value};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The key of a subscription, its number and the key of one of its rules. Numbers are not used again: a rule of a
/// subscription that is gone is none of the next one of its name.
type Place = (Arc<str>, u64, Arc<str>);

/// Rules by the value that they require.
type Values = HashMap<Box<str>, BTreeSet<Place>>;

/// Rules that require an application property.
#[derive(Debug, Default)]
struct Named {
    /// With this text.
    texts: Values,
    /// With a value of another type, or none.
    others: BTreeSet<Place>,
}

/// Finds the rules that a message may match.
#[derive(Debug, Default)]
pub struct RuleIndex {
    /// SQL filters, filters that take everything, and correlation filters without a condition.
    always: BTreeSet<Place>,
    system: HashMap<SystemProperty, Values>,
    /// By the name in lower case.
    user: HashMap<Box<str>, Named>,
    counts: RuleCounts,
}

/// How many rules there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct RuleCounts {
    rules: usize,
    sql: usize,
    correlation: usize,
}

impl RuleCounts {
    fn of(rule: &Rule) -> Self {
        Self {
            rules: 1,
            sql: usize::from(matches!(rule.filter, Filter::Sql(_))),
            correlation: usize::from(matches!(rule.filter, Filter::Correlation(_))),
        }
    }

    fn plus(self, more: Self) -> Self {
        Self {
            rules: self.rules + more.rules,
            sql: self.sql + more.sql,
            correlation: self.correlation + more.correlation,
        }
    }

    fn minus(self, less: Self) -> Self {
        Self {
            rules: self.rules.saturating_sub(less.rules),
            sql: self.sql.saturating_sub(less.sql),
            correlation: self.correlation.saturating_sub(less.correlation),
        }
    }

    /// One rule comes.
    pub(super) fn add(&mut self, rule: &Rule) {
        *self = self.plus(Self::of(rule));
    }

    /// One rule goes.
    pub(super) fn remove(&mut self, rule: &Rule) {
        *self = self.minus(Self::of(rule));
    }
}

/// One condition of a filter: without it the filter does not match.
enum Condition<'f> {
    System(SystemProperty, Cow<'f, str>),
    Text(String, &'f str),
    Other(String),
}

/// The form in which a value of a system property is looked up. Session ids know no case.
fn folded(property: SystemProperty, value: &str) -> Cow<'_, str> {
    if property == SystemProperty::SessionId { Cow::Owned(value.to_lowercase()) } else { Cow::Borrowed(value) }
}

/// The condition that a correlation filter is found by: ids first, which tell most messages apart.
fn condition(filter: &CorrelationFilter) -> Option<Condition<'_>> {
    let mut fields = filter.fields().into_iter();
    if let Some((property, value)) = fields.find_map(|(property, value)| Some((property, value?))) {
        return Some(Condition::System(property, folded(property, value)));
    }
    let texts = filter.properties.iter().find_map(|(name, value)| Some((name, value.as_str()?)));
    match (texts, filter.properties.first()) {
        (Some((name, text)), _) => Some(Condition::Text(name.to_lowercase(), text)),
        (None, Some((name, _))) => Some(Condition::Other(name.to_lowercase())),
        (None, None) => None,
    }
}

impl RuleIndex {
    /// SQL filters, those that take everything or nothing left out.
    pub fn sql_filters(&self) -> usize {
        self.counts.sql
    }

    /// Correlation filters.
    pub fn correlation_filters(&self) -> usize {
        self.counts.correlation
    }

    /// All rules.
    pub fn rules(&self) -> usize {
        self.counts.rules
    }

    /// Checks how many filters there are beside this one, and without the one in whose place it comes.
    ///
    /// # Errors
    /// [`EntityError::OutOfRange`].
    // docs/evidence/wire-protocol.md §8
    pub(in crate::broker) fn check_room(
        &self,
        rule: &Rule,
        before: Option<&Rule>,
        limits: Limits,
    ) -> Result<(), EntityError> {
        let is_sql = |rule: &Rule| matches!(rule.filter, Filter::Sql(_));
        let is_correlation = |rule: &Rule| matches!(rule.filter, Filter::Correlation(_));
        let (kind, count, limit, freed) = if is_sql(rule) {
            ("SQL", self.counts.sql, limits.sql_filters, before.is_some_and(is_sql))
        } else if is_correlation(rule) {
            let freed = before.is_some_and(is_correlation);
            ("correlation", self.counts.correlation, limits.correlation_filters, freed)
        } else {
            return Ok(());
        };
        if count - usize::from(freed) < limit {
            return Ok(());
        }
        Err(EntityError::OutOfRange(format!("A topic cannot have more than {limit} {kind} filters.")))
    }

    /// Its entries, to be let go.
    pub(super) fn into_entries(self) -> impl Iterator<Item = ()> + Send {
        let of = |values: Values| values.into_values().flatten();
        let user = self.user.into_values().flat_map(move |named| of(named.texts).chain(named.others));
        self.always.into_iter().chain(self.system.into_values().flat_map(of)).chain(user).map(|_| ())
    }

    /// Adds a rule of a subscription with this number.
    pub(super) fn add(&mut self, subscription: &str, number: u64, key: &str, rule: &Rule) {
        self.counts.add(rule);
        let place: Place = (subscription.into(), number, key.into());
        self.change(&rule.filter, |places| {
            places.insert(place);
        });
    }

    /// Removes a rule of a subscription.
    pub(super) fn remove(&mut self, subscription: &str, number: u64, key: &str, rule: &Rule) {
        self.counts.remove(rule);
        self.let_go(subscription, number, key, &rule.filter);
    }

    /// A subscription goes with all of its rules, which count no more: [`RuleIndex::let_go`] is for each of them.
    pub(super) fn leave(&mut self, counts: RuleCounts) {
        self.counts = self.counts.minus(counts);
    }

    /// Lets go of a rule of a subscription that is gone.
    pub(super) fn let_go(&mut self, subscription: &str, number: u64, key: &str, filter: &Filter) {
        let place: Place = (subscription.into(), number, key.into());
        self.change(filter, |places| {
            places.remove(&place);
        });
    }

    fn change(&mut self, filter: &Filter, change: impl FnOnce(&mut BTreeSet<Place>)) {
        /// Changes what is found by a key, and forgets the key when nothing is left.
        fn entry(values: &mut Values, key: &str, change: impl FnOnce(&mut BTreeSet<Place>)) {
            let places = values.entry(key.into()).or_default();
            change(places);
            if places.is_empty() {
                values.remove(key);
            }
        }
        let condition = match filter {
            Filter::False => return,
            Filter::Correlation(filter) => condition(filter),
            _ => None,
        };
        match condition {
            None => change(&mut self.always),
            Some(Condition::System(property, value)) => {
                let values = self.system.entry(property).or_default();
                entry(values, &value, change);
                if values.is_empty() {
                    self.system.remove(&property);
                }
            }
            Some(Condition::Text(name, text)) => {
                let named = self.user.entry(name.as_str().into()).or_default();
                entry(&mut named.texts, text, change);
                self.forget(&name);
            }
            Some(Condition::Other(name)) => {
                change(&mut self.user.entry(name.as_str().into()).or_default().others);
                self.forget(&name);
            }
        }
    }

    fn forget(&mut self, name: &str) {
        if self.user.get(name).is_some_and(|named| named.texts.is_empty() && named.others.is_empty()) {
            self.user.remove(name);
        }
    }

    /// The rules that a message may match, in the order of their subscriptions and names.
    pub(super) fn candidates(&self, message: &Message) -> Vec<&Place> {
        let mut found = self.matched(message);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Those rules in any order: a rule has one condition, and is found by it once.
    fn matched(&self, message: &Message) -> Vec<&Place> {
        let mut found: Vec<&Place> = self.always.iter().collect();
        let properties = PropertyEditor::new(message);
        for (property, values) in &self.system {
            if let Some(Value::String(value)) = properties.system(*property) {
                found.extend(values.get(folded(*property, &value).as_ref()).into_iter().flatten());
            }
        }
        if !self.user.is_empty() {
            // A message may say a name and a text any number of times: each counts once.
            let (mut names, mut texts) = (HashSet::new(), HashSet::new());
            for (name, value) in message.application_properties().iter().map_while(Result::ok) {
                let known = name.as_str().and_then(|name| self.user.get_key_value(name.to_lowercase().as_str()));
                let Some((name, named)) = known else { continue };
                if names.insert(name) {
                    found.extend(&named.others);
                }
                if let Value::String(text) = Value::from(value)
                    && let Some((text, places)) = named.texts.get_key_value(text.as_ref())
                    && texts.insert((name, text))
                {
                    found.extend(places);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Dialect, SqlFilter};
    use bytes::Bytes;
    use servicebus_core::servicebus::MessageRef as Sent;

    fn message(sent: &Sent<'_>) -> Message {
        Message::accept(Bytes::from(servicebus_core::wire::to_vec(sent))).unwrap()
    }

    fn rule(name: &str, filter: Filter) -> Rule {
        Rule { name: name.into(), filter, action: None }
    }

    fn names<'i>(index: &'i RuleIndex, sent: &Sent<'_>) -> Vec<(&'i str, &'i str)> {
        let message = message(sent);
        index.candidates(&message).into_iter().map(|(subscription, _, rule)| (&**subscription, &**rule)).collect()
    }

    #[test]
    fn a_property_that_a_message_repeats_counts_once() {
        let mut index = RuleIndex::default();
        for (at, value) in [Value::Null, "red".into(), "blue".into()].into_iter().enumerate() {
            let properties = vec![("Colour".into(), value)];
            let filter = Filter::Correlation(CorrelationFilter { properties, ..CorrelationFilter::default() });
            index.add("sub", 1, &at.to_string(), &rule("r", filter));
        }
        let mut properties = Vec::new();
        for name in ["colour", "COLOUR", "Colour", "cOLOUR"] {
            properties.push((name, "red".into()));
            properties.push((name, "green".into()));
        }
        let sent = Sent::new("x").with_properties(&properties);
        assert_eq!(index.matched(&message(&sent)).len(), 2);
        assert_eq!(names(&index, &sent), [("sub", "0"), ("sub", "1")]);
    }

    #[test]
    fn a_message_meets_the_rules_that_it_can_match() {
        let label = CorrelationFilter { label: Some("red".into()), ..CorrelationFilter::default() };
        let session = CorrelationFilter { session_id: Some("S1".into()), ..CorrelationFilter::default() };
        let property = |value: Value<'static>| CorrelationFilter {
            properties: vec![("Colour".into(), value)],
            ..CorrelationFilter::default()
        };
        let sql = SqlFilter::parse("a = 1", Vec::new(), &Dialect::default()).unwrap();
        let rules = [
            ("all", rule("$default", Filter::True)),
            ("b", rule("label", Filter::Correlation(label))),
            ("b", rule("session", Filter::Correlation(session))),
            ("c", rule("text", Filter::Correlation(property("red".into())))),
            ("c", rule("number", Filter::Correlation(property(7i64.into())))),
            ("c", rule("null", Filter::Correlation(property(Value::Null)))),
            ("d", rule("empty", Filter::Correlation(CorrelationFilter::default()))),
            ("none", rule("never", Filter::False)),
            ("sql", rule("sql", Filter::Sql(sql))),
        ];
        let mut index = RuleIndex::default();
        for (subscription, rule) in &rules {
            index.add(subscription, 1, &rule.name, rule);
        }
        assert_eq!((index.rules(), index.sql_filters(), index.correlation_filters()), (9, 1, 6));
        let always = [("all", "$default"), ("d", "empty"), ("sql", "sql")];
        let with = |more: &[(&'static str, &'static str)]| {
            let mut all = [&always, more].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(names(&index, &Sent::new("x")), always);
        assert_eq!(names(&index, &Sent::new("x").with_subject("red")), with(&[("b", "label")]));
        assert_eq!(names(&index, &Sent::new("x").with_subject("Red")), always);
        assert_eq!(names(&index, &Sent::new("x").with_session_id("s1")), with(&[("b", "session")]));
        let others = [("c", "number"), ("c", "null")];
        let properties = [("COLOUR", "red".into())];
        let coloured = Sent::new("x").with_properties(&properties);
        assert_eq!(names(&index, &coloured), with(&[&others[..], &[("c", "text")]].concat()));
        let properties = [("colour", 7i32.into()), ("colour2", "red".into())];
        assert_eq!(names(&index, &Sent::new("x").with_properties(&properties)), with(&others));
        for (subscription, rule) in &rules {
            index.remove(subscription, 1, &rule.name, rule);
        }
        assert_eq!((index.rules(), index.sql_filters(), index.correlation_filters()), (0, 0, 0));
        assert!(index.always.is_empty() && index.system.is_empty() && index.user.is_empty());
    }
}
