//! Filters and properties of an attach that are of the wrong type.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::{Compound, Encode, Reader, Sink, Symbol, Uuid, Value, encode_map};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

const SESSION_FILTER: &str = "com.microsoft:session-filter";
const SHARED_FILTER: &str = "com.microsoft:non-exclusive-session-filter";

/// A queue of sessions with a message in the session `1`, if it is to have one.
fn world(with_a_message: bool) -> World {
    let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
    if with_a_message {
        let sender = world.sender(0, "queue").unwrap();
        assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id("1")), Ended::Accepted);
    }
    world
}

/// Attaches a receiver with a filter and a property; `Ok` when it gets a session, and how it is refused.
fn attach(world: &mut World, filter: (&str, Value<'_>), property: Option<(&str, Value<'_>)>) -> Result<(), String> {
    let (mut filters, mut properties) = ([0; 256], [0; 256]);
    let filter = encode_map(&[(Value::Symbol(Symbol::new(filter.0)), filter.1)], &mut filters).unwrap();
    let property =
        property.map(|(key, value)| encode_map(&[(Value::Symbol(Symbol::new(key)), value)], &mut properties).unwrap());
    let name = world.name(0);
    let attach = attach_of(&name, Role::Receiver, "queue", false, Some(filter), property);
    world.attach(0, &attach).map(|_| ()).map_err(|failure| failure.condition)
}

fn is_refused(result: &Result<(), String>) -> bool {
    result.as_ref().is_err_and(|condition| condition.starts_with("amqp:") || condition.starts_with("com.microsoft:"))
}

/// Both ways in which an attach is taken for one that asks for the next session.
fn is_waiting_or_served(result: &Result<(), String>) -> bool {
    result.as_ref().map_or_else(|condition| condition == "pending", |()| true)
}

fn described(code: u64, value: &Value<'_>) -> Vec<u8> {
    let mut bytes = vec![0x00, 0x80];
    bytes.extend_from_slice(&code.to_be_bytes());
    value.encode(&mut Sink::from(&mut bytes));
    bytes
}

#[test]
fn a_session_filter_that_is_no_string_is_refused_f39() {
    let mut judge = Judge::new();
    let list = [0x45];
    let number = described(0x0000_0013_7000_000c, &Value::Int(1));
    let described = Reader::new(&number).value().unwrap();
    for with_a_message in [false, true] {
        for value in [
            Value::Uint(1),
            Value::Int(1),
            Value::Long(1),
            Value::Boolean(true),
            Value::Uuid(Uuid([1; 16])),
            Value::Binary(b"1"),
            Value::Double(1.0),
            Value::Timestamp(START),
            Reader::new(&list).value().unwrap(),
            described,
        ] {
            let mut world = world(with_a_message);
            let result = attach(&mut world, (SESSION_FILTER, value), None);
            let name = format!("{value:?}, a session is ready: {with_a_message}");
            judge.case(name, result, is_refused, is_waiting_or_served);
        }
    }
    // Null asks for the next session.
    let result = attach(&mut world(true), (SESSION_FILTER, Value::Null), None);
    judge.control("null", result, Result::is_ok);
    judge.finish();
}

#[test]
fn a_filter_of_shared_sessions_of_the_wrong_type_is_refused_f39() {
    let mut judge = Judge::new();
    let token = Value::Uuid(Uuid([1; 16]));
    for fields in [
        [Value::Int(1), Value::Null],
        [Value::Boolean(true), Value::Null],
        [Value::Binary(b"1"), Value::Null],
        [Value::Uuid(Uuid([2; 16])), Value::Null],
        [Value::Long(1), Value::String("no token")],
        [Value::Null, Value::String("no token")],
        [Value::Null, Value::Int(1)],
        [Value::String("1"), token],
    ] {
        let mut bytes = vec![0x00, 0x80];
        bytes.extend_from_slice(&0x0000_0013_7000_000e_u64.to_be_bytes());
        let mut sink = Sink::from(&mut bytes);
        let list = sink.begin();
        for field in &fields {
            field.encode(&mut sink);
        }
        sink.end(list, Compound::List, fields.len());
        let mut world = world(true);
        let result = attach(&mut world, (SHARED_FILTER, Reader::new(&bytes).value().unwrap()), None);
        judge.case(format!("{fields:?}"), result, is_refused, is_waiting_or_served);
    }
    judge.finish();
}

#[test]
fn a_property_of_an_attach_of_the_wrong_type_is_refused_f39() {
    let mut judge = Judge::new();
    for (key, value) in [
        ("com.microsoft:timeout", Value::String("soon")),
        ("com.microsoft:timeout", Value::Boolean(true)),
        ("com.microsoft:timeout", Value::Binary(b"1")),
        ("com.microsoft:timeout", Value::Int(-1)),
        ("com.microsoft:entity-type", Value::String("queue")),
        ("com.microsoft:entity-type", Value::Boolean(false)),
        ("com.microsoft:entity-type", Value::Int(1)),
    ] {
        let mut world = world(true);
        let result = attach(&mut world, (SESSION_FILTER, Value::Null), Some((key, value)));
        judge.case(format!("{key} {value:?}"), result, is_refused, is_waiting_or_served);
    }
    judge.finish();
}

#[test]
fn an_attach_for_the_next_session_is_refused_when_its_time_is_over_f39() {
    let mut world = world(false);
    let link = world.begin_session_receiver(0, "queue", None, Some(5_000));
    world.settle_down();
    assert_eq!(world.attached(0, link).unwrap_err().condition, "pending");
    world.advance(Duration::from_secs(6));
    assert_eq!(world.attached(0, link).unwrap_err().condition, "com.microsoft:timeout");
}
