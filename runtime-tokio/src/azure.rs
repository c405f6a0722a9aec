//! Credentials of the Azure SDK for Rust, such as those of `azure_identity`.

use crate::{AccessToken, Client, Options};
use azure_core::credentials::TokenCredential;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// What a token is for.
const SCOPE: &str = "https://servicebus.azure.net/.default";

impl Options {
    /// Makes a client whose tokens come from a credential of the Azure SDK.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_with_azure_credential(self, credential: Arc<dyn TokenCredential>) -> Client {
        self.connect_with_credential(move || {
            let credential = Arc::clone(&credential);
            async move {
                let token = credential.get_token(&[SCOPE], None).await?;
                let expires_at = Timestamp::from_secs(token.expires_on.unix_timestamp());
                Ok::<_, azure_core::Error>(AccessToken::new(token.token.secret().to_owned(), expires_at))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::credentials::{AccessToken as AzureToken, TokenRequestOptions};
    use azure_core::time::{Duration, OffsetDateTime};
    use std::sync::Mutex;

    /// Remembers what it was asked for.
    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl TokenCredential for Recorder {
        async fn get_token(
            &self,
            scopes: &[&str],
            _options: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AzureToken> {
            self.0.lock().unwrap().extend(scopes.iter().map(|&scope| scope.to_owned()));
            // {"alg":"none"}.{"aud":"https://servicebus.azure.net","exp":4102444800} without a signature
            let token = concat!(
                "eyJhbGciOiJub25lIn0.",
                "eyJhdWQiOiJodHRwczovL3NlcnZpY2VidXMuYXp1cmUubmV0IiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
            );
            Ok(AzureToken::new(token, OffsetDateTime::now_utc() + Duration::hours(1)))
        }
    }

    #[tokio::test]
    async fn a_credential_of_the_azure_sdk_is_asked_for_service_bus() {
        let emulator = servicebus_emulator::Emulator::builder().queue("q").start().await.unwrap();
        let credential = Arc::new(Recorder::default());
        let options = Options::new(emulator.connection_string()).unwrap();
        let client = options.connect_with_azure_credential(credential.clone());
        client.sender("q").unwrap().send(&crate::MessageRef::new("x")).await.unwrap();
        assert_eq!(*credential.0.lock().unwrap(), [SCOPE]);
        client.close().await;
    }
}
