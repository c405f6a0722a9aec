//! Names the step of the exchange that a frame is.

use super::edit::performative;
use servicebus_core::wire::frame::{Frame, Kind, Protocol};
use servicebus_core::wire::performative::{Attach, Performative, Role, TargetArchetype};
use servicebus_core::wire::sasl::SaslFrame;
use servicebus_core::wire::{Reader, Value};
use std::collections::HashMap;

/// The node that a link of the client leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// An entity that the client sends to.
    Sender,
    /// An entity that the client receives from.
    Receiver,
    /// `$cbs`, either direction.
    Cbs,
    /// `$management` of an entity, either direction.
    Management,
    /// The coordinator of transactions.
    Coordinator,
}

/// A step of the exchange, by the frame that makes it. All but the last two are frames of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The connection itself, before any byte.
    Tcp,
    /// The SASL header.
    SaslHeader,
    /// The list of mechanisms.
    SaslMechanisms,
    /// The outcome of SASL.
    SaslOutcome,
    /// The AMQP header.
    AmqpHeader,
    /// `open`
    Open,
    /// `begin`
    Begin,
    /// The answer to the attach of a link.
    Attach(Node),
    /// Credit for a sender of the client.
    Credit(Node),
    /// A flow of the session alone.
    Window,
    /// A delivery: a message, the answer of `$cbs` or of `$management`.
    Transfer(Node),
    /// A flow for a receiver of the client, such as the answer to a drain.
    Drained,
    /// The outcome of the client's transfer.
    Accepts(Node),
    /// The answer to the client's settlement.
    Settles,
    /// `detach`
    Detach(Node),
    /// `end`
    End,
    /// `close`
    Close,
    /// An empty frame.
    Heartbeat,
    /// The client's transfer on a link to this node.
    Sends(Node),
    /// Any other frame of the client.
    Asks,
    /// No frame: at once when the peer falls sick.
    Now,
}

impl Step {
    /// Whether a connection that is open and has tokens is past this step: the peer drops its connections to be asked
    /// again.
    pub fn is_opening(self) -> bool {
        match self {
            Self::Tcp | Self::SaslHeader | Self::SaslMechanisms | Self::SaslOutcome => true,
            Self::AmqpHeader | Self::Open | Self::Begin | Self::Attach(_) => true,
            Self::Transfer(node) | Self::Accepts(node) | Self::Sends(node) => node == Node::Cbs,
            // A sender that is attached has its credit.
            Self::Credit(_) => true,
            _ => false,
        }
    }
}

/// The links of a connection, as its frames name them.
#[derive(Debug, Default)]
pub struct Links {
    /// Channels of the service's frames with those of the client's.
    channels: HashMap<u16, u16>,
    /// By name and the client's role.
    names: HashMap<(String, bool), Node>,
    /// By the client's channel and handle.
    clients: HashMap<(u16, u32), Node>,
    /// By the service's channel and handle.
    services: HashMap<(u16, u32), Node>,
    /// The client's deliveries by its channel and their ids.
    deliveries: HashMap<(u16, u32), Node>,
    /// The delivery that continuation frames belong to.
    sending: Option<Node>,
}

fn node_of(attach: &Attach<'_>) -> Node {
    let address = match (attach.role, &attach.source, &attach.target) {
        (Role::Sender, _, Some(TargetArchetype::Coordinator(_))) => return Node::Coordinator,
        (Role::Sender, _, Some(TargetArchetype::Target(target))) => target.address,
        (Role::Receiver, Some(source), _) => source.address,
        _ => None,
    };
    let address = address.as_ref().and_then(Value::as_str).unwrap_or_default();
    match attach.role {
        _ if address == "$cbs" => Node::Cbs,
        _ if address.ends_with("$management") => Node::Management,
        Role::Sender => Node::Sender,
        Role::Receiver => Node::Receiver,
    }
}

impl Links {
    /// The step that a unit of the client's is.
    pub fn from_client(&mut self, unit: &[u8]) -> Step {
        let Some((channel, performative, _)) = performative(unit) else { return Step::Asks };
        match performative {
            Performative::Attach(attach) => {
                let node = node_of(&attach);
                self.names.insert((attach.name.to_owned(), attach.role == Role::Sender), node);
                self.clients.insert((channel, attach.handle), node);
                Step::Asks
            }
            Performative::Transfer(transfer) => {
                let node = self.clients.get(&(channel, transfer.handle)).copied();
                let node = node.or(self.sending).unwrap_or(Node::Sender);
                self.sending = Some(node);
                if let Some(id) = transfer.delivery_id {
                    if self.deliveries.len() >= 10_000 {
                        self.deliveries.clear();
                    }
                    self.deliveries.insert((channel, id), node);
                }
                Step::Sends(node)
            }
            _ => Step::Asks,
        }
    }

    /// The step that a unit of the service's is.
    pub fn from_service(&mut self, unit: &[u8]) -> Step {
        if let Some(header) = unit.first_chunk::<8>().filter(|header| header.starts_with(b"AMQP")) {
            return match Protocol::parse(*header) {
                Some(Protocol::Sasl) => Step::SaslHeader,
                _ => Step::AmqpHeader,
            };
        }
        let Some((channel, performative, _)) = performative(unit) else {
            return match Frame::parse(unit, u32::MAX) {
                Ok(Some(frame)) if frame.kind == Kind::Sasl => match Reader::new(frame.body).read() {
                    Ok(SaslFrame::Mechanisms(_)) => Step::SaslMechanisms,
                    _ => Step::SaslOutcome,
                },
                _ => Step::Heartbeat,
            };
        };
        let known = |handle| self.services.get(&(channel, handle)).copied();
        match performative {
            Performative::Open(_) => Step::Open,
            Performative::Begin(begin) => {
                self.channels.insert(channel, begin.remote_channel.unwrap_or(channel));
                Step::Begin
            }
            Performative::Attach(attach) => {
                let name = (attach.name.to_owned(), attach.role == Role::Receiver);
                let node = self.names.get(&name).copied().unwrap_or(Node::Sender);
                self.services.insert((channel, attach.handle), node);
                Step::Attach(node)
            }
            Performative::Flow(flow) => match flow.handle {
                None => Step::Window,
                Some(handle) => match known(handle) {
                    Some(Node::Receiver) => Step::Drained,
                    node => Step::Credit(node.unwrap_or(Node::Sender)),
                },
            },
            Performative::Transfer(transfer) => Step::Transfer(known(transfer.handle).unwrap_or(Node::Receiver)),
            Performative::Disposition(disposition) => match disposition.role {
                Role::Sender => Step::Settles,
                Role::Receiver => {
                    let channel = self.channels.get(&channel).copied().unwrap_or(channel);
                    let node = self.deliveries.get(&(channel, disposition.first)).copied();
                    Step::Accepts(node.unwrap_or(Node::Sender))
                }
            },
            Performative::Detach(detach) => Step::Detach(known(detach.handle).unwrap_or(Node::Sender)),
            Performative::End(_) => Step::End,
            Performative::Close(_) => Step::Close,
        }
    }
}
