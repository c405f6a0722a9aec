//! Links as they come: what they are for, whether they are allowed, and how they are answered.

use super::access::address_path;
use super::attach_fields::{
    SHARED_FILTER, Wanted, check_source, granted_filter, integer, shared_filter, wanted, wrong_type,
};
use super::fault::{Fault, Refusal};
use super::link::{Link, Node, Purpose, Receiver};
use super::peer::Peer;
use crate::broker::Clock;
use crate::broker::entities::{EntityError, StoreId};
use crate::broker::shared::Shared;
use crate::broker::transactions::SPANS_ENTITIES;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{Address, LockToken, Reason};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::performative::{Attach, ErrorCondition, Role, SenderSettleMode, TargetArchetype};
use servicebus_core::wire::{Map, Reader, Symbol, Value, encode_map};
use std::collections::VecDeque;
use std::sync::Arc;

/// The kind of entity that the client expects, as an integer.
const ENTITY_TYPE: &str = "com.microsoft:entity-type";
/// The kinds in the order of their numbers, which are those of the SDKs for .NET and Java.
const ENTITY_KINDS: [&str; 3] = ["queue", "topic", "subscription"];
/// The kind that the SDK for .NET names on links to nodes: nothing is expected of an entity.
const NODE_KIND: &str = "entity-mgmt";
/// How long to wait for a session, in milliseconds.
const TIMEOUT: &str = "com.microsoft:timeout";
/// The end of a session's lock, in .NET ticks.
const LOCKED_UNTIL: &str = "com.microsoft:locked-until-utc";
/// The bytes that a batch may have.
const MAX_BATCH_SIZE: &str = "com.microsoft:max-message-batch-size";
/// How long the service waits for a session when it is not told.
const SESSION_WAIT: Duration = Duration::from_secs(65);

/// Credit of the nodes and of senders.
// docs/evidence/service-evidence.md §2
pub(crate) const CBS_CREDIT: u32 = 100;
pub(crate) const CREDIT: u32 = 1_000;
/// The largest request to `$cbs`. The service promises no limit; this one keeps memory bounded.
const CBS_LIMIT: u64 = 1 << 20;
/// Bytes beyond twice the limit that a message may have to be refused by itself.
const SIZE_SLACK: u64 = 1 << 20;
/// The largest request to `$management`: a list of the largest messages.
const MANAGEMENT_LIMIT: u64 = 256 << 20;

/// The largest batch, whatever the entity's limit.
// docs/evidence/service-evidence.md §1
pub(crate) const BATCH_LIMIT: u64 = 1 << 20;

/// What a link's answer tells besides.
enum Told<'a> {
    /// That batches have another limit than messages.
    BatchSize(u64),
    /// The session that was granted, until when, and the token under which it is shared.
    Session(&'a str, Timestamp, Option<LockToken>),
}

fn address_of<'a>(value: Option<Value<'a>>) -> Option<&'a str> {
    value.and_then(|value| value.as_str())
}

impl Shared {
    /// Answers an attach.
    pub(crate) fn on_attach(&mut self, peer: &mut Peer, id: LinkId, bytes: Vec<u8>, clock: Clock) {
        let Ok(attach) = Reader::new(&bytes).read::<Attach<'_>>() else { return };
        let Some(session) = peer.engine.session_of(id) else { return };
        let source = address_of(attach.source.and_then(|source| source.address));
        let target = match attach.target {
            Some(TargetArchetype::Target(target)) => address_of(target.address),
            _ => None,
        };
        let (address, own) = match attach.role {
            Role::Sender => (target, source),
            Role::Receiver => (source, target),
        };
        let mut link = Link {
            id,
            session,
            name: attach.name.to_owned(),
            own_address: own.map(str::to_owned),
            path: String::new(),
            purpose: Purpose::Coordinator,
            active: clock.now,
            tags: 0,
            closing: false,
            number: self.next_link(),
            timer: None,
        };
        if let (Role::Sender, Some(TargetArchetype::Coordinator(_))) = (attach.role, attach.target) {
            if self.accept(peer, &attach, id, CBS_LIMIT, None) {
                peer.note_coordinator(session);
                self.add_link(peer, link);
                let granted = peer.engine.grant(id, CBS_CREDIT);
                peer.told(granted);
            }
            return;
        }
        let Some(address) = address else {
            let refusal = Refusal::new(Reason::InvalidField, "The attach names no address.");
            return self.refuse(peer, id, attach.name, "", refusal, clock);
        };
        let parsed = Address::parse(address);
        let node = if parsed.entity.eq_ignore_ascii_case("$cbs") {
            Some(Node::Cbs)
        } else if parsed.entity.eq_ignore_ascii_case("$management") {
            Some(Node::Management(String::new()))
        } else {
            parsed.management.then(|| Node::Management(address_path(address)))
        };
        if let Some(node) = node {
            return self.attach_node(peer, link, &attach, node, &parsed, clock);
        }
        let parsed = self.subscriber(&attach, parsed);
        link.path = address_path(&parsed.to_string());
        let rights = peer.access.rights(&link.path, clock.utc);
        let (allowed, claim) = match attach.role {
            Role::Sender => (rights.send, "Send"),
            Role::Receiver => (rights.listen, "Listen"),
        };
        if !allowed {
            let resource = format!("sb://{}/{parsed}", peer.host);
            let refusal = Refusal::new(Reason::Unauthorized, missing_claim(claim, &resource));
            return self.refuse(peer, id, attach.name, &link.path, refusal, clock);
        }
        let path = link.path.clone();
        let checked = self.check_entity_type(&attach, &parsed).and_then(|()| check_source(&attach));
        if let Err(refusal) = checked {
            return self.refuse(peer, id, attach.name, &path, refusal, clock);
        }
        let result = match attach.role {
            Role::Sender => self.attach_sender(peer, link, &attach, &parsed, clock),
            Role::Receiver => self.attach_receiver(peer, link, &bytes, &parsed, clock),
        };
        if let Err(refusal) = result {
            self.refuse(peer, id, attach.name, &path, refusal, clock);
        }
    }

    /// A receiver of a topic is one of the subscription that its link is named after: that is how durable subscribers of
    /// JMS attach (Azure/azure-sdk-for-java#16033).
    fn subscriber<'a>(&self, attach: &Attach<'a>, address: Address<'a>) -> Address<'a> {
        let is_topic = address.subscription.is_none()
            && address.sub_queue.is_none()
            && self.namespace.topic(address.entity).is_some();
        match attach.role {
            Role::Receiver if is_topic => Address { subscription: Some(attach.name), ..address },
            _ => address,
        }
    }

    /// Refuses a client that takes the entity for one of another kind. A missing entity is left to what comes next, and
    /// so is a kind that is none of those that have messages.
    // docs/evidence/pinned-behaviour.md SND10
    fn check_entity_type(&self, attach: &Attach<'_>, address: &Address<'_>) -> Result<(), Refusal> {
        if attach.properties.and_then(|properties| properties.get(ENTITY_TYPE)) == Some(Value::String(NODE_KIND)) {
            return Ok(());
        }
        let expected = integer(attach, ENTITY_TYPE)?;
        let Some(expected) = expected.and_then(|kind| ENTITY_KINDS.get(usize::try_from(kind).ok()?)) else {
            return Ok(());
        };
        let found = match address.subscription {
            Some(_) => "subscription",
            None if self.namespace.queue(address.entity).is_some() => "queue",
            None if self.namespace.topic(address.entity).is_some() => "topic",
            None => return Ok(()),
        };
        if found == *expected {
            return Ok(());
        }
        let text = format!("The messaging entity '{address}' is a {found}, not a {expected}.");
        Err(Refusal::new(Reason::NotAllowed, text))
    }

    /// An entity that is missing or disabled is told as the service writes it: by its full address, or by its name in the
    /// namespace.
    pub(super) fn located(&self, host: &str, error: EntityError, address: &Address<'_>, sends: bool) -> Refusal {
        let namespace = self.tracker.namespace();
        match error {
            EntityError::NotFound(_) => {
                let text = match address.subscription {
                    Some(subscription) if self.namespace.exists(address.entity) => format!(
                        "The messaging entity '{namespace}:topic:{}|{subscription}' could not be found.",
                        address.entity.to_ascii_lowercase()
                    ),
                    _ => format!("The messaging entity 'sb://{host}/{address}' could not be found."),
                };
                Refusal::new(Reason::EntityNotFound, text)
            }
            EntityError::Disabled(_) if sends => {
                let kind = if self.namespace.topic(address.entity).is_some() { "Topic" } else { "Queue" };
                let text = format!(
                    "Messaging entity '{namespace}:{kind}:{}' is currently disabled for Send operations.",
                    address.entity
                );
                Refusal::new(Reason::EntityDisabled, text)
            }
            EntityError::Disabled(_) => {
                let text = format!(
                    "Messaging entity 'sb://{host}/{address}' is currently disabled. For more information please see \
                     https://aka.ms/ServiceBusExceptions ."
                );
                Refusal::new(Reason::EntityDisabled, text)
            }
            error => error.into(),
        }
    }

    fn attach_node(
        &mut self,
        peer: &mut Peer,
        mut link: Link,
        attach: &Attach<'_>,
        node: Node,
        parsed: &Address<'_>,
        clock: Clock,
    ) {
        if let Node::Management(path) = &node
            && !path.is_empty()
        {
            let rights = peer.access.management_rights(path, clock.utc);
            if !rights.send && !rights.listen && !rights.manage {
                let resource = format!("sb://{}/{parsed}", peer.host);
                let refusal = Refusal::new(Reason::Unauthorized, missing_claim("Listen", &resource));
                return self.refuse(peer, link.id, attach.name, path, refusal, clock);
            }
            let known = match parsed.subscription {
                Some(subscription) => self.namespace.subscription(parsed.entity, subscription).is_some(),
                None => self.namespace.exists(parsed.entity),
            };
            if !known {
                let missing = EntityError::NotFound(parsed.to_string());
                let refusal = self.located(&peer.host, missing, parsed, false);
                return self.refuse(peer, link.id, attach.name, path, refusal, clock);
            }
            link.path.clone_from(path);
        }
        if node == Node::Cbs && peer.has_cbs_link(attach.role) {
            // The words of the service (Azure/azure-event-hubs-node#205).
            let connection = peer.id.index();
            let text = format!("A link to connection '{connection}' $cbs node has already been opened.");
            return self.refuse(peer, link.id, attach.name, "", Refusal::new(Reason::NotAllowed, text), clock);
        }
        let (limit, credit) = match node {
            Node::Cbs => (CBS_LIMIT, CBS_CREDIT),
            Node::Management(_) => (MANAGEMENT_LIMIT, CREDIT),
        };
        if !self.accept(peer, attach, link.id, limit, None) {
            return;
        }
        let id = link.id;
        link.purpose = match attach.role {
            Role::Sender => Purpose::Requests(node),
            Role::Receiver => Purpose::Responses(node),
        };
        self.add_link(peer, link);
        if attach.role == Role::Sender {
            let granted = peer.engine.grant(id, credit);
            peer.told(granted);
        }
    }

    fn attach_sender(
        &mut self,
        peer: &mut Peer,
        mut link: Link,
        attach: &Attach<'_>,
        address: &Address<'_>,
        clock: Clock,
    ) -> Result<(), Refusal> {
        let target = self.namespace.sender(address);
        let target = target.map_err(|error| self.located(&peer.host, error, address, true))?;
        let wish = attach.max_message_size.filter(|size| *size > 0).unwrap_or(u64::MAX);
        let limit = target.max_message_size.min(wish);
        let told = (limit > BATCH_LIMIT).then_some(Told::BatchSize(BATCH_LIMIT));
        if self.accept(peer, attach, link.id, limit, told) {
            let id = link.id;
            self.namespace.accessed(&target.entity, None, clock.utc);
            // What is a little too large is refused as a message, since the Python SDK cannot tell why its link went;
            // what is far too large ends the link.
            let most = limit.saturating_mul(2).saturating_add(SIZE_SLACK);
            let set = peer.engine.set_max_message_size(id, most);
            peer.told(set);
            link.purpose = Purpose::Sender { entity: target.entity, limit };
            self.add_link(peer, link);
            let granted = peer.engine.grant(id, CREDIT);
            peer.told(granted);
        }
        Ok(())
    }

    fn attach_receiver(
        &mut self,
        peer: &mut Peer,
        mut link: Link,
        bytes: &[u8],
        address: &Address<'_>,
        clock: Clock,
    ) -> Result<(), Refusal> {
        let Ok(attach) = Reader::new(bytes).read::<Attach<'_>>() else { return Ok(()) };
        let store = self.namespace.receiver(address);
        let store = store.map_err(|error| self.located(&peer.host, error, address, false))?;
        let requires = self.namespace.store(store).is_some_and(|store| store.settings().requires_session);
        let wanted = wanted(&attach, self.faults.exclusive_only)?;
        match (&wanted, requires) {
            (Wanted::Plain, true) => return Err(EntityError::SessionRequired.into()),
            (Wanted::Next | Wanted::Named(_) | Wanted::Shared(..), false) => {
                return Err(EntityError::SessionNotSupported.into());
            }
            _ => {}
        }
        let allotted = match integer(&attach, TIMEOUT)?.map(u64::try_from) {
            None => SESSION_WAIT,
            Some(Ok(millis)) => Duration::from_millis(millis),
            Some(Err(_)) => return Err(wrong_type(TIMEOUT, "zero or more milliseconds")),
        };
        let entity = crate::broker::entities::name::key(address.entity);
        if !self.transactions.span_entities && !peer.pin(link.session, &entity) {
            // The service ends the whole AMQP session (docs/evidence/pinned-behaviour.md TXN20).
            let fault = self.fault(Refusal::new(Reason::NotAllowed, SPANS_ENTITIES), &link.path, clock);
            let error = condition_of(&fault);
            let refused = peer.engine.refuse_link(link.id, attach.name, &error);
            peer.told(refused);
            peer.engine.end(link.session, Some(&error));
            return Ok(());
        }
        let consumer = self.consumers.add((peer.id, link.id), store);
        // To wait for a session is no use of the entity (docs/evidence/field-reports.md F7).
        if !matches!(wanted, Wanted::Next) {
            self.namespace.used(store, clock.utc);
        }
        let settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        match wanted {
            Wanted::Plain => {
                if self.accept(peer, &attach, link.id, attach.max_message_size.unwrap_or(0), None) {
                    let id = link.id;
                    link.purpose = Purpose::Receiver(new_receiver(store, consumer, settled, None));
                    self.add_link(peer, link);
                    self.after_credit(peer, id, clock);
                }
                Ok(())
            }
            Wanted::Named(session) => match self.namespace.accept_session(store, Some(session), consumer, clock.utc) {
                Ok(Some((session, until))) => {
                    self.start_session(peer, link, bytes, store, consumer, session, until, clock);
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(error) => {
                    self.forget_consumer(consumer, clock);
                    Err(error.into())
                }
            },
            Wanted::Shared(session, token) => {
                match self.namespace.take_over_session(store, session, token, consumer, clock.utc) {
                    Ok((session, until)) => {
                        self.start_session(peer, link, bytes, store, consumer, session, until, clock);
                        Ok(())
                    }
                    Err(error) => {
                        self.forget_consumer(consumer, clock);
                        Err(error.into())
                    }
                }
            }
            Wanted::Next => {
                // Receivers that wait already come first.
                let accepted = if self.consumers.has_acceptor(store) {
                    Ok(None)
                } else {
                    self.namespace.accept_session(store, None, consumer, clock.utc)
                };
                let accepted = accepted.inspect_err(|_| self.forget_consumer(consumer, clock))?;
                if let Some((session, until)) = accepted {
                    self.start_session(peer, link, bytes, store, consumer, session, until, clock);
                    return Ok(());
                }
                let deadline = clock.now + allotted;
                link.purpose = Purpose::Accepting { consumer, deadline, allotted, attach: bytes.to_vec() };
                self.add_link(peer, link);
                self.consumers.want_session(consumer);
                Ok(())
            }
        }
    }

    /// Answers the attach of a receiver whose session is locked for it.
    pub(crate) fn start_session(
        &mut self,
        peer: &mut Peer,
        mut link: Link,
        bytes: &[u8],
        store: StoreId,
        consumer: u64,
        session: Arc<str>,
        until: Timestamp,
        clock: Clock,
    ) {
        let Ok(attach) = Reader::new(bytes).read::<Attach<'_>>() else { return };
        self.namespace.used(store, clock.utc);
        let id = link.id;
        let settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        let limit = attach.max_message_size.unwrap_or(0);
        let shared = attach.source.and_then(|source| source.filter?.get(SHARED_FILTER)).is_some();
        let token = if shared { self.namespace.share_session(store, &session, clock.utc) } else { None };
        if self.accept(peer, &attach, id, limit, Some(Told::Session(&session, until, token))) {
            link.purpose = Purpose::Receiver(new_receiver(store, consumer, settled, Some(session)));
            link.active = clock.now;
            self.add_link(peer, link);
            self.after_credit(peer, id, clock);
        } else {
            self.namespace.release_session(store, &session, consumer, clock.utc);
            self.forget_consumer(consumer, clock);
        }
    }

    /// Sends the attach: the client's own termini come back as they are.
    // docs/evidence/wire-protocol.md §0 fact 4
    fn accept(
        &mut self,
        peer: &mut Peer,
        attach: &Attach<'_>,
        id: LinkId,
        max_message_size: u64,
        told: Option<Told<'_>>,
    ) -> bool {
        let mut filter_bytes = Vec::new();
        let mut property_bytes = [0; 64];
        let mut source = attach.source;
        if let Some(source) = source.as_mut() {
            // A filter in the answer is one that is applied (AMQP 1.0 §3.5.3): that of a session, put in below.
            source.filter = source.filter.filter(Map::is_empty);
        }
        let entry = match told {
            None => None,
            Some(Told::BatchSize(size)) => Some((MAX_BATCH_SIZE, Value::Ulong(size))),
            Some(Told::Session(name, until, token)) => {
                filter_bytes.resize(name.len() + 128, 0);
                let echoed = match token {
                    Some(token) => shared_filter(name, token, &mut filter_bytes),
                    None => granted_filter(attach, name, &mut filter_bytes),
                };
                if let (Some(source), Some(filter)) = (source.as_mut(), echoed) {
                    source.filter = Some(filter);
                }
                Some((LOCKED_UNTIL, Value::Long(until.as_dotnet_ticks())))
            }
        };
        let properties = entry.and_then(|(name, value)| {
            encode_map(&[(Value::Symbol(Symbol::new(name)), value)], &mut property_bytes).ok()
        });
        let answer = Attach {
            source: Some(source.unwrap_or(servicebus_core::wire::messaging::Source::new(None))),
            target: Some(
                attach.target.unwrap_or(TargetArchetype::Target(servicebus_core::wire::messaging::Target::new(None))),
            ),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: (attach.role == Role::Receiver).then_some(0),
            max_message_size: (max_message_size > 0).then_some(max_message_size),
            offered_capabilities: None,
            desired_capabilities: None,
            properties,
            ..*attach
        };
        let (sends, name) = (attach.role == Role::Sender, attach.name);
        let entity = match (sends, attach.target) {
            (true, Some(TargetArchetype::Target(target))) => address_of(target.address),
            (true, _) => None,
            (false, _) => attach.source.and_then(|source| address_of(source.address)),
        };
        tracing::debug!(entity, link = name, sends, "attached");
        let accepted = peer.engine.accept_link(id, &answer);
        let done = accepted.is_ok();
        peer.told(accepted);
        done
    }

    /// Refuses a link with an error.
    pub(crate) fn refuse(
        &mut self,
        peer: &mut Peer,
        id: LinkId,
        name: &str,
        path: &str,
        refusal: Refusal,
        clock: Clock,
    ) {
        let fault = self.fault(refusal, path, clock);
        let refused = peer.engine.refuse_link(id, name, &condition_of(&fault));
        peer.told(refused);
    }
}

/// The error of a fault.
pub(crate) fn condition_of(fault: &Fault) -> ErrorCondition<'_> {
    ErrorCondition::new(fault.condition).with_description(&fault.description)
}

pub(crate) fn missing_claim(claim: &str, resource: &str) -> String {
    format!("Unauthorized access. '{claim}' claim(s) are required to perform this operation. Resource: '{resource}'.")
}

fn new_receiver(store: StoreId, consumer: u64, settled: bool, session: Option<Arc<str>>) -> Receiver {
    Receiver {
        store,
        consumer,
        settled,
        session,
        pending: VecDeque::new(),
        unsettled: 0,
        unsent: VecDeque::new(),
        held_back: false,
        lost: false,
    }
}
