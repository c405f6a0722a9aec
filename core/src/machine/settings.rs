//! How a client behaves.

use super::{Cause, Failure};
use crate::servicebus::Argument;
use crate::servicebus::connection_string::{ConnectionCredential, ConnectionString};
use crate::servicebus::retry::RetryPolicy;
use crate::storage::{ExternalTokens, Features, Limits, Storage, TransactionOf};
use crate::time::Duration;
use core::fmt;

/// A shorter idle time-out would end connections whose answers are on their way.
pub(super) const SHORTEST_IDLE: Duration = Duration::from_secs(1);

/// How a client behaves.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Settings;
/// use servicebus_core::servicebus::RetryPolicy;
/// use servicebus_core::storage::Heap;
/// use std::time::Duration;
///
/// let connection_string = "Endpoint=sb://contoso.servicebus.windows.net;SharedAccessKeyName=send;SharedAccessKey=YQ==";
/// let seed = 0x5eed; // a random number
/// let settings = Settings::<Heap>::new(connection_string.into(), seed)
///     .with_retry(RetryPolicy::default().with_max_retries(10))
///     .with_idle_timeout(Duration::from_secs(240));
/// assert!(!format!("{settings:?}").contains("YQ=="), "the key is not shown");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings<S: Storage> {
    /// The connection string; it is read again whenever a part of it is needed.
    pub connection_string: S::Literal,
    /// When to try again.
    pub retry: RetryPolicy,
    /// The largest frame that is accepted, in bytes. A connection announces 512 at least, as AMQP wants, and no more than
    /// the storage's receive buffer holds.
    pub max_frame_size: u32,
    /// The silence after which the service takes the connection for lost. A connection announces a second at least.
    pub idle_time_out: Duration,
    /// Bounds of the tables.
    pub limits: Limits,
    /// Where names and jitter come from: give every client its own.
    pub seed: u64,
    /// Tokens come from a credential of the application's (Entra ID) instead of the connection string.
    pub external_tokens: bool,
    /// A message without an id that is sent gets a UUID, the same in every attempt: an entity that detects duplicates
    /// then drops what a lost answer has stored twice. On by default; without effect in fixed storage, since a device
    /// whose seed is the same after each start would repeat its ids.
    pub message_ids: bool,
    /// A connection is opened in one round trip instead of three: the SASL mechanism is chosen, and the connection, the
    /// session and the links of `$cbs` are opened, before the service has answered its part. On by default in fixed
    /// storage, for radios. The order of the answers stays the same; that the service accepts this is concluded from
    /// its known behaviour, and was not observed. So when such a connection fails before the service's open, the next
    /// one waits for each answer; the first way that works is kept.
    // docs/evidence/service-evidence.md §1
    pub pipelined_opening: bool,
    /// Transactions may span several entities: each AMQP session for messages begins with a coordinator, which requests
    /// that from the service. The client then receives from one entity only, the first that it receives from.
    pub cross_entity_transactions: bool,
}

impl<S: Storage> fmt::Debug for Settings<S> {
    /// Without the key or the signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts of a valid connection string are formatted one by one; an invalid one may hold a key anywhere.
        let parsed = ConnectionString::parse_endpoint(self.connection_string.as_ref()).ok();
        f.debug_struct("Settings")
            .field("connection_string", &parsed)
            .field("retry", &self.retry)
            .field("max_frame_size", &self.max_frame_size)
            .field("idle_time_out", &self.idle_time_out)
            .field("limits", &self.limits)
            .field("external_tokens", &self.external_tokens)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> Settings<S> {
    /// The defaults of the official SDKs for this connection string.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1);
    /// assert_eq!(settings.max_frame_size, 65_536);
    /// ```
    #[inline(never)]
    pub fn new(connection_string: S::Literal, seed: u64) -> Self {
        Self {
            connection_string,
            retry: RetryPolicy::default(),
            max_frame_size: 65_536,
            idle_time_out: Duration::from_secs(60),
            limits: Limits::default(),
            seed,
            external_tokens: false,
            message_ids: S::MESSAGE_IDS,
            pipelined_opening: S::PIPELINES,
            cross_entity_transactions: false,
        }
    }

    /// Sets when to try again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let once = RetryPolicy::default().with_max_retries(0);
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_retry(once);
    /// assert_eq!(settings.retry.max_retries, 0);
    /// ```
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets [`Settings::max_frame_size`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_max_frame_bytes(8_192);
    /// assert_eq!(settings.max_frame_size, 8_192);
    /// ```
    #[must_use]
    pub fn with_max_frame_bytes(mut self, bytes: u32) -> Self {
        self.max_frame_size = bytes;
        self
    }

    /// Sets [`Settings::idle_time_out`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// # use std::time::Duration;
    /// // A heartbeat every two minutes at most: a radio sleeps longer.
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_idle_timeout(Duration::from_secs(240));
    /// assert_eq!(settings.idle_time_out.as_secs(), 240);
    /// ```
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_time_out = timeout;
        self
    }

    /// Sets the bounds of the tables.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// # use servicebus_core::storage::Limits;
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_limits(Limits::new().with_links(100));
    /// assert_eq!(settings.limits.links, 100);
    /// ```
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether a message without an id gets one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_message_ids(false);
    /// assert!(!settings.message_ids);
    /// ```
    #[must_use]
    pub fn with_message_ids(mut self, gives: bool) -> Self {
        self.message_ids = gives;
        self
    }

    /// Lets transactions span several entities.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// let settings = Settings::<Heap>::new(connection_string.into(), 1).with_cross_entity_transactions(true);
    /// assert!(settings.cross_entity_transactions);
    /// ```
    #[must_use]
    pub fn with_cross_entity_transactions(mut self, enabled: bool) -> Self {
        self.cross_entity_transactions = enabled;
        self
    }

    /// Whether transactions may span several entities.
    pub(super) fn spans_entities(&self) -> bool {
        size_of::<TransactionOf<S>>() > 0 && self.cross_entity_transactions
    }

    /// The same with tokens of a credential of the application (Entra ID) instead of the connection string.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::Settings;
    /// # use servicebus_core::storage::Heap;
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// # let host = "contoso.servicebus.windows.net";
    /// let settings = Settings::<Heap>::new(format!("Endpoint=sb://{host}").into(), 1).with_external_tokens();
    /// assert!(settings.external_tokens);
    /// ```
    #[must_use]
    pub fn with_external_tokens(self) -> Self
    where
        S: ExternalTokens,
    {
        Self { external_tokens: true, ..self }
    }

    /// Whether tokens come from a credential of the application.
    pub(super) fn takes_tokens(&self) -> bool {
        S::Features::EXTERNAL_TOKENS && self.external_tokens
    }

    /// The queue or topic that the connection string is for. Where tokens come from a credential, only the endpoint
    /// counts.
    pub(crate) fn entity_path(&self) -> Option<&str> {
        self.parsed().ok()?.entity_path.filter(|_| !self.takes_tokens())
    }

    /// The parsed connection string; only its endpoint where tokens come from a credential.
    pub(super) fn parsed(&self) -> Result<ConnectionString<'_>, Failure<S>> {
        let parsed = ConnectionString::parse_endpoint(self.connection_string.as_ref()).ok();
        let usable = |parsed: &ConnectionString<'_>| {
            self.takes_tokens() || !matches!(parsed.credential, ConnectionCredential::None)
        };
        parsed.filter(usable).ok_or_else(|| Failure::new(Cause::Argument(Argument::ConnectionString)))
    }
}
