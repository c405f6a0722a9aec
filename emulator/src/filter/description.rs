//! Rules as `$management` reads and writes them.
// docs/evidence/wire-protocol.md §5

use super::correlation::CorrelationFilter;
use super::error::ParseError;
use super::rule::{Filter, Rule};
use super::sql::{Dialect, SqlAction, SqlFilter};
use super::value::Value;
use core::fmt;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::{self, Compound, Encode, Sink};

// Rules and actions have another vendor's prefix than filters (docs/evidence/wire-protocol.md §0 fact 11).
const RULE_DESCRIPTION: u64 = 0x0000_0137_0000_0004;
const EMPTY_ACTION: u64 = 0x0000_0137_0000_0005;
const SQL_ACTION: u64 = 0x0000_0137_0000_0006;
const SQL_FILTER: u64 = 0x0000_0013_7000_0006;
const TRUE_FILTER: u64 = 0x0000_0013_7000_0007;
const FALSE_FILTER: u64 = 0x0000_0013_7000_0008;
const CORRELATION_FILTER: u64 = 0x0000_0013_7000_0009;

/// The version of the language that every text is in.
// docs/evidence/pinned-behaviour.md ADM66
const COMPATIBILITY_LEVEL: i32 = 20;

/// A rule as `enumerate-rules` answers it: encodes as the described list under the key `rule-description`.
#[derive(Clone, Copy, Debug)]
pub struct RuleDescription<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Encode for RuleDescription<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        described(sink, RULE_DESCRIPTION, 4, |sink| {
            self.rule.filter.encode(sink);
            match &self.rule.action {
                None => described(sink, EMPTY_ACTION, 0, |_| {}),
                Some(action) => described(sink, SQL_ACTION, 2, |sink| {
                    action.text().encode(sink);
                    COMPATIBILITY_LEVEL.encode(sink);
                }),
            }
            self.rule.name.as_str().encode(sink);
            self.created_at.encode(sink);
        });
    }
}

impl Encode for Filter {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::True => described(sink, TRUE_FILTER, 0, |_| {}),
            Self::False => described(sink, FALSE_FILTER, 0, |_| {}),
            Self::Sql(filter) => described(sink, SQL_FILTER, 2, |sink| {
                filter.text().encode(sink);
                COMPATIBILITY_LEVEL.encode(sink);
            }),
            Self::Correlation(filter) => described(sink, CORRELATION_FILTER, 9, |sink| {
                for (_, value) in filter.fields() {
                    value.encode(sink);
                }
                let mark = sink.begin();
                for (name, value) in &filter.properties {
                    name.as_str().encode(sink);
                    value.encode(sink);
                }
                sink.end(mark, Compound::Map, filter.properties.len().saturating_mul(2));
            }),
        }
    }
}

fn described(sink: &mut Sink<'_>, code: u64, count: usize, fields: impl FnOnce(&mut Sink<'_>)) {
    sink.put_byte(0);
    code.encode(sink);
    let mark = sink.begin();
    fields(sink);
    sink.end(mark, Compound::List, count);
}

/// A rule that `add-rule` cannot add.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The value under this key is not what it should be.
    Malformed(&'static str),
    /// The filter's text.
    Filter(ParseError),
    /// The action's text.
    Action(ParseError),
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(key) => write!(f, "the value of `{key}` is malformed"),
            Self::Filter(error) => write!(f, "filter: {error}"),
            Self::Action(error) => write!(f, "action: {error}"),
        }
    }
}

impl core::error::Error for DescriptionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(_) => None,
            Self::Filter(error) | Self::Action(error) => Some(error),
        }
    }
}

impl Rule {
    /// The rule of an `add-rule` request: its `rule-name`, and the map under `rule-description`. Without a filter it
    /// takes every message.
    ///
    /// # Errors
    /// What is wrong with the map or with a text in it.
    // docs/evidence/pinned-behaviour.md RUL41
    #[doc(hidden)]
    pub fn from_description(
        name: impl Into<String>,
        description: wire::Map<'_>,
        dialect: &Dialect,
    ) -> Result<Self, DescriptionError> {
        let sql = map(description, "sql-filter")?;
        let correlation = map(description, "correlation-filter")?;
        let filter = match (sql, correlation) {
            (Some(sql), None) => {
                let text = text(sql, "expression")?.ok_or(DescriptionError::Malformed("sql-filter"))?;
                Filter::Sql(SqlFilter::parse(text, Vec::new(), dialect).map_err(DescriptionError::Filter)?)
            }
            (None, Some(correlation)) => Filter::Correlation(CorrelationFilter::from_description(correlation)?),
            (None, None) => Filter::True,
            (Some(_), Some(_)) => return Err(DescriptionError::Malformed("rule-description")),
        };
        // An action without an expression is none: clients for Rust describe every rule so.
        let action = match map(description, "sql-rule-action")? {
            Some(action) => text(action, "expression")?,
            None => None,
        };
        let action = action.map(|text| SqlAction::parse(text, Vec::new(), dialect).map_err(DescriptionError::Action));
        let action = action.transpose()?;
        Ok(Self { name: name.into(), filter, action })
    }
}

impl CorrelationFilter {
    /// The filter in the map under `correlation-filter`; fields that are null are not set.
    ///
    /// # Errors
    /// A field of another type.
    #[doc(hidden)]
    pub fn from_description(fields: wire::Map<'_>) -> Result<Self, DescriptionError> {
        let field = |key| Ok(text(fields, key)?.map(str::to_owned));
        let mut properties = Vec::new();
        for property in map(fields, "properties")?.iter().flat_map(wire::Map::iter) {
            let (name, value) = property.map_err(|_| DescriptionError::Malformed("properties"))?;
            let name = name.as_str().ok_or(DescriptionError::Malformed("properties"))?;
            properties.push((name.to_owned(), Value::from(value).into_owned()));
        }
        Ok(Self {
            correlation_id: field("correlation-id")?,
            message_id: field("message-id")?,
            to: field("to")?,
            reply_to: field("reply-to")?,
            label: field("label")?,
            session_id: field("session-id")?,
            reply_to_session_id: field("reply-to-session-id")?,
            content_type: field("content-type")?,
            properties,
        })
    }
}

/// The map under a key; `None` when it is absent or null.
fn map<'a>(map: wire::Map<'a>, key: &'static str) -> Result<Option<wire::Map<'a>>, DescriptionError> {
    match map.get(key) {
        None | Some(wire::Value::Null) => Ok(None),
        Some(wire::Value::Map(map)) => Ok(Some(map)),
        Some(_) => Err(DescriptionError::Malformed(key)),
    }
}

/// The text under a key; `None` when it is absent or null.
fn text<'a>(map: wire::Map<'a>, key: &'static str) -> Result<Option<&'a str>, DescriptionError> {
    match map.get(key) {
        None | Some(wire::Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(DescriptionError::Malformed(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicebus_core::wire::{Reader, encode_map};

    fn value(bytes: &[u8]) -> wire::Value<'_> {
        Reader::new(bytes).value().expect("well-formed")
    }

    /// The descriptor's code and the fields.
    fn parts(value: wire::Value<'_>) -> (u64, Vec<wire::Value<'_>>) {
        let wire::Value::Described(described) = value else { panic!("{value:?} is not described") };
        let Ok(wire::Value::List(list)) = described.value() else { panic!("{described:?} is no list") };
        (described.code().expect("numeric"), list.iter().map(|item| item.expect("well-formed")).collect())
    }

    fn read(entries: &[(wire::Value<'_>, wire::Value<'_>)]) -> Result<Rule, DescriptionError> {
        let mut buffer = [0; 1024];
        let map = encode_map(entries, &mut buffer).expect("room");
        Rule::from_description("rule", map, &Dialect::default())
    }

    #[test]
    fn sql_rules_go_both_ways() {
        let (mut filter, mut action) = ([0; 128], [0; 128]);
        let filter = encode_map(&[("expression".into(), "a  = 1".into())], &mut filter).expect("room");
        let action = encode_map(&[("expression".into(), "set A=2 ".into())], &mut action).expect("room");
        let rule =
            read(&[("sql-filter".into(), filter.into()), ("sql-rule-action".into(), action.into())]).expect("valid");
        let bytes = wire::to_vec(&RuleDescription { rule: &rule, created_at: Timestamp::from_millis(5) });
        let (code, fields) = parts(value(&bytes));
        assert_eq!((code, fields.len()), (0x0000013700000004, 4));
        assert_eq!(parts(fields[0]), (0x0000001370000006, vec!["a  = 1".into(), 20i32.into()]));
        assert_eq!(parts(fields[1]), (0x0000013700000006, vec!["set A=2 ".into(), 20i32.into()]));
        assert_eq!(fields[2..], ["rule".into(), Timestamp::from_millis(5).into()]);
    }

    #[test]
    fn an_action_without_an_expression_is_none() {
        let mut filter = [0; 128];
        let filter = encode_map(&[("expression".into(), "a = 1".into())], &mut filter).expect("room");
        for entries in [&[][..], &[("expression".into(), wire::Value::Null)]] {
            let mut action = [0; 64];
            let action = encode_map(entries, &mut action).expect("room");
            let rule = read(&[("sql-filter".into(), filter.into()), ("sql-rule-action".into(), action.into())]);
            assert!(rule.expect("valid").action.is_none());
        }
    }

    #[test]
    fn correlation_rules_go_both_ways() {
        let (mut properties, mut filter) = ([0; 128], [0; 512]);
        let entries = [("Color".into(), "red".into()), ("n".into(), 5i32.into()), ("none".into(), wire::Value::Null)];
        let properties = encode_map(&entries, &mut properties).expect("room");
        let fields = [
            ("correlation-id".into(), "c".into()),
            ("message-id".into(), wire::Value::Null),
            ("to".into(), "t".into()),
            ("reply-to".into(), "r".into()),
            ("label".into(), "l".into()),
            ("session-id".into(), "s".into()),
            ("reply-to-session-id".into(), "rs".into()),
            ("content-type".into(), "ct".into()),
            ("properties".into(), properties.into()),
        ];
        let filter = encode_map(&fields, &mut filter).expect("room");
        let rule = read(&[("correlation-filter".into(), filter.into())]).expect("valid");
        assert_eq!(
            rule.filter,
            Filter::Correlation(CorrelationFilter {
                correlation_id: Some("c".into()),
                message_id: None,
                to: Some("t".into()),
                reply_to: Some("r".into()),
                label: Some("l".into()),
                session_id: Some("s".into()),
                reply_to_session_id: Some("rs".into()),
                content_type: Some("ct".into()),
                properties: vec![
                    ("Color".into(), "red".into()),
                    ("n".into(), 5i32.into()),
                    ("none".into(), Value::Null),
                ],
            })
        );
        let bytes = wire::to_vec(&rule.filter);
        let (code, written) = parts(value(&bytes));
        assert_eq!(code, 0x0000001370000009);
        // The same fields in the same order, without their names.
        assert_eq!(written, fields.map(|(_, value)| value));
    }

    #[test]
    fn filters_without_text() {
        for (filter, expected) in [(Filter::True, 0x0000001370000007), (Filter::False, 0x0000001370000008)] {
            let rule = Rule { name: String::new(), filter, action: None };
            let bytes = wire::to_vec(&RuleDescription { rule: &rule, created_at: Timestamp::UNIX_EPOCH });
            let (_, fields) = parts(value(&bytes));
            assert_eq!(parts(fields[0]), (expected, vec![]));
            assert_eq!(parts(fields[1]), (0x0000013700000005, vec![]));
        }
    }

    #[test]
    fn what_cannot_be_added() {
        use super::super::ParseErrorKind;
        let mut buffers = [[0; 64]; 3];
        let [empty, bad, number] = &mut buffers;
        let empty = encode_map(&[], empty).expect("room");
        let bad = encode_map(&[("expression".into(), "a =".into())], bad).expect("room");
        let number =
            encode_map(&[("expression".into(), 1i32.into()), ("label".into(), 2i32.into())], number).expect("room");
        let position = |position, kind| ParseError::new("a =", position, kind);
        let operand = ParseErrorKind::Expected("a condition or a value");
        for (key, entry, error) in [
            ("sql-filter", empty.into(), DescriptionError::Malformed("sql-filter")),
            ("sql-filter", number.into(), DescriptionError::Malformed("expression")),
            ("sql-filter", "a = 1".into(), DescriptionError::Malformed("sql-filter")),
            ("sql-filter", bad.into(), DescriptionError::Filter(position(3, operand))),
            ("sql-rule-action", number.into(), DescriptionError::Malformed("expression")),
            ("sql-rule-action", "SET a = 1".into(), DescriptionError::Malformed("sql-rule-action")),
            (
                "sql-rule-action",
                bad.into(),
                DescriptionError::Action(position(0, ParseErrorKind::Expected("SET or REMOVE"))),
            ),
            ("correlation-filter", number.into(), DescriptionError::Malformed("label")),
        ] {
            assert_eq!(read(&[(key.into(), entry)]), Err(error), "{key}");
        }
        let both = [("sql-filter".into(), empty.into()), ("correlation-filter".into(), empty.into())];
        assert_eq!(read(&both), Err(DescriptionError::Malformed("rule-description")));
        assert_eq!(read(&[]).map(|rule| rule.filter), Ok(Filter::True));
        let unset = [("sql-filter".into(), wire::Value::Null), ("correlation-filter".into(), empty.into())];
        assert_eq!(read(&unset).map(|rule| rule.filter), Ok(Filter::Correlation(CorrelationFilter::default())));
    }
}
