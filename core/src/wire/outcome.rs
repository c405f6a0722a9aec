//! The outcomes of deliveries (AMQP 1.0 §3.4).

use super::error_condition::ErrorCondition;
use super::{Encode, Map, Sink};

composite! {
    /// How far a delivery was received (AMQP 1.0 §3.4.1).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Received = 0x23 "amqp:received:list" {
        /// The section.
        section_number: u32 [mandatory],
        /// The byte in it.
        section_offset: u64 [mandatory],
    }

    /// The message was processed (AMQP 1.0 §3.4.2).
    #[derive(Debug)]
    Accepted = 0x24 "amqp:accepted:list" {}

    /// The message is refused (AMQP 1.0 §3.4.3).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Rejected<'a> = 0x25 "amqp:rejected:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }

    /// The message was not processed (AMQP 1.0 §3.4.4).
    #[derive(Debug)]
    Released = 0x26 "amqp:released:list" {}

    /// The message was not processed and is to be changed (AMQP 1.0 §3.4.5).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Modified<'a> = 0x27 "amqp:modified:list" {
        /// Whether the delivery counts as failed.
        delivery_failed: bool [optional],
        /// Whether the message is not to come here again; Service Bus reads it as "defer".
        undeliverable_here: bool [optional],
        /// Annotations to merge; Service Bus merges them into the application properties.
        message_annotations: Map<'a> [optional],
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome<'a> {
    /// `accepted`
    Accepted,
    /// `rejected`
    Rejected(Rejected<'a>),
    /// `released`
    Released,
    /// `modified`
    Modified(Modified<'a>),
}

impl Encode for Outcome<'_> {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Accepted => sink.put(&[0x00, 0x53, 0x24, 0x45]),
            Self::Rejected(v) => v.encode(sink),
            Self::Released => sink.put(&[0x00, 0x53, 0x26, 0x45]),
            Self::Modified(v) => v.encode(sink),
        }
    }
}
