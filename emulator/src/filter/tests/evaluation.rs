//! What conditions and values come to.

use super::super::{
    AbsentSystemProperty, Dialect, EvaluationError, MessageProperties, SqlAction, SqlFilter, SystemProperty, Value,
};
use super::{Message, applied, evaluate, random};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::Uuid;
use std::borrow::Cow;

fn message() -> Message {
    Message::new()
        .with("int", 5i32)
        .with("uint", 5u32)
        .with("ulong", u64::MAX)
        .with("big", i64::MAX)
        .with("small", -5i8)
        .with("float", 0.5f32)
        .with("double", 5.0f64)
        .with("tenth", 0.1f32)
        .with("nan", f64::NAN)
        .with("yes", true)
        .with("text", "Straße")
        .with("digits", "5")
        .with("zero", 0u8)
        .with("none", Value::Null)
        .with("char", 'x')
        .with("id", Uuid([9; 16]))
        .with("bytes", Value::Binary(Cow::Borrowed(b"ab")))
        .with("when", Timestamp::from_secs(1_000))
        .with("later", Timestamp::from_secs(1_090))
        .with("opaque", Value::Opaque)
        .with("name", "int")
        .with_system(SystemProperty::Label, "red")
        .with_system(SystemProperty::DeliveryCount, 0i32)
        .with_system(SystemProperty::TimeToLive, Duration::from_secs(60))
}

/// Whether a condition is true, false or unknown, told apart by its negation.
fn truth(text: &str, message: &Message) -> Option<bool> {
    let holds = evaluate(text, message).unwrap_or_else(|error| panic!("{text}: {error}"));
    let fails = evaluate(&format!("NOT ({text})"), message).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(!(holds && fails), "{text}");
    if holds { Some(true) } else { fails.then_some(false) }
}

#[test]
fn three_valued_logic() {
    // True, false, unknown (docs/evidence/invariants.md §4).
    let texts = [("1=1", Some(true)), ("1=0", Some(false)), ("missing=1", None)];
    for (a, left) in texts {
        assert_eq!(truth(a, &message()), left);
        for (b, right) in texts {
            let and = match (left, right) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (left, right) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            assert_eq!(truth(&format!("{a} AND {b}"), &message()), and, "{a} AND {b}");
            assert_eq!(truth(&format!("{a} OR {b}"), &message()), or, "{a} OR {b}");
        }
    }
}

#[test]
fn conditions() {
    let (yes, no, unknown) = (Some(true), Some(false), None);
    for (text, expected) in [
        // Numbers of every type.
        ("int = 5 AND uint = 5 AND double = 5 AND small = -5 AND zero = 0", yes),
        ("int = uint AND uint = double AND int = 5.0", yes),
        ("int <> 5", no),
        ("int > 4 AND int >= 5 AND int < 6 AND int <= 5 AND int != 4", yes),
        ("int < 4.9", no),
        ("ulong > big AND ulong = ulong AND ulong <> -1", yes),
        ("ulong = 18446744073709551615.0", yes),
        ("float = 0.5", yes),
        // A float becomes a double as it is.
        ("tenth = 0.1", no),
        ("nan = nan", unknown),
        // Kinds that cannot be compared (azure-docs#56144).
        ("digits = 5", unknown),
        ("digits <> 5", unknown),
        ("digits > 4", unknown),
        ("int = '5'", unknown),
        ("yes = 1", unknown),
        ("yes = 'True'", unknown),
        ("id = 'x'", unknown),
        ("when = 1000000", unknown),
        ("opaque = opaque", unknown),
        ("char = 'x'", unknown),
        // Other kinds.
        ("yes = TRUE AND yes <> FALSE", yes),
        ("yes > FALSE", unknown),
        ("id = id AND id <> newid()", yes),
        ("id < id", unknown),
        ("bytes = bytes", yes),
        ("bytes < bytes", unknown),
        ("when < later AND later >= when AND when <> later", yes),
        ("char = char", yes),
        ("text = 'Straße'", yes),
        ("text = 'straße'", no),
        ("'a' < 'b' AND 'B' < 'a'", yes),
        // Null and what is not there.
        ("none = NULL", unknown),
        ("none = none", unknown),
        ("missing = missing", unknown),
        ("none IS NULL AND missing IS NULL AND int IS NOT NULL", yes),
        ("none IS NOT NULL", no),
        ("EXISTS(none) AND EXISTS(INT) AND NOT EXISTS(missing)", yes),
        ("missing + 1 = 1", unknown),
        ("-missing = 1", unknown),
        ("none * 0 = 0", unknown),
        ("NULL + 1 = 1", unknown),
        // IN.
        ("int IN (1, 5.0, 'x')", yes),
        ("int IN (1, 2)", no),
        ("int NOT IN (1, 2)", yes),
        ("int IN (1, 'x')", unknown),
        ("missing IN (1, 2)", unknown),
        ("missing NOT IN (1, 2)", unknown),
        ("int IN (missing, 5)", yes),
        ("int NOT IN (missing, 6)", unknown),
        ("text IN ('a', 'Straße')", yes),
        // LIKE.
        ("text LIKE 'Str%' AND text LIKE '____ße' AND text NOT LIKE 'str%'", yes),
        ("text LIKE 'x'", no),
        ("missing LIKE '%'", unknown),
        ("text LIKE missing", unknown),
        ("text LIKE 'a' ESCAPE missing", unknown),
        ("int LIKE '5'", unknown),
        (r"'50%' LIKE '50\%' ESCAPE '\' AND '500' NOT LIKE '50\%' ESCAPE '\'", yes),
        // Arithmetic.
        ("int + 1 = 6 AND int - 6 = -1 AND int * 2 = 10 AND 7 / 2 = 3 AND 7 % 4 = 3", yes),
        ("-7 / 2 = -3 AND -7 % 4 = -3", yes),
        ("7 / 2.0 = 3.5 AND 7.5 % 2 = 1.5 AND int / double = 1", yes),
        ("2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20 AND 10 - 2 - 3 = 5 AND 100 / 10 / 2 = 5", yes),
        ("-int = -5 AND +int = 5 AND - -int = 5 AND -(-(5)) = 5", yes),
        ("ulong - 1 < ulong AND ulong - ulong = 0", yes),
        ("'a' + 'b' = 'ab'", yes),
        // Times.
        ("later - when = sys.TimeToLive", no),
        ("later - when > sys.TimeToLive AND -sys.TimeToLive < +sys.TimeToLive", yes),
        ("when + sys.TimeToLive < later AND when + sys.TimeToLive + sys.TimeToLive > later", yes),
        ("later - sys.TimeToLive > when AND sys.TimeToLive + when > when", yes),
        ("sys.TimeToLive - sys.TimeToLive < sys.TimeToLive", yes),
        // Names.
        ("INT = 5 AND user.Int = 5 AND [iNT] = 5 AND \"int\" = 5", yes),
        ("sys.label = 'red' AND SYS.LABEL = 'red' AND sys.Subject = 'red'", yes),
        ("Label = 'red'", unknown),
        ("property('INT') = 5 AND p(name) = 5 AND p('in' + 't') = 5", yes),
        ("p('missing') = 5", unknown),
        ("p(missing) = 5", unknown),
        ("newid() = newid()", no),
    ] {
        assert_eq!(truth(text, &message()), expected, "{text}");
    }
}

#[test]
fn errors() {
    use EvaluationError::*;
    for (text, error) in [
        ("1 / zero = 1", DivisionByZero),
        ("1 % 0 = 1", DivisionByZero),
        ("1 / 0.0 = 1", DivisionByZero),
        ("-9223372036854775808 / -1 = 1", Overflow),
        ("big + 1 = 1", Overflow),
        ("-9223372036854775808 - 1 = 1", Overflow),
        ("big * big = 1", Overflow),
        ("ulong * ulong = 1", Overflow),
        ("ulong + 1 = 1", Overflow),
        ("-(-9223372036854775808) = 1", Overflow),
        ("1e308 * 10 = 1", Overflow),
        ("'a' + bytes = 1", Operands { operator: "+" }),
        ("opaque + 'a' = 1", Operands { operator: "+" }),
        ("text - text = 1", Operands { operator: "-" }),
        ("yes * 2 = 1", Operands { operator: "*" }),
        ("when + later = 1", Operands { operator: "+" }),
        ("-text = 1", Operands { operator: "-" }),
        ("+yes = 1", Operands { operator: "+" }),
        ("p(int) = 1", PropertyName),
        ("text LIKE 'a' ESCAPE text", EscapeCharacter),
        ("text LIKE 'a' ESCAPE int", EscapeCharacter),
        ("missing = 1 AND 1 / 0 = 1", DivisionByZero),
    ] {
        assert_eq!(evaluate(text, &message()), Err(error), "{text}");
    }
    // What is decided before is not evaluated.
    assert_eq!(evaluate("int = 5 OR 1 / 0 = 1", &message()), Ok(true));
    assert_eq!(evaluate("int = 6 AND 1 / 0 = 1", &message()), Ok(false));
    // A text can ask whether a system property is there.
    assert_eq!(evaluate("sys.To IS NULL AND NOT EXISTS(sys.To) AND EXISTS(sys.Label)", &message()), Ok(true));
}

#[test]
fn absent_system_properties_are_unknown_unless_the_dialect_is_strict() {
    let strict = Dialect { absent_system_property: AbsentSystemProperty::Error, ..Dialect::default() };
    let absent = || Err(EvaluationError::AbsentSystemProperty(SystemProperty::To));
    for (text, expected, strictly) in [
        ("sys.To = 'x'", false, absent()),
        ("sys.To <> 'x'", false, absent()),
        ("NOT sys.To = 'x'", false, absent()),
        ("sys.To LIKE '%'", false, absent()),
        ("sys.To NOT IN ('x') OR int = 5", true, absent()),
        ("sys.To + 'x' = 'x'", false, absent()),
        ("int = 5 OR sys.To = 'x'", true, Ok(true)),
        ("sys.To IS NULL", true, Ok(true)),
        ("sys.To IS NOT NULL", false, Ok(false)),
        ("EXISTS(sys.To)", false, Ok(false)),
    ] {
        assert_eq!(evaluate(text, &message()), Ok(expected), "{text}");
        let filter = SqlFilter::parse(text, Vec::new(), &strict).expect(text);
        assert_eq!(filter.matches(&message(), &mut random()), strictly, "{text}");
    }
    // What an action copies from it is unknown, and changes nothing.
    let changed = applied("SET int = sys.To", &message()).expect("valid for the message");
    assert_eq!(changed.user("int"), Some(Value::Int(5)));
    let action = SqlAction::parse("SET int = sys.To", Vec::new(), &strict).expect("valid");
    let mut message = message();
    let absent = Err(EvaluationError::AbsentSystemProperty(SystemProperty::To));
    assert_eq!(action.apply(&mut message, &mut random()), absent);
}

#[test]
fn texts_stay_bounded() {
    let message = Message::new().with("a", "x".repeat(40_000));
    assert_eq!(evaluate("a + a = a", &message), Err(EvaluationError::Overflow));
    assert_eq!(evaluate("a + 'x' > a", &message), Ok(true));
}

#[test]
fn actions() {
    let changed = applied(
        "SET INT = int + 1; SET copy = Int REMOVE text SET new = 'x' SET sys.label = 'green';\
         SET sys.To = 5; SET sys.CorrelationId = yes; SET sys.TimeToLive = NULL; REMOVE sys.Subject REMOVE missing",
        &message(),
    )
    .expect("valid for the message");
    // The key keeps its spelling and the property its type; a new property has the type of its value.
    assert!(changed.user.iter().any(|(name, value)| name == "int" && *value == Value::Int(6)));
    assert_eq!(changed.user.len(), message().user.len() + 1);
    assert_eq!(changed.user("COPY"), Some(Value::Int(6)));
    assert_eq!(changed.user("text"), None);
    assert_eq!(changed.user("new"), Some("x".into()));
    assert_eq!(changed.system(SystemProperty::Label), None);
    assert_eq!(changed.system(SystemProperty::To), Some("5".into()));
    assert_eq!(changed.system(SystemProperty::CorrelationId), Some("True".into()));
    assert_eq!(changed.system(SystemProperty::TimeToLive), None);
}

#[test]
fn set_converts_numbers_where_nothing_is_lost() {
    for (text, name, expected) in [
        ("SET int = 7.5", "int", Value::Double(7.5)),
        ("SET int = 3000000000", "int", Value::Long(3_000_000_000)),
        ("SET uint = -1", "uint", Value::Long(-1)),
        ("SET zero = 255", "zero", Value::Ubyte(255)),
        ("SET zero = 256", "zero", Value::Long(256)),
        ("SET double = 7", "double", Value::Double(7.0)),
        ("SET float = 0.25", "float", Value::Float(0.25)),
        ("SET float = 0.1", "float", Value::Double(0.1)),
        ("SET int = 'x'", "int", "x".into()),
        // F54: a text stays a text, and a text becomes what the property was.
        ("SET text = 5", "text", "5".into()),
        ("SET text = id", "text", "09090909-0909-0909-0909-090909090909".into()),
        ("SET text = bytes", "text", Value::Binary(Cow::Borrowed(b"ab"))),
        ("SET int = ' 7 '", "int", Value::Int(7)),
        ("SET int = '7.5'", "int", "7.5".into()),
        ("SET zero = '256'", "zero", "256".into()),
        ("SET small = 7.0", "small", Value::Byte(7)),
        ("SET yes = 'FALSE'", "yes", Value::Boolean(false)),
        ("SET yes = '1'", "yes", "1".into()),
        ("SET char = 'y'", "char", Value::Char('y')),
        ("SET char = 'yz'", "char", "yz".into()),
        ("SET double = '-1e3'", "double", Value::Double(-1_000.0)),
        ("SET double = 'inf'", "double", "inf".into()),
        ("SET when = '1970-01-01T00:00:01Z'", "when", Timestamp::from_secs(1).into()),
        ("SET when = 'soon'", "when", "soon".into()),
        ("SET int = NULL", "int", Value::Null),
        ("SET none = 1", "none", Value::Long(1)),
        // Unknown changes nothing.
        ("SET int = missing", "int", Value::Int(5)),
        ("SET int = missing + 1", "int", Value::Int(5)),
        ("SET int = bytes", "int", Value::Binary(Cow::Borrowed(b"ab"))),
    ] {
        let changed = applied(text, &message()).expect(text);
        assert_eq!(changed.user(name), Some(expected), "{text}");
    }
}

#[test]
fn actions_that_fail() {
    use EvaluationError::*;
    for (text, error) in [
        ("SET a = 1 / 0", DivisionByZero),
        ("SET sys.TimeToLive = 5", Conversion(SystemProperty::TimeToLive)),
        ("SET sys.ScheduledEnqueueTimeUtc = 'x'", Conversion(SystemProperty::ScheduledEnqueueTime)),
        ("SET sys.ScheduledEnqueueTimeUtc = 5", Conversion(SystemProperty::ScheduledEnqueueTime)),
        ("SET sys.TimeToLive = '-00:00:01'", Conversion(SystemProperty::TimeToLive)),
        ("SET sys.TimeToLive = when", Conversion(SystemProperty::TimeToLive)),
        ("SET sys.To = bytes", Conversion(SystemProperty::To)),
        ("SET sys.ContentType = text", Conversion(SystemProperty::ContentType)),
        ("SET sys.MessageId = long", IdTooLong(SystemProperty::MessageId)),
        ("SET sys.ReplyToSessionId = long", IdTooLong(SystemProperty::ReplyToSessionId)),
    ] {
        let message = message().with("long", "é".repeat(129));
        assert_eq!(applied(text, &message), Err(error), "{text}");
    }
}

#[test]
fn new_ids_become_text_where_text_is_needed() {
    let changed =
        applied("SET sys.MessageId = newid() SET id = newid() SET fresh = newid()", &message()).expect("valid");
    let id = changed.system(SystemProperty::MessageId).expect("set").into_owned();
    let text = id.as_str().expect("a text");
    assert_eq!(text.len(), 36);
    assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(matches!(changed.user("fresh"), Some(Value::Uuid(_))));
    assert_ne!(changed.user("fresh"), changed.user("id"));
}
