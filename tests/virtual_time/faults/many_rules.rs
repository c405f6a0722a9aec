//! Many rules of one topic: a message meets the filters that it can match.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::Value as Wire;
use servicebus_emulator::broker::entities::{SubscriptionDescription, TopicDescription};
use servicebus_emulator::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlFilter, Value};
use servicebus_tests::broker::{Ended, World};

fn rule(filter: Filter) -> Rule {
    Rule { name: "rule".into(), filter, action: None }
}

fn correlation(change: impl FnOnce(&mut CorrelationFilter)) -> Filter {
    let mut filter = CorrelationFilter::default();
    change(&mut filter);
    Filter::Correlation(filter)
}

/// A topic with so many subscriptions, each with the rule that its number makes.
fn world(count: usize, filter: impl Fn(usize) -> Filter) -> World {
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("topic", TopicDescription::default(), clock.utc).unwrap();
        for number in 0..count {
            let (name, description) = (format!("s{number}"), SubscriptionDescription::default());
            namespace.create_subscription("topic", &name, description, Some(rule(filter(number))), clock.utc).unwrap();
        }
    });
    world.connect();
    world
}

/// Filters that a message was compared with, and the copies that it made.
fn met(world: &mut World, message: &MessageRef<'_>) -> (u64, u64) {
    let sender = world.sender(0, "topic").unwrap();
    let copies = |world: &World| {
        let namespace = world.broker.namespace();
        let topic = namespace.topic("topic").unwrap();
        topic.subscriptions.values().map(|found| namespace.counts(&found.stores).total()).sum::<u64>()
    };
    let before = (world.broker.statistics().filters_evaluated, copies(world));
    assert_eq!(world.send(0, sender, message), Ended::Accepted);
    (world.broker.statistics().filters_evaluated - before.0, copies(world) - before.1)
}

#[test]
fn a_send_costs_the_filters_that_it_can_match_g3() {
    for count in [20, 2_000] {
        let mut labels = world(count, |number| correlation(|filter| filter.label = Some(format!("l{number}"))));
        assert_eq!(met(&mut labels, &MessageRef::new("x")), (0, 0));
        assert_eq!(met(&mut labels, &MessageRef::new("x").with_subject("none")), (0, 0));
        assert_eq!(met(&mut labels, &MessageRef::new("x").with_subject("l7")), (1, 1));
        let mut properties = world(count, |number| {
            correlation(|filter| filter.properties = vec![("Kind".into(), format!("k{number}").into())])
        });
        let kind = [("kind", Wire::from("k3")), ("other", Wire::from("k4"))];
        assert_eq!(met(&mut properties, &MessageRef::new("x").with_properties(&kind)), (1, 1));
        assert_eq!(met(&mut properties, &MessageRef::new("x")), (0, 0));
        // Values other than texts are found by the property alone.
        let mut numbers = world(count, |number| {
            let value = Value::Int(number as i32);
            correlation(|filter| filter.properties = vec![(format!("p{}", number % 10), value)])
        });
        let three = [("P3", Wire::Long(13))];
        let message = MessageRef::new("x").with_properties(&three);
        assert_eq!(met(&mut numbers, &message), (count as u64 / 10, 1));
        // These are decided without the message.
        assert_eq!(met(&mut world(count, |_| Filter::False), &MessageRef::new("x")), (0, 0));
        assert_eq!(met(&mut world(count, |_| Filter::True), &MessageRef::new("x")), (0, count as u64));
        // These are not.
        let sql = |_| Filter::Sql(SqlFilter::parse("a = 1", Vec::new(), &Dialect::default()).unwrap());
        assert_eq!(met(&mut world(count, sql), &MessageRef::new("x")), (count as u64, 0));
    }
}

/// What the index finds is what every filter would have found.
#[test]
fn every_condition_of_a_filter_counts_g3() {
    let filter = |number: usize| {
        correlation(|filter| {
            filter.label = (number & 1 != 0).then(|| "l".into());
            filter.message_id = (number & 2 != 0).then(|| "m".into());
            filter.session_id = (number & 4 != 0).then(|| "s".into());
            filter.content_type = (number & 8 != 0).then(|| "c".into());
            if number & 16 != 0 {
                filter.properties.push(("text".into(), "t".into()));
            }
            if number & 32 != 0 {
                filter.properties.push(("number".into(), 1i32.into()));
            }
        })
    };
    let mut world = world(64, filter);
    for number in 0..64_usize {
        let mut message = MessageRef::new("x");
        if number & 1 != 0 {
            message = message.with_subject("l");
        }
        if number & 2 != 0 {
            message = message.with_message_id("m");
        }
        if number & 4 != 0 {
            message = message.with_session_id("s");
        }
        if number & 8 != 0 {
            message = message.with_content_type("c");
        }
        let mut properties = Vec::new();
        if number & 16 != 0 {
            properties.push(("TEXT", Wire::from("t")));
        }
        if number & 32 != 0 {
            properties.push(("Number", Wire::Long(1)));
        }
        let message = message.with_properties(&properties);
        // One subscription for each subset of what the message has.
        assert_eq!(met(&mut world, &message).1, 1 << number.count_ones(), "{number}");
    }
}

#[test]
fn rules_that_change_are_found_anew_g3() {
    let label = |text: &str| correlation(|filter| filter.label = Some(text.into()));
    let mut world = world(3, |_| label("a"));
    let clock = world.clock;
    let red = MessageRef::new("x").with_subject("a");
    assert_eq!(met(&mut world, &red), (3, 3));
    world.broker.with_namespace(clock, |namespace| {
        namespace.update_rule("TOPIC", "S0", rule(label("b")), clock.utc).unwrap();
        namespace.delete_rule("topic", "s1", "RULE").unwrap();
        namespace.create_rule("topic", "s1", rule(Filter::True), clock.utc).unwrap();
        namespace.delete_subscription("topic", "s2").unwrap();
    });
    assert_eq!(met(&mut world, &red), (0, 1));
    assert_eq!(met(&mut world, &MessageRef::new("x").with_subject("b")), (1, 2));
}
