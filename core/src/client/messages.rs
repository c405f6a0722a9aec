//! Messages as a stream.

use super::pending::{Pending, give_up, poll_pending, start_for};
use super::{Error, ErrorKind, Receiver};
use crate::machine::{ClientMachine, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::ReceivedMessage;
use crate::storage::Storage;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::Stream;

/// The messages of a receiver, one after the other. It owns a clone of its receiver. With the receiver or the client closed it
/// ends; any other failure is an item, after which it continues.
///
/// Cancel safety: dropped, it has taken no message that it has not returned.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use futures_util::StreamExt;
///
/// # client.sender("orders")?.send_all(&["one", "two"]).await?;
/// let receiver = client.receiver("orders")?;
/// let mut messages = receiver.messages();
/// while let Some(message) = messages.next().await {
///     let message = message?;
///     receiver.complete(&message).await?;
///     # if message.text()? == "two" { receiver.close().await; }
/// }
/// # Ok(())
/// # });
/// ```
#[must_use = "it receives nothing unless it is polled"]
pub struct Messages<R: Runtime> {
    receiver: Receiver<R>,
    pending: Option<OperationId>,
}

impl<R: Runtime> fmt::Debug for Messages<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("receiver", &self.receiver).finish()
    }
}

impl<R: Runtime> Drop for Messages<R> {
    fn drop(&mut self) {
        if let Some(operation) = self.pending.take() {
            give_up::<R>(&self.receiver.endpoint.shared, operation);
        }
    }
}

impl<R: Runtime> Receiver<R> {
    /// The messages as a stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use futures_util::StreamExt;
    ///
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// let two: Vec<_> = receiver.messages().take(2).collect().await;
    /// for message in two {
    ///     receiver.complete(&message?).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn messages(&self) -> Messages<R> {
        Messages { receiver: self.clone(), pending: None }
    }
}

// Nothing in it is borrowed from it.
impl<R: Runtime> Unpin for Messages<R> {}

impl<R: Runtime<Storage = S>, S: Storage> Stream for Messages<R> {
    type Item = Result<ReceivedMessage<S>, Error<S>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { receiver: Receiver { endpoint }, pending } = self.get_mut();
        loop {
            let operation = match pending.take() {
                Some(operation) => operation,
                None => match start_for(&endpoint.shared, endpoint.id, None, cx.waker()) {
                    Ok(operation) => operation,
                    Err(failure) => return Poll::Ready(ended(endpoint.error(failure))),
                },
            };
            let mut call = Pending { shared: &endpoint.shared, operation: Some(operation) };
            let clock = endpoint.shared.clock();
            let mut message = None;
            let poll = |machine: &mut ClientMachine<S>, operation: OperationId| {
                machine.poll_receive(clock, operation, endpoint.id, 1, 1, &mut |found: ReceivedMessage<_>| {
                    message = Some(found.of(&endpoint.entity));
                })
            };
            let polled = poll_pending(&mut call, cx, poll);
            // Kept for the next poll; a call that has ended has none.
            *pending = call.operation.take();
            match (polled, message) {
                (Poll::Pending, _) => return Poll::Pending,
                (Poll::Ready(Err(failure)), _) => return Poll::Ready(ended(endpoint.error(failure))),
                (Poll::Ready(Ok(_)), Some(message)) => return Poll::Ready(Some(Ok(message))),
                (Poll::Ready(Ok(_)), None) => {}
            }
        }
    }
}

/// An error as the item of a stream, or its end.
fn ended<T, S: Storage>(error: Error<S>) -> Option<Result<T, Error<S>>> {
    (error.kind() != ErrorKind::Closed).then_some(Err(error))
}
