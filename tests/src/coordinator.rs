//! Transactions of a raw client: the link to the coordinator, declare and discharge.

use crate::broker::{Ended, World, attach_of, encoded};
use bytes::BytesMut;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::Message;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::put_section;
use servicebus_core::wire::performative::{Role, TargetArchetype};
use servicebus_core::wire::transaction::{Coordinator, Declare, Discharge};
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
}

/// Whether an answer is that a message or an outcome is part of a transaction now.
pub fn is_enlisted(answer: &Ended) -> bool {
    matches!(answer, Ended::Transactional(outcome) if !matches!(**outcome, Ended::Nothing))
}

impl World {
    /// Sends a message in a transaction.
    pub fn send_in(&mut self, client: usize, link: LinkId, txn: &[u8], message: &Message<'_>) -> Ended {
        self.send_bytes(client, link, encoded(message), 0, Some(txn))
    }
}
