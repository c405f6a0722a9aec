//! How a client is made, written once for the adapters.

/// Makes the type `Options` of an adapter over its network: its settings are the same on every runtime. It is a type of
/// the adapter, which adds how the driver is run; in core, the compiler could not know that the driver of an unknown
/// runtime may move between threads.
///
/// The names that it uses are those of [`client_names!`](crate::client_names). The name of the crate follows the network,
/// for the examples; further fields follow it with their attributes, and begin as their types' defaults.
#[doc(hidden)]
#[macro_export]
macro_rules! client_options {
    ($network:ty, $name:literal $(, $(#[$attribute:meta])* $field:ident: $type:ty)*) => {
        /// How a client is made.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("use ", $name, "::Options;")]
        /// use std::time::Duration;
        ///
        /// let options = Options::for_namespace("contoso.servicebus.windows.net")?
        ///     .with_idle_timeout(Duration::from_secs(240))
        ///     .with_max_frame_bytes(16_384);
        /// # drop(options);
        #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
        /// ```
        #[derive(Clone, Debug)]
        pub struct Options {
            settings: $crate::machine::Settings<$crate::storage::Heap>,
            dialer: $crate::transport::Dialer<$network>,
            $($(#[$attribute])* $field: $type,)*
        }

        impl Options {
            /// The defaults of the official SDKs for a connection string.
            ///
            /// # Errors
            /// A connection string that is not valid; the text names the key.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let host = "contoso.servicebus.windows.net";
            /// let options = Options::new(format!("Endpoint=sb://{host};SharedAccessKeyName=send;SharedAccessKey=YQ=="))?;
            /// assert!(!format!("{options:?}").contains("YQ=="), "the key is not shown");
            /// assert!(Options::new(host).is_err(), "that is no connection string");
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            pub fn new(connection_string: impl Into<String>) -> Result<Self, Error> {
                let connection_string = connection_string.into();
                $crate::servicebus::ConnectionString::parse_endpoint(&connection_string)
                    .map_err(|error| Error::invalid(Argument::ConnectionString, &error))?
                    .check_host()
                    .map_err(|argument| Error::invalid(argument, &"the endpoint's is longer"))?;
                Ok(Self {
                    settings: $crate::machine::Settings::new(connection_string.into(), $crate::transport::seed()),
                    dialer: $crate::transport::Dialer::new(<$network>::default()),
                    $($(#[$attribute])* $field: Default::default(),)*
                })
            }

            /// The defaults for a namespace by its host name, such as `contoso.servicebus.windows.net`, or its address,
            /// such as `https://contoso.servicebus.windows.net/`; to be connected with a credential.
            ///
            /// # Errors
            /// A host name that is not valid.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?;
            /// assert!(Options::for_namespace("not a host").is_err());
            ///
            /// // Of a connection string, the error repeats nothing: it holds a key.
            /// let error = Options::for_namespace("Endpoint=sb://contoso;SharedAccessKey=YQ==").unwrap_err();
            /// assert!(error.to_string().ends_with("a connection string is not a host name"));
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            pub fn for_namespace(host: &str) -> Result<Self, Error> {
                $crate::servicebus::ConnectionString::check_namespace(host)
                    .map_err(|why| Error::invalid(Argument::HostName, &why))?;
                Self::new(format!("Endpoint={host}"))
            }

            /// Sets when to try again.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::{Options, RetryPolicy};")]
            ///
            /// let policy = RetryPolicy::default().with_max_retries(10);
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_retry(policy);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
                self.settings.retry = retry;
                self
            }

            /// Lets transactions span several queues and topics, all or nothing. Such a client receives from one entity
            /// only, the first that it receives from or peeks: the service pins its connection to that. It sends to all
            /// of them.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let host = "contoso.servicebus.windows.net";
            /// let options = Options::for_namespace(host)?.with_cross_entity_transactions(true);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_cross_entity_transactions(mut self, enabled: bool) -> Self {
                self.settings.cross_entity_transactions = enabled;
                self
            }

            /// Sets which certificates are trusted.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::{Options, Tls};")]
            ///
            /// // What stands between this machine and Azure has certificates of the company's own.
            /// # let pem = String::new();
            /// let tls = Tls::authorities_from_pem(pem.as_bytes())?;
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_tls(tls);
            /// # drop(options);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[must_use]
            pub fn with_tls(mut self, tls: Tls) -> Self {
                self.dialer = self.dialer.with_tls(tls);
                self
            }

            /// Connects to another host and port than the connection string's, such as a private endpoint's;
            /// certificates, tokens and AMQP still go by the namespace's own name.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_endpoint("10.0.0.4", 5671);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_endpoint(mut self, host: impl Into<String>, port: u16) -> Self {
                self.dialer = self.dialer.with_endpoint(host, port);
                self
            }

            /// Connects over WebSockets, for networks that only let HTTPS out: to port 443, or to an emulator's own
            /// port without TLS.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_websockets();
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[cfg(feature = "websockets")]
            #[must_use]
            pub fn with_websockets(mut self) -> Self {
                self.dialer = self.dialer.with_websockets();
                self
            }

            /// Connects through an HTTP proxy: with `with_websockets` where it lets port 443 out only. Hosts are
            /// resolved by the proxy.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::{Options, Proxy};")]
            ///
            /// let proxy = Proxy::new("http://user:secret@proxy.contoso.com:3128")?;
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_proxy(proxy);
            /// assert!(!format!("{options:?}").contains("secret"));
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[cfg(feature = "proxy")]
            #[must_use]
            pub fn with_proxy(mut self, proxy: Proxy) -> Self {
                self.dialer = self.dialer.with_proxy(proxy);
                self
            }

            /// Sets how much the client may hold: links, messages under way, bytes that are buffered.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::{Limits, Options};")]
            ///
            /// let limits = Limits::new().with_links(50).with_buffered_bytes(8 << 20);
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_limits(limits);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_limits(mut self, limits: Limits) -> Self {
                self.settings.limits = limits;
                self
            }

            /// Sets the silence after which the service takes the connection for lost: a minute by default, a second at
            /// least. Heartbeats keep it from that.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            /// use std::time::Duration;
            ///
            /// let quiet = Duration::from_secs(240);
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_idle_timeout(quiet);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_idle_timeout(mut self, timeout: ::core::time::Duration) -> Self {
                self.settings = self.settings.with_idle_timeout(timeout);
                self
            }

            /// Sets the largest frame that is accepted, in bytes: 65 536 by default, 512 at least.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_max_frame_bytes(16_384);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_max_frame_bytes(mut self, bytes: u32) -> Self {
                self.settings = self.settings.with_max_frame_bytes(bytes);
                self
            }

            /// Sets whether a message that is sent without an id gets a UUID, the same in every attempt, so that an
            /// entity that detects duplicates keeps one. It does by default.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use ", $name, "::Options;")]
            ///
            /// let options = Options::for_namespace("contoso.servicebus.windows.net")?.with_message_ids(false);
            /// # drop(options);
            #[doc = concat!("# Ok::<(), ", $name, "::Error>(())")]
            /// ```
            #[must_use]
            pub fn with_message_ids(mut self, gives: bool) -> Self {
                self.settings.message_ids = gives;
                self
            }
        }
    };
}

/// A random number for each client.
#[doc(hidden)]
pub fn seed() -> u64 {
    use core::hash::{BuildHasher, Hasher};
    // Each new hasher has random keys.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
