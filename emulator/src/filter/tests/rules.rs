//! Rules, and the pinned rows that an evaluator decides.
// docs/evidence/pinned-behaviour.md §10

use super::super::{
    CorrelationFilter, Dialect, EvaluationError, Filter, MessageProperties, Rule, Selection, SqlAction, SqlFilter,
    SystemProperty, Value, select,
};
use super::{Message, action, applied, evaluate, filter, random};
use servicebus_core::time::{Duration, Timestamp};

/// The twelve messages of the "orders data set".
// docs/evidence/pinned-behaviour.md §10
fn orders() -> Vec<Message> {
    [
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
    ]
    .map(|(color, quantity, priority)| {
        Message::new()
            .with_system(SystemProperty::CorrelationId, priority)
            .with_system(SystemProperty::Label, color)
            .with("color", color)
            .with("quantity", quantity)
            .with("priority", priority)
    })
    .into()
}

fn sql(text: &str) -> Filter {
    Filter::Sql(filter(text))
}

fn rule(name: &str, filter: Filter, action: Option<&str>) -> Rule {
    Rule { name: name.to_owned(), filter, action: action.map(super::action) }
}

/// How many of the orders the filter takes.
fn taken(filter: &Filter) -> usize {
    orders().iter().filter(|order| filter.matches(*order, &mut random()) == Ok(true)).count()
}

fn property(name: &str, value: impl Into<Value<'static>>) -> CorrelationFilter {
    CorrelationFilter { properties: vec![(name.to_owned(), value.into())], ..CorrelationFilter::default() }
}

fn label(label: &str) -> CorrelationFilter {
    CorrelationFilter { label: Some(label.to_owned()), ..CorrelationFilter::default() }
}

#[test]
fn what_matched_of_the_orders() {
    for (row, filter, expected) in [
        ("RUL13", Rule::default_rule().filter, 12),
        ("RUL14", Filter::True, 12),
        ("RUL14", sql("1=1"), 12),
        ("RUL15", Filter::False, 0),
        ("RUL15", sql("1=0"), 0),
        ("RUL16", Filter::Correlation(label("red")), 4),
        ("RUL17", Filter::Correlation(property("color", "red")), 4),
        ("RUL18", Filter::Correlation(property("Color", "blue")), 4),
        ("RUL19", sql("sys.Label = 'yellow'"), 4),
        ("RUL19", sql("sys.label ='yellow'"), 4),
        ("RUL19", sql("sys.label = 'red'"), 4),
        ("RUL20", sql("Color = 'yellow'"), 4),
        ("RUL20", sql("color = 'red'"), 4),
        ("RUL21", sql("Color = 'blue' and Quantity = 10"), 2),
        ("RUL22", sql("Color = 'blue' or Quantity = 10"), 8),
        ("RUL22", sql("Color = 'blue' OR Quantity = 10"), 8),
        ("RUL23", sql("Color = 'blue'"), 4),
        ("RUL24", sql("color='blue'"), 4),
        ("RUL32", sql("1=2"), 0),
    ] {
        assert_eq!(taken(&filter), expected, "{row}");
    }
}

/// RUL18, RUL23, RUL24: the property that is there is changed under its own name, the others are not.
#[test]
fn actions_on_the_orders() {
    for (row, filter, action, priority) in [
        ("RUL18", Filter::Correlation(property("Color", "blue")), "Set Priority = 'high'", "high"),
        ("RUL23", sql("Color = 'blue'"), "SET Priority = 'high'", "high"),
        ("RUL24", sql("color='blue'"), "SET priority = 'High'", "High"),
    ] {
        let rule = rule("annotated", filter, Some(action));
        let mut copies = 0;
        for order in orders() {
            for copy in select([&rule], &order, &mut random()).copies() {
                copies += 1;
                let mut changed = order.clone();
                copy.expect(row).annotate(&mut changed, &mut random()).expect(row);
                let properties: Vec<_> = changed.user.iter().collect();
                let [color, quantity, _] =
                    ["color", "quantity", "priority"].map(|name| order.user.get(name).expect(row));
                assert_eq!(
                    properties,
                    [
                        ("color", color),
                        ("quantity", quantity),
                        ("priority", &Value::from(priority)),
                        ("RuleName", &Value::from("annotated")),
                    ],
                    "{row}"
                );
                assert_eq!(changed.system, order.system, "{row}");
            }
        }
        assert_eq!(copies, 4, "{row}");
    }
}

/// RUL25, RUL26, RUL27, RUL28, RUL31.
#[test]
fn single_messages() {
    let red = Message::new().with_system(SystemProperty::Label, "Red").with("color", "RedSql");
    let blue = Message::new().with_system(SystemProperty::Label, "blue").with("color", "BlueSql");
    assert!(label("Red").matches(&red) && !label("Red").matches(&blue), "RUL25");
    assert_eq!(evaluate("Color = 'RedSql'", &red), Ok(true), "RUL26");
    assert_eq!(evaluate("Color = 'RedSql'", &blue), Ok(false), "RUL26");
    let processed = applied("SET Color = 'RedSqlActionProcessed'", &red).expect("RUL27");
    assert_eq!(processed.user.iter().collect::<Vec<_>>(), [("color", &"RedSqlActionProcessed".into())], "RUL27");
    assert!(!label("Red").matches(&Message::new()), "RUL28");
    let cars = [25_000i32, 28_000, 35_000].map(|price| Message::new().with("Price", price));
    assert_eq!(cars.iter().filter(|car| evaluate("Price < 30000", car) == Ok(true)).count(), 2, "RUL31");
}

/// RUL32, RUL34 to RUL39: what the service stores is accepted here, and returned as it was given (RUL6).
#[test]
fn accepted_texts() {
    let parameters: Vec<(String, Value<'static>)> = vec![
        ("@stringParam".to_owned(), "string".into()),
        ("@intParam".to_owned(), 1i32.into()),
        ("@longParam".to_owned(), 2i64.into()),
        ("@dateParam".to_owned(), Timestamp::from_secs(3).into()),
        ("@timeSpanParam".to_owned(), Duration::from_secs(4).into()),
        ("@boolParam".to_owned(), true.into()),
        ("@doubleParam".to_owned(), 5.5f64.into()),
        ("@propertyName".to_owned(), "stringValue".into()),
    ];
    for text in [
        "price > 10",
        "(priority = 1 OR priority = 2) AND (sys.label LIKE '%String2')",
        "SomeProperty LIKE 'O%'",
        "1=2",
        "stringValue = @stringParam AND intValue = @intParam AND longValue = @longParam AND dateValue = @dateParam \
         AND timeSpanValue = @timeSpanParam",
        "PROPERTY(@propertyName) = @stringParam AND PROPERTY(intProperty) = @intParam \
         AND PROPERTY(longProperty) = @longParam AND PROPERTY(boolProperty) = @boolParam \
         AND PROPERTY(doubleProperty) = @doubleParam ",
        "sys.To=[parameters('bar')] OR sys.MessageId IS NULL",
        "MessageID=@stringParam OR MessageID=@intParam OR MessageID=@doubleParam OR MessageID=@dateParam \
         OR MessageID=@boolParam",
        "MessageID=rule1",
        "MessageID='hello'",
        "sys.To = 'telemetry-event'",
    ] {
        let filter = SqlFilter::parse(text, parameters.clone(), &Dialect::default()).expect(text);
        assert_eq!((filter.text(), filter.parameters()), (text, parameters.as_slice()));
    }
    for text in [
        "SET sys.label = 'MessageX'",
        "SET sys.label='GREEN'",
        "SET a='b'",
        "set FilterTag = 'true'",
        "SET Label = 'test'",
        "SET MessageId = 'matching-id'",
        "SET MessageID=@stringParam",
        "Set CorrelationId = 'newValue'",
        "SET MessageID=@stringParam SET MessageID=@intParam SET MessageID=@doubleParam SET MessageID=@dateParam",
    ] {
        let action = SqlAction::parse(text, parameters.clone(), &Dialect::default()).expect(text);
        assert_eq!(action.text(), text);
    }
}

/// RUL33, with values: parameters of every type compare with properties of the same.
#[test]
fn typed_parameters_match() {
    let text = "stringValue = @s AND intValue = @i AND longValue = @l AND dateValue = @d AND timeSpanValue = @t";
    let values: [(&str, Value<'static>); 5] = [
        ("s", "string".into()),
        ("i", 1i32.into()),
        ("l", 2i64.into()),
        ("d", Timestamp::from_secs(3).into()),
        ("t", Duration::from_secs(4).into()),
    ];
    let parameters = values.iter().map(|(name, value)| (format!("@{name}"), value.clone())).collect();
    let filter = SqlFilter::parse(text, parameters, &Dialect::default()).expect(text);
    let names = ["stringValue", "intValue", "longValue", "dateValue", "timeSpanValue"];
    let message =
        names.into_iter().zip(values).fold(Message::new(), |message, (name, (_, value))| message.with(name, value));
    assert_eq!(filter.matches(&message, &mut random()), Ok(true));
    assert_eq!(filter.matches(&Message::new(), &mut random()), Ok(false));
}

/// RUL38: without `sys.` an action changes application properties, whatever their names.
#[test]
fn scope_of_unqualified_names() {
    let changed = applied("SET Label = 'test' SET sys.label = 'GREEN'", &Message::new()).expect("valid");
    assert_eq!(changed.user("label"), Some("test".into()));
    assert_eq!(changed.system(SystemProperty::Label), Some("GREEN".into()));
}

#[test]
fn correlation_filters() {
    let message = Message::new()
        .with_system(SystemProperty::CorrelationId, "c")
        .with_system(SystemProperty::MessageId, "m")
        .with_system(SystemProperty::To, "t")
        .with_system(SystemProperty::ReplyTo, "r")
        .with_system(SystemProperty::Label, "l")
        .with_system(SystemProperty::SessionId, "s")
        .with_system(SystemProperty::ReplyToSessionId, "rs")
        .with_system(SystemProperty::ContentType, "ct")
        .with("text", "x")
        .with("int", 5i32)
        .with("none", Value::Null);
    let all = CorrelationFilter {
        correlation_id: Some("c".into()),
        message_id: Some("m".into()),
        to: Some("t".into()),
        reply_to: Some("r".into()),
        label: Some("l".into()),
        session_id: Some("s".into()),
        reply_to_session_id: Some("rs".into()),
        content_type: Some("ct".into()),
        properties: vec![
            ("TEXT".into(), "x".into()),
            ("Int".into(), 5i64.into()),
            ("NONE".into(), Value::Null), // RUL7
        ],
    };
    assert!(all.matches(&message));
    assert!(CorrelationFilter::default().matches(&message));
    // Each value counts, and its case does but for session ids (F67).
    let mut field = 0;
    while let Some((_, Some(value))) = all.fields().get(field) {
        let mut other = all.clone();
        let slot = [
            &mut other.correlation_id,
            &mut other.message_id,
            &mut other.to,
            &mut other.reply_to,
            &mut other.label,
            &mut other.session_id,
            &mut other.reply_to_session_id,
            &mut other.content_type,
        ];
        for (index, slot) in slot.into_iter().enumerate() {
            if index == field {
                *slot = Some(value.to_uppercase());
            }
        }
        assert_eq!(other.matches(&message), field == 5, "{field}");
        field += 1;
    }
    assert_eq!(field, 8);
    for (name, value, matches) in [
        ("text", Value::from("X"), false),
        ("text", "x".into(), true),
        ("int", 5u8.into(), true),
        ("int", 5.0f64.into(), true),
        ("int", "5".into(), false),
        ("int", Value::Null, false),
        ("none", "x".into(), false),
        ("missing", Value::Null, false),
        ("missing", "x".into(), false),
    ] {
        assert_eq!(property(name, value.clone()).matches(&message), matches, "{name} {value:?}");
    }
}

/// Five rules, two of them with actions, make three copies.
// docs/evidence/service-evidence.md §11
#[test]
fn copies() {
    let rules = [
        rule("a", Filter::True, None),
        rule("b", sql("1=1"), Some("SET n = 1")),
        rule("c", sql("1=1"), None),
        rule("d", Filter::True, Some("SET n = 2; SET RuleName = 'x'")),
        Rule::default_rule(),
        rule("e", Filter::False, Some("SET n = 3")),
        rule("f", sql("missing = 1"), None),
        rule("g", sql("1 / 0 = 1"), None),
    ];
    let message = Message::new();
    let selection = select(&rules, &message, &mut random());
    assert_eq!(selection.len(), 3);
    let names: Vec<_> = selection.copies().map(|copy| copy.map(|rule| rule.name.as_str())).collect();
    assert_eq!(names, [None, Some("b"), Some("d")]);
    assert_eq!(selection.errors, [(&rules[7], EvaluationError::DivisionByZero)]);
    // Each starts from the message as it came, and carries its rule's name whatever the action does.
    for (rule, n) in selection.annotated.iter().zip([1i64, 2]) {
        let mut copy = message.clone();
        rule.annotate(&mut copy, &mut random()).expect("valid");
        assert_eq!(copy.user("n"), Some(n.into()));
        assert_eq!(copy.user("RuleName"), Some(rule.name.clone().into()));
    }
    // Without action nothing is added.
    let mut copy = message.clone();
    rules[0].annotate(&mut copy, &mut random()).expect("nothing to do");
    assert_eq!(copy, message);
    // No rules, no copies (RUL3).
    let none = select([], &message, &mut random());
    assert!(none.is_empty() && none == Selection::default());
}

#[test]
fn failing_actions_are_reported() {
    let rule = rule("a", Filter::True, Some("SET a = 1 SET b = a / 0"));
    assert_eq!(rule.annotate(&mut Message::new(), &mut random()), Err(EvaluationError::DivisionByZero));
    assert_eq!(action("SET a = 1").to_string(), "SET a = 1");
}
