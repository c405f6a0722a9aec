//! Messages of which not all were sent.

use super::Error;
use crate::storage::Storage;
use core::fmt;

/// Not all of the messages of a call were sent.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// let lines = ["one", "two", "three"];
/// let orders = client.sender("orders")?;
/// if let Err(error) = orders.send_all(&lines).await {
///     eprintln!("{error}"); // "after 0 messages: …"
///     orders.send_all(&lines[error.stored()..]).await?;
/// }
/// # Ok(())
/// # });
/// ```
pub struct SendAllError<S: Storage> {
    error: Error<S>,
    stored: usize,
}

impl<S: Storage> SendAllError<S> {
    pub(super) fn new(error: Error<S>, stored: usize) -> Self {
        Self { error, stored }
    }

    /// Why the next ones were not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::{Argument, Message};
    ///
    /// let orders = [Message::new("one"), Message::new("two").with_message_id("7".repeat(1_000))];
    /// let failed = client.sender("orders")?.send_all(&orders).await.unwrap_err();
    /// assert_eq!(failed.error().argument(), Some(Argument::MessageId));
    /// # Ok(())
    /// # });
    /// ```
    pub fn error(&self) -> &Error<S> {
        &self.error
    }

    /// How many messages are stored: the first ones that were given. The one behind them was not valid or too large, or
    /// begins the batch that was not taken; where the [outcome](Error::outcome) is unknown, that batch may be stored as
    /// well.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Message;
    ///
    /// let orders = [Message::new("one"), Message::new("two").with_message_id("7".repeat(1_000))];
    /// let failed = client.sender("orders")?.send_all(&orders).await.unwrap_err();
    /// assert_eq!(failed.stored(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn stored(&self) -> usize {
        self.stored
    }
}

impl<S: Storage> fmt::Debug for SendAllError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAllError").field("stored", &self.stored).field("error", &self.error).finish()
    }
}

impl<S: Storage> fmt::Display for SendAllError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} messages: {}", self.stored, self.error)
    }
}

impl<S: Storage> core::error::Error for SendAllError<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

impl<S: Storage> From<SendAllError<S>> for Error<S> {
    fn from(error: SendAllError<S>) -> Self {
        error.error
    }
}
