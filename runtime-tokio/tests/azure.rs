//! Credentials of the Azure SDK for Rust.
#![cfg(feature = "azure-identity")]

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use servicebus_emulator::Emulator;
use servicebus_tokio::{AzureCredential, MessageRef, Options};
use std::sync::{Arc, Mutex};

/// Remembers what it was asked for.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl TokenCredential for Recorder {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.0.lock().unwrap().extend(scopes.iter().map(|&scope| scope.to_owned()));
        // {"alg":"none"}.{"aud":"https://servicebus.azure.net","exp":4102444800} without a signature
        let token = concat!(
            "eyJhbGciOiJub25lIn0.",
            "eyJhdWQiOiJodHRwczovL3NlcnZpY2VidXMuYXp1cmUubmV0IiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
        );
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

#[tokio::test]
async fn a_credential_of_the_azure_sdk_is_asked_for_service_bus() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let credential = Arc::new(Recorder::default());
    let options = Options::new(emulator.connection_string()).unwrap();
    let client = options.connect_with_credential(AzureCredential::new(credential.clone()));
    client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
    assert_eq!(*credential.0.lock().unwrap(), ["https://servicebus.azure.net/.default"]);
    client.close().await;
}
