//! Credentials of the Azure SDK for Rust.

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use servicebus_emulator::Emulator;
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

/// Sends over a client whose tokens come from the credential, on this adapter.
macro_rules! is_asked_for_service_bus {
    ($adapter:ident, $emulator:expr) => {
        async {
            let credential = Arc::new(Recorder::default());
            let options = $adapter::Options::new($emulator.connection_string()).unwrap();
            let client = options.connect_with_credential($adapter::AzureCredential::new(credential.clone()));
            client.sender("q").unwrap().send("hello").await.unwrap();
            assert_eq!(*credential.0.lock().unwrap(), ["https://servicebus.azure.net/.default"]);
            client.close().await;
        }
    };
}

#[tokio::test]
async fn a_credential_of_the_azure_sdk_is_asked_for_service_bus() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    is_asked_for_service_bus!(servicebus_tokio, emulator).await;
}

#[test]
fn a_credential_of_the_azure_sdk_is_asked_for_service_bus_on_smol() {
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let emulator = server.block_on(Emulator::builder().queue("q").start()).unwrap();
    smol::block_on(is_asked_for_service_bus!(servicebus_async_std, emulator));
}
