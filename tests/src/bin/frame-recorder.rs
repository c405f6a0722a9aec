//! Stands between clients and a server on loopback, and tells what clients send: every frame as a line of JSON, values
//! with their types.
//!
//! ```text
//! frame-recorder PORT      prints the port it listens on, then the frames; ends with its standard input
//! ```
//!
//! A line is `{"connection": 0, "frame": "amqp", "channel": 1, "body": [type, contents], "message": [sections]}`
//! ([`Tree::to_pair`]); the message is that of a transfer, when it is whole in its frame.

use serde_json::{Value as Json, json};
use servicebus_core::wire::{DecodeError, Reader};
use servicebus_tests::tree::Tree;
use std::error::Error;
use std::io::{Read, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

fn value(reader: &mut Reader<'_>) -> Result<Json, DecodeError> {
    Ok(Tree::of(&reader.value()?)?.to_pair())
}

/// A frame without its size; `None` for a heartbeat.
fn told(connection: usize, frame: &[u8]) -> Result<Option<Json>, DecodeError> {
    let [offset, kind, high, low, ..] = *frame else { return Ok(None) };
    let body = frame.get(usize::from(offset) * 4 - 4..).unwrap_or_default();
    if body.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(body);
    let performative = value(&mut reader)?;
    let mut sections = Vec::new();
    while !reader.is_empty() {
        sections.push(value(&mut reader)?);
    }
    let kind = if kind == 1 { "sasl" } else { "amqp" };
    let channel = u16::from_be_bytes([high, low]);
    let told = json!({
        "connection": connection, "frame": kind, "channel": channel, "body": performative, "message": sections,
    });
    Ok(Some(told))
}

/// Carries what the client sends on to the server, frame by frame.
fn record(connection: usize, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 8];
        client.read_exact(&mut head)?;
        server.write_all(&head)?;
        if head.starts_with(b"AMQP") {
            continue;
        }
        let [a, b, c, d, rest @ ..] = head;
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let mut frame = rest.to_vec();
        Read::by_ref(&mut client).take(size.saturating_sub(8) as u64).read_to_end(&mut frame)?;
        server.write_all(&frame[rest.len()..])?;
        match told(connection, &frame) {
            Ok(Some(line)) => println!("{line}"),
            Ok(None) => {}
            Err(error) => println!("{}", json!({ "connection": connection, "error": error.to_string() })),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let upstream: u16 = std::env::args().nth(1).ok_or("frame-recorder PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for (connection, client) in listener.incoming().flatten().enumerate() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
            let (Ok(mut to_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { continue };
            thread::spawn(move || {
                let _ = copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let end = server.try_clone();
                let _ = record(connection, client, server);
                if let Ok(end) = end {
                    let _ = end.shutdown(Shutdown::Both);
                }
            });
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
