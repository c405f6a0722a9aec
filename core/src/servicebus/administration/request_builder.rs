//! Makes the requests of the management API.
// docs/evidence/wire-protocol.md §7.1

use super::api_version::ApiVersion;
use super::description::{Description, EntityOptions, EntityState};
use super::endpoint::Endpoint;
use super::http::{Headers, Method, Request};
use super::queue::{CreateQueueOptions, QueueProperties};
use super::resource::Resource;
use super::rule::{RuleForm, RuleProperties};
use super::subscription::{CreateSubscriptionOptions, SubscriptionProperties};
use super::topic::{CreateTopicOptions, TopicProperties};
use super::unsigned_request::{InvalidRequest, UnsignedRequest};
use super::xml::{ATOM, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Builds the requests for one namespace.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
///
/// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
/// let deletion = requests.delete(&Resource::Entity("orders".into()))?;
/// assert_eq!(deletion.request().method.as_str(), "DELETE");
/// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    endpoint: Endpoint,
    api_version: ApiVersion,
}

impl RequestBuilder {
    /// A builder for this namespace.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// assert_eq!(requests.endpoint().port(), 443);
    /// ```
    pub fn new(endpoint: Endpoint, api_version: ApiVersion) -> Self {
        Self { endpoint, api_version }
    }

    /// Where the requests go.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// assert_eq!(requests.endpoint().host(), "contoso.servicebus.windows.net");
    /// ```
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn request(&self, method: Method, path_and_query: String) -> UnsignedRequest {
        let mut headers = Headers::new();
        headers.push("Accept", "application/atom+xml, application/xml");
        let (path, _) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let audience = self.endpoint.audience_of(path);
        UnsignedRequest {
            request: Request { method, path_and_query, headers, body: Vec::new() },
            audience,
            forward_to: None,
            forward_dead_lettered_messages_to: None,
        }
    }

    /// Reads an entity or the namespace.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let audit = Resource::Subscription { topic: "events".into(), name: "audit".into() };
    /// let path = requests.get(&audit)?.request().path_and_query.clone();
    /// assert_eq!(path, "/events/subscriptions/audit?enrich=false&api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn get(&self, resource: &Resource) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let enrich = if *resource == Resource::Namespace { "" } else { "enrich=false&" };
        let path_and_query = alloc::format!("{resource}?{enrich}api-version={}", self.api_version);
        Ok(self.request(Method::Get, path_and_query))
    }

    /// Reads one page of a collection: at most `top` entries after the first `skip`.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let second_page = requests.list(&Resource::Queues, 100, 100)?;
    /// assert!(second_page.request().path_and_query.starts_with("/$Resources/queues?$skip=100&$top=100"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn list(&self, resource: &Resource, skip: u32, top: u32) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let mut path_and_query = alloc::format!("{resource}?$skip={skip}&$top={top}");
        let _ = write!(path_and_query, "&api-version={}", self.api_version);
        Ok(self.request(Method::Get, path_and_query))
    }

    /// Reads the page that the page before it named. Of the address only path and query are used, so that no answer
    /// can send a token elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let next = requests.follow("https://elsewhere.example/$Resources/queues?$skip=100");
    /// assert_eq!(next.request().path_and_query, "/$Resources/queues?$skip=100");
    /// ```
    pub fn follow(&self, next: &str) -> UnsignedRequest {
        let path = match next.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => next,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let clean = path.split('#').next().unwrap_or_default();
        let clean: String = clean.chars().filter(|c| c.is_ascii_graphic()).collect();
        self.request(Method::Get, alloc::format!("{slash}{clean}"))
    }

    /// Deletes an entity and all that is in it.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let deletion = requests.delete(&Resource::Entity("orders".into()))?;
    /// assert_eq!(deletion.request().path_and_query, "/orders?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn delete(&self, resource: &Resource) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        Ok(self.request(Method::Delete, alloc::format!("{resource}?api-version={}", self.api_version)))
    }

    fn put(
        &self,
        resource: &Resource,
        update: bool,
        content: impl FnOnce(&mut Writer),
    ) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let mut writer = Writer::new();
        writer.start("entry", &[("xmlns", ATOM)]);
        writer.start("content", &[("type", "application/xml")]);
        content(&mut writer);
        writer.end("content");
        writer.end("entry");
        let (body, true) = writer.finish() else { return Err(InvalidRequest::Text) };
        let mut unsigned = self.request(Method::Put, alloc::format!("{resource}?api-version={}", self.api_version));
        unsigned.request.body = body.into_bytes();
        unsigned.request.headers.push("Content-Type", "application/atom+xml;type=entry;charset=utf-8");
        if update {
            unsigned.request.headers.push("If-Match", "*");
        }
        Ok(unsigned)
    }

    fn put_entity<O: EntityOptions>(
        &self,
        resource: &Resource,
        update: bool,
        options: O,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let description = Description::new(options, EntityState::default());
        self.put(resource, update, |writer| description.write(O::REQUEST_ORDER, writer))
    }

    fn put_forwarding<O: EntityOptions>(
        &self,
        resource: &Resource,
        update: bool,
        mut options: O,
        forwarding: impl FnOnce(&mut O) -> (&mut Option<String>, &mut Option<String>),
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let (forward_to, forward_dead) = forwarding(&mut options);
        for target in [&mut *forward_to, &mut *forward_dead] {
            *target = target
                .take()
                .filter(|target| !target.is_empty())
                .map(|target| self.endpoint.forwarding_address(&target));
        }
        let (forward_to, forward_dead) = (forward_to.clone(), forward_dead.clone());
        let mut unsigned = self.put_entity(resource, update, options)?;
        unsigned.forward_to = forward_to;
        unsigned.forward_dead_lettered_messages_to = forward_dead;
        Ok(unsigned)
    }

    /// Creates a queue.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, CreateQueueOptions, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_queue("orders", CreateQueueOptions::new().with_max_delivery_count(3))?;
    /// let body = String::from_utf8_lossy(&creation.request().body);
    /// assert!(body.contains("<MaxDeliveryCount>3</MaxDeliveryCount>"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_queue(&self, name: &str, options: CreateQueueOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_forwarding(&Resource::Entity(name.into()), false, options, |options| {
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    /// Changes a queue's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateQueueOptions, Endpoint, QueueProperties, RequestBuilder,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let orders = QueueProperties::new("orders", CreateQueueOptions::new().with_max_delivery_count(3));
    /// assert_eq!(requests.update_queue(&orders)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_queue(&self, queue: &QueueProperties) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_forwarding(
            &Resource::Entity(queue.name.clone()),
            true,
            queue.into(),
            |options: &mut CreateQueueOptions| {
                (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
            },
        )
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, CreateTopicOptions, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_topic("events", CreateTopicOptions::new())?;
    /// assert_eq!(creation.request().path_and_query, "/events?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_topic(&self, name: &str, options: CreateTopicOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(name.into()), false, options)
    }

    /// Changes a topic's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateTopicOptions, Endpoint, RequestBuilder, TopicProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let events = TopicProperties::new("events", CreateTopicOptions::new());
    /// assert_eq!(requests.update_topic(&events)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_topic(&self, topic: &TopicProperties) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(topic.name.clone()), true, CreateTopicOptions::from(topic))
    }

    /// Creates a subscription.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateSubscriptionOptions, Endpoint, RequestBuilder,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_subscription("events", "audit", CreateSubscriptionOptions::new())?;
    /// assert_eq!(creation.request().path_and_query, "/events/subscriptions/audit?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_subscription(
        &self,
        topic: &str,
        name: &str,
        options: CreateSubscriptionOptions,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource = Resource::Subscription { topic: topic.into(), name: name.into() };
        self.put_forwarding(&resource, false, options, |options| {
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    /// Changes a subscription's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateSubscriptionOptions, Endpoint, RequestBuilder, SubscriptionProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let audit = SubscriptionProperties::new("events", "audit", CreateSubscriptionOptions::new());
    /// assert_eq!(requests.update_subscription(&audit)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_subscription(
        &self,
        subscription: &SubscriptionProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource =
            Resource::Subscription { topic: subscription.topic_name.clone(), name: subscription.name.clone() };
        self.put_forwarding(&resource, true, subscription.into(), |options: &mut CreateSubscriptionOptions| {
            // Only clients of another kind set it.
            options.is_client_affine = options.is_client_affine.filter(|affine| *affine);
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    fn put_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
        update: bool,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource =
            Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: rule.name.clone() };
        // The service sets the time of creation.
        let rule = RuleProperties { created_at: None, ..rule.clone() };
        self.put(&resource, update, |writer| rule.write_description(RuleForm::Sent, writer))
    }

    /// Creates a rule.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateRuleOptions, Endpoint, RequestBuilder, RuleFilter, RuleProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let options = CreateRuleOptions::new().with_filter(RuleFilter::sql("total >= 1000"));
    /// let creation = requests.create_rule("events", "audit", &RuleProperties::new("big", options))?;
    /// assert_eq!(creation.request().path_and_query, "/events/subscriptions/audit/rules/big?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_rule(topic, subscription, rule, false)
    }

    /// Replaces a rule.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateRuleOptions, Endpoint, RequestBuilder, RuleProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let all = RuleProperties::new("$Default", CreateRuleOptions::new());
    /// assert_eq!(requests.update_rule("events", "audit", &all)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_rule(topic, subscription, rule, true)
    }
}
