//! Names of entities: those that are accepted, their case, and the text of a refusal.

use crate::configured_rules::{file, start_refusal};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::servicebus::administration::{
    ApiVersion, CreateQueueOptions, CreateRuleOptions, CreateSubscriptionOptions, CreateTopicOptions, InvalidRequest,
    Request, Response, RuleProperties, UnsignedRequest,
};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_emulator::config;
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::{Ended, World};

/// A request for the entity `name`, built for another name, as the builder takes not all that others send.
fn named(request: Result<UnsignedRequest, InvalidRequest>, name: &str) -> Request {
    let mut request = request.unwrap().request().clone();
    request.path_and_query = request.path_and_query.replacen("placeholder", name, 1);
    request
}

fn create(world: &mut World, name: &str, topic: bool, version: ApiVersion) -> Response {
    let admin = Administrator::of(version);
    let request = if topic {
        admin.requests.create_topic("placeholder", CreateTopicOptions::new())
    } else {
        admin.requests.create_queue("placeholder", CreateQueueOptions::new())
    };
    admin.send(world, named(request, name))
}

#[test]
fn a_segment_of_a_name_may_end_in_a_hyphen_or_an_underscore_f9() {
    let names = [
        "MassTransit/Fault--Company.Messages/OrderSubmitted--",
        "Company.Messages/Order--",
        "a--",
        "q-",
        "q__",
        "a-/b_",
    ];
    for name in names {
        for topic in [false, true] {
            let (mut world, administrator) = (World::new(), Administrator::default());
            let response = if topic {
                administrator.create_topic(&mut world, name, CreateTopicOptions::new())
            } else {
                administrator.create_queue(&mut world, name, CreateQueueOptions::new())
            };
            assert_eq!(response.status, 201, "{name}, a topic: {topic}");
        }
    }
    for (name, status) in [("x--y", 201), ("a-/b", 201), ("a b", 400), ("a-?", 400), ("a//b", 400)] {
        let (mut world, administrator) = (World::new(), Administrator::default());
        let element = "<MaxDeliveryCount>10</MaxDeliveryCount>";
        let path = format!("/{}?api-version=2021-05", name.replace(' ', "%20").replace('?', "%3F"));
        let response = administrator.put(&mut world, &path, "QueueDescription", element, false);
        assert_eq!(response.status, status, "{name}");
    }
}

/// Beginnings are no other than endings.
const ENDS_IN_UNDERSCORE: [&str; 10] =
    ["Messages/PingMessage__", "q__", "q_", "a_/b_", "a__/b", "shop.orders_", "__q", "_a/-b", "-q", "__"];

#[test]
fn a_name_may_end_in_underscores_f62() {
    for name in ENDS_IN_UNDERSCORE {
        for topic in [false, true] {
            let mut world = World::new();
            let status = create(&mut world, name, topic, ApiVersion::V2021_05).status;
            assert_eq!(status, 201, "{name}, topic: {topic}");
        }
    }
    for name in ["a__b", "q_1"] {
        let status = create(&mut World::new(), name, false, ApiVersion::V2021_05).status;
        assert_eq!(status, 201, "{name}");
    }
}

#[test]
fn a_name_in_the_configuration_may_end_in_underscores_f62() {
    for name in ENDS_IN_UNDERSCORE {
        let entity = format!(r#"{{ "Name": "{name}" }}"#);
        for (kind, file) in [("queue", file(&entity, "")), ("topic", file("", &entity))] {
            let refused = start_refusal(&file);
            assert_eq!(refused, None, "{kind} {name}");
        }
    }
}

/// The kind of the row: the rule on the last character, wherever it applies.
#[test]
fn a_subscription_or_rule_may_end_in_underscores_or_hyphens_f62() {
    for name in ["s__", "s_", "s-", "s--", "Order.Placed_", "s_1", "_s", "--s", "__"] {
        for rule in [false, true] {
            let mut world = World::new();
            world.topic("topic", &[("sub", SubscriptionDescription::default())]);
            let admin = Administrator::default();
            let response = if rule {
                let rule = RuleProperties::new("placeholder", CreateRuleOptions::new());
                admin.send(&mut world, named(admin.requests.create_rule("topic", "sub", &rule), name))
            } else {
                let options = CreateSubscriptionOptions::new();
                admin.send(&mut world, named(admin.requests.create_subscription("topic", "placeholder", options), name))
            };
            assert_eq!(response.status, 201, "{name}, rule: {rule}");
        }
    }
}

#[test]
fn a_refused_name_is_quoted_as_the_whole_address_f63() {
    for version in [ApiVersion::V2017_04, ApiVersion::V2021_05, ApiVersion::V2024_05] {
        for (name, sent) in [("a b", "a%20b"), ("a[]", "a%5B%5D"), ("x/y z", "x/y%20z"), ("q!", "q!"), ("a+b", "a%2Bb")]
        {
            for topic in [false, true] {
                let response = create(&mut World::new(), sent, topic, version);
                let told = text(&response);
                // Whether the path is encoded there is not reported.
                let is_right = told.contains("'https://sbemulatorns.servicebus.windows.net/")
                    && told.contains(&format!("?api-version={version}' contains"))
                    && told.contains("periods (.), hyphens (-), and underscores (_)");
                assert!(response.status == 400 && is_right, "{name}, topic: {topic}, {version}: {told}");
            }
        }
    }
}

#[test]
fn a_dead_letter_names_its_source_in_lower_case_f64() {
    for name in ["Shop.Orders", "ORDERS", "orders", "Team/Orders", "a-B_c.D"] {
        let mut world = World::new();
        world.queue("dead", QueueDescription::default());
        let forward_dead_lettered_messages_to = Some("dead".into());
        world.queue(name, QueueDescription { forward_dead_lettered_messages_to, ..QueueDescription::default() });
        let c = world.connect();
        let (sender, receiver) = (world.sender(c, name).unwrap(), world.receiver(c, name).unwrap());
        world.send_texts(c, sender, &["x"]);
        let message = world.receive_now(c, receiver, 1).remove(0);
        world.dead_letter(c, &message, "reason", "description");
        let target = world.receiver(c, "dead").unwrap();
        let dead = world.receive_now(c, target, 1).remove(0);
        let source = dead.annotation("x-opt-deadletter-source").and_then(|value| value.as_str().map(str::to_owned));
        assert_eq!(source, Some(name.to_lowercase()));
    }
}

/// The kind of the row: the source of a subscription's dead letter is its topic's name.
#[test]
fn a_dead_letter_of_a_subscription_names_its_topic_in_lower_case_f64() {
    for name in ["Shop.Events", "EVENTS", "events", "Team/Events", "a-B_c.D"] {
        let mut world = World::new();
        world.queue("dead", QueueDescription::default());
        let forward_dead_lettered_messages_to = Some("dead".into());
        let description =
            SubscriptionDescription { forward_dead_lettered_messages_to, ..SubscriptionDescription::default() };
        world.topic(name, &[("sub", description)]);
        let c = world.connect();
        let receiver = world.receiver(c, &format!("{name}/Subscriptions/sub")).unwrap();
        let sender = world.sender(c, name).unwrap();
        world.send_texts(c, sender, &["x"]);
        let message = world.receive_now(c, receiver, 1).remove(0);
        world.dead_letter(c, &message, "reason", "description");
        let target = world.receiver(c, "dead").unwrap();
        let dead = world.receive_now(c, target, 1).remove(0);
        let source = dead.annotation("x-opt-deadletter-source").and_then(|value| value.as_str().map(str::to_owned));
        assert!(source.as_ref().is_some_and(|source| source.starts_with(&name.to_lowercase())), "{source:?}");
    }
}

/// The titles of a feed's entries, or of one entry.
fn titles(response: &Response) -> Vec<String> {
    let text = text(response);
    let entries = text.split("<entry").skip(1);
    let title = |entry: &str| Some(entry.split_once("<title type=\"text\">")?.1.split_once('<')?.0.to_owned());
    entries.filter_map(title).collect()
}

#[test]
fn an_entity_is_listed_in_lower_case_f65() {
    for name in ["MyCase.Queue", "UPPER", "lower", "Team/Orders", "a-B_c.D"] {
        for topic in [false, true] {
            let mut world = World::new();
            assert_eq!(create(&mut world, name, topic, ApiVersion::V2021_05).status, 201);
            let admin = Administrator::of(ApiVersion::V2021_05);
            let list = if topic { "/$Resources/topics" } else { "/$Resources/queues" };
            let query = "api-version=2021-05&$skip=0&$top=100";
            let listed = admin.get(&mut world, &format!("{list}?{query}"));
            let got = admin.get(&mut world, &format!("/{name}?api-version=2021-05"));
            for (way, response) in [("listed", listed), ("got", got)] {
                assert_eq!(titles(&response), [name.to_lowercase()], "{name}, topic: {topic}, {way}");
            }
        }
    }
}

/// The kind of the row: ids and links of listed entries, and names from the configuration file.
#[test]
fn ids_and_links_of_listed_entities_are_in_lower_case_f65() {
    for name in ["MyCase.Queue", "UPPER", "Team/Orders", "a-B_c.D", "Q1"] {
        for (kind, list) in [("queue", "queues"), ("topic", "topics")] {
            let entity = format!(r#"{{ "Name": "{name}" }}"#);
            let file = if kind == "queue" { file(&entity, "") } else { file("", &entity) };
            let mut world = World::new();
            let clock = world.clock;
            let blueprint = config::parse(&file).unwrap().remove(0);
            world.broker.with_namespace(clock, |namespace| blueprint.build(namespace, clock.utc)).unwrap();
            let path = format!("/$Resources/{list}?api-version=2021-05&$skip=0&$top=100");
            let listed = Administrator::of(ApiVersion::V2021_05).get(&mut world, &path);
            let listed = text(&listed);
            let entry = listed.split_once("<entry").expect("an entry").1;
            // Id, title and links come before the description.
            let head = entry.split("<content").next().unwrap_or_default().to_owned();
            assert!(head.contains(&name.to_lowercase()) && !head.contains(name), "{kind} {name}: {head}");
        }
    }
}

/// Both forms of a name are the same entity, in any case of letters that is shown.
#[test]
fn an_entity_is_found_by_its_name_in_any_case_f65() {
    let mut world = World::new();
    world.queue("MyCase.Queue", QueueDescription::default());
    world.topic("MyTopic", &[("Sub", SubscriptionDescription::default())]);
    let c = world.connect();
    for (target, source) in [("mycase.queue", "MYCASE.QUEUE"), ("MYTOPIC", "mytopic/subscriptions/SUB")] {
        let (sender, receiver) = (world.sender(c, target).unwrap(), world.receiver(c, source).unwrap());
        assert_eq!(world.send(c, sender, &MessageRef::new("x")), Ended::Accepted);
        assert_eq!(world.receive_now(c, receiver, 1).len(), 1);
    }
    let again = Administrator::default().create_queue(&mut world, "mycase.QUEUE", CreateQueueOptions::new());
    assert_eq!(again.status, 409);
}
