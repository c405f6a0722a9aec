//! Connection strings.
// docs/evidence/wire-protocol.md §9, §10

use core::fmt;

/// The credentials in a connection string.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{ConnectionCredential, ConnectionString};
///
/// let text = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=Orders;SharedAccessKey=c2VjcmV0";
/// match ConnectionString::parse(text)?.credential {
///     ConnectionCredential::SharedAccessKey { name, .. } => println!("signs with {name}"),
///     ConnectionCredential::SharedAccessSignature(_) => println!("has a token"),
///     _ => println!("needs a credential"),
/// }
/// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionCredential<'a> {
    /// A key to sign tokens with.
    SharedAccessKey {
        /// The key's name.
        name: &'a str,
        /// The key, as printed.
        key: &'a str,
    },
    /// A token that is ready.
    SharedAccessSignature(&'a str),
    /// None: tokens come from elsewhere.
    None,
}

impl fmt::Debug for ConnectionCredential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedAccessKey { name, .. } => write!(f, "SharedAccessKey {{ name: {name:?}, .. }}"),
            Self::SharedAccessSignature(_) => f.write_str("SharedAccessSignature(..)"),
            Self::None => f.write_str("None"),
        }
    }
}

/// A connection string taken apart. Keys are read in any case; those that are not known are passed over, as the
/// official SDKs do.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::ConnectionString;
///
/// let text = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=Orders;SharedAccessKey=c2VjcmV0";
/// assert_eq!(ConnectionString::parse(text)?.host, "contoso.servicebus.windows.net");
/// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionString<'a> {
    /// The namespace's host name.
    pub host: &'a str,
    /// The port, when the endpoint names one.
    pub port: Option<u16>,
    /// Who connects.
    pub credential: ConnectionCredential<'a>,
    /// The queue or topic that the string is for, where the key is that of one entity. A client on the heap refuses
    /// others (`Client::entity`); of a client in fixed storage, the service does.
    ///
    /// # Examples
    ///
    /// On a board, where the names of entities are `&'static str`:
    ///
    /// ```
    /// use servicebus_core::servicebus::ConnectionString;
    /// # servicebus_core::fixed_storage! {
    /// #     type Board { links: 4, deliveries: 4, receive: 512, transmit: 512, message: 512 }
    /// # }
    /// # servicebus_simulation::example_in_world(async |world| {
    ///
    /// const TEXT: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    ///     SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;EntityPath=orders";
    /// # let mut settings = world.settings::<Board>();
    /// # settings.connection_string = TEXT;
    /// # let client = world.client_with(settings);
    /// let orders = ConnectionString::parse(TEXT)?.entity_path.ok_or("for the whole namespace")?;
    /// client.sender(orders)?.send("two of the blue ones").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub entity_path: Option<&'a str>,
    /// Whether the endpoint is an emulator: plain TCP.
    pub use_development_emulator: bool,
}

/// What is wrong with a connection string; the key is named in every case.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{ConnectionString, ConnectionStringError};
///
/// let text = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=Orders";
/// let error = ConnectionString::parse(text).unwrap_err();
/// assert_eq!(error, ConnectionStringError::Missing("SharedAccessKey"));
/// assert_eq!(error.to_string(), "SharedAccessKey is missing from the connection string");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// A part is not `key=value`. The part is left out: it may be a piece of a key.
    NotAPair,
    /// The key is there twice.
    Duplicate(&'static str),
    /// The key is not there, or has no value.
    Missing(&'static str),
    /// The key's value is not valid.
    Invalid(&'static str),
    /// The two keys exclude each other.
    Contradiction(&'static str, &'static str),
}

impl fmt::Display for ConnectionStringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPair => f.write_str("a part of the connection string is not of the form key=value"),
            Self::Duplicate(key) => write!(f, "{key} is in the connection string twice"),
            Self::Missing(key) => write!(f, "{key} is missing from the connection string"),
            Self::Invalid(key) => write!(f, "{key} has a value that is not valid"),
            Self::Contradiction(one, other) => write!(f, "{one} and {other} exclude each other"),
        }
    }
}

impl core::error::Error for ConnectionStringError {}

const KEYS: [&str; 6] = [
    "Endpoint",
    "SharedAccessKeyName",
    "SharedAccessKey",
    "SharedAccessSignature",
    "EntityPath",
    "UseDevelopmentEmulator",
];

/// The longest host name that is connected to.
pub(crate) const MAX_HOST_BYTES: usize = 256;

impl<'a> ConnectionString<'a> {
    /// Takes a connection string apart.
    ///
    /// # Errors
    /// [`ConnectionStringError`], which names the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ConnectionString;
    /// let text = "Endpoint=sb://localhost:5673;SharedAccessKeyName=Root;SharedAccessKey=k;UseDevelopmentEmulator=true";
    /// let parsed = ConnectionString::parse(text)?;
    /// assert_eq!((parsed.host, parsed.port), ("localhost", Some(5_673)));
    /// assert!(parsed.use_development_emulator);
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, ConnectionStringError> {
        let parsed = Self::parse_endpoint(text)?;
        match parsed.credential {
            ConnectionCredential::None => Err(ConnectionStringError::Missing("SharedAccessKey")),
            _ => Ok(parsed),
        }
    }

    /// The same for one that need not have a credential, because tokens come from elsewhere.
    ///
    /// # Errors
    /// [`ConnectionStringError`], which names the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{ConnectionCredential, ConnectionString};
    /// let parsed = ConnectionString::parse_endpoint("Endpoint=sb://contoso.servicebus.windows.net/")?;
    /// assert_eq!(parsed.credential, ConnectionCredential::None);
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
    /// ```
    pub fn parse_endpoint(text: &'a str) -> Result<Self, ConnectionStringError> {
        let mut values = [None; KEYS.len()];
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (part, behind) = cut(text, b';');
            rest = behind;
            let part = trimmed(part);
            if part.is_empty() {
                continue;
            }
            // Keys and signatures contain `=` themselves: only the first one separates.
            let (key, Some(value)) = cut(part, b'=') else { return Err(ConnectionStringError::NotAPair) };
            let key = trimmed(key);
            if let Some((known, slot)) = KEYS.iter().zip(&mut values).find(|(known, _)| is_word(key, known))
                && slot.replace(trimmed(value)).is_some()
            {
                return Err(ConnectionStringError::Duplicate(known));
            }
        }
        let [endpoint, name, key, signature, entity_path, emulator] = values.map(Option::unwrap_or_default);
        if endpoint.is_empty() {
            return Err(ConnectionStringError::Missing("Endpoint"));
        }
        let (host, port) = parse_endpoint(endpoint).ok_or(ConnectionStringError::Invalid("Endpoint"))?;
        let credential = match (!name.is_empty(), !key.is_empty(), !signature.is_empty()) {
            (_, true, true) => {
                return Err(ConnectionStringError::Contradiction("SharedAccessKey", "SharedAccessSignature"));
            }
            (true, true, false) => ConnectionCredential::SharedAccessKey { name, key },
            (false, true, false) => return Err(ConnectionStringError::Missing("SharedAccessKeyName")),
            (false, false, true) => ConnectionCredential::SharedAccessSignature(signature),
            (true, false, true) => {
                return Err(ConnectionStringError::Contradiction("SharedAccessKeyName", "SharedAccessSignature"));
            }
            (true, false, false) => return Err(ConnectionStringError::Missing("SharedAccessKey")),
            (false, false, false) => ConnectionCredential::None,
        };
        let use_development_emulator = is_word(emulator, "true");
        if !use_development_emulator && !emulator.is_empty() && !is_word(emulator, "false") {
            return Err(ConnectionStringError::Invalid("UseDevelopmentEmulator"));
        }
        let entity_path = Some(entity_path).filter(|path| !path.is_empty());
        Ok(Self { host, port, credential, entity_path, use_development_emulator })
    }

    /// Whether this is the name or the address of a host, and nothing else.
    ///
    /// # Errors
    /// What is wrong. It does not repeat the text, which may hold a key or a password.
    #[doc(hidden)]
    pub fn check_namespace(name: &str) -> Result<(), &'static str> {
        if may_hold_key(name) {
            return Err("a connection string is not a host name");
        }
        let host = parse_endpoint(name).filter(|(host, _)| host.len() <= MAX_HOST_BYTES);
        host.map(|_| ()).ok_or("neither a name nor an address")
    }

    /// Whether the host's name is one that can be connected to.
    #[doc(hidden)]
    pub fn check_host(&self) -> Result<(), super::Argument> {
        if self.host.len() > MAX_HOST_BYTES { Err(super::Argument::HostName) } else { Ok(()) }
    }

    /// Whether to encrypt the connection: always, except for an emulator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ConnectionString;
    /// let text = "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";
    /// assert!(!ConnectionString::parse(text)?.uses_tls());
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
    /// ```
    pub fn uses_tls(&self) -> bool {
        !self.use_development_emulator
    }

    /// The AMQP port: the endpoint's, or 5671 with TLS and 5672 without. A port in the endpoint counts for an emulator
    /// only, since the portal prints none and some tools add 443.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ConnectionString;
    /// let text = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=Orders;SharedAccessKey=c2VjcmV0";
    /// assert_eq!(ConnectionString::parse(text)?.amqp_port(), 5_671);
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError>(())
    /// ```
    pub fn amqp_port(&self) -> u16 {
        match (self.use_development_emulator, self.port) {
            (true, port) => port.unwrap_or(5_672),
            (false, Some(443) | None) => 5_671,
            (false, Some(port)) => port,
        }
    }
}

/// Whether a text looks like a connection string or a part of one, so that no error may repeat it.
pub(crate) fn may_hold_key(text: &str) -> bool {
    text.contains(['=', ';'])
}

/// Whether it has the word that a connection string's keys and signatures are named by.
pub(crate) fn names_key(text: &str) -> bool {
    const WORD: &[u8] = b"SharedAccess";
    text.as_bytes().windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD))
}

/// The host and the port of an address, whose scheme may be left out.
pub(crate) fn parse_endpoint(endpoint: &str) -> Option<(&str, Option<u16>)> {
    // The scheme is ignored: only the host counts (docs/evidence/pinned-behaviour.md ERR14).
    let behind_scheme = cut(endpoint, b':').1.and_then(|rest| rest.strip_prefix("//"));
    let rest = behind_scheme.unwrap_or(endpoint);
    let (authority, _) = cut(cut(rest, b'/').0, b'?');
    let (host, port) = match authority.strip_prefix('[').map(|rest| cut(rest, b']')) {
        Some((host, Some(port))) => (host, port.strip_prefix(':')),
        _ => cut(authority, b':'),
    };
    let port = match port {
        Some("") | None => None,
        Some(port) => Some(u16::try_from(decimal(port)?).ok()?),
    };
    // No host has spaces, control characters or letters beyond ASCII.
    let plain = host.bytes().all(|byte| byte.is_ascii_graphic());
    (!host.is_empty() && plain).then_some((host, port))
}

/// The text without the blanks around it.
#[inline(never)]
fn trimmed(text: &str) -> &str {
    text.trim_ascii()
}

/// Whether two words are the same, small letters or capitals.
#[inline(never)]
fn is_word(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The parts before and behind the first `separator`. All parsing here uses this one function: the searches of `str`
/// are compiled anew for each kind of pattern.
#[inline(never)]
pub(super) fn cut(text: &str, separator: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == separator) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// A whole number in a text: a port, or a point in time before the year 2106.
#[inline(never)]
pub(super) fn decimal(text: &str) -> Option<u32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn the_usual_forms_are_read() {
        let text =
            "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=a=b==;EntityPath=q";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!(parsed.host, "ns.servicebus.windows.net");
        assert_eq!(parsed.credential, ConnectionCredential::SharedAccessKey { name: "Root", key: "a=b==" });
        assert_eq!((parsed.entity_path, parsed.amqp_port(), parsed.uses_tls()), (Some("q"), 5_671, true));
        assert!(!format!("{parsed:?}").contains("a=b"));

        let text =
            " endpoint = sb://localhost:5673 ;sharedaccesskeyname=R; SHAREDACCESSKEY=k;UseDevelopmentEmulator=True; ";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!((parsed.host, parsed.amqp_port(), parsed.uses_tls()), ("localhost", 5_673, false));

        let parsed = ConnectionString::parse("Endpoint=sb://[::1]:7;SharedAccessSignature=SharedAccessSignature sr=x");
        assert_eq!(parsed.unwrap().host, "::1");
    }

    #[test]
    fn a_bad_one_names_the_key() {
        use ConnectionStringError::*;
        for (text, error) in [
            ("", Missing("Endpoint")),
            ("Endpoint=", Missing("Endpoint")),
            ("Endpoint=sb://h:x;SharedAccessKeyName=n;SharedAccessKey=k", Invalid("Endpoint")),
            ("Endpoint=sb://;SharedAccessKeyName=n;SharedAccessKey=k", Invalid("Endpoint")),
            ("Endpoint=sb://h\0;SharedAccessKeyName=n;SharedAccessKey=k", Invalid("Endpoint")),
            ("Endpoint=sb://hä;SharedAccessKeyName=n;SharedAccessKey=k", Invalid("Endpoint")),
            ("Endpoint=sb://h o;SharedAccessKeyName=n;SharedAccessKey=k", Invalid("Endpoint")),
            ("Endpoint=sb://h", Missing("SharedAccessKey")),
            ("Endpoint=sb://h;SharedAccessKey=k", Missing("SharedAccessKeyName")),
            ("Endpoint=sb://h;SharedAccessKeyName=n", Missing("SharedAccessKey")),
            ("Endpoint=sb://h;Endpoint=sb://h", Duplicate("Endpoint")),
            (
                "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k;SharedAccessSignature=s",
                Contradiction("SharedAccessKey", "SharedAccessSignature"),
            ),
            ("Endpoint=sb://h;SharedAccessSignature=s;UseDevelopmentEmulator=1", Invalid("UseDevelopmentEmulator")),
            ("secret", NotAPair),
            ("Endpoint=sb://h;SharedAccessKeyName=n;secret", NotAPair),
        ] {
            assert_eq!(ConnectionString::parse(text), Err(error), "{text}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }
}
