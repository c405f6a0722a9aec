//! The server and the in-process handle, over real sockets on loopback.
#![cfg(feature = "server")]

use core::time::Duration;
use servicebus_core::time::Timestamp;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::budget::Holding;
use servicebus_emulator::broker::entities::QueueDescription;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const SASL: &[u8] = b"AMQP\x03\x01\x00\x00";

/// Says the SASL header and returns what the server answers.
async fn greet(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Vec<u8> {
    socket.write_all(SASL).await.unwrap();
    let mut answer = vec![0; 8 + 63];
    tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn the_greeting_is_the_services_own() {
    let emulator = Emulator::builder().queue("orders").start().await.unwrap();
    let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    let answer = greet(&mut socket).await;
    assert_eq!(&answer[..8], SASL);
    // docs/evidence/service-evidence.md §1: an array of sym32 in this order.
    let mechanisms = b"\x00\x00\x00\x3f\x02\x01\x00\x00\x00\x53\x40\xc0\x32\x01\xe0\x2f\x04\xb3\x00\x00\x00\x07MSSBCBS\
        \x00\x00\x00\x05PLAIN\x00\x00\x00\x09ANONYMOUS\x00\x00\x00\x08EXTERNAL";
    assert_eq!(&answer[8..], mechanisms);
    assert_eq!(emulator.statistics().connections_accepted, 1);
    let text = emulator.connection_string();
    let parsed = servicebus_core::servicebus::ConnectionString::parse(&text).unwrap();
    assert_eq!(parsed.amqp_port(), emulator.amqp_address().port());
    assert!(parsed.use_development_emulator);
}

#[tokio::test]
async fn a_subscription_before_any_topic_is_refused() {
    let other = Emulator::builder().topic("events").namespace("other").subscription("all").start().await;
    assert_eq!(other.unwrap_err().to_string(), "the subscription 'all' was added before any topic");
}

#[tokio::test]
async fn emulators_stand_side_by_side_and_stop_when_dropped() {
    let mut emulators = Vec::new();
    for _ in 0..10 {
        emulators.push(Emulator::builder().queue("q").start().await.unwrap());
    }
    let address = emulators[0].amqp_address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    greet(&mut socket).await;
    emulators.remove(0);
    // The connection ends, and nobody listens any more.
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await.unwrap().unwrap();
    for _ in 0..1_000 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("still listening");
}

#[tokio::test]
async fn tls_is_served_with_a_certificate_made_on_the_spot() {
    let emulator = Emulator::builder().queue("q").tls(0, None).start().await.unwrap();
    let pem = emulator.certificate_pem().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(emulator.tls_address().unwrap()).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut socket = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    assert_eq!(&greet(&mut socket).await[..8], SASL);
    // Plain bytes on the TLS port get nowhere.
    let mut plain = TcpStream::connect(emulator.tls_address().unwrap()).await.unwrap();
    plain.write_all(SASL).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), plain.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.starts_with(b"AMQP"));
}

/// One request to the management endpoint, with or without a token: the answer as it came.
async fn ask(emulator: &Emulator, request: &str, token: bool) -> String {
    let mut socket = TcpStream::connect(emulator.admin_address()).await.unwrap();
    // Nobody signs for an emulator: a web token that ends in 2100.
    let token = if token { "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.eA\r\n" } else { "" };
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn counters_are_told_and_connections_closed_over_http() {
    let emulator = Emulator::builder().queue("orders").start().await.unwrap();
    let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    greet(&mut socket).await;
    let init = b"\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS";
    let open = b"\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    for part in [&init[..], b"AMQP\x00\x01\x00\x00", open] {
        socket.write_all(part).await.unwrap();
    }
    let told = ask(&emulator, "GET /$emulator/statistics", true).await;
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.contains("\"connections-open\":1,"), "{told}");

    let refused = ask(&emulator, "DELETE /$emulator/connections", false).await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert_eq!(emulator.statistics().connections_open, 1);
    let closed = ask(&emulator, "DELETE /$emulator/connections", true).await;
    assert!(closed.starts_with("HTTP/1.1 200 "), "{closed}");
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), async {
        while !rest.windows(22).any(|window| window == b"amqp:connection:forced") {
            assert_ne!(socket.read_buf(&mut rest).await.unwrap(), 0);
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_virtual_clock_moves_only_by_hand() {
    let start = Timestamp::from_secs(1_795_000_000);
    let emulator = Emulator::builder().queue("q").virtual_clock(start).start().await.unwrap();
    let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    greet(&mut socket).await;
    assert_eq!(emulator.clock().utc, start);
    // A connection that has not shown a token may stay for twenty seconds of this clock.
    emulator.advance(Duration::from_secs(19));
    assert_eq!(emulator.clock().utc, start + Duration::from_secs(19));
    socket.write_all(b"\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS").await.unwrap();
    let mut outcome = [0; 16];
    tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut outcome)).await.unwrap().unwrap();
    assert_eq!(emulator.statistics().connections_open, 1);
    // Then it is closed.
    emulator.advance(Duration::from_secs(2));
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(emulator.clock().utc, start + Duration::from_secs(21));
    tokio::time::timeout(Duration::from_secs(10), async {
        while emulator.statistics().connections_open != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn entities_come_and_go_while_it_runs() {
    let emulator = Emulator::start().await.unwrap();
    emulator.with_broker(|broker, clock| {
        broker
            .with_namespace(clock, |namespace| namespace.create_queue("late", QueueDescription::default(), clock.utc))
            .unwrap();
        assert_eq!(broker.namespace().queues().count(), 1);
    });
}

#[tokio::test]
async fn a_stream_of_this_process_is_served_like_a_socket() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let (mut client, server) = tokio::io::duplex(256);
    let served = tokio::spawn(emulator.serve(server));
    assert_eq!(&greet(&mut client).await[..8], SASL);
    drop(client);
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
    assert_eq!(emulator.statistics().connections_open, 0);

    let (mut client, server) = tokio::io::duplex(256);
    let served = tokio::spawn(emulator.serve(server));
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("servicebus_messages{namespace=\"sbemulatorns\",entity=\"q\",state=\"active\"} 0\n"),
        "{answer}"
    );
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();

    // Streams end with the emulator.
    let (mut client, server) = tokio::io::duplex(256);
    let served = tokio::spawn(emulator.serve(server));
    greet(&mut client).await;
    drop(emulator);
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn closing_tells_what_was_open_and_ends_connections_with_an_error() {
    let emulator = Emulator::builder().queue("orders").start().await.unwrap();
    let mut opened = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    greet(&mut opened).await;
    let init = b"\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS";
    let open = b"\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    for part in [&init[..], b"AMQP\x00\x01\x00\x00", open] {
        opened.write_all(part).await.unwrap();
    }
    let mut outcome = [0; 16];
    opened.read_exact(&mut outcome).await.unwrap();
    let mut silent = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    let mut idle = TcpStream::connect(emulator.admin_address()).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.read_exact(&mut outcome).await.unwrap();

    let reading = tokio::spawn(async move {
        let mut rest = Vec::new();
        opened.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let closed = tokio::time::timeout(Duration::from_secs(10), emulator.close())
        .await
        .expect("a client that does not answer is cut off");
    assert_eq!((closed.connections, closed.links, closed.transactions), (1, 0, 0), "{closed}");
    let rest = reading.await.unwrap();
    assert!(rest.windows(22).any(|window| window == b"amqp:connection:forced"), "{rest:?}");
    assert_eq!(silent.read(&mut outcome).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn own_requests_have_short_paths_while_no_entity_has_the_name() {
    let emulator = Emulator::builder().queue("orders").start().await.unwrap();
    for path in ["/health", "/metrics", "/$emulator/health", "/$emulator/metrics", "/$emulator/statistics"] {
        let answer = ask(&emulator, &format!("GET {path}"), false).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    emulator.with_broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            for name in ["health", "Metrics"] {
                namespace.create_queue(name, QueueDescription::default(), clock.utc).unwrap();
            }
        });
    });
    for (path, own) in
        [("/health", false), ("/metrics", false), ("/$emulator/health", true), ("/$emulator/metrics", true)]
    {
        let answer = ask(&emulator, &format!("GET {path}"), false).await;
        assert!(answer.starts_with(if own { "HTTP/1.1 200 " } else { "HTTP/1.1 401 " }), "{path}: {answer}");
    }
    // Everything else needs a token from everywhere.
    for request in ["DELETE /$emulator/messages", "GET /orders"] {
        let answer = ask(&emulator, request, false).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{request}: {answer}");
    }
}

#[tokio::test]
async fn unsigned_tokens_are_accepted_on_loopback_unless_told_otherwise() {
    for (builder, status) in [
        (Emulator::builder(), 200),
        (Emulator::builder().host("0.0.0.0"), 401),
        (Emulator::builder().host("0.0.0.0").unsigned_tokens(true), 200),
        (Emulator::builder().unsigned_tokens(false), 401),
    ] {
        let builder = builder.queue("orders");
        let name = format!("{builder:?}");
        let emulator = builder.start().await.unwrap();
        let answer = ask(&emulator, "GET /orders", true).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
    }
}

/// One port, several namespaces: by the host of `open`, that of the TLS handshake, and that of a request.
#[tokio::test]
async fn a_port_serves_several_namespaces() {
    let emulator = Emulator::builder().queue("q").namespace("b").queue("q").queue("r").start().await.unwrap();
    assert_eq!(emulator.namespaces().collect::<Vec<_>>(), ["b"]);
    let port = emulator.amqp_address().port();
    let string = emulator.connection_string_of("B").unwrap();
    assert!(string.starts_with(&format!("Endpoint=sb://b.localhost:{port};SharedAccessKeyName=")), "{string}");
    assert_eq!(emulator.connection_string_of("c"), None);
    let queues = emulator.with_broker(|broker, _| {
        let ids = broker.namespace_ids();
        ids.map(|id| broker.namespace_of(id).queues().count()).collect::<Vec<_>>()
    });
    assert_eq!(queues, [1, 2]);

    let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
    greet(&mut socket).await;
    let init = b"\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUS";
    // A container named x, and the host b.x.
    let open = b"\x00\x00\x00\x16\x02\x00\x00\x00\x00\x53\x10\xc0\x09\x02\xa1\x01x\xa1\x03b.x";
    for part in [&init[..], b"AMQP\x00\x01\x00\x00", open] {
        socket.write_all(part).await.unwrap();
    }
    let opened = async {
        while emulator.with_broker(|broker, _| {
            let b = broker.find_namespace("b").unwrap();
            broker.statistics_of(b).connections_open == 0
        }) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), opened).await.unwrap();
}

/// RFC 9112 §3.2: a request of HTTP/1.1 names one host; that of a whole address counts before it.
#[tokio::test]
async fn a_request_names_one_host() {
    let emulator = Emulator::builder().queue("default").namespace("a").queue("of-a").start().await.unwrap();
    let token = "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.eA\r\nConnection: close\r\n\r\n";
    for (head, expected) in [
        ("GET /of-a HTTP/1.1\r\nHost: a.localhost\r\n", "<title type=\"text\">of-a</title>"),
        ("GET http://a.localhost:1/of-a HTTP/1.1\r\nHost: localhost\r\n", "<title type=\"text\">of-a</title>"),
        ("GET http://localhost/default HTTP/1.1\r\nHost: a.localhost\r\n", "<title type=\"text\">default</title>"),
        ("GET /default HTTP/1.0\r\n", "<title type=\"text\">default</title>"),
        ("GET /default HTTP/1.1\r\n", "HTTP/1.1 400 "),
        ("GET http://a.localhost/of-a HTTP/1.1\r\n", "HTTP/1.1 400 "),
        ("GET /of-a HTTP/1.1\r\nHost: a.localhost\r\nHost: localhost\r\n", "HTTP/1.1 400 "),
        ("GET /of-a HTTP/1.1\r\nHost: a.localhost\u{ff}\r\n", "HTTP/1.1 400 "),
        ("GET /of-a HTTP/1.1\r\nHost: a.localhost@localhost\r\n", "HTTP/1.1 400 "),
        ("GET http://a.localhost@localhost/of-a HTTP/1.1\r\nHost: localhost\r\n", "HTTP/1.1 400 "),
        ("GET /$servicebus/websocket HTTP/1.1\r\nUpgrade: websocket\r\n", "HTTP/1.1 400 "),
    ] {
        let mut socket = TcpStream::connect(emulator.admin_address()).await.unwrap();
        let request: Vec<u8> = head.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
        socket.write_all(&[&request, token.as_bytes()].concat()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(expected), "{head}: {answer}");
    }
}

/// An answer counts as memory until its client has read it, and one that finds no room is refused.
#[tokio::test]
async fn answers_that_are_not_read_count() {
    let emulator = Emulator::builder().memory(16 << 20).start().await.unwrap();
    let used = || emulator.with_broker(|broker, _| broker.budget().used_for(Holding::Bodies));
    let create = |number: usize| {
        emulator.with_broker(|broker, clock| {
            broker.with_namespace(clock, |namespace| {
                namespace.create_queue(&format!("queue-{number:0200}"), QueueDescription::default(), clock.utc)
            })
        })
    };
    for number in 0..300 {
        create(number).unwrap();
    }
    let request = b"GET /$emulator/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut clients = Vec::new();
    let mut refused = None;
    while refused.is_none() {
        let (mut client, server) = tokio::io::duplex(256);
        tokio::spawn(emulator.serve(server));
        client.write_all(request).await.unwrap();
        let mut head = [0; 13];
        client.read_exact(&mut head).await.unwrap();
        if &head == b"HTTP/1.1 503 " {
            refused = Some(clients.len());
        }
        clients.push(client);
        assert!(clients.len() < 200, "{} bytes", used());
    }
    println!("{refused:?} answers, {} bytes", used());
    assert!(refused > Some(3) && used() > 1 << 20, "{refused:?} answers, {} bytes", used());
    // What a request does is answered in any case.
    let put = ask(&emulator, "DELETE /queue-none", true).await;
    assert!(put.starts_with("HTTP/1.1 404 "), "{put}");
    drop(clients);
    for _ in 0..100 {
        if used() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} bytes", used());
}
