//! The engine as a plain AMQP 1.0 peer, without anything of Service Bus: a server for clients that others wrote, and a
//! client that puts servers that others wrote to the test.
//!
//! ```text
//! amqp-peer serve [--max-frame-size N] [--plain USER:PASSWORD]    prints `ready PORT`; ends with its standard input
//! amqp-peer drive PORT CHECK [--max-frame-size N] [--plain USER:PASSWORD] [--values FILE]
//! amqp-peer checks                                                names the checks
//! ```

mod drive;
mod serve;

use servicebus_core::engine::Config;
use servicebus_core::storage::{Heap, Payload as _, Storage};
use servicebus_core::wire::message::{Body, MessageView, section};
use servicebus_core::wire::messaging::put_section;
use servicebus_core::wire::{Encode as _, Sink, Value};
use servicebus_tests::tree::{Plain, Tree};
use std::path::PathBuf;

/// What the command line says.
struct Arguments {
    max_frame_size: u32,
    plain: Option<(String, String)>,
    values: Option<PathBuf>,
    words: Vec<String>,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { max_frame_size: 65_536, plain: None, values: None, words: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--max-frame-size" => found.max_frame_size = words.next()?.parse().ok()?,
            "--plain" => {
                let text = words.next()?;
                let (user, password) = text.split_once(':')?;
                found.plain = Some((user.into(), password.into()));
            }
            "--values" => found.values = Some(words.next()?.into()),
            _ => found.words.push(word),
        }
    }
    Some(found)
}

/// A configuration with frames of this size.
fn config(max_frame_size: u32) -> Config {
    Config { max_frame_size, ..Config::default() }
}

/// The encoded message whose body is this value.
fn value_message(value: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_section(&mut Sink::from(&mut bytes), section::AMQP_VALUE);
    value.encode(&mut Sink::from(&mut bytes));
    bytes
}

/// The encoded message whose body is these bytes.
fn data_message(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 16);
    put_section(&mut Sink::from(&mut bytes), section::DATA);
    Value::Binary(data).encode(&mut Sink::from(&mut bytes));
    bytes
}

/// A message's body, when it is a value.
fn value_of(message: &[u8]) -> Result<Tree, String> {
    let view = MessageView::parse(message).map_err(|error| error.to_string())?;
    match view.body().map_err(|error| error.to_string())? {
        Body::Value(value) => Tree::of(&value).map_err(|error| error.to_string()),
        // Proton leaves the body out when its value is null.
        Body::Empty => Ok(Tree::Plain(Plain::Null)),
        other => Err(format!("no value but {other:?}")),
    }
}

/// A payload of these bytes.
fn payload(bytes: &[u8]) -> <Heap as Storage>::Payload {
    <Heap as Storage>::Payload::copy_from(bytes).expect("the heap has room")
}

fn main() {
    let usage = "amqp-peer serve | amqp-peer drive PORT CHECK | amqp-peer checks";
    let Some(arguments) = arguments() else { return eprintln!("{usage}") };
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve::run(&arguments),
        ["checks"] => drive::names().for_each(|name| println!("{name}")),
        ["drive", port, check] => match drive::run(&arguments, port, check) {
            Ok(said) => println!("ok: {said}"),
            Err(why) => {
                eprintln!("{check}: {why}");
                std::process::exit(1);
            }
        },
        _ => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    }
}
