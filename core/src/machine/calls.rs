//! Calls of the application: one slot for each that is pending, in a chain for each sender or receiver, so that news
//! reaches the calls that it is for without a search.

use super::Failure;
use super::id::OperationId;
use crate::engine::{DeliveryId, OutcomeKind};
use crate::storage::{Beside, Chain, Joint, Key, Marks, MarksOf, Place, Storage, Table, TableOf, TransactionOf, room};
use crate::time::Millis;
use crate::wire::Full;

/// The place of no call: of a delivery whose call was given up.
pub(super) const GIVEN_UP: u32 = u32::MAX;

/// How a pending call stands.
#[derive(Debug)]
pub(super) enum State<S: Storage> {
    /// Nothing has been handed to the engine.
    Idle,
    /// The engine has a delivery of it: a message or a settlement.
    Sent(DeliveryId),
    /// A request waits for its response.
    Requested(Key),
    /// A receive is registered with its endpoint, for this many messages.
    Receiving(u32),
    /// It waits for a change of the connection's phase.
    Watching,
    /// The same, and needs the connection.
    Opening,
    /// It waits before its next attempt.
    Pausing,
    /// A place in the order of a sender's messages.
    #[cfg(feature = "alloc")]
    InOrder,
    /// It has ended.
    Done(Result<Outcome<S>, Failure<S>>),
}

/// How a call ended well.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<S: Storage> {
    /// The peer's outcome for a delivery.
    Delivery(OutcomeKind),
    /// A transaction was declared; its id.
    Declared(TransactionOf<S>),
}

/// A pending call.
// In this order: the places of small fields fit into the instructions of small machines.
#[repr(C)]
#[derive(Debug)]
struct Call<S: Storage> {
    /// The deadline has passed.
    expired: bool,
    /// The chain of its sender or receiver that it is in.
    row: Row,
    /// How long before its end a receive proves that the link is alive; nothing once it has, or where it does not.
    lead: Millis,
    /// The sender or receiver that it belongs to; `None` for calls of the client itself.
    endpoint: Option<Place>,
    joint: Joint<Width>,
    state: State<S>,
}

fn joint<S: Storage>(call: &mut Call<S>) -> &mut Joint<Width> {
    &mut call.joint
}

/// The chains of a sender or receiver, in the order in which their calls have their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// Receives whose time is up, which wait for the end of a drain.
    Late,
    /// Receives, and messages that wait for a place in the engine's tables.
    Waiting,
    Others,
    /// Places in the order of a sender's messages.
    #[cfg(feature = "alloc")]
    InOrder,
}

/// How many rows there are.
const ROWS: usize = if cfg!(feature = "alloc") { 4 } else { 3 };

/// What chains of calls keep places in: a board has few of them.
#[cfg(feature = "alloc")]
type Width = u32;
#[cfg(not(feature = "alloc"))]
type Width = u16;

/// The calls of one sender or receiver, by rows.
#[derive(Debug, Default)]
struct Chains {
    rows: [Chain<Width>; ROWS],
    /// Those of them of which the engine has a delivery.
    sent: Width,
}

impl Chains {
    fn of(&mut self, row: Row) -> &mut Chain<Width> {
        #[cfg(not(feature = "alloc"))]
        let [late, waiting, others] = &mut self.rows;
        #[cfg(feature = "alloc")]
        let [late, waiting, others, in_order] = &mut self.rows;
        match row {
            Row::Late => late,
            Row::Waiting => waiting,
            Row::Others => others,
            #[cfg(feature = "alloc")]
            Row::InOrder => in_order,
        }
    }

    /// The first call in a row, or in one behind it.
    fn first_from(&self, row: Row) -> Option<u32> {
        self.rows.get(row as usize..)?.iter().find_map(Chain::first)
    }
}

/// All pending calls.
pub(super) struct Calls<S: Storage> {
    calls: TableOf<S, room::Deliveries, Call<S>>,
    /// Calls that have news for their tasks.
    notices: MarksOf<S, room::Deliveries>,
    /// By the places of senders and receivers.
    chains: Beside<S, room::Links, Chains>,
    /// Calls that wait for a change of the connection's phase.
    watchers: Chain<Width>,
    /// Those of them that need the connection itself.
    opening: usize,
    /// Calls that wait before their next attempt, or whose tasks have yet to learn that one failed.
    pausing: usize,
}

impl<S: Storage> Calls<S> {
    #[inline(always)]
    pub(super) fn bounded(limit: usize) -> Self {
        Self {
            calls: Table::bounded(limit),
            notices: Marks::empty(),
            chains: Beside::default(),
            watchers: Chain::EMPTY,
            opening: 0,
            pausing: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.calls.capacity()
    }

    /// A slot for a call on this sender or receiver, or on the client itself.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn begin(&mut self, endpoint: Option<u32>) -> Result<OperationId, Full> {
        let key = self.calls.insert(Call {
            expired: false,
            row: Row::Others,
            lead: Millis::new(0),
            endpoint: endpoint.map(Place::new),
            joint: Joint::FREE,
            state: State::Idle,
        })?;
        self.chain(key.index, Row::Others);
        Ok(OperationId(key))
    }

    /// Frees the slot of a call, and forgets its news.
    pub(super) fn free(&mut self, place: u32) {
        if !matches!(self.state_at(place), Some(State::Idle)) {
            self.set_state_at(place, State::Idle);
        }
        self.unchain(place);
        self.notices.clear(place);
        self.calls.free(place);
    }

    /// A call of the client itself waits for news of a sender or receiver.
    pub(super) fn follow(&mut self, id: OperationId, endpoint: u32) {
        if let Some(call) = self.calls.find_mut(id.0).filter(|call| call.endpoint.is_none()) {
            call.endpoint = Some(Place::new(endpoint));
            self.chain(id.0.index, Row::Others);
        }
    }

    /// Appends a call to one of its endpoint's chains.
    fn chain(&mut self, place: u32, row: Row) {
        let Some(call) = self.calls.get_mut(place) else { return };
        call.row = row;
        let Some(endpoint) = call.endpoint else { return };
        if let Some(chains) = self.chains.get_mut(endpoint.index()) {
            chains.of(row).push(&mut self.calls, place, joint);
        }
    }

    fn unchain(&mut self, place: u32) {
        let Some(call) = self.calls.get(place) else { return };
        let (Some(endpoint), row) = (call.endpoint, call.row) else { return };
        if let Some(chains) = self.chains.get_mut(endpoint.index()) {
            chains.of(row).remove(&mut self.calls, place, joint);
        }
    }

    fn set_row(&mut self, place: u32, row: Row) {
        if self.calls.get(place).is_some_and(|call| call.row != row) {
            self.unchain(place);
            self.chain(place, row);
        }
    }

    /// The state of a call.
    pub(super) fn state(&self, id: OperationId) -> Option<&State<S>> {
        self.calls.find(id.0).map(|call| &call.state)
    }

    /// The state of the call at a place.
    pub(super) fn state_at(&self, place: u32) -> Option<&State<S>> {
        self.calls.get(place).map(|call| &call.state)
    }

    /// The sender or receiver of a call.
    pub(super) fn endpoint(&self, id: OperationId) -> Option<u32> {
        self.calls.find(id.0)?.endpoint.map(Place::index)
    }

    /// Whether the deadline of a call has passed.
    pub(super) fn is_expired(&self, id: OperationId) -> bool {
        self.calls.find(id.0).is_some_and(|call| call.expired)
    }

    /// Changes the state of a call; returns the one before.
    pub(super) fn set_state(&mut self, id: OperationId, state: State<S>) -> Option<State<S>> {
        self.calls.find(id.0)?;
        self.set_state_at(id.0.index, state)
    }

    fn set_state_at(&mut self, place: u32, state: State<S>) -> Option<State<S>> {
        let row = match state {
            State::Receiving(_) => Row::Waiting,
            #[cfg(feature = "alloc")]
            State::InOrder => Row::InOrder,
            _ => Row::Others,
        };
        self.set_row(place, row);
        let opening = |state: &State<S>| usize::from(matches!(state, State::Opening));
        let pausing = |state: &State<S>| usize::from(matches!(state, State::Pausing | State::Done(Err(_))));
        let watches = |state: &State<S>| matches!(state, State::Watching | State::Opening);
        let sent = |state: &State<S>| Width::from(matches!(state, State::Sent(_)));
        let call = self.calls.get_mut(place)?;
        self.opening = self.opening + opening(&state) - opening(&call.state);
        self.pausing = self.pausing + pausing(&state) - pausing(&call.state);
        if let Some(chains) = call.endpoint.and_then(|endpoint| self.chains.get_mut(endpoint.index())) {
            chains.sent = chains.sent + sent(&state) - sent(&call.state);
        }
        let is_watching = watches(&state);
        let before = core::mem::replace(&mut call.state, state);
        // Calls of the client itself are in no other chain.
        match (watches(&before), is_watching) {
            (false, true) => self.watchers.push(&mut self.calls, place, joint),
            (true, false) => self.watchers.remove(&mut self.calls, place, joint),
            _ => {}
        }
        Some(before)
    }

    /// A call ends; its task has news. Returns the state before.
    pub(super) fn end(&mut self, place: u32, result: Result<Outcome<S>, Failure<S>>) -> Option<State<S>> {
        let before = self.set_state_at(place, State::Done(result));
        self.notice(place);
        before
    }

    /// The result of a call that has ended, which is idle afterwards.
    pub(super) fn take_result(&mut self, id: OperationId) -> Option<Result<Outcome<S>, Failure<S>>> {
        if !matches!(self.state(id)?, State::Done(_)) {
            return None;
        }
        match self.set_state_at(id.0.index, State::Idle)? {
            State::Done(result) => Some(result),
            _ => None,
        }
    }

    /// A message waits for a place in the engine's tables.
    pub(super) fn wait_for_place(&mut self, id: OperationId) {
        if self.calls.find(id.0).is_some() {
            self.set_row(id.0.index, Row::Waiting);
        }
    }

    /// A place is free: the message of a sender that waits for one has news. False where none waits.
    pub(super) fn give_place(&mut self, endpoint: u32) -> bool {
        let Some(first) = self.first_waiting(endpoint) else { return false };
        if !matches!(self.state_at(first), Some(State::Idle)) {
            return false;
        }
        self.set_row(first, Row::Others);
        self.notice(first);
        true
    }

    /// The call on a sender or receiver whose turn it is.
    pub(super) fn first_waiting(&self, endpoint: u32) -> Option<u32> {
        let [late, waiting, ..] = &self.chains.get(endpoint)?.rows;
        late.first().or_else(|| waiting.first())
    }

    /// The first call on a sender or receiver, waiting ones first.
    pub(super) fn first(&self, endpoint: u32) -> Option<u32> {
        self.chains.get(endpoint)?.first_from(Row::Late)
    }

    /// The first call on a sender or receiver that does not wait for its turn.
    pub(super) fn first_other(&self, endpoint: u32) -> Option<u32> {
        self.chains.get(endpoint)?.first_from(Row::Others)
    }

    /// The call behind another one on the same sender or receiver.
    pub(super) fn next(&self, place: u32) -> Option<u32> {
        let call = self.calls.get(place)?;
        let behind = match call.row {
            Row::Late => Row::Waiting,
            Row::Waiting => Row::Others,
            #[cfg(feature = "alloc")]
            Row::Others => Row::InOrder,
            _ => return call.joint.next(),
        };
        call.joint.next().or_else(|| self.chains.get(call.endpoint?.index())?.first_from(behind))
    }

    /// The call of a sender whose turn it is.
    #[cfg(feature = "alloc")]
    pub(super) fn first_in_order(&self, endpoint: u32) -> Option<u32> {
        self.chains.get(endpoint)?.rows.last()?.first()
    }

    /// Whether a call on a sender or receiver is pending.
    pub(super) fn has_any(&self, endpoint: u32) -> bool {
        self.first(endpoint).is_some()
    }

    /// Whether a call on a sender or receiver is pending whose state is one of these.
    pub(super) fn any(&self, endpoint: u32, is: fn(&State<S>) -> bool) -> bool {
        let mut at = self.first(endpoint);
        while let Some(place) = at {
            if self.state_at(place).is_some_and(is) {
                return true;
            }
            at = self.next(place);
        }
        false
    }

    /// Whether the engine has a delivery of a call on a sender or receiver.
    pub(super) fn has_sent(&self, endpoint: u32) -> bool {
        self.chains.get(endpoint).is_some_and(|chains| chains.sent > 0)
    }

    /// Whether a call needs the connection itself.
    pub(super) fn has_opening(&self) -> bool {
        self.opening > 0
    }

    /// Whether a call waits before its next attempt, or may do so soon.
    pub(super) fn has_pausing(&self) -> bool {
        self.pausing > 0
    }

    /// A call has news.
    pub(super) fn notice(&mut self, place: u32) {
        if self.calls.get(place).is_some() {
            self.notices.mark(place);
        }
    }

    /// Every call on a sender or receiver has news.
    pub(super) fn notice_endpoint(&mut self, endpoint: u32) {
        self.notice_from(self.first(endpoint));
    }

    /// Every call on a receiver has news that waits for no messages.
    pub(super) fn notice_others(&mut self, endpoint: u32) {
        self.notice_from(self.first_other(endpoint));
    }

    fn notice_from(&mut self, first: Option<u32>) {
        let mut at = first;
        while let Some(place) = at {
            at = self.next(place);
            self.notice(place);
        }
    }

    /// The call of a receiver whose turn it is has news.
    pub(super) fn notice_first(&mut self, endpoint: u32) {
        if let Some(first) = self.first_waiting(endpoint) {
            self.notice(first);
        }
    }

    /// The calls of a receiver that wait for the end of a drain have news, and the one whose turn it is.
    pub(super) fn notice_late(&mut self, endpoint: u32) {
        self.notice_first(endpoint);
        let mut at = self.chains.get(endpoint).and_then(|chains| chains.rows.first()?.first());
        while let Some(place) = at {
            at = self.calls.get(place).and_then(|call| call.joint.next());
            self.notice(place);
        }
    }

    /// Every call has news.
    pub(super) fn notice_all(&mut self) {
        for place in 0..self.calls.end() {
            self.notice(place);
        }
    }

    /// Every call that watches the connection has news.
    pub(super) fn notice_watchers(&mut self) {
        let mut at = self.watchers.first();
        while let Some(place) = at {
            at = self.next(place);
            self.notice(place);
        }
    }

    /// A receive proves so long before its end that the link is alive.
    pub(super) fn prove_before(&mut self, id: OperationId, lead: Millis) {
        if let Some(call) = self.calls.find_mut(id.0) {
            call.lead = lead;
        }
    }

    /// The deadline of a call has passed, or the time has come at which it proves that the link is alive: its receiver, and
    /// how long it is until its deadline.
    pub(super) fn expire(&mut self, place: u32) -> Option<(u32, Millis)> {
        let call = self.calls.get_mut(place)?;
        let lead = core::mem::replace(&mut call.lead, Millis::new(0));
        if lead.get() > 0
            && let Some(endpoint) = call.endpoint
        {
            return Some((endpoint.index(), lead));
        }
        call.expired = true;
        if matches!(call.state, State::Receiving(_)) {
            self.set_row(place, Row::Late);
        }
        self.notice(place);
        None
    }

    /// A call has a new deadline.
    #[cfg(feature = "alloc")]
    pub(super) fn prolong(&mut self, place: u32) {
        if let Some(call) = self.calls.get_mut(place) {
            call.expired = false;
        }
    }

    /// Every call that has not ended fails with what `failure` returns.
    pub(super) fn fail_all(&mut self, failure: impl Fn(&State<S>) -> Failure<S>) {
        for place in 0..self.calls.end() {
            let state = self.state_at(place).filter(|state| !matches!(state, State::Done(_)));
            if let Some(failure) = state.map(&failure) {
                self.end(place, Err(failure));
            }
        }
    }

    /// Takes a sender or receiver that is gone from its calls; those that wait for nothing else fail with what `failure`
    /// returns.
    pub(super) fn leave(&mut self, endpoint: u32, failure: impl Fn(&State<S>) -> Failure<S>) {
        while let Some(place) = self.first(endpoint) {
            self.unchain(place);
            if let Some(call) = self.calls.get_mut(place) {
                // The place may get a new tenant: nothing of the old one may point at it.
                call.endpoint = None;
                call.row = Row::Others;
            }
            match self.state_at(place) {
                Some(State::Done(_) | State::Requested(_)) | None => self.notice(place),
                Some(state) => {
                    let failure = failure(state);
                    self.end(place, Err(failure));
                }
            }
        }
        if let Some(chains) = self.chains.get_mut(endpoint) {
            *chains = Chains::default();
        }
    }

    /// Takes a call that has news.
    pub(super) fn poll_notice(&mut self) -> Option<u32> {
        self.notices.take()
    }

    /// Whether [`Calls::poll_notice`] has any.
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::servicebus::failure::Cause;
    use crate::storage::Heap;
    use alloc::vec::Vec;

    fn noticed(calls: &mut Calls<Heap>) -> Vec<u32> {
        core::iter::from_fn(|| calls.poll_notice()).collect()
    }

    #[test]
    fn news_of_an_endpoint_reach_its_own_calls_in_order() {
        let mut calls = Calls::<Heap>::bounded(100);
        let ids: Vec<_> = (0..9).map(|number| calls.begin(Some(number % 3)).unwrap()).collect();
        calls.notice_endpoint(1);
        assert_eq!(noticed(&mut calls), [1, 4, 7]);
        calls.set_state(ids[7], State::Receiving(1));
        calls.set_state(ids[4], State::Receiving(1));
        assert_eq!(calls.first_waiting(1), Some(7));
        calls.notice_endpoint(1);
        assert_eq!(noticed(&mut calls), [7, 4, 1], "receives come first, the one that waits longest before the others");
        calls.free(7);
        calls.notice_first(1);
        assert_eq!(noticed(&mut calls), [4]);
    }

    #[test]
    fn a_call_that_is_freed_while_it_has_news_leaves_none_to_the_next_in_its_slot() {
        let mut calls = Calls::<Heap>::bounded(1);
        let id = calls.begin(Some(0)).unwrap();
        calls.notice(0);
        calls.free(0);
        assert!(!calls.has_any(0));
        let other = calls.begin(Some(0)).expect("the slot is free at once");
        assert_eq!(other.index(), id.index());
        assert_eq!((noticed(&mut calls), calls.len()), (Vec::new(), 1));
        assert!(calls.state(id).is_none());
        calls.notice(0);
        assert_eq!(noticed(&mut calls), [0]);
    }

    /// The turn in an order is not looked for among the other calls of a sender.
    #[test]
    fn a_turn_costs_the_same_beside_any_number_of_calls_c22() {
        for others in [1, 10_000] {
            let mut calls = Calls::<Heap>::bounded(100_000);
            for _ in 0..others {
                calls.begin(Some(0)).unwrap();
                let waiting = calls.begin(Some(0)).unwrap();
                calls.wait_for_place(waiting);
            }
            let turns = [(); 2].map(|()| calls.begin(Some(0)).unwrap());
            for turn in turns {
                calls.set_state(turn, State::InOrder);
            }
            let before = crate::storage::tests::count();
            assert_eq!(calls.first_in_order(0), Some(turns[0].0.index));
            calls.free(turns[0].0.index);
            assert_eq!(calls.first_in_order(0), Some(turns[1].0.index));
            let touched = crate::storage::tests::count() - before;
            assert!(touched <= 20, "{touched} entries beside {others} calls");
        }
    }

    #[test]
    fn whether_the_engine_has_a_delivery_follows_every_change() {
        let mut calls = Calls::<Heap>::bounded(100);
        let sent = |number| State::Sent(DeliveryId::numbered(number, crate::storage::Generation::FIRST));
        let ids: Vec<_> = (0..4).map(|_| calls.begin(Some(3)).unwrap()).collect();
        assert!(!calls.has_sent(3));
        for (number, id) in ids.iter().enumerate() {
            calls.set_state(*id, sent(number as u32));
        }
        calls.set_state(ids[0], sent(9));
        calls.end(0, Err(Failure::new(Cause::LinkLost)));
        calls.free(0);
        calls.free(1);
        calls.set_state(ids[2], State::Idle);
        assert!(calls.has_sent(3) && !calls.has_sent(2));
        calls.leave(3, |_| Failure::new(Cause::Closed));
        assert!(!calls.has_sent(3), "the place may get another sender");
        calls.free(3);
        assert!(!calls.has_sent(3));
    }

    #[test]
    fn those_who_watch_the_connection_have_news_of_it_and_nobody_else() {
        let mut calls = Calls::<Heap>::bounded(100);
        let ids: Vec<_> = (0..6).map(|number| calls.begin((number % 2 == 1).then_some(0)).unwrap()).collect();
        for id in [4, 0, 2] {
            calls.set_state(ids[id], if id == 2 { State::Opening } else { State::Watching });
        }
        calls.notice_watchers();
        assert_eq!(noticed(&mut calls), [4, 0, 2]);
        calls.free(0);
        calls.set_state(ids[4], State::Opening);
        calls.set_state(ids[2], State::Idle);
        calls.notice_watchers();
        assert_eq!((noticed(&mut calls), calls.has_opening()), (Vec::from([4]), true));
    }

    #[test]
    fn places_go_to_messages_in_the_order_in_which_they_wait() {
        let mut calls = Calls::<Heap>::bounded(100);
        let ids: Vec<_> = (0..3).map(|_| calls.begin(Some(0)).unwrap()).collect();
        for id in [2, 0, 1] {
            calls.wait_for_place(ids[id]);
        }
        assert!(calls.give_place(0) && calls.give_place(0));
        assert_eq!(noticed(&mut calls), [2, 0]);
        calls.end(1, Err(Failure::new(Cause::LinkLost)));
        assert!(!calls.give_place(0), "a call that has ended waits for nothing");
        calls.set_state(ids[0], State::Receiving(1));
        assert!(!calls.give_place(0), "a receive waits for messages");
    }

    #[test]
    fn calls_of_an_endpoint_that_is_gone_fail_but_for_requests() {
        let mut calls = Calls::<Heap>::bounded(100);
        let ids: Vec<_> = (0..3).map(|_| calls.begin(Some(5)).unwrap()).collect();
        calls.set_state(ids[1], State::Requested(ids[1].0));
        calls.end(2, Err(Failure::new(Cause::LinkLost)));
        let close = calls.begin(None).unwrap();
        calls.follow(close, 5);
        assert_eq!(noticed(&mut calls), [2]);
        calls.leave(5, |_| Failure::new(Cause::Closed));
        assert!(!calls.has_any(5));
        assert_eq!(noticed(&mut calls), [0, 1, 2, 3], "all have news");
        let ended =
            |calls: &mut Calls<Heap>, id| calls.take_result(id).map(|result| result.map(drop).unwrap_err().cause);
        assert_eq!(ended(&mut calls, ids[0]), Some(Cause::Closed));
        assert_eq!(ended(&mut calls, ids[1]), None);
        assert_eq!(ended(&mut calls, ids[2]), Some(Cause::LinkLost));
        assert!(matches!(calls.state(ids[1]), Some(State::Requested(_))), "its request goes on");
    }
}
