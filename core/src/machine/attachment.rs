//! What a sender's or receiver's link is for, and how far it is.

use crate::engine::LinkId;

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

/// An endpoint's role, with the fields that only this role has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// `max_batch_size` is the link's limit; zero if the service announced none.
    Sender {
        max_batch_size: u32,
    },
    Coordinator,
    Receiver {
        mode: ReceiveMode,
    },
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// None.
    Down,
    /// Attach is sent.
    Pending(LinkId),
    /// Both attaches were seen.
    Up(LinkId),
    /// It is gone, and still holds messages that were settled when they came.
    Remains {
        link: LinkId,
        /// It was on an earlier connection.
        retired: bool,
    },
}

impl Attachment {
    /// The link that is there, or comes.
    pub(super) fn link(self) -> Option<LinkId> {
        match self {
            Self::Down | Self::Remains { .. } => None,
            Self::Pending(link) | Self::Up(link) => Some(link),
        }
    }

    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up(_))
    }
}
