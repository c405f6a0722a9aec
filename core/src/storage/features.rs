//! Capabilities of the client. Heap storage has all of them. Fixed storage has those that its
//! [`fixed_storage!`](crate::fixed_storage) declares; a call that needs another one does not compile, and a program is
//! linked without the code and the memory for it.

use super::{NoTransactions, Storage, TransactionId};
use core::fmt::Debug;

/// The capabilities of a [`Storage`]. The compiler folds the constants: code behind one that is false is not linked. A
/// storage implements the trait that belongs to each constant that is true.
pub trait Features: Debug + 'static {
    /// There are receivers ([`Receivers`]).
    const RECEIVERS: bool;
    /// Entities are asked by requests to their `$management` ([`Management`]).
    const MANAGEMENT: bool;
    /// Locks are renewed automatically ([`LockRenewal`]).
    const LOCK_RENEWAL: bool;
    /// Receivers can lock sessions ([`Sessions`]).
    const SESSIONS: bool;
    /// Receivers can fetch messages ahead of calls ([`Prefetch`]).
    const PREFETCH: bool;
    /// Receivers can take messages without locks ([`ReceiveAndDelete`]).
    const RECEIVE_AND_DELETE: bool;
    /// Tokens can come from a credential of the application ([`ExternalTokens`]).
    const EXTERNAL_TOKENS: bool;

    /// The id of a transaction; [`NoTransactions`] without [`Transactions`].
    type Transaction: TransactionId;
}

/// The id of a transaction in a storage.
pub type TransactionOf<S> = <<S as Storage>::Features as Features>::Transaction;

/// All capabilities.
#[derive(Clone, Copy, Debug)]
pub struct AllFeatures;

impl Features for AllFeatures {
    const RECEIVERS: bool = true;
    const MANAGEMENT: bool = true;
    const LOCK_RENEWAL: bool = true;
    const SESSIONS: bool = true;
    const PREFETCH: bool = true;
    const RECEIVE_AND_DELETE: bool = true;
    const EXTERNAL_TOKENS: bool = true;

    type Transaction = crate::wire::Tag;
}

/// No capability beside sending.
#[derive(Clone, Copy, Debug)]
pub struct NoFeatures;

impl Features for NoFeatures {
    const RECEIVERS: bool = false;
    const MANAGEMENT: bool = false;
    const LOCK_RENEWAL: bool = false;
    const SESSIONS: bool = false;
    const PREFETCH: bool = false;
    const RECEIVE_AND_DELETE: bool = false;
    const EXTERNAL_TOKENS: bool = false;

    type Transaction = NoTransactions;
}

/// Storage of clients that receive messages.
#[diagnostic::on_unimplemented(message = "`{Self}` has no receivers: add `receivers: true` to its `fixed_storage!`")]
pub trait Receivers: Storage {}

/// Storage of clients that ask entities by requests to their `$management`: to schedule, peek, renew locks, list rules, and
/// to settle messages whose link is gone. Without it, such a message comes again when its lock has ended.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no requests to `$management`: add `management: true` to its `fixed_storage!`"
)]
pub trait Management: Storage {}

/// Storage of clients that renew locks automatically.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no lock renewal: add `lock_renewal: true` to its `fixed_storage!`"
)]
pub trait LockRenewal: Receivers + Management {}

/// Storage of clients that receive from sessions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no sessions: add `session_receivers: 2` to its `fixed_storage!`"
)]
pub trait Sessions: Receivers {}

/// Storage of clients that begin transactions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no transactions: add `transactions: true` to its `fixed_storage!`"
)]
pub trait Transactions: Storage {}

/// Storage of clients that fetch messages ahead of calls.
#[diagnostic::on_unimplemented(message = "`{Self}` has no prefetch: add `prefetch: true` to its `fixed_storage!`")]
pub trait Prefetch: Receivers {}

/// Storage of clients that take messages without locks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no receive-and-delete: add `receive_and_delete: true` to its `fixed_storage!`"
)]
pub trait ReceiveAndDelete: Receivers {}

/// Storage of clients whose tokens come from a credential of the application.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no external tokens: add `external_tokens: true` to its `fixed_storage!`"
)]
pub trait ExternalTokens: Storage {}
