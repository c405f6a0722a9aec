//! Credentials of the Azure SDK for Rust, such as those of `azure_identity`.

use crate::client::{Credential, HeapToken};
use crate::servicebus::Token;
use crate::time::Timestamp;
use alloc::borrow::ToOwned;
use alloc::sync::Arc;
use azure_core::credentials::TokenCredential;
use core::fmt;

/// What tokens are for.
const SCOPE: &str = "https://servicebus.azure.net/.default";

/// Adapts a credential of the Azure SDK to the client's trait.
///
/// # Examples
///
/// ```
/// use azure_core::credentials::TokenCredential;
/// use servicebus_core::client::Credential;
/// use servicebus_core::transport::AzureCredential;
/// use std::sync::Arc;
///
/// /// `identity` is what the constructors of `azure_identity` return.
/// fn entra_id(identity: Arc<dyn TokenCredential>) -> impl Credential {
///     AzureCredential::new(identity)
/// }
/// ```
#[derive(Clone)]
pub struct AzureCredential(Arc<dyn TokenCredential>);

impl AzureCredential {
    /// What the constructors of `azure_identity` return, such as `DeveloperToolsCredential::new(None)?`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use azure_core::credentials::TokenCredential;
    /// # use servicebus_core::transport::AzureCredential;
    /// # use std::sync::Arc;
    /// fn for_both(identity: &Arc<dyn TokenCredential>) -> [AzureCredential; 2] {
    ///     // One credential, whose tokens are cached, for two clients.
    ///     [AzureCredential::new(identity.clone()), AzureCredential::new(identity.clone())]
    /// }
    /// ```
    pub fn new(credential: Arc<dyn TokenCredential>) -> Self {
        Self(credential)
    }
}

impl fmt::Debug for AzureCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AzureCredential")
    }
}

impl Credential for AzureCredential {
    type Error = azure_core::Error;

    async fn token(&mut self, _: &str) -> Result<HeapToken, azure_core::Error> {
        let token = self.0.get_token(&[SCOPE], None).await?;
        let expires_at = Timestamp::from_secs(token.expires_on.unix_timestamp());
        Ok(Token::jwt(token.token.secret().to_owned(), expires_at))
    }
}
