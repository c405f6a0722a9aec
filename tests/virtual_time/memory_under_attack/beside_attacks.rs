//! A client that behaves well goes on beside each attack of docs/evidence/field-reports.md §4: its operations end within a
//! bound on virtual time, and cost the broker as many entries as without the attack.

use crate::answers::{peek, send_only};
use crate::budgets::{feed, tokens, transactions, unfinished};
use crate::opening;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::{Compound, Encode as _, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig};
use servicebus_emulator::filter::{Dialect, Filter, Rule, SqlFilter};
use servicebus_tests::broker::*;
use servicebus_tests::engine::{attach, frame};

/// The bound on the time from a send to the end of its message's settlement.
const BOUND: Duration = Duration::from_millis(10);
const MEMORY: usize = 64 << 20;

/// One part of an attack: what a client does before the well-behaved one has its turn.
type Part = fn(&mut World, usize);

/// A1: peeks of large messages, the answers to which are not read.
fn unread_answers(world: &mut World, part: usize) {
    if part == 0 {
        let sender = world.sender(0, "attacked").unwrap();
        let body = vec![7; 240_000];
        for _ in 0..4 {
            assert_eq!(world.send(0, sender, &MessageRef::new(&body)), Ended::Accepted);
        }
    }
    let client = world.connect();
    let (request, response) = world.node(client, "attacked/$management");
    let reply_to = world.reply_to(client, response).to_owned();
    for _ in 0..60 {
        send_only(world, client, request, peek(4, &reply_to));
    }
    // Nobody reads for it from now on.
    world.clients.truncate(client);
}

/// A2: attaches that are refused, the answers to which are not read.
fn refused_attaches(world: &mut World, _: usize) {
    let id = world.broker.connect(world.clock).unwrap();
    let attaches = (0..200).flat_map(|n| frame(0, &attach(&format!("link-{n}"), n, Role::Sender), &[]));
    feed(world, id, &[opening(false), attaches.collect()].concat());
}

/// A3: requests with lists of many small items.
fn lists(world: &mut World, _: usize) {
    let client = world.connect();
    let properties = [("operation", Value::String("com.microsoft:receive-by-sequence-number"))];
    world.node(client, "attacked/$management");
    world.try_ask(
        client,
        "attacked/$management",
        &properties,
        |sink| {
            let map = sink.begin();
            "sequence-numbers".encode(sink);
            let list = sink.begin();
            sink.put(&vec![0x44; 100_000]);
            sink.end(list, Compound::List, 100_000);
            sink.end(map, Compound::Map, 2);
        },
        None,
    );
}

/// A4: a long property against LIKE rules.
fn filters(world: &mut World, part: usize) {
    if part == 0 {
        world.topic("topic", &[("sub", SubscriptionDescription::default())]);
        let clock = world.clock;
        for n in 0..20 {
            let text = format!("p LIKE '%{}b'", "a".repeat(900));
            let filter = Filter::Sql(SqlFilter::parse(text, Vec::new(), &Dialect::default()).unwrap());
            let rule = Rule { name: format!("r{n}"), filter, action: None };
            let create = |namespace: &mut servicebus_emulator::broker::entities::Namespace| {
                namespace.create_rule("topic", "sub", rule, clock.utc)
            };
            world.broker.with_namespace(clock, create).unwrap();
        }
    }
    let sender = world.sender(0, "topic").unwrap();
    let text = "a".repeat(20_000);
    let properties = [("p", text.as_str().into())];
    assert_eq!(world.send(0, sender, &MessageRef::new("x").with_properties(&properties)), Ended::Accepted);
    world.detach(0, sender);
}

/// A5: what counts against the budget.
fn budget(world: &mut World, part: usize) {
    match part % 3 {
        0 => tokens(world, 12 << 20),
        1 => transactions(world, 12 << 20),
        _ => unfinished(world, 24 << 20),
    }
}

/// A6: connections that say nothing much.
fn connections(world: &mut World, _: usize) {
    for n in 0..500 {
        if let Some(id) = world.broker.connect(world.clock) {
            feed(world, id, &opening(n % 2 == 0));
        }
    }
}

/// A7: tokens whose end is no time, and tokens for other hosts.
fn bad_tokens(world: &mut World, _: usize) {
    let client = world.connect_bare();
    for n in 0..100 {
        let token = format!("SharedAccessSignature sr=sb%3a%2f%2flocalhost&sig=x&se=-{n}&skn={KEY_NAME}");
        assert_eq!(world.put_text(client, "sb://localhost/", &token).status(), 401);
    }
}

/// The time and the entries of a message that a client sends, receives and completes.
fn round(world: &mut World, client: usize) -> (Duration, u64) {
    let (begun, entries) = (world.clock.now, world.broker.statistics().entries_touched);
    let sender = world.sender(client, "queue").unwrap();
    assert_eq!(world.send(client, sender, &MessageRef::new("x")), Ended::Accepted);
    let receiver = world.receiver(client, "queue").unwrap();
    let mut received = world.receive(client, receiver, 1);
    while received.is_empty() {
        world.advance(Duration::from_millis(1));
        received = world.taken(client, receiver);
        assert!(world.clock.now.saturating_duration_since(begun) < Duration::from_secs(60), "nothing comes");
    }
    assert_eq!(world.complete(client, &received.remove(0)), Ended::Accepted);
    world.detach(client, sender);
    world.detach(client, receiver);
    let entries = world.broker.statistics().entries_touched - entries;
    (world.clock.now.saturating_duration_since(begun), entries)
}

fn world() -> World {
    let config = BrokerConfig { memory: MEMORY, ..BrokerConfig::default() };
    let mut world = World { broker: Broker::new(config, 7), ..World::new() };
    for name in ["queue", "attacked"] {
        let description = QueueDescription { max_message_size_in_kilobytes: Some(10_240), ..Default::default() };
        world.queue(name, description);
    }
    world.connect();
    world
}

#[test]
fn a_client_goes_on_beside_every_attack() {
    let attacks: [(&str, Part); 7] = [
        ("A1, unread answers", unread_answers),
        ("A2, refused attaches", refused_attaches),
        ("A3, lists", lists),
        ("A4, filters", filters),
        ("A5, the budget", budget),
        ("A6, connections", connections),
        ("A7, bad tokens", bad_tokens),
    ];
    let mut quiet = world();
    let neighbour = quiet.connect();
    let alone = (0..3).map(|_| round(&mut quiet, neighbour).1).max().unwrap_or_default();
    for (name, part) in attacks {
        let mut world = world();
        let neighbour = world.connect();
        let (mut longest, mut most) = (Duration::ZERO, 0);
        for n in 0..4 {
            part(&mut world, n);
            let (time, entries) = round(&mut world, neighbour);
            (longest, most) = (longest.max(time), most.max(entries));
        }
        println!("{name}: {} ms, {most} entries, of {alone} without", longest.as_millis());
        assert!(longest <= BOUND, "{name}: {longest:?}");
        assert!(most <= 2 * alone, "{name}: {most} entries, of {alone} without");
    }
}
