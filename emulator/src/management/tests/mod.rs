//! The endpoint without HTTP: requests as clients send them, answers as the service gives them. Names that begin with
//! `adm` or `rul` are rows of the paper below.
// docs/evidence/pinned-behaviour.md

mod entities;
mod lists;
mod refusals;
mod requests;
mod rights;
mod rules;

use super::{Authority, Management, Order, Signers};
use crate::broker::entities::{AuthorizationRule, Namespace, Rights};
use crate::broker::namespaces::Names;
use crate::broker::{NamespaceId, Statistics, Tier};
use servicebus_core::servicebus::administration as api;
use servicebus_core::servicebus::administration::*;
use servicebus_core::time::{Duration, Timestamp};

const HOST: &str = "localhost:5300";
const MORE: &str = "To know more visit https://aka.ms/sbResourceMgrExceptions.";
const QUEUE_BODY: &str = "<entry xmlns='http://www.w3.org/2005/Atom'><content type='application/xml'><w:QueueDescription \
     xmlns:w='http://schemas.microsoft.com/netservices/2010/10/servicebus/connect'>@</w:QueueDescription></content></entry>";

fn key(name: &str, rights: Rights) -> AuthorizationRule {
    AuthorizationRule {
        key_name: name.into(),
        primary_key: format!("{name}-1"),
        secondary_key: format!("{name}-2"),
        rights,
    }
}

struct Site {
    entities: Namespace,
    management: Management,
    keys: Vec<AuthorizationRule>,
    accept_jwt: bool,
    throttled: bool,
    utc: Timestamp,
    requests: RequestBuilder,
    token: Option<String>,
}

impl Site {
    fn new() -> Self {
        Self::version(ApiVersion::V2024_05)
    }

    fn version(version: ApiVersion) -> Self {
        let utc = Timestamp::from_millis(1_795_413_488_250);
        let mut site = Self {
            entities: Namespace::new(1),
            management: Management::new("ns", 2),
            keys: vec![key("root", Rights::ALL), key("listen", Rights::LISTEN)],
            accept_jwt: true,
            throttled: false,
            utc,
            requests: RequestBuilder::new(Endpoint::new("localhost").with_port(5_300), version),
            token: None,
        };
        site.sign_with("root", "root-1");
        site
    }

    fn sign_with(&mut self, name: &str, key: &str) {
        self.token = Some(shared_access_token("https://localhost:5300", name, key, self.utc));
    }

    fn pass(&mut self, seconds: u64) {
        self.utc = self.utc + Duration::from_secs(seconds);
    }

    fn send(&mut self, mut request: Request) -> Response {
        if let Some(token) = &self.token {
            request.headers.push("Authorization", token.clone());
        }
        request.headers.push("Host", HOST);
        let signers = Signers {
            keys: &self.keys,
            accept_jwt: self.accept_jwt,
            names: &Names::default(),
            id: NamespaceId::default(),
        };
        let authority =
            Authority { signers, throttled: self.throttled, statistics: Statistics::default(), local: false };
        self.management.handle(&mut self.entities, authority, "http", &request, self.utc)
    }

    fn run(&mut self, unsigned: Result<UnsignedRequest, InvalidRequest>) -> Response {
        let request = unsigned.unwrap().request().clone();
        self.send(request)
    }

    fn raw(&mut self, method: Method, path: &str, body: &str, update: bool) -> Response {
        let mut headers = Headers::new();
        if update {
            headers.push("If-Match", "*");
        }
        self.send(Request { method, path_and_query: path.into(), headers, body: body.into() })
    }

    fn get(&mut self, resource: &Resource) -> Response {
        self.run(self.requests.get(resource))
    }

    fn create_queue(&mut self, name: &str, options: CreateQueueOptions) -> Response {
        self.run(self.requests.create_queue(name, options))
    }

    fn create_topic(&mut self, name: &str, options: CreateTopicOptions) -> Response {
        self.run(self.requests.create_topic(name, options))
    }

    fn create_subscription(&mut self, topic: &str, name: &str, options: CreateSubscriptionOptions) -> Response {
        self.run(self.requests.create_subscription(topic, name, options))
    }

    fn create_rule(&mut self, topic: &str, subscription: &str, name: &str, options: CreateRuleOptions) -> Response {
        self.run(self.requests.create_rule(topic, subscription, &RuleProperties::new(name, options)))
    }

    fn delete(&mut self, resource: &Resource) -> Response {
        self.run(self.requests.delete(resource))
    }

    fn queue(&mut self, name: &str) -> QueueProperties {
        let resource = entity(name);
        read_one(&self.get(&resource), &resource, Operation::Get).unwrap()
    }

    /// A queue `q` and a topic `t` with a subscription `s`.
    fn furnish(&mut self) {
        assert_eq!(self.create_queue("q", CreateQueueOptions::new()).status, 201);
        assert_eq!(self.create_topic("t", CreateTopicOptions::new()).status, 201);
        assert_eq!(self.create_subscription("t", "s", CreateSubscriptionOptions::new()).status, 201);
    }
}

fn entity(name: &str) -> Resource {
    Resource::Entity(name.into())
}

fn subscription(topic: &str, name: &str) -> Resource {
    Resource::Subscription { topic: topic.into(), name: name.into() }
}

fn rule(topic: &str, subscription: &str, name: &str) -> Resource {
    Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

/// Status and detail of a refusal, without the tracking block.
fn refusal(response: &Response) -> (u16, String) {
    let body = text(response);
    let detail = body.split_once("<Detail>").map_or("", |(_, rest)| rest);
    assert!(body.is_empty() || body.starts_with(&format!("<Error><Code>{}</Code><Detail>", response.status)), "{body}");
    (response.status, detail.split(" TrackingId:").next().unwrap().into())
}

fn error(response: &Response) -> ServiceErrorKind {
    ServiceError::read(response, Operation::Create).kind
}

/// The description's elements in their order.
fn elements(response: &Response) -> Vec<String> {
    let body = text(response);
    let (_, description) = body.split_once("Description xmlns").expect("a description");
    let (_, mut rest) = description.split_once('>').unwrap();
    let mut names = Vec::new();
    let mut depth = 0;
    while let Some((_, tag)) = rest.split_once('<') {
        let (name, after) = tag.split_once('>').unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            if closed.ends_with("Description") {
                break;
            }
            depth -= 1;
        } else {
            if depth == 0 {
                names.push(name.trim_end_matches('/').split(' ').next().unwrap().to_owned());
            }
            depth += i32::from(!name.ends_with('/'));
        }
        rest = after;
    }
    names
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.get(name)
}

/// The part of an answer between the tags of an element; `None` when it has no such element.
fn element(response: &Response, name: &str) -> Option<String> {
    let body = text(response);
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0.to_owned())
}
