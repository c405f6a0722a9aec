//! `defmt` without text: for types that cannot derive [`defmt::Format`], or whose fields may hold a secret. Our own texts
//! are interned, so that a board sends numbers and values; names of entities and the service's texts are sent as they are.
//!
//! A value inside of another is always written with `write!`: its `format` is only there to be called by that.

use crate::client::{Error, SendAllError, SendError};
use crate::machine::Failure;
use crate::servicebus::address::{Address, SubQueue};
use crate::servicebus::{Disposition, LockToken, ReceivedMessage};
use crate::storage::Storage;
use crate::time::{Instant, Timestamp};
use crate::wire::messaging::MessageId;
use crate::wire::performative::PerformativeView;
use crate::wire::sasl::{SaslInit, SaslResponse};
use crate::wire::{Array, Described, List, Map, Multiple, Symbol, Tag, Uuid, Value};
use defmt::{Format, Formatter, intern, write};

/// The errors that a board's program can be given have their `Format`.
const _: () = {
    use crate::engine::{ConnectionError, EngineError};
    use crate::servicebus::{BatchError, BodyError, InvalidMessage, Reason};
    use crate::wire::{DecodeError, Full};

    const fn formats<T: Format>() {}
    formats::<(BatchError, BodyError, ConnectionError, DecodeError, EngineError)>();
    formats::<(Full, InvalidMessage, Reason)>();
};

/// By its text: it has other libraries' errors in it, and is for programs with an allocator only.
#[cfg(feature = "alloc")]
impl<S: Storage> Format for crate::client::ProcessorError<S> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{}", defmt::Display2Format(self));
    }
}

/// The service's own words behind the cause.
impl<S: Storage> Format for Failure<S> {
    fn format(&self, f: Formatter<'_>) {
        match self.description.as_ref() {
            "" => write!(f, "{}", self.cause),
            words => write!(f, "{}: {=str}", self.cause, words),
        }
    }
}

impl<S: Storage> Format for Error<S> {
    fn format(&self, f: Formatter<'_>) {
        match self.entity() {
            Some(entity) => write!(f, "{=str}: {}", entity, self.failure()),
            None => write!(f, "{}", self.failure()),
        }
    }
}

impl<S: Storage, M> Format for SendError<S, M> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{}", self.error());
    }
}

impl<S: Storage> Format for SendAllError<S> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "after {} messages: {}", self.stored(), self.error());
    }
}

/// Its id, sequence number and lock token; never the body.
impl<S: Storage> Format for ReceivedMessage<S> {
    fn format(&self, f: Formatter<'_>) {
        let (id, number, token) = (self.message_id(), self.sequence_number(), self.lock_token());
        write!(f, "ReceivedMessage {{ message_id: {}, sequence_number: {}, lock_token: {} }}", id, number, token);
    }
}

/// Without the changes.
impl Format for Disposition<'_> {
    fn format(&self, f: Formatter<'_>) {
        let name = match self {
            Self::Complete => intern!("complete"),
            Self::Abandon { .. } => intern!("abandon"),
            Self::Defer { .. } => intern!("defer"),
            Self::DeadLetter { .. } => intern!("dead-letter"),
        };
        write!(f, "{=istr}", name);
    }
}

impl Format for Address<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=str}", self.entity);
        if let Some(subscription) = self.subscription {
            write!(f, "/Subscriptions/{=str}", subscription);
        }
        match self.sub_queue {
            Some(SubQueue::DeadLetter) => write!(f, "/$DeadLetterQueue"),
            Some(SubQueue::TransferDeadLetter) => write!(f, "/$Transfer/$DeadLetterQueue"),
            None => {}
        }
        if self.management {
            write!(f, "/$management");
        }
    }
}

impl Format for LockToken {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{}", self.uuid());
    }
}

impl Format for MessageId<'_> {
    fn format(&self, f: Formatter<'_>) {
        match self {
            Self::Ulong(number) => write!(f, "{=u64}", number),
            Self::Uuid(uuid) => write!(f, "{}", uuid),
            Self::Binary(bytes) => write!(f, "{=[u8]:02x}", bytes),
            Self::String(text) => write!(f, "{=str}", text),
        }
    }
}

/// Microseconds.
impl Format for Instant {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=u64:us}", self.as_micros());
    }
}

impl Format for Timestamp {
    fn format(&self, f: Formatter<'_>) {
        match u64::try_from(self.as_millis()) {
            // To the end of the year 9999.
            Ok(millis) if millis < 253_402_300_800_000 => write!(f, "{=u64:iso8601ms}", millis),
            _ => write!(f, "{=i64} ms", self.as_millis()),
        }
    }
}

impl Format for Uuid {
    fn format(&self, f: Formatter<'_>) {
        let [a, b, c, d, e0, e1, f0, f1, g0, g1, h0, h1, i, j, k, l] = self.0;
        write!(
            f,
            "{=u32:08x}-{=u16:04x}-{=u16:04x}-{=u16:04x}-{=u16:04x}{=u32:08x}",
            u32::from_be_bytes([a, b, c, d]),
            u16::from_be_bytes([e0, e1]),
            u16::from_be_bytes([f0, f1]),
            u16::from_be_bytes([g0, g1]),
            u16::from_be_bytes([h0, h1]),
            u32::from_be_bytes([i, j, k, l])
        );
    }
}

impl Format for Symbol<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, ":{=str}", self.as_str());
    }
}

impl Format for Multiple<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "[");
        self.iter().for_each(|symbol| write!(f, "{} ", symbol));
        write!(f, "]");
    }
}

impl Format for Tag {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=[u8]:02x}", self.as_bytes());
    }
}

impl Format for List<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=u32} items", self.len() as u32);
    }
}

impl Format for Array<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=u32} items", self.len() as u32);
    }
}

impl Format for Described<'_> {
    fn format(&self, f: Formatter<'_>) {
        match self.descriptor() {
            Ok(Value::Ulong(code)) => write!(f, "{=u64:#x}", code),
            Ok(Value::Symbol(name)) => write!(f, "{}", name),
            _ => write!(f, "?"),
        }
    }
}

/// Of maps inside of it only the size, so that no peer decides how deep this goes.
impl Format for Map<'_> {
    fn format(&self, f: Formatter<'_>) {
        let item = |value| match value {
            Value::Map(map) => write!(f, "{=u32} entries", map.len() as u32),
            value => write!(f, "{}", value),
        };
        write!(f, "{{");
        for (key, value) in self.iter().map_while(Result::ok) {
            item(key);
            write!(f, ": ");
            item(value);
            write!(f, ", ");
        }
        write!(f, "}}");
    }
}

impl Format for PerformativeView<'_> {
    fn format(&self, f: Formatter<'_>) {
        match self.clone().whole() {
            Ok(performative) => write!(f, "{}", performative),
            Err(error) => write!(f, "{}", error),
        }
    }
}

/// Without the response, which may be a secret.
impl Format for SaslInit<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "SaslInit {{ mechanism: {}, .. }}", self.mechanism);
    }
}

/// Without the response, which may be a secret.
impl Format for SaslResponse<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "SaslResponse {{ .. }}");
    }
}
