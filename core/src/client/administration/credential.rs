//! How the requests of a client are authorized.

use crate::servicebus::administration::shared_access_token;
use crate::servicebus::connection_string::ConnectionCredential;
use crate::time::Timestamp;
use alloc::string::String;
use core::fmt;

#[cfg(feature = "std")]
pub(super) use asked::Asked;

/// How requests are authorized.
pub(super) enum Authority {
    /// A key with the right to manage; tokens are signed for each request.
    Key { name: String, key: String },
    /// A token that is ready; the targets of forwarding must be within its audience.
    Signature(String),
    /// Tokens of a credential.
    #[cfg(feature = "std")]
    Credential(Asked),
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, .. } => write!(f, "SharedAccessKey {{ name: {name:?}, .. }}"),
            Self::Signature(_) => f.write_str("SharedAccessSignature(..)"),
            #[cfg(feature = "std")]
            Self::Credential(_) => f.write_str("Credential(..)"),
        }
    }
}

impl From<ConnectionCredential<'_>> for Authority {
    fn from(credential: ConnectionCredential<'_>) -> Self {
        match credential {
            ConnectionCredential::SharedAccessKey { name, key } => Self::Key { name: name.into(), key: key.into() },
            ConnectionCredential::SharedAccessSignature(token) => Self::Signature(token.into()),
            // The service answers that a token is missing.
            ConnectionCredential::None => Self::Signature(String::new()),
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

#[cfg(feature = "std")]
mod asked {
    use crate::client::{Credential, CredentialError, HeapToken};
    use crate::servicebus::Token;
    use crate::time::{Duration, Timestamp};
    use alloc::boxed::Box;
    use alloc::string::String;
    use core::future::Future;
    use core::pin::Pin;
    use futures_util::lock::Mutex;
    use std::sync::{Mutex as Lock, PoisonError};

    /// A token is asked for anew this long before its end.
    const MARGIN: Duration = Duration::from_secs(5 * 60);

    type Asking<'a> = Pin<Box<dyn Future<Output = Result<HeapToken, CredentialError>> + Send + 'a>>;

    /// A [`Credential`] of any type.
    trait Ask: Send {
        fn ask<'a>(&'a mut self, audience: &'a str) -> Asking<'a>;
    }

    impl<C: Credential> Ask for C {
        fn ask<'a>(&'a mut self, audience: &'a str) -> Asking<'a> {
            let asking = self.token(audience);
            Box::pin(async move { asking.await.map_err(CredentialError::new) })
        }
    }

    /// A credential, which is asked for one token at a time, and the token that it gave last.
    pub(in super::super) struct Asked {
        audience: String,
        kept: Lock<Option<HeapToken>>,
        credential: Mutex<Box<dyn Ask>>,
    }

    impl Asked {
        pub(in super::super) fn new(audience: String, credential: impl Credential) -> Self {
            Self { audience, kept: Lock::new(None), credential: Mutex::new(Box::new(credential)) }
        }

        /// The token that is kept, unless it ends before `until`.
        fn kept(&self, until: Timestamp) -> Option<HeapToken> {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clone().filter(|token| token.expires_at() > until)
        }

        /// The header of a request. Nobody waits for a credential that is being asked while the last token still counts.
        pub(in super::super) async fn header(&self, now: Timestamp) -> Result<String, CredentialError> {
            if let Some(token) = self.kept(now + MARGIN) {
                return Ok(header(&token));
            }
            let mut credential = match (self.credential.try_lock(), self.kept(now)) {
                (Some(credential), _) => credential,
                (None, Some(token)) => return Ok(header(&token)),
                (None, None) => self.credential.lock().await,
            };
            // Whoever asked before may have got one.
            if let Some(token) = self.kept(now + MARGIN) {
                return Ok(header(&token));
            }
            let token = credential.ask(&self.audience).await?;
            let header = header(&token);
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
            Ok(header)
        }
    }

    fn header(token: &HeapToken) -> String {
        match token {
            Token::Jwt { text, .. } => alloc::format!("Bearer {}", String::from_utf8_lossy(text.as_ref())),
            Token::Sas { text, .. } => String::from_utf8_lossy(text.as_ref()).into_owned(),
        }
    }
}

/// Why there is no token to send.
#[cfg(feature = "std")]
pub(super) type NoToken = crate::client::CredentialError;
#[cfg(not(feature = "std"))]
pub(super) type NoToken = core::convert::Infallible;

impl Authority {
    pub(super) async fn authorize(&self, now: Timestamp) -> Result<Authorization<'_>, NoToken> {
        Ok(match self {
            Self::Key { name, key } => Authorization::Key { name, key, now },
            Self::Signature(token) => Authorization::Token(token.clone()),
            #[cfg(feature = "std")]
            Self::Credential(asked) => Authorization::Token(asked.header(now).await?),
        })
    }
}
