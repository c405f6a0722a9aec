//! A world of the broker for each kind, as the model has it too.

use crate::broker::World;
use crate::model::Model;
use crate::model::entities::{Entity, Place, Settings, Status, Sub, Topic};
use crate::model::peeking::Counts;
use crate::model::rules::{Condition, Filter, Rule};
use crate::model::steps::{Kind, Setup};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{
    EntityStatus, QueueDescription, SubscriptionDescription, TopicDescription,
};

/// A queue that no step touches.
pub(crate) const ALIVE: &str = "alive";
/// The subscription whose rules change.
pub(crate) const RULED: &str = "t/Subscriptions/ruled";
/// Session ids; two differ in case only.
pub(crate) const SESSIONS: [&str; 4] = ["s", "t", "S", ""];
/// Values of a property.
pub(crate) const COLORS: [&str; 3] = ["red", "green", "blue"];
/// How long message ids are remembered.
pub(crate) const WINDOW: u64 = 20_000;

/// The rules of [`RULED`].
pub(crate) fn rule(number: u8) -> Rule {
    let color = |name| Box::new(Condition::Color(name));
    let (name, filter) = match number % 6 {
        0 => ("correlation", Filter::Color("red")),
        1 => ("color", Filter::Sql(Condition::Color("blue"))),
        2 => ("quantity", Filter::Sql(Condition::More(5))),
        3 => ("not", Filter::Sql(Condition::Not(color("red")))),
        4 => {
            let either = Condition::Or(color("green"), Box::new(Condition::NoColor));
            ("both", Filter::Sql(Condition::And(Box::new(Condition::More(2)), Box::new(either))))
        }
        _ => ("$Default", Filter::True),
    };
    Rule { name: name.to_owned(), filter }
}

fn status(status: Status) -> EntityStatus {
    match status {
        Status::Active => EntityStatus::Active,
        Status::Disabled => EntityStatus::Disabled,
        Status::SendDisabled => EntityStatus::SendDisabled,
        Status::ReceiveDisabled => EntityStatus::ReceiveDisabled,
    }
}

pub(crate) fn queue(settings: &Settings) -> QueueDescription {
    QueueDescription {
        lock_duration: Duration::from_millis(settings.lock),
        max_delivery_count: settings.max_delivery,
        requires_session: settings.sessions,
        default_message_time_to_live: settings.ttl.map(Duration::from_millis),
        dead_lettering_on_message_expiration: settings.dead_on_expiry,
        requires_duplicate_detection: settings.duplicates.is_some(),
        duplicate_detection_history_time_window: Duration::from_millis(settings.duplicates.unwrap_or(600_000)),
        forward_to: settings.forward.clone(),
        forward_dead_lettered_messages_to: settings.forward_dead.clone(),
        status: status(settings.status),
        ..QueueDescription::default()
    }
}

pub(crate) fn subscription(settings: &Settings) -> SubscriptionDescription {
    SubscriptionDescription {
        lock_duration: Duration::from_millis(settings.lock),
        max_delivery_count: settings.max_delivery,
        requires_session: settings.sessions,
        default_message_time_to_live: settings.ttl.map(Duration::from_millis),
        dead_lettering_on_message_expiration: settings.dead_on_expiry,
        forward_to: settings.forward.clone(),
        forward_dead_lettered_messages_to: settings.forward_dead.clone(),
        status: status(settings.status),
        ..SubscriptionDescription::default()
    }
}

/// The entities that a world is sent to, and the places that are received from.
pub(crate) struct Entities {
    pub(crate) targets: Vec<&'static str>,
    pub(crate) places: Vec<Place>,
}

pub(crate) fn settings(setup: &Setup) -> Settings {
    Settings {
        lock: setup.lock,
        max_delivery: setup.max_delivery,
        ttl: setup.ttl,
        dead_on_expiry: setup.dead_on_expiry,
        ..Settings::default()
    }
}

/// Creates the entities of a world, in the broker and in the model.
pub(crate) fn create(setup: &Setup, world: &mut World, model: &mut Model) -> Entities {
    let base = settings(setup);
    world.queue(ALIVE, QueueDescription::default());
    let mut make = |path: &str, settings: Settings| {
        world.queue(path, queue(&settings));
        model.create(path, settings);
    };
    match setup.kind {
        Kind::Queue => make("q", base),
        Kind::Sessions => make("q", Settings { sessions: true, ..base }),
        Kind::Duplicates => make("q", Settings { duplicates: Some(WINDOW), ..base }),
        Kind::Forwarding => {
            make("c", base.clone());
            make("b", Settings { forward_dead: Some("c".into()), ..base.clone() });
            make("a", Settings { forward: Some("b".into()), ..base });
            let places = [Place::main("b"), Place::main("c"), Place::main("b"), Place::dead("c")];
            return Entities { targets: vec!["a", "b", "a"], places: places.into() };
        }
        Kind::Topic => return topic(base, world, model),
    }
    let places = [Place::main("q"), Place::main("q"), Place::main("q"), Place::dead("q")];
    Entities { targets: vec!["q"], places: places.into() }
}

fn topic(base: Settings, world: &mut World, model: &mut Model) -> Entities {
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("t", TopicDescription::default(), clock.utc).unwrap();
    });
    let mut topic = Topic::default();
    let mut places = Vec::new();
    for (name, sessions) in [("all", false), ("grouped", true), ("ruled", false)] {
        let settings = Settings { sessions, ..base.clone() };
        world.broker.with_namespace(clock, |namespace| {
            namespace.create_subscription("t", name, subscription(&settings), None, clock.utc).unwrap();
        });
        let path = format!("t/Subscriptions/{name}");
        model.create(&path, settings);
        topic.subscriptions.insert(path.clone(), vec![Rule::default_rule()]);
        places.push(Place::main(&path));
        if !sessions {
            places.push(Place::dead(&path));
        }
    }
    model.topics.insert("t".into(), topic);
    Entities { targets: vec!["t"], places }
}

/// The broker's counts of an entity.
pub(crate) fn counts(world: &World, path: &str) -> Option<Counts> {
    let namespace = world.broker.namespace();
    let stores = match path.strip_prefix("t/Subscriptions/") {
        Some(name) => &namespace.subscription("t", name)?.stores,
        None => &namespace.queue(path)?.stores,
    };
    let found = namespace.counts(stores);
    assert_eq!(found.transfer, 0, "forwarding is done at once");
    let (dead, transfer) = (found.dead_letter, found.transfer_dead_letter);
    Some(Counts { active: found.active, dead, scheduled: found.scheduled, transfer })
}

/// Bytes of all messages of an entity, as its quota counts them.
pub(crate) fn bytes(world: &World, path: &str) -> u64 {
    let namespace = world.broker.namespace();
    let stores = match path.strip_prefix("t/Subscriptions/") {
        Some(name) => namespace.subscription("t", name).map(|found| found.stores),
        None => namespace.queue(path).map(|found| found.stores),
    };
    let sizes = stores.into_iter().flat_map(|stores| stores.all()).filter_map(|store| namespace.store(store));
    sizes.map(servicebus_emulator::broker::entities::store::Store::size).sum()
}

/// Puts the settings that the model has into force.
pub(crate) fn update(world: &mut World, path: &str, settings: &Settings) {
    let clock = world.clock;
    // The detach comes about a second after an update (docs/evidence/field-reports.md F6): no document says what links do
    // in between, so it is brought forward.
    world.broker.force_detach(path, clock);
    world.broker.with_namespace(clock, |namespace| match path.strip_prefix("t/Subscriptions/") {
        Some(name) => namespace.update_subscription("t", name, subscription(settings), clock.utc).unwrap(),
        None => namespace.update_queue(path, queue(settings), clock.utc).unwrap(),
    });
    world.settle_down();
}

/// Whether steps may send requests of `$management`: no document names the answer of a disabled entity.
pub(crate) fn is_open(model: &Model, entity: &str) -> bool {
    let active = |found: &Entity| found.settings.status == Status::Active;
    model.topics.contains_key(entity) || model.entities.get(entity).is_some_and(active)
}

/// Whether a place is read by sessions.
pub(crate) fn of_sessions(model: &Model, place: &Place) -> bool {
    place.sub == Sub::Main && model.entities.get(&place.entity).is_some_and(|found| found.settings.sessions)
}
