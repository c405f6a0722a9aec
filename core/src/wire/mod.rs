//! Bytes ↔ values: AMQP 1.0's type system, frames, performatives, SASL and message sections.
//!
//! Nothing here keeps state, allocates or recurses. Decoding borrows from the input; a compound value is a view that
//! decodes its items when they are asked for, and every length is checked against the bytes that are there.

#[macro_use]
mod composite;

mod codec;
mod error;
pub mod frame;
pub mod message;
pub mod messaging;
pub mod performative;
mod reader;
pub mod sasl;
mod sink;
pub mod transaction;
mod value;

pub use codec::{Decode, Encode, Multiple, encode};
pub use composite::{Composite, Definition, Field, Fields, Presence};
pub use error::DecodeError;
pub use reader::{MAX_DEPTH, Reader};
pub use sink::{Buffer, Compound, Counter, Full, Sink};
pub use value::{Array, Described, List, Map, Symbol, Uuid, Value, encode_list, encode_map};
