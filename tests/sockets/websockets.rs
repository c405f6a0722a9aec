//! WebSockets of the emulator's server and of the clients on tokio and async-io, one by one: what is no WebSocket, and what breaks one.
//! That the client works over them is in `runtimes`.

use servicebus_core::client::ErrorKind;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_emulator::Emulator;
use servicebus_tests::told::Told;
use servicebus_tokio::MessageRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const OFFER: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol: AMQPWSB10\r\n";
/// The header of SASL, and that of a masked binary message of 8 bytes whose mask changes nothing.
const SASL: &[u8] = b"AMQP\x03\x01\x00\x00";
const BINARY_8: &[u8] = &[0x82, 0x88, 0, 0, 0, 0];

async fn emulator() -> Emulator {
    Emulator::builder().queue("q").start().await.expect("it starts")
}

async fn connect(emulator: &Emulator) -> TcpStream {
    TcpStream::connect(emulator.amqp_address()).await.expect("it listens")
}

/// Reads until this many bytes have come, or the end.
async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        // A reset is an end too.
        match timeout(PATIENCE, stream.read(&mut bytes[filled..])).await.expect("in time") {
            Ok(0) | Err(_) => break,
            Ok(more) => filled += more,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// The head of the answer to a request.
async fn answer(stream: &mut TcpStream, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = read(stream, 1).await;
        assert!(!byte.is_empty(), "the end of {:?}", String::from_utf8_lossy(&head));
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// A WebSocket of which nothing has been used.
async fn upgraded(emulator: &Emulator) -> TcpStream {
    let mut stream = connect(emulator).await;
    let head = answer(&mut stream, "/$servicebus/websocket", &format!("{OFFER}{SUBPROTOCOL}")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

#[tokio::test]
async fn requests_that_open_no_websocket_are_told_why() {
    let emulator = emulator().await;
    let right = format!("{OFFER}{SUBPROTOCOL}");
    let old = right.replace("Version: 13", "Version: 8");
    for (path, fields, status) in [
        ("/", right.as_str(), 404),
        ("/$servicebus/websocket/more", &right, 404),
        ("/$servicebus/websocket", "", 426),
        ("/$servicebus/websocket", OFFER, 400),
        ("/$servicebus/websocket", &right.replace("AMQPWSB10", "mqtt"), 400),
        ("/$servicebus/websocket", &old, 400),
        ("/$servicebus/websocket/", &right, 101),
        ("/$servicebus/websocket", &format!("{OFFER}Sec-WebSocket-Protocol: mqtt, AMQPWSB10\r\n"), 101),
        ("/$servicebus/websocket", &right.replace("AMQPWSB10", "amqp"), 101),
    ] {
        let mut stream = connect(&emulator).await;
        let head = answer(&mut stream, path, fields).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {fields}: {head}");
        if status == 101 {
            let chosen = if fields.contains("AMQPWSB10") { "AMQPWSB10" } else { "amqp" };
            let chosen = format!("\r\nsec-websocket-protocol: {chosen}\r\n").to_lowercase();
            assert!(head.to_lowercase().contains(&chosen), "{head}");
            // The answer to this key is in RFC 6455 §1.3.
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        }
    }
    // Java's client offers HTTP/2 with every request: the offer is passed over.
    let mut stream = connect(&emulator).await;
    let offer = "GET /$emulator/statistics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    stream.write_all(offer.as_bytes()).await.unwrap();
    let answer = read(&mut stream, 1 << 20).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
    // A request that never ends.
    let mut stream = connect(&emulator).await;
    stream.write_all(b"GET /").await.unwrap();
    let _ = stream.write_all(&vec![b'a'; 1 << 20]).await;
    let answer = read(&mut stream, 1 << 20).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn bytes_may_be_cut_anywhere_and_pings_are_answered() {
    let emulator = emulator().await;
    let mut stream = upgraded(&emulator).await;
    // A byte at a time, with empty messages in between, and a ping.
    for byte in SASL {
        stream.write_all(&[0x82, 0x80, 0, 0, 0, 0, 0x82, 0x81, 0, 0, 0, 0, *byte]).await.unwrap();
    }
    // The broker answers with its own header and its mechanisms.
    let first = read(&mut stream, 10).await;
    assert_eq!(first[0], 0x82);
    assert_eq!(&first[2..10], SASL);
    let _ = read(&mut stream, usize::from(first[1]) - 8).await;
    stream.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let pong = read(&mut stream, 4).await;
    // Mechanisms may come in a message of their own.
    let pong = if pong[0] == 0x82 {
        let _ = read(&mut stream, usize::from(pong[1]) - 2).await;
        read(&mut stream, 4).await
    } else {
        pong
    };
    assert_eq!(pong, [0x8a, 2, b'h', b'i']);
    // A goodbye is answered with one, then the connection ends.
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).await.unwrap();
    assert_eq!(read(&mut stream, 100).await, [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn what_breaks_a_websocket_ends_it() {
    let emulator = emulator().await;
    let giant = [&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat();
    let unmasked = [&[0x82, 8][..], SASL].concat();
    let text = [&[0x81, 0x88, 0, 0, 0, 0][..], SASL].concat();
    let unknown = [&[0x83, 0x88, 0, 0, 0, 0][..], SASL].concat();
    for bytes in [giant, unmasked, text, unknown] {
        let mut stream = upgraded(&emulator).await;
        stream.write_all(&bytes).await.unwrap();
        let answer = read(&mut stream, 1000).await;
        assert!(!answer.windows(8).any(|window| window == SASL), "{bytes:?}: {answer:?}");
    }
    // Fragments of one message that never ends.
    let mut stream = upgraded(&emulator).await;
    let fragment = [&[0x02, 0xff][..], &(64u64 << 10).to_be_bytes(), &[0; 4], &vec![0; 64 << 10]].concat();
    let more = [&[0x00][..], &fragment[1..]].concat();
    let mut result = stream.write_all(&fragment).await;
    for _ in 0..1000 {
        if result.is_err() {
            break;
        }
        result = timeout(PATIENCE, stream.write_all(&more)).await.expect("the server reads, or the connection ends");
    }
    assert!(result.is_err(), "64 MB of one message were taken");
    // Others are served all the while.
    let mut stream = upgraded(&emulator).await;
    stream.write_all(&[BINARY_8, SASL].concat()).await.unwrap();
    assert_eq!(&read(&mut stream, 10).await[2..], SASL);
}

/// A server that answers the first request with this.
async fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let count = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
        assert!(head.starts_with("get /$servicebus/websocket http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: localhost:{port}\r\n")), "{head}");
        assert!(head.contains("\r\nsec-websocket-protocol: amqpwsb10\r\n"), "{head}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    });
    port
}

#[tokio::test]
async fn an_answer_that_opens_no_websocket_is_told() {
    for (answer, told) in [
        ("HTTP/1.1 407 Whatever\r\nContent-Length: 0\r\n\r\n", "the answer was HTTP 407 Proxy Authentication Required"),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "the answer was HTTP 302 Found"),
        ("AMQP\x00\x01\x00\x00\r\n\r\n", "WebSocket: "),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: c29tZWJvZHkgZWxzZQ==\r\n\r\n",
            "WebSocket: ",
        ),
    ] {
        for smol in [false, true] {
            let port = answering(answer).await;
            let connection_string = format!(
                "Endpoint=sb://localhost:{port};SharedAccessKeyName=k;SharedAccessKey=k;UseDevelopmentEmulator=true"
            );
            let message = MessageRef::new("m");
            macro_rules! refused {
                ($adapter:ident) => {{
                    let options = $adapter::Options::new(connection_string).unwrap().with_retry(RetryPolicy::none());
                    let client = options.with_endpoint("127.0.0.1", port).with_websockets().connect();
                    let error = client.sender("q").unwrap().send(&message).await.unwrap_err();
                    client.close().await;
                    error
                }};
            }
            let error = if smol { refused!(servicebus_async_std) } else { refused!(servicebus_tokio) };
            assert!(matches!(Told::of(&error), Told::Kind(ErrorKind::Disconnected)), "{error:?}");
            assert!(error.to_string().contains(told), "{told}: {error}");
        }
    }
}
