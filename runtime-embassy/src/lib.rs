//! Azure Service Bus for microcontrollers: the client of `servicebus-core` over embassy, without an allocator.
//!
//! [`new`] gives a [`Client`] and a [`Runner`]; a task of the application's runs the runner over a dialer. Everything
//! lives in [`Resources`], whose size is known when the firmware is linked.
//!
//! The guide from nothing to readings in a queue is this package's `README.md`.
#![no_std]
#![forbid(unsafe_code)]

mod clock;
mod connect;
mod format;
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
pub use ram::Ram;
pub use runner::{Embassy, Handle, InUse, Resources, Runner, State, new};
pub use servicebus_core;
pub use servicebus_core::client::{AutoLockRenewer, DeadLetterOptions};
#[doc(inline)]
pub use servicebus_core::guide;
#[cfg(feature = "sntp")]
pub use sntp::{Sntp, SntpError};
#[cfg(feature = "spool")]
pub use spool::{Order, Spool, SpoolError, SpoolSendError, Taken, WhenFull};
#[cfg(feature = "net")]
pub use tcp::{Tcp, TcpError, TcpStream};
pub use wake::within;

/// A client over storage `S`; see [`servicebus_core::client::Client`].
pub type Client<S> = servicebus_core::client::Client<Embassy<S>>;
/// A sender; see [`servicebus_core::client::Sender`].
pub type Sender<S> = servicebus_core::client::Sender<Embassy<S>>;
/// What is sent to, and how; see [`servicebus_core::client::SenderOptions`].
pub type SenderOptions<S> = servicebus_core::client::SenderOptions<S>;
/// What is received from, and how; see [`servicebus_core::client::ReceiverOptions`].
pub type ReceiverOptions<S> = servicebus_core::client::ReceiverOptions<S>;
/// A receiver; see [`servicebus_core::client::Receiver`].
pub type Receiver<S> = servicebus_core::client::Receiver<Embassy<S>>;
/// A receiver of one session; see [`servicebus_core::client::SessionReceiver`].
pub type SessionReceiver<S> = servicebus_core::client::SessionReceiver<Embassy<S>>;
/// Looks at messages; see [`servicebus_core::client::Peeker`].
pub type Peeker<'r, S> = servicebus_core::client::Peeker<'r, Embassy<S>>;
/// The renewal of a lock; see [`servicebus_core::client::LockRenewal`].
pub type LockRenewal<'m, S> = servicebus_core::client::LockRenewal<'m, Embassy<S>>;
/// The rules of a subscription; see [`servicebus_core::client::RuleManager`].
pub type RuleManager<S> = servicebus_core::client::RuleManager<Embassy<S>>;
/// Begins transactions; see [`servicebus_core::client::TransactionController`].
pub type TransactionController<S> = servicebus_core::client::TransactionController<Embassy<S>>;
/// A transaction; see [`servicebus_core::client::Transaction`].
pub type Transaction<S> = servicebus_core::client::Transaction<Embassy<S>>;
