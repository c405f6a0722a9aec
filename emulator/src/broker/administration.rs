//! The commands on entities and rules: each is checked, then carried out, and messages that waited for it go on.

use super::budget::{Holding, OverBudget};
use super::change::Change;
use super::entities::{
    EntityError, Namespace, QueueDescription, SubscriptionDescription, TopicDescription, name, queue, rule, topic,
};
use crate::filter::Rule;
use servicebus_core::servicebus::Address;
use servicebus_core::time::Timestamp;

impl Namespace {
    fn has_memory(&self, bytes: usize) -> Result<(), EntityError> {
        if self.budget.has_room(Holding::Entities, bytes) { Ok(()) } else { Err(OverBudget.into()) }
    }

    fn check_new(&self, path: &str) -> Result<String, EntityError> {
        name::check_path(path)?;
        let key = name::key(path);
        if self.queues.contains_key(&key) || self.topics.contains_key(&key) {
            return Err(EntityError::AlreadyExists(path.to_owned()));
        }
        if self.queues.len() + self.topics.len() >= self.limits.entities {
            return Err(EntityError::OutOfRange("The namespace holds too many entities.".into()));
        }
        Ok(key)
    }

    /// A forwarding target must exist before its source. An entity that exists may become its own.
    // docs/evidence/pinned-behaviour.md ADM76; docs/evidence/field-reports.md F22
    fn check_target(&self, target: Option<&String>) -> Result<(), EntityError> {
        let Some(target) = target else { return Ok(()) };
        let Address { entity, subscription, sub_queue, management } = Address::parse(target);
        // What is below an entity gets no messages from outside, and must not stand for it.
        let is_whole = subscription.is_none() && sub_queue.is_none() && !management;
        if is_whole && self.exists(entity) { Ok(()) } else { Err(EntityError::NoForwardTarget(target.clone())) }
    }

    fn check_queue(&self, key: &str, description: QueueDescription) -> Result<Box<QueueDescription>, EntityError> {
        description.validate()?;
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        self.has_memory(queue::bytes(key, &description))?;
        Ok(Box::new(description.never_idle_where_it_forwards()))
    }

    /// Makes a queue. Its name is kept in lower case.
    ///
    /// # Errors
    /// [`EntityError`] for a bad or taken name and for settings that are not valid.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     let twice = QueueDescription { max_delivery_count: 2, ..QueueDescription::default() };
    ///     namespace.create_queue("invoices", twice, clock.utc)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    // docs/evidence/field-reports.md F65
    pub fn create_queue(
        &mut self,
        path: &str,
        description: QueueDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = self.check_new(path)?;
        let description = self.check_queue(&key, description)?;
        self.make(Change::Queue { key, description, utc }, utc);
        Ok(())
    }

    /// Changes a queue's settings; links to it are detached, as the service does.
    ///
    /// # Errors
    /// [`EntityError`] for what is not there, not valid, or cannot be changed.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     let closed = QueueDescription { status: EntityStatus::SendDisabled, ..QueueDescription::default() };
    ///     namespace.update_queue("orders", closed, clock.utc)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_queue(
        &mut self,
        path: &str,
        description: QueueDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = name::key(path);
        let queue = self.queues.get(&key).ok_or_else(|| EntityError::NotFound(path.to_owned()))?;
        let old = &queue.description;
        if old.requires_session != description.requires_session {
            return Err(EntityError::Unchangeable("RequiresSession property of an existing Queue"));
        }
        if old.requires_duplicate_detection != description.requires_duplicate_detection {
            return Err(EntityError::Unchangeable("'requiresDuplicateDetection' property of an existing Queue"));
        }
        if old.enable_partitioning != description.enable_partitioning {
            return Err(EntityError::Unchangeable("partitioning of an existing Queue"));
        }
        let description = self.check_queue(&key, description)?;
        self.make(Change::Queue { key, description, utc }, utc);
        Ok(())
    }

    /// Makes a topic. Its name is kept in lower case.
    ///
    /// # Errors
    /// As [`Namespace::create_queue`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     namespace.create_topic("events", TopicDescription::default(), clock.utc)
    /// })?;
    /// assert_eq!(broker.namespace().topics().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    // docs/evidence/field-reports.md F65
    pub fn create_topic(
        &mut self,
        path: &str,
        description: TopicDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = self.check_new(path)?;
        description.validate()?;
        self.has_memory(topic::bytes(&key, &description))?;
        self.make(Change::Topic { key, description: Box::new(description), utc }, utc);
        Ok(())
    }

    /// Changes a topic's settings; links to it are detached.
    ///
    /// # Errors
    /// As [`Namespace::update_queue`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     let closed = TopicDescription { status: EntityStatus::Disabled, ..TopicDescription::default() };
    ///     namespace.update_topic("events", closed, clock.utc)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_topic(
        &mut self,
        path: &str,
        description: TopicDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = name::key(path);
        description.validate()?;
        let topic = self.topics.get(&key).ok_or_else(|| EntityError::NotFound(path.to_owned()))?;
        if topic.description.requires_duplicate_detection != description.requires_duplicate_detection {
            return Err(EntityError::Unchangeable("'requiresDuplicateDetection' property of an existing Topic"));
        }
        if topic.description.enable_partitioning != description.enable_partitioning {
            return Err(EntityError::Unchangeable("partitioning of an existing Topic"));
        }
        self.has_memory(topic::bytes(&key, &description))?;
        self.make(Change::Topic { key, description: Box::new(description), utc }, utc);
        Ok(())
    }

    /// Deletes a queue, or a topic with its subscriptions, and every message in it.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| namespace.delete("orders"))?;
    /// assert!(!broker.namespace().exists("orders"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete(&mut self, path: &str) -> Result<(), EntityError> {
        let entity = name::key(path);
        if !self.exists(&entity) {
            return Err(EntityError::NotFound(path.to_owned()));
        }
        self.apply(Change::Delete { entity, subscription: None });
        Ok(())
    }

    /// Removes every message and every session's state from every entity; who holds a session keeps it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| namespace.purge());
    /// assert!(broker.namespace().exists("orders"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn purge(&mut self) {
        for store in self.filled_stores() {
            self.apply(Change::Purge { store });
        }
    }

    /// Deletes every entity.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| namespace.clear());
    /// assert_eq!(broker.namespace().queues().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&mut self) {
        self.apply(Change::Clear);
    }

    fn check_subscription(
        &self,
        path: &str,
        description: SubscriptionDescription,
    ) -> Result<Box<SubscriptionDescription>, EntityError> {
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        self.has_memory(topic::subscription_bytes(path, &description))?;
        Ok(Box::new(description.never_idle_where_it_forwards()))
    }

    /// Makes a subscription with one rule: the given one, or the one that takes everything.
    ///
    /// # Errors
    /// As [`Namespace::create_queue`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     namespace.create_subscription("events", "audit", SubscriptionDescription::default(), None, clock.utc)
    /// })?;
    /// assert!(broker.namespace().subscription("events", "audit").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_subscription(
        &mut self,
        topic: &str,
        subscription: &str,
        description: SubscriptionDescription,
        rule: Option<Rule>,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = name::key(topic);
        let found = self.topics.get(&key).ok_or_else(|| EntityError::NotFound(topic.to_owned()))?;
        name::check_name(subscription)?;
        description.validate()?;
        let path = format!("{}/Subscriptions/{subscription}", found.name);
        if found.subscriptions.contains_key(&name::key(subscription)) {
            return Err(EntityError::AlreadyExists(path));
        }
        if found.subscriptions.len() >= self.limits.subscriptions {
            return Err(EntityError::OutOfRange("The topic has too many subscriptions.".into()));
        }
        let description = self.check_subscription(&path, description)?;
        let mut rule = rule.unwrap_or_else(Rule::default_rule);
        if rule.name.is_empty() {
            rule.name = Rule::DEFAULT_NAME.into();
        }
        self.check_rule(&rule)?;
        found.rules.check_room(&rule, None, self.limits)?;
        let (name, rule) = (subscription.to_owned(), Some(Box::new(rule)));
        self.make(Change::Subscription { topic: key, name, description, rule, utc }, utc);
        Ok(())
    }

    /// Changes a subscription's settings; links to it are detached.
    ///
    /// # Errors
    /// As [`Namespace::update_queue`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     let twice = SubscriptionDescription { max_delivery_count: 2, ..SubscriptionDescription::default() };
    ///     namespace.update_subscription("events", "all", twice, clock.utc)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_subscription(
        &mut self,
        topic: &str,
        subscription: &str,
        description: SubscriptionDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        description.validate()?;
        let missing = || EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}"));
        let description = self.check_subscription(subscription, description)?;
        let found = self.subscription(topic, subscription).ok_or_else(missing)?;
        if found.description.requires_session != description.requires_session {
            return Err(EntityError::Unchangeable("RequiresSession property of an existing Subscription"));
        }
        let (topic, name) = (name::key(topic), found.name.clone());
        self.make(Change::Subscription { topic, name, description, rule: None, utc }, utc);
        Ok(())
    }

    /// Deletes a subscription and every message in it.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| namespace.delete_subscription("events", "all"))?;
    /// assert!(broker.namespace().subscription("events", "all").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_subscription(&mut self, topic: &str, subscription: &str) -> Result<(), EntityError> {
        if self.subscription(topic, subscription).is_none() {
            return Err(EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}")));
        }
        let (entity, subscription) = (name::key(topic), Some(name::key(subscription)));
        self.apply(Change::Delete { entity, subscription });
        Ok(())
    }

    /// Checks what a rule must have beyond its texts, and that there is memory for it.
    fn check_rule(&self, rule: &Rule) -> Result<(), EntityError> {
        rule::check(rule)?;
        self.has_memory(rule.memory())
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// [`EntityError`] for a bad or taken name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # use servicebus_emulator::filter::{CorrelationFilter, Filter, Rule};
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// let filter = Filter::Correlation(CorrelationFilter { label: Some("order".into()), ..Default::default() });
    /// let orders = Rule { name: "orders".into(), filter, action: None };
    /// broker.with_namespace(clock, |namespace| namespace.create_rule("events", "all", orders, clock.utc))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_rule(
        &mut self,
        topic: &str,
        subscription: &str,
        rule: Rule,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        self.check_rule(&rule)?;
        let missing = || EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}"));
        let found = self.subscription(topic, subscription).ok_or_else(missing)?;
        if found.rules.contains_key(&name::key(&rule.name)) {
            return Err(EntityError::AlreadyExists(format!("{topic}|{subscription}|{}", rule.name)));
        }
        self.topic(topic).ok_or_else(missing)?.rules.check_room(&rule, None, self.limits)?;
        self.put(topic, subscription, rule, utc);
        Ok(())
    }

    /// Changes a rule; it counts as made anew.
    ///
    /// # Errors
    /// [`EntityError::RuleNotFound`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # use servicebus_emulator::filter::{Filter, Rule};
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// let nothing = Rule { filter: Filter::False, ..Rule::default_rule() };
    /// broker.with_namespace(clock, |namespace| namespace.update_rule("events", "all", nothing, clock.utc))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    // docs/evidence/pinned-behaviour.md ADM34
    pub fn update_rule(
        &mut self,
        topic: &str,
        subscription: &str,
        rule: Rule,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        self.has_memory(rule.memory())?;
        let missing = || EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}"));
        let found = self.subscription(topic, subscription).ok_or_else(missing)?;
        let before = found.rules.get(&name::key(&rule.name));
        let before =
            before.ok_or_else(|| EntityError::RuleNotFound(format!("{topic}|{subscription}|{}", rule.name)))?;
        self.topic(topic).ok_or_else(missing)?.rules.check_room(&rule, Some(&before.rule), self.limits)?;
        self.put(topic, subscription, rule, utc);
        Ok(())
    }

    fn put(&mut self, topic: &str, subscription: &str, rule: Rule, utc: Timestamp) {
        let (topic, subscription, rule) = (name::key(topic), name::key(subscription), Box::new(rule));
        self.apply(Change::Rule { topic, subscription, rule, utc });
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// [`EntityError::RuleNotFound`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # use servicebus_emulator::filter::Rule;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| namespace.delete_rule("events", "all", Rule::DEFAULT_NAME))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_rule(&mut self, topic: &str, subscription: &str, rule: &str) -> Result<(), EntityError> {
        let found = self.subscription(topic, subscription);
        let found = found.ok_or_else(|| EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}")))?;
        let key = name::key(rule);
        if !found.rules.contains_key(&key) {
            return Err(EntityError::RuleNotFound(format!("{topic}|{subscription}|{rule}")));
        }
        self.apply(Change::RemoveRule { topic: name::key(topic), subscription: name::key(subscription), rule: key });
        Ok(())
    }
}
