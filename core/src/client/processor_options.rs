//! How processors work.

use super::AutoLockRenewer;
use crate::time::Duration;

/// How a processor works.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use core::time::Duration;
/// use servicebus_core::client::ProcessorOptions;
///
/// let options = ProcessorOptions::new()
///     .with_max_concurrent_calls(8)
///     .with_max_auto_lock_renewal(Duration::from_secs(600));
/// let processor = client.processor("orders", options);
/// # drop(processor);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessorOptions {
    /// Handlers that may run at once; one at least.
    pub max_concurrent_calls: usize,
    /// Whether a message is completed when its handler has returned without an error and has not settled it.
    pub auto_complete: bool,
    /// How long locks are renewed while handlers run; `None` leaves them alone. A session is held for as long: then it
    /// gets no more messages, its handlers end under a lock that is renewed for as long once more, and it is closed,
    /// free for the next receiver.
    pub max_auto_lock_renewal: Option<Duration>,
}

impl Default for ProcessorOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessorOptions {
    /// One message at a time, completed by the processor, locks renewed for five minutes.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// # use servicebus_core::client::ProcessorOptions;
    ///
    /// let options = ProcessorOptions::new();
    /// assert_eq!(options.max_concurrent_calls, 1);
    /// assert_eq!(options.max_auto_lock_renewal, Some(Duration::from_secs(300)));
    /// ```
    pub fn new() -> Self {
        Self {
            max_concurrent_calls: 1,
            auto_complete: true,
            max_auto_lock_renewal: Some(AutoLockRenewer::default().max_duration),
        }
    }

    /// Sets how many handlers may run at once; one at least.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ProcessorOptions;
    /// let options = ProcessorOptions::new().with_max_concurrent_calls(8);
    /// assert_eq!(options.max_concurrent_calls, 8);
    /// ```
    #[must_use]
    pub fn with_max_concurrent_calls(mut self, calls: usize) -> Self {
        self.max_concurrent_calls = calls;
        self
    }

    /// Sets for how long the lock of each message, or of each session, is renewed. A session from which nothing is received for
    /// ten minutes is lost however its lock is renewed; see
    /// [`AutoLockRenewer::session`](super::AutoLockRenewer::session).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// # use servicebus_core::client::ProcessorOptions;
    ///
    /// let options = ProcessorOptions::new().with_max_auto_lock_renewal(Duration::from_secs(3_600));
    /// assert_eq!(options.max_auto_lock_renewal, Some(Duration::from_secs(3_600)));
    /// ```
    #[must_use]
    pub fn with_max_auto_lock_renewal(mut self, max: Duration) -> Self {
        self.max_auto_lock_renewal = Some(max);
        self
    }

    /// Renews no locks: a handler has as long as the entity's lock lasts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ProcessorOptions;
    /// let options = ProcessorOptions::new().without_auto_lock_renewal();
    /// assert_eq!(options.max_auto_lock_renewal, None);
    /// ```
    #[must_use]
    pub fn without_auto_lock_renewal(mut self) -> Self {
        self.max_auto_lock_renewal = None;
        self
    }

    /// Leaves it to handlers to complete their messages. A message that no handler settles comes again when its lock
    /// ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use core::time::Duration;
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let processor = client.processor("orders", ProcessorOptions::new().without_auto_complete());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         if message.text()?.starts_with("two") {
    ///             message.complete().await?;
    ///         } // or it is locked until its lock ends
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn without_auto_complete(mut self) -> Self {
        self.auto_complete = false;
        self
    }
}

/// How a session processor works.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use core::time::Duration;
/// use servicebus_core::client::{ProcessorOptions, SessionProcessorOptions};
///
/// let options = SessionProcessorOptions::new()
///     .with_max_concurrent_sessions(100)
///     .with_session_idle_timeout(Duration::from_secs(5))
///     .with_processor(ProcessorOptions::new().with_max_auto_lock_renewal(Duration::from_secs(600)));
/// let processor = client.session_processor("jobs", options);
/// # drop(processor);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionProcessorOptions {
    /// How the messages of a session are handled; `max_concurrent_calls` counts for each session, and
    /// more than one loses the order of its messages.
    pub processor: ProcessorOptions,
    /// Sessions that may be held at once; one at least.
    pub max_concurrent_sessions: usize,
    /// A session that has no message for this long makes room for others.
    pub session_idle_timeout: Duration,
}

impl Default for SessionProcessorOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionProcessorOptions {
    /// Eight sessions, one message of each at once; a session is released after a minute without messages.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// # use servicebus_core::client::SessionProcessorOptions;
    ///
    /// let options = SessionProcessorOptions::new();
    /// assert_eq!(options.max_concurrent_sessions, 8);
    /// assert_eq!(options.session_idle_timeout, Duration::from_secs(60));
    /// ```
    pub fn new() -> Self {
        Self {
            processor: ProcessorOptions::new(),
            max_concurrent_sessions: 8,
            session_idle_timeout: Duration::from_secs(60),
        }
    }

    /// Sets how the messages of each session are handled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::{ProcessorOptions, SessionProcessorOptions};
    /// let unordered = ProcessorOptions::new().with_max_concurrent_calls(4);
    /// let options = SessionProcessorOptions::new().with_processor(unordered);
    /// assert_eq!(options.processor.max_concurrent_calls, 4);
    /// ```
    #[must_use]
    pub fn with_processor(mut self, processor: ProcessorOptions) -> Self {
        self.processor = processor;
        self
    }

    /// Sets how many sessions may be held at once; one at least.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// let options = SessionProcessorOptions::new().with_max_concurrent_sessions(100);
    /// assert_eq!(options.max_concurrent_sessions, 100);
    /// ```
    #[must_use]
    pub fn with_max_concurrent_sessions(mut self, sessions: usize) -> Self {
        self.max_concurrent_sessions = sessions;
        self
    }

    /// Sets how long a session may have no message before it makes room for others.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// # use servicebus_core::client::SessionProcessorOptions;
    ///
    /// let options = SessionProcessorOptions::new().with_session_idle_timeout(Duration::from_secs(5));
    /// assert_eq!(options.session_idle_timeout, Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn with_session_idle_timeout(mut self, timeout: Duration) -> Self {
        self.session_idle_timeout = timeout;
        self
    }
}
