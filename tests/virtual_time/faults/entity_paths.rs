//! Names of queues and topics: which are taken, how they are kept, and what is said of those that are refused.

use crate::configured_rules::{file, start_refusal};
use servicebus_core::servicebus::Message;
use servicebus_core::servicebus::administration::{
    ApiVersion, CreateQueueOptions, CreateTopicOptions, InvalidRequest, Request, Response, UnsignedRequest,
};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::{Ended, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

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

const ENDS_IN_UNDERSCORE: [&str; 6] = ["Messages/PingMessage__", "q__", "q_", "a_/b_", "a__/b", "shop.orders_"];

#[known_fault("F62")]
fn a_name_may_end_in_underscores_f62() {
    let mut judge = Judge::new();
    for name in ENDS_IN_UNDERSCORE {
        for topic in [false, true] {
            let mut world = World::new();
            judge.equal(
                format!("{name}, topic: {topic}"),
                create(&mut world, name, topic, ApiVersion::V2021_05).status,
                201,
                400,
            );
        }
    }
    for name in ["a__b", "q_1"] {
        let status = create(&mut World::new(), name, false, ApiVersion::V2021_05).status;
        judge.control(name, status, |status| *status == 201);
    }
    judge.finish();
}

#[known_fault("F62")]
fn a_name_in_the_configuration_may_end_in_underscores_f62() {
    let mut judge = Judge::new();
    for name in ENDS_IN_UNDERSCORE {
        let entity = format!(r#"{{ "Name": "{name}" }}"#);
        for (kind, file) in [("queue", file(&entity, "")), ("topic", file("", &entity))] {
            let refused = start_refusal(&file);
            judge.case(format!("{kind} {name}"), refused, Option::is_none, |refused| {
                refused.as_ref().is_some_and(|text| text.contains(name))
            });
        }
    }
    judge.finish();
}

#[known_fault("F63")]
fn a_refused_name_is_quoted_as_the_whole_address_f63() {
    let mut judge = Judge::new();
    for version in [ApiVersion::V2017_04, ApiVersion::V2021_05, ApiVersion::V2024_05] {
        for (name, sent) in [("a b", "a%20b"), ("a[]", "a%5B%5D"), ("x/y z", "x/y%20z"), ("q!", "q!"), ("a+b", "a%2Bb")]
        {
            for topic in [false, true] {
                let response = create(&mut World::new(), sent, topic, version);
                judge.case(
                    format!("{name}, topic: {topic}, {version}"),
                    (response.status, text(&response)),
                    |(status, text)| {
                        // Whether the path is encoded there is not reported.
                        *status == 400
                            && text.contains("'https://sbemulatorns.servicebus.windows.net/")
                            && text.contains(&format!("?api-version={version}' contains"))
                            && text.contains("periods (.), hyphens (-), and underscores (_)")
                    },
                    |(status, text)| {
                        *status == 400 && text.contains(&format!("'{name}' contains")) && text.contains("periods(.)")
                    },
                );
            }
        }
    }
    judge.finish();
}

#[known_fault("F64")]
fn a_dead_letter_names_its_source_in_lower_case_f64() {
    let mut judge = Judge::new();
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
        judge.case(
            name,
            source,
            |source| source.as_deref() == Some(name.to_lowercase().as_str()),
            |source| name != "orders" && source.as_deref() == Some(name),
        );
    }
    judge.finish();
}

/// The titles of a feed's entries, or of one entry.
fn titles(response: &Response) -> Vec<String> {
    let text = text(response);
    let entries = text.split("<entry").skip(1);
    let title = |entry: &str| Some(entry.split_once("<title type=\"text\">")?.1.split_once('<')?.0.to_owned());
    entries.filter_map(title).collect()
}

#[known_fault("F65")]
fn an_entity_is_listed_in_lower_case_f65() {
    let mut judge = Judge::new();
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
                judge.case(
                    format!("{name}, topic: {topic}, {way}"),
                    titles(&response),
                    |titles| *titles == [name.to_lowercase()],
                    |titles| name != "lower" && *titles == [name],
                );
            }
        }
    }
    judge.finish();
}

/// Whatever form is shown, each form is the same entity.
#[test]
fn an_entity_is_found_by_its_name_in_any_case_f65() {
    let mut world = World::new();
    world.queue("MyCase.Queue", QueueDescription::default());
    world.topic("MyTopic", &[("Sub", SubscriptionDescription::default())]);
    let c = world.connect();
    for (target, source) in [("mycase.queue", "MYCASE.QUEUE"), ("MYTOPIC", "mytopic/subscriptions/SUB")] {
        let (sender, receiver) = (world.sender(c, target).unwrap(), world.receiver(c, source).unwrap());
        assert_eq!(world.send(c, sender, &Message::new("x")), Ended::Accepted);
        assert_eq!(world.receive_now(c, receiver, 1).len(), 1);
    }
    let again = Administrator::default().create_queue(&mut world, "mycase.QUEUE", CreateQueueOptions::new());
    assert_eq!(again.status, 409);
}
