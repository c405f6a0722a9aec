//! The outcomes of deliveries (AMQP 1.0 §3.4).

use super::error_condition::ErrorCondition;
use super::{Encode, Map, Sink};

composite! {
    /// How far a delivery was received (AMQP 1.0 §3.4.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{DeliveryState, Received};
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let half = Received { section_number: 0, section_offset: 4_096 };
    /// let bytes = to_vec(&half);
    /// assert_eq!(Reader::new(&bytes).read(), Ok(DeliveryState::Received(half)));
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Received = 0x23 "amqp:received:list" {
        /// The section.
        section_number: u32 [mandatory],
        /// The byte in it.
        section_offset: u64 [mandatory],
    }

    /// The message was processed (AMQP 1.0 §3.4.2).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{messaging::{Accepted, DeliveryState}, to_vec};
    /// assert_eq!(to_vec(&Accepted {}), to_vec(&DeliveryState::ACCEPTED));
    /// ```
    #[derive(Debug)]
    Accepted = 0x24 "amqp:accepted:list" {}

    /// The message is refused (AMQP 1.0 §3.4.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{Outcome, Rejected};
    /// use servicebus_core::wire::performative::ErrorCondition;
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let error = ErrorCondition::new("com.microsoft:dead-letter").with_description("no such article");
    /// let bytes = to_vec(&Rejected { error: Some(error) });
    /// assert_eq!(Reader::new(&bytes).read(), Ok(Outcome::Rejected(Rejected { error: Some(error) })));
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Rejected<'a> = 0x25 "amqp:rejected:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }

    /// The message was not processed (AMQP 1.0 §3.4.4).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{messaging::{DeliveryState, Released}, to_vec};
    /// assert_eq!(to_vec(&Released {}), to_vec(&DeliveryState::RELEASED));
    /// ```
    #[derive(Debug)]
    Released = 0x26 "amqp:released:list" {}

    /// The message was not processed and is to be changed (AMQP 1.0 §3.4.5).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::Modified;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let defer = Modified { delivery_failed: None, undeliverable_here: Some(true), message_annotations: None };
    /// let bytes = to_vec(&defer);
    /// let mut modified: View<'_, Modified<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(modified.undeliverable_here(), Some(true));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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
///
/// # Examples
/// ```
/// use servicebus_core::wire::Reader;
/// use servicebus_core::wire::messaging::Outcome;
///
/// let again = match Reader::new(&[0x00, 0x53, 0x26, 0x45]).read()? {
///     Outcome::Accepted | Outcome::Rejected(_) => false,
///     Outcome::Released => true,
///     Outcome::Modified(modified) => modified.undeliverable_here != Some(true),
/// };
/// assert!(again);
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
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
