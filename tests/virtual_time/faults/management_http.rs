//! Answers of the management API.

use servicebus_core::servicebus::administration::{
    ApiVersion, CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions,
};
use servicebus_emulator::broker::entities::{AuthorizationRule, QueueDescription, Rights, SubscriptionDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig};
use servicebus_tests::administrator::{Administrator, HOST, elements, text};
use servicebus_tests::broker::*;

fn rule(name: &str, rights: &[&str], keys: bool, times: bool) -> String {
    let rights: String = rights.iter().map(|right| format!("<AccessRights>{right}</AccessRights>")).collect();
    let times = if times {
        "<CreatedTime>2026-01-02T03:04:05Z</CreatedTime><ModifiedTime>2026-01-02T03:04:06Z</ModifiedTime>"
    } else {
        ""
    };
    let keys = if keys { "<PrimaryKey>cHJpbWFyeQ==</PrimaryKey><SecondaryKey>c2Vjb25k</SecondaryKey>" } else { "" };
    format!(
        "<AuthorizationRule i:type=\"SharedAccessAuthorizationRule\"><ClaimType>SharedAccessKey</ClaimType>\
         <ClaimValue>None</ClaimValue><Rights>{rights}</Rights>{times}<KeyName>{name}</KeyName>{keys}\
         </AuthorizationRule>"
    )
}

#[test]
fn an_authorization_rule_comes_back_without_times_that_were_not_sent_f4() {
    for (name, rules, sent) in [
        ("one rule", rule("a", &["Send"], true, false), 0),
        ("without keys", rule("a", &["Listen"], false, false), 0),
        ("all rights", rule("a", &["Manage", "Send", "Listen"], true, false), 0),
        ("two rules", rule("a", &["Send"], true, false) + &rule("b", &["Listen"], true, false), 0),
        ("one of two has times", rule("a", &["Send"], true, true) + &rule("b", &["Listen"], true, false), 1),
        ("all have times", rule("a", &["Send"], true, true), 1),
    ] {
        for kind in ["QueueDescription", "TopicDescription"] {
            let (mut world, administrator) = (World::new(), Administrator::default());
            let rules = format!("<AuthorizationRules>{rules}</AuthorizationRules>");
            let path = "/entity?api-version=2021-05";
            assert_eq!(administrator.put(&mut world, path, kind, &rules, false).status, 201);
            let created = elements(&administrator.get(&mut world, path), "CreatedTime").len();
            assert_eq!(administrator.put(&mut world, path, kind, &rules, true).status, 200);
            let updated = elements(&administrator.get(&mut world, path), "ModifiedTime").len();
            assert_eq!((created, updated), (sent, sent), "{name}, {kind}");
        }
    }
}

/// A namespace with a topic and a subscription, and a client whose key may only listen.
fn with_a_listener() -> (World, Administrator) {
    let key = AuthorizationRule {
        key_name: "listen".into(),
        primary_key: "bGlzdGVu".into(),
        secondary_key: String::new(),
        rights: Rights::LISTEN,
    };
    let mut config = BrokerConfig::default();
    config.namespace.keys.push(key);
    let mut world = World::new();
    world.broker = Broker::new(config, 7);
    world.topic("topic", &[("sub", Default::default())]);
    let administrator = Administrator { key: ("listen".to_owned(), "bGlzdGVu".to_owned()), ..Administrator::default() };
    (world, administrator)
}

#[test]
fn a_missing_right_is_refused_with_the_whole_address_f5() {
    for path in [
        "/topic/Subscriptions/sub?api-version=2021-05",
        "/topic/Subscriptions/sub?api-version=2017-04",
        "/topic/Subscriptions/sub?api-version=2024-05",
        "/topic/Subscriptions/none?api-version=2021-05",
        "/other/topic/Subscriptions/sub?api-version=2021-05",
    ] {
        let (mut world, administrator) = with_a_listener();
        let response = administrator.get(&mut world, path);
        let operation =
            "SubCode=40100: Unauthorized : Unauthorized access for 'GetSubscription' operation on endpoint ";
        let right = format!("{operation}'sb://{HOST}{path}'. Tracking Id: ");
        let told = text(&response);
        assert!(response.status == 401 && told.contains(&right) && told.contains("_G"), "{path}: {told}");
        assert!(!told.contains("_B"), "{path}: {told}");
    }
}

/// Which name the service gives to these operations is not reported: only endpoint and tracking id are judged.
#[test]
fn every_operation_without_a_right_is_refused_with_the_whole_address_f5() {
    for (path, kind) in [
        ("/topic?api-version=2021-05", None),
        ("/topic/Subscriptions/sub/Rules/$Default?api-version=2021-05", None),
        ("/$Resources/queues?api-version=2021-05", None),
        ("/new?api-version=2021-05", Some("QueueDescription")),
        ("/new?api-version=2021-05", Some("TopicDescription")),
    ] {
        let (mut world, administrator) = with_a_listener();
        let response = match kind {
            Some(kind) => administrator.put(&mut world, path, kind, "", false),
            None => administrator.get(&mut world, path),
        };
        let right = format!("' operation on endpoint 'sb://{HOST}{path}'. Tracking Id: ");
        let told = text(&response);
        assert!(response.status == 401 && told.contains(&right) && told.contains("_G"), "{path} {kind:?}: {told}");
    }
}

#[test]
fn the_root_of_a_namespace_is_a_feed_of_its_entities_f20() {
    for path in
        ["/", "/?api-version=2017-04", "/?api-version=2021-05", "/?api-version=2024-05", "/?%24skip=0&%24top=10"]
    {
        for entities in [false, true] {
            let (mut world, administrator) = (World::new(), Administrator::default());
            if entities {
                administrator.create_queue(&mut world, "one-queue", CreateQueueOptions::new());
                administrator.create_topic(&mut world, "one-topic", CreateTopicOptions::new());
                let options = CreateSubscriptionOptions::new();
                administrator.create_subscription(&mut world, "one-topic", "sub", options);
            }
            let response = administrator.get(&mut world, path);
            let told = text(&response);
            let named = ["one-queue", "one-topic"].iter().all(|name| told.contains(name));
            assert_eq!((response.status, told.contains("<feed"), named), (200, true, entities), "{path}: {told}");
        }
    }
}

#[test]
fn a_topic_has_no_dead_letter_queue_to_read_f73() {
    for version in [ApiVersion::V2017_04, ApiVersion::V2021_05, ApiVersion::V2024_05] {
        for name in ["topic", "a/b", "Topic.1"] {
            let mut world = World::new();
            world.queue("queue", QueueDescription::default());
            world.topic(name, &[("s", SubscriptionDescription::default())]);
            for (way, path) in [
                ("topic", format!("/{name}/$DeadLetterQueue?api-version={version}")),
                ("its counters", format!("/{name}/$DeadLetterQueue?api-version={version}&enrich=True")),
                ("in lower case", format!("/{name}/$deadletterqueue?api-version={version}")),
                ("queue", format!("/queue/$DeadLetterQueue?api-version={version}")),
                ("subscription of", format!("/{name}/Subscriptions/s/$DeadLetterQueue?api-version={version}")),
                ("transfers of", format!("/{name}/$Transfer/$DeadLetterQueue?api-version={version}")),
                ("transfers of a queue", format!("/queue/$Transfer/$DeadLetterQueue?api-version={version}")),
                (
                    "transfers of a subscription of",
                    format!("/{name}/Subscriptions/s/$Transfer/$DeadLetterQueue?api-version={version}"),
                ),
                ("escaped", format!("/{name}/%24DeadLetterQueue?api-version={version}")),
                ("a subscription that is not there of", format!("/{name}/Subscriptions/n/$DeadLetterQueue")),
            ] {
                let response = Administrator::of(version).get(&mut world, &path);
                assert_eq!(response.status, 400, "{way} {name}, {version}: {}", text(&response));
            }
        }
    }
}
