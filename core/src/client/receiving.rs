//! One receive: messages are taken under the lock and handed over outside of it.

use super::call::Endpoint;
use super::pending::{Pending, poll_slot, start_for};
use super::{Error, StorageOf};
use crate::machine::Failure;
use crate::runtime::Runtime;
use crate::servicebus::ReceivedMessage;
use crate::storage::Storage;
use crate::time::Instant;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// Where messages are put under the lock, so that no code of the application is part of it.
pub(super) trait Keep<S: Storage>: Default {
    /// The number taken at once.
    const ROOM: u32;

    fn keep(&mut self, message: ReceivedMessage<S>);
}

impl<S: Storage> Keep<S> for Option<ReceivedMessage<S>> {
    const ROOM: u32 = 1;

    fn keep(&mut self, message: ReceivedMessage<S>) {
        *self = Some(message);
    }
}

#[cfg(feature = "alloc")]
impl<S: Storage> Keep<S> for alloc::vec::Vec<ReceivedMessage<S>> {
    // Driver and other tasks have a turn in between.
    const ROOM: u32 = 32;

    fn keep(&mut self, message: ReceivedMessage<S>) {
        self.push(message);
    }
}

/// Messages on their way to the application: those that are taken at once.
#[cfg(feature = "alloc")]
type Few<S> = alloc::vec::Vec<ReceivedMessage<S>>;
#[cfg(not(feature = "alloc"))]
type Few<S> = Option<ReceivedMessage<S>>;

/// Receiving once.
pub(super) struct Receiving<'c, R: Runtime> {
    pub(super) pending: Pending<'c, R>,
    pub(super) endpoint: &'c Endpoint<R>,
    pub(super) deadline: Option<Instant>,
    pub(super) max: u32,
    /// Messages that were taken.
    pub(super) taken: u32,
}

impl<R: Runtime> Receiving<'_, R> {
    /// Takes messages that are there, up to the room for them. Ready with whether there may be more.
    fn poll<K: Keep<StorageOf<R>>>(
        &mut self,
        cx: &mut Context<'_>,
        kept: &mut K,
    ) -> Poll<Result<bool, Failure<StorageOf<R>>>> {
        let Self { pending, endpoint, deadline, max, taken } = self;
        if pending.operation.is_none() {
            pending.operation = Some(start_for(&endpoint.shared, endpoint.id, *deadline, cx.waker())?);
        }
        let (clock, left) = (endpoint.shared.clock(), *max - *taken);
        let room = left.min(K::ROOM);
        let mut polled = Poll::Pending;
        poll_slot(pending, cx, &mut |machine, operation| {
            let mut take = |message: ReceivedMessage<StorageOf<R>>| kept.keep(message.of(&endpoint.entity));
            let count = if *taken > 0 {
                Ok(machine.take_more(clock, endpoint.id, room, &mut take))
            } else {
                ready!(machine.poll_receive(clock, operation, endpoint.id, left, room, &mut take))
            };
            let more = count.map(|count| {
                *taken += count;
                count == room && count < left
            });
            let over = !matches!(more, Ok(true));
            polled = Poll::Ready(more);
            Poll::Ready(over)
        });
        polled
    }
}

/// Receiving once what the client itself keeps.
pub(super) struct Keeping<'c, R: Runtime, K> {
    pub(super) receiving: Receiving<'c, R>,
    pub(super) kept: K,
}

/// Nothing in it is pinned.
impl<R: Runtime, K> Unpin for Keeping<'_, R, K> {}

impl<R: Runtime, K: Keep<StorageOf<R>>> Future for Keeping<'_, R, K> {
    type Output = Result<K, Error<StorageOf<R>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiving, kept } = self.get_mut();
        while ready!(receiving.poll(cx, kept)).map_err(|failure| receiving.endpoint.error(failure))? {}
        Poll::Ready(Ok(core::mem::take(kept)))
    }
}

/// Receiving once what the application takes, outside of the lock.
pub(super) struct Giving<'c, R: Runtime, F> {
    pub(super) receiving: Receiving<'c, R>,
    pub(super) take: F,
}

impl<R: Runtime, F: FnMut(ReceivedMessage<StorageOf<R>>) + Unpin> Future for Giving<'_, R, F> {
    type Output = Result<u32, Error<StorageOf<R>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiving, take } = self.get_mut();
        loop {
            let mut few = Few::<StorageOf<R>>::default();
            let polled = ready!(receiving.poll(cx, &mut few));
            few.into_iter().for_each(&mut *take);
            match polled {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ok(receiving.taken)),
                Err(failure) => return Poll::Ready(Err(receiving.endpoint.error(failure))),
            }
        }
    }
}
