//! Sending to a queue or topic.

use super::attempts::{Attempt, Attempts};
use super::call::{self, Endpoint, PayloadOf, TransactionOf};
use super::error::{self, invalid};
use super::{Error, SendError, StorageOf};
use crate::machine::{Cause, ClientMachine, Clock, Entity, Failure, OperationId, SizeLimits};
use crate::runtime::{Runtime, Shared};
use crate::servicebus::management::{CancelScheduled, Schedule};
use crate::servicebus::message::BATCH_FORMAT;
use crate::servicebus::{MessageBatch, MessageRef};
use crate::time::Timestamp;
use core::fmt;
use core::task::{Poll, ready};

/// Sends messages to a queue or topic. All methods take `&self`: many sends may be under way at once, and share one
/// link. Dropped, it is closed in the background.
pub struct Sender<R: Runtime> {
    pub(super) endpoint: Endpoint<R>,
}

impl<R: Runtime> fmt::Debug for Sender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("entity", &self.endpoint.entity).finish()
    }
}

/// What is encoded and sent in each attempt.
enum Source<'c, R: Runtime> {
    Message(&'c MessageRef<'c>),
    Batch(&'c PayloadOf<R>),
}

/// Sending once: a message, which is encoded for each attempt, or an encoded batch.
pub(super) struct Sending<'c, R: Runtime> {
    endpoint: &'c Endpoint<R>,
    source: Source<'c, R>,
    /// What the engine has not taken yet.
    payload: Option<PayloadOf<R>>,
    transaction: Option<TransactionOf<R>>,
}

impl<'c, R: Runtime> Sending<'c, R> {
    pub(super) fn message(
        endpoint: &'c Endpoint<R>,
        message: &'c MessageRef<'c>,
        transaction: Option<TransactionOf<R>>,
    ) -> Self {
        Self { endpoint, source: Source::Message(message), payload: None, transaction }
    }

    pub(super) fn batch(
        endpoint: &'c Endpoint<R>,
        batch: &'c PayloadOf<R>,
        transaction: Option<TransactionOf<R>>,
    ) -> Self {
        Self { endpoint, source: Source::Batch(batch), payload: None, transaction }
    }
}

impl<R: Runtime> Attempt<R> for Sending<'_, R> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn start(&mut self) -> Result<OperationId, Failure<StorageOf<R>>> {
        let (operation, payload) = match self.source {
            Source::Message(message) => self.endpoint.encode_and_start(message)?,
            Source::Batch(batch) => {
                (call::start_try::<R>(&self.endpoint.shared, Some(self.endpoint.id))?, batch.clone())
            }
        };
        self.payload = Some(payload);
        Ok(operation)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        _: &R,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let format = match self.source {
            Source::Message(_) => 0,
            Source::Batch(_) => BATCH_FORMAT,
        };
        machine.poll_send(operation, self.endpoint.id, &mut self.payload, format, self.transaction)
    }
}

/// Waiting for the link.
struct Attaching<'c, R: Runtime> {
    endpoint: &'c Endpoint<R>,
    limits: Option<SizeLimits>,
}

impl<R: Runtime> Attaching<'_, R> {
    /// What the link allows, once it is there.
    fn limits(self) -> Result<SizeLimits, Error<StorageOf<R>>> {
        let Self { endpoint, limits } = self;
        limits.ok_or_else(|| endpoint.error(Failure::new(Cause::LinkLost)))
    }
}

impl<R: Runtime> Attempt<R> for Attaching<'_, R> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn start(&mut self) -> Result<OperationId, Failure<StorageOf<R>>> {
        call::start_try::<R>(&self.endpoint.shared, Some(self.endpoint.id))
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        _: &R,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let limits = ready!(machine.poll_attached(operation, self.endpoint.id));
        Poll::Ready(limits.map(|limits| self.limits = Some(limits)))
    }
}

impl<R: Runtime> Sender<R> {
    pub(super) fn new(endpoint: Endpoint<R>) -> Self {
        Self { endpoint }
    }

    /// Sends one message and waits until the service has stored it.
    ///
    /// A send whose outcome was lost with the connection is tried again, so the message can arrive twice: give it a
    /// message id and let the entity detect duplicates where that matters.
    ///
    /// Cancel safety: a dropped future may still have sent the message.
    ///
    /// # Errors
    /// A message that is not valid or too large, and what the service says, after the retries of the policy.
    pub async fn send(&self, message: &MessageRef<'_>) -> Result<(), Error<StorageOf<R>>> {
        message.validate().map_err(|error| self.endpoint.error(invalid(&error)))?;
        let sending = Sending::message(&self.endpoint, message, None);
        in_span!("ServiceBus.send", self.endpoint.entity, Attempts::new(&self.endpoint.shared, sending))
    }

    /// Waits for the link and tells what it allows.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// Why there is no link, after the retries of the policy.
    pub async fn size_limits(&self) -> Result<SizeLimits, Error<StorageOf<R>>> {
        let mut attaching = Attaching { endpoint: &self.endpoint, limits: None };
        Attempts::new(&self.endpoint.shared, &mut attaching).await?;
        attaching.limits()
    }

    /// An empty batch of the size that the link allows.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// As [`Sender::size_limits`].
    pub async fn create_batch(&self) -> Result<MessageBatch<StorageOf<R>>, Error<StorageOf<R>>> {
        let mut attaching = Attaching { endpoint: &self.endpoint, limits: None };
        Attempts::new(&self.endpoint.shared, &mut attaching).await?;
        let limits = attaching.limits()?;
        Ok(MessageBatch::with_limit(usize::try_from(limits.batch).unwrap_or(usize::MAX)))
    }

    /// Sends a batch: all of it is stored, or nothing. An empty one is not sent at all.
    ///
    /// Cancel safety: a dropped future may still have sent the batch.
    ///
    /// # Errors
    /// As [`Sender::send`]; the batch comes back.
    pub async fn send_batch(
        &self,
        batch: MessageBatch<StorageOf<R>>,
    ) -> Result<(), SendError<StorageOf<R>, MessageBatch<StorageOf<R>>>> {
        if batch.is_empty() {
            return Ok(());
        }
        let sealed = batch.seal();
        let sending = Sending::batch(&self.endpoint, sealed.payload(), None);
        let sending = Attempts::new(&self.endpoint.shared, sending);
        let result = in_span!("ServiceBus.send", self.endpoint.entity, sending);
        result.map_err(|error| SendError::new(error, sealed.unseal()))
    }

    /// Sends messages together, as one batch: all are stored, or none.
    ///
    /// Cancel safety: a dropped future may still have sent the messages.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) when they do not fit into one batch; nothing is sent then. Else as
    /// [`Sender::send`].
    pub async fn send_all(&self, messages: &[MessageRef<'_>]) -> Result<(), Error<StorageOf<R>>> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut batch = self.create_batch().await?;
        for message in messages {
            batch.try_add(message).map_err(|error| self.endpoint.error(error::not_added(&error)))?;
        }
        self.send_batch(batch).await.map_err(Error::from)
    }

    /// Stores a message that becomes available at `at`, and returns the sequence number that cancels it.
    ///
    /// Cancel safety: a dropped future may still have scheduled the message.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn schedule(&self, message: &MessageRef<'_>, at: Timestamp) -> Result<i64, Error<StorageOf<R>>> {
        let mut number = None;
        self.schedule_each(core::slice::from_ref(message), at, |found| number = Some(found)).await?;
        number.ok_or_else(|| self.endpoint.error(Failure::new(Cause::Malformed)))
    }

    /// Stores messages that become available at `at`, and hands their sequence numbers to `numbers` in their order.
    /// Messages without an id get one.
    ///
    /// Cancel safety: a dropped future may still have scheduled the messages.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn schedule_each(
        &self,
        messages: &[MessageRef<'_>],
        at: Timestamp,
        mut numbers: impl FnMut(i64),
    ) -> Result<(), Error<StorageOf<R>>> {
        for message in messages {
            message.validate().map_err(|error| self.endpoint.error(invalid(&error)))?;
            // The service wants an id for each; one request carries one message here, so that nothing has to be
            // collected where there is no allocator.
            let id = self.endpoint.shared.with(|state| text_id(state.machine.random().uuid()));
            let message = MessageRef {
                message_id: message.message_id.or(Some(&id)),
                scheduled_enqueue_time: Some(at),
                ..*message
            };
            let request = Schedule { messages: core::slice::from_ref(&message) };
            let scheduling = self.endpoint.request(&request);
            let response = in_span!("ServiceBus.schedule", self.endpoint.entity, scheduling)?;
            response.sequence_numbers().for_each(&mut numbers);
        }
        Ok(())
    }

    /// Takes back scheduled messages.
    ///
    /// Cancel safety: a dropped future may still have cancelled them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) for a number that is not there any more.
    pub async fn cancel_scheduled(&self, sequence_numbers: &[i64]) -> Result<(), Error<StorageOf<R>>> {
        if sequence_numbers.is_empty() {
            return Ok(());
        }
        self.endpoint.request(&CancelScheduled { sequence_numbers }).await.map(|_| ())
    }

    /// Waits for what is under way, then detaches the link.
    ///
    /// Cancel safety: once polled, closing goes on when the future is dropped.
    pub fn close(self) -> impl Future<Output = ()> {
        self.endpoint.close()
    }
}

/// A UUID as text.
pub(super) fn text_id(uuid: [u8; 16]) -> heapless::String<36> {
    let token = crate::servicebus::LockToken::from_uuid(crate::wire::Uuid(uuid));
    let mut text = heapless::String::new();
    // 32 digits and four hyphens fit.
    let _ = fmt::write(&mut text, format_args!("{token}"));
    text
}

#[cfg(feature = "alloc")]
impl<R: Runtime> Sender<R> {
    /// Stores messages that become available at `at`, and returns the sequence numbers that cancel them.
    ///
    /// Cancel safety: a dropped future may still have scheduled the messages.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn schedule_all(
        &self,
        messages: &[MessageRef<'_>],
        at: Timestamp,
    ) -> Result<alloc::vec::Vec<i64>, Error<StorageOf<R>>> {
        use alloc::string::ToString;
        let mut ids = alloc::vec::Vec::with_capacity(messages.len());
        for message in messages {
            message.validate().map_err(|error| self.endpoint.error(invalid(&error)))?;
            let id = self.endpoint.shared.with(|state| text_id(state.machine.random().uuid()));
            ids.push(message.message_id.map_or_else(|| id.to_string(), ToString::to_string));
        }
        let messages: alloc::vec::Vec<MessageRef<'_>> = messages
            .iter()
            .zip(&ids)
            .map(|(message, id)| MessageRef { message_id: Some(id), scheduled_enqueue_time: Some(at), ..*message })
            .collect();
        if messages.is_empty() {
            return Ok(alloc::vec::Vec::new());
        }
        let request = Schedule { messages: &messages };
        let scheduling = self.endpoint.request(&request);
        let response = in_span!("ServiceBus.schedule", self.endpoint.entity, scheduling)?;
        Ok(response.sequence_numbers().collect())
    }
}

impl<R: Runtime> Sender<R> {
    /// The clocks of the runtime, for times of messages.
    pub fn clock(&self) -> Clock {
        call::clock::<R>(&self.endpoint.shared)
    }
}
