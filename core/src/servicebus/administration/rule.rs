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
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::DEFAULT_RULE_NAME;
/// # servicebus_simulation::administration_example(async |admin| {
/// admin.delete_rule("events", "audit", DEFAULT_RULE_NAME).await?;
/// # Ok(())
/// # });
/// ```
pub const DEFAULT_RULE_NAME: &str = "$Default";

/// Which messages a rule takes.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::RuleFilter;
/// # servicebus_simulation::administration_example(async |admin| {
/// for rule in admin.list_rules("events", "audit").all().await? {
///     match rule.filter {
///         RuleFilter::True => println!("{} takes everything", rule.name),
///         RuleFilter::Sql(filter) => println!("{} takes what is {}", rule.name, filter.sql_expression),
///         other => println!("{}: {other:?}", rule.name),
///     }
/// }
/// # Ok(())
/// # });
/// ```
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
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{RuleDescription, SqlRuleFilter};
/// # servicebus_simulation::administration_example(async |admin| {
/// let big = SqlRuleFilter::new("total >= @least").with_parameter("@least", 1_000);
/// admin.create(&RuleDescription::new("events", "audit", "big").with_filter(big)).await?;
/// # Ok(())
/// # });
/// ```
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
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{RuleDescription, SqlRuleAction};
/// # servicebus_simulation::administration_example(async |admin| {
/// let stamp = SqlRuleAction::new("SET desk = @desk").with_parameter("@desk", "berlin");
/// admin.create(&RuleDescription::new("events", "audit", "stamp").with_action(stamp)).await?;
/// # Ok(())
/// # });
/// ```
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
    ($Name:ident, such as $example:literal) => {
        impl $Name {
            /// The expression without parameters.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::", stringify!($Name), ";")]
            ///
            #[doc = concat!("let sql = ", stringify!($Name), "::new(\"", $example, "\");")]
            #[doc = concat!("assert_eq!(sql.sql_expression, \"", $example, "\");")]
            /// ```
            pub fn new(sql_expression: impl Into<String>) -> Self {
                Self {
                    sql_expression: sql_expression.into(),
                    parameters: Vec::new(),
                    compatibility_level: Some(COMPATIBILITY_LEVEL),
                    requires_preprocessing: None,
                }
            }

            /// With a value for a name; the name includes its `@`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::", stringify!($Name), ";")]
            ///
            #[doc = concat!("let sql = ", stringify!($Name), "::new(\"", $example, "\").with_parameter(\"@limit\", 1_000);")]
            /// assert_eq!(sql.parameters, [("@limit".into(), 1_000.into())]);
            /// ```
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

sql! { SqlRuleFilter, such as "total >= @limit" }
sql! { SqlRuleAction, such as "SET limit = @limit" }

macro_rules! correlation {
    ($( $(#[$meta:meta])* $field:ident, $with_field:ident = $name:literal, such as $example:literal; )*) => {
        /// The values that messages need for a rule over HTTP, owned: `AdministrationClient` takes it in a
        /// [`RuleFilter`], where `RuleManager` takes the borrowed
        /// [`CorrelationRuleFilterRef`](crate::servicebus::CorrelationRuleFilterRef).
        ///
        /// Each `None` matches any. Values compare exactly, names of application properties in any case.
        ///
        /// # Examples
        ///
        /// ```
        /// # use servicebus_core::servicebus::administration::CorrelationRuleFilter;
        /// # servicebus_simulation::administration_example(async |admin| {
        /// let express = CorrelationRuleFilter::new().with_subject("order").with_property("express", true);
        /// admin.topic("events").create_subscription("express", express).await?;
        /// # Ok(())
        /// # });
        /// ```
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct CorrelationRuleFilter {
            $( $(#[$meta])* pub $field: Option<String>, )*
            /// The application properties.
            pub properties: Vec<(String, RuleValue)>,
        }

        impl CorrelationRuleFilter {
            /// A filter without conditions, which matches every message.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::administration::CorrelationRuleFilter;
            /// assert_eq!(CorrelationRuleFilter::new(), CorrelationRuleFilter::default());
            /// ```
            pub fn new() -> Self {
                Self::default()
            }

            $( $(#[$meta])*
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::administration::CorrelationRuleFilter;
            #[doc = concat!("let filter = CorrelationRuleFilter::new().", stringify!($with_field), "(\"", $example, "\");")]
            #[doc = concat!("assert_eq!(filter.", stringify!($field), ".as_deref(), Some(\"", $example, "\"));")]
            /// ```
            #[must_use] pub fn $with_field(mut self, value: impl Into<String>) -> Self {
                self.$field = Some(value.into());
                self
            } )*

            /// An application property.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::administration::CorrelationRuleFilter;
            /// let express = CorrelationRuleFilter::new().with_property("express", true);
            /// assert_eq!(express.properties, [("express".into(), true.into())]);
            /// ```
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
    correlation_id, with_correlation_id = "CorrelationId", such as "offer-3";
    /// The message-id.
    message_id, with_message_id = "MessageId", such as "order-7";
    /// The address that the message is to.
    to, with_to = "To", such as "warehouse";
    /// The address to reply to.
    reply_to, with_reply_to = "ReplyTo", such as "answers";
    /// The subject, which the service calls label.
    subject, with_subject = "Label", such as "order";
    /// The session.
    session_id, with_session_id = "SessionId", such as "contoso";
    /// The session to reply to.
    reply_to_session_id, with_reply_to_session_id = "ReplyToSessionId", such as "contoso";
    /// The content type.
    content_type, with_content_type = "ContentType", such as "application/json";
}

impl RuleFilter {
    /// The messages for which an SQL expression is true, such as `total >= 1000 AND customer LIKE 'a%'`. One with
    /// parameters is a [`SqlRuleFilter`].
    ///
    /// Names in the expression are application properties, and with `sys.` before them properties of the message itself,
    /// such as `sys.Label` for its subject. A filter never sees the body: for a field of a JSON body, the sender also sets a
    /// property (`with_property`).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let big = RuleFilter::sql("total >= 1000 AND sys.Label = 'order'");
    /// admin.topic("events").create_subscription("big", big).await?;
    /// # Ok(())
    /// # });
    /// ```
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
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{CreateRuleOptions, RuleFilter, RuleProperties, SqlRuleAction};
///
/// let options = CreateRuleOptions::new()
///     .with_filter(RuleFilter::sql("total >= 1000"))
///     .with_action(SqlRuleAction::new("SET big = TRUE"));
/// let rule = RuleProperties::new("big", options);
/// assert_eq!(rule.filter, RuleFilter::sql("total >= 1000"));
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CreateRuleOptions, RuleFilter};
    /// assert_eq!(CreateRuleOptions::new().filter, RuleFilter::True);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Which messages it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CorrelationRuleFilter, CreateRuleOptions, RuleFilter};
    /// let refunds = CorrelationRuleFilter::new().with_subject("refund");
    /// let options = CreateRuleOptions::new().with_filter(refunds.clone());
    /// assert_eq!(options.filter, RuleFilter::Correlation(refunds));
    /// ```
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<RuleFilter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// What it does to them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CreateRuleOptions, SqlRuleAction};
    /// let options = CreateRuleOptions::new().with_action(SqlRuleAction::new("REMOVE internal"));
    /// assert!(options.action.is_some());
    /// ```
    #[must_use]
    pub fn with_action(mut self, action: SqlRuleAction) -> Self {
        self.action = Some(action);
        self
    }
}

/// A rule of a subscription.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::RuleFilter;
/// # servicebus_simulation::administration_example(async |admin| {
/// let mut rule = admin.get_rule("events", "audit", "$Default").await?;
/// rule.filter = RuleFilter::sql("total >= 1000");
/// admin.update_rule("events", "audit", &rule).await?;
/// # Ok(())
/// # });
/// ```
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
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::Content;
/// use servicebus_core::servicebus::administration::{CreateRuleOptions, RuleForm, RuleProperties};
///
/// let rule = RuleProperties::new("$Default", CreateRuleOptions::new());
/// let listed = Content::Rule(rule, RuleForm::Stored);
/// # let _ = listed;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleForm {
    /// A client's request, or the service's answer to one: an SQL filter without parameters has no element for them.
    Sent,
    /// The service's answer to a get or a list: the element is there, empty.
    Stored,
}

impl RuleProperties {
    /// A rule of this name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CreateRuleOptions, RuleProperties};
    /// let rule = RuleProperties::new("all", CreateRuleOptions::new());
    /// assert_eq!((rule.name.as_str(), rule.created_at), ("all", None));
    /// ```
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
