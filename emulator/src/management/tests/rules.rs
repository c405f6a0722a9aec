//! Rules of subscriptions.

use super::*;

#[test]
fn adm34_an_update_makes_a_rule_anew() {
    let mut site = Site::new();
    site.furnish();
    let resource = rule("t", "s", "$Default");
    let before: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    site.pass(3);
    let mut changed = before.clone();
    changed.filter = RuleFilter::False;
    let updated = site.run(site.requests.update_rule("t", "s", &changed));
    assert_eq!(updated.status, 200);
    let after: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert!(after.created_at > before.created_at);
    assert_eq!(after.filter, RuleFilter::False);
}

#[test]
fn adm65_to_adm68_rul33_rul43_rul44_rules() {
    let mut site = Site::new();
    site.furnish();
    let resource = rule("t", "s", "$Default");
    let body = text(&site.get(&resource));
    assert!(
        body.contains(
            "<Filter i:type=\"TrueFilter\"><SqlExpression>1=1</SqlExpression><CompatibilityLevel>20</CompatibilityLevel>\
             </Filter><Action i:type=\"EmptyRuleAction\"/><CreatedAt>2026-11-23T05:58:08.2500000Z</CreatedAt>\
             <Name>$Default</Name>"
        ),
        "{body}"
    );
    let sql = SqlRuleFilter::new("stringValue = @s AND i = @i AND l = @l AND d = @d AND t = @t AND x = @x AND b = @b ")
        .with_parameter("@s", "text")
        .with_parameter("@i", 1)
        .with_parameter("@l", 2i64)
        .with_parameter("@d", site.utc)
        .with_parameter("@t", Duration::from_secs(90))
        .with_parameter("@x", 0.5)
        .with_parameter("@b", true);
    let options =
        CreateRuleOptions::new().with_filter(sql).with_action(SqlRuleAction::new("SET a = @v").with_parameter("@v", 3));
    let created = site.create_rule("t", "s", "all", options.clone());
    assert_eq!(created.status, 201, "{}", text(&created));
    let resource = rule("t", "s", "all");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    let mut expected = RuleProperties::new("all", options);
    expected.created_at = Some(site.utc);
    assert_eq!(read, expected);
    let correlation = CorrelationRuleFilter::new()
        .with_correlation_id("1")
        .with_message_id("2")
        .with_to("3")
        .with_reply_to("4")
        .with_subject("5")
        .with_session_id("6")
        .with_reply_to_session_id("7")
        .with_content_type("8")
        .with_property("p", 9);
    let mut changed = RuleProperties::new("all", CreateRuleOptions::new().with_filter(correlation));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    changed.created_at = Some(site.utc);
    assert_eq!(read_one::<RuleProperties>(&site.get(&resource), &resource, Operation::Get).unwrap(), changed);
    let bad = site.create_rule("t", "s", "bad", CreateRuleOptions::new().with_filter(SqlRuleFilter::new("a = ")));
    assert_eq!(error(&bad), ServiceErrorKind::BadRequest);
    assert_eq!(site.get(&rule("t", "s", "bad")).status, 404);

    let first = RuleProperties::new("first", CreateRuleOptions::new().with_filter(RuleFilter::False));
    let options = CreateSubscriptionOptions::new().with_default_rule(first);
    let created = site.create_subscription("t", "u", options);
    assert!(!text(&created).contains("DefaultRule"));
    assert_eq!(site.get(&rule("t", "u", "first")).status, 200);
    assert_eq!(site.get(&rule("t", "u", "$Default")).status, 404);
    let unnamed = RuleProperties::new("", CreateRuleOptions::new().with_filter(RuleFilter::False));
    site.create_subscription("t", "v", CreateSubscriptionOptions::new().with_default_rule(unnamed));
    let resource = rule("t", "v", "$Default");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::False);
}

#[test]
fn rul34_rul35_rul36_expressions_come_back_as_they_were_sent() {
    let mut site = Site::new();
    site.furnish();
    let parameters = SqlRuleFilter::new(
        "PROPERTY(@propertyName) = @stringPropertyValue AND PROPERTY(intProperty) = @intPropertyValue AND \
         PROPERTY(longProperty) = @longPropertyValue AND PROPERTY(boolProperty) = @boolPropertyValue AND \
         PROPERTY(doubleProperty) = @doublePropertyValue ",
    )
    .with_parameter("@propertyName", "MyProperty")
    .with_parameter("@stringPropertyValue", "string")
    .with_parameter("@intPropertyValue", 3)
    .with_parameter("@longPropertyValue", 3i64)
    .with_parameter("@boolPropertyValue", true)
    .with_parameter("@doublePropertyValue", 3.0);
    let compared = SqlRuleFilter::new("MessageID=@stringVar OR MessageID=@intVar OR MessageID=@dateTimeVar")
        .with_parameter("@stringVar", "hello world")
        .with_parameter("@intVar", 100)
        .with_parameter("@dateTimeVar", site.utc);
    let filters = [
        parameters,
        SqlRuleFilter::new("sys.To=[parameters('bar')] OR sys.MessageId IS NULL"),
        compared,
        SqlRuleFilter::new("MessageID=rule1"),
        SqlRuleFilter::new("MessageID='hello'"),
    ];
    for (filter, name) in filters.into_iter().zip(["a", "b", "c", "d", "e"]) {
        let options = CreateRuleOptions::new().with_filter(filter);
        let created = site.create_rule("t", "s", name, options.clone());
        assert_eq!(created.status, 201, "{}", text(&created));
        let resource = rule("t", "s", name);
        let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
        assert_eq!(read.filter, RuleProperties::new(name, options).filter);
    }
}

#[test]
fn rul41_rul42_rul45_what_a_rule_leaves_out_and_a_default_that_is_changed() {
    let mut site = Site::new();
    site.furnish();
    let body = "<entry xmlns='http://www.w3.org/2005/Atom'><content type='application/xml'><RuleDescription \
         xmlns='http://schemas.microsoft.com/netservices/2010/10/servicebus/connect'><Name>bare</Name></RuleDescription>\
         </content></entry>";
    let created = site.raw(Method::Put, "/t/Subscriptions/s/Rules/bare?api-version=2021-05", body, false);
    assert_eq!(created.status, 201, "{}", text(&created));
    let read = text(&site.get(&rule("t", "s", "bare")));
    assert!(read.contains("<Filter i:type=\"TrueFilter\">"), "{read}");
    assert!(read.contains("<Action i:type=\"EmptyRuleAction\"/>"), "{read}");
    let changed = RuleProperties::new("$Default", CreateRuleOptions::new().with_filter(RuleFilter::False));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    let resource = rule("t", "s", "$Default");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::False);
}
