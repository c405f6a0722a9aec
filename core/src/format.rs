//! What `defmt` prints of the types that people see: the text that they display, which holds no key, token or body.

use crate::client::{Error, SendAllError, SendError};
use crate::engine::{ConnectionError, EngineError};
use crate::machine::Failure;
use crate::servicebus::connection_string::ConnectionStringError;
use crate::servicebus::sas::SasError;
use crate::servicebus::{BatchError, BodyError, InvalidMessage, LockToken, Reason, ReceivedMessage};
use crate::storage::Storage;
use crate::time::{Instant, TimeOutOfRange, Timestamp};
use crate::wire::frame::FrameError;
use crate::wire::messaging::MessageId;
use crate::wire::{DecodeError, Full, Uuid, WrongValue};

/// `defmt::Format` by a type's text: `format_as_text! { [] Plain; [E: Display] Generic<E>; }`.
#[doc(hidden)]
#[macro_export]
macro_rules! format_as_text {
    ($([$($parameters:tt)*] $type:ty;)*) => {$(
        impl<$($parameters)*> ::defmt::Format for $type {
            fn format(&self, f: ::defmt::Formatter<'_>) {
                ::defmt::write!(f, "{}", ::defmt::Display2Format(self));
            }
        }
    )*};
}

format_as_text! {
    [] BatchError;
    [] BodyError;
    [] ConnectionError;
    [] ConnectionStringError<'_>;
    [] DecodeError;
    [] EngineError;
    [S: Storage] Error<S>;
    [S: Storage] Failure<S>;
    [] FrameError;
    [] Full;
    [] InvalidMessage;
    [] LockToken;
    [] MessageId<'_>;
    [] Reason;
    [] SasError;
    [S: Storage] SendAllError<S>;
    [] TimeOutOfRange;
    [] Uuid;
    [] WrongValue;
    [S: Storage, M] SendError<S, M>;
    [] Timestamp;
}

/// Microseconds.
impl defmt::Format for Instant {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64:us}", self.as_micros());
    }
}

/// Its id, sequence number and lock token.
impl<S: Storage> defmt::Format for ReceivedMessage<S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Debug2Format(self));
    }
}
