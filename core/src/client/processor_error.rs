//! What goes wrong in a processor.

use super::handler_future::Panic;
use super::{Error, HandlerError};
use crate::servicebus::ReceivedMessage;
use crate::storage::Storage;
use alloc::string::{String, ToString};
use core::fmt;

/// An error in a processor, which continues after each of them. It names the entity, and the session and the message
/// where it belongs to one.
///
/// The text is one line, such as `orders: message order-1 (sequence number 7, delivery count 0): the handler failed: out
/// of stock`.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// # use servicebus_core::client::{HandlerError, ProcessorOptions};
/// # use servicebus_core::servicebus::Message;
/// # client.sender("orders")?.send(&Message::new("two of the blue ones").with_message_id("order-1")).await?;
/// let processor = client.processor("orders", ProcessorOptions::new());
/// # world.stop_soon(&processor.control());
/// processor
///     .on_error(|error| {
///         let text = error.to_string();
///         assert!(text.starts_with("orders: message order-1 (sequence number 1, delivery count "));
///         assert!(text.ends_with("): the handler failed: out of stock"));
///     })
///     .run(|_| async { Err(HandlerError::new("out of stock")) })
///     .await?;
/// # Ok(())
/// # });
/// ```
pub struct ProcessorError<S: Storage> {
    cause: ProcessorErrorCause<S>,
    subject: Subject,
}

/// What an error is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    entity: String,
    session_id: Option<String>,
    message: Option<Message>,
}

#[derive(Clone, Debug)]
struct Message {
    id: Option<String>,
    sequence_number: Option<i64>,
    delivery_count: u32,
}

impl Subject {
    pub(super) fn new(entity: &dyn fmt::Display, session_id: Option<&str>) -> Self {
        Self { entity: entity.to_string(), session_id: session_id.map(Into::into), message: None }
    }

    pub(super) fn with_message<S: Storage>(mut self, message: &ReceivedMessage<S>) -> Self {
        self.message = Some(Message {
            id: message.message_id().map(|id| id.to_string()),
            sequence_number: message.sequence_number(),
            delivery_count: message.delivery_count(),
        });
        self
    }
}

/// What went wrong in a processor, with the error that it comes from. The text is that of [`ProcessorError`] without the
/// entity and the message, such as `the handler failed: out of stock`: for a log that has those as fields.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use servicebus_core::client::ProcessorErrorCause;
///
/// # use servicebus_core::client::{HandlerError, ProcessorOptions};
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// let processor = client.processor("orders", ProcessorOptions::new());
/// # world.stop_soon(&processor.control());
/// processor
///     .on_error(|error| match error.cause() {
///         ProcessorErrorCause::Handler(failed) => eprintln!("the handler failed: {failed}"),
///         ProcessorErrorCause::Receive(outage) if outage.is_transient() => {} // `Client::state_changed` reports it
///         _ => eprintln!("{error}"),
///     })
///     .run(|_| async { Err(HandlerError::new("out of stock")) })
///     .await?;
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessorErrorCause<S: Storage> {
    /// Messages could not be received, or a session could not be accepted. Reported again and again during an outage:
    /// [`Processor::on_error`](super::Processor::on_error) has a filter for that.
    Receive(Error<S>),
    /// A lock was lost while a handler had the message or session.
    LockLost(Error<S>),
    /// A message could not be completed, abandoned or dead-lettered.
    Settle(Error<S>),
    /// A handler returned an error; its message is abandoned or dead-lettered, and a session that it was to open is
    /// closed.
    Handler(HandlerError),
    /// A handler panicked; what follows is as after an error.
    Panicked(Panic),
}

impl<S: Storage> ProcessorError<S> {
    pub(super) fn new(cause: ProcessorErrorCause<S>, subject: Subject) -> Self {
        Self { cause, subject }
    }

    /// What went wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::ProcessorErrorCause;
    ///
    /// # use servicebus_core::client::{HandlerError, ProcessorOptions};
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| assert!(matches!(error.cause(), ProcessorErrorCause::Handler(_))))
    ///     .run(|_| async { Err(HandlerError::new("out of stock")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn cause(&self) -> &ProcessorErrorCause<S> {
        &self.cause
    }

    /// What went wrong, by value.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::ProcessorErrorCause;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| {
    ///         if let ProcessorErrorCause::Panicked(panic) = error.into_cause() {
    ///             assert_eq!(panic.text(), "no such colour");
    ///         }
    ///     })
    ///     .run(async |_| panic!("no such colour"))
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn into_cause(self) -> ProcessorErrorCause<S> {
        self.cause
    }

    /// The path of the queue or subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, ProcessorOptions};
    /// # use servicebus_core::servicebus::Entity;
    /// # client.sender("events")?.send("started").await?;
    /// let processor = client.processor(Entity::subscription("events", "audit"), ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| assert_eq!(error.entity(), "events/Subscriptions/audit"))
    ///     .run(|_| async { Err(HandlerError::new("out of paper")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn entity(&self) -> &str {
        &self.subject.entity
    }

    /// The session, in a session processor that has one.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, SessionProcessorOptions};
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| assert_eq!(error.session_id(), Some("customer-7")))
    ///     .run(|_| async { Err(HandlerError::new("out of paint")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_id(&self) -> Option<&str> {
        self.subject.session_id.as_deref()
    }

    /// The id of the message whose handler or settlement failed; `None` where there is none, or the message has no id.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, ProcessorOptions};
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("orders")?.send(&Message::new("two of the blue ones").with_message_id("order-1")).await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| assert_eq!(error.message_id(), Some("order-1")))
    ///     .run(|_| async { Err(HandlerError::new("out of stock")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn message_id(&self) -> Option<&str> {
        self.subject.message.as_ref()?.id.as_deref()
    }

    /// The sequence number of that message.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, ProcessorOptions};
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| assert_eq!(error.sequence_number(), Some(1)))
    ///     .run(|_| async { Err(HandlerError::new("out of stock")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn sequence_number(&self) -> Option<i64> {
        self.subject.message.as_ref()?.sequence_number
    }

    /// How often that message was delivered before.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, ProcessorOptions};
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| match error.delivery_count() {
    ///         Some(0) => {} // reported when it fails again
    ///         _ => eprintln!("{error}"),
    ///     })
    ///     .run(|_| async { Err(HandlerError::new("out of stock")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn delivery_count(&self) -> Option<u32> {
        Some(self.subject.message.as_ref()?.delivery_count)
    }
}

impl<S: Storage> fmt::Debug for ProcessorError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorError").field("cause", &self.cause).field("subject", &self.subject).finish()
    }
}

impl<S: Storage> fmt::Display for ProcessorError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { entity, session_id, message } = &self.subject;
        f.write_str(entity)?;
        if let Some(session_id) = session_id {
            write!(f, ": session {session_id}")?;
        }
        if let Some(Message { id, sequence_number, delivery_count }) = message {
            write!(f, ": message {} (", id.as_deref().unwrap_or("without id"))?;
            if let Some(number) = sequence_number {
                write!(f, "sequence number {number}, ")?;
            }
            write!(f, "delivery count {delivery_count})")?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl<S: Storage> fmt::Display for ProcessorErrorCause<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => write!(f, "receiving failed: {error}"),
            Self::LockLost(error) => write!(f, "the lock was lost: {error}"),
            Self::Settle(error) => write!(f, "settling failed: {error}"),
            Self::Handler(error) => write!(f, "the handler failed: {error}"),
            Self::Panicked(panic) => panic.fmt(f),
        }
    }
}

/// The source is that of the cause, whose text is part of this one's.
impl<S: Storage> core::error::Error for ProcessorError<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.cause.source()
    }
}

impl<S: Storage> core::error::Error for ProcessorErrorCause<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Receive(error) | Self::LockLost(error) | Self::Settle(error) => Some(error),
            Self::Handler(error) => error.error().map(|error| error as &(dyn core::error::Error + 'static)),
            Self::Panicked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use alloc::format;
    use core::error::Error as _;

    #[test]
    fn it_crosses_threads() {
        const fn crosses_threads<T: core::error::Error + Send + Sync + 'static>() {}
        crosses_threads::<ProcessorError<Heap>>();
        crosses_threads::<ProcessorErrorCause<Heap>>();
    }

    #[test]
    fn a_cause_has_a_text_and_a_source_of_its_own() {
        let number = "x".parse::<u8>().unwrap_err();
        let error = ProcessorError::<Heap>::new(
            ProcessorErrorCause::Handler(number.clone().into()),
            Subject::new(&"orders", Some("s1")),
        );
        assert_eq!(error.cause().to_string(), format!("the handler failed: {number}"));
        assert_eq!(error.to_string(), format!("orders: session s1: {}", error.cause()));
        for source in [error.source(), error.cause().source()] {
            assert!(source.is_some_and(<dyn core::error::Error>::is::<core::num::ParseIntError>));
        }
        // A dead letter comes from no error.
        let dead = ProcessorErrorCause::<Heap>::Handler(crate::client::DeadLetter::new("poison", "").into());
        assert_eq!(dead.to_string(), "the handler failed: dead-lettered: poison");
        assert!(dead.source().is_none());
    }
}
