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
        .parameter("@s", "text")
        .parameter("@i", 1)
        .parameter("@l", 2i64)
        .parameter("@d", site.utc)
        .parameter("@t", Duration::from_secs(90))
        .parameter("@x", 0.5)
        .parameter("@b", true);
    let options = CreateRuleOptions::new().filter(sql).action(SqlRuleAction::new("SET a = @v").parameter("@v", 3));
    let created = site.create_rule("t", "s", "all", options.clone());
    assert_eq!(created.status, 201, "{}", text(&created));
    let resource = rule("t", "s", "all");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    let mut expected = RuleProperties::new("all", options);
    expected.created_at = Some(site.utc);
    assert_eq!(read, expected);
    let correlation = CorrelationRuleFilter::new()
        .correlation_id("1")
        .message_id("2")
        .to("3")
        .reply_to("4")
        .subject("5")
        .session_id("6")
        .reply_to_session_id("7")
        .content_type("8")
        .property("p", 9);
    let mut changed = RuleProperties::new("all", CreateRuleOptions::new().filter(correlation));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    changed.created_at = Some(site.utc);
    assert_eq!(read_one::<RuleProperties>(&site.get(&resource), &resource, Operation::Get).unwrap(), changed);
    let bad = site.create_rule("t", "s", "bad", CreateRuleOptions::new().filter(SqlRuleFilter::new("a = ")));
    assert_eq!(error(&bad), ServiceErrorKind::BadRequest);
    assert_eq!(site.get(&rule("t", "s", "bad")).status, 404);

    let first = RuleProperties::new("first", CreateRuleOptions::new().filter(RuleFilter::False));
    let options = CreateSubscriptionOptions::new().default_rule(first);
    let created = site.create_subscription("t", "u", options);
    assert!(!text(&created).contains("DefaultRule"));
    assert_eq!(site.get(&rule("t", "u", "first")).status, 200);
    assert_eq!(site.get(&rule("t", "u", "$Default")).status, 404);
    let unnamed = RuleProperties::new("", CreateRuleOptions::new().filter(RuleFilter::False));
    site.create_subscription("t", "v", CreateSubscriptionOptions::new().default_rule(unnamed));
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
    .parameter("@propertyName", "MyProperty")
    .parameter("@stringPropertyValue", "string")
    .parameter("@intPropertyValue", 3)
    .parameter("@longPropertyValue", 3i64)
    .parameter("@boolPropertyValue", true)
    .parameter("@doublePropertyValue", 3.0);
    let compared = SqlRuleFilter::new("MessageID=@stringVar OR MessageID=@intVar OR MessageID=@dateTimeVar")
        .parameter("@stringVar", "hello world")
        .parameter("@intVar", 100)
        .parameter("@dateTimeVar", site.utc);
    let filters = [
        parameters,
        SqlRuleFilter::new("sys.To=[parameters('bar')] OR sys.MessageId IS NULL"),
        compared,
        SqlRuleFilter::new("MessageID=rule1"),
        SqlRuleFilter::new("MessageID='hello'"),
    ];
    for (filter, name) in filters.into_iter().zip(["a", "b", "c", "d", "e"]) {
        let options = CreateRuleOptions::new().filter(filter);
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
    let changed = RuleProperties::new("$Default", CreateRuleOptions::new().filter(RuleFilter::False));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    let resource = rule("t", "s", "$Default");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::False);
}
