//! Settings that the management API takes.

use servicebus_core::servicebus::administration::{CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{
    EntityError, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use servicebus_emulator::broker::{NamespaceLimits, Tier};
use servicebus_emulator::filter::{CorrelationFilter, Dialect, Filter, Rule, SqlFilter};
use servicebus_tests::administrator::{Administrator, HOST, elements, text};
use servicebus_tests::broker::*;

const QUEUE: &str = "/queue?api-version=2021-05";
const SUBSCRIPTION: &str = "/topic/Subscriptions/sub?api-version=2021-05";

fn namespace() -> (World, Administrator) {
    namespace_of(Tier::Standard)
}

/// A namespace with the queues `queue` and `target`, and the topic `topic` with the subscription `sub`.
fn namespace_of(tier: Tier) -> (World, Administrator) {
    let (mut world, administrator) = (World::of_tier(tier), Administrator::default());
    for name in ["queue", "target"] {
        assert_eq!(administrator.create_queue(&mut world, name, CreateQueueOptions::new()).status, 201);
    }
    assert_eq!(administrator.create_topic(&mut world, "topic", CreateTopicOptions::new()).status, 201);
    let options = CreateSubscriptionOptions::new();
    assert_eq!(administrator.create_subscription(&mut world, "topic", "sub", options).status, 201);
    (world, administrator)
}

#[test]
fn a_large_max_delivery_count_is_taken_f10() {
    for count in [2_000_u32, 2_001, 2_500, 5_000, 65_536, 2_147_483_647] {
        let element = format!("<MaxDeliveryCount>{count}</MaxDeliveryCount>");
        for (path, kind, update) in [
            ("/new?api-version=2021-05", "QueueDescription", false),
            (QUEUE, "QueueDescription", true),
            ("/topic/Subscriptions/new?api-version=2021-05", "SubscriptionDescription", false),
            (SUBSCRIPTION, "SubscriptionDescription", true),
        ] {
            let (mut world, administrator) = namespace();
            let put = administrator.put(&mut world, path, kind, &element, update).status;
            let kept = elements(&administrator.get(&mut world, path), "MaxDeliveryCount");
            assert!(put < 300, "{count} in {path}: {put}");
            assert_eq!(kept, [count.to_string()], "{path}");
        }
    }
}

#[test]
fn a_queue_may_forward_to_itself_by_an_update_f22() {
    let own = format!("sb://{HOST}/queue");
    for target in ["queue", "Queue", own.as_str()] {
        for setting in ["ForwardTo", "ForwardDeadLetteredMessagesTo"] {
            let (mut world, administrator) = namespace();
            let element = format!("<{setting}>{target}</{setting}>");
            let status = administrator.put(&mut world, QUEUE, "QueueDescription", &element, true).status;
            assert_eq!(status, 200, "{setting} {target}");
            // At its creation it is not there yet (docs/evidence/pinned-behaviour.md ADM76).
            let own = element.replace("queue", "new").replace("Queue", "new");
            let path = "/new?api-version=2021-05";
            assert_eq!(administrator.put(&mut world, path, "QueueDescription", &own, false).status, 400, "{own}");
        }
    }
}

#[test]
fn an_entity_of_sessions_that_forwards_is_refused_in_the_services_words_f22() {
    let target = format!("sb://{HOST}/target");
    for target in ["target", "topic", target.as_str()] {
        for (path, kind) in [
            ("/new?api-version=2021-05", "QueueDescription"),
            ("/topic/Subscriptions/new?api-version=2021-05", "SubscriptionDescription"),
        ] {
            let (mut world, administrator) = namespace();
            let settings = format!("<RequiresSession>true</RequiresSession><ForwardTo>{target}</ForwardTo>");
            let response = administrator.put(&mut world, path, kind, &settings, false);
            let told = text(&response);
            let is_right = told.contains("SubCode=40000. Bad Request. To know more visit ");
            assert!(response.status == 400 && is_right, "{path} to {target}: {told}");
        }
    }
}

#[test]
fn the_tier_and_the_version_of_the_api_decide_the_largest_message_f24() {
    for tier in [Tier::Standard, Tier::Premium] {
        for version in ["2017-04", "2021-05", "2024-05"] {
            for size in [1, 255, 256, 257, 1_023, 1_024, 2_048, 102_400, 102_401] {
                for (name, kind, update) in [
                    ("new", "QueueDescription", false),
                    ("new", "TopicDescription", false),
                    ("queue", "QueueDescription", true),
                    ("topic", "TopicDescription", true),
                ] {
                    let (mut world, administrator) = namespace_of(tier);
                    let path = format!("/{name}?api-version={version}");
                    let element = format!("<MaxMessageSizeInKilobytes>{size}</MaxMessageSizeInKilobytes>");
                    let status = administrator.put(&mut world, &path, kind, &element, update).status;
                    let is_taken = version != "2017-04"
                        && match tier {
                            Tier::Standard => size == 256,
                            Tier::Premium => (1_024..=102_400).contains(&size),
                        };
                    let taken = if update { 200 } else { 201 };
                    let expected = if is_taken { taken } else { 400 };
                    assert_eq!(status, expected, "{tier}: {kind} of {size} KB by {version}, updated: {update}");
                }
            }
        }
    }
}

#[test]
fn a_sender_learns_the_largest_message_of_the_tier_f24() {
    for (tier, kilobytes) in [(Tier::Standard, 256), (Tier::Premium, 1_024)] {
        let (mut world, _) = namespace_of(tier);
        world.connect();
        for path in ["queue", "topic"] {
            let sender = world.sender(0, path).unwrap();
            let limit = world.with_attach(0, sender, |attach| attach.max_message_size);
            assert_eq!(limit, Some(kilobytes * 1_024), "{tier} {path}");
        }
    }
}

/// The largest span of time, which means without limit.
const UNLIMITED: &str = "P10675199DT2H48M5.4775807S";

#[test]
fn an_entity_that_forwards_is_never_idle_f8() {
    for (minutes, setting, subscription, update) in [
        (5, "ForwardTo", false, false),
        (5, "ForwardTo", true, false),
        (5, "ForwardDeadLetteredMessagesTo", false, false),
        (10, "ForwardDeadLetteredMessagesTo", true, false),
        (30, "ForwardTo", false, true),
        (5, "ForwardTo", true, true),
    ] {
        let (mut world, administrator) = namespace();
        let settings = format!("<AutoDeleteOnIdle>PT{minutes}M</AutoDeleteOnIdle><{setting}>target</{setting}>");
        let (path, kind) = match (subscription, update) {
            (false, false) => ("/new?api-version=2021-05", "QueueDescription"),
            (false, true) => (QUEUE, "QueueDescription"),
            (true, false) => ("/topic/Subscriptions/new?api-version=2021-05", "SubscriptionDescription"),
            (true, true) => (SUBSCRIPTION, "SubscriptionDescription"),
        };
        assert!(administrator.put(&mut world, path, kind, &settings, update).status < 300);
        let read = elements(&administrator.get(&mut world, path), "AutoDeleteOnIdle").join(" ");
        world.advance(Duration::from_secs(minutes * 60 + 60));
        let left = elements(&administrator.get(&mut world, path), "AutoDeleteOnIdle").len() == 1;
        assert_eq!((read.as_str(), left), (UNLIMITED, true), "{setting} of {path} after {minutes} minutes");
    }
}

#[test]
fn a_delivery_count_that_is_none_is_refused_f10() {
    for count in ["0", "-1", "2147483648", "4294967296", "1.5", "many"] {
        for (path, kind) in [
            ("/new?api-version=2021-05", "QueueDescription"),
            ("/topic/Subscriptions/new?api-version=2021-05", "SubscriptionDescription"),
        ] {
            let (mut world, administrator) = namespace();
            let element = format!("<MaxDeliveryCount>{count}</MaxDeliveryCount>");
            assert_eq!(administrator.put(&mut world, path, kind, &element, false).status, 400, "{count} in {path}");
        }
    }
}

/// Limits of the tier, smaller ones in their place: what is beyond is refused, and what goes makes room.
#[test]
fn a_namespace_holds_what_its_limits_allow_f24() {
    let limits = NamespaceLimits { entities: 3, subscriptions: 2, sql_filters: 1, correlation_filters: 1 };
    let mut world = World::new();
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        namespace.set_tier(Tier::Standard, Some(limits));
        let utc = clock.utc;
        let queue = |namespace: &mut Namespace, name| namespace.create_queue(name, QueueDescription::default(), utc);
        let subscription = |namespace: &mut Namespace, name| {
            namespace.create_subscription("t", name, SubscriptionDescription::default(), None, utc)
        };
        let rule = |name: &str, filter: Filter| Rule { name: name.into(), filter, action: None };
        let sql = || Filter::Sql(SqlFilter::parse("a = 1", Vec::new(), &Dialect::default()).unwrap());
        let beyond = |result: Result<(), EntityError>| assert!(matches!(result, Err(EntityError::OutOfRange(_))));
        namespace.create_topic("t", TopicDescription::default(), utc).unwrap();
        queue(namespace, "a").unwrap();
        queue(namespace, "b").unwrap();
        beyond(queue(namespace, "c"));
        beyond(namespace.create_topic("u", TopicDescription::default(), utc));
        namespace.delete("a").unwrap();
        queue(namespace, "c").unwrap();
        subscription(namespace, "one").unwrap();
        subscription(namespace, "two").unwrap();
        beyond(subscription(namespace, "three"));
        namespace.create_rule("t", "one", rule("sql", sql()), utc).unwrap();
        // The limit is the topic's.
        beyond(namespace.create_rule("t", "two", rule("sql", sql()), utc));
        beyond(namespace.update_rule("t", "two", rule("$Default", sql()), utc));
        namespace.update_rule("t", "one", rule("sql", sql()), utc).unwrap();
        let correlation = || Filter::Correlation(CorrelationFilter::default());
        namespace.create_rule("t", "one", rule("correlation", correlation()), utc).unwrap();
        beyond(namespace.create_rule("t", "two", rule("correlation", correlation()), utc));
        namespace.create_rule("t", "two", rule("true", Filter::True), utc).unwrap();
        namespace.delete_subscription("t", "one").unwrap();
        subscription(namespace, "three").unwrap();
        namespace.create_rule("t", "two", rule("sql", sql()), utc).unwrap();
        namespace.set_tier(Tier::Standard, Some(NamespaceLimits::LIFTED));
        namespace.create_rule("t", "two", rule("more", sql()), utc).unwrap();
    });
    for (tier, entities) in [(Tier::Standard, 10_000), (Tier::Premium, 1_000)] {
        assert_eq!(tier.limits().entities, entities);
    }
}
