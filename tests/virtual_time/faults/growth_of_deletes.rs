//! Large entities that are deleted, purged and listed, and what ends at once for one client: one call does a bounded part.

use crate::growth::{CALL, assert_flat, attach_receivers, end_all, entries_of, message, namespace};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{
    self, Namespace, QueueDescription, StoreId, SubscriptionDescription, TopicDescription,
};
use servicebus_emulator::broker::{Broker, BrokerConfig, NamespaceConfig, NamespaceLimits, Tier};
use servicebus_emulator::filter::{CorrelationFilter, Filter, Rule};
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, is_enlisted, refusal};

/// Entries that the links and receivers of one call are, at most.
const HANDOUTS: u64 = 4 * CALL;

/// A queue with so many messages, each in a session of its own where asked for.
fn filled(count: usize, sessions: bool) -> (Namespace, StoreId) {
    let (mut namespace, store) = namespace(QueueDescription { requires_session: sessions, ..Default::default() });
    for n in 0..count {
        let session = n.to_string();
        namespace.send("queue", message(sessions.then_some(&session[..])), START).unwrap();
    }
    (namespace, store)
}

/// Entries of one call, which must be few.
fn call(namespace: &mut Namespace, act: impl FnOnce(&mut Namespace)) -> u64 {
    let before = namespace.entries_touched();
    act(namespace);
    let entries = namespace.entries_touched() - before;
    assert!(entries <= CALL, "{entries} entries in one call");
    entries
}

fn large_queues(sizes: &[usize]) {
    for sessions in [false, true] {
        for purged in [false, true] {
            let name = format!("each message of a queue, sessions: {sessions}, purged: {purged}");
            assert_flat(&name, sizes, |count| {
                let (mut namespace, _) = filled(count, sessions);
                let mut entries = call(&mut namespace, |namespace| match purged {
                    true => namespace.purge(),
                    false => namespace.delete("queue").unwrap(),
                });
                // It is gone at once, and another may have its name.
                assert_eq!(namespace.queue("queue").is_some(), purged);
                if !purged {
                    namespace.create_queue("queue", QueueDescription::default(), START).unwrap();
                }
                let stores = namespace.queue("queue").unwrap().stores;
                assert_eq!((namespace.counts(&stores).total(), namespace.held("queue")), (0, 0));
                entries += end_all(&mut namespace, START);
                assert_eq!(namespace.counts(&stores).total(), 0);
                entries / count as u64
            });
        }
    }
}

#[test]
fn a_large_queue_goes_in_parts() {
    large_queues(&[1_000, 20_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_queue_of_a_million_messages_goes_in_parts() {
    large_queues(&[1_000, 1_000_000]);
}

/// A namespace with a topic of so many subscriptions, each with a correlation filter of its own.
fn subscribed(count: usize) -> Namespace {
    let mut namespace = Namespace::new(1);
    namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
    for n in 0..count {
        let filter = CorrelationFilter { label: Some(n.to_string()), ..CorrelationFilter::default() };
        let rule = Rule { name: "r".into(), filter: Filter::Correlation(filter), action: None };
        let (name, description) = (format!("s{n}"), SubscriptionDescription::default());
        namespace.create_subscription("topic", &name, description, Some(rule), START).unwrap();
    }
    namespace
}

#[test]
fn a_topic_of_2_000_subscriptions_goes_in_parts() {
    let mut namespace = subscribed(2_000);
    let stores = |namespace: &Namespace, n: usize| namespace.subscription("topic", &format!("s{n}")).unwrap().stores;
    let old = stores(&namespace, 0);
    for _ in 0..3_000 {
        let sent = entities::Message::accept(encoded(&MessageRef::new("x").with_subject("0"))).unwrap();
        namespace.send("topic", sent, START).unwrap();
    }
    let (_, token, _) = namespace.receive(old.main, None, START).unwrap();
    call(&mut namespace, |namespace| namespace.delete("topic").unwrap());
    // Nothing of it can be reached, whatever has its name.
    namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
    namespace.create_subscription("topic", "s0", SubscriptionDescription::default(), None, START).unwrap();
    assert!(namespace.store(old.main).is_none() && namespace.find_lock(&[old.main], token).is_err());
    end_all(&mut namespace, START + Duration::from_secs(3_600));
    let new = stores(&namespace, 0);
    assert_eq!((namespace.counts(&new).total(), namespace.held("topic")), (0, 0));
}

fn subscriptions_of_many_rules(sizes: &[usize]) {
    let labelled = |name: &str, label: &str| {
        let filter = CorrelationFilter { label: Some(label.to_owned()), ..CorrelationFilter::default() };
        Rule { name: name.to_owned(), filter: Filter::Correlation(filter), action: None }
    };
    let sent = |label: &str| entities::Message::accept(encoded(&MessageRef::new("x").with_subject(label))).unwrap();
    assert_flat("each rule of a subscription", sizes, |count| {
        let mut namespace = Namespace::new(1);
        namespace.set_tier(Tier::Standard, Some(NamespaceLimits::LIFTED));
        namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
        let make = |namespace: &mut Namespace, name: &str, rule: Rule| {
            namespace
                .create_subscription("topic", name, SubscriptionDescription::default(), Some(rule), START)
                .unwrap();
        };
        make(&mut namespace, "other", labelled("r", "1"));
        make(&mut namespace, "one", labelled("r0", "0"));
        for n in 1..count {
            namespace.create_rule("topic", "one", labelled(&format!("r{n}"), &n.to_string()), START).unwrap();
        }
        let mut entries = call(&mut namespace, |namespace| namespace.delete_subscription("topic", "one").unwrap());
        assert_eq!(namespace.topic("topic").unwrap().rules.rules(), 1);
        // Another one of its name has its own rule alone, also while those of the first one go.
        make(&mut namespace, "one", labelled("r1", "new"));
        for round in 1..3 {
            for label in ["0", "1", "new"] {
                namespace.send("topic", sent(label), START).unwrap();
            }
            let active = ["one", "other"].map(|name| {
                let stores = namespace.subscription("topic", name).unwrap().stores;
                namespace.counts(&stores).active
            });
            assert_eq!(active, [round, round]);
            entries += end_all(&mut namespace, START);
        }
        let rules = &namespace.topic("topic").unwrap().rules;
        assert_eq!((rules.rules(), rules.correlation_filters()), (2, 2));
        entries / count as u64
    });
}

#[test]
fn the_rules_of_a_subscription_go_in_parts() {
    subscriptions_of_many_rules(&[1_000, 10_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_hundred_thousand_rules_go_in_parts() {
    subscriptions_of_many_rules(&[1_000, 100_000]);
}

/// A link ends with so many messages that its client has not settled: their locks stay, and the broker looks at none of
/// them.
fn links_with_unsettled_messages(sizes: &[usize]) {
    for disconnected in [false, true] {
        assert_flat(&format!("the end of a link, disconnected: {disconnected}"), sizes, |count| {
            let lock_duration = Duration::from_secs(300);
            let mut world = World::with_queue(QueueDescription { lock_duration, ..QueueDescription::default() });
            let clock = world.clock;
            world.broker.with_namespace(clock, |namespace| {
                for _ in 0..count {
                    namespace.send("queue", message(None), clock.utc).unwrap();
                }
            });
            let receiver = world.receiver(0, "queue").unwrap();
            let mut received = 0;
            while received < count {
                let part = (count - received).min(5_000);
                assert_eq!(world.receive(0, receiver, u32::try_from(part).unwrap()).len(), part);
                received += part;
            }
            let (id, clock) = (world.clients[0].id, world.clock);
            let entries = entries_of(&mut world, |world| match disconnected {
                true => world.broker.disconnect(id, clock),
                false => world.detach(0, receiver),
            });
            let namespace = world.broker.namespace();
            let store = namespace.store(namespace.queue("queue").unwrap().stores.main).unwrap();
            assert_eq!(store.lock_count(), count);
            entries
        });
    }
}

#[test]
fn a_link_ends_with_many_unsettled_messages() {
    links_with_unsettled_messages(&[1, 200, 5_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_link_ends_with_a_hundred_thousand_unsettled_messages() {
    links_with_unsettled_messages(&[1, 90_000]);
}

/// Transactions of one control link end together: with their link, their connection, or their time. None can be used from
/// that moment, and one call ends some of them.
fn transactions_that_end_together(count: usize) {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Link,
        Connection,
        Time,
    }
    for end in [End::Link, End::Connection, End::Time] {
        assert_flat(&format!("each transaction that ends with its {end:?}"), &[count / 10, count], |count| {
            let mut world = World::with_queue(QueueDescription::default());
            let control = Control::attach(&mut world, 0);
            let sender = world.sender(0, "queue").unwrap();
            let all: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let txn = control.declare(&mut world);
                    assert!(is_enlisted(&world.send_in(0, sender, &txn, &MessageRef::new("x"))));
                    txn
                })
                .collect();
            assert!(world.broker.namespace().held("queue") > 0);
            let id = world.clients[0].id;
            if end == End::Time {
                world.clock = world.clock.after(Duration::from_secs(121));
            }
            let clock = world.clock;
            let mut entries = entries_of(&mut world, |world| match end {
                End::Link => control.detach(world),
                End::Connection => world.broker.disconnect(id, clock),
                End::Time => world.broker.handle_timeout(clock),
            });
            if end != End::Connection && world.broker.open_transactions() > 0 {
                let late = refusal(&world.send_in(0, sender, &all[count - 1], &MessageRef::new("x"))).unwrap();
                assert!(late.condition.starts_with("amqp:transaction:"), "{late:?}");
            }
            while world.broker.poll_timeout().is_some_and(|at| at <= clock.now) {
                let part = entries_of(&mut world, |world| world.broker.handle_timeout(clock));
                assert!(part <= HANDOUTS, "{part} entries in one call");
                entries += part;
            }
            assert_eq!((world.broker.open_transactions(), world.broker.namespace().held("queue")), (0, 0));
            entries / count as u64
        });
    }
}

#[test]
fn transactions_end_in_parts() {
    transactions_that_end_together(3_000);
}

#[test]
#[ignore = "tests/run all: full size"]
fn ten_thousand_transactions_end_in_parts() {
    transactions_that_end_together(9_900);
}

/// The processor time of this thread, where the system tells it: another load does not count.
fn processor_time() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    std::time::Duration::from_nanos(nanos)
}

/// A purge or delete of so many messages: the longest call, and what all of them take.
#[test]
#[ignore = "tests/run all: wall clock"]
fn the_time_of_many_messages_that_go() {
    for count in [100_000, 300_000] {
        for purged in [true, false] {
            let (mut namespace, _) = filled(count, false);
            let time = |act: &mut dyn FnMut()| {
                let start = processor_time();
                act();
                processor_time() - start
            };
            let mut calls = vec![time(&mut || match purged {
                true => namespace.purge(),
                false => namespace.delete("queue").unwrap(),
            })];
            while namespace.poll_timeout().is_some_and(|at| at <= START) {
                calls.push(time(&mut || namespace.handle_timeout(START)));
            }
            let all: std::time::Duration = calls.iter().sum();
            let (at, longest) = calls.iter().enumerate().max_by_key(|(_, time)| **time).unwrap();
            println!(
                "{count} messages, purged: {purged}: longest call {longest:?}, number {at} of {}, all {all:?}",
                calls.len()
            );
            assert!(*longest < std::time::Duration::from_millis(100), "{longest:?}");
        }
    }
}

#[test]
fn every_entity_goes_in_parts() {
    let mut namespace = subscribed(500);
    for n in 0..3_000 {
        namespace.create_queue(&format!("queue-{n}"), QueueDescription::default(), START).unwrap();
    }
    call(&mut namespace, Namespace::clear);
    assert_eq!((namespace.queues().count(), namespace.topics().count()), (0, 0));
    namespace.create_queue("queue-7", QueueDescription::default(), START).unwrap();
    end_all(&mut namespace, START);
    assert_eq!((namespace.queues().count(), namespace.poll_timeout()), (1, None));
}

fn links_of_a_queue(count: usize) {
    let mut world = World::new();
    world.queue("queue", QueueDescription::default());
    let mut clients = Vec::new();
    while clients.len() * 1_000 < count {
        let client = world.connect();
        attach_receivers(&mut world, client, 1_000);
        clients.push(client);
    }
    let clock = world.clock;
    let delete = |world: &mut World| world.broker.with_namespace(clock, |namespace| namespace.delete("queue")).unwrap();
    let mut most = entries_of(&mut world, delete);
    // The rest is due at once.
    while world.broker.poll_timeout().is_some_and(|at| at <= clock.now) {
        most = most.max(entries_of(&mut world, |world| world.broker.handle_timeout(clock)));
    }
    println!("{most} entries in one call for {count} links");
    assert!(most <= HANDOUTS, "{most} entries in one call for {count} links");
    world.settle_down();
    for client in clients {
        assert_eq!(world.receiver(client, "queue").unwrap_err().condition, "amqp:not-found");
    }
}

#[test]
fn the_links_of_a_deleted_queue_are_detached_in_parts() {
    links_of_a_queue(6_000);
}

fn pages_of_sessions(sizes: &[usize]) {
    for by_state in [false, true] {
        assert_flat(&format!("the last page of sessions, by state: {by_state}"), sizes, |count| {
            let (mut namespace, store) = filled(if by_state { 0 } else { count }, true);
            for n in 0..if by_state { count } else { 0 } {
                let state = Some(bytes::Bytes::from_static(b"x"));
                namespace.set_session_state(store, &n.to_string(), state, START).unwrap();
            }
            let after = by_state.then_some(START - Duration::from_secs(1));
            let before = namespace.entries_touched();
            let page = namespace.store(store).unwrap().list_sessions(after, count - 10).count();
            assert_eq!(page, 10);
            let future = namespace.store(store).unwrap().list_sessions(Some(START), 0).count();
            assert_eq!(future, 0);
            namespace.entries_touched() - before
        });
    }
}

#[test]
fn a_page_of_sessions_costs_what_is_on_it() {
    pages_of_sessions(&[10, 1_000, 20_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_page_of_a_million_sessions() {
    pages_of_sessions(&[10, 1_000_000]);
}

/// A namespace without limits with so many queues, topics, subscriptions of a topic and rules of one of those.
fn furnished(count: usize) -> World {
    let namespace = NamespaceConfig { limits: Some(NamespaceLimits::LIFTED), ..NamespaceConfig::default() };
    let config = BrokerConfig { namespace, ..BrokerConfig::default() };
    let mut world = World { broker: Broker::new(config, 7), ..World::new() };
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("topic", TopicDescription::default(), clock.utc).unwrap();
        for n in 0..count {
            namespace.create_queue(&format!("queue-{n:06}"), QueueDescription::default(), clock.utc).unwrap();
            namespace.create_topic(&format!("topic-{n:06}"), TopicDescription::default(), clock.utc).unwrap();
            let (name, description) = (format!("s-{n:06}"), SubscriptionDescription::default());
            namespace.create_subscription("topic", &name, description, None, clock.utc).unwrap();
            let filter = CorrelationFilter { label: Some(n.to_string()), ..CorrelationFilter::default() };
            let rule = Rule { name: format!("r-{n:06}"), filter: Filter::Correlation(filter), action: None };
            namespace.create_rule("topic", "s-000000", rule, clock.utc).unwrap();
        }
    });
    world
}

/// A page costs what is on it, wherever it begins and whatever else is there.
#[test]
fn a_page_of_a_list_costs_what_is_on_it() {
    let administrator = Administrator::default();
    for (list, last) in [
        ("$Resources/queues", "queue-"),
        ("$Resources/topics", "topic-"),
        ("", "topic-"),
        ("topic/Subscriptions", "s-"),
        ("topic/Subscriptions/s-000000/Rules", "r-"),
    ] {
        assert_flat(&format!("the last page of /{list}"), &[20, 5_000], |count| {
            let mut world = furnished(count);
            let all = if list.is_empty() { 2 * count + 1 } else { count + usize::from(list.ends_with("topics")) };
            // `$Default` comes before the other rules.
            let skip = all - 10 + usize::from(list.ends_with("Rules"));
            let path = format!("/{list}?$skip={skip}&$top=100&api-version=2021-05");
            entries_of(&mut world, |world| {
                let page = administrator.get(world, &path);
                let titles: Vec<String> = text(&page)
                    .split("<title type=\"text\">")
                    .skip(2)
                    .filter_map(|rest| Some(rest.split_once('<')?.0.to_owned()))
                    .collect();
                let expected: Vec<String> = (count - 10..count).map(|n| format!("{last}{n:06}")).collect();
                assert_eq!(titles, expected, "{path}");
            })
        });
    }
}

/// A purge looks at entities that hold something.
#[test]
fn a_purge_beside_empty_entities() {
    assert_flat("a purge", &[1, 5_000], |count| {
        let mut world = furnished(count);
        let clock = world.clock;
        world.broker.with_namespace(clock, |namespace| {
            namespace.send("queue-000000", message(None), clock.utc).unwrap();
        });
        let entries = entries_of(&mut world, |world| world.broker.with_namespace(clock, Namespace::purge));
        let namespace = world.broker.namespace();
        assert_eq!(namespace.counts(&namespace.queue("queue-000000").unwrap().stores).total(), 0);
        entries
    });
}

/// The lock of one session guards any number of messages: they are given back in parts and in their order, and nobody gets
/// the session before that.
#[test]
fn the_messages_of_one_session_are_given_back_in_parts() {
    const COUNT: usize = 12_000;
    for released in [false, true] {
        let (mut namespace, store) = namespace(QueueDescription { requires_session: true, ..Default::default() });
        for _ in 0..COUNT {
            namespace.send("queue", message(Some("one")), START).unwrap();
        }
        namespace.accept_session(store, Some("one"), 1, START).unwrap();
        while namespace.receive(store, Some("one"), START).is_some() {}
        let mut utc = START;
        if released {
            call(&mut namespace, |namespace| namespace.release_session(store, "one", 1, utc));
        } else {
            utc = START + Duration::from_secs(61);
            call(&mut namespace, |namespace| namespace.handle_timeout(utc));
        }
        assert!(namespace.accept_session(store, Some("one"), 2, utc).is_err(), "released: {released}");
        assert!(namespace.renew_session(store, "one", utc).is_err(), "released: {released}");
        end_all(&mut namespace, utc);
        namespace.accept_session(store, Some("one"), 2, utc).unwrap().unwrap();
        let numbers: Vec<i64> = core::iter::from_fn(|| Some(namespace.receive(store, Some("one"), utc)?.2)).collect();
        assert!(numbers.len() == COUNT && numbers.is_sorted(), "released: {released}, {} messages", numbers.len());
    }
}

/// What a send to a topic costs is the filters that it can match, however many subscriptions there are.
#[test]
fn a_send_to_a_topic_of_2_000_subscriptions() {
    assert_flat("a send to a topic", &[1, 200, 2_000], |count| {
        let mut namespace = subscribed(count);
        let before = namespace.entries_touched();
        let sent = entities::Message::accept(encoded(&MessageRef::new("x").with_subject("0"))).unwrap();
        namespace.send("topic", sent, START).unwrap();
        let stores = namespace.subscription("topic", "s0").unwrap().stores;
        assert_eq!(namespace.counts(&stores).active, 1);
        namespace.entries_touched() - before
    });
}

/// Moves the clock and carries out what is due then, in one call.
fn one_call(world: &mut World, by: Duration) -> u64 {
    world.clock = world.clock.after(by);
    let clock = world.clock;
    entries_of(world, |world| world.broker.handle_timeout(clock))
}

/// The end of a token costs the links that it was for.
#[test]
fn a_token_that_ends_beside_many_links() {
    assert_flat("the end of a token", &[1, 200, 2_000], |count| {
        let mut world = World::new();
        for name in ["queue", "other"] {
            world.queue(name, QueueDescription::default());
        }
        let client = world.connect_bare();
        for (name, life) in [("queue", 3_600), ("other", 60)] {
            let audience = format!("sb://localhost/{name}");
            let put = world.put_token(client, &audience, KEY_NAME, KEY, Duration::from_secs(life));
            assert_eq!(put.status(), 202);
        }
        attach_receivers(&mut world, client, count);
        let link = world.receiver(client, "other").unwrap();
        let entries = one_call(&mut world, Duration::from_secs(61));
        world.settle_down();
        assert_eq!(
            world.detached(client, link).map(|failure| failure.condition).as_deref(),
            Some("amqp:link:detach-forced")
        );
        entries
    });
}

/// One call detaches a bounded number of the links whose token has ended; the rest is due at once.
#[test]
fn the_links_of_a_token_are_detached_in_parts() {
    const COUNT: usize = 5_000;
    let mut world = World::new();
    world.queue("queue", QueueDescription::default());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = world.connect_bare();
        let put = world.put_token(client, "sb://localhost/queue", KEY_NAME, KEY, Duration::from_secs(60));
        assert_eq!(put.status(), 202);
        attach_receivers(&mut world, client, COUNT);
        clients.push(client);
    }
    let mut most = one_call(&mut world, Duration::from_secs(61));
    let clock = world.clock;
    while world.broker.poll_timeout().is_some_and(|at| at <= clock.now) {
        most = most.max(entries_of(&mut world, |world| world.broker.handle_timeout(clock)));
    }
    println!("{most} entries in one call");
    assert!(most <= HANDOUTS, "{most} entries in one call");
    world.settle_down();
    for client in clients {
        let error = world.receiver(client, "queue").unwrap_err();
        assert_eq!(error.condition, "amqp:unauthorized-access");
    }
}
