//! A message in a handler's hands.

use super::{Error, ProcessorControl, Receiver, SessionReceiver, StorageOf, Transaction};
use crate::runtime::Runtime;
use crate::servicebus::{DeadLetterOptions, Disposition, Properties, ReceivedMessage};
use crate::storage::Storage;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, Ordering};

/// Where the messages of a pump come from.
pub(super) struct Source<R: Runtime> {
    pub(super) receiver: Receiver<R>,
    pub(super) session: Option<SessionReceiver<R>>,
    pub(super) control: ProcessorControl<R>,
}

/// A message that a handler has.
struct Held<R: Runtime> {
    source: Arc<Source<R>>,
    message: ReceivedMessage<StorageOf<R>>,
    settled: AtomicBool,
    /// It was settled under a transaction, which may have been committed or not.
    transacted: AtomicBool,
}

/// A message in a handler's hands. It owns the message and derefs to [`ReceivedMessage`]; clones are handles to the same
/// one. The processor settles it after the handler has returned, unless the handler did.
///
/// Under a transaction it is settled with [`complete_in`](Self::complete_in) or [`settle_in`](Self::settle_in), so that the
/// processor knows of it: a handler that gives it to [`Transaction::complete`] has it completed a second time.
pub struct ProcessorMessage<R: Runtime> {
    held: Arc<Held<R>>,
}

impl<R: Runtime> Clone for ProcessorMessage<R> {
    fn clone(&self) -> Self {
        Self { held: Arc::clone(&self.held) }
    }
}

impl<R: Runtime> fmt::Debug for ProcessorMessage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.message.fmt(f)
    }
}

impl<R: Runtime> fmt::Display for ProcessorMessage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.message.fmt(f)
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Deref for ProcessorMessage<R> {
    type Target = ReceivedMessage<S>;

    fn deref(&self) -> &Self::Target {
        &self.held.message
    }
}

impl<R: Runtime<Storage = S>, S: Storage> ProcessorMessage<R> {
    pub(super) fn new(source: &Arc<Source<R>>, message: ReceivedMessage<S>) -> Self {
        let source = Arc::clone(source);
        Self {
            held: Arc::new(Held {
                source,
                message,
                settled: AtomicBool::new(false),
                transacted: AtomicBool::new(false),
            }),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.held.settled.load(Ordering::Acquire)
    }

    pub(super) fn is_transacted(&self) -> bool {
        self.held.transacted.load(Ordering::Acquire)
    }

    fn done(&self, result: Result<(), Error<S>>) -> Result<(), Error<S>> {
        if result.is_ok() {
            self.held.settled.store(true, Ordering::Release);
        }
        result
    }

    /// The receiver that it came on.
    pub fn receiver(&self) -> &Receiver<R> {
        &self.held.source.receiver
    }

    /// The session that the message belongs to, in a session processor.
    pub fn session(&self) -> Option<&SessionReceiver<R>> {
        self.held.source.session.as_ref()
    }

    /// Whether the processor was stopped, or the client closed: a handler that takes long can end early.
    pub fn is_stopping(&self) -> bool {
        self.held.source.control.is_stopping()
    }

    /// Waits until the processor is stopped or the client is closed.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: none; it ends with the client.
    pub async fn stopping(&self) {
        self.held.source.control.stopping().await;
    }

    /// Why the message's lock, or its session's, could not be renewed; `None` while it is not lost.
    pub fn lock_renewal_error(&self) -> Option<Error<S>> {
        match self.session() {
            Some(session) => session.session_lock_renewal_error(),
            None => self.receiver().lock_renewal_error(self),
        }
    }

    /// As [`Receiver::complete`].
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn complete(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().complete(self).await)
    }

    /// As [`Receiver::abandon`].
    ///
    /// Cancel safety: a dropped future may still have abandoned the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn abandon(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().abandon(self).await)
    }

    /// As [`Receiver::abandon_with`].
    ///
    /// Cancel safety: a dropped future may still have abandoned the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn abandon_with(&self, properties: Properties<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().abandon_with(self, properties).await)
    }

    /// As [`Receiver::defer`].
    ///
    /// Cancel safety: a dropped future may still have deferred the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn defer(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().defer(self).await)
    }

    /// As [`Receiver::defer_with`].
    ///
    /// Cancel safety: a dropped future may still have deferred the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn defer_with(&self, properties: Properties<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().defer_with(self, properties).await)
    }

    /// As [`Receiver::dead_letter`].
    ///
    /// Cancel safety: a dropped future may still have dead-lettered the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn dead_letter(&self, options: DeadLetterOptions<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().dead_letter(self, options).await)
    }

    /// As [`Transaction::settle`]. When the handler returns `Ok`, the message is the transaction's: rolled back, it keeps its
    /// lock until that ends or the handler settles it. When the handler fails, the processor abandons or dead-letters the
    /// message, which comes to nothing where the transaction was committed.
    ///
    /// Cancel safety: a dropped future may still have settled the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Transaction::settle`].
    pub async fn settle_in(&self, transaction: &Transaction<R>, disposition: Disposition<'_>) -> Result<(), Error<S>> {
        let result = transaction.settle(self.receiver(), self, disposition).await;
        if result.is_ok() {
            self.held.transacted.store(true, Ordering::Release);
        }
        result
    }

    /// Completes the message under a transaction, as [`settle_in`](Self::settle_in).
    ///
    /// ```no_run
    /// use servicebus_core::client::{HandlerError, ProcessorMessage, Sender, TransactionController};
    /// use servicebus_core::runtime::Runtime;
    /// use servicebus_core::servicebus::MessageRef;
    /// use servicebus_core::storage::Heap;
    ///
    /// async fn reply<R: Runtime<Storage = Heap>>(
    ///     message: ProcessorMessage<R>,
    ///     transactions: &TransactionController<R>,
    ///     replies: &Sender<R>,
    /// ) -> Result<(), HandlerError> {
    ///     let transaction = transactions.begin().await?;
    ///     transaction.send(replies, &MessageRef::new("done")).await?;
    ///     message.complete_in(&transaction).await?;
    ///     transaction.commit().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Transaction::settle`].
    pub async fn complete_in(&self, transaction: &Transaction<R>) -> Result<(), Error<S>> {
        self.settle_in(transaction, Disposition::Complete).await
    }
}
