//! Typed values in filters and actions: parameters of SQL expressions and properties of correlation filters.
// docs/evidence/wire-protocol.md §7.2, docs/evidence/pinned-behaviour.md ADM68

use super::element::{InvalidElement, Reading, Scalar};
use super::iso8601::TimeSpan;
use super::xml::{self, Node, SCHEMA, SCHEMA_INSTANCE, SERIALIZATION, SERVICE_BUS, Writer};
use crate::time::{Duration, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A value with the type that it is compared by.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{CorrelationRuleFilter, RuleValue};
///
/// let filter = CorrelationRuleFilter::new().with_property("express", true).with_property("floor", 3);
/// for (name, value) in &filter.properties {
///     match value {
///         RuleValue::Boolean(flag) => println!("{name} is {flag}"),
///         other => println!("{name} is {other:?}"),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RuleValue {
    /// Nothing.
    Null,
    /// Text.
    String(String),
    /// 32 bits with sign.
    Int(i32),
    /// 64 bits with sign.
    Long(i64),
    /// A 64-bit floating-point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// A point in time, to the millisecond.
    DateTime(Timestamp),
    /// A span of time, to 100 ns.
    Duration(TimeSpan),
    /// A type that is not known here.
    Other {
        /// The type's name.
        kind: String,
        /// The value as it was written.
        text: String,
    },
}

impl RuleValue {
    /// The name of the type, and whether .NET adds it to those of XML Schema.
    fn kind(&self) -> (&str, bool) {
        match self {
            Self::Null | Self::String(_) => ("string", false),
            Self::Int(_) => ("int", false),
            Self::Long(_) => ("long", false),
            Self::Double(_) => ("double", false),
            Self::Boolean(_) => ("boolean", false),
            Self::DateTime(_) => ("dateTime", false),
            Self::Duration(_) => ("duration", true),
            Self::Other { kind, .. } => (kind, kind == "guid" || kind == "char"),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::String(text) | Self::Other { text, .. } => text.clone(),
            Self::Int(number) => number.to_text(),
            Self::Long(number) => number.to_text(),
            Self::Double(number) if number.is_infinite() => if *number > 0.0 { "INF" } else { "-INF" }.into(),
            Self::Double(number) => number.to_string(),
            Self::Boolean(value) => value.to_text(),
            Self::DateTime(time) => time.to_text(),
            Self::Duration(span) => span.to_string(),
        }
    }

    /// Reads a value. A service keeps a time as it was written where it is not to the millisecond and in UTC: it has to
    /// give it back so.
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        if xml::is_nil(node) {
            return Ok(Self::Null);
        }
        let text = xml::text(node);
        let Some(kind) = node.attribute((SCHEMA_INSTANCE, "type")) else { return Ok(Self::String(text)) };
        let (_, kind) = xml::qualified(node, kind);
        let value = match kind {
            "string" => Some(Self::String(text)),
            "int" | "short" | "byte" | "unsignedByte" | "unsignedShort" => i32::from_text(&text).map(Self::Int),
            "long" | "unsignedInt" => i64::from_text(&text).map(Self::Long),
            "double" | "float" => parse_double(&text).map(Self::Double),
            "boolean" => bool::from_text(&text).map(Self::Boolean),
            "dateTime" => Timestamp::from_text(&text).map(|time| match reading {
                Reading::Strict if time.to_text() != text => Self::Other { kind: kind.into(), text },
                _ => Self::DateTime(time),
            }),
            "duration" => TimeSpan::parse(&text).map(Self::Duration),
            _ => Some(Self::Other { kind: kind.into(), text }),
        };
        value.ok_or_else(|| InvalidElement::new(node))
    }

    fn write(&self, writer: &mut Writer) {
        if matches!(self, Self::Null) {
            return writer.empty("Value", &[("i:nil", "true")]);
        }
        let (kind, added) = self.kind();
        let kind = alloc::format!("d6p1:{kind}");
        let namespace = if added { SERIALIZATION } else { SCHEMA };
        writer.element("Value", &[("i:type", &kind), ("xmlns:d6p1", namespace)], &self.text());
    }
}

fn parse_double(text: &str) -> Option<f64> {
    match text.trim() {
        "INF" => Some(f64::INFINITY),
        "-INF" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

macro_rules! from {
    ($($Type:ty, $value:ident => $variant:expr;)*) => { $(
        impl From<$Type> for RuleValue {
            fn from($value: $Type) -> Self {
                $variant
            }
        }
    )* };
}

from! {
    &str, text => Self::String(text.into());
    String, text => Self::String(text);
    i32, number => Self::Int(number);
    i64, number => Self::Long(number);
    f64, number => Self::Double(number);
    bool, value => Self::Boolean(value);
    Timestamp, time => Self::DateTime(time);
    TimeSpan, span => Self::Duration(span);
    Duration, duration => Self::Duration(duration.into());
}

/// Reads the pairs of a `Parameters` or `Properties` element.
pub(super) fn read_pairs(node: Node<'_, '_>, reading: Reading) -> Result<Vec<(String, RuleValue)>, InvalidElement> {
    let mut pairs = Vec::new();
    for pair in xml::elements(node).filter(|pair| pair.has_tag_name((SERVICE_BUS, "KeyValueOfstringanyType"))) {
        let key = xml::child(pair, SERVICE_BUS, "Key").map(xml::text);
        let value = xml::child(pair, SERVICE_BUS, "Value").map(|node| RuleValue::read(node, reading)).transpose()?;
        match (key, value) {
            (Some(key), Some(value)) => pairs.push((key, value)),
            (Some(key), None) => pairs.push((key, RuleValue::Null)),
            (None, _) if reading == Reading::Lenient => {}
            (None, _) => return Err(InvalidElement::new(pair)),
        }
    }
    Ok(pairs)
}

/// Writes pairs; an empty list is one empty element.
pub(super) fn write_pairs(pairs: &[(String, RuleValue)], name: &str, writer: &mut Writer) {
    if pairs.is_empty() {
        return writer.empty(name, &[]);
    }
    writer.start(name, &[]);
    for (key, value) in pairs {
        writer.start("KeyValueOfstringanyType", &[]);
        writer.element("Key", &[], key);
        value.write(writer);
        writer.end("KeyValueOfstringanyType");
    }
    writer.end(name);
}
