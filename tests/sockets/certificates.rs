//! TLS as the client speaks it with servers of the program's own: which certificates it takes for a host, and what it
//! makes of servers that do not end a connection as they should.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use servicebus_core::client::administration::HttpClient;
use servicebus_core::servicebus::administration::{Endpoint, Headers, Method, Request, Response};
use servicebus_tokio::administration::{Http, HttpError};
use servicebus_tokio::{DialError, Tls};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// An authority, and certificates that it signs.
struct Authority(Issuer<'static, KeyPair>, CertificateDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self(Issuer::new(params, key), der)
    }

    fn tls(&self) -> Tls {
        Tls::Authorities(vec![self.1.clone()])
    }

    /// A server's certificate for these names from the first year to the second one, and its key.
    fn sign(&self, names: &[&str], years: (i32, i32)) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// The years in which certificates count.
const NOW: (i32, i32) = (2020, 2100);

fn config(
    versions: &[&'static rustls::SupportedProtocolVersion],
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
}

/// A server for one connection, which does this with it.
fn serve(config: ServerConfig, act: impl FnOnce(&mut ServerConnection, &mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        while session.is_handshaking() {
            if session.complete_io(&mut socket).is_err() {
                return;
            }
        }
        act(&mut session, &mut socket);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read(&mut [0; 1024]);
    });
    port
}

/// Reads the request and answers it.
fn answer(session: &mut ServerConnection, socket: &mut TcpStream, bytes: &[u8]) {
    let mut stream = Stream::new(session, socket);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        request.push(byte[0]);
    }
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

/// The answer of the server at this port, as one of this host.
async fn ask(tls: Tls, host: &str, port: u16) -> Result<Response, HttpError> {
    let http = Http::default().with_tls(tls).with_endpoint("127.0.0.1", port);
    let (path_and_query, headers) = ("/q".into(), Headers::new());
    http.send(&Endpoint::new(host), Request { method: Method::Put, path_and_query, headers, body: Vec::new() }).await
}

/// Whether the server of a certificate is taken for a host.
async fn is_taken(tls: Tls, signed: (CertificateDer<'static>, PrivateKeyDer<'static>), host: &str) -> bool {
    let port = serve(config(rustls::ALL_VERSIONS, signed), |session, socket| answer(session, socket, ANSWER));
    match ask(tls, host, port).await {
        Ok(response) => {
            assert_eq!(response.status, 204);
            true
        }
        Err(HttpError::Dial(DialError::Handshake(error))) => {
            let told = error.to_string();
            assert!(told.contains("certificate"), "{told}");
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_certificate_counts_for_its_names_and_in_its_time() {
    let authority = Authority::new();
    for (names, years, host, taken) in [
        (&["ns.invalid"][..], NOW, "ns.invalid", true),
        (&["other.invalid", "ns.invalid"], NOW, "ns.invalid", true),
        (&["ns.invalid"], NOW, "NS.Invalid", true),
        (&["*.bus.invalid"], NOW, "ns.bus.invalid", true),
        (&["*.bus.invalid"], NOW, "a.ns.bus.invalid", false),
        (&["*.bus.invalid"], NOW, "bus.invalid", false),
        (&["other.invalid"], NOW, "ns.invalid", false),
        // The address that is connected to says nothing.
        (&["127.0.0.1"], NOW, "ns.invalid", false),
        (&["127.0.0.1"], NOW, "127.0.0.1", true),
        (&["::1"], NOW, "::1", true),
        (&["ns.invalid"], NOW, "127.0.0.1", false),
        (&["ns.invalid"], (2020, 2021), "ns.invalid", false),
        (&["ns.invalid"], (2099, 2100), "ns.invalid", false),
    ] {
        let is_taken = is_taken(authority.tls(), authority.sign(names, years), host).await;
        assert_eq!(is_taken, taken, "{names:?} {years:?} for {host}");
    }
    let signed = || authority.sign(&["ns.invalid"], NOW);
    assert!(!is_taken(Authority::new().tls(), signed(), "ns.invalid").await, "of another authority");
    assert!(!is_taken(Tls::Authorities(Vec::new()), signed(), "ns.invalid").await, "of nobody");
    let own = rcgen::generate_simple_self_signed(vec!["ns.invalid".to_owned()]).unwrap();
    let signed = || (own.cert.der().clone(), PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap());
    assert!(!is_taken(authority.tls(), signed(), "ns.invalid").await, "of itself");
    assert!(
        is_taken(Tls::Authorities(vec![own.cert.der().clone()]), signed(), "ns.invalid").await,
        "trusted by itself"
    );
}

#[tokio::test]
async fn servers_may_speak_tls_in_their_own_way() {
    let authority = Authority::new();
    let signed = || authority.sign(&["ns.invalid"], NOW);
    let mut offers = config(rustls::ALL_VERSIONS, signed());
    offers.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut in_pieces = config(rustls::ALL_VERSIONS, signed());
    in_pieces.max_fragment_size = Some(32);
    for (name, config) in [
        ("1.2", config(&[&rustls::version::TLS12], signed())),
        ("1.3", config(&[&rustls::version::TLS13], signed())),
        ("offers protocols", offers),
        ("short records", in_pieces),
    ] {
        let port = serve(config, |session, socket| answer(session, socket, ANSWER));
        let response = ask(authority.tls(), "ns.invalid", port).await;
        assert_eq!(response.expect(name).status, 204);
    }
}

#[tokio::test]
async fn a_server_that_wants_the_clients_certificate_says_so() {
    let authority = Authority::new();
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let (certificate, key) = authority.sign(&["ns.invalid"], NOW);
        let mut roots = RootCertStore::empty();
        roots.add(authority.1.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_client_cert_verifier(verifier.unwrap());
        let port = serve(builder.with_single_cert(vec![certificate], key).unwrap(), |_, _| {});
        let error = ask(authority.tls(), "ns.invalid", port).await.unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{versions:?}: {error}");
    }
}

/// How a server leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    InOrder,
    WithoutGoodbye,
    WithGarbage,
}

#[tokio::test]
async fn what_is_cut_is_not_taken_for_whole() {
    use Leaves::{InOrder, WithGarbage, WithoutGoodbye};
    let authority = Authority::new();
    for (bytes, leaves, whole) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", InOrder, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", WithoutGoodbye, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", WithGarbage, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", InOrder, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", WithoutGoodbye, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", InOrder, false),
        ("HTTP/1.1 200 OK\r\n\r\nbody", InOrder, true),
        ("HTTP/1.1 200 OK\r\n\r\nbody", WithoutGoodbye, false),
        ("HTTP/1.1 200 OK\r\n\r\nbody", WithGarbage, false),
        ("HTTP/1.1 200 OK\r\nContent", InOrder, false),
        ("", InOrder, false),
        ("", WithoutGoodbye, false),
        ("", WithGarbage, false),
    ] {
        for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
            let config = config(versions, authority.sign(&["ns.invalid"], NOW));
            let port = serve(config, move |session, socket| {
                answer(session, socket, bytes.as_bytes());
                match leaves {
                    InOrder => {
                        session.send_close_notify();
                        let _ = session.write_tls(socket);
                    }
                    WithoutGoodbye => {}
                    WithGarbage => drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
                }
            });
            let response = ask(authority.tls(), "ns.invalid", port).await;
            assert_eq!(response.is_ok(), whole, "{bytes:?}, {leaves:?}, {versions:?}: {response:?}");
            if let Ok(response) = response {
                assert_eq!(response.body, b"body");
            }
        }
    }
}
