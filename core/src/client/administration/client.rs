//! The client: its handle, its requests, and the calls common to all entities.

use super::credential::Authority;
use super::race::race;
use super::{AdministrationError, HttpClient, Timer};
use crate::client::Error;
use crate::random::Random;
use crate::servicebus::administration::{
    ApiVersion, Changes, Creates, Endpoint, EntityDescription, EntityProperties, FromEntry, InvalidRequest, Operation,
    RequestBuilder, Resource, Response, ServiceError, ServiceErrorKind, UnsignedRequest, VersionedProperties,
    read_deleted, read_one,
};
use crate::servicebus::{Argument, ConnectionString, Reason, RetryPolicy};
use crate::storage::Heap;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};

/// How an administration client works.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use servicebus_core::client::administration::AdministrationOptions;
/// use servicebus_core::servicebus::RetryPolicy;
///
/// let patient = RetryPolicy::new().with_max_retries(10).with_try_timeout(Duration::from_secs(20));
/// let options = AdministrationOptions::new().with_retry(patient);
/// assert_eq!(options.retry.max_retries, 10);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdministrationOptions {
    /// The version of the API: the newest by default.
    pub api_version: ApiVersion,
    /// When failed requests are tried again.
    pub retry: RetryPolicy,
    /// Varies the pauses between attempts.
    pub seed: u64,
}

impl AdministrationOptions {
    /// The newest version of the API and the retry policy of the official SDKs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// assert_eq!(AdministrationOptions::new().retry, RetryPolicy::new());
    /// ```
    pub fn new() -> Self {
        Self { seed: seed(), ..Self::default() }
    }

    /// With another version of the API.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::administration::ApiVersion;
    /// let older = AdministrationOptions::new().with_api_version(ApiVersion::V2017_04);
    /// assert_eq!(older.api_version, ApiVersion::V2017_04);
    /// ```
    #[must_use]
    pub fn with_api_version(self, api_version: ApiVersion) -> Self {
        Self { api_version, ..self }
    }

    /// With another retry policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let once = AdministrationOptions::new().with_retry(RetryPolicy::none());
    /// assert_eq!(once.retry.max_retries, 0);
    /// ```
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// With a seed for the pauses between attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// let same_pauses_each_time = AdministrationOptions::new().with_seed(1);
    /// assert_eq!(same_pauses_each_time.seed, 1);
    /// ```
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// A random number for each client, where there is a source. The time of day is mixed in with each call.
#[cfg(feature = "std")]
fn seed() -> u64 {
    use core::hash::{BuildHasher, Hasher};
    // A hasher's keys are random for every one that is made.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(not(feature = "std"))]
const fn seed() -> u64 {
    0
}

/// Creates, reads, changes and deletes queues, topics, subscriptions and rules of a namespace.
///
/// It is a cheap handle: clones share connections and credential, and [`close`](Self::close) closes them for all
/// clones, as does the end of the last one.
///
/// Requests that fail in passing (no answer, throttling, trouble of the service) are tried again as the retry policy
/// says; where the service asks for a longer pause (`Retry-After`), it gets that, up to the policy's `max_delay`. A
/// creation whose first answer was lost can thus end as [`AlreadyExists`](ServiceErrorKind::AlreadyExists), a deletion
/// as [`NotFound`](ServiceErrorKind::NotFound). [`update_if_unchanged`](Self::update_if_unchanged) is tried again only
/// where the service was too busy to begin.
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
    shared: Arc<Shared<H, T>>,
    within: Option<Duration>,
}

struct Shared<H, T> {
    http: H,
    timer: T,
    requests: RequestBuilder,
    authority: Authority,
    options: AdministrationOptions,
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

    pub(super) fn requests(&self) -> &RequestBuilder {
        &self.shared.requests
    }

    /// Sends a request until there is an answer that trying again would not change, attempts are used up, or time is.
    pub(super) async fn send(
        &self,
        unsigned: &UnsignedRequest,
        operation: Operation,
    ) -> Result<Response, AdministrationError<H::Error>> {
        // On the heap: connecting and TLS take tens of kilobytes, which every call of a function that makes several would
        // have on the stack.
        let mut attempts = Box::pin(self.attempts(unsigned, operation));
        match self.within {
            None => attempts.await,
            Some(within) => {
                let most = self.shared.timer.sleep(within);
                race(attempts.as_mut(), pin!(most)).await.unwrap_or(Err(AdministrationError::Timeout))
            }
        }
    }

    async fn attempts(
        &self,
        unsigned: &UnsignedRequest,
        operation: Operation,
    ) -> Result<Response, AdministrationError<H::Error>> {
        let Shared { timer, options, .. } = &*self.shared;
        let retry = &options.retry;
        let mut random = Random::seeded(options.seed ^ timer.utc().as_millis().unsigned_abs());
        // The version that it asks for may be gone by its own first attempt: a repetition would call that a conflict.
        let once = unsigned.asks_for_version();
        let mut attempt = 0;
        loop {
            if self.is_closed() {
                return Err(AdministrationError::Closed);
            }
            let result = race(pin!(self.attempt(unsigned)), pin!(timer.sleep(retry.try_timeout)))
                .await
                .unwrap_or(Err(AdministrationError::Timeout));
            let (reason, least) = match &result {
                Ok(response) if (200..300).contains(&response.status) => return result,
                Ok(response) => {
                    let error = ServiceError::read(response, operation);
                    if !error.is_transient() {
                        return result;
                    }
                    let busy = error.kind == ServiceErrorKind::Throttled;
                    if once && !busy {
                        return result;
                    }
                    (busy.then_some(Reason::ServerBusy), error.retry_after.unwrap_or_default())
                }
                Err(error) if error.is_transient() && !once => (None, Duration::ZERO),
                Err(_) => return result,
            };
            let Some(delay) = retry.delay(attempt, reason, &mut random) else { return result };
            timer.sleep(delay.max(least.min(retry.max_delay))).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, unsigned: &UnsignedRequest) -> Result<Response, AdministrationError<H::Error>> {
        let Shared { http, timer, requests, authority, .. } = &*self.shared;
        let mut again = false;
        loop {
            let authorization = authority.authorize(timer).await?;
            let request = unsigned.sign(|audience| authorization.for_audience(audience));
            let response = http.send(requests.endpoint(), request).await.map_err(AdministrationError::Transport)?;
            // Nothing was carried out: a key may have been exchanged, or rights given, since the token was made.
            if response.status != 401 || again || !authority.refused(&authorization) {
                return Ok(response);
            }
            again = true;
        }
    }

    pub(super) async fn put<E: FromEntry>(
        &self,
        unsigned: UnsignedRequest,
        resource: Resource,
        operation: Operation,
    ) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&unsigned, operation).await?;
        Ok(read_one(&response, &resource, operation)?)
    }

    pub(super) async fn get<E: FromEntry>(&self, resource: Resource) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&self.requests().get(&resource)?, Operation::Get).await?;
        Ok(read_one(&response, &resource, Operation::Get)?)
    }

    pub(super) async fn delete(&self, resource: Resource) -> Result<(), AdministrationError<H::Error>> {
        let response = self.send(&self.requests().delete(&resource)?, Operation::Delete).await?;
        Ok(read_deleted(&response)?)
    }

    pub(super) async fn exists<E: FromEntry>(&self, resource: Resource) -> Result<bool, AdministrationError<H::Error>> {
        match self.get::<E>(resource).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a queue, topic, subscription or rule.
    ///
    /// ```
    /// use core::time::Duration;
    /// use servicebus_core::servicebus::administration::{QueueDescription, QueueProperties};
    ///
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let baskets = QueueDescription::new("baskets").with_lock_duration(Duration::from_secs(30));
    /// let created: QueueProperties = admin.create(&baskets).await?;
    /// assert_eq!(created.lock_duration, Duration::from_secs(30));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_already_exists`](AdministrationError::is_already_exists) where there is an entity
    /// of this name.
    #[doc(alias = "create_queue")]
    #[doc(alias = "create_topic")]
    #[doc(alias = "create_subscription")]
    #[doc(alias = "create_rule")]
    pub async fn create<D: EntityDescription>(
        &self,
        description: &D,
    ) -> Result<D::Properties, AdministrationError<H::Error>> {
        let unsigned = Creates::request(description, self.requests())?;
        self.put(unsigned, Creates::resource(description), Operation::Create).await
    }

    /// Creates a queue, topic, subscription or rule unless there is one of this name, whose settings stay as they are.
    /// Returns whether this call saw it being created.
    ///
    /// `false` does not show who created it: when the answer to the first attempt was lost, the next one finds the
    /// entity that the first has created. `true` is certain.
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]. A queue with the name of the new topic, or the other way round, counts as existing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::QueueDescription;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.create_if_missing(&QueueDescription::new("baskets")).await?);
    /// assert!(!admin.create_if_missing(&QueueDescription::new("baskets")).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_if_missing<D: EntityDescription>(
        &self,
        description: &D,
    ) -> Result<bool, AdministrationError<H::Error>> {
        match self.create(description).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces the settings of a queue, topic or subscription: read them, change them, and send them back. Open links
    /// are detached and come back by themselves. A change that was made in between is lost; see
    /// [`update_if_unchanged`](Self::update_if_unchanged).
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_not_found`](AdministrationError::is_not_found) where the entity is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut orders = admin.get_queue("orders").await?;
    /// orders.dead_lettering_on_message_expiration = true;
    /// let orders = admin.update(&orders).await?;
    /// assert!(orders.dead_lettering_on_message_expiration);
    /// # Ok(())
    /// # });
    /// ```
    #[doc(alias = "update_queue")]
    #[doc(alias = "update_topic")]
    #[doc(alias = "update_subscription")]
    pub async fn update<P: EntityProperties>(&self, properties: &P) -> Result<P, AdministrationError<H::Error>> {
        let unsigned = Changes::request(properties, self.requests())?;
        self.put(unsigned, Changes::resource(properties), Operation::Update).await
    }

    /// As [`update`](Self::update), for settings that are still those that were read: they are compared by their ETag,
    /// which `get_queue` and `get_topic` bring. Subscriptions have none: the service sends their topic's ETag with
    /// them, which an update of the subscription does not change.
    ///
    /// An attempt that may have changed the settings is not repeated, since the repetition would find another version
    /// and call that a conflict: it ends as `Transport`, `Timeout`, or what the service said. Read the settings to
    /// learn what is true. Only where the service is too busy to begin is it tried again, as the retry policy says.
    ///
    /// Whether Azure compares the ETag is not known from its documents; an emulator does.
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_conflict`](AdministrationError::is_conflict) where the settings were changed in
    /// between: read them again. [`InvalidRequest::NoETag`] for settings that were not read by a get.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// loop {
    ///     let mut orders = admin.get_queue("orders").await?;
    ///     orders.max_delivery_count += 1;
    ///     match admin.update_if_unchanged(&orders).await {
    ///         Err(error) if error.is_conflict() => continue,
    ///         other => break other?,
    ///     }
    /// };
    /// # Ok(())
    /// # });
    /// ```
    pub async fn update_if_unchanged<P: VersionedProperties>(
        &self,
        properties: &P,
    ) -> Result<P, AdministrationError<H::Error>> {
        let etag = properties.etag().ok_or(InvalidRequest::NoETag)?;
        let unsigned = Changes::request(properties, self.requests())?.if_match(etag);
        self.put(unsigned, Changes::resource(properties), Operation::Update).await
    }
}
