//! Bytes ↔ values: AMQP 1.0's type system, frames, performatives, SASL and message sections.
//!
//! Nothing here keeps state, allocates or recurses. Decoding borrows from the input; a compound value is a view that
//! decodes its items when they are asked for, and every length is checked against the bytes that are there.

#[macro_use]
mod composite;

mod codec;
mod convert;
mod decoder;
mod error;
pub mod frame;
mod map_writer;
pub mod message;
pub mod messaging;
pub mod performative;
mod reader;
pub mod sasl;
mod sink;
mod tag;
pub mod transaction;
mod value;
mod view;

#[cfg(feature = "alloc")]
pub use codec::to_vec;
pub use codec::{Decode, Encode, Multiple, encode, measure, put_binary_head};
pub use composite::{Composite, Definition, Field, Fields, Presence};
pub use convert::WrongValue;
pub use decoder::Decoder;
pub use error::{DecodeError, Expected, FieldName};
pub use map_writer::MapWriter;
pub use reader::{MAX_DEPTH, Reader};
pub use sink::{Compound, Full, Sink};
pub use tag::Tag;
pub use value::{Array, Described, List, Map, Symbol, Uuid, UuidText, Value, encode_list, encode_map};
pub use view::View;
