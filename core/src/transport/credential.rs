//! Credentials as the driver takes them.

use crate::client::{Credential, CredentialError, HeapToken};
use crate::driver;
use crate::storage::{Heap, Storage};
use core::future::Future;

/// Adapts a [`Credential`] to the driver's trait.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::Token;
/// use servicebus_core::storage::Heap;
/// use servicebus_core::transport::Asked;
///
/// # servicebus_simulation::example_in_world(async |world| {
/// let expires_at = world.clock().utc + std::time::Duration::from_secs(3_600);
/// # let token = "e30.eyJleHAiOjE3NjcyMjkyMDB9.x";
/// let identity = move || async move { Ok::<_, std::io::Error>(Token::jwt(token, expires_at)) };
/// let client = world.client_with_credential::<Heap>(world.settings(), Asked(identity));
/// client.sender("orders")?.send("one").await?;
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Asked<C>(pub C);

#[expect(refining_impl_trait, reason = "whether the future can be sent must be known to spawn the driver")]
impl<C: Credential> driver::Credential<<Heap as Storage>::Payload> for Asked<C> {
    type Error = CredentialError;

    fn token(&mut self, audience: &str) -> impl Future<Output = Result<HeapToken, CredentialError>> + Send {
        let asking = self.0.token(audience);
        async move { asking.await.map_err(CredentialError::new) }
    }
}
