//! Transactions of a raw client: the link to the coordinator, declare and discharge.

use crate::broker::{Ended, Failure, Received, World, attach_of, encoded};
use bytes::BytesMut;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, put_section};
use servicebus_core::wire::performative::{Role, TargetArchetype};
use servicebus_core::wire::transaction::{Coordinator, Declare, Discharge, TransactionalState};
use servicebus_core::wire::{Encode, Sink};

/// A link to the coordinator.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    client: usize,
    link: LinkId,
}

impl Control {
    /// Attaches a control link.
    ///
    /// # Panics
    /// When it is refused.
    pub fn attach(world: &mut World, client: usize) -> Self {
        let name = world.name(client);
        let mut attach = attach_of(&name, Role::Sender, "control", false, None, None);
        attach.target = Some(TargetArchetype::Coordinator(Coordinator { capabilities: None }));
        let link = world.attach(client, &attach).expect("a control link");
        Self { client, link }
    }

    fn request(self, world: &mut World, body: &impl Encode) -> Ended {
        let mut out = BytesMut::new();
        put_section(&mut Sink::from(&mut out), section::AMQP_VALUE);
        body.encode(&mut Sink::from(&mut out));
        world.send_bytes(self.client, self.link, out.freeze(), 0, None)
    }

    /// Begins a transaction.
    ///
    /// # Panics
    /// When it is refused.
    pub fn declare(self, world: &mut World) -> Vec<u8> {
        match self.request(world, &Declare { global_id: None }) {
            Ended::Declared(txn) => txn,
            other => panic!("{other:?}"),
        }
    }

    /// Commits a transaction.
    pub fn commit(self, world: &mut World, txn: &[u8]) -> Ended {
        self.request(world, &Discharge { txn_id: txn, fail: Some(false) })
    }

    /// Rolls a transaction back.
    pub fn roll_back(self, world: &mut World, txn: &[u8]) -> Ended {
        self.request(world, &Discharge { txn_id: txn, fail: Some(true) })
    }

    /// Detaches the link.
    pub fn detach(self, world: &mut World) {
        world.detach(self.client, self.link);
    }
}

/// Why an outcome is no success; `None` for one that is.
pub fn refusal(ended: &Ended) -> Option<Failure> {
    match ended {
        Ended::Accepted | Ended::Declared(_) => None,
        Ended::Transactional(inner) => refusal(inner),
        Ended::Rejected(Some(failure)) => Some(failure.clone()),
        other => Some(Failure { condition: String::new(), text: format!("{other:?}") }),
    }
}

/// Whether an answer is that a message or an outcome is part of a transaction now.
pub fn is_enlisted(answer: &Ended) -> bool {
    matches!(answer, Ended::Transactional(outcome) if !matches!(**outcome, Ended::Nothing))
}

impl World {
    /// Sends a message in a transaction.
    pub fn send_in(&mut self, client: usize, link: LinkId, txn: &[u8], message: &MessageRef<'_>) -> Ended {
        self.send_bytes(client, link, encoded(message), 0, Some(txn))
    }

    /// Settles a message in a transaction.
    pub fn settle_in(&mut self, client: usize, message: &Received, txn: &[u8], outcome: Outcome<'_>) -> Ended {
        let state = DeliveryState::Transactional(TransactionalState { txn_id: txn, outcome: Some(outcome) });
        self.settle(client, message, &state)
    }

    /// Completes a message in a transaction.
    pub fn complete_in(&mut self, client: usize, message: &Received, txn: &[u8]) -> Ended {
        self.settle_in(client, message, txn, Outcome::Accepted)
    }

    /// Begins another session, which the client's later links are attached on. With a coordinator as its first link it
    /// is what the SDK for .NET begins when transactions across entities are enabled.
    ///
    /// # Panics
    /// When there are too many sessions.
    pub fn begin_session(&mut self, client: usize) {
        let found = &mut self.clients[client];
        found.session = found.engine.begin().expect("a session");
        self.settle_down();
    }
}
