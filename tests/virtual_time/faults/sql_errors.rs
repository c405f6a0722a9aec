//! SQL that does not parse is refused with the place and the word.

use crate::rule_bench::{Made, made, world};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::servicebus::administration::{RuleFilter, SqlRuleFilter};
use servicebus_core::wire::{Reader, Sink, Value};
use servicebus_tests::broker::put_map;

/// Filters, and the word that offends where there is only one candidate.
const FILTERS: [(&str, Option<&str>); 10] = [
    ("quantity BETWEEN 1 AND 5", Some("BETWEEN")),
    ("a = ", None),
    ("a = = 1", Some("=")),
    ("(a = 1", None),
    ("a LIKE", None),
    ("a = 1 b", Some("b")),
    ("a IN ()", Some(")")),
    ("a LIKE 'x' ESCAPE 'yz'", Some("'yz'")),
    ("other.a = 1", Some("other")),
    ("sys.Unknown = 1", Some("Unknown")),
];

/// Actions in the same way.
const ACTIONS: [(&str, Option<&str>); 5] = [
    ("UPDATE x = 1", Some("UPDATE")),
    ("SET x", None),
    ("SET = 1", Some("=")),
    ("DELETE x", Some("DELETE")),
    ("SET x = 1; DELETE y", Some("DELETE")),
];

/// Checks a refusal's text: the place, the word and details.
fn check(name: &str, text: Option<String>, word: Option<&str>) {
    let text = text.unwrap_or_else(|| panic!("{name} was not refused"));
    let error = text.split_once("There was an error parsing the SQL expression. [Token line=1, column=");
    let (_, error) = error.unwrap_or_else(|| panic!("{name}: {text}"));
    let (_, token) = error.split_once(", Token in error= ").unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(token.contains(", Additional details= "), "{name}: {text}");
    assert!(word.is_none_or(|word| token.starts_with(&format!("{word},"))), "{name}: {text}");
}

#[test]
fn sql_that_does_not_parse_is_refused_over_http_with_the_word_f58() {
    let refused = |made: Made| match made {
        Made::Refused(text) => Some(text),
        _ => None,
    };
    for (filter, word) in FILTERS {
        let made = made(SqlRuleFilter::new(filter).into(), None, &MessageRef::new("x"));
        check(filter, refused(made), word);
    }
    for (action, word) in ACTIONS {
        let made = made(RuleFilter::True, Some(action), &MessageRef::new("x"));
        check(action, refused(made), word);
    }
}

#[test]
fn sql_that_does_not_parse_is_refused_by_management_with_the_word_f58() {
    let expression = |text: &str| {
        let mut out = Vec::new();
        put_map(&mut Sink::from(&mut out), &[("expression", text.into())]);
        out
    };
    let rules = FILTERS.map(|(text, word)| (text, "SET x = 1", text, word)).into_iter();
    let rules = rules.chain(ACTIONS.map(|(text, word)| ("1=1", text, text, word)));
    for (filter, action, name, word) in rules {
        let (mut world, c) = world();
        let (filter, action) = (expression(filter), expression(action));
        let mut description = Vec::new();
        let sink = &mut Sink::from(&mut description);
        put_map(
            sink,
            &[
                ("sql-filter", Reader::new(&filter).value().unwrap()),
                ("sql-rule-action", Reader::new(&action).value().unwrap()),
            ],
        );
        let entries =
            [("rule-name", Value::from("r")), ("rule-description", Reader::new(&description).value().unwrap())];
        let response = world.manage(c, "t/Subscriptions/s", "add-rule", &entries);
        let text = (response.status() >= 400).then(|| response.text().to_owned());
        check(name, text, word);
    }
}
