//! The client and its operations.

use super::{AdministrationError, Credential, HttpClient, Pages, Timer};
use crate::random::Random;
use crate::servicebus::administration::{
    ApiVersion, CreateQueueOptions, CreateRuleOptions, CreateSubscriptionOptions, CreateTopicOptions, Endpoint,
    FromEntry, NamespaceProperties, Operation, QueueProperties, QueueRuntimeProperties, RequestBuilder, Resource,
    Response, RuleProperties, ServiceError, ServiceErrorKind, SubscriptionProperties, SubscriptionRuntimeProperties,
    TopicProperties, TopicRuntimeProperties, UnsignedRequest, read_deleted, read_one,
};
use crate::servicebus::{ConnectionString, Reason, RetryPolicy};
use crate::time::Duration;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

/// How a client works.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AdministrationOptions {
    /// The version of the API: the newest by default.
    pub api_version: ApiVersion,
    /// When failed requests are tried again.
    pub retry: RetryPolicy,
    /// Varies the waits between attempts.
    pub seed: u64,
}

impl AdministrationOptions {
    /// With another version of the API.
    #[must_use]
    pub fn api_version(self, api_version: ApiVersion) -> Self {
        Self { api_version, ..self }
    }

    /// With another retry policy.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// With a seed for the waits between attempts.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// Makes, reads, changes and deletes queues, topics, subscriptions and rules of a namespace.
///
/// Requests that fail in passing (no answer, throttling, trouble of the service) are tried again as the retry policy
/// says. A creation whose first answer was lost can thus end as
/// [`AlreadyExists`](ServiceErrorKind::AlreadyExists), a deletion as [`NotFound`](ServiceErrorKind::NotFound).
///
/// No operation is cancel safe in this sense: when its future is dropped, a change may still be made.
#[derive(Debug)]
pub struct AdministrationClient<H, T> {
    http: H,
    timer: T,
    requests: RequestBuilder,
    credential: Credential,
    options: AdministrationOptions,
}

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// A client for the namespace at this endpoint.
    pub fn new(endpoint: Endpoint, credential: Credential, options: AdministrationOptions, http: H, timer: T) -> Self {
        let requests = RequestBuilder::new(endpoint, options.api_version);
        Self { http, timer, requests, credential, options }
    }

    /// A client for the namespace of a connection string; see [`Endpoint::from_connection_string`] for how it names an
    /// emulator.
    pub fn from_connection_string(
        text: &ConnectionString<'_>,
        options: AdministrationOptions,
        http: H,
        timer: T,
    ) -> Self {
        Self::new(Endpoint::from_connection_string(text), text.credential.into(), options, http, timer)
    }

    pub(super) fn requests(&self) -> &RequestBuilder {
        &self.requests
    }

    /// Sends a request until there is an answer that trying again would not change, or attempts are used up.
    pub(super) async fn send(
        &self,
        unsigned: &UnsignedRequest,
        operation: Operation,
    ) -> Result<Response, AdministrationError<H::Error>> {
        let retry = &self.options.retry;
        let mut random = Random::seeded(self.options.seed ^ self.timer.utc().as_millis().unsigned_abs());
        let mut attempt = 0;
        loop {
            let result = self.attempt(unsigned).await;
            let (reason, least) = match &result {
                Ok(response) if (200..300).contains(&response.status) => return result,
                Ok(response) => {
                    let error = ServiceError::read(response, operation);
                    if !error.is_transient() {
                        return result;
                    }
                    let busy = error.kind == ServiceErrorKind::Throttled;
                    (busy.then_some(Reason::ServerBusy), error.retry_after.unwrap_or_default())
                }
                Err(error) if error.is_transient() => (None, Duration::ZERO),
                Err(_) => return result,
            };
            let Some(delay) = retry.delay(attempt, reason, &mut random) else { return result };
            self.timer.sleep(delay.max(least.min(retry.max_delay))).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, unsigned: &UnsignedRequest) -> Result<Response, AdministrationError<H::Error>> {
        let authorization = self.credential.authorize(self.timer.utc()).await.map_err(AdministrationError::Token)?;
        let request = unsigned.sign(|audience| authorization.for_audience(audience));
        let mut answer = pin!(self.http.send(self.requests.endpoint(), request));
        let mut timeout = pin!(self.timer.sleep(self.options.retry.try_timeout));
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(AdministrationError::Transport));
            }
            timeout.as_mut().poll(context).map(|()| Err(AdministrationError::Timeout))
        })
        .await
    }

    async fn put<E: FromEntry>(
        &self,
        unsigned: UnsignedRequest,
        resource: Resource,
        operation: Operation,
    ) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&unsigned, operation).await?;
        Ok(read_one(&response, &resource, operation)?)
    }

    async fn get<E: FromEntry>(&self, resource: Resource) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&self.requests.get(&resource)?, Operation::Get).await?;
        Ok(read_one(&response, &resource, Operation::Get)?)
    }

    async fn delete(&self, resource: Resource) -> Result<(), AdministrationError<H::Error>> {
        let response = self.send(&self.requests.delete(&resource)?, Operation::Delete).await?;
        Ok(read_deleted(&response)?)
    }

    async fn exists<E: FromEntry>(&self, resource: Resource) -> Result<bool, AdministrationError<H::Error>> {
        match self.get::<E>(resource).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the service tells about the namespace.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_namespace_properties(&self) -> Result<NamespaceProperties, AdministrationError<H::Error>> {
        self.get(Resource::Namespace).await
    }

    /// Creates a queue.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_queue(
        &self,
        name: &str,
        options: CreateQueueOptions,
    ) -> Result<QueueProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.create_queue(name, options)?;
        self.put(unsigned, Resource::Entity(name.into()), Operation::Create).await
    }

    /// Creates a queue unless there is one of this name, whose settings stay as they are; whether it was created.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_queue_if_missing(
        &self,
        name: &str,
        options: CreateQueueOptions,
    ) -> Result<bool, AdministrationError<H::Error>> {
        created(self.create_queue(name, options).await)
    }

    /// The settings of a queue.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_queue(&self, name: &str) -> Result<QueueProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// What a queue holds and when it was used.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_queue_runtime_properties(
        &self,
        name: &str,
    ) -> Result<QueueRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// Changes a queue's settings to these; what was read with [`get_queue`](Self::get_queue) is changed and sent back. Open
    /// links are detached and come back by themselves.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn update_queue(
        &self,
        queue: &QueueProperties,
    ) -> Result<QueueProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.update_queue(queue)?;
        self.put(unsigned, Resource::Entity(queue.name.clone()), Operation::Update).await
    }

    /// Deletes a queue. Its messages go with it.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_queue(&self, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Entity(name.into())).await
    }

    /// Whether there is a queue of this name.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn queue_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<QueueProperties>(Resource::Entity(name.into())).await
    }

    /// All queues, by name.
    pub fn list_queues(&self) -> Pages<'_, H, T, QueueProperties> {
        Pages::new(self, Resource::Queues)
    }

    /// What all queues hold, by name.
    pub fn list_queues_runtime_properties(&self) -> Pages<'_, H, T, QueueRuntimeProperties> {
        Pages::new(self, Resource::Queues)
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_topic(
        &self,
        name: &str,
        options: CreateTopicOptions,
    ) -> Result<TopicProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.create_topic(name, options)?;
        self.put(unsigned, Resource::Entity(name.into()), Operation::Create).await
    }

    /// Creates a topic unless there is one of this name, whose settings stay as they are; whether it was created.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_topic_if_missing(
        &self,
        name: &str,
        options: CreateTopicOptions,
    ) -> Result<bool, AdministrationError<H::Error>> {
        created(self.create_topic(name, options).await)
    }

    /// The settings of a topic.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_topic(&self, name: &str) -> Result<TopicProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// What a topic holds and when it was used.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_topic_runtime_properties(
        &self,
        name: &str,
    ) -> Result<TopicRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// Changes a topic's settings to these; what was read with [`get_topic`](Self::get_topic) is changed and sent back. Open
    /// links are detached and come back by themselves.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn update_topic(
        &self,
        topic: &TopicProperties,
    ) -> Result<TopicProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.update_topic(topic)?;
        self.put(unsigned, Resource::Entity(topic.name.clone()), Operation::Update).await
    }

    /// Deletes a topic. Its subscriptions and their messages go with it.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Entity(name.into())).await
    }

    /// Whether there is a topic of this name.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn topic_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<TopicProperties>(Resource::Entity(name.into())).await
    }

    /// All topics, by name.
    pub fn list_topics(&self) -> Pages<'_, H, T, TopicProperties> {
        Pages::new(self, Resource::Topics)
    }

    /// What all topics hold, by name.
    pub fn list_topics_runtime_properties(&self) -> Pages<'_, H, T, TopicRuntimeProperties> {
        Pages::new(self, Resource::Topics)
    }

    /// Creates a subscription.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_subscription(
        &self,
        topic: &str,
        name: &str,
        options: CreateSubscriptionOptions,
    ) -> Result<SubscriptionProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.create_subscription(topic, name, options)?;
        self.put(unsigned, Resource::Subscription { topic: topic.into(), name: name.into() }, Operation::Create).await
    }

    /// Creates a subscription unless there is one of this name, whose settings stay as they are; whether it was created.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_subscription_if_missing(
        &self,
        topic: &str,
        name: &str,
        options: CreateSubscriptionOptions,
    ) -> Result<bool, AdministrationError<H::Error>> {
        created(self.create_subscription(topic, name, options).await)
    }

    /// The settings of a subscription.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_subscription(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<SubscriptionProperties, AdministrationError<H::Error>> {
        self.get(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// What a subscription holds and when it was used.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_subscription_runtime_properties(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<SubscriptionRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// Changes a subscription's settings to these; what was read with
    /// [`get_subscription`](Self::get_subscription) is changed and sent back. Open links are detached and come back by
    /// themselves.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn update_subscription(
        &self,
        subscription: &SubscriptionProperties,
    ) -> Result<SubscriptionProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.update_subscription(subscription)?;
        let (topic, name) = (subscription.topic_name.clone(), subscription.name.clone());
        self.put(unsigned, Resource::Subscription { topic, name }, Operation::Update).await
    }

    /// Deletes a subscription. Its messages go with it.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_subscription(&self, topic: &str, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// Whether the topic has a subscription of this name.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn subscription_exists(&self, topic: &str, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<SubscriptionProperties>(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// All of a topic's subscriptions, by name.
    pub fn list_subscriptions(&self, topic: &str) -> Pages<'_, H, T, SubscriptionProperties> {
        Pages::new(self, Resource::Subscriptions { topic: topic.into() })
    }

    /// What all of a topic's subscriptions hold, by name.
    pub fn list_subscriptions_runtime_properties(&self, topic: &str) -> Pages<'_, H, T, SubscriptionRuntimeProperties> {
        Pages::new(self, Resource::Subscriptions { topic: topic.into() })
    }

    /// Creates a rule. A subscription starts with the rule `$Default`, which takes every message: delete it so that others
    /// count.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
        options: CreateRuleOptions,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.create_rule(topic, subscription, &RuleProperties::new(name, options))?;
        self.put(
            unsigned,
            Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() },
            Operation::Create,
        )
        .await
    }

    /// Creates a rule unless there is one of this name, whose settings stay as they are; whether it was created.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn create_rule_if_missing(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
        options: CreateRuleOptions,
    ) -> Result<bool, AdministrationError<H::Error>> {
        created(self.create_rule(topic, subscription, name, options).await)
    }

    /// A rule.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        self.get(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Replaces a rule by this one, for messages that come from now on.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests.update_rule(topic, subscription, rule)?;
        let (topic, subscription, name) = (topic.into(), subscription.into(), rule.name.clone());
        self.put(unsigned, Resource::Rule { topic, subscription, name }, Operation::Update).await
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Whether the subscription has a rule of this name.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn rule_exists(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<RuleProperties>(Resource::Rule {
            topic: topic.into(),
            subscription: subscription.into(),
            name: name.into(),
        })
        .await
    }

    /// All of a subscription's rules, by name.
    pub fn list_rules(&self, topic: &str, subscription: &str) -> Pages<'_, H, T, RuleProperties> {
        Pages::new(self, Resource::Rules { topic: topic.into(), subscription: subscription.into() })
    }
}

/// Whether something was created, where what was there before is as good.
fn created<P, E>(result: Result<P, AdministrationError<E>>) -> Result<bool, AdministrationError<E>> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
