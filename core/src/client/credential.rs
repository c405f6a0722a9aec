//! Where tokens come from that the connection string does not give: one trait for both clients.

use crate::servicebus::Token;
use crate::storage::{Heap, Storage};
use alloc::boxed::Box;
use core::error::Error;
use core::fmt;
use core::future::Future;

/// A token in heap storage.
///
/// ```
/// use servicebus_core::client::HeapToken;
/// use servicebus_core::time::Timestamp;
///
/// let token = HeapToken::jwt("eyJ0eXAiOiJKV1Qi…".to_owned(), Timestamp::from_secs(2_000_000_000));
/// assert_eq!(token.expires_at(), Timestamp::from_secs(2_000_000_000));
/// ```
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
///
/// ```
/// # use servicebus_core::storage::Heap;
/// use servicebus_core::client::{CredentialError, Error};
///
/// /// What the program's own credential says, where a call failed for want of a token.
/// fn why(error: &Error<Heap>) -> Option<String> {
///     let source = std::error::Error::source(error)?;
///     Some(source.downcast_ref::<CredentialError>()?.to_string())
/// }
/// # #[cfg(feature = "tls")]
/// # servicebus_simulation::example_in_world(async |world| {
/// #     use servicebus_core::{client::HeapToken, transport::Asked};
/// #     let credential = Asked(|| async { Err::<HeapToken, _>("signed out") });
/// #     let client = world.client_with_credential(world.settings::<Heap>(), credential);
/// #     let error = client.sender("orders")?.send("two of the blue ones").await.unwrap_err();
/// #     assert_eq!(why(&error).as_deref(), Some("signed out"));
/// #     Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct CredentialError(Box<dyn Error + Send + Sync>);

impl CredentialError {
    /// Wraps the reason.
    #[cfg(any(feature = "administration", feature = "tls"))]
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
