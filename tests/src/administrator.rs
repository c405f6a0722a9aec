//! A client of the management API, for a broker in virtual time.

use crate::broker::{KEY, KEY_NAME, World};
use servicebus_core::servicebus::administration::{
    ApiVersion, CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions, Endpoint, Headers, InvalidRequest,
    Method, Request, RequestBuilder, Response, UnsignedRequest, shared_access_token,
};

/// The host that requests name.
pub const HOST: &str = "sbemulatorns.servicebus.windows.net";

/// Signs and sends requests to the management API.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// Builds requests of one version of the API.
    pub requests: RequestBuilder,
    /// The value of `Host`.
    pub host: String,
    /// The audience that is signed for.
    pub audience: String,
    /// The name of the key and the key.
    pub key: (String, String),
}

impl Default for Administrator {
    fn default() -> Self {
        Self::of(ApiVersion::default())
    }
}

impl Administrator {
    /// With the namespace's own key and this version of the API.
    pub fn of(version: ApiVersion) -> Self {
        Self {
            requests: RequestBuilder::new(Endpoint::new(HOST), version),
            host: HOST.to_owned(),
            audience: format!("https://{HOST}/"),
            key: (KEY_NAME.to_owned(), KEY.to_owned()),
        }
    }

    /// Signs a request with this administrator's key and audience, and sends it.
    pub fn send(&self, world: &mut World, mut request: Request) -> Response {
        let (name, key) = &self.key;
        request.headers.push("Authorization", shared_access_token(&self.audience, name, key, world.clock.utc));
        request.headers.push("Host", self.host.clone());
        let response = world.broker.manage(world.clock, "https", &request);
        world.settle_down();
        response
    }

    /// Sends what a [`RequestBuilder`] built.
    ///
    /// # Panics
    /// When the request could not be built.
    pub fn run(&self, world: &mut World, unsigned: Result<UnsignedRequest, InvalidRequest>) -> Response {
        self.send(world, unsigned.expect("a request").request().clone())
    }

    /// Reads.
    pub fn get(&self, world: &mut World, path_and_query: &str) -> Response {
        let path_and_query = path_and_query.to_owned();
        self.send(world, Request { method: Method::Get, path_and_query, headers: Headers::new(), body: Vec::new() })
    }

    /// Creates, or updates what is there: a description of this kind with these elements.
    pub fn put(&self, world: &mut World, path_and_query: &str, kind: &str, elements: &str, update: bool) -> Response {
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/atom+xml;type=entry;charset=utf-8");
        if update {
            headers.push("If-Match", "*");
        }
        let body = entry(kind, elements).into_bytes();
        self.send(world, Request { method: Method::Put, path_and_query: path_and_query.to_owned(), headers, body })
    }

    /// Creates a queue.
    pub fn create_queue(&self, world: &mut World, name: &str, options: CreateQueueOptions) -> Response {
        self.run(world, self.requests.create_queue(name, options))
    }

    /// Creates a topic.
    pub fn create_topic(&self, world: &mut World, name: &str, options: CreateTopicOptions) -> Response {
        self.run(world, self.requests.create_topic(name, options))
    }

    /// Creates a subscription.
    pub fn create_subscription(
        &self,
        world: &mut World,
        topic: &str,
        name: &str,
        options: CreateSubscriptionOptions,
    ) -> Response {
        self.run(world, self.requests.create_subscription(topic, name, options))
    }
}

/// An entry of the Atom syndication format around a description.
pub fn entry(kind: &str, elements: &str) -> String {
    format!(
        "<entry xmlns=\"http://www.w3.org/2005/Atom\"><content type=\"application/xml\"><{kind} \
         xmlns=\"http://schemas.microsoft.com/netservices/2010/10/servicebus/connect\" \
         xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">{elements}</{kind}></content></entry>"
    )
}

/// The body of a response.
///
/// # Panics
/// When it is not text.
pub fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).expect("text")
}

/// The texts of every element of this name in a body.
pub fn elements(response: &Response, name: &str) -> Vec<String> {
    let (body, opening, closing) = (text(response), format!("<{name}>"), format!("</{name}>"));
    body.split(&opening).skip(1).filter_map(|rest| Some(rest.split_once(&closing)?.0.to_owned())).collect()
}
