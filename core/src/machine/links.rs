//! Senders and receivers as the application holds them: they outlive the links that serve them.
//!
//! Each one that needs its entity's token is in a chain of that token, so that a change of the token reaches it without
//! a walk; how many there are of a sort is counted.

mod endpoint;

use super::Failure;
use super::attachment::{Attachment, Work};
use super::backoff::Backoff;
use super::id::{EndpointId, EntityId, SessionLockId, TokenId};
use crate::engine::LinkId;
use crate::log::Span;
use crate::storage::{Beside, Chain, Joint, Marks, MarksOf, Storage, Table, TableOf, room};
use crate::wire::Full;
use endpoint::{SORTS, Standing};

pub(super) use endpoint::{Endpoint, Sort};

/// The senders and receivers of one token.
#[derive(Debug, Default)]
struct Chains {
    waiting: Chain<u16>,
    others: Chain<u16>,
}

impl Chains {
    fn of(&mut self, waits: bool) -> &mut Chain<u16> {
        if waits { &mut self.waiting } else { &mut self.others }
    }
}

fn joint<S: Storage>(endpoint: &mut Endpoint<S>) -> &mut Joint<u16> {
    &mut endpoint.joint
}

/// The parts of a removed sender or receiver that other parts must release.
pub(super) struct Gone {
    /// The link that has left messages on this connection.
    pub(super) left: Option<LinkId>,
    pub(super) session_lock: Option<SessionLockId>,
    pub(super) token: TokenId,
}

/// All senders and receivers.
pub(super) struct Links<S: Storage> {
    /// Those for which something can be done now.
    ready: MarksOf<S, room::Links>,
    /// Those whose attach waits for room.
    without_room: MarksOf<S, room::Links>,
    /// Those that the loss of a connection is news for.
    active: MarksOf<S, room::Links>,
    /// Changes with each loss of a connection.
    losses: bool,
    /// How many there are of each sort.
    counts: [u32; SORTS.len()],
    /// By the places of tokens.
    chains: Beside<S, room::Links, Chains>,
    table: TableOf<S, room::Links, Endpoint<S>>,
}

impl<S: Storage> Links<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(limit: usize) -> Self {
        Self {
            ready: Marks::empty(),
            without_room: Marks::empty(),
            active: Marks::empty(),
            losses: false,
            counts: [0; SORTS.len()],
            chains: Beside::default(),
            table: Table::bounded(limit),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// One past the highest place, where all of them end.
    pub(super) fn end(&self) -> u32 {
        self.table.end()
    }

    /// How many there are of a sort.
    pub(super) fn count(&self, sort: Sort) -> usize {
        self.counts.get(sort as usize).map_or(0, |&count| count as usize)
    }

    pub(super) fn get(&self, place: u32) -> Option<&Endpoint<S>> {
        self.table.get(place)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Endpoint<S>> {
        self.table.get_mut(place)
    }

    pub(super) fn find(&self, id: EndpointId) -> Option<&Endpoint<S>> {
        self.table.find(id.0)
    }

    /// The id of the one at a place.
    pub(super) fn id(&self, place: u32) -> Option<EndpointId> {
        self.table.key(place).map(EndpointId)
    }

    /// Adds a sender or receiver, which attaches as soon as it can.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn insert(
        &mut self,
        work: Work,
        entity: EntityId,
        identifier: Option<S::Literal>,
    ) -> Result<EndpointId, Full> {
        let key = self.table.insert(Endpoint {
            was_up: false,
            // Nothing of it counts before it is in its place.
            parked: true,
            over: false,
            closing: false,
            without_token: false,
            losses: false,
            sub_queue: entity.sub_queue,
            clones: 0,
            backoff: Backoff::default(),
            work,
            session_lock: None,
            token: entity.token,
            joint: Joint::FREE,
            attachment: Attachment::Down,
            link: None,
            max_batch_size: 0,
            span: Span::default(),
            name: 0,
            identifier,
            error: None,
        })?;
        self.chain(key.index, false);
        self.change(key.index, |endpoint| endpoint.parked = false);
        self.ready.mark(key.index);
        Ok(EndpointId(key))
    }

    /// Forgets a sender or receiver.
    pub(super) fn remove(&mut self, place: u32) -> Option<Gone> {
        self.unchain(place);
        self.change(place, |endpoint| {
            endpoint.over = true;
            endpoint.closing = false;
            endpoint.parked = true;
            let left = endpoint.remains().filter(|(_, retired)| !retired).map(|(link, _)| link);
            endpoint.attachment = Attachment::Down;
            Gone { left, session_lock: endpoint.session_lock(), token: endpoint.token }
        })
        .inspect(|_| {
            self.table.free(place);
            // The place may get a new entry, whose marks are its own.
            self.ready.clear(place);
            self.without_room.clear(place);
        })
    }

    /// Changes what counts.
    fn change<T>(&mut self, place: u32, change: impl FnOnce(&mut Endpoint<S>) -> T) -> Option<T> {
        let endpoint = self.table.get_mut(place)?;
        let before = endpoint.standing();
        let changed = change(endpoint);
        self.recount(place, before);
        Some(changed)
    }

    /// Counts anew an endpoint that has changed.
    #[inline(never)]
    fn recount(&mut self, place: u32, before: Standing) {
        let Some(endpoint) = self.table.get_mut(place) else { return };
        let after = endpoint.standing();
        for (sort, count) in self.counts.iter_mut().enumerate() {
            *count = *count + after.count(sort) - before.count(sort);
        }
        let (was_active, is_active) = (before.is_active(), after.is_active());
        if is_active && !was_active {
            endpoint.losses = self.losses;
            self.active.mark(place);
        }
        if !is_active && was_active {
            self.active.clear(place);
        }
    }

    /// Appends an endpoint to a chain of its token.
    fn chain(&mut self, place: u32, waits: bool) {
        let Some(endpoint) = self.table.get_mut(place) else { return };
        endpoint.without_token = waits;
        if let Some(chains) = self.chains.get_mut(endpoint.token.index()) {
            chains.of(waits).push(&mut self.table, place, joint);
        }
    }

    fn unchain(&mut self, place: u32) {
        let Some(endpoint) = self.table.get(place) else { return };
        let waits = endpoint.without_token;
        if let Some(chains) = self.chains.get_mut(endpoint.token.index()) {
            chains.of(waits).remove(&mut self.table, place, joint);
        }
    }

    /// It waits for its token.
    pub(super) fn wait_for_token(&mut self, place: u32) {
        if self.table.get(place).is_some_and(|endpoint| !endpoint.without_token) {
            self.unchain(place);
            self.chain(place, true);
        }
    }

    /// A token is there: something can be done for those that wait for it.
    pub(super) fn token_came(&mut self, token: TokenId) {
        while let Some(place) = self.chains.get(token.index()).and_then(|chains| chains.waiting.first()) {
            self.unchain(place);
            self.chain(place, false);
            self.ready.mark(place);
        }
    }

    /// The first sender or receiver that needs a token.
    pub(super) fn first(&self, token: TokenId) -> Option<u32> {
        let chains = self.chains.get(token.index())?;
        chains.waiting.first().or_else(|| chains.others.first())
    }

    /// The one behind another one that needs the same token.
    pub(super) fn next(&self, place: u32) -> Option<u32> {
        let endpoint = self.table.get(place)?;
        endpoint.joint.next().or_else(|| {
            let chains = self.chains.get(endpoint.token.index())?;
            chains.others.first().filter(|_| endpoint.without_token)
        })
    }

    /// The connection is lost: [`Links::next_active`] names those that it is news for.
    pub(super) fn connection_lost(&mut self) {
        self.losses = !self.losses;
    }

    /// Another one that the loss of the connection is news for.
    pub(super) fn next_active(&mut self) -> Option<u32> {
        let place = self.active.take()?;
        let endpoint = self.table.get_mut(place)?;
        self.active.mark(place);
        let is_new = endpoint.losses != self.losses;
        endpoint.losses = self.losses;
        is_new.then_some(place)
    }

    /// Marks it for the next tick.
    pub(super) fn mark(&mut self, place: u32) {
        self.ready.mark(place);
    }

    /// As many as are marked, or more.
    pub(super) fn count_ready(&self) -> usize {
        self.ready.count()
    }

    /// Takes a mark.
    pub(super) fn take_ready(&mut self) -> Option<u32> {
        self.ready.take()
    }

    /// Its attach waits for room. Calls whose time ends first report what was missing.
    pub(super) fn wait_for_room(&mut self, place: u32, missing: Failure<S>) {
        if let Some(endpoint) = self.table.get_mut(place) {
            endpoint.error = Some(missing);
            self.without_room.mark(place);
        }
    }

    /// As many as wait for room, or more.
    pub(super) fn count_without_room(&self) -> usize {
        self.without_room.count()
    }

    /// The next one that waits for room.
    pub(super) fn take_without_room(&mut self) -> Option<u32> {
        self.without_room.take()
    }

    /// An attach is sent, with this number in its link's name.
    pub(super) fn attaching(&mut self, place: u32, link: LinkId, name: u32, span: Span) {
        self.change(place, |endpoint| {
            endpoint.attachment = Attachment::Pending;
            endpoint.link = Some(link.into());
            endpoint.span = span;
            endpoint.name = name;
        });
    }

    /// Both attaches were seen.
    pub(super) fn attached(&mut self, place: u32, link: LinkId) {
        self.change(place, |endpoint| {
            endpoint.attachment = Attachment::Up;
            endpoint.link = Some(link.into());
            endpoint.was_up = true;
            endpoint.error = None;
        });
    }

    /// The link is gone, except for the messages that it `leaves`. Returns the span for its remaining events.
    pub(super) fn detached(&mut self, place: u32, leaves: Attachment) -> Span {
        let span = self.change(place, |endpoint| {
            endpoint.attachment = leaves;
            core::mem::take(&mut endpoint.span)
        });
        span.unwrap_or_default()
    }

    /// Parks or unparks it: a parked endpoint needs no link.
    pub(super) fn park(&mut self, place: u32, parked: bool) {
        self.change(place, |endpoint| endpoint.parked = parked);
    }

    /// Waiting does not help: the next call tries again.
    pub(super) fn give_up(&mut self, place: u32, failure: &Failure<S>) {
        self.change(place, |endpoint| {
            endpoint.parked = true;
            endpoint.error = Some(failure.clone());
        });
    }

    /// It never comes back.
    pub(super) fn end_for_good(&mut self, place: u32, failure: &Failure<S>) {
        self.change(place, |endpoint| {
            endpoint.over = true;
            endpoint.error = Some(failure.clone());
        });
    }

    /// A call begins: an endpoint that had stopped trying starts again. Returns the token to put again, if any.
    ///
    /// # Errors
    /// The error that has ended it for good; `None` when it was closed.
    pub(super) fn begin_call(&mut self, id: EndpointId) -> Result<Option<TokenId>, Option<Failure<S>>> {
        let endpoint = self.table.find(id.0).filter(|endpoint| !endpoint.closing).ok_or(None)?;
        if endpoint.over {
            return Err(endpoint.error.clone());
        }
        let token = endpoint.token;
        if !endpoint.parked {
            return Ok(None);
        }
        self.change(id.0.index, |endpoint| {
            endpoint.parked = false;
            endpoint.error = None;
        });
        self.ready.mark(id.0.index);
        Ok(Some(token))
    }

    /// Another handle is made.
    pub(super) fn share(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.table.find_mut(id.0) {
            endpoint.clones = endpoint.clones.saturating_add(1);
        }
    }

    /// A handle is dropped; whether it was the last one.
    pub(super) fn unshare(&mut self, id: EndpointId) -> bool {
        match self.table.find_mut(id.0) {
            Some(endpoint) if endpoint.clones > 0 => {
                endpoint.clones -= 1;
                false
            }
            _ => true,
        }
    }

    /// The application drops it; false when it is closing already, or gone.
    pub(super) fn close(&mut self, id: EndpointId) -> bool {
        let closes = self.table.find(id.0).is_some_and(|endpoint| !endpoint.closing);
        if closes {
            self.change(id.0.index, |endpoint| endpoint.closing = true);
            self.ready.mark(id.0.index);
        }
        closes
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::machine::attachment::ReceiveMode;
    use crate::servicebus::failure::Cause;
    use crate::storage::{Generation, Heap, Key, SmallKey};
    use alloc::vec::Vec;

    const RECEIVER: Work = Work::Receiver { mode: ReceiveMode::PeekLock };

    fn token(index: u32) -> TokenId {
        TokenId::new(index)
    }

    /// So many receivers for each of three tokens in turn, whose first marks are taken.
    fn links(count: u32) -> (Links<Heap>, Vec<EndpointId>) {
        let mut links = Links::new(100_000);
        let add = |number| links.insert(RECEIVER, EntityId { token: token(number % 3), sub_queue: None }, None);
        let ids = (0..count).map(add).map(|added| added.expect("room")).collect();
        let marked = core::iter::from_fn(|| links.take_ready()).count();
        assert_eq!(marked, count as usize, "each may attach");
        (links, ids)
    }

    #[test]
    fn a_refusal_is_news_on_the_link_that_was_refused_alone() {
        let (mut links, _) = links(1);
        let [former, current] =
            [0, 1].map(|index| LinkId::from(SmallKey::new(Key { index, generation: Generation::FIRST })));
        let answered = |links: &mut Links<Heap>, link| {
            links.get_mut(0).unwrap().answered(link, true, None);
            let endpoint = links.get(0).unwrap();
            (endpoint.attachment(), endpoint.link(), links.count(Sort::Linked))
        };
        links.attaching(0, former, 1, Span::default());
        links.detached(0, Attachment::Down);
        assert_eq!(answered(&mut links, former), (Attachment::Down, None, 0));
        links.attaching(0, current, 2, Span::default());
        assert_eq!(answered(&mut links, former), (Attachment::Pending, Some(current), 1));
        assert_eq!(answered(&mut links, current), (Attachment::Refused, Some(current), 1));
        links.detached(0, Attachment::Down);
        assert!(links.get(0).unwrap().wants_link());
    }

    #[test]
    fn a_token_that_comes_wakes_those_that_wait_for_it_in_turn() {
        let (mut links, _) = links(9);
        for place in [7, 1, 2] {
            links.wait_for_token(place);
            links.wait_for_token(place);
        }
        links.token_came(token(1));
        assert_eq!(core::iter::from_fn(|| links.take_ready()).collect::<Vec<_>>(), [7, 1]);
        links.token_came(token(1));
        assert_eq!(links.take_ready(), None, "they wait no more");
        let chain = |links: &Links<Heap>, index| {
            core::iter::successors(links.first(token(index)), |&place| links.next(place)).collect::<Vec<_>>()
        };
        assert_eq!((chain(&links, 0), chain(&links, 2)), (Vec::from([0, 3, 6]), Vec::from([2, 5, 8])));
        links.remove(3);
        links.remove(2);
        assert_eq!((chain(&links, 0), chain(&links, 2)), (Vec::from([0, 6]), Vec::from([5, 8])));
    }

    #[test]
    fn what_is_counted_follows_every_change() {
        let (mut links, ids) = links(4);
        let counts = |links: &Links<Heap>| (links.count(Sort::Wanting), links.count(Sort::Receiving));
        assert_eq!(counts(&links), (4, 4));
        let failure = Failure::new(Cause::LinkLost);
        links.park(0, true);
        links.park(0, true);
        links.give_up(1, &failure);
        links.end_for_good(2, &failure);
        assert_eq!(counts(&links), (1, 2));
        assert_eq!(links.begin_call(ids[0]).ok(), Some(Some(token(0))), "it tries again");
        assert_eq!(links.begin_call(ids[0]).ok(), Some(None));
        assert!(links.begin_call(ids[2]).is_err_and(|ended| ended.is_some()), "that one is over");
        assert!(links.close(ids[3]) && !links.close(ids[3]));
        assert!(links.begin_call(ids[3]).is_err_and(|ended| ended.is_none()));
        assert_eq!(counts(&links), (2, 2));
        assert!((0..4).all(|place| links.remove(place).is_some()));
        assert_eq!((counts(&links), links.len()), ((0, 0), 0));
    }

    #[test]
    fn a_lost_connection_is_news_for_each_that_needs_one_and_for_no_other() {
        let (mut links, ids) = links(1_000);
        (0..1_000).filter(|place| place % 100 != 0).for_each(|place| links.park(place, true));
        let lost = |links: &mut Links<Heap>| {
            links.connection_lost();
            core::iter::from_fn(|| links.next_active()).collect::<Vec<_>>()
        };
        let first = lost(&mut links);
        assert_eq!((first.len(), first.iter().all(|place| place % 100 == 0)), (10, true));
        links.remove(500);
        assert!(links.begin_call(ids[7]).is_ok());
        let mut second = lost(&mut links);
        second.sort_unstable();
        assert_eq!(second, [0, 7, 100, 200, 300, 400, 600, 700, 800, 900]);
    }
}
