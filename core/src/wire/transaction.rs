//! Transactions (AMQP 1.0 §4).

use super::outcome::Outcome;
use super::{Multiple, Value};

composite! {
    /// The target of a link that controls transactions (AMQP 1.0 §4.5.1).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Coordinator<'a> = 0x30 "amqp:coordinator:list" {
        /// What the coordinator can do.
        capabilities: Multiple<'a> [optional],
    }

    /// The body that begins a transaction (AMQP 1.0 §4.5.2).
    #[derive(Debug)]
    Declare<'a> = 0x31 "amqp:declare:list" {
        /// A global transaction; never used by Service Bus.
        global_id: Value<'a> [optional],
    }

    /// The body that ends a transaction (AMQP 1.0 §4.5.3).
    #[derive(Debug)]
    Discharge<'a> = 0x32 "amqp:discharge:list" {
        /// The transaction.
        txn_id: &'a [u8] [mandatory],
        /// Whether it is rolled back.
        fail: bool [optional],
    }

    /// The outcome of a declare (AMQP 1.0 §4.5.5).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Declared<'a> = 0x33 "amqp:declared:list" {
        /// The new transaction.
        txn_id: &'a [u8] [mandatory],
    }

    /// A delivery state that belongs to a transaction (AMQP 1.0 §4.5.6).
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
pub mod capability {
    /// Transactions within one container.
    pub const LOCAL_TRANSACTIONS: &str = "amqp:local-transactions";
    /// Transactions over several containers.
    pub const DISTRIBUTED_TRANSACTIONS: &str = "amqp:distributed-transactions";
    /// Local transactions that can become distributed ones.
    pub const PROMOTABLE_TRANSACTIONS: &str = "amqp:promotable-transactions";
    /// Several concurrent transactions on one session.
    pub const MULTI_TXNS_PER_SSN: &str = "amqp:multi-txns-per-ssn";
    /// One transaction over several sessions.
    pub const MULTI_SSNS_PER_TXN: &str = "amqp:multi-ssns-per-txn";
}

/// Why a transaction failed (AMQP 1.0 §4.5.8).
pub mod condition {
    /// The transaction is not known.
    pub const UNKNOWN_ID: &str = "amqp:transaction:unknown-id";
    /// The transaction was rolled back.
    pub const ROLLBACK: &str = "amqp:transaction:rollback";
    /// The transaction took too long.
    pub const TIMEOUT: &str = "amqp:transaction:timeout";
}
