//! Transactions (AMQP 1.0 §4).
//!
//! # Examples
//! ```
//! use servicebus_core::wire::messaging::{DeliveryState, Outcome};
//! use servicebus_core::wire::transaction::TransactionalState;
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let completed = TransactionalState { txn_id: b"txn-1", outcome: Some(Outcome::Accepted) };
//! let bytes = to_vec(&completed);
//! assert_eq!(Reader::new(&bytes).read(), Ok(DeliveryState::Transactional(completed)));
//! ```

use super::outcome::Outcome;
use super::{Multiple, Value};

composite! {
    /// The target of a link that controls transactions (AMQP 1.0 §4.5.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::{Attach, Role, TargetArchetype};
    /// use servicebus_core::wire::transaction::{Coordinator, capability};
    /// use servicebus_core::wire::{Multiple, Symbol};
    ///
    /// let local = [Symbol::new(capability::LOCAL_TRANSACTIONS)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&local)) };
    /// let attach = Attach {
    ///     target: Some(TargetArchetype::Coordinator(coordinator)),
    ///     ..Attach::new("transactions-1", Role::Sender)
    /// };
    /// assert!(matches!(attach.target, Some(TargetArchetype::Coordinator(_))));
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Coordinator<'a> = 0x30 "amqp:coordinator:list" {
        /// What the coordinator can do.
        capabilities: Multiple<'a> [optional],
    }

    /// The body that begins a transaction (AMQP 1.0 §4.5.2).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::message::{Body, MessageView};
    /// use servicebus_core::wire::transaction::Declare;
    /// use servicebus_core::wire::{Value, to_vec};
    ///
    /// let message = [&b"\x00\x53\x77"[..], &to_vec(&Declare { global_id: None })].concat();
    /// if let Body::Value(Value::Described(body)) = MessageView::parse(&message)?.body()? {
    ///     assert_eq!(body.code(), Some(0x31));
    /// }
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    Declare<'a> = 0x31 "amqp:declare:list" {
        /// A global transaction; never used by Service Bus.
        global_id: Value<'a> [optional],
    }

    /// The body that ends a transaction (AMQP 1.0 §4.5.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::transaction::Discharge;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Discharge { txn_id: b"txn-1", fail: Some(true) });
    /// let mut rollback: View<'_, Discharge<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((rollback.txn_id(), rollback.fail()), (&b"txn-1"[..], Some(true)));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    Discharge<'a> = 0x32 "amqp:discharge:list" {
        /// The transaction.
        txn_id: &'a [u8] [mandatory],
        /// Whether it is rolled back.
        fail: bool [optional],
    }

    /// The outcome of a declare (AMQP 1.0 §4.5.5).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::DeliveryState;
    /// use servicebus_core::wire::transaction::Declared;
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let bytes = to_vec(&Declared { txn_id: b"txn-1" });
    /// match Reader::new(&bytes).read()? {
    ///     DeliveryState::Declared(declared) => assert_eq!(declared.txn_id, b"txn-1"),
    ///     other => panic!("no transaction: {other:?}"),
    /// }
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Declared<'a> = 0x33 "amqp:declared:list" {
        /// The new transaction.
        txn_id: &'a [u8] [mandatory],
    }

    /// A delivery state that belongs to a transaction (AMQP 1.0 §4.5.6).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::Outcome;
    /// use servicebus_core::wire::transaction::TransactionalState;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&TransactionalState { txn_id: b"txn-1", outcome: Some(Outcome::Released) });
    /// let mut state: View<'_, TransactionalState<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((state.txn_id(), state.outcome()), (&b"txn-1"[..], Some(Outcome::Released)));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    TransactionalState<'a> = 0x34 "amqp:transactional-state:list" {
        /// The transaction.
        txn_id: &'a [u8] [mandatory],
        /// The outcome once it commits.
        outcome: Outcome<'a> [optional],
    }
}

/// What a coordinator can do (AMQP 1.0 §4.5.7).
///
/// # Examples
/// ```
/// use servicebus_core::wire::transaction::{Coordinator, capability};
/// use servicebus_core::wire::{Multiple, Symbol};
///
/// let names = [Symbol::new(capability::LOCAL_TRANSACTIONS), Symbol::new(capability::MULTI_TXNS_PER_SSN)];
/// let coordinator = Coordinator { capabilities: Some(Multiple::new(&names)) };
/// assert_eq!(coordinator.capabilities.map(|names| names.iter().count()), Some(2));
/// ```
pub mod capability {
    /// Transactions within one container.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol, transaction::{Coordinator, capability}};
    /// let name = [Symbol::new(capability::LOCAL_TRANSACTIONS)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&name)) };
    /// # assert_ne!(coordinator.capabilities, Some(Multiple::NONE));
    /// ```
    pub const LOCAL_TRANSACTIONS: &str = "amqp:local-transactions";
    /// Transactions over several containers.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol, transaction::{Coordinator, capability}};
    /// let name = [Symbol::new(capability::DISTRIBUTED_TRANSACTIONS)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&name)) };
    /// # assert_ne!(coordinator.capabilities, Some(Multiple::NONE));
    /// ```
    pub const DISTRIBUTED_TRANSACTIONS: &str = "amqp:distributed-transactions";
    /// Local transactions that can become distributed ones.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol, transaction::{Coordinator, capability}};
    /// let name = [Symbol::new(capability::PROMOTABLE_TRANSACTIONS)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&name)) };
    /// # assert_ne!(coordinator.capabilities, Some(Multiple::NONE));
    /// ```
    pub const PROMOTABLE_TRANSACTIONS: &str = "amqp:promotable-transactions";
    /// Several concurrent transactions on one session.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol, transaction::{Coordinator, capability}};
    /// let name = [Symbol::new(capability::MULTI_TXNS_PER_SSN)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&name)) };
    /// # assert_ne!(coordinator.capabilities, Some(Multiple::NONE));
    /// ```
    pub const MULTI_TXNS_PER_SSN: &str = "amqp:multi-txns-per-ssn";
    /// One transaction over several sessions.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol, transaction::{Coordinator, capability}};
    /// let name = [Symbol::new(capability::MULTI_SSNS_PER_TXN)];
    /// let coordinator = Coordinator { capabilities: Some(Multiple::new(&name)) };
    /// # assert_ne!(coordinator.capabilities, Some(Multiple::NONE));
    /// ```
    pub const MULTI_SSNS_PER_TXN: &str = "amqp:multi-ssns-per-txn";
}

/// Why a transaction failed (AMQP 1.0 §4.5.8).
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::ErrorCondition;
/// use servicebus_core::wire::transaction::condition;
///
/// let error = ErrorCondition::new(condition::UNKNOWN_ID).with_description("the transaction has ended");
/// assert_eq!(error.condition.as_str(), "amqp:transaction:unknown-id");
/// ```
pub mod condition {
    /// The transaction is not known.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{performative::ErrorCondition, transaction::condition};
    /// let error = ErrorCondition::new(condition::UNKNOWN_ID).with_description("the transaction has ended");
    /// # assert!(error.condition.as_str().starts_with("amqp:transaction:"));
    /// ```
    pub const UNKNOWN_ID: &str = "amqp:transaction:unknown-id";
    /// The transaction was rolled back.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{performative::ErrorCondition, transaction::condition};
    /// let error = ErrorCondition::new(condition::ROLLBACK).with_description("a message of it was refused");
    /// # assert!(error.condition.as_str().starts_with("amqp:transaction:"));
    /// ```
    pub const ROLLBACK: &str = "amqp:transaction:rollback";
    /// The transaction took too long.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{performative::ErrorCondition, transaction::condition};
    /// let error = ErrorCondition::new(condition::TIMEOUT).with_description("it was open for two minutes");
    /// # assert!(error.condition.as_str().starts_with("amqp:transaction:"));
    /// ```
    pub const TIMEOUT: &str = "amqp:transaction:timeout";
}
