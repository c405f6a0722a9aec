//! Bytes ↔ values: AMQP 1.0's type system, frames, performatives, SASL and message sections.
//!
//! Nothing here keeps state, allocates or recurses. Decoding borrows from the input; a compound value is a view that
//! decodes its items when they are asked for, and every length is checked against the bytes that are there.
//!
//! # Examples
//! ```
//! use servicebus_core::wire::performative::{Detach, Performative};
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let bytes = to_vec(&Detach { handle: 3, closed: true, error: None });
//! match Reader::new(&bytes).read()? {
//!     Performative::Detach(detach) => assert_eq!((detach.handle, detach.closed), (3, true)),
//!     other => panic!("not what was sent: {other:?}"),
//! }
//! # Ok::<(), servicebus_core::wire::DecodeError>(())
//! ```

#[macro_use]
mod composite;

mod codec;
mod compound;
mod convert;
mod decoder;
mod definition;
mod descriptor;
mod error;
mod error_condition;
mod field_name;
pub mod frame;
mod items;
mod map_writer;
pub mod message;
pub mod messaging;
mod outcome;
pub mod performative;
mod reader;
pub mod sasl;
mod sink;
mod tag;
pub mod transaction;
mod uuid;
mod value;
mod view;

pub use self::uuid::{InvalidUuid, Uuid, UuidText};
#[cfg(feature = "alloc")]
pub use codec::to_vec;
pub use codec::{Multiple, encode, measure, put_binary_head};
pub(crate) use composite::Fields;
pub use compound::{encode_list, encode_map};
pub use convert::WrongValue;
pub use decoder::{Decode, Decoder};
pub use definition::{Composite, Definition, Field, Presence};
pub use error::{DecodeError, Expected, FieldName};
pub use map_writer::MapWriter;
pub use reader::{MAX_DEPTH, Reader};
pub use sink::{Compound, Encode, Full, Sink};
pub use tag::Tag;
pub use value::{Array, Described, List, Map, Symbol, Value};
pub use view::View;
