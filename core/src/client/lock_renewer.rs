//! Locks that are kept while the application is busy.

use super::call::{self, Call, Endpoint};
use super::settling::other_entity;
use super::{Access, DescriptionOf, Error, Receiver, SessionReceiver};
use crate::machine::{self, ClientMachine, Clock, Failure, Locked, OperationId, RenewalId};
use crate::runtime::Runtime;
use crate::servicebus::received::Origin;
use crate::servicebus::{LockToken, ReceivedMessage};
use crate::storage::{self, Storage, Text};
use crate::time::{Duration, Timestamp};
use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::pin::pin;
use core::task::Poll;

/// Renews locks: when no more than a third of a lock is left, and at most 10 s, again and again until the message is
/// settled or the session closed. What fails is tried again while the lock lasts; that it is lost is said once.
///
/// The driver renews, not a task of its own: code of the application that blocks its task does not stop renewals as
/// long as the driver runs on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoLockRenewer {
    /// No lock is renewed for longer than this after its registration; it then ends by itself.
    pub max_duration: Duration,
}

impl Default for AutoLockRenewer {
    /// Five minutes, as the official SDKs.
    fn default() -> Self {
        Self::new(Duration::from_secs(300))
    }
}

impl AutoLockRenewer {
    /// Renews locks for up to `max_duration` each.
    pub const fn new(max_duration: Duration) -> Self {
        Self { max_duration }
    }

    fn register<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        endpoint: &Endpoint<R>,
        add: impl FnOnce(&mut ClientMachine<S>, Clock) -> Result<RenewalId, Failure<S>>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let shared = &endpoint.shared;
        let clock = shared.clock();
        let id = shared.change(|state| add(&mut state.machine, clock));
        let id = id.map_err(|failure| endpoint.error(failure))?;
        let entity = DescriptionOf::<R>::of(&endpoint.entity);
        Ok(LockRenewal { shared: call::handle::<R>(shared), id, entity, subject: PhantomData })
    }

    /// Renews the lock on a message from now on, until it is settled or the returned handle is dropped.
    ///
    /// # Errors
    /// A message without a lock of its own (received and deleted, or of a session), one whose lock has ended, or too
    /// many registrations: in fixed storage there is room for as many as for requests.
    pub fn message<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        message: &'m ReceivedMessage<S>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        if let Some(refused) = other_entity(&receiver.endpoint, message) {
            return Err(receiver.endpoint.error(refused));
        }
        self.locked(receiver, message.locked())
    }

    /// Renews the lock with this token, which ends at `locked_until`, until the returned handle is dropped.
    ///
    /// # Errors
    /// As [`AutoLockRenewer::message`].
    pub fn token<R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        token: LockToken,
        locked_until: Timestamp,
    ) -> Result<LockRenewal<'static, R>, Error<S>> {
        let locked = Locked { origin: Origin::NONE, token: Some(token), locked_until: Some(locked_until) };
        self.locked(receiver, locked)
    }

    pub(super) fn locked<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        locked: Locked,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let (endpoint, max) = (&receiver.endpoint, self.max_duration);
        Self::register(endpoint, |machine, clock| machine.renew_message(clock, &endpoint.entity, locked, max))
    }

    /// Renews a session's lock from now on, until its receiver is closed or the returned handle is dropped.
    ///
    /// # Errors
    /// A session that is lost already, or too many registrations.
    pub fn session<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        session: &'m SessionReceiver<R>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let (endpoint, max) = (&session.endpoint, self.max_duration);
        Self::register(endpoint, |machine, clock| machine.renew_session(clock, endpoint.id, max))
    }
}

/// Why a lock is not renewed any more.
#[derive(Debug)]
#[non_exhaustive]
pub enum RenewalEnd<S: Storage> {
    /// The lock is lost.
    Lost(Error<S>),
    /// The configured renewal time is over.
    Elapsed,
    /// The message was settled, or the session closed.
    Released,
}

/// The renewal of one lock. It ends when it is dropped, and with the message it borrows; a lock that was renewed lasts
/// until its end all the same. It is a handle to the client, as receivers are.
#[must_use = "dropped, it renews the lock no longer"]
pub struct LockRenewal<'m, R: Runtime> {
    shared: Access<R>,
    id: RenewalId,
    entity: DescriptionOf<R>,
    subject: PhantomData<&'m ()>,
}

impl<R: Runtime> fmt::Debug for LockRenewal<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRenewal").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<R: Runtime> Drop for LockRenewal<'_, R> {
    fn drop(&mut self) {
        let clock = self.shared.clock();
        self.shared.change(|state| state.machine.forget_renewal(clock, self.id));
        call::drop_handle::<R>(&self.shared);
    }
}

impl<R: Runtime<Storage = S>, S: Storage> LockRenewal<'_, R> {
    /// Whether the lock is still renewed.
    pub fn is_active(&self) -> bool {
        self.shared.with(|state| state.machine.is_renewing(self.id))
    }

    /// When the lock ends, by the service's last answer.
    pub fn locked_until(&self) -> Option<Timestamp> {
        self.shared.with(|state| state.machine.renewed_until(self.id))
    }

    fn of_entity(&self, failure: Failure<S>) -> Error<S> {
        Error::new(failure, &self.entity.as_ref())
    }

    /// Why the lock is lost; `None` while it is not.
    pub fn error(&self) -> Option<Error<S>> {
        let failure = self.shared.with(|state| state.machine.renewal_failure(self.id).cloned());
        failure.map(|failure| self.of_entity(failure))
    }

    /// Waits until renewal ends, and returns the reason.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: none; it ends with the client.
    pub async fn ended(&mut self) -> RenewalEnd<S> {
        let id = self.id;
        let poll = |machine: &mut ClientMachine<S>, operation: OperationId| machine.poll_renewal(operation, id);
        match Call::<R, _>::start(&self.shared, None, None, poll) {
            Ok(call) => match call.await {
                machine::RenewalEnd::Lost(failure) => RenewalEnd::Lost(self.of_entity(failure)),
                machine::RenewalEnd::Elapsed => RenewalEnd::Elapsed,
                machine::RenewalEnd::Released => RenewalEnd::Released,
            },
            // The client is closed, or has no room for a waiting call: returns the present state.
            Err(failure) => match self.error() {
                Some(lost) => RenewalEnd::Lost(lost),
                None if self.is_active() => RenewalEnd::Lost(self.of_entity(failure)),
                None => RenewalEnd::Released,
            },
        }
    }

    /// Runs `work` and calls `on_lost` if the lock is lost meanwhile; `work` continues either way.
    ///
    /// Cancel safety: that of `work`.
    ///
    /// Bound: that of `work`.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>, on_lost: impl FnOnce(Error<S>)) -> T {
        let mut work = pin!(work);
        let mut ended = pin!(self.ended());
        let mut on_lost = Some(on_lost);
        let mut over = false;
        poll_fn(|cx| {
            // Work that is done settles the message, and that is no loss.
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if !over && let Poll::Ready(end) = ended.as_mut().poll(cx) {
                over = true;
                if let (RenewalEnd::Lost(failure), Some(on_lost)) = (end, on_lost.take()) {
                    on_lost(failure);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
    /// Why the lock on a message could not be renewed, while its [`LockRenewal`] lives; `None` while it is not lost.
    pub fn lock_renewal_error(&self, message: &ReceivedMessage<S>) -> Option<Error<S>> {
        let locked = message.locked();
        let failure = self.endpoint.shared.with(|state| state.machine.message_renewal_failure(&locked).cloned());
        failure.map(|failure| self.endpoint.error(failure))
    }
}

impl<R: Runtime<Storage = S>, S: Storage> SessionReceiver<R> {
    /// Why the session's lock could not be renewed, while its [`LockRenewal`] lives; `None` while it is not lost.
    pub fn session_lock_renewal_error(&self) -> Option<Error<S>> {
        let endpoint = &self.endpoint;
        let failure = endpoint.shared.with(|state| state.machine.session_renewal_failure(endpoint.id).cloned());
        failure.map(|failure| endpoint.error(failure))
    }
}
