//! The state of a stored message.

use core::fmt;

/// The state of a message in its entity.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::MessageState;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// for message in receiver.peek(0, 10).await? {
///     match message.state() {
///         MessageState::Active => println!("{message} waits for a receiver"),
///         MessageState::Deferred => println!("{message} is set aside"),
///         MessageState::Scheduled => println!("{message} comes later"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// Available, or locked by a receiver.
    Active,
    /// Set aside; only its sequence number brings it back.
    Deferred,
    /// Waits for its time.
    Scheduled,
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Scheduled => "scheduled",
        })
    }
}
