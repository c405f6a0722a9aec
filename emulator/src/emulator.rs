//! An emulator in this process: a broker, its sockets on loopback, and a handle that stops it when dropped.

use crate::blueprint::{Blueprint, BlueprintError, SubscriptionBlueprint, TopicBlueprint};
use crate::broker::entities::{
    AuthorizationRule, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use crate::broker::{Broker, BrokerConfig, Clock, Statistics, Tier};
use crate::filter::Rule;
use crate::server::{ClockSource, Host, Identity, IdentityError, Service, bind};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use servicebus_core::time::Timestamp;
use std::io;
use std::sync::Arc;

/// Why an emulator could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(io::Error),
    /// An entity cannot be made.
    Entity(BlueprintError),
    /// The certificate cannot be used.
    Identity(IdentityError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "cannot listen: {error}"),
            Self::Entity(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// What is to be started.
#[derive(Debug)]
pub struct EmulatorBuilder {
    config: BrokerConfig,
    blueprint: Blueprint,
    host: String,
    amqp_port: u16,
    admin_port: u16,
    tls: Option<(u16, Option<Identity>)>,
    clock: Option<ClockSource>,
    seed: Option<u64>,
}

impl EmulatorBuilder {
    fn new() -> Self {
        Self {
            config: BrokerConfig::default(),
            blueprint: Blueprint::default(),
            host: "127.0.0.1".into(),
            amqp_port: 0,
            admin_port: 0,
            tls: None,
            clock: None,
            seed: None,
        }
    }

    /// Adds a queue with the service's default settings.
    #[must_use]
    pub fn queue(self, name: &str) -> Self {
        self.queue_with(name, QueueDescription::default())
    }

    /// Adds a queue.
    #[must_use]
    pub fn queue_with(mut self, name: &str, description: QueueDescription) -> Self {
        self.blueprint.queues.push((name.to_owned(), description));
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
        self.blueprint.topics.push(TopicBlueprint { name: name.to_owned(), description, subscriptions: Vec::new() });
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
        if let Some(topic) = self.blueprint.topics.last_mut() {
            topic.subscriptions.push(SubscriptionBlueprint { name: name.to_owned(), description, rules });
        }
        self
    }

    /// Adds everything of a blueprint, for instance of a configuration file.
    #[must_use]
    pub fn blueprint(mut self, blueprint: Blueprint) -> Self {
        if let Some(name) = blueprint.name {
            self.config.name = name;
        }
        if let Some(tier) = blueprint.tier {
            self.config.tier = tier;
        }
        self.config.keys.extend(blueprint.keys);
        self.blueprint.queues.extend(blueprint.queues);
        self.blueprint.topics.extend(blueprint.topics);
        self
    }

    /// The pricing tier: it decides sizes and limits. Standard by default.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.config.tier = tier;
        self
    }

    /// Adds a key for the whole namespace.
    #[must_use]
    pub fn key(mut self, rule: AuthorizationRule) -> Self {
        self.config.keys.push(rule);
        self
    }

    /// The memory in bytes that clients can make the emulator hold; 1 GiB when it is not set. Over it come refusals with
    /// `amqp:resource-limit-exceeded`.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.config.memory = bytes;
        self
    }

    /// The address to listen on; loopback when it is not told.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// The port for plain AMQP; zero, the default, picks one.
    #[must_use]
    pub fn amqp_port(mut self, port: u16) -> Self {
        self.amqp_port = port;
        self
    }

    /// The port for the management API; zero, the default, picks one.
    #[must_use]
    pub fn admin_port(mut self, port: u16) -> Self {
        self.admin_port = port;
        self
    }

    /// Also listens for AMQP over TLS, with this identity or one made on the spot; port zero picks one. The management
    /// API then speaks HTTPS too, on its one port.
    #[must_use]
    pub fn tls(mut self, port: u16, identity: Option<Identity>) -> Self {
        self.tls = Some((port, identity));
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
    /// [`StartError::Entity`].
    pub fn broker(&self, clock: Clock) -> Result<Broker, StartError> {
        let seed = self.seed.unwrap_or(clock.utc.as_millis() as u64);
        let mut broker = Broker::new(self.config.clone(), seed);
        broker
            .with_namespace(clock, |namespace| self.blueprint.build(namespace, clock.utc))
            .map_err(StartError::Entity)?;
        Ok(broker)
    }

    /// Starts it. Must be called on a tokio runtime with I/O and time.
    ///
    /// Cancel safety: a dropped future has started nothing that stays.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self) -> Result<Emulator, StartError> {
        let source = self.clock.clone().unwrap_or_else(ClockSource::system);
        let broker = self.broker(source.now())?;
        let host = Host::new(broker, source);
        let (listener, amqp) = bind(&self.host, self.amqp_port).await.map_err(StartError::Bind)?;
        let (management, admin) = bind(&self.host, self.admin_port).await.map_err(StartError::Bind)?;
        let mut tls = None;
        let mut trusted = None;
        if let Some((port, identity)) = self.tls {
            let identity = match identity {
                Some(identity) => identity,
                None => {
                    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), self.host.clone()];
                    Identity::self_signed(names).map_err(StartError::Identity)?
                }
            };
            let (listener, address) = bind(&self.host, port).await.map_err(StartError::Bind)?;
            tls = Some((address, identity.certificate_pem().map(str::to_owned)));
            trusted = Some(identity.clone());
            tokio::spawn(Arc::clone(&host).run_listener(listener, Service::Amqp(Some(identity))));
        }
        tokio::spawn(Arc::clone(&host).run_listener(listener, Service::Amqp(None)));
        tokio::spawn(Arc::clone(&host).run_listener(management, Service::Management(trusted)));
        tokio::spawn(Arc::clone(&host).run_timer());
        let key = self.config.keys.first().cloned();
        Ok(Emulator { host, amqp, admin, tls, key })
    }
}

/// A running emulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    host: Arc<Host>,
    amqp: SocketAddr,
    admin: SocketAddr,
    tls: Option<(SocketAddr, Option<String>)>,
    key: Option<AuthorizationRule>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.host.stop();
    }
}

impl Emulator {
    /// What is to be started.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// An emulator without entities.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Where plain AMQP is served.
    pub fn amqp_address(&self) -> SocketAddr {
        self.amqp
    }

    /// Where AMQP over TLS is served, if it is.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|(address, _)| *address)
    }

    /// The certificate that clients have to trust, when it was made here.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.tls.as_ref()?.1.as_deref()
    }

    /// Where the management API is served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A connection string for plain AMQP, as every SDK takes it.
    pub fn connection_string(&self) -> String {
        self.connection_string_to(self.amqp)
    }

    /// A connection string for the management API, as administration clients take it.
    pub fn admin_connection_string(&self) -> String {
        self.connection_string_to(self.admin)
    }

    fn connection_string_to(&self, address: SocketAddr) -> String {
        let host = if address.ip().is_loopback() || address.ip().is_unspecified() {
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        let (name, key) =
            self.key.as_ref().map_or(("", ""), |rule| (rule.key_name.as_str(), rule.primary_key.as_str()));
        format!("Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey={key};UseDevelopmentEmulator=true;")
    }

    /// Removes every message from every entity.
    pub fn purge(&self) {
        self.with_broker(|broker, clock| broker.with_namespace(clock, Namespace::purge));
    }

    /// Deletes every entity.
    pub fn clear(&self) {
        self.with_broker(|broker, clock| broker.with_namespace(clock, Namespace::clear));
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
