//! Sending without waiting for each outcome, and sending in order.

use super::attempts::Course;
use super::call::Endpoint;
use super::pending::{PayloadOf, Pending, give_up, poll_slot};
use super::room::{Room, full, is_full};
use super::sender::SendingEncoded;
use super::{Access, Error, Sender, StorageOf};
use crate::machine::{Cause, Failure, OperationId, PLACE_AND_TURN};
use crate::runtime::Runtime;
use crate::servicebus::AsMessage;
use crate::storage::Storage;
use crate::time::{Duration, Instant};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// The outcome of a message that [`Sender::enqueue`] has taken: a future that ends when the service has stored it, or
/// with the error of its last attempt. It owns the encoded message and a handle to its sender.
///
/// Attempts after the first are made while it is polled. An [ordered](super::SenderOptions::ordered) sender sends a
/// message when the delivery before it has ended or is dropped: await them in their order, or all together.
///
/// Dropped, it leaves the message alone: one that its link has taken is sent when there is credit; one that waits for its
/// turn or its next attempt is not. No other attempt is made.
///
/// It ends within the time of the retry policy, from its turn on in an ordered sender.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let first = orders.enqueue("one").await?;
/// let second = orders.enqueue("two").await?; // does not wait for the first
/// first.await?;
/// second.await?;
/// # Ok(())
/// # });
/// ```
#[must_use = "an outcome that is not awaited is not known, and the message is not sent again"]
pub struct Delivery<R: Runtime> {
    endpoint: Endpoint<R>,
    payload: PayloadOf<R>,
    format: u32,
    /// The engine has not taken it yet.
    waits: bool,
    /// [`Sender::enqueue`] has returned it: from then on its message is left to itself.
    is_enqueued: bool,
    course: Course,
    place: Place,
    room: Room,
    /// How long it waits for the slots of calls, once it had to.
    room_until: Option<Instant>,
    /// The outcome, once it is known and not returned yet.
    outcome: Option<Result<(), Error<StorageOf<R>>>>,
}

/// The place of a message in its sender's order.
enum Place {
    /// The sender keeps none.
    Free,
    /// It has none yet.
    Wanted,
    /// It waits for its turn behind others.
    Waits(OperationId, Option<u32>),
    /// It has its turn.
    Turn(OperationId),
}

impl<R: Runtime> fmt::Debug for Delivery<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("entity", &self.endpoint.entity).finish_non_exhaustive()
    }
}

impl<R: Runtime> Drop for Delivery<R> {
    fn drop(&mut self) {
        if let Some(operation) = self.course.operation.take() {
            if self.is_enqueued {
                self.endpoint.shared.with(|state| state.machine.leave_message(operation));
            }
            give_up::<R>(&self.endpoint.shared, operation);
        }
        self.room.leave(&self.endpoint.shared);
        self.leave_place();
    }
}

// Nothing in it is borrowed from it.
impl<R: Runtime> Unpin for Delivery<R> {}

impl<R: Runtime<Storage = S>, S: Storage> Delivery<R> {
    pub(super) fn new(sender: &Sender<R>, payload: PayloadOf<R>, format: u32) -> Self {
        let endpoint = sender.endpoint.clone();
        let course = Course::new(endpoint.until());
        let place = if sender.is_ordered { Place::Wanted } else { Place::Free };
        let (room, room_until) = (Room::default(), None);
        Self {
            endpoint,
            payload,
            format,
            waits: false,
            is_enqueued: false,
            course,
            place,
            room,
            room_until,
            outcome: None,
        }
    }

    /// Waits for slots where all are taken: a call that has failed with `failure` may begin again afterwards.
    fn poll_room(&mut self, cx: &Context<'_>, wanted: u8, failure: Failure<S>) -> Poll<Result<(), Failure<S>>> {
        if !is_full(&failure) {
            return Poll::Ready(Err(failure));
        }
        let (shared, turn) = (&self.endpoint.shared, &self.course.turn);
        let until =
            *self.room_until.get_or_insert_with(|| turn.until.unwrap_or_else(|| shared.now() + longest(shared)));
        let has_room = ready!(self.room.poll(shared, cx, wanted, Some(until), None));
        Poll::Ready(if has_room { Ok(()) } else { Err(failure) })
    }

    fn leave_place(&mut self) {
        if let Place::Waits(operation, _) | Place::Turn(operation) = core::mem::replace(&mut self.place, Place::Free) {
            give_up::<R>(&self.endpoint.shared, operation);
        }
    }

    /// Goes on until the outcome is known.
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<S>>> {
        if let Place::Waits(operation, ahead) = &mut self.place {
            let shared = &self.endpoint.shared;
            let limit = shared.now() + longest(shared);
            let limit = self.course.turn.until.map_or(limit, |until| limit.min(until));
            let mut pending = Pending { shared, operation: Some(*operation) };
            let mut result = Poll::Pending;
            poll_slot(&mut pending, cx, &mut |machine, operation| {
                result = machine.poll_in_order(operation, ahead, limit);
                // A call that has its turn keeps its place until it is over.
                result.is_ready().then_some(matches!(result, Poll::Ready(Err(_)))).map_or(Poll::Pending, Poll::Ready)
            });
            let kept = pending.operation.take();
            match (ready!(result), kept) {
                (Ok(()), Some(operation)) => self.place = Place::Turn(operation),
                (result, _) => {
                    self.place = Place::Free;
                    return Poll::Ready(Err(result.err().unwrap_or_else(|| Failure::new(Cause::Closed))));
                }
            }
        }
        loop {
            if self.room.is_waiting() {
                let full = Failure { uncertain: self.course.uncertain, ..full() };
                if let Err(failure) = ready!(self.poll_room(cx, 1, full)) {
                    return Poll::Ready(Err(failure));
                }
            }
            let Self { endpoint, payload, format, waits, course, .. } = self;
            let unsent = waits.then_some(&*payload);
            let mut sending = SendingEncoded { endpoint, payload, format: *format, unsent, transaction: None };
            let polled = course.poll(&endpoint.shared, cx, &mut sending);
            *waits = sending.unsent.is_some();
            let Err(failure) = ready!(polled) else { return Poll::Ready(Ok(())) };
            // An attempt that finds no slot was not made: it is no failure of the message.
            if let Err(failure) = ready!(self.poll_room(cx, 1, failure)) {
                return Poll::Ready(Err(failure));
            }
        }
    }

    /// Goes on until the message has its place, or its outcome is known.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<S>>> {
        while let Place::Wanted = self.place {
            let Endpoint { shared, id, .. } = &self.endpoint;
            match shared.with(|state| state.machine.start_in_order(*id)) {
                Ok(operation) => (self.place, self.room_until) = (Place::Waits(operation, None), None),
                Err(failure) => {
                    if let Err(failure) = ready!(self.poll_room(cx, PLACE_AND_TURN, failure)) {
                        return Poll::Ready(Err(failure));
                    }
                }
            }
        }
        let polled = self.poll_outcome(cx);
        if !matches!(self.place, Place::Free) {
            // It has its place in the order, with or without an error.
            if let Poll::Ready(outcome) = polled {
                self.end(outcome);
            }
            return Poll::Ready(Ok(()));
        }
        match polled {
            Poll::Ready(Ok(())) => {
                self.end(Ok(()));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
            // The engine has it.
            Poll::Pending if !self.waits && !self.course.turn.waits => {
                self.room_until = None;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn end(&mut self, outcome: Result<(), Failure<S>>) {
        self.leave_place();
        self.outcome = Some(outcome.map_err(|failure| self.endpoint.error(failure)));
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Future for Delivery<R> {
    type Output = Result<(), Error<S>>;

    /// # Panics
    /// After it has ended.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.outcome.is_none() {
            let outcome = match &this.place {
                Place::Wanted => match ready!(this.poll_place(cx)) {
                    Ok(()) if this.outcome.is_some() => None,
                    Ok(()) => Some(ready!(this.poll_outcome(cx))),
                    Err(failure) => Some(Err(failure)),
                },
                _ => Some(ready!(this.poll_outcome(cx))),
            };
            if let Some(outcome) = outcome {
                this.end(outcome);
            }
        }
        match this.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

/// The longest that a call may take.
fn longest<R: Runtime>(shared: &Access<R>) -> Duration {
    shared.with(|state| state.machine.settings().retry.longest())
}

impl<R: Runtime<Storage = S>, S: Storage> Sender<R> {
    /// Takes a message and returns as soon as it has its place behind those taken before: the service's outcome comes
    /// by the [`Delivery`]. Messages that are enqueued one after the other go out in that order.
    ///
    /// A message has its place when its bytes wait to be written on the sender's link, which is waited for; on an
    /// [ordered](super::SenderOptions::ordered) sender at once. As many may be under way as
    /// [`Limits::deliveries`](crate::storage::Limits::deliveries) says, over all calls of the client: while there are
    /// as many, it waits. It ends within the time of the retry policy.
    ///
    /// A message is stored at least once where its delivery says so, and may be stored twice after a lost connection,
    /// as with [`Sender::send`].
    ///
    /// It needs an allocator: a delivery owns its message, to send it again. Without one, futures of [`Sender::send`]
    /// are polled together, each of which borrows its message.
    ///
    /// Cancel safety: a dropped future may have sent the message once.
    ///
    /// Bound: the retry policy, and as long for its delivery.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// A message that is not valid, why there is no link after the retries of the policy, and
    /// [`ErrorKind::Capacity`](super::ErrorKind::Capacity) when there was no room in time.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let mut deliveries = Vec::new();
    /// for order in ["one", "two", "three"] {
    ///     deliveries.push(orders.enqueue(order).await?);
    /// }
    /// for delivery in deliveries {
    ///     delivery.await?;
    /// }
    /// # assert_eq!(client.receiver("orders")?.peek(0, 10).await?.len(), 3);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn enqueue(&self, message: &(impl AsMessage + ?Sized)) -> Result<Delivery<R>, Error<S>> {
        let payload = self.endpoint.encode(&message.as_message()).map_err(|failure| self.endpoint.error(failure))?;
        let mut delivery = self.place(payload, 0).await?;
        delivery.is_enqueued = true;
        Ok(delivery)
    }

    /// Waits until an encoded message has its place.
    async fn place(&self, payload: PayloadOf<R>, format: u32) -> Result<Delivery<R>, Error<S>> {
        let mut delivery = Delivery::new(self, payload, format);
        let placed = poll_fn(|cx| delivery.poll_place(cx));
        match in_span!("ServiceBus.send", self.endpoint.entity, placed) {
            Ok(()) => Ok(delivery),
            Err(failure) => Err(self.endpoint.error(failure)),
        }
    }

    /// Sends an encoded message when its turn comes. Boxed: inline, its future would enlarge that of every send.
    pub(super) fn send_in_order(
        &self,
        payload: PayloadOf<R>,
        format: u32,
    ) -> Pin<alloc::boxed::Box<impl Future<Output = Result<(), Error<S>>>>> {
        alloc::boxed::Box::pin(async move { self.place(payload, format).await?.await })
    }
}
