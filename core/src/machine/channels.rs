//! Channels: the pairs of links to `$cbs` and to `<entity>/$management`, and the requests that travel over them.
//!
//! A channel's requests are in three chains: those that wait to be sent and whose responses wait for the application, the
//! others that wait, which do not wait behind them, and those that are encoded or were sent. A channel is marked when its
//! waiting requests may be sent.
// docs/evidence/wire-protocol.md §2, §5

use super::Failure;
use super::backoff::Backoff;
use super::id::{EntityId, RequestId, TokenId};
use super::owner::Owner;
use crate::engine::{DeliveryId, LinkId};
use crate::log::Span;
use crate::servicebus::address::SubQueue;
use crate::storage::{Chain, Features, Index, Joint, Marks, MarksOf, Spare, Storage, Table, TableOf, room};
use crate::wire::Full;

/// How far a request is. It is encoded when it can be sent, not before: until then it takes no room.
pub(super) enum Stage<S: Storage> {
    /// Waits for the links, or for a place.
    Waiting,
    /// It can be sent: its owner is told to encode it.
    Called,
    Sent,
    /// The response is here until it is taken, or on its link where the storage has no room for it here.
    Answered(Spare<S, S::Payload>),
}

impl<S: Storage> Stage<S> {
    fn is_out(&self) -> bool {
        matches!(self, Self::Sent | Self::Answered(_))
    }
}

/// The chains of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Requests of a lock, a token or a settlement that wait.
    Urgent,
    /// Requests that wait and whose responses the application takes when it likes.
    Waiting,
    /// Requests that are encoded or were sent.
    Others,
}

/// A request under way.
struct Request<S: Storage> {
    channel: u32,
    owner: Owner,
    stage: Stage<S>,
    /// The request's delivery; once its response is there, where it waits on its link, that of the response.
    delivery: Option<DeliveryId>,
    joint: Joint,
}

impl<S: Storage> Request<S> {
    fn row(&self) -> Row {
        match (&self.stage, self.owner) {
            (Stage::Waiting, Owner::Operation(_)) if S::Features::MANAGEMENT => Row::Waiting,
            (Stage::Waiting, _) => Row::Urgent,
            _ => Row::Others,
        }
    }
}

impl<S: Storage> Channel<S> {
    fn chain(&mut self, row: Row) -> &mut Chain {
        let [urgent, waiting, others] = &mut self.chains;
        match row {
            Row::Urgent => urgent,
            Row::Waiting => waiting,
            Row::Others => others,
        }
    }
}

fn joint<S: Storage>(request: &mut Request<S>) -> &mut Joint {
    &mut request.joint
}

/// How far a link of a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Down,
    /// Attach is sent.
    Pending(LinkId),
    /// Both attaches were seen.
    Up(LinkId),
}

impl Side {
    fn link(self) -> Option<LinkId> {
        match self {
            Self::Down => None,
            Self::Pending(link) | Self::Up(link) => Some(link),
        }
    }
}

/// The two links to a node.
struct Channel<S: Storage> {
    /// The entity whose `$management` it is, whose token must be there first; `None` for `$cbs`.
    entity: Option<EntityId>,
    sender: Side,
    receiver: Side,
    /// Tracing span for its links.
    span: Span,
    /// The number in its links' names and in the address that responses go to.
    name: u32,
    /// Pairs of links that failed in a row.
    backoff: Backoff,
    /// The peer's last detach, or why its token was refused.
    error: Option<Failure<S>>,
    /// Requests that were sent and whose responses have not been taken.
    under_way: u32,
    chains: [Chain; 3],
    /// Requests in all chains.
    asked: u32,
    /// Requests that were sent and that an owner waits for.
    out: u32,
    /// Locks that are renewed through it.
    renewals: u32,
}

/// The state of a channel's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Down,
    /// At least one attach is not answered.
    Pending,
    Up {
        sender: LinkId,
        receiver: LinkId,
    },
}

/// The channels of a client and their requests.
pub(super) struct Channels<S: Storage> {
    /// Channels whose waiting requests may be sent.
    marked: MarksOf<S, room::Nodes>,
    /// Channels whose waiting requests lack room in the engine's tables.
    starved: MarksOf<S, room::Nodes>,
    /// Those of them on which requests of locks, tokens or settlements wait, which need the least: they are first.
    urgent: MarksOf<S, room::Nodes>,
    /// Channels that the loss of the connection is news for: those that have, or had, links or requests since the last loss.
    active: MarksOf<S, room::Nodes>,
    table: TableOf<S, room::Nodes, Channel<S>>,
    requests: TableOf<S, room::Requests, Request<S>>,
    /// Finds channels by their entities where there may be many.
    entities: Spare<S, S::Index>,
}

/// An entity as a number.
fn number_of(entity: Option<EntityId>) -> u64 {
    entity.map_or(0, |entity| {
        let sub_queue = match entity.sub_queue {
            None => 1,
            Some(SubQueue::DeadLetter) => 2,
            Some(SubQueue::TransferDeadLetter) => 3,
        };
        u64::from(entity.token.index()) << 2 | sub_queue
    })
}

impl<S: Storage> Channels<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(channels: usize, requests: usize) -> Self {
        let mut entities = Spare::default();
        entities.keep(S::Index::bounded(channels));
        Self {
            marked: Marks::empty(),
            starved: Marks::empty(),
            urgent: Marks::empty(),
            active: Marks::empty(),
            table: Table::bounded(channels),
            requests: Table::bounded(requests),
            entities,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// One past the highest place of a channel, where tables are walked.
    pub(super) fn end(&self) -> u32 {
        self.table.end()
    }

    /// The channel of an entity, or of `$cbs`.
    pub(super) fn find(&self, entity: Option<EntityId>) -> Option<u32> {
        match self.entities.kept() {
            Some(entities) => entities.get(number_of(entity)),
            None => {
                (0..self.table.end()).find(|&place| self.table.get(place).is_some_and(|found| found.entity == entity))
            }
        }
    }

    /// The channels of an entity and of its sub-queues.
    pub(super) fn of_token(&self, token: TokenId) -> [Option<u32>; 3] {
        if !S::Features::MANAGEMENT {
            return [None; 3];
        }
        [None, Some(SubQueue::DeadLetter), Some(SubQueue::TransferDeadLetter)]
            .map(|sub_queue| self.find(Some(EntityId { token, sub_queue })))
    }

    /// A channel that makes room for another: an entity's that no request uses. It is made again when it is needed.
    pub(super) fn spare(&self) -> Option<u32> {
        let idle = |&place: &u32| self.entity(place).is_some() && !self.is_asked(place);
        if S::Features::MANAGEMENT && self.table.is_full() { (0..self.table.end()).find(idle) } else { None }
    }

    /// Adds the channel of an entity, or of `$cbs`.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn insert(&mut self, entity: Option<EntityId>) -> Result<u32, Full> {
        let channel = Channel {
            entity,
            sender: Side::Down,
            receiver: Side::Down,
            span: Span::default(),
            name: 0,
            backoff: Backoff::default(),
            error: None,
            under_way: 0,
            chains: [Chain::EMPTY; 3],
            asked: 0,
            out: 0,
            renewals: 0,
        };
        let place = self.table.insert(channel)?.index;
        if let Some(entities) = self.entities.kept_mut() {
            let _ = entities.insert(number_of(entity), place);
        }
        Ok(place)
    }

    /// Forgets a channel without requests.
    pub(super) fn remove(&mut self, channel: u32) {
        let Some(found) = self.table.get(channel) else { return };
        let number = number_of(found.entity);
        if let Some(entities) = self.entities.kept_mut() {
            entities.remove(number);
        }
        self.table.free(channel);
        self.marked.clear(channel);
        self.starved.clear(channel);
        self.urgent.clear(channel);
        self.active.clear(channel);
    }

    /// The entity whose `$management` it is.
    pub(super) fn entity(&self, channel: u32) -> Option<EntityId> {
        if S::Features::MANAGEMENT { self.table.get(channel)?.entity } else { None }
    }

    /// The number in its name.
    pub(super) fn name(&self, channel: u32) -> u32 {
        self.table.get(channel).map_or(0, |found| found.name)
    }

    /// Why it does not work, as far as is known.
    pub(super) fn error(&self, channel: u32) -> Option<&Failure<S>> {
        self.table.get(channel)?.error.as_ref()
    }

    pub(super) fn set_error(&mut self, channel: u32, failure: Failure<S>) {
        if let Some(found) = self.table.get_mut(channel) {
            found.error = Some(failure);
        }
    }

    /// Whether it has requests, or renews a lock.
    pub(super) fn is_asked(&self, channel: u32) -> bool {
        self.table.get(channel).is_some_and(|found| found.asked > 0 || found.renewals > 0)
    }

    /// A lock is renewed through it, or no longer is.
    pub(super) fn count_renewal(&mut self, channel: u32, begins: bool) {
        if let Some(found) = self.table.get_mut(channel) {
            found.renewals = if begins { found.renewals + 1 } else { found.renewals.saturating_sub(1) };
        }
    }

    /// The state of its links.
    pub(super) fn links(&self, channel: u32) -> Links {
        match self.table.get(channel).map(|found| (found.sender, found.receiver)) {
            Some((Side::Up(sender), Side::Up(receiver))) => Links::Up { sender, receiver },
            None | Some((Side::Down, Side::Down)) => Links::Down,
            Some(_) => Links::Pending,
        }
    }

    /// The link that responses come on.
    pub(super) fn receiver(&self, channel: u32) -> Option<LinkId> {
        self.table.get(channel)?.receiver.link()
    }

    /// Its links, whatever their state.
    pub(super) fn both(&self, channel: u32) -> [Option<LinkId>; 2] {
        self.table.get(channel).map_or([None; 2], |found| [found.sender.link(), found.receiver.link()])
    }

    /// The attaches of both links were sent, with this number in their names.
    pub(super) fn attaching(&mut self, channel: u32, sender: LinkId, receiver: LinkId, name: u32, span: Span) {
        if let Some(found) = self.table.get_mut(channel) {
            found.name = name;
            found.sender = Side::Pending(sender);
            found.receiver = Side::Pending(receiver);
            found.span = span;
            found.error = None;
            self.active.mark(channel);
        }
    }

    /// The peer has answered an attach; true when both links are up.
    pub(super) fn attached(&mut self, channel: u32, link: LinkId) -> bool {
        let Some(found) = self.table.get_mut(channel) else { return false };
        for side in [&mut found.sender, &mut found.receiver] {
            if side.link() == Some(link) {
                *side = Side::Up(link);
            }
        }
        self.marked.mark(channel);
        matches!(self.links(channel), Links::Up { .. })
    }

    /// The links are gone, and with them every response that was to come.
    pub(super) fn down(&mut self, channel: u32) {
        if let Some(found) = self.table.get_mut(channel) {
            found.sender = Side::Down;
            found.receiver = Side::Down;
            found.under_way = 0;
            found.span = Span::default();
            self.marked.mark(channel);
        }
    }

    /// A pair of links has failed.
    pub(super) fn failed(&mut self, channel: u32) -> Backoff {
        let Some(found) = self.table.get_mut(channel) else { return Backoff::default() };
        found.backoff.failed();
        found.backoff
    }

    /// Its links work.
    pub(super) fn healthy(&mut self, channel: u32) {
        if let Some(found) = self.table.get_mut(channel) {
            found.backoff.healthy();
        }
    }

    /// Requests that were sent and whose responses have not been taken.
    pub(super) fn under_way(&self, channel: u32) -> u32 {
        self.table.get(channel).map_or(0, |found| found.under_way)
    }

    /// Whether responses are missing that no owner waits for.
    pub(super) fn has_forgotten(&self, channel: u32) -> bool {
        self.table.get(channel).is_some_and(|found| found.out < found.under_way)
    }

    /// There will be no further response to a request that was sent, or it was taken.
    pub(super) fn count_response(&mut self, channel: u32) {
        if let Some(found) = self.table.get_mut(channel) {
            found.under_way = found.under_way.saturating_sub(1);
            self.marked.mark(channel);
        }
    }

    /// The waiting requests of a channel may be sent.
    pub(super) fn mark(&mut self, channel: u32) {
        self.marked.mark(channel);
    }

    /// The waiting requests of a channel lack room.
    pub(super) fn starve(&mut self, channel: u32) {
        let Some(found) = self.table.get_mut(channel) else { return };
        if found.chain(Row::Urgent).is_empty() {
            self.starved.mark(channel);
        } else {
            self.urgent.mark(channel);
        }
    }

    /// Whether the waiting requests of a channel lack room.
    pub(super) fn is_starved(&self, channel: u32) -> bool {
        self.starved.has(channel) || self.urgent.has(channel)
    }

    /// Whether any lacks room, or did before it was removed.
    pub(super) fn has_starved(&self) -> bool {
        !(self.starved.is_empty() && self.urgent.is_empty())
    }

    /// As many channels as lack room, or more.
    pub(super) fn count_starved(&self) -> usize {
        self.starved.count() + self.urgent.count()
    }

    /// The next channel that lacked room until now.
    pub(super) fn take_starved(&mut self) -> Option<u32> {
        let channel = self.urgent.take().or_else(|| self.starved.take())?;
        // Its urgent request may have come after it had starved.
        self.starved.clear(channel);
        Some(channel)
    }

    /// As many channels as the loss of the connection is news for, or more.
    pub(super) fn count_active(&self) -> usize {
        self.active.count()
    }

    /// The next channel that the loss of the connection is news for.
    pub(super) fn take_active(&mut self) -> Option<u32> {
        self.active.take()
    }

    /// A channel has learned of a loss: the next one is news for it where it still has requests.
    pub(super) fn learned_of_loss(&mut self, channel: u32) {
        if self.table.get(channel).is_some_and(|found| found.asked > 0) {
            self.active.mark(channel);
        }
    }

    /// As many channels as are marked, or more.
    pub(super) fn count_marked(&self) -> usize {
        self.marked.count()
    }

    /// Takes a mark.
    pub(super) fn take_marked(&mut self) -> Option<u32> {
        self.marked.take()
    }
}

impl<S: Storage> Channels<S> {
    /// A place for a request. The last one is not for requests whose response waits for its application, which may be
    /// slow to take it.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn start(&mut self, channel: u32, owner: Owner) -> Result<RequestId, Full> {
        if matches!(owner, Owner::Operation(_)) && self.requests.len() + 1 >= self.requests.capacity() {
            return Err(Full);
        }
        let request = Request { channel, owner, stage: Stage::Waiting, delivery: None, joint: Joint::FREE };
        let row = request.row();
        let key = self.requests.insert(request)?;
        if let Some(found) = self.table.get_mut(channel) {
            found.asked += 1;
            found.chain(row).push(&mut self.requests, key.index, joint);
            self.marked.mark(channel);
            self.active.mark(channel);
        }
        Ok(RequestId::new(key))
    }

    /// One past the highest place of a request, where all of them end.
    pub(super) fn requests_end(&self) -> u32 {
        self.requests.end()
    }

    pub(super) fn requests_len(&self) -> usize {
        self.requests.len()
    }

    /// Forgets a request; returns its channel and its delivery.
    pub(super) fn free(&mut self, request: u32) -> Option<(u32, Option<DeliveryId>)> {
        self.unchain(request);
        let found = self.requests.get(request)?;
        let (channel, delivery, out) = (found.channel, found.delivery, found.stage.is_out());
        self.requests.free(request);
        if let Some(found) = self.table.get_mut(channel) {
            found.asked -= 1;
            found.out -= u32::from(out);
        }
        Some((channel, delivery))
    }

    fn unchain(&mut self, request: u32) {
        let Some(found) = self.requests.get(request) else { return };
        let row = found.row();
        let Some(channel) = self.table.get_mut(found.channel) else { return };
        channel.chain(row).remove(&mut self.requests, request, joint);
    }

    /// Changes how far a request is.
    fn set_stage(&mut self, request: u32, stage: Stage<S>) {
        self.unchain(request);
        let Some(found) = self.requests.get_mut(request) else { return };
        let (was_out, is_out) = (found.stage.is_out(), stage.is_out());
        found.stage = stage;
        let row = found.row();
        let Some(channel) = self.table.get_mut(found.channel) else { return };
        channel.out = channel.out + u32::from(is_out) - u32::from(was_out);
        channel.chain(row).push(&mut self.requests, request, joint);
    }

    /// It can be sent: its owner encodes it.
    pub(super) fn called(&mut self, request: u32) {
        self.set_stage(request, Stage::Called);
    }

    /// It cannot be sent after all.
    pub(super) fn wait_again(&mut self, request: u32) {
        self.set_stage(request, Stage::Waiting);
    }

    /// It is on its way.
    pub(super) fn sent(&mut self, request: u32, delivery: DeliveryId) {
        self.set_stage(request, Stage::Sent);
        let Some(found) = self.requests.get_mut(request) else { return };
        found.delivery = Some(delivery);
        if let Some(channel) = self.table.get_mut(found.channel) {
            channel.under_way += 1;
        }
    }

    /// Its response is here, or waits on its link as this delivery.
    pub(super) fn answered(&mut self, request: u32, response: DeliveryId, kept: Spare<S, S::Payload>) {
        self.set_stage(request, Stage::Answered(kept));
        if let Some(found) = self.requests.get_mut(request) {
            found.delivery = Some(response);
        }
    }

    /// Takes the response of a request out, which is forgotten: its channel, where it is on its link, and itself.
    pub(super) fn take_answer(&mut self, id: RequestId) -> Option<(u32, Option<DeliveryId>, Option<S::Payload>)> {
        let found = self.requests.find_mut(id.key())?;
        let Stage::Answered(kept) = &mut found.stage else { return None };
        let payload = kept.take();
        let (channel, delivery) = self.free(id.index())?;
        Some((channel, delivery, payload))
    }

    /// A token's end is known once it is encoded.
    pub(super) fn set_owner(&mut self, request: u32, owner: Owner) {
        if let Some(found) = self.requests.get_mut(request) {
            found.owner = owner;
        }
    }

    /// The full id of the request at a place.
    pub(super) fn id(&self, request: u32) -> Option<RequestId> {
        self.requests.key(request).map(RequestId::new)
    }

    /// Whether there is a request with this id.
    pub(super) fn has(&self, id: RequestId) -> bool {
        self.requests.find(id.key()).is_some()
    }

    /// The channel of a request and its owner.
    pub(super) fn request(&self, request: u32) -> Option<(u32, Owner)> {
        self.requests.get(request).map(|found| (found.channel, found.owner))
    }

    /// The delivery of a request, or of its response.
    pub(super) fn delivery(&self, request: u32) -> Option<DeliveryId> {
        self.requests.get(request)?.delivery
    }

    /// Whether it has not left yet.
    pub(super) fn waits(&self, request: u32) -> bool {
        self.requests.get(request).is_some_and(|found| !found.stage.is_out())
    }

    /// Whether its owner is to encode it.
    pub(super) fn is_called(&self, request: u32) -> bool {
        self.requests.get(request).is_some_and(|found| matches!(found.stage, Stage::Called))
    }

    /// Whether the response of the request with this id is there; `None` without such a request.
    pub(super) fn answer_is_here(&self, id: RequestId) -> Option<bool> {
        self.requests.find(id.key()).map(|found| matches!(found.stage, Stage::Answered(_)))
    }

    /// Whether its response is there.
    pub(super) fn is_answered(&self, request: u32) -> bool {
        self.requests.get(request).is_some_and(|found| matches!(found.stage, Stage::Answered(_)))
    }

    /// The first request in one of a channel's chains.
    pub(super) fn first(&self, channel: u32, row: Row) -> Option<u32> {
        self.table.get(channel)?.chains.get(row as usize)?.first()
    }

    /// The request behind another one.
    pub(super) fn next(&self, request: u32) -> Option<u32> {
        self.requests.get(request)?.joint.next()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::engine::OutcomeKind;
    use crate::storage::{Generation, Heap, Key};
    use crate::time::Timestamp;
    use alloc::vec::Vec;

    crate::fixed_storage! {
        type Board { sessions: 1, links: 4, deliveries: 8, receive: 512, transmit: 512, message: 512, management: true }
    }

    fn key(index: u32) -> Key {
        Key { index, generation: Generation::FIRST }
    }

    fn entity(token: u32) -> EntityId {
        EntityId { token: TokenId::new(token), sub_queue: None }
    }

    fn requests<S: Storage>(channels: &Channels<S>, channel: u32, row: Row) -> Vec<u32> {
        core::iter::successors(channels.first(channel, row), |place| channels.next(*place)).collect()
    }

    fn full_tables_refuse_and_make_room<S: Storage>() {
        let mut channels = Channels::<S>::new(3, 3);
        let cbs = channels.insert(None).unwrap();
        let places = [1, 2].map(|token| channels.insert(Some(entity(token))).unwrap());
        assert!(channels.insert(Some(entity(3))).is_err(), "the table is full");
        channels.count_renewal(places[0], true);
        assert_eq!(channels.spare(), Some(places[1]), "neither $cbs nor one that renews a lock makes room");
        channels.start(places[1], Owner::Settlement(key(0), OutcomeKind::Accepted)).unwrap();
        assert_eq!(channels.spare(), None, "both are in use");
        channels.count_renewal(places[0], false);
        assert_eq!(channels.spare(), Some(places[0]));
        assert!(channels.start(cbs, Owner::Operation(key(1))).is_ok());
        assert!(channels.start(cbs, Owner::Operation(key(2))).is_err(), "the last place is not for an application's");
        let last = channels.start(cbs, Owner::Token(TokenId::new(1), Timestamp::DOTNET_MIN)).unwrap();
        assert!(channels.start(cbs, Owner::Renewal(key(2))).is_err());
        channels.free(last.index());
        assert!(!channels.has(last));
        assert!(channels.start(cbs, Owner::Renewal(key(2))).is_ok());
        assert!(!channels.has(last), "a later request in its place is another");
        channels.remove(places[0]);
        assert_eq!((channels.find(Some(entity(1))), channels.find(None)), (None, Some(cbs)));
    }

    #[test]
    fn full_tables_refuse_and_make_room_on_the_heap() {
        full_tables_refuse_and_make_room::<Heap>();
    }

    #[test]
    fn full_tables_refuse_and_make_room_in_fixed_storage() {
        full_tables_refuse_and_make_room::<Board>();
    }

    #[test]
    fn requests_wait_in_two_chains_and_only_those_that_left_are_out() {
        let mut channels = Channels::<Heap>::new(10, 10);
        let channel = channels.insert(None).unwrap();
        let slow: Vec<u32> =
            (0..3).map(|call| channels.start(channel, Owner::Operation(key(call))).unwrap().index()).collect();
        let urgent = channels.start(channel, Owner::Renewal(key(0))).unwrap().index();
        assert_eq!(requests(&channels, channel, Row::Waiting), slow);
        assert_eq!(requests(&channels, channel, Row::Urgent), [urgent]);
        channels.called(slow[1]);
        assert!(channels.waits(slow[1]) && channels.is_called(slow[1]), "it has not left");
        assert_eq!(requests(&channels, channel, Row::Waiting), [slow[0], slow[2]]);
        channels.wait_again(slow[1]);
        assert_eq!(requests(&channels, channel, Row::Waiting), [slow[0], slow[2], slow[1]]);
        assert_eq!(channels.take_marked(), Some(channel));
        assert_eq!(channels.take_marked(), None);
        channels.starve(channel);
        assert_eq!(channels.take_marked(), None, "it waits for room");
        let other = channels.insert(None).unwrap();
        channels.start(other, Owner::Operation(key(9))).unwrap();
        assert_eq!(channels.take_marked(), Some(other));
        channels.take_starved();
        channels.starve(other);
        channels.starve(channel);
        assert!(channels.is_starved(channel) && channels.has_starved());
        assert_eq!(channels.take_starved(), Some(channel), "the one with an urgent request is first");
        channels.remove(other);
        channels.starve(channel);
        assert_eq!((channels.take_starved(), channels.take_starved()), (Some(channel), None));
        assert!(!channels.is_starved(channel));
        // Its urgent request comes after it had starved.
        let late = channels.insert(None).unwrap();
        channels.start(late, Owner::Operation(key(10))).unwrap();
        channels.starve(late);
        channels.start(late, Owner::Renewal(key(11))).unwrap();
        channels.starve(late);
        assert_eq!(channels.take_starved(), Some(late));
        assert!(!channels.is_starved(late) && channels.take_starved().is_none(), "it has one turn");
        assert!(channels.is_asked(channel));
        for place in slow.into_iter().chain([urgent]) {
            channels.free(place);
        }
        assert!(!channels.is_asked(channel));
    }

    #[test]
    fn links_that_go_take_every_response_with_them() {
        let mut channels = Channels::<Heap>::new(10, 10);
        let channel = channels.insert(None).unwrap();
        assert_eq!(channels.links(channel), Links::Down);
        channels.down(channel);
        assert_eq!((channels.under_way(channel), channels.both(channel)), (0, [None, None]));
        assert_eq!(channels.take_marked(), Some(channel), "what waits attaches them again");
        assert_eq!(channels.failed(channel).failures(), 1);
    }
}
