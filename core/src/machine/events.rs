//! Handles the engine's output: frames while they are applied, events afterwards.

use super::attachment::Attachment;
use super::calls::{Calls, Outcome, State};
use super::channels::Channels;
use super::link_up::LinkUp;
use super::links::Links;
use super::lock_renewals::LockRenewals;
use super::request::REQUEST;
use super::routes::{Route, Routes};
use super::session_locks::SessionLocks;
use super::settlement::Settlement;
use super::{Cause, ClientMachine, Clock, Failure, HEALTHY, Timer, Timers};
use crate::engine::{Event, Handler, LinkId, OutcomeKind, StateUpdate, Subject};
use crate::servicebus::Reason;
use crate::storage::{Features, RxOf, Storage, TransactionId, TransactionOf};
use crate::time::Instant;
use crate::wire::messaging::{self, DeliveryState, Rejected};
use crate::wire::performative::{Attach, ErrorCondition, PerformativeView};
use crate::wire::{Map, View};

/// The limit of a batch, if the service announces it.
// docs/evidence/wire-protocol.md §3.3
const MAX_BATCH_SIZE: &str = "com.microsoft:max-message-batch-size";

/// Sees frames while their bytes are there.
struct FrameHandler<'n, S: Storage> {
    routes: &'n Routes<S>,
    links: &'n mut Links<S>,
    session_locks: &'n mut SessionLocks<S>,
    channels: &'n mut Channels<S>,
    calls: &'n mut Calls<S>,
    link_up: &'n mut LinkUp<S>,
    last_description: &'n mut S::Text,
    timers: &'n mut Timers<S>,
    settlement: &'n mut Settlement<S>,
    lock_renewals: &'n mut LockRenewals<S>,
    due: &'n mut bool,
}

impl<S: Storage> FrameHandler<'_, S> {
    fn attached<'a>(&mut self, link: LinkId, attach: &mut View<'a, Attach<'a>>) {
        let Some(Route::Endpoint(place)) = self.routes.of(link) else { return };
        let Some(endpoint) = self.links.get_mut(place) else { return };
        let properties = attach.properties().unwrap_or(Map::EMPTY);
        let batch_size = properties.get(MAX_BATCH_SIZE).and_then(|value| value.as_i64());
        endpoint.answered(link, attach.is_refusal(), batch_size);
        if let Some(lock) = endpoint.session_lock() {
            self.session_locks.answered(lock, properties, attach.filter());
        }
    }

    fn link_error(&mut self, link: LinkId, error: &ErrorCondition<'_>) {
        let Some(owner) = self.routes.of(link) else { return };
        let failure = Failure::of(error, self.last_description);
        match owner {
            Route::Endpoint(place) => {
                if let Some(endpoint) = self.links.get_mut(place) {
                    endpoint.set_error(Some(failure));
                }
            }
            Route::Sender(place) | Route::Receiver(place) => self.channels.set_error(place, failure),
        }
    }

    /// The peer has ended the session or the connection.
    fn ended(&mut self, error: Option<ErrorCondition<'_>>) {
        if let Some(error) = &error {
            self.link_up.ends(Failure::of(error, self.last_description));
        }
    }

    /// A delivery has moved: its link and the connection are healthy. Settled, it is not in the application's hands.
    fn moved(&mut self, update: &StateUpdate<'_>) {
        if S::Features::RECEIVERS
            && update.settled
            && let Some(renewal) = self.settlement.ended(update.delivery)
            && S::Features::LOCK_RENEWAL
        {
            self.lock_renewals.message_ended(renewal, self.timers);
        }
        if let Some(Route::Endpoint(place)) = self.routes.of(update.link)
            && let Some(endpoint) = self.links.get_mut(place)
        {
            endpoint.healthy();
            self.link_up.healthy();
            if endpoint.is_closing() || self.link_up.is_leaving() {
                self.links.mark(place);
                *self.due = true;
            }
        }
    }

    /// The peer has sent the state of a delivery: passes it to the waiting call. If that call has ended without the
    /// outcome, its place may belong to another call by now.
    fn settled(&mut self, place: u32, update: &StateUpdate<'_>) {
        let state = update.state;
        if !matches!(self.calls.state_at(place), Some(State::Sent(sent)) if *sent == update.delivery) {
            return;
        }
        let outcome = match state {
            Some(DeliveryState::Outcome(outcome)) => Some(outcome),
            Some(DeliveryState::Transactional(state)) => state.outcome.as_ref(),
            _ => None,
        };
        let result = match (outcome, state) {
            (Some(messaging::Outcome::Rejected(Rejected { error: Some(error) })), _) => {
                Err(Failure::of(error, self.last_description))
            }
            (Some(outcome), _) => Ok(Outcome::Delivery(OutcomeKind::from(outcome))),
            (None, Some(DeliveryState::Declared(declared))) => match TransactionOf::<S>::new(declared.txn_id) {
                Some(id) => Ok(Outcome::Declared(id)),
                None => Err(Failure::new(Cause::Service(Reason::InvalidField))),
            },
            // Settled without a word: whether it was taken is not known.
            (None, _) if update.settled => Err(Failure { uncertain: true, ..Failure::new(Cause::LinkLost) }),
            (None, _) => return,
        };
        self.calls.end(place, result);
    }
}

impl<S: Storage> Handler for FrameHandler<'_, S> {
    const SERVES: bool = false;
    const SETTLES: bool = true;

    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        match (subject, performative) {
            (Subject::Link(link), PerformativeView::Attach(attach)) => self.attached(link, attach),
            (Subject::Link(link), PerformativeView::Detach(detach)) => {
                if let Some(error) = &detach.error() {
                    self.link_error(link, error);
                }
            }
            (Subject::Session(_), PerformativeView::End(end)) => self.ended(end.error()),
            (Subject::Connection, PerformativeView::Close(close)) => self.ended(close.error()),
            _ => {}
        }
    }

    fn state(&mut self, update: &StateUpdate<'_>) {
        self.moved(update);
        let Some(user) = update.user else { return };
        let state = update.state;
        if user & REQUEST != 0 {
            // An accepted request gets its response; a refused one gets none.
            let refused = match state {
                Some(DeliveryState::Outcome(messaging::Outcome::Rejected(Rejected { error }))) => Some(match error {
                    Some(error) => Failure::of(error, self.last_description),
                    None => Failure::new(Cause::NotAccepted(OutcomeKind::Rejected)),
                }),
                Some(DeliveryState::Outcome(
                    outcome @ (messaging::Outcome::Released | messaging::Outcome::Modified(_)),
                )) => Some(Failure::new(Cause::NotAccepted(OutcomeKind::from(outcome)))),
                _ => None,
            };
            let place = user & !REQUEST;
            if let Some(failure) = refused
                && self.channels.delivery(place) == Some(update.delivery)
                && let Some((channel, _)) = self.channels.request(place)
            {
                // The waiting call fails when the request expires, which is now.
                self.timers.set(Timer::Request, place, Some(Instant::ZERO));
                self.channels.set_error(channel, failure);
            }
            return;
        }
        self.settled(user, update);
    }
}

impl<S: Storage> ClientMachine<S> {
    pub(super) fn input(&mut self, clock: Clock, rx: &mut RxOf<S>) {
        let Some(connection) = &mut self.connection else { return };
        let mut handler = FrameHandler {
            routes: &self.routes,
            links: &mut self.links,
            session_locks: &mut self.session_locks,
            channels: &mut self.channels,
            calls: &mut self.calls,
            link_up: &mut self.link_up,
            last_description: &mut self.last_description,
            timers: &mut self.timers,
            settlement: &mut self.settlement,
            lock_renewals: &mut self.lock_renewals,
            due: &mut self.due,
        };
        if let Err(error) = connection.handle_input(clock.now, rx, &mut handler) {
            self.remember(error);
        }
    }

    #[inline(never)]
    pub(super) fn process_events(&mut self, clock: Clock) {
        while let Some(event) = self.connection.as_mut().and_then(|connection| connection.poll_event()) {
            match event {
                Event::Opened => {
                    log!(info, "connected", connection = self.link_up.epoch());
                    let took = self.link_up.opened(clock.now);
                    self.credit.note_answer_time(took);
                    self.notice_watchers();
                    self.due = true;
                }
                Event::LinkAttached(link) => self.link_attached(link, clock),
                Event::LinkFailed(link) | Event::LinkDetached(link) => {
                    self.link_detached(link, clock);
                }
                Event::Readable(link) => match self.routes.of(link) {
                    Some(Route::Receiver(place)) => self.take_responses(place, clock),
                    Some(Route::Endpoint(place)) if S::Features::RECEIVERS => self.endpoint_readable(place, clock),
                    _ => {}
                },
                Event::DrainRequested(link) => {
                    if let Some(connection) = &mut self.connection {
                        let _ = connection.drained(link);
                    }
                }
                Event::DrainSent(link) if S::Features::RECEIVERS => {
                    if let Some(place) = self.endpoint_of(link) {
                        self.drain_seen(place, clock);
                    }
                }
                Event::Drained(link) if S::Features::RECEIVERS => {
                    if let Some(place) = self.endpoint_of(link) {
                        self.endpoint_drained(place, clock);
                    }
                }
                Event::SessionEnded(session) => self.link_up.session_ended(session),
                Event::Closed(error) => self.remember(error),
                _ => {}
            }
        }
    }

    /// The sender or receiver whose link this is.
    fn endpoint_of(&self, link: LinkId) -> Option<u32> {
        match self.routes.of(link) {
            Some(Route::Endpoint(place)) => Some(place),
            _ => None,
        }
    }

    fn link_attached(&mut self, link: LinkId, clock: Clock) {
        let Some(owner) = self.routes.of(link) else { return };
        let status = self.connection.as_ref().and_then(|connection| connection.link(link));
        if !status.is_some_and(|status| status.attached) {
            // Detached before this event was polled: the end of the link is the next one, and its reason is kept.
            if let Route::Endpoint(place) = owner
                && let Some(endpoint) = self.links.get_mut(place).filter(|endpoint| endpoint.is_session())
            {
                // A session that was granted and lost is not one that was refused.
                let reason = endpoint.take_error();
                self.endpoint_attached(place, link, clock);
                if let Some(endpoint) = self.links.get_mut(place) {
                    endpoint.set_error(reason);
                }
            }
            return;
        }
        match owner {
            Route::Endpoint(place) => self.endpoint_attached(place, link, clock),
            Route::Sender(place) | Route::Receiver(place) => {
                if self.channels.attached(place, link) {
                    self.timers.start(Timer::Channel, place, clock.now, HEALTHY);
                }
                self.due = true;
            }
        }
    }

    /// A link is over, or will be once the peer has answered our detach: its owner does not wait for that.
    #[inline(never)]
    fn link_detached(&mut self, link: LinkId, clock: Clock) {
        let owner = self.routes.take(link);
        if let Some(Route::Endpoint(place)) = owner {
            let Some(endpoint) = self.links.get(place) else { return self.forget_link(link) };
            if endpoint.remains() == Some((link, false)) {
                // Its messages can still be taken: already reported.
                return self.keep_link(link, place);
            }
            if endpoint.link() != Some(link) {
                return self.forget_link(link);
            }
            let status = self.connection.as_ref().and_then(|connection| connection.link(link));
            let fault = status.and_then(|status| status.fault);
            let leaves = endpoint.leaves(self.connection.as_ref(), false);
            if leaves != Attachment::Down {
                self.keep_link(link, place);
            }
            self.endpoint_detached(place, clock, leaves, fault);
            if leaves != Attachment::Down {
                return;
            }
        } else if let Some(Route::Sender(place) | Route::Receiver(place)) = owner
            && self.channels.both(place).contains(&Some(link))
        {
            self.node_detached(place, clock);
        }
        // Not before: until then it tells of which messages something was written.
        self.forget_link(link);
    }

    /// Why the connection ends, unless the peer has said it.
    #[inline(never)]
    pub(super) fn remember(&mut self, error: crate::engine::ConnectionError) {
        self.link_up.ends_by(|| Failure::explained(Cause::Connection(error.kind()), &error));
    }
}
