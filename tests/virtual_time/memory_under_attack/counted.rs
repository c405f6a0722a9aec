//! Everything that a client can make the broker keep counts: what is counted grows as what is kept does, and over the
//! budget it is refused with resource-limit-exceeded.

use crate::budgets::feed;
use crate::{live, opening};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::{Source, Target};
use servicebus_core::wire::performative::{Attach, Role, TargetArchetype};
use servicebus_emulator::broker::budget::Holding;
use servicebus_emulator::broker::entities::{
    EntityError, Message, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, NamespaceConfig, NamespaceLimits};
use servicebus_emulator::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlFilter};
use servicebus_tests::broker::*;
use servicebus_tests::engine::{attach, begin, frame};

/// A broker without limits but that of memory.
fn broker(memory: usize) -> Broker {
    let namespace = NamespaceConfig { limits: Some(NamespaceLimits::LIFTED), ..NamespaceConfig::default() };
    Broker::new(BrokerConfig { namespace, memory, ..BrokerConfig::default() }, 7)
}

/// Makes the broker keep one thing more, with this number; an error when that is refused.
type Step = fn(&mut Broker, Clock, usize) -> Result<(), EntityError>;

fn queue(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    let user_metadata = Some("x".repeat(n % 1_000));
    let description = QueueDescription { user_metadata, ..QueueDescription::default() };
    broker.with_namespace(clock, |namespace| namespace.create_queue(&format!("queue-{n}"), description, clock.utc))
}

fn subscription(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    broker.with_namespace(clock, |namespace| {
        if n == 0 {
            namespace.create_topic("topic", TopicDescription::default(), clock.utc)?;
        }
        let description = SubscriptionDescription::default();
        namespace.create_subscription("topic", &format!("subscription-{n}"), description, None, clock.utc)
    })
}

/// A rule with this filter for a subscription that is made first.
fn rule(broker: &mut Broker, clock: Clock, n: usize, filter: Filter) -> Result<(), EntityError> {
    if n == 0 {
        subscription(broker, clock, 0)?;
    }
    let rule = Rule { name: format!("rule-{n}"), filter, action: None };
    broker.with_namespace(clock, |namespace| namespace.create_rule("topic", "subscription-0", rule, clock.utc))
}

fn correlation_rule(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    let properties = (0..n % 5).map(|at| (format!("property-{at}"), n.to_string().into())).collect();
    let filter = CorrelationFilter { label: Some(n.to_string()), properties, ..CorrelationFilter::default() };
    rule(broker, clock, n, Filter::Correlation(filter))
}

fn sql_rule(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    let text = match n % 3 {
        0 => format!("a IN ({}1)", "1,".repeat(400)),
        1 => format!("colour = 'red' AND n > {n}"),
        _ => format!("a = {}1", "- ".repeat(60)),
    };
    rule(broker, clock, n, Filter::Sql(SqlFilter::parse(text, Vec::new(), &Dialect::default()).unwrap()))
}

fn message_id(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    broker.with_namespace(clock, |namespace| {
        if n == 0 {
            let description = QueueDescription { requires_duplicate_detection: true, ..QueueDescription::default() };
            namespace.create_queue("queue", description, clock.utc)?;
        }
        let id = format!("{n:0100}");
        let message = Message::accept(encoded(&MessageRef::new("x").with_message_id(id.as_str()))).unwrap();
        namespace.send("queue", message, clock.utc)?;
        // The id stays when the message goes.
        let store = namespace.queue("queue").unwrap().stores.main;
        assert!(namespace.take(store, None).is_some());
        Ok(())
    })
}

fn session_state(broker: &mut Broker, clock: Clock, n: usize) -> Result<(), EntityError> {
    let budget = broker.budget().clone();
    broker.with_namespace(clock, |namespace| {
        if n == 0 {
            let description = QueueDescription { requires_session: true, ..QueueDescription::default() };
            namespace.create_queue("queue", description, clock.utc)?;
        }
        let store = namespace.queue("queue").unwrap().stores.main;
        let state = budget.keep(Holding::SessionStates, bytes::Bytes::from(vec![7; n % 400]))?;
        namespace.set_session_state(store, &format!("session-{n}"), Some(state), clock.utc)
    })
}

const KEPT: [(&str, Step); 6] = [
    ("queues", queue),
    ("subscriptions", subscription),
    ("correlation rules", correlation_rule),
    ("SQL rules", sql_rule),
    ("message ids", message_id),
    ("session states", session_state),
];

#[test]
fn what_is_kept_in_entities_is_counted() {
    let clock = World::new().clock;
    for (name, step) in KEPT {
        let mut broker = broker(1 << 30);
        // Tables get their first size.
        for n in 0..100 {
            step(&mut broker, clock, n).unwrap();
        }
        let (kept, counted) = (live(), broker.budget().used());
        for n in 100..2_000 {
            step(&mut broker, clock, n).unwrap();
        }
        let (kept, counted) = (live() - kept, broker.budget().used() - counted);
        println!("{name}: {counted} bytes are counted of {kept}");
        assert!(counted.cast_signed() * 5 / 4 >= kept, "{name}: {counted} bytes are counted of {kept}");
    }
}

#[test]
fn over_the_budget_entities_are_refused() {
    let clock = World::new().clock;
    for (name, step) in KEPT {
        const MEMORY: usize = 2 << 20;
        let mut broker = broker(MEMORY);
        let before = live();
        let refused = (0..100_000).find_map(|n| step(&mut broker, clock, n).err());
        assert!(matches!(refused, Some(EntityError::OverBudget(_))), "{name}: {refused:?}");
        let kept = live() - before;
        assert!(kept < (2 * MEMORY).cast_signed(), "{name}: {kept} bytes");
        // What goes gives its part back.
        broker.with_namespace(clock, Namespace::clear);
        while broker.poll_timeout().is_some_and(|at| at <= clock.now) {
            broker.handle_timeout(clock);
        }
        assert_eq!(broker.budget().used(), 0, "{name}");
    }
}

/// Ids are forgotten when their window has passed, without another message.
#[test]
fn message_ids_are_forgotten_by_a_timer() {
    let mut world = World { broker: broker(1 << 30), ..World::new() };
    let clock = world.clock;
    for n in 0..5_000 {
        message_id(&mut world.broker, clock, n).unwrap();
    }
    assert!(world.broker.memory_used_for(Holding::MessageIds) > 5_000 * 100);
    world.advance(Duration::from_secs(599));
    assert!(world.broker.memory_used_for(Holding::MessageIds) > 5_000 * 100);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.broker.memory_used_for(Holding::MessageIds), 0);
}

/// Links with long names, and AMQP sessions without links.
#[test]
fn links_and_sessions_are_counted() {
    for links in [true, false] {
        let mut world = World::new();
        world.queue("queue", QueueDescription::default());
        let id = world.broker.connect(world.clock).unwrap();
        feed(&mut world, id, &opening(true));
        let step = |world: &mut World, n: u16| {
            let name = format!("{n}-{}", "x".repeat(200));
            let link = Attach {
                source: Some(Source::new(Some(&name))),
                target: Some(TargetArchetype::Target(Target::new(Some("queue")))),
                ..attach(&name, u32::from(n), Role::Sender)
            };
            let bytes = if links { frame(0, &link, &[]) } else { frame(1 + n, &begin(None), &[]) };
            feed(world, id, &bytes);
        };
        for n in 0..50 {
            step(&mut world, n);
        }
        let (kept, counted) = (live(), world.broker.budget().used());
        for n in 50..200 {
            step(&mut world, n);
        }
        assert!(!world.broker.is_closed(id), "links: {links}");
        let (kept, counted) = (live() - kept, world.broker.budget().used() - counted);
        println!("links: {links}: {counted} bytes are counted of {kept}");
        assert!(counted.cast_signed() * 5 / 4 >= kept, "links: {links}: {counted} bytes are counted of {kept}");
    }
}
