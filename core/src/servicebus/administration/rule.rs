//! Rules: the messages that a subscription takes, and the changes that it makes to them.
// docs/evidence/wire-protocol.md §7.2, docs/evidence/service-evidence.md §13.3, docs/evidence/pinned-behaviour.md ADM65
// to ADM68

use super::element::{ElementValue, InvalidElement, Reading, Scalar};
use super::iso8601::{TimestampForm, write_timestamp};
use super::rule_value::{RuleValue, read_pairs, write_pairs};
use super::xml::{self, Node, SCHEMA_INSTANCE, SERVICE_BUS, Writer};
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;

/// The level of the SQL language; there is no other.
const COMPATIBILITY_LEVEL: i32 = 20;

/// The name of the rule that a subscription starts with.
pub const DEFAULT_RULE_NAME: &str = "$Default";

/// Which messages a rule takes.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum RuleFilter {
    /// Every message.
    #[default]
    True,
    /// No message.
    False,
    /// Those for which an SQL expression is true.
    Sql(SqlRuleFilter),
    /// Those with certain values in certain properties.
    Correlation(CorrelationRuleFilter),
    /// A kind of filter that is not known here, by its name.
    Unknown(String),
}

/// An SQL expression that selects messages by their application and system properties; it does not see their bodies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SqlRuleFilter {
    /// The expression: up to 1024 characters.
    pub sql_expression: String,
    /// Values for the names that begin with `@` in the expression.
    pub parameters: Vec<(String, RuleValue)>,
    /// The level of the language: 20.
    pub compatibility_level: Option<i32>,
    /// Whether the service prepares the expression; only some clients send it.
    pub requires_preprocessing: Option<bool>,
}

/// SQL statements that change the messages that a rule takes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SqlRuleAction {
    /// The statements: `SET name = expression`, `REMOVE name`; up to 1024 characters.
    pub sql_expression: String,
    /// Values for the names that begin with `@` in the statements.
    pub parameters: Vec<(String, RuleValue)>,
    /// The level of the language: 20.
    pub compatibility_level: Option<i32>,
    /// Whether the service prepares the statements; only some clients send it.
    pub requires_preprocessing: Option<bool>,
}

macro_rules! sql {
    ($Name:ident) => {
        impl $Name {
            #[doc = "The expression without parameters."]
            pub fn new(sql_expression: impl Into<String>) -> Self {
                Self {
                    sql_expression: sql_expression.into(),
                    parameters: Vec::new(),
                    compatibility_level: Some(COMPATIBILITY_LEVEL),
                    requires_preprocessing: None,
                }
            }

            #[doc = "With a value for a name; the name includes its `@`."]
            #[must_use]
            pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<RuleValue>) -> Self {
                self.parameters.push((name.into(), value.into()));
                self
            }

            fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
                let mut sql = Self::new(String::new());
                sql.compatibility_level = None;
                for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
                    if xml::is_nil(child) {
                        continue;
                    }
                    match child.tag_name().name() {
                        "SqlExpression" => sql.sql_expression = xml::text(child),
                        "CompatibilityLevel" => sql.compatibility_level = Some(i32::read(child, reading)?),
                        "Parameters" => sql.parameters = read_pairs(child, reading)?,
                        "RequiresPreprocessing" => sql.requires_preprocessing = Some(bool::read(child, reading)?),
                        _ => {}
                    }
                }
                Ok(sql)
            }

            fn write(&self, form: RuleForm, writer: &mut Writer) {
                self.sql_expression.write("SqlExpression", writer);
                if let Some(level) = self.compatibility_level {
                    level.write("CompatibilityLevel", writer);
                }
                if !self.parameters.is_empty() || form == RuleForm::Stored {
                    write_pairs(&self.parameters, "Parameters", writer);
                }
                if let Some(preprocessing) = self.requires_preprocessing {
                    preprocessing.write("RequiresPreprocessing", writer);
                }
            }
        }
    };
}

sql! { SqlRuleFilter }
sql! { SqlRuleAction }

macro_rules! correlation {
    ($( $(#[$meta:meta])* $field:ident, $with_field:ident = $name:literal; )*) => {
        /// The values that messages need for a rule over HTTP, owned: `AdministrationClient` takes it in a
        /// [`RuleFilter`], where `RuleManager` takes the borrowed
        /// [`CorrelationRuleFilterRef`](crate::servicebus::CorrelationRuleFilterRef).
        ///
        /// Each `None` matches any. Values compare exactly, names of application properties in any case.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct CorrelationRuleFilter {
            $( $(#[$meta])* pub $field: Option<String>, )*
            /// The application properties.
            pub properties: Vec<(String, RuleValue)>,
        }

        impl CorrelationRuleFilter {
            /// A filter without conditions, which matches every message.
            pub fn new() -> Self {
                Self::default()
            }

            $( $(#[$meta])* #[must_use] pub fn $with_field(mut self, value: impl Into<String>) -> Self {
                self.$field = Some(value.into());
                self
            } )*

            /// An application property.
            #[must_use]
            pub fn with_property(mut self, name: impl Into<String>, value: impl Into<RuleValue>) -> Self {
                self.properties.push((name.into(), value.into()));
                self
            }

            fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
                let mut filter = Self::default();
                for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
                    if xml::is_nil(child) {
                        continue;
                    }
                    match child.tag_name().name() {
                        $( $name => filter.$field = Some(xml::text(child)), )*
                        "Properties" => filter.properties = read_pairs(child, reading)?,
                        _ => {}
                    }
                }
                Ok(filter)
            }

            fn write(&self, writer: &mut Writer) {
                $( if let Some(value) = &self.$field { value.write($name, writer) } )*
                if !self.properties.is_empty() {
                    write_pairs(&self.properties, "Properties", writer);
                }
            }
        }
    };
}

correlation! {
    /// The correlation-id.
    correlation_id, with_correlation_id = "CorrelationId";
    /// The message-id.
    message_id, with_message_id = "MessageId";
    /// The address that the message is to.
    to, with_to = "To";
    /// The address to reply to.
    reply_to, with_reply_to = "ReplyTo";
    /// The subject, which the service calls label.
    subject, with_subject = "Label";
    /// The session.
    session_id, with_session_id = "SessionId";
    /// The session to reply to.
    reply_to_session_id, with_reply_to_session_id = "ReplyToSessionId";
    /// The content type.
    content_type, with_content_type = "ContentType";
}

impl RuleFilter {
    /// The messages for which an SQL expression is true, such as `total >= 1000 AND customer LIKE 'a%'`. One with
    /// parameters is a [`SqlRuleFilter`].
    ///
    /// Names in the expression are application properties, and with `sys.` before them properties of the message itself,
    /// such as `sys.Label` for its subject. A filter never sees the body: for a field of a JSON body, the sender also sets a
    /// property (`with_property`).
    pub fn sql(expression: impl Into<String>) -> Self {
        Self::Sql(SqlRuleFilter::new(expression))
    }
}

impl From<SqlRuleFilter> for RuleFilter {
    fn from(filter: SqlRuleFilter) -> Self {
        Self::Sql(filter)
    }
}

impl From<CorrelationRuleFilter> for RuleFilter {
    fn from(filter: CorrelationRuleFilter) -> Self {
        Self::Correlation(filter)
    }
}

/// Options of a new rule: by default, it takes every message and changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CreateRuleOptions {
    /// Which messages it takes.
    pub filter: RuleFilter,
    /// What it does to them.
    pub action: Option<SqlRuleAction>,
}

impl CreateRuleOptions {
    /// A rule that takes every message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which messages it takes.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<RuleFilter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// What it does to them.
    #[must_use]
    pub fn with_action(mut self, action: SqlRuleAction) -> Self {
        self.action = Some(action);
        self
    }
}

/// A rule of a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RuleProperties {
    /// The rule's name: up to 50 characters.
    pub name: String,
    /// Which messages it takes.
    pub filter: RuleFilter,
    /// What it does to them.
    pub action: Option<SqlRuleAction>,
    /// When it was created; an update counts as creation.
    // docs/evidence/pinned-behaviour.md ADM34
    pub created_at: Option<Timestamp>,
}

/// Which side writes a rule, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleForm {
    /// A client's request, or the service's answer to one: an SQL filter without parameters has no element for them.
    Sent,
    /// The service's answer to a get or a list: the element is there, empty.
    Stored,
}

impl RuleProperties {
    /// A rule of this name.
    pub fn new(name: impl Into<String>, options: CreateRuleOptions) -> Self {
        Self { name: name.into(), filter: options.filter, action: options.action, created_at: None }
    }

    pub(super) const ELEMENT: &'static str = "RuleDescription";

    fn write_children(&self, form: RuleForm, writer: &mut Writer) {
        self.filter.write(form, writer);
        match &self.action {
            None => writer.empty("Action", &[("i:type", "EmptyRuleAction")]),
            Some(action) => {
                writer.start("Action", &[("i:type", "SqlRuleAction")]);
                action.write(form, writer);
                writer.end("Action");
            }
        }
        if let Some(created_at) = self.created_at {
            writer.element("CreatedAt", &[], &write_timestamp(created_at, TimestampForm::SevenDigits));
        }
        if !self.name.is_empty() {
            self.name.write("Name", writer);
        }
    }

    pub(super) fn write_description(&self, form: RuleForm, writer: &mut Writer) {
        writer.start(Self::ELEMENT, &[("xmlns", SERVICE_BUS), ("xmlns:i", SCHEMA_INSTANCE)]);
        self.write_children(form, writer);
        writer.end(Self::ELEMENT);
    }
}

impl RuleFilter {
    fn write(&self, form: RuleForm, writer: &mut Writer) {
        let constant = |kind, expression: &str, writer: &mut Writer| {
            writer.start("Filter", &[("i:type", kind)]);
            writer.element("SqlExpression", &[], expression);
            writer.element("CompatibilityLevel", &[], &COMPATIBILITY_LEVEL.to_text());
        };
        match self {
            Self::True => constant("TrueFilter", "1=1", writer),
            Self::False => constant("FalseFilter", "1=0", writer),
            Self::Sql(filter) => {
                writer.start("Filter", &[("i:type", "SqlFilter")]);
                filter.write(form, writer);
            }
            Self::Correlation(filter) => {
                writer.start("Filter", &[("i:type", "CorrelationFilter")]);
                filter.write(writer);
            }
            Self::Unknown(kind) => writer.start("Filter", &[("i:type", kind)]),
        }
        writer.end("Filter");
    }
}

/// The name in `i:type`, without its prefix.
fn kind<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute((SCHEMA_INSTANCE, "type")).map_or("", |kind| xml::qualified(node, kind).1)
}

impl ElementValue for RuleFilter {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        Ok(match kind(node) {
            "TrueFilter" => Self::True,
            "FalseFilter" => Self::False,
            "SqlFilter" => Self::Sql(SqlRuleFilter::read(node, reading)?),
            "CorrelationFilter" => Self::Correlation(CorrelationRuleFilter::read(node, reading)?),
            other if reading == Reading::Lenient => Self::Unknown(other.into()),
            _ => return Err(InvalidElement::new(node)),
        })
    }

    fn write(&self, _name: &str, writer: &mut Writer) {
        self.write(RuleForm::Sent, writer);
    }
}

impl ElementValue for RuleProperties {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let mut rule = Self::default();
        for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
            if xml::is_nil(child) {
                continue;
            }
            match child.tag_name().name() {
                "Filter" => rule.filter = RuleFilter::read(child, reading)?,
                "Action" => {
                    rule.action = match kind(child) {
                        "SqlRuleAction" => Some(SqlRuleAction::read(child, reading)?),
                        "EmptyRuleAction" | "" => None,
                        _ if reading == Reading::Lenient => None,
                        _ => return Err(InvalidElement::new(child)),
                    }
                }
                "CreatedAt" => rule.created_at = Some(Timestamp::read(child, reading)?),
                "Name" => rule.name = xml::text(child),
                _ => {}
            }
        }
        Ok(rule)
    }

    fn write(&self, name: &str, writer: &mut Writer) {
        writer.start(name, &[]);
        self.write_children(RuleForm::Sent, writer);
        writer.end(name);
    }
}
