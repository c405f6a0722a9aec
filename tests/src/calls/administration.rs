//! Calls of the administration client, for any HTTP client.

use super::{Bound, Running, outcome};
use servicebus_core::client::administration::{AdministrationClient, HttpClient, Timer};
use servicebus_core::servicebus::administration::{
    CreateQueueOptions, CreateRuleOptions, CreateSubscriptionOptions, CreateTopicOptions, QueueProperties,
    RuleProperties, SubscriptionProperties, TopicProperties,
};
use std::fmt;

/// A public future of the administration client.
pub struct AdministrationCall<H, T> {
    /// The type and the method.
    pub name: &'static str,
    /// How long it may take.
    pub bound: Bound,
    /// Makes the call.
    pub run: fn(AdministrationClient<H, T>) -> Running,
}

impl<H, T> fmt::Debug for AdministrationCall<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.name, self.bound)
    }
}

/// A row of the table: each is one request, retried by the policy.
macro_rules! row {
    ($name:literal, |$client:ident| $body:expr) => {
        AdministrationCall {
            name: $name,
            bound: Bound::Policy,
            run: |$client| Box::pin(async move { outcome($body.await) }),
        }
    };
}

/// Every public future of the administration client.
pub fn administration_calls<H: HttpClient + 'static, T: Timer + 'static>() -> Vec<AdministrationCall<H, T>> {
    let mut calls = queues_and_topics();
    calls.extend(subscriptions_and_rules());
    calls
}

fn queues_and_topics<H: HttpClient + 'static, T: Timer + 'static>() -> Vec<AdministrationCall<H, T>> {
    vec![
        row!("AdministrationClient::get_namespace_properties", |client| client.get_namespace_properties()),
        row!("AdministrationClient::create_queue", |client| client.create_queue("new", CreateQueueOptions::new())),
        row!("AdministrationClient::get_queue", |client| client.get_queue("queue")),
        row!("AdministrationClient::get_queue_runtime_properties", |client| {
            client.get_queue_runtime_properties("queue")
        }),
        row!("AdministrationClient::update_queue", |client| {
            let queue = QueueProperties::new("queue", CreateQueueOptions::new());
            async move { client.update_queue(&queue).await }
        }),
        row!("AdministrationClient::delete_queue", |client| client.delete_queue("queue")),
        row!("AdministrationClient::queue_exists", |client| client.queue_exists("queue")),
        row!("AdministrationClient::create_queue_if_missing", |client| {
            client.create_queue_if_missing("new", CreateQueueOptions::new())
        }),
        row!("AdministrationClient::create_topic_if_missing", |client| {
            client.create_topic_if_missing("new", CreateTopicOptions::new())
        }),
        row!("AdministrationClient::create_topic", |client| client.create_topic("new", CreateTopicOptions::new())),
        row!("AdministrationClient::get_topic", |client| client.get_topic("topic")),
        row!("AdministrationClient::get_topic_runtime_properties", |client| {
            client.get_topic_runtime_properties("topic")
        }),
        row!("AdministrationClient::update_topic", |client| {
            let topic = TopicProperties::new("topic", CreateTopicOptions::new());
            async move { client.update_topic(&topic).await }
        }),
        row!("AdministrationClient::delete_topic", |client| client.delete_topic("topic")),
        row!("AdministrationClient::topic_exists", |client| client.topic_exists("topic")),
        row!("Pages::next_page", |client| async move { client.list_queues().next_page().await }),
        row!("Pages::all", |client| client.list_topics().all()),
    ]
}

fn subscriptions_and_rules<H: HttpClient + 'static, T: Timer + 'static>() -> Vec<AdministrationCall<H, T>> {
    vec![
        row!("AdministrationClient::create_subscription_if_missing", |client| {
            client.create_subscription_if_missing("topic", "new", CreateSubscriptionOptions::new())
        }),
        row!("AdministrationClient::create_rule_if_missing", |client| {
            client.create_rule_if_missing("topic", "subscription", "new", CreateRuleOptions::new())
        }),
        row!("AdministrationClient::create_subscription", |client| {
            client.create_subscription("topic", "new", CreateSubscriptionOptions::new())
        }),
        row!("AdministrationClient::get_subscription", |client| client.get_subscription("topic", "subscription")),
        row!("AdministrationClient::get_subscription_runtime_properties", |client| {
            client.get_subscription_runtime_properties("topic", "subscription")
        }),
        row!("AdministrationClient::update_subscription", |client| {
            let subscription = SubscriptionProperties::new("topic", "subscription", CreateSubscriptionOptions::new());
            async move { client.update_subscription(&subscription).await }
        }),
        row!("AdministrationClient::delete_subscription", |client| {
            client.delete_subscription("topic", "subscription")
        }),
        row!("AdministrationClient::subscription_exists", |client| {
            client.subscription_exists("topic", "subscription")
        }),
        row!("AdministrationClient::create_rule", |client| {
            client.create_rule("topic", "subscription", "new", CreateRuleOptions::new())
        }),
        row!("AdministrationClient::get_rule", |client| client.get_rule("topic", "subscription", "$Default")),
        row!("AdministrationClient::update_rule", |client| {
            let rule = RuleProperties::new("$Default", CreateRuleOptions::new());
            async move { client.update_rule("topic", "subscription", &rule).await }
        }),
        row!("AdministrationClient::delete_rule", |client| client.delete_rule("topic", "subscription", "$Default")),
        row!("AdministrationClient::rule_exists", |client| client.rule_exists("topic", "subscription", "$Default")),
    ]
}
