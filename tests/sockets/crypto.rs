//! TLS by each provider of cryptography, on each adapter for hosts.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use servicebus_emulator::Emulator;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);

/// The cryptography of a configuration by name.
fn name(provider: &CryptoProvider) -> String {
    format!("{:?}", provider.key_provider)
}

/// A configuration that trusts the emulator, by this provider.
fn config(provider: CryptoProvider, pem: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem) {
        roots.add(authority.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    Arc::new(builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// A message goes round over TLS.
macro_rules! goes_round {
    ($adapter:ident, $emulator:expr, $tls:expr) => {{
        let (amqp, tls) = ($emulator.amqp_address().port(), $emulator.tls_address().unwrap().port());
        let text = $emulator.connection_string().replace(";UseDevelopmentEmulator=true", "");
        let text = text.replace(&format!("localhost:{amqp}"), "localhost");
        let options = $adapter::Options::new(text).unwrap().with_endpoint("127.0.0.1", tls).with_tls($tls);
        async {
            let client = options.connect();
            client.sender("q").unwrap().send("secret").await.unwrap();
            let receiver = client.receiver("q").unwrap();
            let message = receiver.receive(WAIT).await.unwrap().unwrap();
            assert_eq!(message.text().ok(), Some("secret"));
            receiver.complete(&message).await.unwrap();
            client.close().await;
        }
    }};
}

/// With both features on, as here, aws-lc-rs is what [`Tls`](servicebus_tokio::Tls) uses by itself.
#[test]
fn each_provider_of_cryptography_connects_and_aws_lc_wins_where_both_are_on() {
    let ring = rustls::crypto::ring::default_provider;
    let aws_lc = rustls::crypto::aws_lc_rs::default_provider;
    assert_ne!(name(&ring()), name(&aws_lc()));

    let tokio = tokio::runtime::Runtime::new().unwrap();
    let emulator = tokio.block_on(Emulator::builder().queue("q").tls(0, None).start()).unwrap();
    let pem = emulator.certificate_pem().unwrap().as_bytes();
    for config in [config(ring(), pem), config(aws_lc(), pem)] {
        let tls = servicebus_tokio::Tls::Config(Arc::clone(&config));
        tokio.block_on(async { goes_round!(servicebus_tokio, emulator, tls).await });
        let tls = servicebus_async_std::Tls::Config(config);
        smol::block_on(async { goes_round!(servicebus_async_std, emulator, tls).await });
    }

    let by_itself = servicebus_tokio::Tls::authorities_from_pem(pem).unwrap();
    assert_eq!(name(by_itself.config().unwrap().crypto_provider()), name(&aws_lc()));
    tokio.block_on(async { goes_round!(servicebus_tokio, emulator, by_itself).await });
}
