//! A topic and its subscriptions.

use super::description::{SubscriptionDescription, TopicDescription};
use super::duplicates::Duplicates;
use super::listed::Listed;
use super::message::Message;
use super::namespace::StoreId;
use super::queue::{PLACES, Stores, Times};
use super::remains::Life;
use super::rule::StoredRule;
use super::rule_index::{RuleCounts, RuleIndex};
use super::store::{Store, StoreSettings};
use crate::broker::budget::Share;
use servicebus_core::servicebus::SubQueue;
use std::sync::Arc;

/// A topic.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
/// if let Some(topic) = broker.namespace().topic("events") {
///     let names: Vec<_> = topic.subscriptions.values().map(|subscription| &subscription.name).collect();
///     assert_eq!(names, ["all"]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Topic {
    /// The name as it was written.
    pub name: String,
    /// The settings.
    pub description: TopicDescription,
    /// When it was made, changed and used.
    pub times: Times,
    /// Messages that wait for their time; they reach the subscriptions when it has come.
    pub scheduled: StoreId,
    /// Messages on their way to the subscriptions.
    pub transit: StoreId,
    /// By key.
    pub subscriptions: Listed<Subscription>,
    /// The rules of all subscriptions.
    pub rules: RuleIndex,
    pub(in crate::broker) duplicates: Duplicates,
    /// Its part of the memory budget, without its subscriptions'.
    pub(super) share: Share,
    pub(super) life: Arc<Life>,
}

/// Bytes that a topic takes without messages and subscriptions.
pub(in crate::broker) fn bytes(key: &str, description: &TopicDescription) -> usize {
    PLACES + 2 * size_of::<Store>() + 12 * key.len() + 2 * description.memory()
}

/// Bytes that a subscription of this path takes without messages and rules.
pub(in crate::broker) fn subscription_bytes(path: &str, description: &SubscriptionDescription) -> usize {
    /// The first rule of a map takes the room of as many.
    const RULES: usize = 11;
    let rules = RULES * size_of::<(String, StoredRule)>();
    PLACES + 3 * size_of::<Store>() + rules + 12 * path.len() + 2 * description.memory()
}

impl Topic {
    /// The rules that a message may match, by subscription, both in the order of their keys.
    pub(in crate::broker) fn candidates(&self, message: &Message) -> Vec<(&str, &Subscription, Vec<&StoredRule>)> {
        let mut found: Vec<(&str, &Subscription, Vec<&StoredRule>)> = Vec::new();
        for (key, number, name) in self.rules.candidates(message) {
            let Some(subscription) = self.subscriptions.get(&**key).filter(|it| it.number == *number) else { continue };
            let Some(rule) = subscription.rules.get(&**name) else { continue };
            match found.last_mut() {
                Some((last, _, rules)) if *last == &**key => rules.push(rule),
                _ => found.push((key, subscription, vec![rule])),
            }
        }
        found
    }
}

/// A subscription.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
/// if let Some(subscription) = broker.namespace().subscription("events", "all") {
///     assert!(subscription.rules.values().any(|stored| stored.rule.name == "$Default"));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subscription {
    /// The name as it was written.
    pub name: String,
    /// The settings.
    pub description: SubscriptionDescription,
    /// When it was made, changed and used.
    pub times: Times,
    /// Its messages.
    pub stores: Stores,
    /// By key: that is the order in which they are listed.
    // docs/evidence/pinned-behaviour.md RUL4
    pub rules: Listed<StoredRule>,
    /// How many of them there are of each kind.
    pub(super) counts: RuleCounts,
    /// Its number among all subscriptions that there were.
    pub(super) number: u64,
    /// Its part of the memory budget, without its rules'.
    pub(super) share: Share,
}

/// What a subscription's description means for its stores.
pub(super) fn settings(description: &SubscriptionDescription, sub_queue: Option<SubQueue>) -> StoreSettings {
    StoreSettings {
        lock_duration: description.lock_duration,
        max_delivery_count: description.max_delivery_count,
        requires_session: description.requires_session && sub_queue.is_none(),
        of_sessions: description.requires_session && sub_queue.is_some(),
        dead_letter_on_expiry: description.dead_lettering_on_message_expiration,
        sub_queue,
        relays: super::queue::relays(
            sub_queue,
            description.forward_to.is_some(),
            description.forward_dead_lettered_messages_to.is_some(),
        ),
    }
}
