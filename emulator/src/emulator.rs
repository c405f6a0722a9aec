//! An emulator in this process: a broker, its sockets on loopback, and a handle that stops it when dropped.

use crate::blueprint::{Blueprint, BlueprintError, SubscriptionBlueprint, TopicBlueprint};
use crate::broker::entities::{
    AuthorizationRule, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use crate::broker::{Broker, BrokerConfig, Clock, NamespaceConfig, OpenCounts, Statistics, Tier};
use crate::filter::Rule;
use crate::server::{BindError, ClockSource, Host, Identity, IdentityError, Peer, Phase, Port, bare_host, bind, serve};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use servicebus_core::time::Timestamp;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why an emulator could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// An entity cannot be made.
    Entity(BlueprintError),
    /// The certificate cannot be used.
    Identity(IdentityError),
    /// Two namespaces have come to have this name.
    NamespaceTwice(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Entity(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::NamespaceTwice(name) => write!(f, "two namespaces have the name '{name}'"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(error) => error.source(),
            Self::Entity(error) => error.source(),
            Self::Identity(error) => error.source(),
            Self::NamespaceTwice(_) => None,
        }
    }
}

/// A namespace and the entities that it starts with.
#[derive(Debug, Default)]
struct Start {
    config: NamespaceConfig,
    blueprint: Blueprint,
}

/// What is to be started. There is a default namespace; what is added after [`EmulatorBuilder::namespace`] is for another.
#[derive(Debug)]
pub struct EmulatorBuilder {
    config: BrokerConfig,
    default: Start,
    others: Vec<Start>,
    /// The namespace that entities are added to; `None` for the default one.
    current: Option<usize>,
    host: String,
    amqp_port: u16,
    admin_port: u16,
    tls_ports: Vec<u16>,
    identity: Option<Identity>,
    unsigned_tokens: Option<bool>,
    clock: Option<ClockSource>,
    seed: Option<u64>,
}

impl EmulatorBuilder {
    fn new() -> Self {
        Self {
            config: BrokerConfig::default(),
            default: Start::default(),
            others: Vec::new(),
            current: None,
            host: "127.0.0.1".into(),
            amqp_port: 0,
            admin_port: 0,
            tls_ports: Vec::new(),
            identity: None,
            unsigned_tokens: None,
            clock: None,
            seed: None,
        }
    }

    fn current(&mut self) -> &mut Start {
        match self.current.and_then(|at| self.others.get_mut(at)) {
            Some(start) => start,
            None => &mut self.default,
        }
    }

    /// Adds a namespace with the key of the default one, or goes back to the one of this name: entities, keys and the tier
    /// that follow are its own. Clients choose it by the first label or labels of the host that they name, such
    /// as `NAME.servicebus.windows.net` or `NAME.localhost`; the default namespace answers at any other host.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        let is = |start: &Start| start.config.name.eq_ignore_ascii_case(name);
        self.current = if is(&self.default) {
            None
        } else if let Some(at) = self.others.iter().position(is) {
            Some(at)
        } else {
            self.others.push(Start { config: NamespaceConfig::named(name), blueprint: Blueprint::default() });
            Some(self.others.len() - 1)
        };
        self
    }

    /// Adds a queue with the service's default settings.
    #[must_use]
    pub fn queue(self, name: &str) -> Self {
        self.queue_with(name, QueueDescription::default())
    }

    /// Adds a queue.
    #[must_use]
    pub fn queue_with(mut self, name: &str, description: QueueDescription) -> Self {
        self.current().blueprint.queues.push((name.to_owned(), description));
        self
    }

    /// Adds a topic with the service's default settings; subscriptions that are added next are its own.
    #[must_use]
    pub fn topic(self, name: &str) -> Self {
        self.topic_with(name, TopicDescription::default())
    }

    /// Adds a topic.
    #[must_use]
    pub fn topic_with(mut self, name: &str, description: TopicDescription) -> Self {
        self.current().blueprint.topics.push(TopicBlueprint {
            name: name.to_owned(),
            description,
            subscriptions: Vec::new(),
        });
        self
    }

    /// Adds a subscription that takes everything to the topic that was added last.
    #[must_use]
    pub fn subscription(self, name: &str) -> Self {
        self.subscription_with(name, SubscriptionDescription::default(), Vec::new())
    }

    /// Adds a subscription with these rules to the topic that was added last; without any rule it takes everything.
    #[must_use]
    pub fn subscription_with(mut self, name: &str, description: SubscriptionDescription, rules: Vec<Rule>) -> Self {
        if let Some(topic) = self.current().blueprint.topics.last_mut() {
            topic.subscriptions.push(SubscriptionBlueprint { name: name.to_owned(), description, rules });
        }
        self
    }

    /// Adds everything of a blueprint to the namespace, which takes its name if it has one.
    #[must_use]
    pub fn blueprint(mut self, blueprint: Blueprint) -> Self {
        let Start { config, blueprint: all } = self.current();
        if let Some(name) = blueprint.name {
            config.name = name;
        }
        if let Some(tier) = blueprint.tier {
            config.tier = tier;
        }
        config.cross_entity_transactions |= blueprint.cross_entity_transactions;
        config.keys.extend(blueprint.keys);
        all.queues.extend(blueprint.queues);
        all.topics.extend(blueprint.topics);
        self
    }

    /// Adds the namespaces of a configuration file, as [`config::parse`](crate::config::parse) reads it; the first is the
    /// default one.
    #[must_use]
    pub fn configuration(mut self, blueprints: Vec<Blueprint>) -> Self {
        for (at, blueprint) in blueprints.into_iter().enumerate() {
            self = match &blueprint.name {
                Some(name) if at > 0 => self.namespace(&name.clone()),
                _ => Self { current: None, ..self },
            };
            self = self.blueprint(blueprint);
        }
        self
    }

    /// The pricing tier of the namespace: it decides sizes and limits. Standard by default.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.current().config.tier = tier;
        self
    }

    /// Whether every transaction of the namespace may span queues and topics. By default it is as with the service, which
    /// allows that on an AMQP session that begins with a coordinator, and there receives from one entity only.
    #[must_use]
    pub fn cross_entity_transactions(mut self, allowed: bool) -> Self {
        self.current().config.cross_entity_transactions = allowed;
        self
    }

    /// Adds a key for the whole namespace.
    #[must_use]
    pub fn key(mut self, rule: AuthorizationRule) -> Self {
        self.current().config.keys.push(rule);
        self
    }

    /// The memory in bytes that clients can make the emulator hold; 1 GiB when it is not set. Over it come refusals with
    /// `amqp:resource-limit-exceeded`.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.config.memory = bytes;
        self
    }

    /// The address to listen on; loopback unless this is called. An IPv6 address may stand in brackets.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// The port for messages and administration; zero, the default, picks one.
    #[must_use]
    pub fn amqp_port(mut self, port: u16) -> Self {
        self.amqp_port = port;
        self
    }

    /// A second port that takes the same, for programs that have a port for administration; zero, the default, picks one.
    #[must_use]
    pub fn admin_port(mut self, port: u16) -> Self {
        self.admin_port = port;
        self
    }

    /// Also listens on a port that takes TLS alone, as the service's do; port zero picks one. It may be called again for
    /// another port. The identity is presented on every port; without one a certificate is made at the start.
    #[must_use]
    pub fn tls(mut self, port: u16, identity: Option<Identity>) -> Self {
        self.tls_ports.push(port);
        self.identity = identity.or(self.identity);
        self
    }

    /// The certificate that every port presents to clients that speak TLS; one is made at the start unless this is called.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whether JSON web tokens are accepted, which the emulator cannot verify. Unless this is called, they are accepted
    /// where every port is on the loopback interface.
    #[must_use]
    pub fn unsigned_tokens(mut self, accepted: bool) -> Self {
        self.unsigned_tokens = Some(accepted);
        self
    }

    /// Runs on a clock that stands at `utc` until [`Emulator::advance`] moves it.
    #[must_use]
    pub fn virtual_clock(mut self, utc: Timestamp) -> Self {
        self.clock = Some(ClockSource::standing_at(utc));
        self
    }

    /// Where randomness comes from; the clock when it is not told.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// A broker with these entities and no sockets, for tests in virtual time.
    ///
    /// # Errors
    /// [`StartError::Entity`] and [`StartError::NamespaceTwice`].
    pub fn broker(&self, clock: Clock) -> Result<Broker, StartError> {
        let seed = self.seed.unwrap_or(clock.utc.as_millis() as u64);
        let mut config = self.config.clone();
        config.accept_jwt = self.unsigned_tokens.unwrap_or(config.accept_jwt);
        config.namespace = self.default.config.clone();
        config.others = self.others.iter().map(|start| start.config.clone()).collect();
        let mut broker = Broker::new(config, seed);
        let mut built = Vec::new();
        for start in core::iter::once(&self.default).chain(&self.others) {
            let name = &start.config.name;
            let id = broker.find_namespace(name).filter(|id| !built.contains(id));
            let id = id.ok_or_else(|| StartError::NamespaceTwice(name.clone()))?;
            built.push(id);
            broker
                .with_namespace_of(id, clock, |namespace| start.blueprint.build(namespace, clock.utc))
                .map_err(StartError::Entity)?;
        }
        Ok(broker)
    }

    /// Starts it. Must be called on a tokio runtime with I/O and time. A program on another runtime makes one for the
    /// emulator, with `tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all()`, calls `block_on` with
    /// this, and keeps the runtime as long as the emulator.
    ///
    /// Cancel safety: a dropped future has started nothing that stays.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(mut self) -> Result<Emulator, StartError> {
        let identity = match self.identity.take() {
            Some(identity) => identity,
            None => {
                let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
                let host = bare_host(&self.host);
                if !names.iter().any(|name| name == host) {
                    names.push(host.to_owned());
                }
                names.extend(self.others.iter().map(|start| host_within(&start.config.name, host)));
                // As on Azure, for clients that know a namespace by this name alone.
                let all = core::iter::once(&self.default).chain(&self.others);
                let labels = all.map(|start| start.config.name.to_ascii_lowercase());
                let labels =
                    labels.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
                names.extend(labels.map(|name| format!("{name}.servicebus.windows.net")));
                Identity::self_signed(names).map_err(StartError::Identity)?
            }
        };
        let (listener, amqp) = bind(&self.host, self.amqp_port).await.map_err(StartError::Bind)?;
        let (second, admin) = bind(&self.host, self.admin_port).await.map_err(StartError::Bind)?;
        let mut listeners = vec![(listener, Port::Any), (second, Port::Any)];
        let mut tls = Vec::new();
        for port in &self.tls_ports {
            let (listener, address) = bind(&self.host, *port).await.map_err(StartError::Bind)?;
            listeners.push((listener, Port::Tls));
            tls.push(address);
        }
        let local = [amqp, admin].iter().chain(&tls).all(|address| address.ip().is_loopback());
        self.unsigned_tokens.get_or_insert(local && self.config.accept_jwt);
        let source = self.clock.clone().unwrap_or_else(ClockSource::system);
        let host = Host::new(self.broker(source.now())?, source, identity);
        for (listener, port) in listeners {
            tokio::spawn(Arc::clone(&host).run_listener(listener, port));
        }
        tokio::spawn(Arc::clone(&host).run_timer());
        let key = self.default.config.keys.first().cloned();
        let keys = self.others.iter().map(|start| (start.config.name.clone(), start.config.keys.first().cloned()));
        Ok(Emulator { host, name: self.host, amqp, admin, tls, key, others: keys.collect() })
    }
}

/// A running emulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    host: Arc<Host>,
    /// The host as it was given.
    name: String,
    amqp: SocketAddr,
    admin: SocketAddr,
    tls: Vec<SocketAddr>,
    key: Option<AuthorizationRule>,
    /// The further namespaces, each with its first key.
    others: Vec<(String, Option<AuthorizationRule>)>,
}

/// The host by which clients name a namespace of an emulator at this host. An address has no names below it.
fn host_within(namespace: &str, host: &str) -> String {
    if host.parse::<IpAddr>().is_ok() { format!("{namespace}.localhost") } else { format!("{namespace}.{host}") }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.host.enter(Phase::Stopped);
    }
}

/// A client that does not answer the end of its connection is cut off after this time.
const DRAIN: Duration = Duration::from_secs(1);

impl Emulator {
    /// An emulator to be started.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// An emulator without entities. Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Closes every connection as the service does, once requests under way are answered, and stops. What was open when
    /// it was called.
    ///
    /// Needs a tokio runtime with time, as [`EmulatorBuilder::start`] does: a program on another runtime keeps the tokio
    /// runtime that it started the emulator on, and calls `runtime.block_on(emulator.close())`, or drops the emulator.
    ///
    /// Cancel safety: a dropped future stops the emulator at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn close(self) -> OpenCounts {
        let open = self.host.with(None, |broker| broker.open());
        self.host.enter(Phase::Draining);
        self.drop_connections();
        // Clients that do not read are cut off by the drop of `self`.
        _ = tokio::time::timeout(DRAIN, self.host.drained()).await;
        open
    }

    /// Serves a stream as a port serves a socket: AMQP, WebSockets or HTTP, each with TLS or without. For simulated
    /// networks and in-memory pipes such as `tokio::io::duplex`. The future completes when the stream or the emulator ends.
    ///
    /// Cancel safety: a dropped future ends the connection.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        serve(Arc::clone(&self.host), stream, Peer::InProcess, Port::Any)
    }

    /// The address for messages and administration.
    pub fn amqp_address(&self) -> SocketAddr {
        self.amqp
    }

    /// The first address that takes TLS alone, if there is one.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.first().copied()
    }

    /// The addresses that take TLS alone.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// The certificate that clients have to trust when they speak TLS, unless an [`Identity`] was given.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.host.identity().certificate_pem()
    }

    /// The second address for messages and administration.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A connection string for messages and administration.
    pub fn connection_string(&self) -> String {
        self.connection_string_to(self.amqp, "UseDevelopmentEmulator=true;")
    }

    /// A connection string with the second port, for programs that have a port for administration.
    pub fn admin_connection_string(&self) -> String {
        self.connection_string_to(self.admin, "UseDevelopmentEmulator=true;")
    }

    /// A connection string for messages and administration over TLS, as on Azure: to the first port that takes TLS alone,
    /// or to the port for everything.
    pub fn tls_connection_string(&self) -> String {
        self.connection_string_to(self.tls_address().unwrap_or(self.amqp), "")
    }

    /// The host to connect to, with the port of this address.
    fn host_of(&self, address: SocketAddr) -> String {
        let port = address.port();
        match address.ip() {
            // A name that was given leads here.
            _ if bare_host(&self.name).parse::<IpAddr>().is_err() => format!("{}:{port}", self.name),
            ip if ip.is_unspecified() || ip == IpAddr::from([127, 0, 0, 1]) => format!("localhost:{port}"),
            _ => address.to_string(),
        }
    }

    fn connection_string_to(&self, address: SocketAddr, development: &str) -> String {
        connection_string(&self.host_of(address), self.key.as_ref(), development)
    }

    /// The further namespaces, in the order in which they were added.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(|(name, _)| name.as_str())
    }

    /// A connection string for messages and administration in a further namespace; `None` when there is none of this
    /// name. It names the host `NAME.localhost`, or `NAME` below the host that the emulator was given: clients must be
    /// able to resolve that.
    pub fn connection_string_of(&self, namespace: &str) -> Option<String> {
        let (name, key) = self.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(namespace))?;
        let host = format!("{}:{}", host_within(name, bare_host(&self.name)), self.amqp.port());
        Some(connection_string(&host, key.as_ref(), "UseDevelopmentEmulator=true;"))
    }

    /// Removes every message from every entity, in all namespaces.
    pub fn purge(&self) {
        self.in_all_namespaces(Namespace::purge);
    }

    /// Deletes every entity, in all namespaces.
    pub fn clear(&self) {
        self.in_all_namespaces(Namespace::clear);
    }

    fn in_all_namespaces(&self, work: impl Fn(&mut Namespace)) {
        self.with_broker(|broker, clock| {
            for id in broker.namespace_ids() {
                broker.with_namespace_of(id, clock, &work);
            }
        });
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        self.host.with(None, |broker| broker.statistics())
    }

    /// The time as the emulator has it.
    pub fn clock(&self) -> Clock {
        self.host.clock.now()
    }

    /// Moves a virtual clock, and carries out what becomes due, before this returns.
    pub fn advance(&self, by: Duration) {
        self.host.clock.advance(by);
        let clock = self.host.clock.now();
        self.host.with(None, |broker| broker.handle_timeout(clock));
    }

    /// Works on the broker itself: entities, faults, counts. What follows for connections is sent afterwards.
    pub fn with_broker<T>(&self, work: impl FnOnce(&mut Broker, Clock) -> T) -> T {
        let clock = self.host.clock.now();
        self.host.with(None, |broker| work(broker, clock))
    }

    /// The next `operations` sends and management requests are answered with server-busy.
    pub fn throttle(&self, operations: u64) {
        self.with_broker(|broker, _| broker.throttle(operations));
    }

    /// Detaches every link of an entity, as the service does when it moves one.
    pub fn force_detach(&self, path: &str) {
        self.with_broker(|broker, clock| broker.force_detach(path, clock));
    }

    /// Closes every connection.
    pub fn drop_connections(&self) {
        self.with_broker(|broker, clock| {
            for id in broker.connections() {
                broker.close_connection(id, clock);
            }
        });
    }
}

fn connection_string(host: &str, key: Option<&AuthorizationRule>, development: &str) -> String {
    let (name, key) = key.map_or(("", ""), |rule| (rule.key_name.as_str(), rule.primary_key.as_str()));
    format!("Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey={key};{development}")
}
