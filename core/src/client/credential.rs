//! Where tokens come from that the connection string does not give: one trait for both clients.

use crate::servicebus::Token;
use crate::storage::{Heap, Storage};
use alloc::boxed::Box;
use core::error::Error;
use core::fmt;
use core::future::Future;

/// A token in heap storage.
pub type HeapToken = Token<<Heap as Storage>::Payload>;

/// Where tokens come from, for messages and for administration: [`driver::Credential`](crate::driver::Credential) for
/// clients whose driver may move between threads. An `async fn` satisfies it, and so does a closure without arguments
/// that returns a future.
///
/// ```
/// use servicebus_core::servicebus::Token;
/// use servicebus_core::time::Timestamp;
/// use servicebus_core::client::{Credential, HeapToken};
///
/// /// Asks a service of one's own to sign.
/// struct Backend;
///
/// impl Credential for Backend {
///     type Error = std::io::Error;
///
///     async fn token(&mut self, audience: &str) -> Result<HeapToken, std::io::Error> {
///         // … POST the audience …
///         # let _ = audience;
///         Ok(Token::sas("SharedAccessSignature sr=…&sig=…&se=…&skn=…".to_owned(), Timestamp::from_secs(2_000_000_000)))
///     }
/// }
/// ```
pub trait Credential: Send + 'static {
    /// Why there is no token: an error, or a text.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// A token for an audience; see [`driver::Credential::token`](crate::driver::Credential::token). The administration
    /// client asks for that of the namespace, such as `sb://contoso.servicebus.windows.net/`.
    fn token(&mut self, audience: &str) -> impl Future<Output = Result<HeapToken, Self::Error>> + Send;
}

impl<F, T, E> Credential for F
where
    F: FnMut() -> T + Send + 'static,
    T: Future<Output = Result<HeapToken, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Error = E;

    fn token(&mut self, _: &str) -> impl Future<Output = Result<HeapToken, E>> + Send {
        self()
    }
}

/// Why a credential has given no token.
#[derive(Debug)]
pub struct CredentialError(Box<dyn Error + Send + Sync>);

impl CredentialError {
    /// Wraps the reason.
    pub(crate) fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for CredentialError {
    /// What the credential's own error has below it: their texts are the same.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
