//! Values in filters and actions: decimals, texts that are put together, and types that stay.

use crate::rule_bench::{Made, changed, matches};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::{self, Reader, Uuid, Value};

/// A decimal with one digit behind the point, as the SDK for .NET writes 10.5 (recording `send-all-fields`).
fn dotnet_tenths(tenths: u32) -> Value<'static> {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[0x0c, 0x3e]);
    bytes[12..].copy_from_slice(&tenths.to_be_bytes());
    Value::Decimal128(bytes)
}

/// Whether a filter takes the message or not, as is right, and without an error.
fn matches_as(filter: &str, message: &MessageRef<'_>, right: bool) -> bool {
    matches!(matches(filter, message), Made::Copies(copies) if copies.len() == usize::from(right))
}

/// The same number as IEEE 754 has it.
fn ieee_tenths(tenths: u32) -> Value<'static> {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[0x30, 0x3e]);
    bytes[12..].copy_from_slice(&tenths.to_be_bytes());
    Value::Decimal128(bytes)
}

#[test]
fn decimals_compare_and_compute_with_integers_f52() {
    for (encoding, decimal) in [(".NET", dotnet_tenths as fn(u32) -> Value<'static>), ("IEEE 754", ieee_tenths)] {
        let properties = [
            ("Price", decimal(105)),
            ("Less", decimal(99)),
            ("Qty", Value::Int(3)),
            ("Big", Value::Long(1_000)),
            ("Rate", Value::Double(1.5)),
        ];
        let message = MessageRef::new("x").with_properties(&properties);
        for (filter, right) in [
            ("Price > 10", true),
            ("Price < 10", false),
            ("Price >= 11", false),
            ("Price <> 10", true),
            ("Price > Qty", true),
            ("Price < Big", true),
            ("Price > Less", true),
            ("Price + 1 > 11", true),
            ("Price - 10 > 0", true),
            ("Price * 2 = 21", true),
            ("Price / 2 > 5", true),
            ("-Price < 0", true),
            ("Price + Less > 20", true),
            ("Price IN (10, 11)", false),
            ("Price IS NOT NULL", true),
            // A constant with a point is a double: it is compared as the decimal that it is written as.
            ("Price = 10.5", true),
            ("Price <> 10.5", false),
            ("Price > 10.4999 AND Price < 10.5001", true),
            ("Price IN (1, 10.5)", true),
            ("Price + 0.1 = 10.6", true),
            ("Rate < Price AND Price > Rate", true),
            ("Price % 2 = 0.5", true),
            ("Price / 4 = 2.625", true),
            ("Less + Price = 20.4", true),
            ("Price = 1e300", false),
            ("Price = '10.5'", false),
            ("'' + Price = '10.5'", true),
        ] {
            assert!(matches_as(filter, &message, right), "{filter}, {encoding}");
        }
    }
    let properties = [("Qty", Value::Int(3)), ("Rate", Value::Double(1.5)), ("Text", Value::from("10"))];
    let message = MessageRef::new("x").with_properties(&properties);
    for (filter, right) in
        [("Qty > 2", true), ("Qty = 4", false), ("Qty + 1 = 4", true), ("Rate < 2", true), ("Text > 5", false)]
    {
        assert!(matches_as(filter, &message, right), "{filter}, no decimal");
    }
}

#[test]
fn a_text_and_another_value_are_put_together_f53() {
    let properties = [
        ("s", Value::from("x")),
        ("i", Value::Int(5)),
        ("l", Value::Long(-7)),
        ("h", Value::Short(8)),
        ("u", Value::Uint(9)),
        ("X", Value::from("X")),
    ];
    let message = MessageRef::new("x").with_properties(&properties);
    for (expression, right) in [
        ("i + '1'", "51"),
        ("'1' + i", "15"),
        ("s + i", "x5"),
        ("i + s", "5x"),
        ("s + l", "x-7"),
        ("s + h", "x8"),
        ("u + s", "9x"),
        ("s + 1", "x1"),
        ("s + i + 'z'", "x5z"),
        ("s + 'y'", "xy"),
    ] {
        let made = changed(&format!("SET n = {expression}"), &message);
        assert_eq!(made.copy().and_then(|copy| copy.property("n")), Some(right.into()), "{expression}");
        let made = changed(&format!("SET sys.Label = {expression}"), &message);
        let label = made.copy().and_then(|copy| copy.view().properties().unwrap().subject);
        assert_eq!(label, Some(right), "sys.Label = {expression}");
        assert!(matches_as(&format!("{expression} = '{right}'"), &message, true), "{expression} = '{right}'");
    }
}

/// A value of each type, and how a text of it begins where that is decided.
fn of_each_type() -> Vec<(&'static str, Value<'static>, Option<&'static str>)> {
    vec![
        ("ubyte", Value::Ubyte(7), Some("7")),
        ("ushort", Value::Ushort(7), Some("7")),
        ("uint", Value::Uint(7), Some("7")),
        ("ulong", Value::Ulong(u64::MAX), Some("18446744073709551615")),
        ("byte", Value::Byte(-7), Some("-7")),
        ("short", Value::Short(-7), Some("-7")),
        ("int", Value::Int(-7), Some("-7")),
        ("long", Value::Long(i64::MIN), Some("-9223372036854775808")),
        ("float", Value::Float(1.5), Some("1.5")),
        ("double", Value::Double(-2.5), Some("-2.5")),
        ("char", Value::Char('c'), Some("c")),
        // As .NET prints them in the invariant culture.
        ("boolean", Value::Boolean(true), Some("True")),
        ("uuid", Value::Uuid(Uuid([0x11; 16])), Some("11111111-1111-1111-1111-111111111111")),
        ("timestamp", Value::Timestamp(Timestamp::from_secs(1_593_947_533)), Some("07/05/2020 11:12:13")),
        ("decimal", dotnet_tenths(105), Some("10.5")),
    ]
}

#[test]
fn a_text_and_a_value_of_any_type_are_put_together_f53() {
    for (name, value, text) in of_each_type() {
        let properties = [("s", Value::from("<")), ("v", value)];
        let message = MessageRef::new("x").with_properties(&properties);
        for (expression, is_first) in [("s + v", true), ("v + s", false)] {
            let whole = |found: &str| {
                let rest = if is_first { found.strip_prefix('<') } else { found.strip_suffix('<') };
                rest.is_some_and(|rest| text.map_or(!rest.is_empty(), |text| rest == text))
            };
            let made = changed(&format!("SET n = {expression}"), &message);
            let set = made.copy().and_then(|copy| copy.property("n")).and_then(|n| n.as_str());
            assert!(set.is_some_and(whole), "{expression}, {name}: {set:?}");
        }
        // Only `+` puts together: the other operators have no such pair in C#, whose promotions the language follows.
        for operator in ["-", "*", "/", "%"] {
            for expression in [format!("s {operator} v"), format!("v {operator} s")] {
                let made = changed(&format!("SET n = {expression}"), &message);
                assert!(made.failed(), "{expression}, {name}: {made:?}");
            }
        }
        // A text is not compared with a number (azure-docs#56144).
        let is_number = !matches!(name, "char" | "boolean" | "uuid" | "timestamp");
        for comparison in ["=", "<>", "<", "<=", ">", ">="].into_iter().filter(|_| is_number) {
            for filter in [format!("s {comparison} v"), format!("v {comparison} s"), format!("'7' {comparison} v")] {
                assert!(matches_as(&filter, &message, false), "{filter}, {name}");
            }
        }
    }
}

/// Beside the texts of F53: numbers of any two types compute and compare as C# promotes them.
#[test]
fn numbers_of_any_two_types_compute_and_compare_f53() {
    let numbers = |value: i8| {
        let unsigned = value.unsigned_abs();
        [
            ("ubyte", Value::Ubyte(unsigned)),
            ("ushort", Value::Ushort(unsigned.into())),
            ("uint", Value::Uint(unsigned.into())),
            ("byte", Value::Byte(value)),
            ("short", Value::Short(value.into())),
            ("int", Value::Int(value.into())),
            ("long", Value::Long(value.into())),
            ("float", Value::Float(value.into())),
            ("double", Value::Double(value.into())),
        ]
    };
    for (left_name, left) in numbers(7) {
        for (right_name, right) in numbers(2) {
            let properties = [("l", left), ("r", right)];
            let message = MessageRef::new("x").with_properties(&properties);
            // A quotient of integers is an integer.
            let fraction = [left, right].iter().any(|value| matches!(value, Value::Float(_) | Value::Double(_)));
            let quotient = if fraction { "l / r = 3.5" } else { "l / r = 3" };
            let filter = format!(
                "l + r = 9 AND l - r = 5 AND l * r = 14 AND {quotient} AND l % r = 1 AND l > r AND l >= r AND l <> r \
                 AND NOT l < r AND NOT l <= r AND NOT l = r"
            );
            let made = matches(&filter, &message);
            assert!(made.copy().is_some(), "{left_name} and {right_name}: {made:?}");
        }
    }
}

#[test]
fn a_text_and_a_new_id_are_put_together_f53() {
    let properties = [("X", Value::from("X"))];
    let message = MessageRef::new("x").with_properties(&properties);
    for (expression, before, after) in [
        ("'a' + newid()", "a", ""),
        ("newid() + 'a'", "", "a"),
        ("user.X + newid()", "X", ""),
        ("'(' + newid() + ')'", "(", ")"),
    ] {
        let framed = |text: &str| {
            text.starts_with(before) && text.ends_with(after) && text.len() == 36 + before.len() + after.len()
        };
        let made = changed(&format!("SET n = {expression}"), &message);
        let set = made.copy().and_then(|copy| copy.property("n")).and_then(|n| n.as_str());
        assert!(set.is_some_and(framed), "{expression}: {set:?}");
        let made = changed(&format!("SET sys.SessionId = {expression}"), &message);
        let set = made.copy().and_then(|copy| copy.view().properties().unwrap().group_id);
        assert!(set.is_some_and(framed), "sys.SessionId = {expression}: {set:?}");
    }
}

/// A .NET `TimeSpan`.
fn time_span(ticks: i64) -> Vec<u8> {
    let mut bytes = b"\x00\xa3\x16com.microsoft:timespan\x81".to_vec();
    bytes.extend_from_slice(&ticks.to_be_bytes());
    bytes
}

#[test]
fn set_keeps_the_type_of_a_property_f54() {
    const GUID: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    let guid = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let (span, other_span) = (time_span(1), time_span(6_000_000_000));
    let read = |bytes| Reader::new(bytes).value().unwrap();
    let date = |millis| Value::Timestamp(Timestamp::from_millis(millis));
    for (text, before, after) in [
        ("7", Value::Int(1), Value::Int(7)),
        ("-7", Value::Long(1), Value::Long(-7)),
        ("7", Value::Short(1), Value::Short(7)),
        ("7", Value::Ubyte(1), Value::Ubyte(7)),
        ("7", Value::Ulong(1), Value::Ulong(7)),
        ("1.5", Value::Double(1.0), Value::Double(1.5)),
        ("true", Value::Boolean(false), Value::Boolean(true)),
        ("2020-07-05T11:12:13Z", date(0), date(1_593_947_533_000)),
        (GUID, Value::Uuid(Uuid([9; 16])), Value::Uuid(guid)),
        ("00:10:00", read(&span), read(&other_span)),
        ("text", Value::from("x"), Value::from("text")),
        ("10.5", dotnet_tenths(1), ieee_tenths(105)),
        ("c", Value::Char('x'), Value::Char('c')),
        ("1.5", Value::Float(1.0), Value::Float(1.5)),
        // What is no such value stays a text.
        ("256", Value::Ubyte(1), Value::from("256")),
        ("seven", Value::Int(1), Value::from("seven")),
        ("maybe", Value::Boolean(true), Value::from("maybe")),
    ] {
        let properties = [("p", before)];
        let message = MessageRef::new("x").with_properties(&properties);
        let made = changed(&format!("SET p = '{text}'"), &message);
        let found = made.copy().and_then(|copy| Some(wire::to_vec(&copy.property("p")?)));
        assert_eq!(found, Some(wire::to_vec(&after)), "SET p = '{text}', was {before:?}");
    }
}

#[test]
fn set_converts_a_text_to_a_time_to_live_f54() {
    for (text, millis) in [
        ("00:10:00", 600_000),
        ("00:00:30", 30_000),
        ("01:02:03", 3_723_000),
        ("1.00:00:00", 86_400_000),
        ("00:00:01.5000000", 1_500),
    ] {
        let made = changed(&format!("SET sys.TimeToLive = '{text}'"), &MessageRef::new("x"));
        let ttl = made.copy().and_then(|copy| copy.view().header().unwrap().ttl);
        assert_eq!(ttl, Some(millis), "{text}: {made:?}");
    }
}
