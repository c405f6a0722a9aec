//! One port serves both protocols, and an error names its port (docs/evidence/field-reports.md F60, F61). The
//! certificate of F61 is judged in emulator/tests/program.rs, with N7.

use servicebus_core::servicebus::administration::CreateQueueOptions;
use servicebus_emulator::{Emulator, EmulatorBuilder};
use servicebus_tests::administrator::Administrator;
use servicebus_tests::fault::Judge;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A web token that ends in 2100; an emulator does not check signatures.
const TOKEN: &str = "Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.eA";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Writes these pieces one after the other: the first bytes of the answer.
fn answer(address: SocketAddr, pieces: &[&[u8]], bytes: usize) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for piece in pieces {
        socket.write_all(piece).unwrap();
    }
    let mut answer = vec![0; bytes];
    let mut read = 0;
    while read < bytes {
        match socket.read(&mut answer[read..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[test]
fn management_is_served_on_the_amqp_port_f60() {
    let runtime = runtime();
    let emulator = runtime.block_on(Emulator::builder().queue("q").topic("t").start()).unwrap();
    let body = Administrator::default()
        .requests
        .create_queue("new", CreateQueueOptions::new())
        .unwrap()
        .request()
        .body
        .clone();
    let body = String::from_utf8(body).unwrap();
    let mut judge = Judge::new();
    for (method, path, body, status) in [
        ("GET", "/q", "", "200"),
        ("GET", "/t", "", "200"),
        ("GET", "/$Resources/queues", "", "200"),
        ("GET", "/$namespaceinfo", "", "200"),
        ("PUT", "/new", body.as_str(), "201"),
        ("DELETE", "/q", "", "200"),
    ] {
        let request = format!(
            "{method} {path}?api-version=2024-05 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: {TOKEN}\r\nContent-Type: application/atom+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        for (port, address) in [("AMQP", emulator.amqp_address()), ("administration", emulator.admin_address())] {
            if port == "administration" && method != "GET" {
                // The AMQP port may have carried it out.
                continue;
            }
            judge.case(
                format!("{method} {path}, {port} port"),
                answer(address, &[request.as_bytes()], 12),
                |answer| *answer == format!("HTTP/1.1 {status}"),
                // The port takes a GET for a WebSocket's request, and other methods for an unknown version of AMQP.
                |answer| port == "AMQP" && (*answer == "HTTP/1.1 404" || answer.starts_with("AMQP")),
            );
        }
    }
    judge.finish();
}

#[test]
fn amqp_is_served_on_the_administration_port_f60() {
    let runtime = runtime();
    let emulator = runtime.block_on(Emulator::builder().queue("q").start()).unwrap();
    let (sasl, bare) = (b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00");
    let mut judge = Judge::new();
    let cases: [(&str, &[&[u8]]); 6] = [
        ("SASL", &[sasl]),
        ("SASL in two pieces", &[&sasl[..4], &sasl[4..]]),
        ("SASL after one byte", &[&sasl[..1], &sasl[1..]]),
        ("SASL without its last byte first", &[&sasl[..7], &sasl[7..]]),
        ("without SASL", &[bare]),
        ("without SASL in two pieces", &[&bare[..4], &bare[4..]]),
    ];
    for (name, pieces) in cases {
        for (port, address) in [("AMQP", emulator.amqp_address()), ("administration", emulator.admin_address())] {
            judge.case(
                format!("{name}, {port} port"),
                answer(address, pieces, 4),
                |answer| answer == "AMQP",
                // What the SDK for .NET reads as ProtocolName48545450.
                |answer| port == "administration" && answer == "HTTP",
            );
        }
    }
    judge.finish();
}

/// Why an emulator does not start.
fn start_refusal(runtime: &Runtime, builder: EmulatorBuilder) -> Option<String> {
    runtime.block_on(builder.start()).err().map(|error| error.to_string())
}

/// An emulator with one of its ports given.
type Way = fn(u16) -> EmulatorBuilder;

#[test]
fn a_port_that_is_taken_is_named_f61() {
    let runtime = runtime();
    let mut judge = Judge::new();
    let ways: [(&str, Way); 5] = [
        ("amqp", |port| Emulator::builder().amqp_port(port)),
        ("administration", |port| Emulator::builder().admin_port(port)),
        ("TLS", |port| Emulator::builder().tls(port, None)),
        ("amqp on localhost", |port| Emulator::builder().host("localhost").amqp_port(port)),
        ("administration with TLS", |port| Emulator::builder().tls(0, None).admin_port(port)),
    ];
    for (name, way) in ways {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        judge.case(
            name,
            start_refusal(&runtime, way(port)),
            |refused| refused.as_ref().is_some_and(|text| text.contains(&port.to_string())),
            |refused| refused.as_ref().is_some_and(|text| text.starts_with("cannot listen: ")),
        );
    }
    judge.finish();
}

#[test]
fn an_ipv6_host_may_stand_in_brackets_f61() {
    let runtime = runtime();
    let mut judge =
        Judge::of_few(4, "a host with brackets is an IPv6 address, of which a machine has few to listen on");
    for (bare, bracketed) in
        [("::1", "[::1]"), ("0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]"), ("::", "[::]"), ("127.0.0.1", "127.0.0.1")]
    {
        // Where there is no IPv6, both are refused, and for the same reason.
        let (one, other) = (
            start_refusal(&runtime, Emulator::builder().host(bare)),
            start_refusal(&runtime, Emulator::builder().host(bracketed)),
        );
        judge.case(
            bracketed,
            (one, other),
            |(one, other)| one == other,
            |(one, other)| one != other && other.as_ref().is_some_and(|text| text.starts_with("cannot listen: ")),
        );
    }
    judge.finish();
}
