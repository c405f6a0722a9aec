//! What an emulator is started with.

use super::{Emulator, StartError, host_within};
use crate::blueprint::{Blueprint, SubscriptionBlueprint, TopicBlueprint};
use crate::broker::entities::{AuthorizationRule, QueueDescription, SubscriptionDescription, TopicDescription};
use crate::broker::{Broker, BrokerConfig, Clock, NamespaceConfig, Tier};
use crate::filter::Rule;
use crate::server::{ClockSource, Host, Identity, Port, bare_host, bind};
use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// A namespace and the entities that it starts with.
#[derive(Debug, Default)]
struct Start {
    config: NamespaceConfig,
    blueprint: Blueprint,
}

/// What is to be started. There is a default namespace; what is added after [`EmulatorBuilder::namespace`] is for another.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use servicebus_emulator::Emulator;
/// use servicebus_emulator::broker::entities::QueueDescription;
///
/// let emulator = Emulator::builder()
///     .queue("orders")
///     .queue_with("jobs", QueueDescription { requires_session: true, ..QueueDescription::default() })
///     .topic("events")
///     .subscription("all")
///     .start()
///     .await?;
/// assert!(emulator.connection_string().starts_with("Endpoint=sb://localhost:"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EmulatorBuilder {
    config: BrokerConfig,
    default: Start,
    others: Vec<Start>,
    /// A subscription that no topic came before.
    without_topic: Option<String>,
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
    pub(super) fn new() -> Self {
        Self {
            config: BrokerConfig::default(),
            default: Start::default(),
            others: Vec::new(),
            without_topic: None,
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").namespace("archive").queue("orders").start().await?;
    /// assert_eq!(emulator.namespaces().collect::<Vec<_>>(), ["archive"]);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").queue("invoices").start().await?;
    /// assert!(emulator.with_broker(|broker, _| broker.namespace().exists("invoices")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn queue(self, name: &str) -> Self {
        self.queue_with(name, QueueDescription::default())
    }

    /// Adds a queue.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::entities::QueueDescription;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let twice = QueueDescription { max_delivery_count: 2, ..QueueDescription::default() };
    /// let emulator = Emulator::builder().queue_with("orders", twice).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn queue_with(mut self, name: &str, description: QueueDescription) -> Self {
        self.current().blueprint.queues.push((name.to_owned(), description));
        self
    }

    /// Adds a topic with the service's default settings; subscriptions that are added next are its own.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().topic("events").subscription("all").subscription("audit").start().await?;
    /// assert!(emulator.with_broker(|broker, _| broker.namespace().exists("events")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn topic(self, name: &str) -> Self {
        self.topic_with(name, TopicDescription::default())
    }

    /// Adds a topic.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::entities::TopicDescription;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let once = TopicDescription { requires_duplicate_detection: true, ..TopicDescription::default() };
    /// let emulator = Emulator::builder().topic_with("events", once).subscription("all").start().await?;
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().topic("events").subscription("all").start().await?;
    /// assert!(emulator.with_broker(|broker, _| broker.namespace().subscription("events", "all").is_some()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn subscription(self, name: &str) -> Self {
        self.subscription_with(name, SubscriptionDescription::default(), Vec::new())
    }

    /// Adds a subscription with these rules to the topic that was added last; without any rule it takes everything.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use servicebus_emulator::broker::entities::SubscriptionDescription;
    /// use servicebus_emulator::filter::{Dialect, Filter, Rule, SqlFilter};
    ///
    /// let red = SqlFilter::parse("color = 'red'", Vec::new(), &Dialect::default())?;
    /// let red = Rule { name: "red".into(), filter: Filter::Sql(red), action: None };
    /// let emulator = Emulator::builder()
    ///     .topic("events")
    ///     .subscription_with("red", SubscriptionDescription::default(), vec![red])
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn subscription_with(mut self, name: &str, description: SubscriptionDescription, rules: Vec<Rule>) -> Self {
        match self.current().blueprint.topics.last_mut() {
            Some(topic) => {
                topic.subscriptions.push(SubscriptionBlueprint { name: name.to_owned(), description, rules });
            }
            None => self.without_topic = Some(name.to_owned()),
        }
        self
    }

    /// Adds everything of a blueprint to the namespace, which takes its name if it has one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use servicebus_emulator::blueprint::Blueprint;
    ///
    /// let shop = Blueprint { queues: vec![("orders".into(), Default::default())], ..Blueprint::default() };
    /// let emulator = Emulator::builder().blueprint(shop).start().await?;
    /// assert!(emulator.with_broker(|broker, _| broker.namespace().exists("orders")));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use servicebus_emulator::config;
    ///
    /// let file = r#"{ "UserConfig": { "Namespaces": [{ "Name": "shop", "Queues": [{ "Name": "orders" }] }] } }"#;
    /// let emulator = Emulator::builder().configuration(config::parse(file)?).start().await?;
    /// assert!(emulator.with_broker(|broker, _| broker.namespace().exists("orders")));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::Tier;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().tier(Tier::Premium).queue("scans").start().await?;
    /// assert_eq!(emulator.with_broker(|broker, _| broker.namespace().tier()), Tier::Premium);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.current().config.tier = tier;
        self
    }

    /// Whether every transaction of the namespace may span queues and topics. By default it is as with the service, which
    /// allows that on an AMQP session that begins with a coordinator, and there receives from one entity only.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder()
    ///     .cross_entity_transactions(true)
    ///     .queue("orders")
    ///     .queue("invoices")
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cross_entity_transactions(mut self, allowed: bool) -> Self {
        self.current().config.cross_entity_transactions = allowed;
        self
    }

    /// Adds a key for the whole namespace.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use servicebus_emulator::broker::entities::{AuthorizationRule, Rights};
    ///
    /// let emulator = Emulator::builder()
    ///     .queue("orders")
    ///     .key(AuthorizationRule {
    ///         key_name: "till".into(),
    ///         primary_key: "TILL_KEY".into(),
    ///         secondary_key: String::new(),
    ///         rights: Rights::SEND,
    ///     })
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn key(mut self, rule: AuthorizationRule) -> Self {
        self.current().config.keys.push(rule);
        self
    }

    /// The memory in bytes that clients can make the emulator hold; 1 GiB when it is not set. Over it come refusals with
    /// `amqp:resource-limit-exceeded`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().memory(64 << 20).queue("orders").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.config.memory = bytes;
        self
    }

    /// The address to listen on; loopback unless this is called. An IPv6 address may stand in brackets.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().host("127.0.0.1").start().await?;
    /// assert!(emulator.amqp_address().ip().is_loopback());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// The port for messages and administration; zero, the default, picks one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().amqp_port(0).start().await?;
    /// assert_ne!(emulator.amqp_address().port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn amqp_port(mut self, port: u16) -> Self {
        self.amqp_port = port;
        self
    }

    /// A second port that takes the same, for programs that have a port for administration; zero, the default, picks one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().admin_port(0).start().await?;
    /// assert_ne!(emulator.admin_address(), emulator.amqp_address());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn admin_port(mut self, port: u16) -> Self {
        self.admin_port = port;
        self
    }

    /// Also listens on a port that takes TLS alone, as the service's do; port zero picks one. It may be called again for
    /// another port. The identity is presented on every port; without one a certificate is made at the start.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().tls(0, None).start().await?;
    /// assert!(emulator.tls_address().is_some() && emulator.certificate_pem().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tls(mut self, port: u16, identity: Option<Identity>) -> Self {
        self.tls_ports.push(port);
        self.identity = identity.or(self.identity);
        self
    }

    /// The certificate that every port presents to clients that speak TLS; one is made at the start unless this is called.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use servicebus_emulator::server::Identity;
    ///
    /// let identity = Identity::self_signed(vec!["shop.test".into()])?;
    /// let emulator = Emulator::builder().identity(identity).start().await?;
    /// assert!(emulator.certificate_pem().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whether JSON web tokens are accepted, which the emulator cannot verify. Unless this is called, they are accepted
    /// where every port is on the loopback interface.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().unsigned_tokens(false).queue("orders").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unsigned_tokens(mut self, accepted: bool) -> Self {
        self.unsigned_tokens = Some(accepted);
        self
    }

    /// Runs on a clock that stands at `utc` until [`Emulator::advance`] moves it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_core::time::Timestamp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let utc = Timestamp::from_secs(1_795_000_000);
    /// let emulator = Emulator::builder().virtual_clock(utc).queue("orders").start().await?;
    /// assert_eq!(emulator.clock().utc, utc);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn virtual_clock(mut self, utc: Timestamp) -> Self {
        self.clock = Some(ClockSource::standing_at(utc));
        self
    }

    /// Where randomness comes from; the clock when it is not told.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().seed(7).queue("orders").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// A broker with these entities and no sockets, for tests in virtual time.
    ///
    /// # Errors
    /// [`StartError::Entity`], [`StartError::NamespaceTwice`], [`StartError::NamespaceName`] and [`StartError::NoTopic`].
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::time::{Duration, Instant, Timestamp};
    /// use servicebus_emulator::Emulator;
    /// use servicebus_emulator::broker::Clock;
    ///
    /// let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// let mut broker = Emulator::builder().queue("orders").seed(7).broker(clock)?;
    /// broker.handle_timeout(clock.after(Duration::from_secs(86_400)));
    /// assert!(broker.namespace().exists("orders"));
    /// # Ok::<(), servicebus_emulator::StartError>(())
    /// ```
    pub fn broker(&self, clock: Clock) -> Result<Broker, StartError> {
        if let Some(name) = &self.without_topic {
            return Err(StartError::NoTopic(name.clone()));
        }
        let seed = self.seed.unwrap_or(clock.utc.as_millis() as u64);
        let mut config = self.config.clone();
        config.accept_jwt = self.unsigned_tokens.unwrap_or(config.accept_jwt);
        config.namespace = self.default.config.clone();
        config.others = self.others.iter().map(|start| start.config.clone()).collect();
        let mut broker = Broker::new(config, seed);
        let mut built = Vec::new();
        for start in core::iter::once(&self.default).chain(&self.others) {
            start.config.check_name().map_err(StartError::NamespaceName)?;
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// println!("{}", emulator.connection_string());
    /// # Ok(())
    /// # }
    /// ```
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
