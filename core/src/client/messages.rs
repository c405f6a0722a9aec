//! Messages as a stream.

use super::call::{Pending, poll_pending};
use super::{Error, Receiver, StorageOf};
use crate::machine::{ClientMachine, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::ReceivedMessage;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::Stream;

/// The messages of a receiver, one after the other. It never ends by itself; after an error the next item tries again.
/// Dropped, it has taken no message that it has not given out.
pub struct Messages<'r, R: Runtime> {
    receiver: &'r Receiver<R>,
    pending: Option<Pending<'r, R>>,
}

impl<R: Runtime> fmt::Debug for Messages<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("receiver", &self.receiver).finish()
    }
}

impl<R: Runtime> Receiver<R> {
    /// The messages as a stream.
    pub fn messages(&self) -> Messages<'_, R> {
        Messages { receiver: self, pending: None }
    }
}

impl<R: Runtime> Stream for Messages<'_, R> {
    type Item = Result<ReceivedMessage<StorageOf<R>>, Error<StorageOf<R>>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let endpoint = &this.receiver.endpoint;
        loop {
            let pending = match &mut this.pending {
                Some(pending) => pending,
                None => match Pending::start(&endpoint.shared, Some(endpoint.id), None) {
                    Ok(pending) => this.pending.insert(pending),
                    Err(failure) => return Poll::Ready(Some(Err(endpoint.error(failure)))),
                },
            };
            let mut message = None;
            let poll = |machine: &mut ClientMachine<StorageOf<R>>, runtime: &R, operation: OperationId| {
                machine.poll_receive(runtime.clock(), operation, endpoint.id, 1, &mut |found: ReceivedMessage<_>| {
                    message = Some(found.of(&endpoint.entity));
                })
            };
            let result = match poll_pending(pending, cx, poll) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            };
            this.pending = None;
            match (result, message) {
                (Err(failure), _) => return Poll::Ready(Some(Err(endpoint.error(failure)))),
                (Ok(_), Some(message)) => return Poll::Ready(Some(Ok(message))),
                (Ok(_), None) => {}
            }
        }
    }
}
