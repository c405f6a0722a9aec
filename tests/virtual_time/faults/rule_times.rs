//! Times in rules: they come back as they were sent.

use servicebus_core::servicebus::administration::{
    ApiVersion, CorrelationRuleFilter, CreateRuleOptions, RuleProperties, RuleValue, SqlRuleAction, SqlRuleFilter,
};
use servicebus_emulator::broker::entities::SubscriptionDescription;
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::World;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

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
            CreateRuleOptions::new().filter(CorrelationRuleFilter::new().property("t", date_time(written))),
        ),
        (
            "SQL parameter",
            CreateRuleOptions::new().filter(SqlRuleFilter::new("t = @t").parameter("@t", date_time(written))),
        ),
        (
            "parameter of an action",
            CreateRuleOptions::new().action(SqlRuleAction::new("SET t = @t").parameter("@t", date_time(written))),
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

#[known_fault("F72")]
fn a_time_in_a_rule_keeps_seven_digits_f72() {
    let mut judge = Judge::new();
    for version in VERSIONS {
        // The one that a recording of .NET has, one that ends in zeros, and others.
        for (written, cut) in [
            ("2026-11-29T01:02:03.1234567Z", "2026-11-29T01:02:03.123Z"),
            ("2020-07-05T11:12:13.0000001Z", "2020-07-05T11:12:13Z"),
            ("1999-12-31T23:59:59.9999999Z", "1999-12-31T23:59:59.999Z"),
            ("2020-07-05T11:12:13.5Z", "-"),
        ] {
            for (place, options) in places(written) {
                for (way, read) in times(version, options) {
                    let name = format!("{written} as {place}, {way}, {version}");
                    judge.equal(name, read, written.to_owned(), cut.to_owned());
                }
            }
        }
    }
    judge.finish();
}

#[known_fault("F23")]
fn a_time_in_a_rule_comes_back_as_it_was_sent_f23() {
    let mut judge = Judge::new();
    for written in [
        "2020-07-05T11:12:13",
        "2020-07-05T11:12:13.5",
        "2020-07-05T11:12:13.1234567",
        "1999-12-31T23:59:59",
        "2020-02-29T00:00:00",
        "2020-07-05T11:12:13Z",
    ] {
        for (place, options) in places(written) {
            for (way, read) in times(ApiVersion::V2021_05, options) {
                judge.case(
                    format!("{written} as {place}, {way}"),
                    read,
                    |read| read == written,
                    |read| read.ends_with('Z') && !written.ends_with('Z'),
                );
            }
        }
    }
    judge.finish();
}
