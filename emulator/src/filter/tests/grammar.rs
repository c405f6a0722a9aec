//! What is accepted, what is refused and where, and how it is printed.

use super::super::{Dialect, ParseError, ParseErrorKind, SqlAction, SqlFilter, SystemProperty, Value};
use super::{Message, action, filter, random};

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("1=1", "1 = 1"),
        // Precedence: signs, products, sums, comparisons, NOT, AND, OR.
        ("a+b*c=1", "a + b * c = 1"),
        ("(a+b)*c=1", "(a + b) * c = 1"),
        ("a-b-c=1", "a - b - c = 1"),
        ("a-(b-c)=1", "a - (b - c) = 1"),
        ("a*b/c%d=1", "a * b / c % d = 1"),
        ("-a*b=+c", "-a * b = +c"),
        ("-(a*b)=1", "-(a * b) = 1"),
        ("a - -5 = -(5)", "a - -5 = -(5)"),
        ("not a=1 and b=2 or c=3", "NOT a = 1 AND b = 2 OR c = 3"),
        ("NOT (a=1 AND (b=2 OR c=3))", "NOT (a = 1 AND (b = 2 OR c = 3))"),
        ("a=1 AND b=2 AND c=3", "a = 1 AND b = 2 AND c = 3"),
        ("a=1 AND (b=2 AND c=3)", "a = 1 AND (b = 2 AND c = 3)"),
        ("(a=1 OR b=2) OR c=3", "(a = 1 OR b = 2) OR c = 3"),
        ("NOT NOT a=1", "NOT NOT a = 1"),
        ("((((a=1))))", "a = 1"),
        // Comparisons.
        (
            "a<>1 AND a!=1 AND a>1 AND a>=1 AND a<1 AND a<=1",
            "a <> 1 AND a <> 1 AND a > 1 AND a >= 1 AND a < 1 AND a <= 1",
        ),
        ("a is null or b IS Not nUll", "a IS NULL OR b IS NOT NULL"),
        ("a in(1,'2',3.5) or b+1 not in (c, -d)", "a IN (1, '2', 3.5) OR b + 1 NOT IN (c, -d)"),
        ("a like 'x%' or b NOT LIKE c+'_' escape '\\'", "a LIKE 'x%' OR b NOT LIKE c + '_' ESCAPE '\\'"),
        ("exists(a) AND NOT EXISTS ( sys . label )", "EXISTS(a) AND NOT EXISTS(sys.Label)"),
        // Properties.
        ("user.a=1 AND USER.b=1 AND Sys.LABEL=1", "a = 1 AND b = 1 AND sys.Label = 1"),
        ("[a]]b c]=1 AND \"a\"\"b\"=1", "[a]]b c] = 1 AND [a\"b] = 1"),
        ("user.[not]=1 AND sys.[to]=1", "[not] = 1 AND sys.To = 1"),
        ("[sys].a=1", ""),
        ("größe_2=1", "größe_2 = 1"),
        ("set=1 AND remove=2 AND p=3 AND sys=4", "set = 1 AND remove = 2 AND p = 3 AND sys = 4"),
        ("sys.Subject=1", "sys.Label = 1"),
        // Functions.
        ("newid()=p('a') OR Property(b + 'c')=NEWID ( )", "newid() = property('a') OR property(b + 'c') = newid()"),
        // Constants.
        ("a=true AND b=False AND c=null", "a = TRUE AND b = FALSE AND c = NULL"),
        ("a='it''s' AND b=''", "a = 'it''s' AND b = ''"),
        ("a=9223372036854775807 AND b=-9223372036854775808", "a = 9223372036854775807 AND b = -9223372036854775808"),
        ("a=1894.1204 AND b=2.0 AND c=.5", "a = 1894.1204 AND b = 2.0 AND c = 0.5"),
        ("a=101.5E5 AND b=0.5e-2 AND c=1E+20", "a = 10150000.0 AND b = 0.005 AND c = 1e20"),
        (" \t\r\n a=1 \u{a0}", "a = 1"),
    ] {
        if canonical.is_empty() {
            assert!(SqlFilter::parse(text, Vec::new(), &Dialect::default()).is_err(), "{text}");
            continue;
        }
        let parsed = filter(text);
        assert_eq!(parsed.to_string(), canonical, "{text}");
        assert_eq!(filter(canonical).to_string(), canonical, "{text}");
        // As it was given.
        assert_eq!(parsed.text(), text);
    }
}

#[test]
fn canonical_actions() {
    for (text, canonical) in [
        ("SET a='b'", "SET a = 'b'"),
        ("set sys.label='x' REMOVE b;set user.c=1+2;", "SET sys.Label = 'x'; REMOVE b; SET c = 1 + 2"),
        ("SET a=b SET c=d", "SET a = b; SET c = d"),
        ("SET set=remove REMOVE remove", "SET set = remove; REMOVE remove"),
        ("REMOVE [a b]", "REMOVE [a b]"),
        ("SET sys.TimeToLive=NULL", "SET sys.TimeToLive = NULL"),
        ("REMOVE sys.ScheduledEnqueueTimeUtc", "REMOVE sys.ScheduledEnqueueTimeUtc"),
    ] {
        assert_eq!(action(text).to_string(), canonical, "{text}");
        assert_eq!(action(canonical).to_string(), canonical, "{text}");
        assert_eq!(action(text).text(), text);
    }
}

fn refusal(text: &str) -> ParseError {
    match SqlFilter::parse(text, Vec::new(), &Dialect::default()) {
        Ok(filter) => panic!("{text} is read as {filter}"),
        Err(error) => error,
    }
}

#[test]
fn refused_with_position() {
    use ParseErrorKind::*;
    const OPERAND: ParseErrorKind = Expected("a condition or a value");
    const END: ParseErrorKind = Expected("an operator or the end");
    for (text, position, kind) in [
        ("", 0, OPERAND),
        ("   ", 3, OPERAND),
        ("a", 0, Expected("a condition")),
        ("TRUE", 0, Expected("a condition")),
        ("NOT a", 4, Expected("a condition")),
        ("a = 1 AND b", 10, Expected("a condition")),
        ("a =", 3, OPERAND),
        ("a = AND", 4, OPERAND),
        ("= 1", 0, OPERAND),
        ("a == 1", 3, OPERAND),
        ("a = 1 b", 6, END),
        ("a = 1)", 5, END),
        ("(a = 1", 6, Expected("an operator or `)`")),
        ("a = b = c", 6, END),
        ("(a = b) = c", 0, Expected("a value")),
        ("a + (b = c) = d", 4, Expected("a value")),
        ("a IS 1", 5, Expected("NULL or NOT NULL")),
        ("a IS NOT 1", 9, Expected("NULL")),
        ("a + 1 IS NULL", 0, Expected("a property")),
        ("a IN 1", 5, Expected("`(`")),
        ("a IN ()", 6, OPERAND),
        ("a IN (1 2)", 8, Expected("an operator, `,` or `)`")),
        ("a IN (1, b = 2)", 9, Expected("a value")),
        ("a NOT 1", 2, END),
        ("EXISTS(1)", 7, Expected("the name of a property")),
        ("EXISTS a", 7, Expected("`(`")),
        ("a LIKE 'x' ESCAPE 'yz'", 18, EscapeCharacter),
        ("a LIKE 'x' ESCAPE ''", 18, EscapeCharacter),
        ("a LIKE 'x' ESCAPE 1", 18, EscapeCharacter),
        ("a = 'x", 4, Unterminated),
        ("a = '''", 4, Unterminated),
        ("[a = 1", 0, Unterminated),
        ("\"a = 1", 0, Unterminated),
        ("[] = 1", 0, EmptyName),
        ("foo.bar = 1", 0, UnknownScope),
        ("a = 1 AND sys.Nothing = 1", 14, UnknownSystemProperty),
        ("sys. = 1", 5, Expected("the name of a property")),
        ("upper(a) = 1", 0, UnknownFunction),
        ("newid(1) = a", 6, Expected("`)`")),
        ("a = @b", 4, UnboundParameter),
        ("a = @", 4, Expected("the name of a parameter behind `@`")),
        ("a = 9223372036854775808", 4, NumberRange),
        ("a = -9223372036854775809", 4, NumberRange),
        ("a = 1e999", 4, NumberRange),
        ("a = 12abc", 6, Expected("the end of the number")),
        ("a = 1.2.3", 7, Expected("the end of the number")),
        ("a = .", 4, Expected("a number")),
        ("a = #", 4, OPERAND),
        ("_a = 1", 0, OPERAND),
        ("ä = ü AND ß = #", 17, OPERAND),
        ("NULL.a = 1", 4, END),
    ] {
        let error = refusal(text);
        assert_eq!((error.position, error.kind), (position, kind), "{text}");
        assert!(text.is_char_boundary(position));
    }
}

#[test]
fn refused_actions() {
    use ParseErrorKind::*;
    const MORE: ParseErrorKind = Expected("an operator, `;`, SET, REMOVE or the end");
    for (text, position, kind) in [
        ("", 0, Expected("SET or REMOVE")),
        (";", 0, Expected("SET or REMOVE")),
        ("a = 1", 0, Expected("SET or REMOVE")),
        ("SET a", 5, Expected("`=`")),
        ("SET a = ", 8, Expected("a condition or a value")),
        ("SET a = b = c", 10, MORE),
        ("SET a = (b = c)", 8, Expected("a value")),
        ("SET a = 1 b = 2", 10, MORE),
        ("SET a = 1, b = 2", 9, MORE),
        ("REMOVE 1", 7, Expected("the name of a property")),
        ("SET sys.Nothing = 1", 8, UnknownSystemProperty),
        ("SET sys.SequenceNumber = 1", 4, ReadOnlySystemProperty(SystemProperty::SequenceNumber)),
        ("REMOVE sys.EnqueuedTimeUtc", 7, ReadOnlySystemProperty(SystemProperty::EnqueuedTime)),
    ] {
        let error = SqlAction::parse(text, Vec::new(), &Dialect::default()).expect_err(text);
        assert_eq!((error.position, error.kind), (position, kind), "{text}");
    }
}

#[test]
fn limits() {
    let dialect = Dialect::default();
    // Characters, not bytes.
    let longest = format!("a = '{}'", "ü".repeat(1024 - 6));
    assert!(SqlFilter::parse(longest.as_str(), Vec::new(), &dialect).is_ok());
    let error = SqlFilter::parse(longest + " ", Vec::new(), &dialect).expect_err("too long");
    assert_eq!(error.kind, ParseErrorKind::TooLong { limit: 1024 });

    assert!(SqlAction::parse("SET a=1 ".repeat(32), Vec::new(), &dialect).is_ok());
    let error = SqlAction::parse("SET a=1 ".repeat(33), Vec::new(), &dialect).expect_err("too many");
    assert_eq!((error.position, error.kind), (256, ParseErrorKind::TooManyStatements { limit: 32 }));

    // Chains of AND and OR are flat.
    let many = vec!["a=1"; 146].join(" OR ");
    assert!(SqlFilter::parse(many, Vec::new(), &dialect).is_ok());
    let dialect = Dialect { depth: 4, ..dialect };
    for (text, fits) in [
        ("a+b+c = 1", true),
        ("a+b+c+d = 1", false),
        ("NOT NOT a=1", true),
        ("NOT NOT NOT a=1", false),
        ("((((a=1))))", true),
        ("(((((a=1)))))", false),
    ] {
        let parsed = SqlFilter::parse(text, Vec::new(), &dialect);
        match parsed {
            Ok(_) => assert!(fits, "{text}"),
            Err(error) => assert!(!fits && error.kind == ParseErrorKind::TooDeep { limit: 4 }, "{text}: {error}"),
        }
    }
}

/// Every construct that nests, as deep as a text can ask for, on half of the stack that a thread has.
#[test]
fn hostile_nesting_needs_little_stack() {
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
        let dialects = [Dialect::default(), Dialect { characters: 1_000_000, ..Dialect::default() }];
        let mut parsed = 0;
        for dialect in &dialects {
            for (open, core, close) in [
                ("(", "", ""),
                ("(", "a=1", ")"),
                ("NOT ", "a=1", ""),
                ("NOT(", "a=1", ")"),
                ("-", "a=1", ""),
                ("+(", "a", ")=1"),
                ("a+", "a=1", ""),
                ("a*-(", "1", ")"),
                ("1=1 OR 1=1 AND NOT (", "1=1", ")"),
                ("a=1 OR b=1 AND NOT c=1+1*-(", "1", ")"),
                ("p(", "a", ")"),
                ("a IN (", "1", ")"),
                ("1=p(1+1*-p(", "a", "))"),
                ("a LIKE ", "'b'", " ESCAPE 'c'"),
                ("[", "", ""),
                ("''", "", ""),
            ] {
                for depth in [1, 10, 20, 31, 32, 40, 60, 62, 63, 64, 65, 500, 1_024, 100_000] {
                    for tail in ["", "=1"] {
                        let text = open.repeat(depth) + core + &close.repeat(depth) + tail;
                        if let Ok(filter) = SqlFilter::parse(text, Vec::new(), dialect) {
                            parsed += 1;
                            let _ = filter.matches(&Message::new().with("a", 1i32), &mut random());
                            let _ = (filter.to_string(), filter.clone() == filter);
                        }
                    }
                }
            }
        }
        parsed
    });
    let parsed = thread.expect("a thread starts").join().expect("no overflow");
    assert!(parsed > 100, "{parsed}");
}

#[test]
fn parameters_are_found_in_any_spelling() {
    let parameters = vec![("@One".to_owned(), Value::Int(1)), ("two".to_owned(), Value::from("2"))];
    let filter = SqlFilter::parse("a = @one AND b = @TWO", parameters.clone(), &Dialect::default()).expect("bound");
    assert_eq!(filter.parameters(), parameters);
    assert_eq!(filter.to_string(), "a = @one AND b = @TWO");
    let message = Message::new().with("a", 1i64).with("b", "2");
    assert_eq!(filter.matches(&message, &mut random()), Ok(true));
}

#[test]
fn errors_say_what_and_where() {
    for (text, place, details) in [
        ("a = 1 AND", "line=1, column=9, Token in error= ,", "expected a condition or a value"),
        ("a = @b", "line=1, column=4, Token in error= @b,", "parameter without a value"),
    ] {
        let whole =
            format!("There was an error parsing the SQL expression. [Token {place} Additional details= {details}]");
        assert_eq!(refusal(text).to_string(), whole);
    }
}

#[test]
fn errors_name_the_token_and_its_place() {
    for (text, line, column, token) in [
        ("quantity BETWEEN 1 AND 5", 1, 9, "BETWEEN"),
        ("a = ", 1, 4, ""),
        ("a = = 1", 1, 4, "="),
        ("a = 1\n  AND b ==", 2, 9, "="),
        ("é = 1 and\n", 2, 0, ""),
        ("a = 1 'it''s'", 1, 6, "'it'"),
        ("a = 1 <> 2", 1, 6, "<>"),
    ] {
        let error = refusal(text);
        assert_eq!((error.line, error.column, error.token.as_str()), (line, column, token), "{text}: {error}");
    }
    let text = refusal("a b").to_string();
    let start = "There was an error parsing the SQL expression. [Token line=1, column=2, Token in error= b, Additional details= ";
    assert!(text.starts_with(start) && text.ends_with(']'), "{text}");
}
