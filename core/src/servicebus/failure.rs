//! Why something did not work.

use super::argument::Argument;
use super::reason::Reason;
use crate::engine::{Capacity, ConnectionErrorKind, EngineError, OutcomeKind};
use crate::storage::{Storage, Text};
use crate::wire::performative::ErrorCondition;
use core::fmt;

/// What failed.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Cause, Failure, Reason};
/// use servicebus_core::storage::Heap;
///
/// fn advice(failure: &Failure<Heap>) -> &'static str {
///     match failure.cause {
///         Cause::Service(Reason::EntityNotFound) => "create the queue",
///         Cause::Unreachable | Cause::Connection(_) => "look at the network",
///         Cause::Credential => "look at the credential",
///         _ => "see the description",
///     }
/// }
/// # let failure = Failure::caused(Cause::Credential, std::io::Error::other("no token"));
/// # assert_eq!(advice(&failure), "look at the credential");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// The service refused, for this reason.
    Service(Reason),
    /// There is no connection, or it broke before the outcome was known; the description has the details.
    Connection(ConnectionErrorKind),
    /// The service could not be reached; the description is the transport's.
    Unreachable,
    /// The credential gave no token; the description is its own.
    Credential,
    /// The link went away before the outcome was known.
    LinkLost,
    /// The service has not taken the message: it released or modified it.
    NotAccepted(OutcomeKind),
    /// The engine could not take the call: a table is full, or the message is too large.
    Engine(EngineError),
    /// It took longer than it was allowed to.
    Timeout,
    /// The client, sender or receiver is closed.
    Closed,
    /// The service's list has no end: it repeats entries.
    Endless,
    /// The service's answer cannot be read.
    Malformed,
    /// The client's driver was dropped, or the runtime that ran it: the client connects no more.
    DriverStopped,
    /// The service does not offer this, or not for this entity; the description is the service's, where it said why.
    NotOffered(Offer),
    /// What was given does not fit.
    Argument(Argument),
}

// Failures are returned by every call, and a small machine returns a word in a register.
const _: () = assert!(size_of::<Cause>() <= 3);

impl Cause {
    /// Whether what was answered with this may have been carried out all the same: the answer cannot be read, or the
    /// service itself does not know.
    const fn is_doubtful(self) -> bool {
        use Reason::{InternalError, OperationCancelled, Other, Timeout};
        matches!(
            self,
            Self::Malformed | Self::Endless | Self::Service(Timeout | InternalError | OperationCancelled | Other)
        )
    }

    /// What it is in words, without its details.
    const fn words(&self) -> &'static str {
        match self {
            Self::Service(reason) => reason.condition(),
            Self::Connection(kind) => kind.words(),
            Self::Unreachable => "the service cannot be reached",
            Self::Credential => "the credential gave no token",
            Self::LinkLost => "the link was lost before the outcome was known",
            Self::NotAccepted(OutcomeKind::Released) => "the service released the message",
            Self::NotAccepted(_) => "the service modified the message and did not take it",
            Self::Engine(error) => error.words(),
            Self::Timeout => "it took too long",
            Self::Closed => "it is closed",
            Self::Endless => "the service sends the same part of a list again",
            Self::Malformed => "the service's answer cannot be read",
            Self::DriverStopped => "the driver of the client was dropped, or the runtime that ran it has ended",
            Self::NotOffered(offer) => offer.words(),
            Self::Argument(argument) => argument.words(),
        }
    }
}

/// What not every service offers.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Cause, Offer};
///
/// fn needs_exclusive_sessions(cause: Cause) -> bool {
///     cause == Cause::NotOffered(Offer::NonExclusiveSessions)
/// }
/// # assert!(needs_exclusive_sessions(Cause::NotOffered(Offer::NonExclusiveSessions)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Offer {
    /// Sessions whose lock another receiver can take over.
    NonExclusiveSessions,
}

impl Offer {
    /// What it is in words.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Offer;
    /// assert_eq!(Offer::NonExclusiveSessions.words(), "non-exclusive sessions");
    /// ```
    pub const fn words(self) -> &'static str {
        match self {
            Self::NonExclusiveSessions => "non-exclusive sessions",
        }
    }
}

/// Why something did not work, with the service's own words where there are any.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Cause, Failure};
/// use servicebus_core::storage::Heap;
///
/// let failure = Failure::<Heap>::caused(Cause::Credential, std::io::Error::other("the key vault is closed"));
/// assert_eq!(failure.to_string(), "the credential gave no token: the key vault is closed");
/// ```
#[non_exhaustive]
pub struct Failure<S: Storage> {
    /// What failed.
    pub cause: Cause,
    /// The call may have been carried out all the same.
    pub uncertain: bool,
    /// The service's description, with its tracking id; empty when there is none, and in fixed storage, where the
    /// client keeps the last one.
    pub description: S::Description,
}

impl<S: Storage> Failure<S> {
    /// A failure without a description: the call was not carried out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Cause, Failure};
    /// # use servicebus_core::storage::Heap;
    /// let failure = Failure::<Heap>::new(Cause::Unreachable);
    /// assert!(failure.is_transient() && !failure.uncertain);
    /// assert_eq!(failure.to_string(), "the service cannot be reached");
    /// ```
    pub fn new(cause: Cause) -> Self {
        Self { cause, uncertain: false, description: S::Description::default() }
    }

    /// What a call was answered with: it may have been carried out all the same, where the cause leaves that open.
    pub(crate) fn answered(cause: Cause) -> Self {
        Self { uncertain: cause.is_doubtful(), ..Self::new(cause) }
    }

    /// A table is full, or a value is too large for its place.
    pub(crate) fn no_capacity(capacity: Capacity) -> Self {
        Self::new(Cause::Engine(EngineError::NoCapacity(capacity)))
    }

    /// As [`answered`](Self::answered), in words.
    #[inline(never)]
    pub(crate) fn described(cause: Cause, description: &str) -> Self {
        Self { description: S::Description::of(&description), ..Self::answered(cause) }
    }

    /// A failure that is described by an error.
    pub(crate) fn explained(cause: Cause, error: &dyn fmt::Display) -> Self {
        Self { description: S::Description::of(error), ..Self::new(cause) }
    }

    /// A failure that comes from an error of another library.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Cause, Failure};
    /// # use servicebus_core::storage::Heap;
    /// use std::error::Error;
    ///
    /// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    /// let failure = Failure::<Heap>::caused(Cause::Unreachable, refused);
    /// assert!(failure.source().is_some_and(|source| source.is::<std::io::Error>()));
    /// ```
    pub fn caused(cause: Cause, error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self { description: S::Description::caused(error), ..Self::new(cause) }
    }

    /// A failure by `cause`, as long as `known` was wrong.
    pub(crate) fn after(cause: Cause, known: Option<&Self>) -> Self {
        match known {
            Some(known) => Self { description: known.text(), ..Self::new(cause) },
            None => Self::new(cause),
        }
    }

    /// The same of a call that may have been carried out, or that was not for sure: who lost a link or a connection knows
    /// that for each of its calls, whatever the reason.
    pub(crate) fn of_call(&self, uncertain: bool) -> Self {
        Self { uncertain, ..self.clone() }
    }

    /// What the peer said in a detach, an end, a close or an outcome; the words are kept in `last` as well.
    #[inline(never)]
    pub(crate) fn of(error: &ErrorCondition<'_>, last: &mut S::Text) -> Self {
        let reason = Reason::from_condition(error.condition.as_str());
        let words = error.description.unwrap_or(error.condition.as_str());
        *last = S::Text::cut(words);
        Self::described(Cause::Service(reason), words)
    }

    /// The description, or the cause in words where there is none.
    pub(crate) fn text(&self) -> S::Description {
        if self.description.as_ref().is_empty() { S::Description::of(self) } else { self.description.clone() }
    }

    /// Whether trying again can help.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Cause, Failure};
    /// # use servicebus_core::storage::Heap;
    /// let failure = Failure::<Heap>::caused(Cause::Unreachable, std::io::Error::other("no route"));
    /// assert!(failure.is_transient());
    /// ```
    pub fn is_transient(&self) -> bool {
        match self.cause {
            Cause::Service(reason) => reason.is_transient(),
            Cause::Connection(kind) => {
                use ConnectionErrorKind::{NoMechanism, NotAmqp, Sasl};
                !matches!(kind, NotAmqp(_) | NoMechanism | Sasl(_))
            }
            Cause::LinkLost | Cause::NotAccepted(_) | Cause::Timeout | Cause::Unreachable | Cause::Credential => true,
            // Tables get room again; a message does not get smaller.
            Cause::Engine(EngineError::NoCapacity(capacity)) => capacity != Capacity::Message,
            Cause::Engine(_)
            | Cause::Closed
            | Cause::DriverStopped
            | Cause::Endless
            | Cause::Malformed
            | Cause::NotOffered(_)
            | Cause::Argument(_) => false,
        }
    }

    /// A failure of the engine's: a link that is gone comes back.
    pub(crate) fn of_engine(error: EngineError) -> Self {
        Self::new(match error {
            EngineError::Detached | EngineError::Closed => Cause::LinkLost,
            error => Cause::Engine(error),
        })
    }

    /// Whether the client takes no more calls, or the sender or receiver does not.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.cause, Cause::Closed | Cause::DriverStopped)
    }

    /// The service's reason, when it gave one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Cause, Failure, Reason};
    /// # use servicebus_core::storage::Heap;
    /// let failure = Failure::<Heap>::caused(Cause::Service(Reason::ServerBusy), std::io::Error::other("wait"));
    /// assert_eq!(failure.reason(), Some(Reason::ServerBusy));
    /// ```
    pub fn reason(&self) -> Option<Reason> {
        match self.cause {
            Cause::Service(reason) => Some(reason),
            _ => None,
        }
    }
}

impl<S: Storage> Clone for Failure<S> {
    #[inline(never)]
    fn clone(&self) -> Self {
        Self { cause: self.cause, uncertain: self.uncertain, description: self.description.clone() }
    }
}

impl<S: Storage> fmt::Debug for Failure<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({:?}, {:?})", self.cause, self.description)
    }
}

impl<S: Storage> fmt::Display for Failure<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Service(reason) => write!(f, "the service refused: {reason}")?,
            // The description begins with the same words.
            Cause::Connection(_) if !self.description.as_ref().is_empty() => f.write_str("connection")?,
            Cause::Connection(kind) => write!(f, "connection: {}", kind.words())?,
            Cause::Engine(error) => error.fmt(f)?,
            Cause::NotOffered(offer) => write!(f, "the service does not offer {}", offer.words())?,
            Cause::Argument(argument) => f.write_str(argument.words())?,
            cause => f.write_str(cause.words())?,
        }
        if self.description.as_ref().is_empty() { Ok(()) } else { write!(f, ": {}", self.description.as_ref()) }
    }
}

impl<S: Storage> core::error::Error for Failure<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.description.source()
    }
}
