//! Who manages the namespace.

use crate::servicebus::administration::shared_access_token;
use crate::servicebus::connection_string::ConnectionCredential;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::pin::Pin;

/// A source of access tokens of Microsoft Entra ID, for the scope `https://servicebus.azure.net/.default`.
pub trait AccessTokens: Send + Sync {
    /// A token that is valid now, without `Bearer`. It is asked for each request: keeping a token until shortly before
    /// its end is up to the source.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<String, AccessTokenError>> + Send + '_>>;
}

/// No token could be had.
#[derive(Debug)]
pub struct AccessTokenError(Box<dyn core::error::Error + Send + Sync>);

impl AccessTokenError {
    /// Wraps the reason.
    pub fn new(reason: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for AccessTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no access token: {}", self.0)
    }
}

impl core::error::Error for AccessTokenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Who manages the namespace.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A key with the right to manage; tokens are signed for each request.
    SharedAccessKey {
        /// The key's name.
        name: String,
        /// The key, as printed.
        key: String,
    },
    /// A token that is ready; the targets of forwarding must be within its audience.
    SharedAccessSignature(String),
    /// Tokens of Microsoft Entra ID.
    AccessTokens(Arc<dyn AccessTokens>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedAccessKey { name, .. } => write!(f, "SharedAccessKey {{ name: {name:?}, .. }}"),
            Self::SharedAccessSignature(_) => f.write_str("SharedAccessSignature(..)"),
            Self::AccessTokens(_) => f.write_str("AccessTokens(..)"),
        }
    }
}

impl From<ConnectionCredential<'_>> for Credential {
    fn from(credential: ConnectionCredential<'_>) -> Self {
        match credential {
            ConnectionCredential::SharedAccessKey { name, key } => {
                Self::SharedAccessKey { name: name.into(), key: key.into() }
            }
            ConnectionCredential::SharedAccessSignature(token) => Self::SharedAccessSignature(token.into()),
            // The service answers that a token is missing.
            ConnectionCredential::None => Self::SharedAccessSignature(String::new()),
        }
    }
}

/// What goes into the headers of one request.
pub(super) enum Authorization<'a> {
    Key { name: &'a str, key: &'a str, now: Timestamp },
    Token(String),
}

impl Authorization<'_> {
    pub(super) fn for_audience(&self, audience: &str) -> String {
        match self {
            Self::Key { name, key, now } => shared_access_token(audience, name, key, *now),
            Self::Token(token) => token.clone(),
        }
    }
}

impl Credential {
    pub(super) async fn authorize(&self, now: Timestamp) -> Result<Authorization<'_>, AccessTokenError> {
        Ok(match self {
            Self::SharedAccessKey { name, key } => Authorization::Key { name, key, now },
            Self::SharedAccessSignature(token) => Authorization::Token(token.clone()),
            Self::AccessTokens(tokens) => Authorization::Token(alloc::format!("Bearer {}", tokens.token().await?)),
        })
    }
}
