//! Azure Service Bus for microcontrollers: the client of `servicebus-core` over embassy, without an allocator.
//!
//! [`new`] gives a [`Client`] and a [`Runner`]; a task of the application's runs the runner over a dialer. Everything
//! lives in [`Resources`], whose size is known when the firmware is linked.
//!
//! The guide from nothing to readings in a queue is this package's `README.md`. With feature `net`, in short:
//!
#![cfg_attr(feature = "net", doc = "```no_run")]
#![cfg_attr(not(feature = "net"), doc = "```ignore")]
//! use servicebus_embassy::{Error, MessageRef, Plain, Resources, Settings, Tcp, fixed_storage};
//!
//! fixed_storage! { pub type Board { links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024 } }
//!
//! # async fn example(
//! #     resources: &'static mut Resources<Board>,
//! #     stack: embassy_net::Stack<'static>,
//! #     (receive, transmit): (&'static mut [u8; 4096], &'static mut [u8; 4096]),
//! #     utc: &'static fn() -> servicebus_embassy::Timestamp,
//! #     seed: u64,
//! # ) -> Result<(), Error<Board>> {
//! # const CONNECTION_STRING: &str = "";
//! let (client, runner) = servicebus_embassy::new(resources, Settings::new(CONNECTION_STRING, seed), utc).unwrap();
//! // In a task of its own.
//! let carry = runner.run(Plain::new(Tcp::new(stack, receive, transmit)));
//! # drop(carry);
//!
//! let telemetry = client.sender("telemetry")?; // made once: the last handle that is dropped detaches its link
//! telemetry.send(&MessageRef::new("reading").with_properties(&[("celsius", 21.5.into())])).await?;
//! client.disconnect().await; // TLS and TCP are closed; the next call dials again
//! # Ok(())
//! # }
//! ```
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod clock;
mod connect;
mod format;
#[cfg(feature = "net")]
mod guarded;
mod ram;
mod runner;
#[cfg(feature = "sntp")]
mod sntp;
#[cfg(feature = "spool")]
mod spool;
#[cfg(feature = "net")]
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod wake;

pub use clock::{FixedUtc, Utc};
pub use connect::{Close, Connect, Duplex, Plain, PlainError, Stream, StreamError};
#[cfg(feature = "net")]
pub use guarded::Guarded;
#[cfg(feature = "net")]
#[doc(hidden)]
pub use guarded::GuardedFrame;
pub use ram::Ram;
pub use runner::{Embassy, Handle, InUse, Resources, Runner, State, new};
pub use servicebus_core;
pub use servicebus_core::client::{AutoLockRenewer, DeadLetterOptions, ErrorKind, ErrorOutcome};
pub use servicebus_core::driver::{Credential, Dial, NoCredential, Token, TokenFn};
pub use servicebus_core::engine::Capacity;
pub use servicebus_core::fixed_storage;
#[doc(inline)]
pub use servicebus_core::guide;
pub use servicebus_core::machine::{ReceiveMode, Settings, SizeLimits};
pub use servicebus_core::servicebus::{
    Address, Argument, AsMessage, BatchError, Body, BodyError, CorrelationRuleFilterRef, Disposition, Entries,
    FilterProperties, InvalidLockToken, InvalidMessage, LockToken, MessageId, MessageRef, MessageState, Properties,
    Reason, RetryMode, RetryPolicy, RuleFilterRef, RuleRef, SubQueue,
};
pub use servicebus_core::time::{Duration, TimeOutOfRange, Timestamp};
pub use servicebus_core::wire::message::{Body as ReceivedBody, MessageView};
pub use servicebus_core::wire::{DecodeError, InvalidUuid, Uuid, Value, WrongValue};
#[cfg(feature = "sntp")]
pub use sntp::{Sntp, SntpError};
#[cfg(feature = "spool")]
pub use spool::{Order, Spool, SpoolError, SpoolSendError, Taken, WhenFull};
#[cfg(feature = "net")]
pub use tcp::{Tcp, TcpError, TcpStream};
pub use wake::within;

/// A client over storage `S`; see [`servicebus_core::client::Client`].
///
/// `sender`; with `receivers: true` of [`fixed_storage!`] `receiver`; with `management: true` `rule_manager`; with
/// `session_receivers: true` `accept_session`, `accept_next_session`, `accept_non_exclusive_session`,
/// `accept_next_non_exclusive_session`, `take_over_session`, `list_sessions_each`; with `transactions: true`
/// `transactions`, `begin_transaction`. Of the connection: `ready`, `state`, `state_changed`, `disconnect`,
/// `set_connection_string`, `last_description`, `close`.
///
/// The entity of a connection string with `EntityPath` is
/// [`ConnectionString::entity_path`](servicebus_core::servicebus::ConnectionString).
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn report(client: &Client<Board>, reading: &str) -> Result<(), Error<Board>> {
///     client.sender("orders")?.send(reading).await
/// }
/// # run(async |client| {
/// report(&client, "21.5 °C").await?;
/// # Ok(())
/// # });
/// ```
pub type Client<S> = servicebus_core::client::Client<Embassy<S>>;
/// A sender; see [`servicebus_core::client::Sender`].
///
/// `send`, `send_all`; `create_batch` and `send_batch`; with `management: true` `schedule`, `schedule_each` and
/// `cancel_scheduled`; `timeout`, `size_limits`, `now`, `close`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn report(telemetry: &Sender<Board>, reading: &str) -> Result<(), Error<Board>> {
///     telemetry.send(reading).await
/// }
/// # run(async |client| {
/// report(&client.sender("orders")?, "21.5 °C").await?;
/// # Ok(())
/// # });
/// ```
pub type Sender<S> = servicebus_core::client::Sender<Embassy<S>>;
/// What is sent to, and how; see [`servicebus_core::client::SenderOptions`].
///
/// `new`, `with_identifier`; `entity`, `identifier`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn through_a_queue() -> SenderOptions<Board> {
///     SenderOptions::new("orders")
/// }
/// # run(async |client| {
/// client.sender(through_a_queue())?.send("21.5 °C").await?;
/// # Ok(())
/// # });
/// ```
pub type SenderOptions<S> = servicebus_core::client::SenderOptions<S>;
/// What is received from, and how; see [`servicebus_core::client::ReceiverOptions`].
///
/// `new`, `with_mode`, `with_prefetch`, `with_identifier`; `entity`, `mode`, `prefetch`, `identifier`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn ahead() -> ReceiverOptions<Board> {
///     ReceiverOptions::new("orders").with_prefetch(2) // the storage has `prefetch: true`
/// }
/// # run(async |client| {
/// let receiver = client.receiver(ahead())?;
/// # drop(receiver);
/// # Ok(())
/// # });
/// ```
pub type ReceiverOptions<S> = servicebus_core::client::ReceiverOptions<S>;
/// A receiver; see [`servicebus_core::client::Receiver`].
///
/// `receive`, `receive_each`, `next`; `complete`, `abandon`, `abandon_with`, `defer`, `defer_with`, `dead_letter`; with
/// `management: true` `settle_by_token`, `receive_deferred_each`, `peek_each`, `peeker`, `renew_lock`,
/// `renew_lock_by_token`, `lock_renewal_error`, `delete_messages`, `purge`; `timeout`, `entity`, `close`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn next_command(commands: &Receiver<Board>) -> Result<Option<u8>, Error<Board>> {
///     let Some(command) = commands.receive(Duration::from_secs(5)).await? else { return Ok(None) };
///     let code = command.bytes().ok().and_then(|bytes| bytes.first().copied());
///     commands.complete(&command).await?;
///     Ok(code)
/// }
/// # run(async |client| {
/// # client.sender("orders")?.send("on").await?;
/// assert_eq!(next_command(&client.receiver("orders")?).await?, Some(b'o'));
/// # Ok(())
/// # });
/// ```
pub type Receiver<S> = servicebus_core::client::Receiver<Embassy<S>>;
/// A receiver of one session; see [`servicebus_core::client::SessionReceiver`].
///
/// It derefs to [`Receiver`], whose methods receive and settle. Of the session: `session_id`, `state`, `set_state`,
/// `renew_session_lock`, `session_lock_renewal_error`, `locked_until`, `lock_token`; `timeout`, `close`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn finish(job: SessionReceiver<Board>) -> Result<(), Error<Board>> {
///     job.set_state(Some(b"done")).await?;
///     job.close().await;
///     Ok(())
/// }
/// # run(async |client| {
/// # client.sender("jobs")?.send(&MessageRef::new("one").with_session_id("a")).await?;
/// if let Some(job) = client.accept_next_session("jobs", Duration::from_secs(5)).await? {
///     finish(job).await?;
/// }
/// # Ok(())
/// # });
/// ```
pub type SessionReceiver<S> = servicebus_core::client::SessionReceiver<Embassy<S>>;
/// Looks at messages; see [`servicebus_core::client::Peeker`].
///
/// `peek_each`, `position`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn waits(peeker: &mut Peeker<Board>) -> Result<bool, Error<Board>> {
///     let mut any = false;
///     peeker.peek_each(1, |_| any = true).await?;
///     Ok(any)
/// }
/// # run(async |client| {
/// # client.sender("orders")?.send("on").await?;
/// assert!(waits(&mut client.receiver("orders")?.peeker()).await?);
/// # Ok(())
/// # });
/// ```
pub type Peeker<S> = servicebus_core::client::Peeker<Embassy<S>>;
/// The renewal of a lock; see [`servicebus_core::client::LockRenewal`].
///
/// `during`, `ended`, `is_active`, `locked_until`, `error`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// type Kept<'m> = LockRenewal<'m, Board>;
///
/// fn keep<'m>(orders: &'m Receiver<Board>, order: &'m ReceivedMessage<Board>) -> Result<Kept<'m>, Error<Board>> {
///     AutoLockRenewer::new(Duration::from_secs(600)).message(orders, order)
/// }
/// # run(async |client| {
/// # client.sender("orders")?.send("on").await?;
/// # let orders = client.receiver("orders")?;
/// # let order = orders.receive(Duration::from_secs(5)).await?.ok_or("no order")?;
/// let renewal = keep(&orders, &order)?;
/// assert!(renewal.is_active());
/// # Ok(())
/// # });
/// ```
pub type LockRenewal<'m, S> = servicebus_core::client::LockRenewal<'m, Embassy<S>>;
/// The rules of a subscription; see [`servicebus_core::client::RuleManager`].
///
/// `add`, `remove`, `list_each`, `timeout`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn only_alarms(rules: &RuleManager<Board>) -> Result<(), Error<Board>> {
///     rules.add(&RuleRef::new("alarms", RuleFilterRef::Sql("level = 'alarm'"))).await?;
///     rules.remove("$Default").await
/// }
/// # run(async |client| {
/// only_alarms(&client.rule_manager(Entity::subscription("events", "all"))).await?;
/// # Ok(())
/// # });
/// ```
pub type RuleManager<S> = servicebus_core::client::RuleManager<Embassy<S>>;
/// Begins transactions; see [`servicebus_core::client::TransactionController`].
///
/// `begin`, `timeout`, `close`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn both(transactions: &TransactionController<Board>, to: &Sender<Board>) -> Result<(), Error<Board>> {
///     let transaction = transactions.begin().await?;
///     transaction.send(to, "one").await?;
///     transaction.send(to, "two").await?;
///     transaction.commit().await
/// }
/// # run(async |client| {
/// both(&client.transactions("orders")?, &client.sender("orders")?).await?;
/// # Ok(())
/// # });
/// ```
pub type TransactionController<S> = servicebus_core::client::TransactionController<Embassy<S>>;
/// A transaction; see [`servicebus_core::client::Transaction`].
///
/// `send`, `send_batch`, `schedule`, `complete`, `settle`, `commit`, `roll_back`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn send_in(transaction: &Transaction<Board>, to: &Sender<Board>) -> Result<(), Error<Board>> {
///     transaction.send(to, "on").await
/// }
/// # run(async |client| {
/// # let orders = client.sender("orders")?;
/// let transaction = client.begin_transaction().await?;
/// send_in(&transaction, &orders).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # });
/// ```
pub type Transaction<S> = servicebus_core::client::Transaction<Embassy<S>>;
/// A message that was received; see [`servicebus_core::servicebus::ReceivedMessage`].
///
/// The body: `data`, `bytes`, `text`, `body`. What its sender set: `message_id`, `correlation_id`, `session_id`,
/// `reply_to_session_id`, `subject`, `to`, `reply_to`, `content_type`, `content_encoding`, `user_id`,
/// `group_sequence`, `creation_time`, `absolute_expiry_time`, `time_to_live`, `priority`, `durable`,
/// `first_acquirer`, `partition_key`, `transaction_partition_key`, `scheduled_enqueue_time`, `traceparent`,
/// `tracestate`; `property` and `properties`; `footer`. What the service set: `sequence_number`,
/// `enqueued_sequence_number`, `enqueued_time`, `expires_at`, `delivery_count`, `locked_until`, `lock_token`,
/// `state`, `dead_letter_source`, `dead_letter_reason`, `dead_letter_description`; `annotation`,
/// `delivery_annotation`. Where it is from: `entity`. It is sent again as it is. Encoded: `as_bytes`, `view`,
/// `from_bytes`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn code(command: &ReceivedMessage<Board>) -> Option<u8> {
///     command.bytes().ok()?.first().copied()
/// }
/// # run(async |client| {
/// # client.sender("orders")?.send("on").await?;
/// # let orders = client.receiver("orders")?;
/// # let command = orders.receive(Duration::from_secs(5)).await?.ok_or("no command")?;
/// assert_eq!(code(&command), Some(b'o'));
/// # Ok(())
/// # });
/// ```
pub type ReceivedMessage<S> = servicebus_core::servicebus::ReceivedMessage<S>;
/// Messages that travel together; see [`servicebus_core::servicebus::MessageBatch`].
///
/// `try_add`; `len`, `is_empty`, `size_in_bytes`, `max_size_in_bytes`; made by `Sender::create_batch`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn fill(batch: &mut MessageBatch<Board>, readings: &[&str]) -> Result<(), BatchError> {
///     readings.iter().try_for_each(|reading| batch.try_add(*reading))
/// }
/// # run(async |client| {
/// # let telemetry = client.sender("orders")?;
/// let mut batch = telemetry.create_batch().await?;
/// fill(&mut batch, &["21.5", "21.7"])?;
/// assert_eq!(batch.len(), 2);
/// # Ok(())
/// # });
/// ```
pub type MessageBatch<S> = servicebus_core::servicebus::MessageBatch<S>;
/// A queue, topic or subscription; see [`servicebus_core::servicebus::Entity`].
///
/// `queue`, `subscription`; `dead_letter`, `transfer_dead_letter`; `address`. A name is a queue or topic: `"orders"`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn commands(device: &'static str) -> Entity<Board> {
///     Entity::subscription("events", device)
/// }
/// # run(async |client| {
/// let receiver = client.receiver(commands("audit"))?;
/// # drop(receiver);
/// # Ok(())
/// # });
/// ```
pub type Entity<S> = servicebus_core::servicebus::Entity<S>;
/// Why something did not work; see [`servicebus_core::client::Error`].
///
/// `kind`, `reason`, `is_transient`, `outcome`, `argument`, `capacity`; `entity` and `description` are empty in fixed storage:
/// the words of the service are `Client::last_description`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn pause(error: &Error<Board>) -> Duration {
///     Duration::from_secs(if error.is_transient() { 30 } else { 3_600 })
/// }
/// # run(async |client| {
/// if let Err(error) = client.sender("not there")?.send("21.5").await {
///     assert_eq!(pause(&error).as_secs(), 3_600);
/// }
/// # Ok(())
/// # });
/// ```
pub type Error<S> = servicebus_core::client::Error<S>;
/// How the connection stands; see [`servicebus_core::client::ConnectionState`].
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn led_is_on(state: &ConnectionState<Board>) -> bool {
///     matches!(state, ConnectionState::Connected)
/// }
/// # run(async |client| {
/// assert!(!led_is_on(&client.state()), "nothing was sent yet");
/// # Ok(())
/// # });
/// ```
pub type ConnectionState<S> = servicebus_core::client::ConnectionState<S>;
/// Why a lock is not renewed any more; see [`servicebus_core::client::RenewalEnd`].
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// fn goes_on(end: &RenewalEnd<Board>) -> bool {
///     !matches!(end, RenewalEnd::Lost(_))
/// }
/// assert!(goes_on(&RenewalEnd::Elapsed));
/// ```
pub type RenewalEnd<S> = servicebus_core::client::RenewalEnd<S>;
/// Why something was not sent, with what was to be sent; see [`servicebus_core::client::SendError`].
///
/// `error`, `into_inner`, `into_parts`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// /// The batch comes back, to be sent later.
/// async fn send(to: &Sender<Board>, batch: MessageBatch<Board>) -> Result<(), SendError<Board, MessageBatch<Board>>> {
///     to.send_batch(batch).await
/// }
/// # run(async |client| {
/// # let telemetry = client.sender("orders")?;
/// # let mut batch = telemetry.create_batch().await?;
/// # batch.try_add("21.5")?;
/// assert!(send(&telemetry, batch).await.is_ok());
/// # Ok(())
/// # });
/// ```
pub type SendError<S, M> = servicebus_core::client::SendError<S, M>;
/// Not all of several messages were sent; see [`servicebus_core::client::SendAllError`].
///
/// `error`, `stored`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::*;
/// # servicebus_simulation::example_board!(Board, run);
/// async fn send(to: &Sender<Board>, readings: &[&str]) -> Result<(), SendAllError<Board>> {
///     to.send_all(readings).await
/// }
/// # run(async |client| {
/// send(&client.sender("orders")?, &["21.5", "21.7"]).await?;
/// # Ok(())
/// # });
/// ```
pub type SendAllError<S> = servicebus_core::client::SendAllError<S>;
