//! The filter of non-exclusive sessions has the key that the SDK for .NET sends (recording `session-non-exclusive`), at
//! the broker and in the client.

use servicebus_core::client::SessionReceiver;
use servicebus_core::servicebus::{Entity, LockToken, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::{Compound, Encode as _, Reader, Sink, Symbol, Value, encode_map};
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{World, attach_of};
use servicebus_tests::fault::Judge;
use std::cell::RefCell;
use std::rc::Rc;

const KEY: &str = "com.microsoft:non-exclusive-session-filter";
const DESCRIPTOR: u64 = 0x0000_0013_7000_000e;

/// Attaches a receiver with the filter as .NET writes it: the session and the token that were granted, or the refusal.
fn accept(
    world: &mut World,
    c: usize,
    address: &str,
    session: Option<&str>,
    token: Option<LockToken>,
) -> Result<(Option<String>, Option<LockToken>), String> {
    let mut list = vec![0x00, 0x80];
    list.extend_from_slice(&DESCRIPTOR.to_be_bytes());
    let mut sink = Sink::from(&mut list);
    let mark = sink.begin();
    session.encode(&mut sink);
    token.map(LockToken::uuid).encode(&mut sink);
    sink.end(mark, Compound::List, 2);
    let mut buffer = [0; 512];
    let entry = (Value::Symbol(Symbol::new(KEY)), Reader::new(&list).value().unwrap());
    let filter = encode_map(&[entry], &mut buffer).unwrap();
    let name = world.name(c);
    let attach = attach_of(&name, Role::Receiver, address, false, Some(filter), None);
    let link = world.attach(c, &attach).map_err(|failure| failure.text)?;
    world.with_attach(c, link, |attach| {
        let filter = attach.source.and_then(|source| source.filter).and_then(|filter| filter.get(KEY));
        let Some(Value::Described(filter)) = filter else { return Ok((None, None)) };
        let Ok(Value::List(fields)) = filter.value() else { return Ok((None, None)) };
        let fields: Vec<_> = fields.iter().map(Result::unwrap).collect();
        let token = fields.get(1).and_then(|token| match token {
            Value::Uuid(uuid) => Some(LockToken::from_uuid(*uuid)),
            _ => None,
        });
        Ok((fields.first().and_then(Value::as_str).map(str::to_owned), token))
    })
}

#[test]
fn a_non_exclusive_session_is_granted_by_dotnets_filter_f68() {
    let mut judge = Judge::new();
    for (target, source) in [("queue", "queue"), ("topic", "topic/Subscriptions/s")] {
        for (name, wanted) in [("named", Some("delta")), ("any", None), ("new", Some("another"))] {
            let mut world =
                World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
            let sessions = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
            world.topic("topic", &[("s", sessions)]);
            let sender = world.sender(0, target).unwrap();
            world.send(0, sender, &MessageRef::new("x").with_session_id("delta"));
            let granted = accept(&mut world, 0, source, wanted, None);
            let refused = |text: &String| text.contains("create a non-sessionful message receiver");
            let token = granted.as_ref().ok().and_then(|(_, token)| *token);
            judge.case(
                format!("{name} at {source}"),
                granted,
                |granted| {
                    let session = wanted.unwrap_or("delta");
                    granted.as_ref().is_ok_and(|(id, token)| id.as_deref() == Some(session) && token.is_some())
                },
                |granted| granted.as_ref().err().is_some_and(refused),
            );
            // The token takes the session over.
            let second = world.connect();
            judge.case(
                format!("{name} taken over at {source}"),
                accept(&mut world, second, source, wanted, token),
                |granted| granted.as_ref().is_ok_and(|(id, token)| id.is_some() && token.is_some()),
                |granted| granted.as_ref().err().is_some_and(refused),
            );
        }
    }
    judge.finish();
}

/// The keys of such filters in what a client wrote: symbols of up to 255 bytes.
fn keys(written: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    for at in 2..written.len() {
        let [0xa3, len] = written[at - 2..at] else { continue };
        let key = written.get(at..at + usize::from(len)).and_then(|key| std::str::from_utf8(key).ok());
        keys.extend(key.filter(|key| key.starts_with("com.microsoft:non-exclusive")).map(str::to_owned));
    }
    keys
}

#[test]
fn the_client_asks_for_a_non_exclusive_session_as_dotnet_does_f68() {
    let world = servicebus_simulation::World::new(BrokerConfig::default(), 7);
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            let queue = QueueDescription { requires_session: true, ..QueueDescription::default() };
            namespace.create_queue("q", queue, clock.utc).unwrap();
        });
    });
    let written = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&written);
    world.set_tamper_to_emulator(move |bytes| seen.borrow_mut().extend_from_slice(bytes));
    let scene = world.clone();
    world.run(async move {
        // Any session, and two by name that are taken over.
        let client = scene.client::<Heap>();
        let queue = || Entity::queue("q");
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x").with_session_id("waiting")).await.unwrap();
        let wait = Duration::from_secs(1);
        // An accept may fail: only the filters that were sent are judged.
        drop(client.accept_next_non_exclusive_session(queue(), wait).await);
        for name in ["a", "b"] {
            let held = client.accept_non_exclusive_session(queue(), name).await;
            let token = held.as_ref().ok().and_then(SessionReceiver::lock_token);
            let token = token.unwrap_or(LockToken::from_uuid(servicebus_core::wire::Uuid([7; 16])));
            drop(client.take_over_session(queue(), name, token).await);
        }
        client.close().await;
    });
    let mut judge = Judge::new();
    for (at, key) in keys(&written.borrow()).into_iter().enumerate() {
        judge.equal(at, key, KEY.to_owned(), format!("{KEY}:list"));
    }
    judge.finish();
}
