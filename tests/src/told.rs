//! What a program can tell errors apart by.

use servicebus_core::client::{Error, ErrorKind};
use servicebus_core::engine::Capacity;
use servicebus_core::servicebus::{Argument, Reason};
use servicebus_core::storage::Storage;

/// The most exact of what an error has: the service's reason, the argument, the number that ran out, or else its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The service's reason.
    Service(Reason),
    /// The argument that is not valid.
    Argument(Argument),
    /// What is full.
    Capacity(Capacity),
    /// What can be done about it.
    Kind(ErrorKind),
}

impl Told {
    /// What an error tells.
    pub fn of<S: Storage>(error: &Error<S>) -> Self {
        let argument = error.argument().map(Self::Argument);
        let capacity = error.capacity().map(Self::Capacity);
        let exact = error.reason().map(Self::Service).or(argument).or(capacity);
        exact.unwrap_or(Self::Kind(error.kind()))
    }
}

/// The words of an error, in storage that keeps any.
pub fn words<S: Storage>(error: &Error<S>) -> Option<&str> {
    (size_of::<S::Description>() > 0).then(|| error.description())
}
