//! How the requests of a client are authorized.

use super::Timer;
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
    use super::super::Timer;
    use super::super::race::race;
    use crate::client::{Credential, CredentialError, HeapToken};
    use crate::servicebus::Token;
    use crate::time::{Duration, Timestamp};
    use alloc::boxed::Box;
    use alloc::string::String;
    use core::future::Future;
    use core::pin::{Pin, pin};
    use futures_util::lock::Mutex;
    use std::sync::{Mutex as Lock, PoisonError};

    /// How long before its end a token is replaced.
    const MARGIN: Duration = Duration::from_secs(5 * 60);
    /// So long is waited for another token while the last one counts.
    const MOMENT: Duration = Duration::from_secs(2);
    /// So long after a failure the credential is left alone while the last token counts.
    const PAUSE: Duration = Duration::from_secs(30);

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

    /// The token that a credential gave last.
    struct Kept {
        token: HeapToken,
        /// When to request another one.
        ask_at: Timestamp,
    }

    /// A credential, asked by one call at once, and its last token.
    pub(in super::super) struct Asked {
        audience: String,
        kept: Lock<Option<Kept>>,
        credential: Mutex<Box<dyn Ask>>,
    }

    impl Asked {
        pub(in super::super) fn new(audience: String, credential: impl Credential) -> Self {
            Self { audience, kept: Lock::new(None), credential: Mutex::new(Box::new(credential)) }
        }

        fn kept<T>(&self, look: impl FnOnce(&mut Option<Kept>) -> T) -> T {
            look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// The header by the token that is kept, while that counts, and whether another token is due.
        fn counts(&self, now: Timestamp) -> Option<(String, bool)> {
            self.kept(|kept| {
                let kept = kept.as_ref().filter(|kept| kept.token.expires_at() > now)?;
                Some((header(&kept.token), now >= kept.ask_at))
            })
        }

        /// The header of a request. A token is replaced before it ends. As long as the last one is valid, a
        /// request waits for the credential two seconds at most, and does not fail when the credential does.
        pub(in super::super) async fn header(&self, timer: &impl Timer) -> Result<String, CredentialError> {
            let now = timer.utc();
            let Some((header, is_due)) = self.counts(now) else { return self.ask(now).await };
            if !is_due || self.credential.try_lock().is_none() {
                return Ok(header);
            }
            if let Some(Ok(header)) = race(pin!(self.ask(now)), pin!(timer.sleep(MOMENT))).await {
                return Ok(header);
            }
            self.kept(|kept| {
                if let Some(kept) = kept {
                    kept.ask_at = now + PAUSE;
                }
            });
            Ok(header)
        }

        async fn ask(&self, now: Timestamp) -> Result<String, CredentialError> {
            let mut credential = self.credential.lock().await;
            // A request that waited for the credential before this one may have got a token.
            if let Some((header, false)) = self.counts(now) {
                return Ok(header);
            }
            let token = credential.ask(&self.audience).await?.detached();
            let (header, ask_at) = (header(&token), token.expires_at() - MARGIN);
            let before = self.kept(|kept| kept.replace(Kept { token, ask_at }));
            drop(before);
            Ok(header)
        }

        /// The service has refused the token that was sent: requests another.
        pub(in super::super) fn refused(&self, sent: &str) {
            let refused = self.kept(|kept| kept.take_if(|kept| header(&kept.token) == sent));
            drop(refused);
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
    pub(super) async fn authorize(&self, timer: &impl Timer) -> Result<Authorization<'_>, NoToken> {
        Ok(match self {
            Self::Key { name, key } => Authorization::Key { name, key, now: timer.utc() },
            Self::Signature(token) => Authorization::Token(token.clone()),
            #[cfg(feature = "std")]
            Self::Credential(asked) => Authorization::Token(asked.header(timer).await?),
        })
    }

    /// The service has refused the key or the token; true when another one may be had.
    pub(super) fn refused(&self, sent: &Authorization<'_>) -> bool {
        match (self, sent) {
            #[cfg(feature = "std")]
            (Self::Credential(asked), Authorization::Token(token)) => {
                asked.refused(token);
                true
            }
            _ => false,
        }
    }
}
