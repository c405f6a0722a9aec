//! Random expressions, texts and messages.

use super::super::expression::{Comparison, Constant, Expression, Operator, Predicate, Property, Statement};
use super::super::parser;
use super::super::{Dialect, SqlAction, SqlFilter, SystemProperty, Value};
use super::{Message, random};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Uuid;

fn dialect() -> Dialect {
    Dialect { characters: usize::MAX, ..Dialect::default() }
}

fn parameters() -> Vec<(String, Value<'static>)> {
    vec![
        ("@one".to_owned(), Value::Int(1)),
        ("@text".to_owned(), "t".into()),
        ("@when".to_owned(), Timestamp::from_secs(9).into()),
        ("@span".to_owned(), Value::Duration(77)),
    ]
}

fn system_property() -> impl Strategy<Value = SystemProperty> {
    prop_oneof![
        Just(SystemProperty::Label),
        Just(SystemProperty::To),
        Just(SystemProperty::TimeToLive),
        Just(SystemProperty::ScheduledEnqueueTime),
    ]
}

fn property() -> impl Strategy<Value = Property> {
    prop_oneof![
        6 => "[abc]".prop_map(|name| Property::User(name.into())),
        1 => "[a-zA-Zäß][a-z_0-9ü]{0,3}".prop_map(|name| Property::User(name.into())),
        1 => "[\\PC]{1,4}".prop_map(|name| Property::User(name.into())),
        1 => prop_oneof![Just("not"), Just("sys"), Just("SET"), Just("p"), Just("Null"), Just("a]]b"), Just("\"")]
            .prop_map(|name| Property::User(name.into())),
        1 => system_property().prop_map(Property::System),
    ]
}

fn constant() -> impl Strategy<Value = Constant> {
    prop_oneof![
        Just(Constant::Null),
        any::<bool>().prop_map(Constant::Boolean),
        (-3i64..3).prop_map(Constant::Integer),
        any::<i64>().prop_map(Constant::Integer),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Constant::Double),
        "[ab%_']{0,3}|\\PC{0,3}".prop_map(|text| Constant::String(text.into())),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        constant().prop_map(Expression::Constant),
        property().prop_map(Expression::Property),
        Just(Expression::NewId),
        (0usize..4).prop_map(|index| {
            let (name, value) = parameters().swap_remove(index);
            Expression::Parameter(name[1..].into(), value)
        }),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        let operator = prop_oneof![
            Just(Operator::Add),
            Just(Operator::Subtract),
            Just(Operator::Multiply),
            Just(Operator::Divide),
            Just(Operator::Remainder),
        ];
        prop_oneof![
            inner.clone().prop_map(|name| Expression::Lookup(Box::new(name))),
            (any::<bool>(), inner.clone())
                .prop_map(|(negative, operand)| Expression::Sign { negative, operand: Box::new(operand) }),
            (operator, inner.clone(), inner)
                .prop_map(|(operator, a, b)| Expression::Arithmetic { operator, operands: Box::new((a, b)) }),
        ]
    })
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
    ];
    let escape = prop_oneof![
        "[a%_'\\\\]".prop_map(|text| Expression::Constant(Constant::String(text.into()))),
        property().prop_map(Expression::Property),
    ];
    let leaf =
        prop_oneof![
            (comparison, expression(), expression()).prop_map(|(comparison, left, right)| Predicate::Compare {
                comparison,
                left,
                right
            }),
            (property(), any::<bool>()).prop_map(|(property, negated)| Predicate::IsNull { property, negated }),
            (expression(), vec(expression(), 1..4), any::<bool>())
                .prop_map(|(operand, items, negated)| Predicate::In { operand, items, negated }),
            (expression(), expression(), option::of(escape), any::<bool>())
                .prop_map(|(operand, pattern, escape, negated)| Predicate::like(operand, pattern, escape, negated)
                    .expect("short")),
            property().prop_map(Predicate::Exists),
        ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operand| Predicate::Not(Box::new(operand))),
            vec(inner.clone(), 2..4).prop_map(Predicate::And),
            vec(inner, 2..4).prop_map(Predicate::Or),
        ]
    })
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        (property(), expression()).prop_map(|(property, value)| Statement::Set(property, value)),
        property().prop_map(Statement::Remove),
    ]
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i8..2).prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(|millis| Timestamp::from_millis(millis).into()),
        any::<i64>().prop_map(Value::Duration),
        any::<[u8; 16]>().prop_map(|bytes| Uuid(bytes).into()),
        "[ab%_]{0,4}".prop_map(Value::from),
        Just(Value::Opaque),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (vec(("[abcABC]", value()), 0..5), vec((system_property(), value()), 0..4))
        .prop_map(|(user, system)| Message { system: system.into_iter().collect(), user: user.into_iter().collect() })
}

/// Pieces of the language in no order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ ()'\"\\[\\]=<>!+*/%.,;@-]",
        "(NOT|AND|OR|IS|NULL|IN|LIKE|ESCAPE|EXISTS|TRUE|FALSE|SET|REMOVE|sys\\.|user\\.|newid|property|p) ?",
        "[a-c0-9]{1,2}",
        "(a|sys\\.Label|1|'x'|@one) (=|<>|<|\\+|LIKE|IN \\(|AND|OR) ",
        "\\PC",
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_conditions_parse_to_themselves(predicate in predicate()) {
        let text = predicate.to_string();
        prop_assert_eq!(parser::predicate(&text, &parameters(), &dialect()), Ok(predicate), "{}", text);
    }

    #[test]
    fn printed_statements_parse_to_themselves(statements in vec(statement(), 1..5), separator in "(; ?|  ?)") {
        let text = statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(&separator);
        prop_assert_eq!(parser::statements(&text, &parameters(), &dialect()), Ok(statements), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![soup(), "\\PC{0,60}", ".{0,60}"], message in message()) {
        for parsed in [
            SqlFilter::parse(text.as_str(), parameters(), &Dialect::default()).map(|filter| {
                let _ = filter.matches(&message, &mut random());
                filter.to_string()
            }),
            SqlAction::parse(text.as_str(), parameters(), &Dialect::default()).map(|action| {
                let _ = action.apply(&mut message.clone(), &mut random());
                action.to_string()
            }),
        ] {
            if let Err(error) = parsed {
                prop_assert!(text.is_char_boundary(error.position), "{} at {}", error, error.position);
            }
        }
    }

    #[test]
    fn evaluation_ends(predicate in predicate(), statements in vec(statement(), 1..5), message in message()) {
        let parsed = SqlFilter::parse(predicate.to_string(), parameters(), &dialect()).expect("printed");
        // The same seed, the same answer.
        prop_assert_eq!(parsed.matches(&message, &mut random()), parsed.matches(&message, &mut random()));
        let text = statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        if let Ok(action) = SqlAction::parse(text, parameters(), &dialect()) {
            let _ = action.apply(&mut message.clone(), &mut random());
        }
    }
}
