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
pub use guarded::{Guarded, GuardedFrame};
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
    Argument, AsMessage, BatchError, Body, BodyError, CorrelationRuleFilterRef, Disposition, Entries, FilterProperties,
    InvalidLockToken, InvalidMessage, LockToken, MessageId, MessageRef, MessageState, Properties, Reason, RetryMode,
    RetryPolicy, RuleFilterRef, RuleRef, SubQueue,
};
pub use servicebus_core::time::{Duration, TimeOutOfRange, Timestamp};
pub use servicebus_core::wire::{DecodeError, Uuid, Value, WrongValue};
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
pub type Client<S> = servicebus_core::client::Client<Embassy<S>>;
/// A sender; see [`servicebus_core::client::Sender`].
///
/// `send`, `send_all`; `create_batch` and `send_batch`; with `management: true` `schedule`, `schedule_each` and
/// `cancel_scheduled`; `timeout`, `size_limits`, `now`, `close`.
pub type Sender<S> = servicebus_core::client::Sender<Embassy<S>>;
/// What is sent to, and how; see [`servicebus_core::client::SenderOptions`].
///
/// `new`, `with_identifier`; `entity`, `identifier`.
pub type SenderOptions<S> = servicebus_core::client::SenderOptions<S>;
/// What is received from, and how; see [`servicebus_core::client::ReceiverOptions`].
///
/// `new`, `with_mode`, `with_prefetch`, `with_identifier`; `entity`, `mode`, `prefetch`, `identifier`.
pub type ReceiverOptions<S> = servicebus_core::client::ReceiverOptions<S>;
/// A receiver; see [`servicebus_core::client::Receiver`].
///
/// `receive`, `receive_each`, `next`; `complete`, `abandon`, `abandon_with`, `defer`, `defer_with`, `dead_letter`; with
/// `management: true` `settle_by_token`, `receive_deferred_each`, `peek_each`, `peeker`, `renew_lock`,
/// `renew_lock_by_token`, `lock_renewal_error`, `delete_messages`, `purge`; `timeout`, `entity`, `close`.
pub type Receiver<S> = servicebus_core::client::Receiver<Embassy<S>>;
/// A receiver of one session; see [`servicebus_core::client::SessionReceiver`].
///
/// It derefs to [`Receiver`], whose methods receive and settle. Of the session: `session_id`, `state`, `set_state`,
/// `renew_session_lock`, `session_lock_renewal_error`, `locked_until`, `lock_token`; `timeout`, `close`.
pub type SessionReceiver<S> = servicebus_core::client::SessionReceiver<Embassy<S>>;
/// Looks at messages; see [`servicebus_core::client::Peeker`].
///
/// `peek_each`, `position`.
pub type Peeker<S> = servicebus_core::client::Peeker<Embassy<S>>;
/// The renewal of a lock; see [`servicebus_core::client::LockRenewal`].
///
/// `during`, `ended`, `is_active`, `locked_until`, `error`.
pub type LockRenewal<'m, S> = servicebus_core::client::LockRenewal<'m, Embassy<S>>;
/// The rules of a subscription; see [`servicebus_core::client::RuleManager`].
///
/// `add`, `remove`, `list_each`.
pub type RuleManager<S> = servicebus_core::client::RuleManager<Embassy<S>>;
/// Begins transactions; see [`servicebus_core::client::TransactionController`].
///
/// `begin`, `close`.
pub type TransactionController<S> = servicebus_core::client::TransactionController<Embassy<S>>;
/// A transaction; see [`servicebus_core::client::Transaction`].
///
/// `send`, `send_batch`, `schedule`, `complete`, `settle`, `commit`, `roll_back`.
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
pub type ReceivedMessage<S> = servicebus_core::servicebus::ReceivedMessage<S>;
/// Messages that travel together; see [`servicebus_core::servicebus::MessageBatch`].
///
/// `try_add`; `len`, `is_empty`, `size_in_bytes`, `max_size_in_bytes`; made by `Sender::create_batch`.
pub type MessageBatch<S> = servicebus_core::servicebus::MessageBatch<S>;
/// A queue, topic or subscription; see [`servicebus_core::servicebus::Entity`].
///
/// `queue`, `subscription`; `dead_letter`, `transfer_dead_letter`; `address`. A name is a queue or topic: `"orders"`.
pub type Entity<S> = servicebus_core::servicebus::Entity<S>;
/// Why something did not work; see [`servicebus_core::client::Error`].
///
/// `kind`, `reason`, `is_transient`, `outcome`, `argument`, `capacity`; `entity` and `description` are empty in fixed storage:
/// the words of the service are `Client::last_description`.
pub type Error<S> = servicebus_core::client::Error<S>;
/// How the connection stands; see [`servicebus_core::client::ConnectionState`].
pub type ConnectionState<S> = servicebus_core::client::ConnectionState<S>;
/// Why a lock is not renewed any more; see [`servicebus_core::client::RenewalEnd`].
pub type RenewalEnd<S> = servicebus_core::client::RenewalEnd<S>;
/// Why something was not sent, with what was to be sent; see [`servicebus_core::client::SendError`].
///
/// `error`, `into_inner`, `into_parts`.
pub type SendError<S, M> = servicebus_core::client::SendError<S, M>;
/// Not all of several messages were sent; see [`servicebus_core::client::SendAllError`].
///
/// `error`, `stored`.
pub type SendAllError<S> = servicebus_core::client::SendAllError<S>;
