//! Where a namespace is managed.

use super::resource::Resource;
use crate::servicebus::ConnectionString;
use crate::servicebus::connection_string::parse_endpoint;
use alloc::string::{String, ToString};

/// The management port of an emulator.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::ConnectionString;
/// use servicebus_core::servicebus::administration::{EMULATOR_PORT, Endpoint};
///
/// let text = "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";
/// assert_eq!(Endpoint::from_connection_string(&ConnectionString::parse(text)?).port(), EMULATOR_PORT);
/// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
/// ```
pub const EMULATOR_PORT: u16 = 5_300;

/// Where a namespace is managed.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::Endpoint;
///
/// let contoso = Endpoint::new("contoso.servicebus.windows.net");
/// assert_eq!((contoso.port(), contoso.uses_tls()), (443, true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: Option<u16>,
    tls: bool,
    /// The queue or topic whose key the requests are signed with.
    entity_path: Option<String>,
}

/// A port, unless it is the usual one of HTTPS or of AMQP.
fn unusual(port: Option<u16>) -> Option<u16> {
    port.filter(|port| !matches!(port, 443 | 5_671))
}

impl Endpoint {
    /// A namespace of the cloud, by its host name. Of an address, such as the one that the portal shows, the host counts,
    /// and a port that is not that of AMQP.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// let contoso = Endpoint::new("contoso.servicebus.windows.net");
    /// assert_eq!(contoso.audience(), "https://contoso.servicebus.windows.net");
    /// assert_eq!(contoso, Endpoint::new("https://contoso.servicebus.windows.net:443/"));
    /// ```
    pub fn new(host: impl Into<String>) -> Self {
        let host = host.into();
        match parse_endpoint(&host) {
            Some((host, port)) => Self { host: host.into(), port: unusual(port), tls: true, entity_path: None },
            None => Self { host, port: None, tls: true, entity_path: None },
        }
    }

    /// The endpoint of a connection string. With `UseDevelopmentEmulator=true` it is plain HTTP on the port that the
    /// string's endpoint names (`Endpoint=sb://localhost:5300;…`), or on [`EMULATOR_PORT`]; otherwise HTTPS on the
    /// usual port, unless the string names another one that is not that of AMQP. Requests for the entity of an
    /// `EntityPath` are signed for that entity, so that a key of its own will do; others are left to the service to
    /// refuse.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ConnectionString;
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// let text = "Endpoint=sb://[::1]:8300;SharedAccessKeyName=Root;SharedAccessKey=k;UseDevelopmentEmulator=true";
    /// let emulator = Endpoint::from_connection_string(&ConnectionString::parse(text)?);
    /// assert_eq!((emulator.port(), emulator.uses_tls()), (8_300, false));
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
    /// ```
    pub fn from_connection_string(text: &ConnectionString<'_>) -> Self {
        let port = match (text.use_development_emulator, text.port) {
            (true, port) => Some(port.unwrap_or(EMULATOR_PORT)),
            (false, port) => unusual(port),
        };
        let entity_path = text.entity_path.map(Into::into);
        Self { host: text.host.into(), port, tls: !text.use_development_emulator, entity_path }
    }

    /// With another port, for an emulator whose ports are not the usual ones.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").with_port(8_443).authority(), "contoso.example:8443");
    /// ```
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The host's name or address.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").host(), "contoso.example");
    /// ```
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").port(), 443);
    /// ```
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether to encrypt the connection: always, except for an emulator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert!(Endpoint::new("contoso.example").uses_tls());
    /// ```
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// The host as URIs write it, with the port when it is not the usual one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("::1").with_port(5_300).authority(), "[::1]:5300");
    /// ```
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { alloc::format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => alloc::format!("{host}:{port}"),
            None => host,
        }
    }

    /// What tokens are for: the whole namespace. The scheme is `https` even where the connection is plain, as the
    /// official SDKs have it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").audience(), "https://contoso.example");
    /// ```
    pub fn audience(&self) -> String {
        alloc::format!("https://{}", self.authority())
    }

    /// What the token of a request is for: the queue or topic of the connection string where the path leads to that, or
    /// below it.
    pub(super) fn audience_of(&self, path: &str) -> String {
        let below = self.entity_path.as_ref().and_then(|entity| {
            let own = Resource::Entity(entity.clone()).to_string();
            let (start, rest) = path.split_at_checked(own.len())?;
            let is_below = rest.is_empty() || rest.starts_with("/subscriptions");
            (is_below && start.eq_ignore_ascii_case(&own)).then(|| alloc::format!("{}/{entity}", self.audience()))
        });
        below.unwrap_or_else(|| self.audience())
    }

    /// The full address of an entity that messages are forwarded to; an address stays as it is.
    pub(super) fn forwarding_address(&self, target: &str) -> String {
        if target.contains("://") {
            return target.into();
        }
        alloc::format!("sb://{}/{}", self.host, target.trim_start_matches('/'))
    }
}
