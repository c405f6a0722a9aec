//! Times in rules: they come back as they were sent.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::servicebus::administration::{
    ApiVersion, CorrelationRuleFilter, CreateRuleOptions, RuleProperties, RuleValue, SqlRuleAction, SqlRuleFilter,
};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::SubscriptionDescription;
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::World;

const VERSIONS: [ApiVersion; 3] = [ApiVersion::V2017_04, ApiVersion::V2021_05, ApiVersion::V2024_05];

/// A time as it is written, of a type that the request builder does not read.
fn date_time(text: &str) -> RuleValue {
    RuleValue::Other { kind: "dateTime".into(), text: text.into() }
}

/// The only time in a response.
fn time(response: &str) -> Option<&str> {
    response.split_once(":dateTime\"")?.1.split_once('>')?.1.split_once('<').map(|(time, _)| time)
}

/// A rule with this time in each of the places that hold one.
fn places(written: &str) -> [(&'static str, CreateRuleOptions); 3] {
    [
        (
            "correlation property",
            CreateRuleOptions::new().with_filter(CorrelationRuleFilter::new().with_property("t", date_time(written))),
        ),
        (
            "SQL parameter",
            CreateRuleOptions::new().with_filter(SqlRuleFilter::new("t = @t").with_parameter("@t", date_time(written))),
        ),
        (
            "parameter of an action",
            CreateRuleOptions::new()
                .with_action(SqlRuleAction::new("SET t = @t").with_parameter("@t", date_time(written))),
        ),
    ]
}

/// The times in the answers when a rule is created and when it is read.
fn times(version: ApiVersion, options: CreateRuleOptions) -> [(&'static str, String); 2] {
    let mut world = World::new();
    world.topic("t", &[("s", SubscriptionDescription::default())]);
    let admin = Administrator::of(version);
    let made = admin.run(&mut world, admin.requests.create_rule("t", "s", &RuleProperties::new("rule", options)));
    assert_eq!(made.status, 201, "{}", text(&made));
    let got = admin.get(&mut world, &format!("/t/Subscriptions/s/Rules/rule?api-version={version}"));
    [("created", made), ("read", got)]
        .map(|(way, response)| (way, time(&text(&response)).unwrap_or_default().to_owned()))
}

#[test]
fn a_time_in_a_rule_keeps_seven_digits_f72() {
    for version in VERSIONS {
        // The one that a recording of .NET has, and others.
        for written in [
            "2026-11-29T01:02:03.1234567Z",
            "2020-07-05T11:12:13.0000001Z",
            "1999-12-31T23:59:59.9999999Z",
            "2020-07-05T11:12:13.5000000Z",
            "2020-07-05T11:12:13.5Z",
        ] {
            for (place, options) in places(written) {
                for (way, read) in times(version, options) {
                    assert_eq!(read, written, "{place}, {way}, {version}");
                }
            }
        }
    }
}

#[test]
fn a_time_in_a_rule_comes_back_as_it_was_sent_f23() {
    for written in [
        "2020-07-05T11:12:13",
        "2020-07-05T11:12:13.5",
        "2020-07-05T11:12:13.1234567",
        "1999-12-31T23:59:59",
        "2020-02-29T00:00:00",
        "2020-07-05T11:12:13Z",
        "2020-07-05T11:12:13+02:00",
    ] {
        for (place, options) in places(written) {
            for (way, read) in times(ApiVersion::V2021_05, options) {
                assert_eq!(read, written, "{place}, {way}");
            }
        }
    }
}

#[test]
fn a_time_that_is_none_is_refused_f72() {
    for written in ["2020-07-05", "2020-02-30T00:00:00Z", "yesterday", "2020-07-05T11:12:13.Z", ""] {
        for (place, options) in places(written) {
            let mut world = World::new();
            world.topic("t", &[("s", SubscriptionDescription::default())]);
            let admin = Administrator::default();
            let made = admin.run(&mut world, admin.requests.create_rule("t", "s", &RuleProperties::new("r", options)));
            assert_eq!(made.status, 400, "{written} as {place}: {}", text(&made));
        }
    }
}

/// Messages have timestamps to the millisecond: a rule with more digits is compared with these, and sets those.
#[test]
fn a_time_with_seven_digits_is_compared_to_the_tick_f72() {
    for (written, filter, matches) in [
        ("2020-07-05T11:12:13.5", "t = @t", true),
        ("2020-07-05T13:12:13.5+02:00", "t = @t", true),
        ("2020-07-05T11:12:13.5000001Z", "t = @t", false),
        ("2020-07-05T11:12:13.5000001Z", "t < @t", true),
        ("2020-07-05T11:12:13.4999999", "t > @t", true),
        ("2020-07-05T11:12:13.5000001Z", "@t - t < @t - @t", false),
    ] {
        let mut world = World::new();
        world.topic("t", &[("s", SubscriptionDescription::default())]);
        let admin = Administrator::default();
        let options =
            CreateRuleOptions::new().with_filter(SqlRuleFilter::new(filter).with_parameter("@t", date_time(written)));
        let options = options.with_action(SqlRuleAction::new("SET u = @t").with_parameter("@t", date_time(written)));
        let rule = RuleProperties::new("$Default", options);
        assert_eq!(admin.run(&mut world, admin.requests.update_rule("t", "s", &rule)).status, 200);
        let c = world.connect();
        let (sender, receiver) = (world.sender(c, "t").unwrap(), world.receiver(c, "t/Subscriptions/s").unwrap());
        let at = Timestamp::from_millis(1_593_947_533_500);
        let message = MessageRef::new("x");
        world.send(c, sender, &message.with_properties(&[("t", Value::Timestamp(at))]));
        let copies = world.receive_now(c, receiver, 1);
        assert_eq!(copies.len(), usize::from(matches), "{filter}, {written}");
        if let Some(copy) = copies.first() {
            assert!(matches!(copy.property("u"), Some(Value::Timestamp(_))), "{written}");
        }
    }
}
