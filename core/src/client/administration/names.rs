//! The names under which an adapter crate exports the administration client for its runtime.

/// Names everything of the administration client for one runtime and its TCP, in the crate `$name`, and asserts that it
/// may cross threads.
///
/// # Examples
///
/// ```
/// # use servicebus_core::{client::State, driver::Transport, machine::Clock, runtime::Runtime, storage::Heap};
/// # use servicebus_core::{time::{Instant, Timestamp}, transport::Network};
/// # use std::{io, sync::{Arc, Mutex}};
/// /// The runtime of an adapter.
/// #[derive(Clone, Debug)]
/// pub struct Own;
///
/// /// Its TCP.
/// #[derive(Clone, Debug, Default)]
/// pub struct Tcp;
///
/// servicebus_core::administration_names!(Own, Tcp, "servicebus_own");
/// # impl Runtime for Own {
/// #     type Storage = Heap;
/// #     type Shared = Arc<Mutex<State<Self>>>;
/// #     fn clock(&self) -> Clock {
/// #         Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH }
/// #     }
/// #     async fn sleep_until(&self, _: Instant) {}
/// # }
/// # pub struct Nowhere;
/// # impl Network for Tcp {
/// #     type Stream = Nowhere;
/// #     async fn connect(&self, _: &str, _: u16) -> io::Result<Nowhere> {
/// #         Ok(Nowhere)
/// #     }
/// # }
/// # impl Transport for Nowhere {
/// #     type Error = io::Error;
/// #     type Reader<'a> = Nowhere;
/// #     type Writer<'a> = Nowhere;
/// #     fn split(&mut self) -> (Nowhere, Nowhere) {
/// #         (Nowhere, Nowhere)
/// #     }
/// # }
/// # impl embedded_io_async::ErrorType for Nowhere {
/// #     type Error = io::Error;
/// # }
/// # impl embedded_io_async::Read for Nowhere {
/// #     async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
/// #         Ok(0)
/// #     }
/// # }
/// # impl embedded_io_async::Write for Nowhere {
/// #     async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
/// #         Ok(bytes.len())
/// #     }
/// #     async fn flush(&mut self) -> io::Result<()> {
/// #         Ok(())
/// #     }
/// # }
///
/// // What users of the adapter write, without generics.
/// pub async fn has_orders(admin: &AdministrationClient) -> Result<bool, AdministrationError> {
///     admin.queue_exists("orders").await
/// }
/// ```
#[cfg(feature = "http")]
#[macro_export]
macro_rules! administration_names {
    ($runtime:ty, $network:ty, $name:literal) => {
        pub use $crate::client::administration::AdministrationOptions;
        pub use $crate::servicebus::administration::{
            AccessRights, ApiVersion, AuthorizationRule, CorrelationRuleFilter, DEFAULT_RULE_NAME, ETag, Endpoint,
            EntityAvailabilityStatus, EntityDescription, EntityProperties, EntityStatus, InvalidElement, InvalidName,
            InvalidRequest, MAX_TIME_SPAN, MessageCountDetails, MessagingSku, NamespaceProperties, NamespaceType,
            QueueDescription, QueueProperties, QueueRuntimeProperties, ResponseError, RuleDescription, RuleFilter,
            RuleProperties, RuleValue, ServiceError, ServiceErrorKind, SqlRuleAction, SqlRuleFilter,
            SubscriptionDescription, SubscriptionProperties, SubscriptionRuntimeProperties, TimeSpan, TopicDescription,
            TopicProperties, TopicRuntimeProperties, VersionedProperties, XmlError,
        };
        pub use $crate::transport::HttpError;

        /// HTTP/1.1 over TCP and TLS; see [`servicebus_core::transport::Http`]($crate::transport::Http).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, AdministrationOptions, Http};")]
        ///
        /// # async fn example(connection_string: &str) -> Result<(), Box<dyn std::error::Error>> {
        /// let options = AdministrationOptions::new();
        /// let admin = AdministrationClient::connect_with(connection_string, options, Http::default())?;
        /// # drop(admin);
        /// # Ok(())
        /// # }
        /// ```
        pub type Http = $crate::transport::Http<$network>;
        /// Creates, reads, changes and deletes entities; see
        /// [`servicebus_core::client::administration::AdministrationClient`]($crate::client::administration::AdministrationClient).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, QueueDescription};")]
        ///
        /// # async fn example(connection_string: &str) -> Result<(), Box<dyn std::error::Error>> {
        /// let admin = AdministrationClient::connect(connection_string)?;
        /// admin.create_if_missing(&QueueDescription::new("orders")).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type AdministrationClient = $crate::client::administration::AdministrationClient<Http, $runtime>;
        /// Why an operation failed; see
        /// [`servicebus_core::client::administration::AdministrationError`]($crate::client::administration::AdministrationError).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, AdministrationError};")]
        ///
        /// # async fn example(admin: AdministrationClient) -> Result<(), Box<dyn std::error::Error>> {
        /// match admin.get_queue("orders").await {
        ///     Ok(orders) => println!("{orders:?}"),
        ///     Err(AdministrationError::Transport(error)) => println!("no answer: {error}"),
        ///     Err(error) => return Err(error.into()),
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type AdministrationError = $crate::client::administration::AdministrationError<HttpError>;
        /// A list that is read page by page; see
        /// [`servicebus_core::client::administration::Pages`]($crate::client::administration::Pages).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, Pages, QueueProperties};")]
        ///
        /// # async fn example(admin: AdministrationClient) -> Result<(), Box<dyn std::error::Error>> {
        /// let mut pages: Pages<QueueProperties> = admin.list_queues().with_page_size(20);
        /// while let Some(queues) = pages.next_page().await? {
        ///     println!("{} queues", queues.len());
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type Pages<E> = $crate::client::administration::Pages<Http, $runtime, E>;
        /// The subscriptions of a topic; see
        /// [`servicebus_core::client::administration::TopicAdministration`]($crate::client::administration::TopicAdministration).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, RuleFilter, TopicAdministration};")]
        ///
        /// # async fn example(admin: AdministrationClient) -> Result<(), Box<dyn std::error::Error>> {
        /// let events: TopicAdministration = admin.topic("events");
        /// events.create_subscription("big", RuleFilter::sql("total >= 1000")).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type TopicAdministration = $crate::client::administration::TopicAdministration<Http, $runtime>;
        /// The rules of a subscription; see
        /// [`servicebus_core::client::administration::SubscriptionAdministration`]($crate::client::administration::SubscriptionAdministration).
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::administration::{AdministrationClient, RuleFilter, SubscriptionAdministration};")]
        ///
        /// # async fn example(admin: AdministrationClient) -> Result<(), Box<dyn std::error::Error>> {
        /// let audit: SubscriptionAdministration = admin.topic("events").subscription("audit");
        /// audit.create_rule("big", RuleFilter::sql("total >= 1000")).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type SubscriptionAdministration =
            $crate::client::administration::SubscriptionAdministration<Http, $runtime>;

        const _: () = {
            const fn crosses_threads<T: Send + Sync>() {}
            crosses_threads::<AdministrationClient>();
            crosses_threads::<AdministrationError>();
            crosses_threads::<Pages<QueueProperties>>();
            crosses_threads::<TopicAdministration>();
            crosses_threads::<SubscriptionAdministration>();
        };
    };
}
