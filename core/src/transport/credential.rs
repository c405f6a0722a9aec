//! Credentials as the driver takes them.

use crate::client::{Credential, CredentialError, HeapToken};
use crate::driver;
use crate::storage::{Heap, Storage};
use core::future::Future;

/// Adapts a [`Credential`] to the driver's trait.
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
