//! What a sender's or receiver's link is for, and how far it is.

use crate::time::Millis;
use core::fmt;

/// How long the service may take to answer an attach before another one is sent, and a detach before that is noted; the
/// attach of a session may take longer.
pub(super) const ATTACH_ANSWER: Millis = Millis::from_secs(60);

/// Whether a receiver locks messages or takes them at once.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::ReceiverOptions;
/// use servicebus_core::machine::ReceiveMode;
/// # use std::time::Duration;
///
/// client.sender("orders")?.send("one").await?;
/// let options = ReceiverOptions::new("orders").with_mode(ReceiveMode::ReceiveAndDelete);
/// let receiver = client.receiver(options)?;
/// let order = receiver.receive(Duration::from_secs(60)).await?.ok_or("no order")?;
/// assert_eq!(order.locked_until(), None, "it is gone from the queue, and there is nothing to settle");
/// # Ok(())
/// # });
/// ```
// docs/evidence/wire-protocol.md §4.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Messages are locked until they are settled.
    #[default]
    PeekLock,
    /// Messages are gone from the entity when they are sent: lost if the receiver dies.
    ReceiveAndDelete,
}

impl fmt::Display for ReceiveMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeekLock => "peek lock",
            Self::ReceiveAndDelete => "receive and delete",
        })
    }
}

/// An endpoint's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Sender,
    Coordinator,
    Receiver { mode: ReceiveMode },
}

/// How far a link is. Its id is beside this: with it in here, the tag would take a whole word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// None.
    Down,
    /// Attach is sent.
    Pending,
    /// The peer's attach had no terminus: a detach with the reason follows.
    Refused,
    /// Both attaches were seen.
    Up,
    /// It is gone, and still holds messages that were settled when they came.
    Remains,
    /// The same, on an earlier connection.
    Retired,
}
