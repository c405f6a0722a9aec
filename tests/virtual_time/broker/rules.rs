//! Topics, subscriptions and their rules.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::{Value, encode_map};
use servicebus_emulator::broker::entities::{EntityError, SubscriptionDescription, TopicDescription};
use servicebus_emulator::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlAction, SqlFilter};
use servicebus_tests::broker::*;

const SUB: &str = "topic/Subscriptions/sub";

/// The orders data set: colour, quantity, priority.
const ORDERS: [(&str, i32, &str); 12] = [
    ("blue", 5, "low"),
    ("red", 10, "high"),
    ("yellow", 5, "low"),
    ("blue", 10, "low"),
    ("blue", 5, "high"),
    ("blue", 10, "low"),
    ("red", 5, "low"),
    ("red", 10, "low"),
    ("red", 5, "low"),
    ("yellow", 10, "high"),
    ("yellow", 5, "low"),
    ("yellow", 10, "low"),
];

fn sql(text: &str) -> Filter {
    Filter::Sql(SqlFilter::parse(text, Vec::new(), &Dialect::default()).unwrap())
}

fn rule(name: &str, filter: Filter, action: Option<&str>) -> Rule {
    let action = action.map(|text| SqlAction::parse(text, Vec::new(), &Dialect::default()).unwrap());
    Rule { name: name.into(), filter, action }
}

fn world(rules: Vec<Rule>) -> (World, usize, servicebus_core::engine::LinkId) {
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("topic", TopicDescription::default(), clock.utc).unwrap();
        let description = SubscriptionDescription::default();
        namespace.create_subscription("topic", "sub", description, None, clock.utc).unwrap();
        if !rules.is_empty() {
            namespace.delete_rule("topic", "sub", "$Default").unwrap();
        }
        for rule in rules {
            namespace.create_rule("topic", "sub", rule, clock.utc).unwrap();
        }
    });
    let c = world.connect();
    let sender = world.sender(c, "topic").unwrap();
    (world, c, sender)
}

fn send_orders(world: &mut World, c: usize, sender: servicebus_core::engine::LinkId) {
    for (color, quantity, priority) in ORDERS {
        let properties = [("color", Value::from(color)), ("quantity", quantity.into()), ("priority", priority.into())];
        let message =
            MessageRef::new("order").with_subject(color).with_correlation_id(priority).with_properties(&properties);
        assert_eq!(world.send(c, sender, &message), Ended::Accepted);
    }
}

fn matched(filter: Filter, action: Option<&str>) -> Vec<Received> {
    let (mut world, c, sender) = world(vec![rule("r", filter, action)]);
    send_orders(&mut world, c, sender);
    let receiver = world.receiver(c, SUB).unwrap();
    world.receive_now(c, receiver, 100)
}

#[test]
fn sql_filters_select_as_the_service_does_rul14_rul15_rul19_rul20_rul21_rul22() {
    for (text, count) in [
        ("1=1", 12),
        ("1=0", 0),
        ("sys.Label = 'yellow'", 4),
        ("sys.label ='yellow'", 4),
        ("Color = 'yellow'", 4),
        ("color = 'red'", 4),
        ("Color = 'blue' and Quantity = 10", 2),
        ("Color = 'blue' or Quantity = 10", 8),
        ("color LIKE 'b%' AND quantity IN (5, 7)", 2),
        ("EXISTS(color) AND NOT (priority = 'low')", 3),
        ("missing IS NULL", 12),
        ("missing = 1", 0),
        ("sys.To = 'x' OR quantity > 7", 6),
    ] {
        assert_eq!(matched(sql(text), None).len(), count, "{text}");
    }
}

#[test]
fn correlation_filters_select_by_value_and_names_in_any_case_rul16_rul17_rul18() {
    let by = |label: Option<&str>, properties: Vec<(String, servicebus_emulator::filter::Value<'static>)>| {
        Filter::Correlation(CorrelationFilter {
            label: label.map(str::to_owned),
            properties,
            ..CorrelationFilter::default()
        })
    };
    assert_eq!(matched(by(Some("red"), Vec::new()), None).len(), 4);
    assert_eq!(matched(by(None, vec![("color".into(), "red".into())]), None).len(), 4);
    let changed = matched(by(None, vec![("Color".into(), "blue".into())]), Some("Set Priority = 'high'"));
    assert_eq!(changed.len(), 4);
    for message in changed {
        // The key keeps its spelling, and there is no second one.
        assert_eq!(message.property("priority"), Some("high".into()));
        assert_eq!(message.property("Priority"), None);
        assert_eq!(message.property("color"), Some("blue".into()));
    }
}

#[test]
fn actions_change_a_copy_and_keep_the_case_of_texts_rul23_rul24_rul27() {
    let changed = matched(sql("color='blue'"), Some("SET priority = 'High'; SET sys.Label = 'x'; REMOVE quantity"));
    assert_eq!(changed.len(), 4);
    for message in changed {
        assert_eq!(message.property("priority"), Some("High".into()));
        assert_eq!(message.property("quantity"), None);
        assert_eq!(message.view().properties().unwrap().subject, Some("x"));
        assert_eq!(message.property("RuleName"), Some("r".into()));
        assert_eq!(message.body(), "order");
    }
}

#[test]
fn matching_rules_without_action_make_one_copy_and_each_with_action_its_own() {
    let rules = vec![
        rule("a", Filter::True, None),
        rule("b", sql("1=1"), None),
        rule("c", Filter::True, None),
        rule("d", Filter::True, Some("SET x = 1")),
        rule("e", Filter::True, Some("SET x = 2")),
    ];
    let (mut world, c, sender) = world(rules);
    world.send_texts(c, sender, &["m"]);
    let receiver = world.receiver(c, SUB).unwrap();
    let got = world.receive_now(c, receiver, 10);
    let names: Vec<_> = got
        .iter()
        .map(|message| message.property("RuleName").and_then(|name| name.as_str().map(str::to_owned)))
        .collect();
    assert_eq!(names, [None, Some("d".to_owned()), Some("e".to_owned())]);
}

#[test]
fn every_subscription_gets_a_copy_of_its_own_rul29_crd11() {
    let mut world = World::new();
    world.topic("topic", &[("one", Default::default()), ("two", Default::default())]);
    let c = world.connect();
    let sender = world.sender(c, "topic").unwrap();
    world.send_texts(c, sender, &["a", "b", "c"]);
    let one = world.receiver(c, "topic/Subscriptions/one").unwrap();
    assert_eq!(world.consume(c, one).unwrap().body(), "a");
    let left = |world: &mut World, name: &str| world.peek(c, &format!("topic/Subscriptions/{name}"), 0, 10).len();
    assert_eq!((left(&mut world, "one"), left(&mut world, "two")), (2, 3));
}

#[test]
fn rules_count_at_the_time_of_sending_rul30() {
    let (mut world, c, sender) = world(Vec::new());
    world.send_texts(c, sender, &["a"]);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| namespace.delete_rule("topic", "sub", "$default")).unwrap();
    world.send_texts(c, sender, &["b"]);
    let bodies: Vec<_> = world.peek(c, SUB, 0, 10).iter().map(Received::body).collect();
    assert_eq!(bodies, ["a"]);
}

#[test]
fn a_filter_that_fails_dead_letters_the_message_where_that_is_asked_for() {
    let (mut world, c, sender) = world(vec![rule("r", sql("1 / 0 = 1"), None)]);
    world.send_texts(c, sender, &["a"]);
    assert!(world.peek(c, SUB, 0, 1).is_empty());
    assert_eq!(world.peek(c, &format!("{SUB}/$DeadLetterQueue"), 0, 1).len(), 1);
}

#[test]
fn rules_over_management_rul1_rul3_rul4_rul5_rul6_rul8_rul9() {
    let (mut world, c, _) = world(Vec::new());
    let list = |world: &mut World, skip: i32, top: i32| {
        let entries = [("top", Value::Int(top)), ("skip", Value::Int(skip))];
        let response = world.manage(c, SUB, "enumerate-rules", &entries);
        let Some(Value::List(rules)) = response.body().get("rules") else {
            assert_eq!(response.status(), 204);
            return Vec::new();
        };
        rules
            .iter()
            .map(|item| {
                let Value::Map(item) = item.unwrap() else { panic!("no map") };
                let Some(Value::Described(rule)) = item.get("rule-description") else { panic!("no rule") };
                assert_eq!(rule.code(), Some(0x0000_0137_0000_0004));
                let Value::List(fields) = rule.value().unwrap() else { panic!("no list") };
                fields.iter().nth(2).unwrap().unwrap().as_str().unwrap().to_owned()
            })
            .collect::<Vec<_>>()
    };
    let add = |world: &mut World, name: &str, expression: &str| {
        let (mut inner, mut outer) = ([0; 256], [0; 512]);
        let inner = encode_map(&[("expression".into(), expression.into())], &mut inner).unwrap();
        let outer = encode_map(&[("sql-filter".into(), inner.into())], &mut outer).unwrap();
        world.manage(c, SUB, "add-rule", &[("rule-name", name.into()), ("rule-description", outer.into())])
    };
    assert_eq!(list(&mut world, 0, 100), ["$Default"]);
    assert_eq!(add(&mut world, "sqlRule", "price > 10").status(), 200);
    assert_eq!(add(&mut world, "correlationRule", "a  =  'B'").status(), 200);
    assert_eq!(list(&mut world, 0, 100), ["$Default", "correlationRule", "sqlRule"]);
    assert_eq!(list(&mut world, 1, 1), ["correlationRule"]);
    assert!(list(&mut world, 3, 1).is_empty());
    let again = add(&mut world, "sqlRule", "1=1");
    assert_eq!((again.status(), again.condition()), (409, Some("com.microsoft:entity-already-exists")));
    assert!(again.text().contains("sqlRule' already exists."), "{}", again.text());
    assert_eq!(add(&mut world, "bad", "price >").status(), 400);
    let missing = world.manage(c, SUB, "remove-rule", &[("rule-name", "Priority_5".into())]);
    assert_eq!(missing.status(), 404);
    assert!(missing.text().contains("Priority_5' could not be found"), "{}", missing.text());
    for name in ["$Default", "sqlRule", "correlationRule"] {
        assert_eq!(world.manage(c, SUB, "remove-rule", &[("rule-name", name.into())]).status(), 200);
    }
    assert!(list(&mut world, 0, 100).is_empty());
}

#[test]
fn a_topic_without_subscriptions_takes_messages() {
    let mut world = World::new();
    world.topic("topic", &[]);
    let c = world.connect();
    let sender = world.sender(c, "topic").unwrap();
    world.send_texts(c, sender, &["a"]);
    // The link's name is that of a subscription (docs/evidence/field-reports.md F29).
    assert_eq!(world.receiver(c, "topic").unwrap_err().condition, "amqp:not-found");
    world.topic("other", &[("sub", Default::default())]);
    let failure = world.sender(c, "other/Subscriptions/sub").unwrap_err();
    assert!(failure.text.starts_with("Cannot create a message sender for a subscription"), "{}", failure.text);
}

#[test]
fn what_cannot_be_made_or_changed_is_named_adm32_adm69() {
    let (mut world, ..) = world(Vec::new());
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let again = namespace.create_topic("TOPIC", TopicDescription::default(), clock.utc);
        assert_eq!(again, Err(EntityError::AlreadyExists("TOPIC".into())));
        let sessions = SubscriptionDescription { requires_session: true, ..Default::default() };
        let changed = namespace.update_subscription("topic", "sub", sessions, clock.utc).unwrap_err();
        assert_eq!(
            changed.to_string(),
            "The value for the RequiresSession property of an existing Subscription cannot be changed."
        );
        assert!(namespace.create_subscription("topic", "a/b", Default::default(), None, clock.utc).is_err());
        assert!(namespace.create_subscription("none", "a", Default::default(), None, clock.utc).is_err());
    });
}
