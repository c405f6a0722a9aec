//! The configuration file of Microsoft's emulator: JSON with comments, without its caps on how many and how long. A key
//! that is not known is an error that names its place.
//!
//! # Examples
//! ```
//! use servicebus_emulator::config;
//!
//! let file = r#"{
//!     // Comments are allowed.
//!     "UserConfig": { "Namespaces": [{ "Name": "shop", "Queues": [{ "Name": "orders" }] }] }
//! }"#;
//! let blueprints = config::parse(file)?;
//! assert_eq!(blueprints[0].name.as_deref(), Some("shop"));
//! # Ok::<(), config::ConfigError>(())
//! ```
// docs/evidence/wire-protocol.md §9

use crate::blueprint::{Blueprint, SubscriptionBlueprint, TopicBlueprint};
use crate::broker::entities::{
    AuthorizationRule, EntityError, QueueDescription, Rights, SubscriptionDescription, TopicDescription, name,
};
use crate::broker::{NamespaceConfig, UnknownTier};
use crate::duration;
use crate::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlAction, SqlFilter, Value};
use core::fmt;
use core::time::Duration;
use jsonc_parser::ast::Value as Json;
use std::collections::HashSet;

/// What is wrong with a configuration, and where.
///
/// # Examples
/// ```
/// use servicebus_emulator::config;
///
/// let file = r#"{ "UserConfig": { "Namespaces": [{ "Name": "shop", "Queue": [] }] } }"#;
/// let error = config::parse(file).map_err(|error| error.to_string());
/// assert_eq!(error, Err("UserConfig.Namespaces[0].Queue: this key is not known".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The place, such as `UserConfig.Namespaces[0].Queues[1].Name`; empty for the whole file.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.place, self.problem) }
    }
}

impl core::error::Error for ConfigError {}

fn wrong<T>(place: &str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { place: place.to_owned(), problem: problem.into() })
}

/// An object whose keys are taken one by one, so that what is left over is not known.
struct Section<'a> {
    place: String,
    entries: Vec<(String, Json<'a>)>,
}

impl<'a> Section<'a> {
    fn new(place: String, value: Json<'a>) -> Result<Self, ConfigError> {
        let Json::Object(object) = value else { return wrong(&place, "must be an object") };
        let entries = object.properties.into_iter().map(|property| (property.name.into_string(), property.value));
        let section = Self { place, entries: entries.collect() };
        // Of a key that is there twice, one value would be lost.
        let mut seen = HashSet::new();
        match section.entries.iter().find(|(key, _)| !seen.insert(key)) {
            None => Ok(section),
            Some((key, _)) => wrong(&section.at(key), "this key is given twice"),
        }
    }

    fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// Takes a key; one that is null counts as absent.
    fn take(&mut self, key: &str) -> Option<Json<'a>> {
        let at = self.entries.iter().position(|(found, _)| found.eq_ignore_ascii_case(key))?;
        Some(self.entries.remove(at).1).filter(|value| !matches!(value, Json::NullKeyword(_)))
    }

    fn section(&mut self, key: &str) -> Result<Option<Self>, ConfigError> {
        let place = self.at(key);
        self.take(key).map(|value| Section::new(place, value)).transpose()
    }

    fn list(&mut self, key: &str) -> Result<Vec<Self>, ConfigError> {
        let place = self.at(key);
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => {
                let items = items.elements.into_iter().enumerate();
                items.map(|(index, item)| Section::new(format!("{place}[{index}]"), item)).collect()
            }
            Some(_) => wrong(&place, "must be an array"),
        }
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        let place = self.at(key);
        match self.take(key) {
            None => Ok(None),
            Some(Json::StringLit(text)) => Ok(Some(text.value.into_owned())),
            Some(_) => wrong(&place, "must be a string"),
        }
    }

    fn required(&mut self, key: &str) -> Result<String, ConfigError> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => wrong(&self.place, format!("{key} is missing")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        let place = self.at(key);
        match self.take(key) {
            None => Ok(None),
            Some(Json::BooleanLit(flag)) => Ok(Some(flag.value)),
            Some(_) => wrong(&place, "must be true or false"),
        }
    }

    fn number<T: core::str::FromStr>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let place = self.at(key);
        match self.take(key) {
            None => Ok(None),
            Some(Json::NumberLit(number)) => match number.value.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => wrong(&place, format!("{} is not a number that can stand here", number.value)),
            },
            Some(_) => wrong(&place, "must be a number"),
        }
    }

    /// A span that is a limit: the default where the key is absent, none where it is the longest that there is.
    fn limit(&mut self, key: &str, default: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
        Ok(self.duration(key)?.map_or(default, duration::limit))
    }

    fn duration(&mut self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let place = self.at(key);
        match self.text(key)? {
            None => Ok(None),
            Some(text) => match duration::parse(&text) {
                Some(duration) => Ok(Some(duration)),
                None => wrong(&place, format!("'{text}' is not an ISO 8601 duration such as PT1M")),
            },
        }
    }

    /// The name of an entity or rule, which is valid and none of those before it.
    fn name(
        &mut self,
        check: impl FnOnce(&str) -> Result<(), EntityError>,
        taken: &mut HashSet<String>,
    ) -> Result<String, ConfigError> {
        let (place, found) = (self.at("Name"), self.required("Name")?);
        check(&found).or_else(|error| wrong(&place, error.to_string()))?;
        if taken.insert(name::key(&found)) { Ok(found) } else { wrong(&place, format!("there are two of '{found}'")) }
    }

    /// Every key must have been taken.
    fn finish(self) -> Result<(), ConfigError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => wrong(&self.at(key), "this key is not known"),
        }
    }
}

/// Reads a configuration.
///
/// # Errors
/// [`ConfigError`], which names the place.
///
/// # Examples
/// ```
/// use servicebus_emulator::config;
/// use std::time::Duration;
///
/// let file = r#"{ "UserConfig": { "Namespaces": [{ "Name": "shop", "Queues": [
///     { "Name": "orders", "Properties": { "LockDuration": "PT30S" } }
/// ] }] } }"#;
/// let (name, description) = &config::parse(file)?[0].queues[0];
/// assert_eq!((name.as_str(), description.lock_duration), ("orders", Duration::from_secs(30)));
/// # Ok::<(), config::ConfigError>(())
/// ```
pub fn parse(text: &str) -> Result<Vec<Blueprint>, ConfigError> {
    // Editors write a byte order mark (docs/evidence/field-reports.md F26).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default())
        .map_err(|error| ConfigError { place: String::new(), problem: error.to_string() })?;
    let Some(value) = parsed.value else { return wrong("", "the configuration is empty") };
    let mut file = Section::new(String::new(), value)?;
    // For editors.
    file.text("$schema")?;
    let Some(mut user) = file.section("UserConfig")? else { return wrong("", "UserConfig is missing") };
    file.finish()?;
    if let Some(mut logging) = user.section("Logging")? {
        // Where Microsoft's emulator writes its log; this one writes to the console.
        logging.text("Type")?;
        logging.finish()?;
    }
    let namespaces = user.list("Namespaces")?;
    user.finish()?;
    if namespaces.is_empty() {
        return wrong("UserConfig.Namespaces", "must hold a namespace");
    }
    let mut blueprints: Vec<Blueprint> = Vec::with_capacity(namespaces.len());
    for namespace in namespaces {
        let place = namespace.at("Name");
        let blueprint = namespace_of(namespace)?;
        // Clients choose among several by their names.
        if !blueprints.is_empty() {
            let Some(name) = &blueprint.name else {
                return wrong(&place, "is missing: every further namespace has one");
            };
            let known = |other: &Blueprint| {
                other.name.as_deref().unwrap_or(NamespaceConfig::DEFAULT_NAME).eq_ignore_ascii_case(name)
            };
            if blueprints.iter().any(known) {
                return wrong(&place, format!("there are two namespaces '{name}'"));
            }
        }
        blueprints.push(blueprint);
    }
    Ok(blueprints)
}

fn namespace_of(mut namespace: Section<'_>) -> Result<Blueprint, ConfigError> {
    let place = namespace.at("Tier");
    let tier = namespace.text("Tier")?.map(|text| text.parse()).transpose();
    let mut blueprint = Blueprint {
        name: namespace.text("Name")?,
        tier: tier.or_else(|error: UnknownTier| wrong(&place, error.to_string()))?,
        cross_entity_transactions: namespace.flag("CrossEntityTransactions")?.unwrap_or(false),
        keys: keys_of(&mut namespace)?,
        ..Blueprint::default()
    };
    if let Some(name) = &blueprint.name {
        let named = NamespaceConfig::named(name).check_name();
        named.or_else(|error| wrong(&namespace.at("Name"), error.to_string()))?;
    }
    let mut taken = HashSet::new();
    for queue in namespace.list("Queues")? {
        blueprint.queues.push(queue_of(queue, &mut taken)?);
    }
    for topic in namespace.list("Topics")? {
        blueprint.topics.push(topic_of(topic, &mut taken)?);
    }
    namespace.finish()?;
    Ok(blueprint)
}

/// Keys of the namespace, a queue or a topic: beyond what Microsoft's emulator knows.
fn keys_of(section: &mut Section<'_>) -> Result<Vec<AuthorizationRule>, ConfigError> {
    let mut rules = Vec::new();
    for mut rule in section.list("AuthorizationRules")? {
        let (key_name, primary_key) = (rule.required("KeyName")?, rule.required("PrimaryKey")?);
        let secondary_key = rule.text("SecondaryKey")?.unwrap_or_default();
        let names = rule.required("Rights")?;
        let mut rights = Rights::default();
        for name in names.split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "send" => rights.send = true,
                "listen" => rights.listen = true,
                "manage" => rights.manage = true,
                _ => return wrong(&rule.at("Rights"), format!("'{name}' is not Send, Listen or Manage")),
            }
        }
        rule.finish()?;
        rules.push(AuthorizationRule { key_name, primary_key, secondary_key, rights });
    }
    Ok(rules)
}

/// Its defaults where they differ from the service's.
const MAX_DELIVERY_COUNT: u32 = 3;
const TIME_TO_LIVE: Duration = Duration::from_secs(3_600);
const DUPLICATE_WINDOW: Duration = Duration::from_secs(20);

fn queue_of(mut section: Section<'_>, taken: &mut HashSet<String>) -> Result<(String, QueueDescription), ConfigError> {
    let name = section.name(name::check_path, taken)?;
    let mut description = QueueDescription {
        max_delivery_count: MAX_DELIVERY_COUNT,
        default_message_time_to_live: Some(TIME_TO_LIVE),
        duplicate_detection_history_time_window: DUPLICATE_WINDOW,
        ..QueueDescription::default()
    };
    if let Some(mut properties) = section.section("Properties")? {
        let it = &mut properties;
        let d = &mut description;
        it.flag("DeadLetteringOnMessageExpiration")?
            .into_iter()
            .for_each(|value| d.dead_lettering_on_message_expiration = value);
        d.default_message_time_to_live = it.limit("DefaultMessageTimeToLive", d.default_message_time_to_live)?;
        d.duplicate_detection_history_time_window =
            it.duration("DuplicateDetectionHistoryTimeWindow")?.unwrap_or(d.duplicate_detection_history_time_window);
        d.forward_to = it.text("ForwardTo")?.filter(|text| !text.is_empty());
        d.forward_dead_lettered_messages_to = it.text("ForwardDeadLetteredMessagesTo")?.filter(|text| !text.is_empty());
        d.lock_duration = it.duration("LockDuration")?.unwrap_or(d.lock_duration);
        d.max_delivery_count = it.number("MaxDeliveryCount")?.unwrap_or(d.max_delivery_count);
        d.requires_duplicate_detection =
            it.flag("RequiresDuplicateDetection")?.unwrap_or(d.requires_duplicate_detection);
        d.requires_session = it.flag("RequiresSession")?.unwrap_or(d.requires_session);
        // Beyond what Microsoft's emulator knows.
        d.max_message_size_in_kilobytes = it.number("MaxMessageSizeInKilobytes")?;
        d.max_size_in_megabytes = it.number("MaxSizeInMegabytes")?.unwrap_or(d.max_size_in_megabytes);
        d.auto_delete_on_idle = it.limit("AutoDeleteOnIdle", None)?;
        d.authorization_rules = keys_of(it)?;
        properties.finish()?;
    }
    let place = section.place.clone();
    section.finish()?;
    description.validate().or_else(|error| wrong(&place, error.to_string()))?;
    Ok((name, description))
}

fn topic_of(mut section: Section<'_>, taken: &mut HashSet<String>) -> Result<TopicBlueprint, ConfigError> {
    let name = section.name(name::check_path, taken)?;
    let mut description = TopicDescription {
        default_message_time_to_live: Some(TIME_TO_LIVE),
        duplicate_detection_history_time_window: DUPLICATE_WINDOW,
        ..TopicDescription::default()
    };
    if let Some(mut it) = section.section("Properties")? {
        let d = &mut description;
        d.default_message_time_to_live = it.limit("DefaultMessageTimeToLive", d.default_message_time_to_live)?;
        d.duplicate_detection_history_time_window =
            it.duration("DuplicateDetectionHistoryTimeWindow")?.unwrap_or(d.duplicate_detection_history_time_window);
        d.requires_duplicate_detection =
            it.flag("RequiresDuplicateDetection")?.unwrap_or(d.requires_duplicate_detection);
        d.max_message_size_in_kilobytes = it.number("MaxMessageSizeInKilobytes")?;
        d.max_size_in_megabytes = it.number("MaxSizeInMegabytes")?.unwrap_or(d.max_size_in_megabytes);
        d.auto_delete_on_idle = it.limit("AutoDeleteOnIdle", None)?;
        d.authorization_rules = keys_of(&mut it)?;
        it.finish()?;
    }
    let (mut subscriptions, mut taken) = (Vec::new(), HashSet::new());
    for subscription in section.list("Subscriptions")? {
        subscriptions.push(subscription_of(subscription, &mut taken)?);
    }
    let place = section.place.clone();
    section.finish()?;
    description.validate().or_else(|error| wrong(&place, error.to_string()))?;
    Ok(TopicBlueprint { name, description, subscriptions })
}

fn subscription_of(
    mut section: Section<'_>,
    taken: &mut HashSet<String>,
) -> Result<SubscriptionBlueprint, ConfigError> {
    let name = section.name(name::check_name, taken)?;
    let mut description = SubscriptionDescription {
        max_delivery_count: MAX_DELIVERY_COUNT,
        default_message_time_to_live: Some(TIME_TO_LIVE),
        ..SubscriptionDescription::default()
    };
    if let Some(mut it) = section.section("Properties")? {
        let d = &mut description;
        d.dead_lettering_on_message_expiration =
            it.flag("DeadLetteringOnMessageExpiration")?.unwrap_or(d.dead_lettering_on_message_expiration);
        d.dead_lettering_on_filter_evaluation_exceptions = it
            .flag("DeadLetteringOnFilterEvaluationExceptions")?
            .unwrap_or(d.dead_lettering_on_filter_evaluation_exceptions);
        d.default_message_time_to_live = it.limit("DefaultMessageTimeToLive", d.default_message_time_to_live)?;
        d.forward_to = it.text("ForwardTo")?.filter(|text| !text.is_empty());
        d.forward_dead_lettered_messages_to = it.text("ForwardDeadLetteredMessagesTo")?.filter(|text| !text.is_empty());
        d.lock_duration = it.duration("LockDuration")?.unwrap_or(d.lock_duration);
        d.max_delivery_count = it.number("MaxDeliveryCount")?.unwrap_or(d.max_delivery_count);
        d.requires_session = it.flag("RequiresSession")?.unwrap_or(d.requires_session);
        d.auto_delete_on_idle = it.limit("AutoDeleteOnIdle", None)?;
        it.finish()?;
    }
    let (mut rules, mut taken) = (Vec::new(), HashSet::new());
    for rule in section.list("Rules")? {
        rules.push(rule_of(rule, &mut taken)?);
    }
    let place = section.place.clone();
    section.finish()?;
    description.validate().or_else(|error| wrong(&place, error.to_string()))?;
    Ok(SubscriptionBlueprint { name, description, rules })
}

/// Filters and actions have it where .NET wrote them; it has no meaning.
// docs/evidence/field-reports.md F59
const REQUIRES_PREPROCESSING: &str = "RequiresPreprocessing";

fn rule_of(mut section: Section<'_>, taken: &mut HashSet<String>) -> Result<Rule, ConfigError> {
    let dialect = Dialect::default();
    let name = section.name(name::check_rule, taken)?;
    let Some(mut it) = section.section("Properties")? else {
        return wrong(&section.place, "Properties is missing");
    };
    let kind = it.required("FilterType")?;
    let action = match it.section("Action")? {
        None => None,
        Some(mut action) => {
            let place = action.at("SqlExpression");
            let text = action.text("SqlExpression")?.filter(|text| !text.is_empty());
            action.flag(REQUIRES_PREPROCESSING)?;
            action.finish()?;
            let parsed = text.map(|text| SqlAction::parse(text, Vec::new(), &dialect)).transpose();
            parsed.or_else(|error| wrong(&place, error.to_string()))?
        }
    };
    let (sql, correlation) = (it.section("SqlFilter")?, it.section("CorrelationFilter")?);
    let filter = match (kind.to_ascii_lowercase().as_str(), sql, correlation) {
        ("sql", Some(mut sql), _) => {
            let place = sql.at("SqlExpression");
            let text = sql.required("SqlExpression")?;
            sql.flag(REQUIRES_PREPROCESSING)?;
            sql.finish()?;
            let parsed = SqlFilter::parse(text, Vec::new(), &dialect);
            Filter::Sql(parsed.or_else(|error| wrong(&place, error.to_string()))?)
        }
        ("sql", None, _) => return wrong(&it.place, "SqlFilter is missing"),
        ("correlation", _, Some(correlation)) => Filter::Correlation(correlation_of(correlation)?),
        ("correlation", _, None) => return wrong(&it.place, "CorrelationFilter is missing"),
        _ => return wrong(&it.at("FilterType"), format!("'{kind}' is neither Sql nor Correlation")),
    };
    it.finish()?;
    section.finish()?;
    Ok(Rule { name, filter, action })
}

fn correlation_of(mut section: Section<'_>) -> Result<CorrelationFilter, ConfigError> {
    section.flag(REQUIRES_PREPROCESSING)?;
    let mut properties = Vec::new();
    if let Some(section) = section.section("Properties")? {
        for (name, value) in section.entries {
            let place = format!("{}.{name}", section.place);
            let value = match value {
                Json::StringLit(text) => Value::from(text.value.into_owned()),
                Json::BooleanLit(flag) => flag.value.into(),
                Json::NullKeyword(_) => Value::Null,
                Json::NumberLit(number) => match (number.value.parse::<i64>(), number.value.parse::<f64>()) {
                    (Ok(number), _) => number.into(),
                    (_, Ok(number)) => number.into(),
                    _ => return wrong(&place, format!("{} is not a number", number.value)),
                },
                _ => return wrong(&place, "must be a string, a number, true, false or null"),
            };
            properties.push((name, value));
        }
    }
    let filter = CorrelationFilter {
        correlation_id: section.text("CorrelationId")?,
        message_id: section.text("MessageId")?,
        to: section.text("To")?,
        reply_to: section.text("ReplyTo")?,
        label: section.text("Label")?.or(section.text("Subject")?),
        session_id: section.text("SessionId")?,
        reply_to_session_id: section.text("ReplyToSessionId")?,
        content_type: section.text("ContentType")?,
        properties,
    };
    section.finish()?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        // entities
        "UserConfig": { "Namespaces": [ { "Name": "ns",
            "AuthorizationRules": [ { "KeyName": "k", "PrimaryKey": "p", "Rights": "Send, Listen" } ],
            "Queues": [ { "Name": "q", "Properties": { "LockDuration": "PT5S", "RequiresSession": false } } ],
            "Topics": [ { "Name": "t", "Subscriptions": [ { "Name": "s", "Rules": [
                { "Name": "r", "Properties": { "FilterType": "Sql", "SqlFilter": { "SqlExpression": "1=0" } } } ] } ] } ]
        } ], "Logging": { "Type": "File" } }
    }"#;

    #[test]
    fn a_configuration_of_the_official_emulator_is_read_with_its_defaults() {
        let blueprint = parse(FILE).unwrap().remove(0);
        let (name, queue) = &blueprint.queues[0];
        assert_eq!((name.as_str(), queue.lock_duration, queue.max_delivery_count), ("q", Duration::from_secs(5), 3));
        assert_eq!(queue.default_message_time_to_live, Some(Duration::from_secs(3_600)));
        let key = &blueprint.keys[0];
        assert_eq!((key.key_name.as_str(), key.primary_key.as_str()), ("k", "p"));
        assert_eq!(key.rights, Rights { send: true, listen: true, manage: false });
        let rule = &blueprint.topics[0].subscriptions[0].rules[0];
        assert_eq!((rule.name.as_str(), matches!(rule.filter, Filter::Sql(_))), ("r", true));
    }

    /// The file with a second namespace.
    fn with_another(second: &str) -> String {
        FILE.replace("} ], \"Logging\"", &format!("}}, {second} ], \"Logging\""))
    }

    #[test]
    fn several_namespaces_are_read_in_their_order() {
        let second = r#"{ "Name": "b", "Tier": "Premium", "Queues": [ { "Name": "q" } ] }"#;
        let all = parse(&with_another(second)).unwrap();
        let names: Vec<_> = all.iter().map(|it| (it.name.as_deref().unwrap(), it.tier, it.queues.len())).collect();
        assert_eq!(names, [("ns", None, 1), ("b", Some(crate::broker::Tier::Premium), 1)]);
    }

    #[test]
    fn the_example_of_the_readme_is_read() {
        let readme = include_str!("../README.md");
        let example = readme.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let blueprint = parse(example).unwrap().remove(0);
        assert!(blueprint.queues[0].1.requires_session);
        assert_eq!(blueprint.topics[0].subscriptions[0].rules.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, message) in [
            ("\"LockDuration\"", "\"LockTime\"", "UserConfig.Namespaces[0].Queues[0].Properties.LockTime: this key"),
            ("PT5S", "five", "UserConfig.Namespaces[0].Queues[0].Properties.LockDuration: 'five'"),
            ("PT5S", "PT6M", "UserConfig.Namespaces[0].Queues[0]: The value of 'LockDuration'"),
            ("\"Name\": \"t\",", "", "UserConfig.Namespaces[0].Topics[0]: Name is missing"),
            ("Listen", "Look", "UserConfig.Namespaces[0].AuthorizationRules[0].Rights: ' Look' is not"),
            ("\"UserConfig\"", "\"Config\"", "UserConfig is missing"),
            ("\"q\"", "\"two words\"", "UserConfig.Namespaces[0].Queues[0].Name: 'two words' contains"),
            ("\"q\"", "\"t\"", "UserConfig.Namespaces[0].Topics[0].Name: there are two of 't'"),
            ("\"s\"", "\"a/b\"", "UserConfig.Namespaces[0].Topics[0].Subscriptions[0].Name: 'a/b' contains"),
            ("\"r\"", "\"\"", "UserConfig.Namespaces[0].Topics[0].Subscriptions[0].Rules[0].Name: '' contains"),
            ("\"ns\"", "\"\"", "UserConfig.Namespaces[0].Name: '' cannot be the name of a namespace"),
            (
                "\"Name\": \"q\"",
                "\"Name\": \"q\", \"Name\": \"p\"",
                "UserConfig.Namespaces[0].Queues[0].Name: this key",
            ),
            ("\"Topics\"", "\"Queues\"", "UserConfig.Namespaces[0].Queues: this key is given twice"),
        ] {
            let error = parse(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        for (second, message) in [
            ("{}", "UserConfig.Namespaces[1].Name: is missing"),
            (r#"{ "Name": "NS" }"#, "UserConfig.Namespaces[1].Name: there are two namespaces 'NS'"),
        ] {
            let error = parse(&with_another(second)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(parse("{").is_err());
        assert!(parse("").is_err());
    }
}
