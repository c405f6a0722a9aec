//! Streams of the program's own in the place of TCP, and the causes of what goes wrong with one.

use servicebus_core::servicebus::RetryPolicy;
use servicebus_emulator::Emulator;
use servicebus_tokio::{Error, MessageRef, Options, Proxy, Timestamp, Tls, Token};
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;

async fn send(options: Options) -> Result<(), Error> {
    let client = options.with_retry(RetryPolicy::none()).connect();
    let result = client.sender("q").unwrap().send(&MessageRef::new("x")).await;
    client.close().await;
    result
}

/// The connection string of an emulator as of a namespace, where connections are encrypted.
fn secure(emulator: &Emulator) -> String {
    let port = emulator.amqp_address().port();
    let text = emulator.connection_string().replace(";UseDevelopmentEmulator=true", "");
    text.replace(&format!("localhost:{port}"), "localhost")
}

#[tokio::test]
async fn a_stream_that_encrypts_itself_is_taken_from_the_program_and_from_nobody_else() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let port = emulator.amqp_address().port();
    let options = Options::new(secure(&emulator)).unwrap().with_tls(Tls::Stream);
    let tunnel = options.clone().with_connector(move |host, asked| async move {
        assert_eq!((host.as_str(), asked), ("localhost", 5671));
        TcpStream::connect(("127.0.0.1", port)).await
    });
    send(tunnel).await.unwrap();
    let error = send(options.with_endpoint("127.0.0.1", port)).await.unwrap_err();
    assert!(error.to_string().contains("`Tls::Stream` needs a stream of the program's own"), "{error}");
}

/// In a tunnel, nothing of it would be encrypted: the program's stream ends at the proxy.
#[tokio::test]
async fn a_stream_that_encrypts_itself_does_not_lead_through_a_proxy() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let connect = move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<TcpStream, _>(io::Error::other("no way")) }
    };
    let text = "Endpoint=sb://nowhere.invalid;SharedAccessKeyName=k;SharedAccessKey=k";
    let options = Options::new(text).unwrap().with_tls(Tls::Stream).with_connector(connect);
    let error = send(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("no way"), "{error}");
    let direct = asked.swap(0, Ordering::SeqCst);
    assert!(direct > 0);
    let error = send(options.with_proxy(Proxy::new("http://proxy.invalid:3128").unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("without a proxy"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn tls_goes_over_a_stream_of_the_programs_own() {
    let emulator = Emulator::builder().queue("q").tls(0, None).start().await.unwrap();
    let port = emulator.tls_address().unwrap().port();
    let trusted = Tls::authorities_from_pem(emulator.certificate_pem().unwrap().as_bytes()).unwrap();
    let connect = move |_, _| TcpStream::connect(("127.0.0.1", port));
    let options = Options::new(secure(&emulator)).unwrap().with_connector(connect);
    send(options.clone().with_tls(trusted)).await.unwrap();

    let error = send(options.with_tls(Tls::Authorities(Vec::new()))).await.unwrap_err();
    let below = |kind: &dyn Fn(&(dyn std::error::Error + 'static)) -> bool| {
        std::iter::successors(error.source(), |&error| error.source()).any(kind)
    };
    assert!(below(&|error| error.is::<rustls::Error>()), "{error:?}");
}

#[tokio::test]
async fn a_namespace_is_named_by_its_host_or_its_address() {
    let ask = async |options: Options| {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let connect = move |host, port| {
            kept.lock().unwrap().push((host, port));
            async { Err::<TcpStream, _>(io::Error::other("no way")) }
        };
        let credential = || async { Ok::<_, io::Error>(Token::jwt("token", Timestamp::from_secs(4_000_000_000))) };
        let options = options.with_retry(RetryPolicy::none()).with_connector(connect);
        let client = options.connect_with_credential(credential);
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap_err();
        client.close().await;
        asked.lock().unwrap().pop().unwrap()
    };
    for name in ["ns.invalid", "ns.invalid/", "sb://ns.invalid", "https://ns.invalid:443/", "amqps://ns.invalid:5671"] {
        let asked = ask(Options::for_namespace(name).unwrap()).await;
        assert_eq!(asked, ("ns.invalid".to_owned(), 5671), "{name}");
    }
    let options = Options::for_namespace("ns.invalid").unwrap();
    for address in ["::1", "[::1]"] {
        assert_eq!(ask(options.clone().with_endpoint(address, 7)).await, ("::1".to_owned(), 7), "{address}");
    }
    for name in ["", "not a host", "https://", "https:///", "ns.invalid:x", "ns.invalid;x"] {
        assert!(Options::for_namespace(name).is_err(), "{name}");
    }
}

#[tokio::test]
async fn what_a_stream_says_is_a_source_of_the_error() {
    let refuse = |_, _| async { Err::<TcpStream, _>(io::Error::new(io::ErrorKind::AddrNotAvailable, "no way out")) };
    let options = Options::new("Endpoint=sb://nowhere.invalid;SharedAccessKeyName=k;SharedAccessKey=k").unwrap();
    let error = send(options.with_connector(refuse)).await.unwrap_err();
    assert!(error.to_string().contains("no way out"), "{error}");
    let source = std::iter::successors(error.source(), |&error| error.source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .expect("the stream's own");
    assert_eq!(source.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn what_tls_says_is_a_source_of_the_error() {
    let emulator = Emulator::builder().queue("q").tls(0, None).start().await.unwrap();
    let port = emulator.tls_address().unwrap().port();
    // The emulator's certificate is its own, and not trusted.
    let error = send(Options::new(secure(&emulator)).unwrap().with_endpoint("127.0.0.1", port)).await.unwrap_err();
    let source = std::iter::successors(error.source(), |&error| error.source())
        .find_map(|error| error.downcast_ref::<rustls::Error>())
        .expect("that of rustls");
    assert!(matches!(source, rustls::Error::InvalidCertificate(_)), "{source:?}");
}
