//! Capabilities of the client. Heap storage has all of them. Fixed storage has those that its
//! [`fixed_storage!`](crate::fixed_storage) declares; a call that needs another one does not compile, and a program is
//! linked without the code and the memory for it.

use super::{NoTransactions, Storage, TransactionId};
use core::fmt::Debug;

/// The capabilities of a [`Storage`]. The compiler folds the constants: code behind one that is false is not linked. A
/// storage implements the trait that belongs to each constant that is true.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Features, Heap, Storage};
///
/// servicebus_core::fixed_storage! {
///     pub type Board { links: 3, deliveries: 4, receive: 512, transmit: 512, message: 512 }
/// }
///
/// const fn takes_commands<S: Storage>() -> bool {
///     S::Features::RECEIVERS
/// }
/// assert!(takes_commands::<Heap>());
/// assert!(!takes_commands::<Board>());
/// ```
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
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Client, Error};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Receivers;
/// use std::time::Duration;
///
/// async fn empty<R: Runtime<Storage = S>, S: Receivers>(client: &Client<R>) -> Result<(), Error<S>> {
///     let orders = client.receiver("orders")?;
///     while let Some(order) = orders.receive(Duration::from_secs(5)).await? {
///         orders.complete(&order).await?;
///     }
///     Ok(())
/// }
/// # servicebus_simulation::example(async |client| {
/// empty(&client).await?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` has no receivers: add `receivers: true` to its `fixed_storage!`")]
pub trait Receivers: Storage {}

/// Storage of clients that ask entities by requests to their `$management`: to schedule, peek, renew locks, list rules, and
/// to settle messages whose link is gone. Without it, such a message comes again when its lock has ended.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Error, Sender};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Management;
/// use std::time::Duration;
///
/// async fn remind<R: Runtime<Storage = S>, S: Management>(jobs: &Sender<R>) -> Result<i64, Error<S>> {
///     jobs.schedule("are you done?", jobs.now() + Duration::from_secs(3_600)).await
/// }
/// # servicebus_simulation::example(async |client| {
/// remind(&client.sender("orders")?).await?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no requests to `$management`: add `management: true` to its `fixed_storage!`"
)]
pub trait Management: Storage {}

/// Storage of clients that renew locks automatically.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{AutoLockRenewer, Client, Error};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::LockRenewal;
/// use std::time::Duration;
///
/// async fn slowly<R: Runtime<Storage = S>, S: LockRenewal>(client: &Client<R>) -> Result<(), Error<S>> {
///     let orders = client.receiver("orders")?;
///     let Some(order) = orders.receive(Duration::from_secs(5)).await? else { return Ok(()) };
///     let renewal = AutoLockRenewer::new(Duration::from_secs(600)).message(&orders, &order)?;
///     // … what takes ten minutes
///     drop(renewal);
///     orders.complete(&order).await
/// }
/// # servicebus_simulation::example(async |client| {
/// slowly(&client).await?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no lock renewal: add `lock_renewal: true` to its `fixed_storage!`"
)]
pub trait LockRenewal: Receivers + Management {}

/// Storage of clients that receive from sessions.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Client, Error};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Sessions;
/// use std::time::Duration;
///
/// async fn next_job<R: Runtime<Storage = S>, S: Sessions>(client: &Client<R>) -> Result<bool, Error<S>> {
///     let session = client.accept_next_session("jobs", Duration::from_secs(5)).await?;
///     Ok(session.is_some())
/// }
/// # servicebus_simulation::example(async |client| {
/// assert!(!next_job(&client).await?, "there is none");
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no sessions: add `session_receivers: 2` to its `fixed_storage!`"
)]
pub trait Sessions: Receivers {}

/// Storage of clients that begin transactions.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Client, Error};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Transactions;
///
/// async fn both<R: Runtime<Storage = S>, S: Transactions>(client: &Client<R>) -> Result<(), Error<S>> {
///     let orders = client.sender("orders")?;
///     let transaction = client.begin_transaction().await?;
///     transaction.send(&orders, "one").await?;
///     transaction.send(&orders, "two").await?;
///     transaction.commit().await
/// }
/// # servicebus_simulation::example(async |client| {
/// both(&client).await?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no transactions: add `transactions: true` to its `fixed_storage!`"
)]
pub trait Transactions: Storage {}

/// Storage of clients that fetch messages ahead of calls.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Client, Error, Receiver, ReceiverOptions};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Prefetch;
///
/// fn ahead<R: Runtime<Storage = S>, S: Prefetch>(client: &Client<R>) -> Result<Receiver<R>, Error<S>> {
///     client.receiver(ReceiverOptions::new("orders").with_prefetch(100))
/// }
/// # servicebus_simulation::example(async |client| {
/// ahead(&client)?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` has no prefetch: add `prefetch: true` to its `fixed_storage!`")]
pub trait Prefetch: Receivers {}

/// Storage of clients that take messages without locks.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::{Client, Error, Receiver, ReceiverOptions};
/// use servicebus_core::machine::ReceiveMode;
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::ReceiveAndDelete;
///
/// fn at_once<R: Runtime<Storage = S>, S: ReceiveAndDelete>(client: &Client<R>) -> Result<Receiver<R>, Error<S>> {
///     client.receiver(ReceiverOptions::new("orders").with_mode(ReceiveMode::ReceiveAndDelete))
/// }
/// # servicebus_simulation::example(async |client| {
/// at_once(&client)?;
/// # Ok(())
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no receive-and-delete: add `receive_and_delete: true` to its `fixed_storage!`"
)]
pub trait ReceiveAndDelete: Receivers {}

/// Storage of clients whose tokens come from a credential of the application.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Settings;
/// use servicebus_core::storage::ExternalTokens;
///
/// fn with_entra_id<S: ExternalTokens>(host: S::Literal) -> Settings<S> {
///     Settings::new(host, 1).with_external_tokens()
/// }
/// # use servicebus_core::storage::Heap;
/// assert!(with_entra_id::<Heap>("Endpoint=sb://contoso.servicebus.windows.net".into()).external_tokens);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no external tokens: add `external_tokens: true` to its `fixed_storage!`"
)]
pub trait ExternalTokens: Storage {}
