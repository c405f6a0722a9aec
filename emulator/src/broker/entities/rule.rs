//! Rules of a subscription as they are kept: in order of their names, with the time at which they were made.

use super::error::EntityError;
use super::message::Message;
use super::properties::PropertyEditor;
use crate::broker::budget::Share;
use crate::filter::{EvaluationError, Filter, Rule, Selection, select};
use servicebus_core::random::Random;
use servicebus_core::time::Timestamp;

/// A rule and its age.
#[derive(Debug)]
pub struct StoredRule {
    /// The rule.
    pub rule: Rule,
    /// When it was made or last changed.
    pub created_at: Timestamp,
    /// Its part of the memory budget.
    pub(super) _share: Share,
}

/// What the rules of a subscription make of a message.
#[derive(Debug, Default)]
pub(in crate::broker) struct Copies {
    /// The copies for the subscription.
    pub(in crate::broker) messages: Vec<Message>,
    /// Filters and actions that could not be evaluated.
    pub(in crate::broker) errors: Vec<EvaluationError>,
    /// Filters that had to be evaluated.
    pub(in crate::broker) evaluated: u64,
}

/// Evaluates rules in their order.
// docs/evidence/service-evidence.md §11
pub(in crate::broker) fn copies<'r>(
    rules: impl Iterator<Item = &'r StoredRule>,
    message: &Message,
    random: &mut Random,
) -> Copies {
    let mut rules = rules.map(|stored| &stored.rule).peekable();
    // The usual subscription has one rule that takes everything.
    if let Some(Rule { filter: Filter::True, action: None, .. }) = rules.peek() {
        let first = rules.next();
        if rules.peek().is_none() {
            return Copies { messages: vec![message.clone()], ..Copies::default() };
        }
        return evaluate(first.into_iter().chain(rules), message, random);
    }
    evaluate(rules, message, random)
}

fn evaluate<'r>(rules: impl Iterator<Item = &'r Rule>, message: &Message, random: &mut Random) -> Copies {
    let mut copies = Copies::default();
    let rules = rules.inspect(|rule| {
        copies.evaluated += u64::from(matches!(rule.filter, Filter::Sql(_) | Filter::Correlation(_)));
    });
    let Selection { unchanged, annotated, errors } = select(rules, &PropertyEditor::new(message), random);
    copies.errors.extend(errors.into_iter().map(|(_, error)| error));
    if unchanged {
        copies.messages.push(message.clone());
    }
    for rule in annotated {
        let mut editor = PropertyEditor::new(message);
        match rule.annotate(&mut editor, random).and_then(|()| editor.finish()) {
            Ok(copy) => copies.messages.push(copy),
            Err(error) => copies.errors.push(error),
        }
    }
    copies
}

/// Checks what a rule must have beyond its texts.
pub(in crate::broker) fn check(rule: &Rule) -> Result<(), EntityError> {
    super::name::check_rule(&rule.name)
}
