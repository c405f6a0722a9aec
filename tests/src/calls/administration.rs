//! Calls of the administration client, for any HTTP client.

use super::{Bound, Running, outcome};
use servicebus_core::client::administration::{AdministrationClient, HttpClient, Timer};
use servicebus_core::servicebus::administration::{
    CreateQueueOptions, CreateRuleOptions, ETag, QueueDescription, QueueProperties, RuleFilter, RuleProperties,
    TopicDescription,
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
        row!(
            "AdministrationClient::create",
            |client| async move { client.create(&QueueDescription::new("new")).await }
        ),
        row!("AdministrationClient::create_if_missing", |client| async move {
            client.create_if_missing(&TopicDescription::new("new")).await
        }),
        row!("AdministrationClient::update", |client| {
            let queue = QueueProperties::new("queue", CreateQueueOptions::new());
            async move { client.update(&queue).await }
        }),
        row!("AdministrationClient::update_if_unchanged", |client| {
            let mut queue = QueueProperties::new("queue", CreateQueueOptions::new());
            queue.etag = Some(ETag::new("\"1\""));
            async move { client.update_if_unchanged(&queue).await }
        }),
        row!("AdministrationClient::get_queue", |client| client.get_queue("queue")),
        row!("AdministrationClient::get_queue_runtime_properties", |client| {
            client.get_queue_runtime_properties("queue")
        }),
        row!("AdministrationClient::delete_queue", |client| client.delete_queue("queue")),
        row!("AdministrationClient::queue_exists", |client| client.queue_exists("queue")),
        row!("AdministrationClient::get_topic", |client| client.get_topic("topic")),
        row!("AdministrationClient::get_topic_runtime_properties", |client| {
            client.get_topic_runtime_properties("topic")
        }),
        row!("AdministrationClient::delete_topic", |client| client.delete_topic("topic")),
        row!("AdministrationClient::topic_exists", |client| client.topic_exists("topic")),
        row!("Pages::next_page", |client| async move { client.list_queues().next_page().await }),
        row!("Pages::all", |client| client.list_topics().all()),
    ]
}

fn subscriptions_and_rules<H: HttpClient + 'static, T: Timer + 'static>() -> Vec<AdministrationCall<H, T>> {
    vec![
        row!("TopicAdministration::create_subscription", |client| async move {
            client.topic("topic").create_subscription("new", RuleFilter::True).await
        }),
        row!("TopicAdministration::create_subscription_if_missing", |client| async move {
            client.topic("topic").create_subscription_if_missing("new", RuleFilter::sql("a = 1")).await
        }),
        row!("SubscriptionAdministration::create_rule", |client| async move {
            client.topic("topic").subscription("subscription").create_rule("new", RuleFilter::True).await
        }),
        row!("SubscriptionAdministration::create_rule_if_missing", |client| async move {
            client.topic("topic").subscription("subscription").create_rule_if_missing("new", RuleFilter::True).await
        }),
        row!("AdministrationClient::get_subscription", |client| client.get_subscription("topic", "subscription")),
        row!("AdministrationClient::get_subscription_runtime_properties", |client| {
            client.get_subscription_runtime_properties("topic", "subscription")
        }),
        row!("AdministrationClient::delete_subscription", |client| {
            client.delete_subscription("topic", "subscription")
        }),
        row!("AdministrationClient::subscription_exists", |client| {
            client.subscription_exists("topic", "subscription")
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
