//! Messages out of entities, as far as credit goes, and what clients make of them.

use super::attach::condition_of;
use super::fault::Refusal;
use super::link::{Outgoing, Purpose};
use super::peer::Peer;
use super::settlement::State;
use crate::broker::Clock;
use crate::broker::budget::Holding;
use crate::broker::change::Settlement;
use crate::broker::entities::{EntityError, StoreId};
use crate::broker::shared::Shared;
use crate::broker::transactions::Operation;
use servicebus_core::engine::{DeliveryId, LinkId, SendOptions, Tag};
use servicebus_core::servicebus::Reason;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::performative::ErrorCondition;
use servicebus_core::wire::transaction::TransactionalState;

/// Messages of a link that wait in the engine at most. A slow reader keeps the rest in the entity, where others can
/// have it.
pub(super) const MAX_WAITING: u32 = 64;

/// What came of an offer of a message to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It gets one.
    Sent,
    /// There is none for it.
    NoMessage,
    /// It wants none.
    NoCredit,
    /// It gets one when the connection has room for it.
    HeldBack,
}

impl Shared {
    /// Sends one message to a receiver.
    pub(crate) fn offer(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) -> Offer {
        self.namespace.work().add(1);
        if !peer.engine.is_open() {
            return Offer::NoCredit;
        }
        let Some(status) = peer.engine.link(id) else { return Offer::NoCredit };
        let Some(link) = peer.link(id) else { return Offer::NoCredit };
        let Purpose::Receiver(receiver) = &link.purpose else { return Offer::NoCredit };
        if status.credit <= status.waiting || link.closing || receiver.lost {
            return Offer::NoCredit;
        }
        // The last places are for receivers that have nothing yet, one each.
        let few = peer.places_left() <= peer.links.len();
        if peer.stalled || few && (receiver.unsettled > 0 || peer.places_left() == 0) {
            return Offer::HeldBack;
        }
        if status.waiting >= MAX_WAITING {
            peer.throttled = true;
            return Offer::HeldBack;
        }
        if peer.engine.payload_bytes() > 0 && !self.budget.has_room(Holding::Deliveries, 1) {
            // The client reads what is on its way first.
            peer.throttled = true;
            return Offer::HeldBack;
        }
        let (store, session) = (receiver.store, receiver.session.clone());
        if let Some(session) = &session {
            let lock = self.namespace.store(store).and_then(|store| store.session_lock(session));
            if lock.is_none_or(|lock| lock.holder != receiver.consumer) {
                return Offer::NoMessage;
            }
        }
        let deletes = receiver.settled;
        if deletes {
            let Some((payload, taken)) = self.namespace.take(store, session.as_deref()) else {
                return Offer::NoMessage;
            };
            let token = self.namespace.new_token();
            let tag = Tag::new(&token.to_delivery_tag()).unwrap_or(Tag::EMPTY);
            let options = SendOptions { tag, settled: true, oversize: true, batchable: true, ..SendOptions::default() };
            match peer.engine.send(id, &payload, &options) {
                Ok(delivery) => {
                    peer.note_taken(id, delivery, taken);
                }
                Err(_) => {
                    peer.stalled = true;
                    self.namespace.put_back(store, taken);
                    return Offer::HeldBack;
                }
            }
        } else {
            let Some((payload, token, _)) = self.namespace.receive(store, session.as_deref(), clock.utc) else {
                return Offer::NoMessage;
            };
            let tag = Tag::new(&token.to_delivery_tag()).unwrap_or(Tag::EMPTY);
            // The SDK for Python announces 1 MiB on every receiver, and takes more. Batchable as
            // docs/evidence/service-evidence.md §3 saw it.
            let options = SendOptions { tag, oversize: true, batchable: true, ..SendOptions::default() };
            match peer.engine.send(id, &payload, &options) {
                Ok(delivery) => {
                    peer.note_outgoing(Outgoing { id: delivery, link: id, store, token });
                }
                Err(_) => {
                    peer.stalled = true;
                    self.namespace.release(store, token, clock.utc);
                    return Offer::HeldBack;
                }
            }
        }
        self.statistics.messages_delivered += 1;
        if let Some(link) = peer.link_mut(id) {
            link.active = clock.now;
        }
        peer.count_memory();
        Offer::Sent
    }

    /// A client reported the state of a delivery.
    pub(crate) fn on_state(
        &mut self,
        peer: &mut Peer,
        delivery: DeliveryId,
        id: LinkId,
        settled: bool,
        state: State,
        clock: Clock,
    ) {
        match peer.link(id).map(|link| &link.purpose) {
            Some(Purpose::Sender { .. } | Purpose::Requests(_)) | None => {
                // A message that comes with a state: kept until the message is taken.
                if !settled && state != State::None {
                    peer.note_incoming(delivery, state);
                }
                return;
            }
            _ => {}
        }
        let (path, session) = match peer.link_mut(id) {
            // The client cannot hear any more what came of it, and settles once more through `$management`.
            Some(link) if link.closing && !settled => return,
            Some(link) => {
                link.active = clock.now;
                (link.path.clone(), link.session)
            }
            None => return,
        };
        let (outcome, txn) = match state.state() {
            Some(DeliveryState::Outcome(outcome)) => (outcome, None),
            Some(DeliveryState::Transactional(TransactionalState { txn_id, outcome: Some(outcome) })) => {
                (outcome, Some(txn_id.to_vec()))
            }
            // On the way, or settled without an outcome: the lock decides what becomes of the message.
            _ => {
                if settled {
                    peer.take_outgoing(delivery);
                }
                return;
            }
        };
        let Some(outgoing) = peer.take_outgoing(delivery) else { return };
        self.namespace.used(outgoing.store, clock.utc);
        let settlement = Settlement::of(&outcome);
        let of_session = match peer.link(id).map(|link| &link.purpose) {
            Some(Purpose::Receiver(receiver)) => receiver.session.clone(),
            _ => None,
        };
        let result = match &txn {
            None => {
                self.statistics.settled_on_links += 1;
                self.settle(&[outgoing.store], outgoing.token, &settlement, clock)
            }
            Some(txn) => {
                let operation = Operation::Settle {
                    stores: vec![outgoing.store],
                    tokens: vec![outgoing.token],
                    settlement: settlement.clone(),
                };
                self.enlist(peer, session, txn, operation, clock)
            }
        };
        if settled {
            if let (Some(txn), Err(_)) = (&txn, &result) {
                self.transactions.note_incomplete(peer.id, txn);
            }
            return;
        }
        let result =
            result.map_err(|refusal| self.lost_lock(peer, outgoing.store, of_session.as_deref(), refusal, clock));
        let fault = result.err().map(|refusal| self.fault(refusal, &path, clock));
        let echo = match &fault {
            None => settlement.echo(),
            Some(fault) => Outcome::Rejected(Rejected { error: Some(condition_of(fault)) }),
        };
        let answer = match &txn {
            Some(txn) if fault.is_none() => {
                DeliveryState::Transactional(TransactionalState { txn_id: txn, outcome: Some(echo) })
            }
            _ => DeliveryState::Outcome(echo),
        };
        peer.settle(delivery, &answer);
    }

    /// The lock that was lost: without the lock of its session no message's lock counts, and that one is named; while the
    /// session is held it is the message's. Other refusals stay as they are.
    // docs/evidence/field-reports.md F70
    pub(super) fn lost_lock(
        &self,
        peer: &Peer,
        store: StoreId,
        session: Option<&str>,
        refusal: Refusal,
        clock: Clock,
    ) -> Refusal {
        let requires = self.namespace.store(store).is_some_and(|store| store.settings().requires_session);
        if refusal.reason != Reason::MessageLockLost || !requires {
            return refusal;
        }
        let held = match session {
            Some(session) => self.check_session(peer, store, session, clock).is_ok(),
            None => peer.holds_session(store),
        };
        if held { refusal } else { EntityError::SessionLockLost.into() }
    }

    /// Ends a lock as a client asked for.
    pub(crate) fn settle(
        &mut self,
        stores: &[StoreId],
        token: servicebus_core::servicebus::LockToken,
        settlement: &Settlement,
        clock: Clock,
    ) -> Result<(), Refusal> {
        Ok(self.namespace.settle(stores, token, settlement, clock.utc)?)
    }

    /// A link is over: what was not sent goes back, sessions are let go; message locks stay.
    // docs/evidence/pinned-behaviour.md SET40
    pub(crate) fn on_detached(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        self.namespace.work().add(1);
        let Some(link) = self.take_link(peer, id) else { return };
        tracing::debug!(entity = link.path, link = link.name, "detached");
        match link.purpose {
            Purpose::Receiver(mut receiver) => {
                while let Some((delivery, taken)) = receiver.pending.pop_back() {
                    if peer.engine.is_unsent(delivery) {
                        self.namespace.put_back(receiver.store, taken);
                        self.statistics.messages_delivered -= 1;
                    }
                }
                for outgoing in peer.forget_outgoing(&mut receiver) {
                    self.namespace.release(outgoing.store, outgoing.token, clock.utc);
                }
                if let Some(session) = &receiver.session {
                    self.namespace.release_session(receiver.store, session, receiver.consumer, clock.utc);
                }
                self.forget_consumer(receiver.consumer, clock);
            }
            Purpose::Accepting { consumer, .. } => self.forget_consumer(consumer, clock),
            Purpose::Coordinator => self.transactions.roll_back_link(&mut self.namespace, peer.id, id),
            Purpose::Sender { .. } | Purpose::Requests(_) | Purpose::Responses(_) => {}
        }
        peer.engine.forget(id);
        peer.note_linkless(clock.now);
    }

    /// The client detaches a link that waits for a session: it gets none.
    pub(crate) fn give_up_accept(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        if let Some(Purpose::Accepting { consumer, .. }) = peer.link(id).map(|link| &link.purpose) {
            let consumer = *consumer;
            self.forget_consumer(consumer, clock);
            peer.given_up.push(id);
        }
    }

    /// Answers the attaches of links that were given up, so that their detaches can be answered.
    pub(crate) fn answer_given_up(&mut self, peer: &mut Peer, clock: Clock) {
        for id in core::mem::take(&mut peer.given_up) {
            let Some(link) = self.take_link(peer, id) else { continue };
            peer.note_linkless(clock.now);
            // The engine answers a detach of the client without an error.
            let answered = peer.engine.refuse_link(id, &link.name, &ErrorCondition::new(Reason::Timeout.condition()));
            peer.told(answered);
        }
    }

    /// The state of a lost session is told to its holder, once.
    pub(crate) fn lose_session(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        peer.lose_session(id);
        self.detach(peer, id, EntityError::SessionLockLost.into(), clock);
    }

    /// Detaches a link with an error.
    pub(crate) fn detach(&mut self, peer: &mut Peer, id: LinkId, refusal: Refusal, clock: Clock) {
        let Some(link) = peer.link_mut(id) else { return };
        if link.closing {
            return;
        }
        if let Purpose::Accepting { consumer, .. } = link.purpose {
            // Not answered yet: it is refused instead.
            self.forget_consumer(consumer, clock);
            if let Some(link) = self.take_link(peer, id) {
                peer.note_linkless(clock.now);
                self.refuse(peer, id, &link.name, &link.path, refusal, clock);
            }
            return;
        }
        let path = link.path.clone();
        peer.close_link(id);
        let fault = self.fault(refusal, &path, clock);
        let detached = peer.engine.detach(id, true, Some(&condition_of(&fault)));
        peer.told(detached);
    }
}
