//! Every future of the administration client against sick HTTP servers, on tokio.

use crate::cell::{RETRY, Verdict, with_slack};
use crate::peer::Act;
use crate::platform::{Platform, SERVERS, Tokio};
use crate::relay::act;
use crate::report::{Cell, judge};
use futures_util::future::join_all;
use servicebus_core::client::administration::AdministrationOptions;
use servicebus_core::time::Duration;
use servicebus_tests::calls::{AdministrationCall, administration_calls};
use servicebus_tokio::administration::{AdministrationClient, Http};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

type Call = AdministrationCall<Http, servicebus_tokio::Tokio>;

/// The whole matrix at most; a client that stops its thread ends the wait.
const PATIENCE: Duration = Duration::from_secs(200);

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
const FIELD: &[u8] = b"X-More: and more\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNK: &[u8] = b"4\r\n<a/>\r\n";

/// The servers: a name, and what they do with each connection once a request has come.
const SERVERS_THAT_ARE_SICK: [(&str, Act); 16] = [
    ("sends-nothing", Act::Silent),
    ("stops-reading", Act::StopReading),
    ("resets", Act::Reset),
    ("closes", Act::Close),
    ("never-ends-the-head", Act::Flood(HEAD, FIELD)),
    ("trickles-the-head", Act::Trickle(HEAD)),
    ("never-ends-the-body", Act::Flood(CHUNKED, CHUNK)),
    ("trickles-the-body", Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<entry>")),
    ("announces-a-huge-body", Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n<entry>")),
    ("closes-in-the-body", Act::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<entry>")),
    ("always-500", Act::SendAndClose(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")),
    ("always-503", Act::SendAndClose(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")),
    (
        "always-later",
        Act::SendAndClose(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"),
    ),
    ("always-429", Act::SendAndClose(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")),
    (
        "redirects-to-itself",
        Act::SendAndClose(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    ),
    ("speaks-amqp", Act::SendAndClose(b"AMQP\x00\x01\x00\x00")),
];

/// Starts a server.
async fn serve(kind: Act) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    SERVERS.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if matches!(kind, Act::Send(_) | Act::Flood(..) | Act::Trickle(_)) {
                    // The request comes first; how much of it does not matter.
                    let _ = client.read(&mut [0; 16_384]).await;
                }
                let _ = act(client, kind, address).await;
            });
        }
    });
    address
}

fn name(server: &str, call: &Call) -> String {
    format!("tokio / HTTP {server} / {} / Cold", call.name)
}

/// The names of all cells.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let servers = SERVERS_THAT_ARE_SICK.into_iter();
    servers.flat_map(|(server, _)| administration_calls().into_iter().map(move |call| name(server, &call)))
}

async fn play(server: &str, kind: Act, call: Call) -> Cell {
    let address = serve(kind).await;
    let text =
        format!("Endpoint=sb://{address};SharedAccessKeyName=key;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true");
    let options = AdministrationOptions::new().with_retry(RETRY);
    let client =
        AdministrationClient::connect_with(&text, options, Http::default()).expect("the connection string is valid");
    let began = Instant::now();
    let limit = with_slack(call.bound.limit(&RETRY).expect("administration has bounds"));
    let ended = tokio::time::timeout(limit, (call.run)(client)).await;
    let verdict = match ended {
        Ok(Err(_)) => Verdict::Kept,
        Ok(Ok(())) => Verdict::Panicked("a sick server's answer counts as a success".to_owned()),
        Err(_) => Verdict::Pending(began.elapsed()),
    };
    Cell { name: name(server, &call), verdict, met: true, took: began.elapsed() }
}

/// Plays all cells that are wanted beside each other, in a thread that can be left behind.
fn run(wanted: impl Fn(usize, usize) -> bool + Send + 'static) -> Vec<Cell> {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let cells = Tokio::block_on(async {
            let mut cells = Vec::new();
            for (column, (server, kind)) in SERVERS_THAT_ARE_SICK.into_iter().enumerate() {
                for (row, call) in administration_calls().into_iter().enumerate() {
                    if wanted(column, row) {
                        cells.push(play(server, kind, call));
                    }
                }
            }
            join_all(cells).await
        });
        done.send(cells).expect("the test waits for the cells");
    });
    ended.recv_timeout(PATIENCE).expect("a cell has stopped its thread, or panicked")
}

/// Each server gets two calls, and every call is made once at least.
#[test]
fn two_administration_calls_to_each_sick_server_end_within_their_bounds() {
    let count = administration_calls::<Http, servicebus_tokio::Tokio>().len();
    let cells = run(move |column, row| row == column % count || row == (column + SERVERS_THAT_ARE_SICK.len()) % count);
    assert_eq!(cells.len(), SERVERS_THAT_ARE_SICK.len() * 2);
    judge(cells);
}

#[test]
#[ignore = "tests/run all: every administration call to every sick server"]
fn every_administration_call_to_every_sick_server_ends_within_its_bound() {
    judge(run(|_, _| true));
}
