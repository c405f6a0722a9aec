//! The client: how it is made, its handles and its end.

use super::credential::Authority;
use super::race::race;
use super::{AdministrationOptions, HttpClient, Timer};
use crate::client::Error;
use crate::servicebus::administration::{Endpoint, RequestBuilder};
use crate::servicebus::{Argument, ConnectionString};
use crate::storage::Heap;
use crate::time::Duration;
use alloc::sync::Arc;
use core::fmt;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};

/// Creates, reads, changes and deletes queues, topics, subscriptions and rules of a namespace.
///
/// It is a cheap handle: clones share connections and credential, and [`close`](Self::close) closes them for all
/// clones, as does the end of the last one.
///
/// Requests that fail in passing (no answer, throttling, trouble of the service) are tried again as the retry policy
/// says; where the service asks for a longer pause (`Retry-After`), it gets that, up to the policy's `max_delay`. A
/// creation whose first answer was lost can thus end as [`AlreadyExists`], a deletion as [`NotFound`].
/// [`update_if_unchanged`](Self::update_if_unchanged) is tried again only where the service was too busy to begin.
///
/// [`AlreadyExists`]: crate::servicebus::administration::ServiceErrorKind::AlreadyExists
/// [`NotFound`]: crate::servicebus::administration::ServiceErrorKind::NotFound
///
/// Cancel safety of every call that changes an entity: a dropped future may still have changed it. Calls that read lose
/// nothing. Every call ends within the retry policy, or within [`timeout`](Self::timeout).
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{QueueDescription, RuleFilter};
/// # servicebus_simulation::administration_example(async |admin| {
/// admin.create_if_missing(&QueueDescription::new("baskets").with_max_delivery_count(3)).await?;
/// admin.topic("events").create_subscription_if_missing("big", RuleFilter::sql("total >= 1000")).await?;
/// for queue in admin.list_queues().all().await? {
///     println!("{}: at most {} deliveries", queue.name, queue.max_delivery_count);
/// }
/// # Ok(())
/// # });
/// ```
pub struct AdministrationClient<H, T> {
    pub(super) shared: Arc<Shared<H, T>>,
    pub(super) within: Option<Duration>,
}

pub(super) struct Shared<H, T> {
    pub(super) http: H,
    pub(super) timer: T,
    pub(super) requests: RequestBuilder,
    pub(super) authority: Authority,
    pub(super) options: AdministrationOptions,
    closed: AtomicBool,
}

impl<H, T> Clone for AdministrationClient<H, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), within: self.within }
    }
}

impl<H, T> fmt::Debug for AdministrationClient<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdministrationClient")
            .field("endpoint", self.shared.requests.endpoint())
            .field("authority", &self.shared.authority)
            .field("options", &self.shared.options)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

impl<H: HttpClient + Default, T: Timer + Default> AdministrationClient<H, T> {
    /// A client for the namespace of a connection string, the same string that messages are sent with, on Azure and on
    /// an emulator; see [`Endpoint::from_connection_string`]. It connects when it is used.
    ///
    /// # Errors
    /// A connection string that is not valid; the text names the key.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_simulation::SimulatedAdministration as AdministrationClient;
    ///
    /// let text = "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";
    /// let admin = AdministrationClient::connect(text)?;
    /// assert!(AdministrationClient::connect("Endpoint=sb://localhost").is_err());
    /// # let _ = admin;
    /// # Ok::<(), servicebus_core::client::Error<servicebus_core::storage::Heap>>(())
    /// ```
    pub fn connect(connection_string: impl AsRef<str>) -> Result<Self, Error<Heap>> {
        Self::connect_with(connection_string, AdministrationOptions::new(), H::default())
    }
}

impl<H: HttpClient, T: Timer + Default> AdministrationClient<H, T> {
    /// As [`connect`](Self::connect), with options, and with an HTTP client that was set up.
    ///
    /// # Errors
    /// A connection string that is not valid; the text names the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_simulation::{SimulatedAdministration as AdministrationClient, SimulatedHttp as Http};
    /// use servicebus_core::client::administration::AdministrationOptions;
    /// use servicebus_core::servicebus::RetryPolicy;
    ///
    /// let options = AdministrationOptions::new().with_retry(RetryPolicy::none());
    /// let text = "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";
    /// let admin = AdministrationClient::connect_with(text, options, Http::default())?;
    /// # let _ = admin;
    /// # Ok::<(), servicebus_core::client::Error<servicebus_core::storage::Heap>>(())
    /// ```
    pub fn connect_with(
        connection_string: impl AsRef<str>,
        options: AdministrationOptions,
        http: H,
    ) -> Result<Self, Error<Heap>> {
        let text = ConnectionString::parse(connection_string.as_ref())
            .map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
        Ok(Self::from_connection_string(&text, options, http, T::default()))
    }

    /// A client for a namespace by its host name, such as `contoso.servicebus.windows.net`, whose tokens come from
    /// `credential`, as those of a client for messages: a closure that returns a future, a
    /// [`Credential`](crate::client::Credential), or with feature `azure-identity` an `AzureCredential`. A token is
    /// kept until five minutes before its end.
    ///
    /// # Errors
    /// A host name that is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_simulation::{SimulatedAdministration as AdministrationClient, SimulatedHttp as Http};
    /// use servicebus_core::client::HeapToken;
    /// use servicebus_core::client::administration::AdministrationOptions;
    /// use servicebus_core::time::Timestamp;
    ///
    /// // The command line tool of Azure prints a token with its end.
    /// let credential = || async {
    ///     let (token, end) = ("eyJ0eXAiOi".to_owned(), Timestamp::from_secs(1_800_000_000));
    ///     Ok::<_, std::io::Error>(HeapToken::jwt(token, end))
    /// };
    /// let (host, options) = ("contoso.servicebus.windows.net", AdministrationOptions::new());
    /// let admin = AdministrationClient::for_namespace(host, credential, options, Http::default())?;
    /// # let _ = admin;
    /// # Ok::<(), servicebus_core::client::Error<servicebus_core::storage::Heap>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn for_namespace(
        host: &str,
        credential: impl crate::client::Credential,
        options: AdministrationOptions,
        http: H,
    ) -> Result<Self, Error<Heap>> {
        ConnectionString::check_namespace(host).map_err(|why| Error::invalid(Argument::HostName, &why))?;
        Ok(Self::with_credential(Endpoint::new(host), credential, options, http, T::default()))
    }
}

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    fn new(endpoint: Endpoint, authority: Authority, options: AdministrationOptions, http: H, timer: T) -> Self {
        let requests = RequestBuilder::new(endpoint, options.api_version);
        let closed = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { http, timer, requests, authority, options, closed }), within: None }
    }

    /// A client for the namespace at this endpoint, whose tokens come from `credential`.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::client::HeapToken;
    /// use servicebus_core::client::administration::{AdministrationClient, AdministrationOptions};
    /// use servicebus_core::servicebus::administration::{Endpoint, shared_access_token};
    /// # use servicebus_core::storage::Heap;
    /// use servicebus_core::time::{Duration, Timestamp};
    ///
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (http, timer, now) = (world.http(), world.runtime::<Heap>(), world.clock().utc);
    /// let endpoint = Endpoint::new("localhost").with_port(5_300);
    /// let audience = endpoint.audience();
    /// let sign = move || {
    ///     let token = shared_access_token(&audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", now);
    ///     async move { Ok::<_, std::io::Error>(HeapToken::sas(token, now + Duration::from_secs(3_600))) }
    /// };
    /// let admin = AdministrationClient::with_credential(endpoint, sign, AdministrationOptions::new(), http, timer);
    /// assert!(admin.queue_exists("orders").await?);
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "std")]
    pub fn with_credential(
        endpoint: Endpoint,
        credential: impl crate::client::Credential,
        options: AdministrationOptions,
        http: H,
        timer: T,
    ) -> Self {
        let audience = alloc::format!("sb://{}/", endpoint.host());
        let authority = Authority::Credential(super::credential::Asked::new(audience, credential));
        Self::new(endpoint, authority, options, http, timer)
    }

    /// A client for the namespace of a connection string; see [`Endpoint::from_connection_string`] for how it names an
    /// emulator.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::client::administration::{AdministrationClient, AdministrationOptions};
    /// use servicebus_core::servicebus::ConnectionString;
    /// # use servicebus_core::storage::Heap;
    ///
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (http, timer) = (world.http(), world.runtime::<Heap>());
    /// let text = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    ///     SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";
    /// let text = ConnectionString::parse(text)?;
    /// let admin = AdministrationClient::from_connection_string(&text, AdministrationOptions::new(), http, timer);
    /// assert!(admin.queue_exists("orders").await?);
    /// # Ok(())
    /// # });
    /// ```
    pub fn from_connection_string(
        text: &ConnectionString<'_>,
        options: AdministrationOptions,
        http: H,
        timer: T,
    ) -> Self {
        Self::new(Endpoint::from_connection_string(text), text.credential.into(), options, http, timer)
    }

    /// A clone whose calls end within this time, retries included; of a list, each page.
    ///
    /// A call that is ended by it is [`AdministrationError::Timeout`]. A change may have been made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let orders = admin.timeout(Duration::from_secs(5)).get_queue("orders").await?;
    /// # assert_eq!(orders.name, "orders");
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, within: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), within: Some(within) }
    }

    /// Closes the client and all its clones: connections that wait for a request are closed, those of calls under way
    /// when the attempt that they make has ended. Later calls end as [`AdministrationError::Closed`].
    ///
    /// Cancel safety: a dropped future has closed the client.
    ///
    /// Bound: one attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationError;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.close().await;
    /// assert!(matches!(admin.get_queue("orders").await, Err(AdministrationError::Closed)));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let closing = self.shared.http.close();
        let most = self.shared.timer.sleep(self.within.unwrap_or(self.shared.options.retry.try_timeout));
        race(pin!(closing), pin!(most)).await;
    }

    /// Whether the client or one of its clones was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.clone().close().await;
    /// assert!(admin.is_closed());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}
