//! What the program has set up so that no connection can be opened ends a call at once, on each adapter for hosts.

use rustls::pki_types::CertificateDer;
use std::error::Error as _;
use std::time::{Duration, Instant};

const TEXT: &str = "Endpoint=sb://localhost;SharedAccessKeyName=k;SharedAccessKey=k";

/// A send ends at the first attempt, and the error says why.
macro_rules! ends_at_once {
    ($adapter:ident) => {
        async {
            use $adapter::{Options, Tls, TlsError};
            // Nothing listens there: a connection that is refused is tried again, for seconds.
            let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let broken = Tls::Authorities(vec![CertificateDer::from(vec![1, 2, 3])]);
            for tls in [Tls::Stream, broken] {
                let client = Options::new(TEXT).unwrap().with_endpoint("127.0.0.1", unused).with_tls(tls).connect();
                let began = Instant::now();
                let error = client.sender("q").unwrap().send("x").await.unwrap_err();
                let took = began.elapsed();
                // The driver may have dialled for the sender before, and makes the first pause.
                assert!(took < Duration::from_secs(3), "{took:?}");
                assert_eq!(error.argument(), Some($adapter::Argument::Dialer), "{error}");
                let mut sources = std::iter::successors(error.source(), |&error| error.source());
                assert!(sources.any(|error| error.is::<TlsError>()), "{error:?}");
                client.close().await;
            }
        }
    };
}

#[test]
fn a_setting_with_which_no_connection_can_be_opened_ends_a_call_at_once() {
    tokio::runtime::Runtime::new().unwrap().block_on(ends_at_once!(servicebus_tokio));
    smol::block_on(ends_at_once!(servicebus_async_std));
}
