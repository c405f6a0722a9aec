//! A log of changes leads to the same state; a change for what is gone is none.

use crate::broker::budget::Holding;
use crate::broker::change::{Change, Settlement};
use crate::broker::entities::store::Ending;
use crate::broker::entities::{
    Message, Namespace, QueueDescription, StoreId, SubscriptionDescription, TopicDescription,
};
use crate::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlAction, SqlFilter};
use bytes::{Bytes, BytesMut};
use servicebus_core::random::Random;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::{Encode, Sink};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Queues that forward, detect duplicates and dead-letter, a topic with rules, and a queue for dead letters.
fn namespace(seed: u64) -> Namespace {
    let mut namespace = Namespace::new(seed);
    let to = |target: &str| Some(target.to_owned());
    let plain = QueueDescription {
        lock_duration: Duration::from_secs(10),
        max_delivery_count: 3,
        dead_lettering_on_message_expiration: true,
        ..QueueDescription::default()
    };
    let queues = [
        ("letters", QueueDescription { max_delivery_count: 2, ..plain.clone() }),
        ("end", QueueDescription { forward_dead_lettered_messages_to: to("letters"), ..plain.clone() }),
        ("first", QueueDescription { forward_to: to("end"), ..plain.clone() }),
        ("sessions", QueueDescription { requires_session: true, ..plain.clone() }),
        ("once", QueueDescription { requires_duplicate_detection: true, ..plain.clone() }),
    ];
    for (name, description) in queues {
        namespace.create_queue(name, description, START).unwrap();
    }
    namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
    let subscriptions = [
        ("all", SubscriptionDescription { lock_duration: Duration::from_secs(5), ..Default::default() }),
        ("sessions", SubscriptionDescription { requires_session: true, ..Default::default() }),
        ("on", SubscriptionDescription { forward_to: to("first"), ..Default::default() }),
    ];
    for (name, description) in subscriptions {
        namespace.create_subscription("topic", name, description, None, START).unwrap();
    }
    let action = SqlAction::parse("SET made = newid()", Vec::new(), &Dialect::default()).unwrap();
    let rule = Rule { name: "made".into(), filter: Filter::True, action: Some(action) };
    namespace.create_rule("topic", "all", rule, START).unwrap();
    namespace
}

fn message(random: &mut Random, utc: Timestamp) -> Message {
    let id = random.below(20).to_string();
    let session = random.below(4).to_string();
    let mut message = servicebus_core::servicebus::MessageRef::new("body").with_session_id(&session);
    if random.below(3) > 0 {
        message = message.with_message_id(id.as_str());
    }
    if random.below(4) == 0 {
        message = message.with_time_to_live(Duration::from_secs(1 + random.below(30)));
    }
    if random.below(5) == 0 {
        message = message.with_scheduled_enqueue_time(utc + Duration::from_secs(random.below(30)));
    }
    let mut bytes = BytesMut::new();
    message.encode(&mut Sink::from(&mut bytes));
    Message::accept(bytes.freeze()).unwrap()
}

/// Everything that can be seen of the entities, and of their stores.
fn seen(namespace: &Namespace, tokens: &[LockToken]) -> Vec<String> {
    let mut lines = Vec::new();
    for queue in namespace.queues() {
        let held = namespace.held(&queue.name);
        lines.push(format!("{}: {:?}, {:?}, {held} bytes", queue.name, queue.description, queue.times));
    }
    for topic in namespace.topics() {
        let held = namespace.held(&topic.name);
        lines.push(format!("{}: {:?}, {:?}, {held} bytes", topic.name, topic.description, topic.times));
        lines.push(format!("{:?}", topic.rules));
        for subscription in topic.subscriptions.values() {
            lines.push(format!("{}: {:?}", subscription.name, (&subscription.description, subscription.times)));
            let rules = subscription.rules.values();
            lines.extend(rules.map(|stored| format!("{:?} {:?}", stored.rule, stored.created_at)));
        }
    }
    for id in stores(namespace) {
        let store = namespace.store(id).unwrap();
        for found in store.peek(0, None) {
            lines.push(format!("{}: {:?}, {:?}", store.owner.path, found.message, found.locked_until));
        }
        lines.push(format!(
            "{}: {} available, {} locks, {} scheduled, {} bytes, then {}, due {:?}",
            store.owner.path,
            store.available_count(),
            store.lock_count(),
            store.scheduled_count(),
            store.size(),
            store.next_number(),
            store.next_deadline(),
        ));
        lines.push(format!("{:?}", store.session_state("session")));
        lines.extend(store.list_sessions(None, 0).map(|id| format!("{id}: {:?}", store.session_lock(id))));
        let locked = tokens.iter().filter_map(|token| Some((token, store.under_lock(*token)?.1)));
        lines.extend(locked.map(|(token, until)| format!("{token} until {until}")));
    }
    lines
}

/// The stores of all entities, and those that are gone.
fn stores(namespace: &Namespace) -> Vec<StoreId> {
    let mut stores: Vec<StoreId> = namespace.queues().flat_map(|queue| queue.stores.all()).collect();
    for topic in namespace.topics() {
        stores.extend([topic.scheduled, topic.transit]);
        stores.extend(topic.subscriptions.values().flat_map(|subscription| subscription.stores.all()));
    }
    stores
}

/// One random command on entities: they come, change, lose their messages and go; some delete themselves.
/// Whether it was refused.
fn administer(namespace: &mut Namespace, random: &mut Random, utc: Timestamp) -> bool {
    let name = ["letters", "end", "first", "once", "sessions", "new"][random.below(6) as usize];
    let subscription = ["all", "sessions", "on", "made"][random.below(4) as usize];
    let idle = (random.below(3) == 0).then_some(Duration::from_secs(300));
    let queue = QueueDescription {
        auto_delete_on_idle: idle,
        lock_duration: Duration::from_secs(5 + random.below(20)),
        requires_session: name == "sessions",
        requires_duplicate_detection: name == "once",
        forward_to: (name == "first").then(|| "end".to_owned()),
        ..QueueDescription::default()
    };
    let of_topic = TopicDescription { auto_delete_on_idle: idle, ..TopicDescription::default() };
    let below = SubscriptionDescription {
        auto_delete_on_idle: idle,
        requires_session: subscription == "sessions",
        max_delivery_count: 1 + random.below(3) as u32,
        ..SubscriptionDescription::default()
    };
    let filter = match random.below(3) {
        0 => Filter::True,
        1 => Filter::Correlation(CorrelationFilter { message_id: Some("3".into()), ..Default::default() }),
        _ => Filter::Sql(SqlFilter::parse("sys.MessageId = '4'", Vec::new(), &Dialect::default()).unwrap()),
    };
    let rule = Rule { name: ["$Default", "a", "b"][random.below(3) as usize].into(), filter, action: None };
    // Many are refused, by what is there and what is not: then nothing happens.
    match random.below(14) {
        0..=2 => namespace.create_queue(name, queue, utc).is_err(),
        3 => namespace.update_queue(name, queue, utc).is_err(),
        4 => namespace.create_topic("topic", of_topic, utc).is_err(),
        5 => namespace.update_topic("topic", of_topic, utc).is_err(),
        6 | 7 => namespace.create_subscription("topic", subscription, below, Some(rule), utc).is_err(),
        8 => namespace.update_subscription("topic", subscription, below, utc).is_err(),
        9 => namespace.create_rule("topic", subscription, rule, utc).is_err(),
        10 => namespace.update_rule("topic", subscription, rule, utc).is_err(),
        11 => namespace.delete_rule("topic", subscription, &rule.name).is_err(),
        12 => match random.below(8) {
            0 => namespace.delete("topic").is_err(),
            1 | 2 => namespace.delete_subscription("topic", subscription).is_err(),
            _ => namespace.delete(name).is_err(),
        },
        _ => match random.below(12) {
            0 => {
                namespace.clear();
                false
            }
            1 | 2 => {
                namespace.purge();
                false
            }
            _ => false,
        },
    }
}

/// One random command on messages.
fn step(namespace: &mut Namespace, tokens: &mut Vec<LockToken>, random: &mut Random, utc: Timestamp) {
    let stores = stores(namespace);
    let entity = ["end", "first", "once", "topic", "sessions"][random.below(5) as usize];
    if stores.is_empty() || !namespace.exists(entity) {
        return;
    }
    let store = stores[random.below(stores.len() as u64) as usize];
    match random.below(14) {
        0..=2 => {
            let message = message(random, utc);
            namespace.send(entity, message, utc).unwrap();
        }
        3 => {
            let messages = vec![message(random, utc), message(random, utc)];
            assert_eq!(namespace.schedule(entity, messages, utc).unwrap().len(), 2);
        }
        4..=6 => tokens.extend(namespace.receive(store, None, utc).map(|(_, token, _)| token)),
        7..=8 if !tokens.is_empty() => {
            let token = tokens[tokens.len() - 1 - random.below(tokens.len().min(6) as u64) as usize];
            let endings = [Ending::Complete, Ending::Abandon, Ending::Defer, Ending::DeadLetter, Ending::Release];
            let ending = endings[random.below(5) as usize];
            // Many locks have ended already: then nothing happens.
            let settled = namespace.settle(&stores, token, &Settlement::plain(ending), utc);
            assert!(settled.is_ok() || namespace.find_lock(&stores, token).is_err() || ending == Ending::DeadLetter);
        }
        11 => {
            let sessions = namespace.queue("sessions").map(|queue| queue.stores.main);
            if let Some(sessions) = sessions
                && let Ok(Some((session, _))) = namespace.accept_session(sessions, None, random.below(3), utc)
            {
                let shared = namespace.share_session(sessions, &session, utc);
                tokens.extend(namespace.receive(sessions, Some(&session), utc).map(|(_, token, _)| token));
                match random.below(4) {
                    0 => namespace.release_session(sessions, &session, random.below(3), utc),
                    1 => assert!(namespace.renew_session(sessions, &session, utc).is_ok()),
                    2 => assert!(namespace.take_over_session(sessions, None, shared.unwrap(), 9, utc).is_ok()),
                    _ => {}
                }
            }
            let state = (random.below(2) == 0).then(|| Bytes::from_static(b"state"));
            namespace.set_session_state(store, "session", state, utc).unwrap();
        }
        12 if !tokens.is_empty() => {
            let token = tokens[tokens.len() - 1];
            assert_eq!(namespace.renew(&stores, token, utc).is_ok(), namespace.find_lock(&stores, token).is_ok());
        }
        9 => {
            if let Some((_, taken)) = namespace.take(store, None)
                && random.below(2) == 0
            {
                namespace.put_back(store, taken);
            }
        }
        10 => {
            let numbers: Vec<i64> =
                namespace.store(store).unwrap().peek(0, None).map(|it| it.message.sequence_number).collect();
            let number = numbers.get(random.below(8) as usize).copied().unwrap_or_default();
            let cancelled = namespace.cancel_scheduled(entity, &[number], utc).is_ok();
            let received = namespace.receive_deferred(store, &[number], None, random.below(2) == 0, utc);
            if !cancelled && let Ok(received) = received {
                tokens.extend(received.into_iter().filter_map(|(token, _)| token));
            }
        }
        _ => {
            namespace.delete_batch(store, random.below(3) as usize, utc, None);
        }
    }
}

#[test]
fn a_log_of_changes_leads_to_the_same_state() {
    let mut kinds = std::collections::HashSet::new();
    let (mut deleted_themselves, mut refused) = (0, 0);
    for seed in 0..30 {
        let mut original = namespace(seed);
        original.record_changes();
        let (mut random, mut tokens, mut utc) = (Random::seeded(seed), Vec::new(), START);
        let mut changes = Vec::new();
        for _ in 0..400 {
            if random.below(4) == 0 {
                refused += usize::from(administer(&mut original, &mut random, utc));
            } else {
                step(&mut original, &mut tokens, &mut random, utc);
            }
            changes.extend(original.take_changes());
            if random.below(4) == 0 {
                // Now and then long enough for idle entities to go.
                let longest = if random.below(40) == 0 { 700_000 } else { 4_000 };
                utc = utc + Duration::from_millis(random.below(longest));
                original.handle_timeout(utc);
            }
            let by_themselves = original.take_changes();
            let is_delete = |change: &&Change| matches!(change, Change::Delete { .. });
            deleted_themselves += by_themselves.iter().filter(is_delete).count();
            changes.extend(by_themselves);
        }
        // Its own randomness is another.
        let mut replayed = namespace(seed + 1_000);
        for change in changes {
            kinds.insert(core::mem::discriminant(&change));
            replayed.apply(change);
        }
        let (one, other) = (seen(&original, &tokens), seen(&replayed, &tokens));
        assert_eq!(one, other, "seed {seed}");
        let memory = |namespace: &Namespace| namespace.budget.used_for(Holding::Entities);
        assert_eq!(stores(&original), stores(&replayed), "seed {seed}");
        let_all_go(&mut original);
        let_all_go(&mut replayed);
        assert_eq!(memory(&original), memory(&replayed), "seed {seed}");
    }
    assert!(kinds.len() >= 22, "{}", kinds.len());
    assert!(deleted_themselves > 20 && refused < 2_000, "{deleted_themselves}, {refused}");
}

/// What is left of entities that are gone goes as well.
fn let_all_go(namespace: &mut Namespace) {
    while namespace.poll_timeout() == Some(Timestamp::DOTNET_MIN) {
        namespace.handle_timeout(Timestamp::DOTNET_MIN);
    }
}

#[test]
fn a_change_for_what_is_gone_is_none() {
    let mut original = namespace(1);
    let stores = stores(&original);
    let token = LockToken::from_uuid(servicebus_core::wire::Uuid([7; 16]));
    let before = seen(&original, &[]);
    original.apply(Change::Remove { store: stores[0], number: 77 });
    original.apply(Change::Renew { store: stores[0], token, utc: START });
    original.apply(Change::Lock { store: stores[0], number: 77, token, utc: START });
    let settlement = Settlement::plain(Ending::DeadLetter);
    original.apply(Change::Settle { store: stores[0], token, settlement, utc: START });
    let (topic, subscription, rule) = ("topic".to_owned(), "all".to_owned(), "missing".to_owned());
    original.apply(Change::RemoveRule { topic, subscription, rule });
    original.apply(Change::Delete { entity: "topic".into(), subscription: Some("missing".into()) });
    original.apply(Change::Delete { entity: "missing".into(), subscription: None });
    original.apply(Change::Forget { entity: "missing".into(), utc: START });
    assert_eq!(seen(&original, &[]), before);
    original.delete("end").unwrap();
    original.delete("topic").unwrap();
    let gone: Vec<StoreId> = stores.iter().copied().filter(|id| original.store(*id).is_none()).collect();
    assert_eq!(gone.len(), 14);
    let before = seen(&original, &[]);
    for store in gone {
        original.apply(Change::Reserve { store });
        original.apply(Change::Time { store, utc: START });
        original.apply(Change::Use { store, utc: START });
        original.apply(Change::Purge { store });
    }
    let rule = Box::new(Rule { name: "r".into(), filter: Filter::True, action: None });
    original.apply(Change::Rule { topic: "topic".into(), subscription: "all".into(), rule, utc: START });
    assert_eq!(seen(&original, &[]), before);
}

/// What a queue left behind is nothing of the next one's of its name.
#[test]
fn an_entity_of_the_same_name_begins_anew() {
    let mut namespace = namespace(1);
    let before = namespace.queue("letters").unwrap().stores.main;
    for _ in 0..5_000 {
        let sent = message(&mut Random::seeded(3), START);
        namespace.send("letters", sent, START).unwrap();
    }
    let (_, token, _) = namespace.receive(before, None, START).unwrap();
    namespace.delete("letters").unwrap();
    namespace.create_queue("letters", QueueDescription::default(), START).unwrap();
    assert_eq!(namespace.held("letters"), 0);
    assert!(namespace.settle(&[before], token, &Settlement::plain(Ending::Complete), START).is_err());
    let_all_go(&mut namespace);
    let queue = namespace.queue("letters").unwrap();
    assert_eq!((namespace.held("letters"), namespace.counts(&queue.stores).total()), (0, 0));
    assert_ne!(queue.stores.main, before);
}

/// Stores of an entity that goes in parts free their places, and the next entity has the same ones in a replay.
#[test]
fn a_log_with_a_large_delete_leads_to_the_same_state() {
    let mut original = namespace(1);
    original.record_changes();
    for _ in 0..3_000 {
        let sent = message(&mut Random::seeded(3), START);
        original.send("letters", sent, START).unwrap();
    }
    original.delete("letters").unwrap();
    original.create_queue("before", QueueDescription::default(), START).unwrap();
    while original.poll_timeout() == Some(Timestamp::DOTNET_MIN) {
        original.handle_timeout(START);
    }
    original.create_queue("letters", QueueDescription::default(), START).unwrap();
    original.send("letters", message(&mut Random::seeded(4), START), START).unwrap();
    let mut replayed = namespace(1_001);
    for change in original.take_changes() {
        replayed.apply(change);
    }
    assert_eq!(stores(&original), stores(&replayed));
    assert_eq!(seen(&original, &[]), seen(&replayed, &[]));
}

/// When to look at the subscriptions of a topic is forgotten with it, and stays for one that has the name again.
#[test]
fn subscriptions_that_went_with_their_topic_are_not_idle() {
    let idle = Some(Duration::from_secs(300));
    let below = SubscriptionDescription { auto_delete_on_idle: idle, ..SubscriptionDescription::default() };
    let mut namespace = Namespace::new(1);
    let make = |namespace: &mut Namespace, names: core::ops::Range<usize>| {
        namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
        for name in names {
            namespace.create_subscription("topic", &name.to_string(), below.clone(), None, START).unwrap();
        }
    };
    make(&mut namespace, 0..500);
    namespace.delete("topic").unwrap();
    let_all_go(&mut namespace);
    assert_eq!(namespace.poll_timeout(), None);
    make(&mut namespace, 0..500);
    namespace.delete("topic").unwrap();
    make(&mut namespace, 499..501);
    let_all_go(&mut namespace);
    assert_eq!(namespace.poll_timeout(), Some(START + Duration::from_secs(300)));
    namespace.handle_timeout(START + Duration::from_secs(300));
    assert_eq!((namespace.topic("topic").unwrap().subscriptions.len(), namespace.poll_timeout()), (0, None));
}

/// A link to an entity that is gone does not use the next one of its name.
#[test]
fn a_store_that_is_gone_uses_nothing() {
    let mut namespace = namespace(1);
    let before = namespace.queue("letters").unwrap().stores.main;
    for _ in 0..3_000 {
        namespace.send("letters", message(&mut Random::seeded(3), START), START).unwrap();
    }
    // What was emptied goes first, so that the store is still in its place.
    namespace.purge();
    namespace.delete("letters").unwrap();
    namespace.create_queue("letters", QueueDescription::default(), START).unwrap();
    assert_eq!(namespace.poll_timeout(), Some(Timestamp::DOTNET_MIN));
    let accessed = namespace.queue("letters").unwrap().times.accessed;
    namespace.used(before, START + Duration::from_secs(60));
    assert_eq!(namespace.queue("letters").unwrap().times.accessed, accessed);
}
