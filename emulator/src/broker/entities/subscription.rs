//! Subscriptions of a topic and their rules, made and changed at run time.

use super::description::SubscriptionDescription;
use super::error::EntityError;
use super::name;
use super::namespace::{Namespace, Signal};
use super::queue::Times;
use super::rule::{self, StoredRule};
use super::rule_index::RuleIndex;
use super::topic::{self, Subscription};
use crate::broker::tier::Limits;
use crate::filter::{Filter, Rule};
use servicebus_core::servicebus::SubQueue;
use servicebus_core::time::Timestamp;
use std::collections::BTreeMap;

/// Checks how many filters a topic has beside this one (docs/evidence/wire-protocol.md §8).
fn check_filters(rules: &RuleIndex, rule: &Rule, limits: Limits) -> Result<(), EntityError> {
    let (kind, count, limit) = match rule.filter {
        Filter::Sql(_) => ("SQL", rules.sql_filters(), limits.sql_filters),
        Filter::Correlation(_) => ("correlation", rules.correlation_filters(), limits.correlation_filters),
        _ => return Ok(()),
    };
    if count < limit {
        return Ok(());
    }
    Err(EntityError::OutOfRange(format!("A topic cannot have more than {limit} {kind} filters.")))
}

impl Namespace {
    /// Makes a subscription with one rule: the given one, or the one that takes everything.
    ///
    /// # Errors
    /// As [`Namespace::create_queue`].
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
        let own = name::key(subscription);
        let path = format!("{}/Subscriptions/{subscription}", found.name);
        if found.subscriptions.contains_key(&own) {
            return Err(EntityError::AlreadyExists(path));
        }
        if found.subscriptions.len() >= self.limits.subscriptions {
            return Err(EntityError::OutOfRange("The topic has too many subscriptions.".into()));
        }
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        let description = description.never_idle_where_it_forwards();
        let mut rule = rule.unwrap_or_else(Rule::default_rule);
        if rule.name.is_empty() {
            rule.name = Rule::DEFAULT_NAME.into();
        }
        rule::check(&rule)?;
        check_filters(&found.rules, &rule, self.limits)?;
        let stores = self.new_stores(&key, Some(&own), &path, |sub_queue| topic::settings(&description, sub_queue))?;
        self.watch_idle(format!("{key}/subscriptions/{own}"), description.auto_delete_on_idle, utc);
        let mut times = Times::new(utc);
        // A fresh subscription counts as used, and so does its topic (docs/evidence/pinned-behaviour.md ADM57, ADM58).
        times.accessed = utc;
        let rule_key = name::key(&rule.name);
        if let Some(found) = self.topics.get_mut(&key) {
            found.times.accessed = utc;
            found.rules.add(&own, &rule_key, &rule);
            let rules = BTreeMap::from([(rule_key, StoredRule { rule, created_at: utc })]);
            let subscription = Subscription { name: subscription.to_owned(), description, times, stores, rules };
            found.subscriptions.insert(own, subscription);
        }
        Ok(())
    }

    /// Changes a subscription's settings; links to it are detached.
    ///
    /// # Errors
    /// As [`Namespace::update_queue`].
    pub fn update_subscription(
        &mut self,
        topic: &str,
        subscription: &str,
        description: SubscriptionDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let (key, own) = (name::key(topic), name::key(subscription));
        description.validate()?;
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        let description = description.never_idle_where_it_forwards();
        let found = self.subscription_mut(topic, subscription)?;
        if found.description.requires_session != description.requires_session {
            return Err(EntityError::Unchangeable("RequiresSession property of an existing Subscription"));
        }
        found.description = description.clone();
        found.times.updated = utc;
        let stores = found.stores;
        let kinds = [None, Some(SubQueue::DeadLetter), Some(SubQueue::TransferDeadLetter)];
        for (id, sub_queue) in stores.all().into_iter().zip(kinds) {
            if let Some(store) = self.store_mut(id) {
                store.set_settings(topic::settings(&description, sub_queue));
            }
        }
        let path = format!("{key}/subscriptions/{own}");
        self.watch_idle(path.clone(), description.auto_delete_on_idle, utc);
        self.signal(Signal::Updated(path));
        self.settings_changed(&stores.all(), utc);
        Ok(())
    }

    /// Deletes a subscription and every message in it.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    pub fn delete_subscription(&mut self, topic: &str, subscription: &str) -> Result<(), EntityError> {
        if self.remove_subscription(&name::key(topic), &name::key(subscription)) {
            Ok(())
        } else {
            Err(EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}")))
        }
    }

    /// Removes a subscription by its keys; false when there is none.
    pub(super) fn remove_subscription(&mut self, key: &str, own: &str) -> bool {
        let Some(found) = self.topics.get_mut(key) else { return false };
        let Some(removed) = found.subscriptions.remove(own) else { return false };
        for (name, stored) in &removed.rules {
            found.rules.remove(own, name, &stored.rule);
        }
        for id in removed.stores.all() {
            self.drop_store(id);
        }
        let path = format!("{key}/subscriptions/{own}");
        self.forget_idle(&path);
        self.signal(Signal::Deleted(path));
        true
    }

    /// A subscription.
    pub fn subscription(&self, topic: &str, subscription: &str) -> Option<&Subscription> {
        self.topic(topic)?.subscriptions.get(&name::key(subscription))
    }

    pub(super) fn subscription_mut(
        &mut self,
        topic: &str,
        subscription: &str,
    ) -> Result<&mut Subscription, EntityError> {
        let missing = || EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}"));
        let found = self.topics.get_mut(&name::key(topic)).ok_or_else(missing)?;
        found.subscriptions.get_mut(&name::key(subscription)).ok_or_else(missing)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// [`EntityError`] for a bad or taken name.
    pub fn create_rule(
        &mut self,
        topic: &str,
        subscription: &str,
        rule: Rule,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        rule::check(&rule)?;
        let (key, limits) = (name::key(&rule.name), self.limits);
        let (found, rules) = self.rules_mut(topic, subscription)?;
        if found.rules.contains_key(&key) {
            return Err(EntityError::AlreadyExists(format!("{topic}|{subscription}|{}", rule.name)));
        }
        check_filters(rules, &rule, limits)?;
        rules.add(&name::key(subscription), &key, &rule);
        found.rules.insert(key, StoredRule { rule, created_at: utc });
        Ok(())
    }

    /// A subscription and the rules of its topic.
    fn rules_mut(
        &mut self,
        topic: &str,
        subscription: &str,
    ) -> Result<(&mut Subscription, &mut RuleIndex), EntityError> {
        let missing = || EntityError::NotFound(format!("{topic}/Subscriptions/{subscription}"));
        let found = self.topics.get_mut(&name::key(topic)).ok_or_else(missing)?;
        let subscription = found.subscriptions.get_mut(&name::key(subscription)).ok_or_else(missing)?;
        Ok((subscription, &mut found.rules))
    }

    /// Changes a rule; it counts as made anew (docs/evidence/pinned-behaviour.md ADM34).
    ///
    /// # Errors
    /// [`EntityError::RuleNotFound`].
    pub fn update_rule(
        &mut self,
        topic: &str,
        subscription: &str,
        rule: Rule,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let (key, limits) = (name::key(&rule.name), self.limits);
        let (found, rules) = self.rules_mut(topic, subscription)?;
        let missing = || EntityError::RuleNotFound(format!("{topic}|{subscription}|{}", rule.name));
        let slot = found.rules.get_mut(&key).ok_or_else(missing)?;
        let own = name::key(subscription);
        rules.remove(&own, &key, &slot.rule);
        let checked = check_filters(rules, &rule, limits);
        if checked.is_ok() {
            *slot = StoredRule { rule, created_at: utc };
        }
        rules.add(&own, &key, &slot.rule);
        checked
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// [`EntityError::RuleNotFound`].
    pub fn delete_rule(&mut self, topic: &str, subscription: &str, rule: &str) -> Result<(), EntityError> {
        let (found, rules) = self.rules_mut(topic, subscription)?;
        let key = name::key(rule);
        let missing = || EntityError::RuleNotFound(format!("{topic}|{subscription}|{rule}"));
        let removed = found.rules.remove(&key).ok_or_else(missing)?;
        rules.remove(&name::key(subscription), &key, &removed.rule);
        Ok(())
    }
}
