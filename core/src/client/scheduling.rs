//! Messages that become available later.

use super::error::invalid;
use super::{Error, Sender};
use crate::machine::{Cause, Failure};
use crate::runtime::Runtime;
use crate::servicebus::management::{CancelScheduled, Measured, Schedule};
use crate::servicebus::{AsMessage, MessageId, MessageRef};
use crate::storage::{Management, Storage};
use crate::time::Timestamp;
use crate::wire::UuidText;

impl<R: Runtime<Storage = S>, S: Storage> Sender<R> {
    /// Stores a message that becomes available at `at`, and returns the sequence number that cancels it.
    ///
    /// Tried again only while it is known that the service has not taken it: a lost answer is an error whose
    /// [outcome](Error::outcome) is unknown, and no second message.
    ///
    /// Cancel safety: a dropped future may still have scheduled the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.schedule("good morning", sender.now() + Duration::from_secs(8 * 60 * 60)).await?;
    /// assert!(receiver.receive(Duration::from_secs(60)).await?.is_none());
    /// assert_eq!(receiver.next().await?.text()?, "good morning");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn schedule(&self, message: &(impl AsMessage + ?Sized), at: Timestamp) -> Result<i64, Error<S>>
    where
        S: Management,
    {
        let mut number = None;
        self.schedule_each(&[message], at, |found| number = Some(found)).await?;
        number.ok_or_else(|| self.endpoint.error(Failure::answered(Cause::Malformed)))
    }

    /// Stores messages that become available at `at`, and hands their sequence numbers to `numbers` in their order.
    /// Messages without an id get one.
    ///
    /// Cancel safety: a dropped future may still have scheduled the messages.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let orders = client.sender("orders")?;
    /// let in_an_hour = orders.now() + Duration::from_secs(3_600);
    /// let mut first = None;
    /// orders.schedule_each(&["one", "two"], in_an_hour, |number| drop(first.get_or_insert(number))).await?;
    /// orders.cancel_scheduled(&[first.ok_or("nothing was scheduled")?]).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn schedule_each(
        &self,
        messages: &[impl AsMessage],
        at: Timestamp,
        mut numbers: impl FnMut(i64),
    ) -> Result<(), Error<S>>
    where
        S: Management,
    {
        for message in messages {
            // One request carries one message here, so that nothing has to be collected where there is no allocator.
            let (id, utc) = (self.endpoint.new_id(), self.now());
            let message =
                scheduled(message.as_message(), &id, at, utc).map_err(|failure| self.endpoint.error(failure))?;
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
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) for a number that is not there any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let orders = client.sender("orders")?;
    /// let number = orders.schedule("pay the invoice", orders.now() + Duration::from_secs(3_600)).await?;
    /// orders.cancel_scheduled(&[number]).await?;
    ///
    /// let again = orders.cancel_scheduled(&[number]).await.unwrap_err();
    /// assert_eq!(again.kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn cancel_scheduled(&self, sequence_numbers: &[i64]) -> Result<(), Error<S>>
    where
        S: Management,
    {
        if sequence_numbers.is_empty() {
            return Ok(());
        }
        self.endpoint.request(&CancelScheduled { sequence_numbers }).await.map(|_| ())
    }
}

/// A message that is valid, for later. The service wants an id for each.
pub(super) fn scheduled<'m, S: Storage>(
    mut message: MessageRef<'m>,
    id: &'m UuidText,
    at: Timestamp,
    utc: Timestamp,
) -> Result<Measured<'m>, Failure<S>> {
    message.scheduled_enqueue_time = Some(at);
    message.validate_for::<S>().map_err(|error| invalid(&error))?;
    message.message_id.get_or_insert(MessageId::String(id.as_str()));
    message.set_expiry(utc);
    Measured::new::<S>(message).map_err(|error| invalid(&error))
}

#[cfg(feature = "alloc")]
impl<R: Runtime<Storage = S>, S: Storage> Sender<R> {
    /// Stores messages that become available at `at`, and returns the sequence numbers that cancel them.
    ///
    /// Cancel safety: a dropped future may still have scheduled the messages.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let orders = client.sender("orders")?;
    /// let in_an_hour = orders.now() + Duration::from_secs(3_600);
    /// let numbers = orders.schedule_all(&["one", "two"], in_an_hour).await?;
    /// assert_eq!(numbers.len(), 2);
    /// orders.cancel_scheduled(&numbers).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn schedule_all(
        &self,
        messages: &[impl AsMessage],
        at: Timestamp,
    ) -> Result<alloc::vec::Vec<i64>, Error<S>>
    where
        S: Management,
    {
        let utc = self.now();
        let ids: alloc::vec::Vec<_> = messages.iter().map(|_| self.endpoint.new_id()).collect();
        let messages = messages.iter().zip(&ids).map(|(message, id)| scheduled(message.as_message(), id, at, utc));
        let messages: Result<alloc::vec::Vec<Measured<'_>>, _> = messages.collect();
        let messages = messages.map_err(|failure| self.endpoint.error(failure))?;
        if messages.is_empty() {
            return Ok(alloc::vec::Vec::new());
        }
        let request = Schedule { messages: &messages };
        let scheduling = self.endpoint.request(&request);
        let response = in_span!("ServiceBus.schedule", self.endpoint.entity, scheduling)?;
        Ok(response.sequence_numbers().collect())
    }
}
