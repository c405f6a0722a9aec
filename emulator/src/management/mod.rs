//! The management endpoint: entities at run time over HTTP, as the service does it.
//!
//! [`Broker::manage`](crate::broker::Broker::manage) is a pure function from a request to a response; the server
//! carries both over HTTP.
//!
//! Besides the service's own paths there are these of the emulator's:
//! - `GET /$emulator/health`, for everyone: whether the emulator is up.
//! - `GET /$emulator/statistics`: counters as JSON.
//! - `GET /$emulator/metrics`: metrics for Prometheus. From this machine both need no token. `/health` and `/metrics` are
//!   short for them while no entity has that name.
//! - `DELETE /$emulator/messages`: empties every entity. Tests call it in between.
//! - `DELETE /$emulator/entities`: deletes every entity.
//! - `DELETE /$emulator/connections`: closes every AMQP connection, as the service does now and then.
//! - `DELETE /$emulator/links/<entity>`: detaches the links of an entity, as the service does when they are idle or the
//!   entity moves.
// docs/evidence/wire-protocol.md §7, docs/evidence/service-evidence.md §13, docs/evidence/pinned-behaviour.md §15;
// docs/evidence/wire-protocol.md §9

mod access;
mod entry;
mod query;
mod refusal;
mod rule;
mod settings;
mod shown;
#[cfg(test)]
mod tests;

use crate::broker::entities::{AuthorizationRule, EntityError, Namespace, OutOfBounds, Rights, name};
use crate::broker::namespaces::Names;
use crate::broker::{NamespaceId, Statistics, Tier};
use entry::Writer;
use query::Query;
use refusal::{Refusal, Speaker};
use servicebus_core::random::Random;
use servicebus_core::servicebus::administration::service::{
    SentDescription, read_body, write_error, write_not_found_feed,
};
use servicebus_core::servicebus::administration::{
    CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions, Description, Headers, MessagingSku, Method,
    NamespaceProperties, Request, Resource, Response, RuleProperties,
};
use servicebus_core::servicebus::{Address, LockToken};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Uuid;
use settings::Stage;
use shown::{Kept, Shown};

const ENTRY: &str = "application/atom+xml;type=entry;charset=utf-8";
const FEED: &str = "application/atom+xml;type=feed;charset=utf-8";
const ERROR: &str = "application/xml; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Below this are the emulator's own requests.
const OWN: &str = "/$emulator/";

/// Which tokens count in the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signers<'a> {
    /// The namespace's keys; entities may have keys of their own.
    pub(crate) keys: &'a [AuthorizationRule],
    /// Whether bearer tokens are accepted. Nobody signs for an emulator: only their form and their end count.
    pub(crate) accept_jwt: bool,
    /// The names of all namespaces, and
    pub(crate) names: &'a Names,
    /// which of them this is: a token for the host of another one does not count.
    pub(crate) id: NamespaceId,
}

/// Who may manage the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority<'a> {
    /// Which tokens count.
    pub(crate) signers: Signers<'a>,
    /// Whether the namespace is throttled: the answer is to try again later.
    pub(crate) throttled: bool,
    /// What was counted, for who may ask.
    pub(crate) statistics: Statistics,
    /// Whether the client is on this machine, and may read counters and metrics without a token.
    pub(crate) local: bool,
}

/// The path of a request of the emulator's own, below `/$emulator/`.
fn own_path<'a>(namespace: &Namespace, path: &'a str) -> Option<&'a str> {
    let short = path.strip_prefix('/').filter(|name| matches!(*name, "health" | "metrics") && !exists(namespace, name));
    path.strip_prefix(OWN).or(short)
}

/// Whether this is a request of the emulator's own, which no fault is meant for.
pub(crate) fn is_own(namespace: &Namespace, request: &Request) -> bool {
    own_path(namespace, Query::parse(&request.path_and_query).path).is_some()
}

/// Whether a request shows a token that grants anything.
pub(crate) fn is_authorized(namespace: &Namespace, signers: Signers<'_>, request: &Request, utc: Timestamp) -> bool {
    let resource = Resource::parse(Query::parse(&request.path_and_query).path).unwrap_or(Resource::Namespace);
    access::rights(namespace, signers, &resource, request, utc).is_ok()
}

/// What a request asks of those who have the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close every connection.
    CloseConnections,
    /// Detach the links of an entity: its path as it is addressed.
    Detach(String),
    /// Write the metrics into the answer.
    Metrics,
}

/// The management endpoint of one namespace.
#[derive(Debug)]
pub(crate) struct Management {
    properties: NamespaceProperties,
    kept: Kept,
    random: Random,
    answers: u64,
    order: Option<Order>,
    reason_phrase: Option<String>,
}

impl Management {
    /// An endpoint of the namespace of this name. The seed makes tracking identifiers and keys.
    pub(crate) fn new(namespace: &str, seed: u64) -> Self {
        Self {
            properties: NamespaceProperties::new(namespace, MessagingSku::Standard),
            kept: Kept::default(),
            random: Random::seeded(seed),
            answers: 0,
            order: None,
            reason_phrase: None,
        }
    }

    /// What the last request asked for besides its answer.
    pub(crate) fn take_order(&mut self) -> Option<Order> {
        self.order.take()
    }

    /// The text of the last answer's status line, where it is not the status's own.
    pub(crate) fn take_reason_phrase(&mut self) -> Option<String> {
        self.reason_phrase.take()
    }

    /// Answers a request. `scheme` is that of the connection; the authority is taken from the request's `Host`.
    pub(crate) fn handle(
        &mut self,
        namespace: &mut Namespace,
        authority: Authority<'_>,
        scheme: &str,
        request: &Request,
        utc: Timestamp,
    ) -> Response {
        self.answers = self.answers.wrapping_add(1);
        if self.properties.created_at.is_none() {
            // The namespace is as old as its oldest entity; without any it begins now.
            let queues = namespace.queues().map(|queue| queue.times.created);
            let created = queues.chain(namespace.topics().map(|topic| topic.times.created)).min().unwrap_or(utc);
            self.properties.created_at = Some(created);
            self.properties.modified_at = Some(created);
        }
        if namespace.tier() == Tier::Premium {
            self.properties.messaging_sku = MessagingSku::Premium;
            self.properties.messaging_units = Some(1);
        }
        let query = Query::parse(&request.path_and_query);
        if own_path(namespace, query.path) == Some("health") && request.method == Method::Get {
            let body = r#"{"status":"healthy","message":"Service is healthy."}"#;
            return answer(200, JSON, body.into());
        }
        let host = request.headers.get("Host").unwrap_or("localhost").to_ascii_lowercase();
        let resource = Resource::parse(query.path);
        let tag = resource.as_ref().and_then(|resource| tag(namespace, resource));
        let call = Call { namespace, authority, scheme, host: &host, query: &query, request, utc };
        let mut response = match self.answer(call, resource.as_ref()) {
            Ok(response) => response,
            Err(refusal) => self.refuse(refusal, &host, query.path, utc),
        };
        // A queue or topic that was just made has none (docs/evidence/pinned-behaviour.md ADM6).
        if let Some(tag) = tag {
            response.headers.push("ETag", format!("\"{tag}\""));
        }
        let lists = matches!(resource, Some(Resource::Namespace | Resource::Queues | Resource::Topics));
        if !lists {
            response.headers.push("Strict-Transport-Security", "max-age=31536000");
        }
        response.headers.push("Server", "Microsoft-HTTPAPI/2.0");
        response
    }

    fn guid(&mut self) -> String {
        LockToken::from_uuid(Uuid(self.random.uuid())).to_string()
    }

    fn refuse(&mut self, refusal: Refusal, host: &str, path: &str, utc: Timestamp) -> Response {
        if refusal.text.is_empty() {
            return answer(refusal.status, ERROR, String::new());
        }
        if refusal.speaker == Speaker::Operation {
            let text = format!("{} Tracking Id: {}_G{}", refusal.text, self.guid(), self.answers % 16);
            // The client for Go reads this one in the status line (docs/evidence/field-reports.md F5).
            self.reason_phrase = Some(text.clone());
            return answer(refusal.status, ERROR, write_error(refusal.status, &text));
        }
        let (unit, system) = match refusal.speaker {
            Speaker::Gateway | Speaker::Operation => ("G", format!("{host}:{}", path.trim_start_matches('/'))),
            Speaker::Broker => ("B", "NoSystemTracker".into()),
            Speaker::Entity(path) => ("B", path),
        };
        let stamp = utc.to_string();
        let seconds = stamp.get(..19).unwrap_or(&stamp);
        let detail = format!(
            "{} TrackingId:{}_{unit}{}, SystemTracker:{system}, Timestamp:{seconds}",
            refusal.text,
            self.guid(),
            self.answers % 16
        );
        answer(refusal.status, ERROR, write_error(refusal.status, &detail))
    }

    fn answer(&mut self, call: Call<'_>, resource: Option<&Resource>) -> Result<Response, Refusal> {
        let own = own_path(call.namespace, call.query.path);
        let is_root = call.query.path.trim_matches('/').is_empty();
        let resource = match (own, resource) {
            (Some(_), _) => &Resource::Namespace,
            (None, Some(resource)) => resource,
            (None, None) if is_root => &Resource::Namespace,
            (None, None) => return Err(Refusal::nothing_here()),
        };
        let Call { namespace, authority, request, utc, .. } = &call;
        if authority.throttled {
            return Err(Refusal::busy(&self.properties.name));
        }
        let open = authority.local && request.method == Method::Get && matches!(own, Some("statistics" | "metrics"));
        let rights =
            if open { Rights::ALL } else { access::rights(namespace, authority.signers, resource, request, *utc)? };
        if !rights.manage {
            // Not found wins over a missing right for queues and topics (docs/evidence/pinned-behaviour.md ADM52).
            let hidden = matches!(resource, Resource::Entity(name) if !exists(namespace, name));
            if !(hidden && request.method == Method::Get) {
                return Err(access::missing_right(resource, request.method, call.host, &request.path_and_query));
            }
        }
        match (own, call.request.method) {
            (Some("statistics"), Method::Get) => return Ok(answer(200, JSON, call.authority.statistics.to_json())),
            (Some("metrics"), Method::Get) => {
                self.order = Some(Order::Metrics);
                return Ok(answer(200, PROMETHEUS, "metrics".into()));
            }
            (Some("messages"), Method::Delete) => call.namespace.purge(),
            (Some("entities"), Method::Delete) => call.namespace.clear(),
            (Some("connections"), Method::Delete) => self.order = Some(Order::CloseConnections),
            (Some(own), Method::Delete) => match own.strip_prefix("links/") {
                Some(path) if exists(call.namespace, Address::parse(path).entity) => {
                    self.order = Some(Order::Detach(path.to_owned()));
                }
                _ => return Err(Refusal::nothing_here()),
            },
            (Some(_), _) => return Err(Refusal::nothing_here()),
            (None, Method::Get) if is_root => {
                return Ok(answer(200, FEED, Writer::new(&call, &self.properties, &self.kept).entities()?));
            }
            (None, _) if is_root => return Err(Refusal::nothing_here()),
            (None, method) if let Some(path) = sub_queue(&call, resource, &self.properties.name) => {
                return Err(Refusal::no_resource(path, method));
            }
            (None, Method::Get) => return self.get(&call, resource),
            (None, Method::Put) => return self.put(call, resource),
            (None, Method::Delete) => return self.delete(call, resource),
            (None, _) => return Err(Refusal::nothing_here()),
        }
        Ok(answer(200, ENTRY, String::new()))
    }

    fn get(&mut self, call: &Call<'_>, resource: &Resource) -> Result<Response, Refusal> {
        let writer = Writer::new(call, &self.properties, &self.kept);
        let body = match resource {
            Resource::Namespace => Some(writer.namespace()),
            Resource::Queues | Resource::Topics | Resource::Subscriptions { .. } | Resource::Rules { .. } => {
                return Ok(answer(200, FEED, writer.feed(resource)?));
            }
            Resource::Entity(name) => writer.entity(name),
            Resource::Subscription { topic, name } => match writer.subscription(topic, name) {
                // The list without entries (ADM35) is for what has no topic either (ADM40): the service answers 404
                // below one that is there (Azure/azure-sdk-for-java#33609, #36050), and the client for Java, whose
                // `getSubscriptionExists` depends on it, cannot read the list.
                None if call.namespace.topic(topic).is_some() => {
                    return Err(Refusal::missing_below(&self.path(topic, name, "")));
                }
                body => body,
            },
            Resource::Rule { topic, subscription, name } => match writer.rule(topic, subscription, name) {
                Some(body) => Some(body),
                None => return Err(Refusal::missing_below(&self.path(topic, subscription, name))),
            },
            _ => return Err(Refusal::nothing_here()),
        };
        Ok(match body {
            Some(body) => answer(200, ENTRY, body),
            None => {
                let guid = self.guid();
                answer(200, FEED, write_not_found_feed(&guid, self.answers, call.utc))
            }
        })
    }

    fn within(&self, bounds: Result<(), OutOfBounds>) -> Result<(), Refusal> {
        bounds.map_err(|error| Refusal::out_of_bounds(&error, &self.properties.name))
    }

    /// A subscription or rule as errors name it.
    fn path(&self, topic: &str, subscription: &str, rule: &str) -> String {
        let rule = if rule.is_empty() { String::new() } else { format!("|{rule}") };
        format!("{}:Topic:{topic}|{subscription}{rule}", self.properties.name)
    }

    fn delete(&mut self, call: Call<'_>, resource: &Resource) -> Result<Response, Refusal> {
        let done = match resource {
            Resource::Entity(name) => call.namespace.delete(name).is_ok(),
            Resource::Subscription { topic, name } => call.namespace.delete_subscription(topic, name).is_ok(),
            Resource::Rule { topic, subscription, name } => {
                call.namespace.delete_rule(topic, subscription, name).is_ok()
            }
            _ => false,
        };
        if done { Ok(answer(200, ENTRY, String::new())) } else { Err(Refusal::nothing_here()) }
    }

    fn put(&mut self, call: Call<'_>, resource: &Resource) -> Result<Response, Refusal> {
        let update = match call.request.headers.get("If-Match") {
            None => false,
            Some("*") => true,
            Some(sent) => {
                let current = tag(call.namespace, resource).map(|tag| tag.to_string());
                if current.as_deref() != Some(sent.trim_matches('"')) {
                    return Err(Refusal::new(412, format!("SubCode=41200. Precondition Failed. {} .", refusal::MORE)));
                }
                true
            }
        };
        let sent = read_body(&call.request.body)?;
        match (resource, sent) {
            (Resource::Entity(name), SentDescription::Queue(sent)) => self.put_queue(call, name, sent, update),
            (Resource::Entity(name), SentDescription::Topic(sent)) => self.put_topic(call, name, sent, update),
            (Resource::Subscription { topic, name }, SentDescription::Subscription(sent)) => {
                self.put_subscription(call, topic, name, sent, update)
            }
            (Resource::Rule { topic, subscription, name }, SentDescription::Rule(sent)) => {
                let mut rule = sent;
                rule.name.clone_from(name);
                self.put_rule(call, topic, subscription, rule, update)
            }
            _ => Err(Refusal::bad_request(format!(
                "SubCode=40000. Bad Request: the description is not that of what the address names. {}",
                refusal::MORE
            ))),
        }
    }

    fn put_queue(
        &mut self,
        call: Call<'_>,
        path: &str,
        mut sent: Description<CreateQueueOptions>,
        update: bool,
    ) -> Result<Response, Refusal> {
        let request = settings::Request {
            host: bare_host(call.host),
            tier: call.namespace.tier(),
            has_message_size: call.query.has_message_size(),
        };
        settings::complete_keys(sent.options.authorization_rules.as_deref_mut().unwrap_or_default(), &mut self.random);
        let mut shown = Shown::of_queue(&sent.options, update);
        if update {
            let queue = call.namespace.queue(path).ok_or_else(Refusal::nothing_to_update)?;
            if sent.options.authorization_rules.is_none() {
                shown.keep_keys(&self.kept.get(path, "", queue.stores.main));
            }
            let description = settings::queue(&sent.options, Stage::Update(&queue.description), &request)?;
            self.within(description.check_bounds(request.tier, false))?;
            call.namespace.update_queue(path, description, call.utc)?;
        } else {
            check_new(&call, path)?;
            let description = settings::queue(&sent.options, Stage::Create, &request)?;
            self.within(description.check_bounds(request.tier, true))?;
            call.namespace.create_queue(path, description, call.utc)?;
        }
        self.kept.put(call.namespace, path, "", shown);
        self.kept.prune(call.namespace);
        let writer = Writer::new(&call, &self.properties, &self.kept);
        Ok(if update {
            answer(200, ENTRY, writer.echo_queue(path, sent))
        } else {
            answer(201, ENTRY, writer.created_queue(path))
        })
    }

    fn put_topic(
        &mut self,
        call: Call<'_>,
        path: &str,
        mut sent: Description<CreateTopicOptions>,
        update: bool,
    ) -> Result<Response, Refusal> {
        let request = settings::Request {
            host: bare_host(call.host),
            tier: call.namespace.tier(),
            has_message_size: call.query.has_message_size(),
        };
        settings::complete_keys(sent.options.authorization_rules.as_deref_mut().unwrap_or_default(), &mut self.random);
        let mut shown = Shown::of_topic(&sent.options, update);
        if update {
            let topic = call.namespace.topic(path).ok_or_else(Refusal::nothing_to_update)?;
            if sent.options.authorization_rules.is_none() {
                shown.keep_keys(&self.kept.get(path, "", topic.transit));
            }
            let description = settings::topic(&sent.options, Stage::Update(&topic.description), &request)?;
            self.within(description.check_bounds(request.tier, false))?;
            call.namespace.update_topic(path, description, call.utc)?;
        } else {
            check_new(&call, path)?;
            let description = settings::topic(&sent.options, Stage::Create, &request)?;
            self.within(description.check_bounds(request.tier, true))?;
            call.namespace.create_topic(path, description, call.utc)?;
        }
        self.kept.put(call.namespace, path, "", shown);
        self.kept.prune(call.namespace);
        let writer = Writer::new(&call, &self.properties, &self.kept);
        Ok(if update {
            answer(200, ENTRY, writer.echo_topic(path, sent))
        } else {
            answer(201, ENTRY, writer.created_topic(path))
        })
    }

    fn put_subscription(
        &mut self,
        call: Call<'_>,
        topic: &str,
        name: &str,
        sent: Description<CreateSubscriptionOptions>,
        update: bool,
    ) -> Result<Response, Refusal> {
        let shown = Shown::of_subscription(&sent.options, update);
        let found = call.namespace.topic(topic);
        let Some(found) = found else {
            return Err(if update {
                Refusal::missing_below(&self.path(topic, name, ""))
            } else {
                Refusal::missing_topic()
            });
        };
        let topic_name = found.name.clone();
        let request = settings::Request {
            host: bare_host(call.host),
            tier: call.namespace.tier(),
            has_message_size: call.query.has_message_size(),
        };
        if update {
            let missing = || Refusal::missing_below(&self.path(topic, name, ""));
            let subscription = call.namespace.subscription(topic, name).ok_or_else(missing)?;
            let description =
                settings::subscription(&sent.options, Stage::Update(&subscription.description), &request)?;
            description
                .check_bounds()
                .map_err(|error| Refusal::out_of_bounds_below(&error, &self.properties.name, &topic_name))?;
            call.namespace.update_subscription(topic, name, description, call.utc).map_err(|error| match error {
                error @ EntityError::Unchangeable(_) => Refusal { speaker: Speaker::Broker, ..error.into() },
                error => error.into(),
            })?;
        } else {
            if call.namespace.subscription(topic, name).is_some() {
                return Err(Refusal::exists_below(&self.path(topic, name, "")));
            }
            name::check_name(name).map_err(|_| bad_name(&call))?;
            let description = settings::subscription(&sent.options, Stage::Create, &request)?;
            description
                .check_bounds()
                .map_err(|error| Refusal::out_of_bounds_below(&error, &self.properties.name, &topic_name))?;
            let rule = sent.options.default_rule.as_ref().map(rule::to_rule).transpose()?;
            call.namespace.create_subscription(topic, name, description, rule, call.utc)?;
        }
        self.kept.put(call.namespace, topic, name, shown);
        self.kept.prune(call.namespace);
        let writer = Writer::new(&call, &self.properties, &self.kept);
        Ok(if update {
            answer(200, ENTRY, writer.echo_subscription(topic, name, sent))
        } else {
            answer(201, ENTRY, writer.created_subscription(topic, name))
        })
    }

    fn put_rule(
        &mut self,
        call: Call<'_>,
        topic: &str,
        subscription: &str,
        sent: RuleProperties,
        update: bool,
    ) -> Result<Response, Refusal> {
        let path = self.path(topic, subscription, &sent.name);
        let found = call.namespace.subscription(topic, subscription);
        let found = found.ok_or_else(|| Refusal::missing_below(&self.path(topic, subscription, "")))?;
        match (update, found.rules.contains_key(&name::key(&sent.name))) {
            (true, false) => return Err(Refusal::missing_below(&path)),
            (false, true) => return Err(Refusal::exists_below(&path)),
            (false, false) => name::check_rule(&sent.name).map_err(|_| bad_name(&call))?,
            (true, true) => {}
        }
        let rule = rule::to_rule(&sent)?;
        if update {
            call.namespace.update_rule(topic, subscription, rule, call.utc)?;
        } else {
            call.namespace.create_rule(topic, subscription, rule, call.utc)?;
        }
        let writer = Writer::new(&call, &self.properties, &self.kept);
        let body = writer.sent_rule(topic, subscription, &sent, update);
        Ok(answer(if update { 200 } else { 201 }, ENTRY, body))
    }
}

/// A request with what it is about.
struct Call<'a> {
    namespace: &'a mut Namespace,
    authority: Authority<'a>,
    scheme: &'a str,
    host: &'a str,
    query: &'a Query<'a>,
    request: &'a Request,
    utc: Timestamp,
}

fn answer(status: u16, content_type: &str, body: String) -> Response {
    let mut headers = Headers::new();
    if !body.is_empty() {
        headers.push("Content-Type", content_type);
    }
    Response { status, headers, body: body.into_bytes() }
}

/// The host without its port.
fn bare_host(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((bare, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    }
}

fn exists(namespace: &Namespace, path: &str) -> bool {
    namespace.queue(path).is_some() || namespace.topic(path).is_some()
}

/// The entity of which the resource is a sub-queue, as errors name it: sub-queues cannot be read or changed.
// docs/evidence/field-reports.md F73
fn sub_queue(call: &Call<'_>, resource: &Resource, namespace: &str) -> Option<String> {
    let Resource::Entity(path) = resource else { return None };
    let Address { entity, subscription, sub_queue: Some(_), .. } = Address::parse(path) else { return None };
    match subscription {
        None if call.namespace.queue(entity).is_some() => Some(format!("{namespace}:Queue:{entity}")),
        _ if call.namespace.topic(entity).is_none() => None,
        None => Some(format!("{namespace}:Topic:{entity}")),
        Some(subscription) => Some(format!("{namespace}:Topic:{entity}|{subscription}")),
    }
}

/// The tag of the queue or topic that the resource is, or is below.
fn tag(namespace: &Namespace, resource: &Resource) -> Option<i64> {
    let entity = match resource {
        Resource::Entity(name) => name.as_str(),
        Resource::Subscription { topic, .. } | Resource::Rule { topic, .. } => topic,
        _ => return None,
    };
    let queue = namespace.queue(entity).map(|queue| queue.times);
    let times = queue.or_else(|| namespace.topic(entity).map(|topic| topic.times))?;
    Some(times.updated.as_dotnet_ticks())
}

/// A name with characters that are not allowed: the whole address is quoted.
// docs/evidence/field-reports.md F63
fn bad_name(call: &Call<'_>) -> Refusal {
    let Query { path, api_version, .. } = call.query;
    let address = format!("{}://{}{path}?api-version={api_version}", call.scheme, call.host);
    Refusal::setting(&EntityError::InvalidName(address).to_string(), None)
}

fn check_new(call: &Call<'_>, path: &str) -> Result<(), Refusal> {
    if exists(call.namespace, path) {
        return Err(Refusal::exists());
    }
    name::check_path(path).map_err(|_| bad_name(call))
}
