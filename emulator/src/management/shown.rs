//! Settings that no message ever meets: kept to be told again.

use super::settings;
use crate::broker::entities::{self, Namespace, StoreId, name};
use core::ops::Bound;
use servicebus_core::servicebus::administration::{
    AuthorizationRule, CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions, EntityAvailabilityStatus,
};
use std::collections::BTreeMap;

/// What is kept for one entity.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Where the entity keeps its messages: what was kept for an earlier one of the same name does not count.
    store: Option<StoreId>,
    is_anonymous_accessible: bool,
    filtering_messages_before_publishing: bool,
    enable_subscription_partitioning: bool,
    is_client_affine: bool,
    /// An update left the availability out.
    // docs/evidence/pinned-behaviour.md ADM18
    is_availability_unknown: bool,
    /// The keys with what belongs to them but counts for nothing: times, and the order of rights (ADM31).
    authorization_rules: Vec<AuthorizationRule>,
}

impl Shown {
    fn availability(&self) -> EntityAvailabilityStatus {
        if self.is_availability_unknown {
            EntityAvailabilityStatus::Unknown
        } else {
            EntityAvailabilityStatus::Available
        }
    }

    pub(super) fn of_queue(options: &CreateQueueOptions, update: bool) -> Self {
        Self {
            is_anonymous_accessible: options.is_anonymous_accessible.unwrap_or(false),
            is_availability_unknown: update && options.availability_status.is_none(),
            authorization_rules: options.authorization_rules.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn of_topic(options: &CreateTopicOptions, update: bool) -> Self {
        Self {
            is_anonymous_accessible: options.is_anonymous_accessible.unwrap_or(false),
            filtering_messages_before_publishing: options.filtering_messages_before_publishing.unwrap_or(false),
            enable_subscription_partitioning: options.enable_subscription_partitioning.unwrap_or(false),
            is_availability_unknown: update && options.availability_status.is_none(),
            authorization_rules: options.authorization_rules.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn of_subscription(options: &CreateSubscriptionOptions, update: bool) -> Self {
        Self {
            is_client_affine: options.is_client_affine.unwrap_or(false),
            is_availability_unknown: update && options.availability_status.is_none(),
            ..Self::default()
        }
    }

    /// Takes the keys of before, which an update left out.
    pub(super) fn keep_keys(&mut self, before: &Self) {
        self.authorization_rules.clone_from(&before.authorization_rules);
    }

    /// The keys as they were sent, as far as the entity still has them.
    fn keys(&self, rules: &[entities::AuthorizationRule]) -> Vec<AuthorizationRule> {
        let same = self.authorization_rules.len() == rules.len()
            && self.authorization_rules.iter().zip(rules).all(|(shown, rule)| shown.key_name == rule.key_name);
        if same { self.authorization_rules.clone() } else { settings::told_keys(rules) }
    }

    pub(super) fn tell_queue(&self, options: &mut CreateQueueOptions, rules: &[entities::AuthorizationRule]) {
        options.is_anonymous_accessible = Some(self.is_anonymous_accessible);
        options.availability_status = Some(self.availability());
        options.authorization_rules = Some(self.keys(rules));
    }

    pub(super) fn tell_topic(&self, options: &mut CreateTopicOptions, rules: &[entities::AuthorizationRule]) {
        options.is_anonymous_accessible = Some(self.is_anonymous_accessible);
        options.filtering_messages_before_publishing = Some(self.filtering_messages_before_publishing);
        options.enable_subscription_partitioning = Some(self.enable_subscription_partitioning);
        options.availability_status = Some(self.availability());
        options.authorization_rules = Some(self.keys(rules));
    }

    pub(super) fn tell_subscription(&self, options: &mut CreateSubscriptionOptions) {
        options.is_client_affine = Some(self.is_client_affine);
        options.availability_status = Some(self.availability());
    }
}

/// What is kept, by the entity's path.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    shown: BTreeMap<String, Shown>,
    /// The last entry that was looked at for an entity that has gone.
    looked_at: String,
}

/// Entries that are looked at when one is added: more than one, so that those of entities that have gone become fewer.
const LOOKED_AT: usize = 3;

impl Kept {
    fn key(entity: &str, subscription: &str) -> String {
        if subscription.is_empty() {
            name::key(entity)
        } else {
            format!("{}/subscriptions/{}", name::key(entity), name::key(subscription))
        }
    }

    /// What is kept for the entity that keeps its messages there.
    pub(super) fn get(&self, entity: &str, subscription: &str, store: StoreId) -> Shown {
        let found = self.shown.get(&Self::key(entity, subscription)).filter(|shown| shown.store == Some(store));
        found.cloned().unwrap_or_default()
    }

    pub(super) fn put(&mut self, namespace: &Namespace, entity: &str, subscription: &str, shown: Shown) {
        let queue = namespace.queue(entity).map(|queue| queue.stores.main);
        let store = if subscription.is_empty() {
            queue.or_else(|| namespace.topic(entity).map(|topic| topic.transit))
        } else {
            namespace.subscription(entity, subscription).map(|found| found.stores.main)
        };
        self.shown.insert(Self::key(entity, subscription), Shown { store, ..shown });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shown.len()
    }

    /// Forgets entities that have gone: looks at the next few entries, in turn.
    pub(super) fn prune(&mut self, namespace: &Namespace) {
        for _ in 0..LOOKED_AT {
            let behind = (Bound::Excluded(self.looked_at.as_str()), Bound::Unbounded);
            let next = self.shown.range::<str, _>(behind).next().map(|(key, _)| key.clone());
            let Some(key) = next else {
                self.looked_at.clear();
                continue;
            };
            let is_there = match key.split_once("/subscriptions/") {
                Some((topic, subscription)) => namespace.subscription(topic, subscription).is_some(),
                None => namespace.queue(&key).is_some() || namespace.topic(&key).is_some(),
            };
            if !is_there {
                self.shown.remove(&key);
            }
            self.looked_at = key;
        }
    }
}
