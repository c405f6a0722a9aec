//! The payload of a message that is sent (AMQP 1.0 §3.2.6 to §3.2.8).

use crate::wire::message::section;
use crate::wire::messaging::put_section;
use crate::wire::{Encode, List, Sink, Value};
use core::fmt;

/// The payload of a message.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Body, Message, MessageRef};
///
/// let bytes = MessageRef::from_body(Body::Data(b"two of the blue ones"));
/// let value = Message::from_body(Body::Value(21.5.into()));
/// # let _ = (bytes, value);
/// ```
#[derive(Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// No body section at all.
    #[default]
    Empty,
    /// One data section: what every SDK sends by default.
    Data(&'a [u8]),
    /// Several data sections.
    DataSections(&'a [&'a [u8]]),
    /// Sequence sections.
    Sequence(&'a [List<'a>]),
    /// One AMQP value.
    Value(Value<'a>),
    /// The body of a received message, section by section as it came.
    Encoded(&'a [u8]),
}

impl fmt::Debug for Body<'_> {
    /// What kind of body it is, and nothing of its content: that is the application's, and this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::DataSections(sections) => write!(f, "DataSections({})", sections.len()),
            Self::Sequence(sections) => write!(f, "Sequence({})", sections.len()),
            Self::Value(_) => f.write_str("Value"),
            Self::Encoded(sections) => write!(f, "Encoded({} bytes)", sections.len()),
        }
    }
}

impl Encode for Body<'_> {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match *self {
            Self::Empty => {}
            Self::Data(data) => encode_data(sink, data),
            Self::DataSections(sections) => {
                for data in sections {
                    encode_data(sink, data);
                }
            }
            Self::Sequence(lists) => {
                for list in lists {
                    put_section(sink, section::AMQP_SEQUENCE);
                    list.encode(sink);
                }
            }
            Self::Value(value) => {
                put_section(sink, section::AMQP_VALUE);
                value.encode(sink);
            }
            Self::Encoded(sections) => sink.put(sections),
        }
    }
}

/// A data section. Its head is written in one piece: this is what nearly every message consists of.
#[inline]
fn encode_data(sink: &mut Sink<'_>, data: &[u8]) {
    match u8::try_from(data.len()) {
        Ok(len) => sink.put(&[0x00, 0x53, section::DATA, 0xa0, len]),
        Err(_) => {
            let [a, b, c, d] = sink.size(data.len());
            sink.put(&[0x00, 0x53, section::DATA, 0xb0, a, b, c, d]);
        }
    }
    sink.put(data);
}
