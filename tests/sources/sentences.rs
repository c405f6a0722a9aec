//! Every async method of a client handle states in fixed words what a dropped future leaves behind, how long it takes,
//! and, where a message moves, how often that happens (`core/src/guide.rs`).

use servicebus_core::storage::Heap;
use servicebus_simulation::Simulated;
use servicebus_tests::calls::{Bound, administration_calls, calls};
use servicebus_tokio::Tokio;
use servicebus_tokio::administration::Http;
use std::collections::BTreeMap;
use std::path::Path;
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Type};

/// The sentences about a bound.
fn bounds(bound: Bound) -> &'static [&'static str] {
    match bound {
        Bound::Policy => &["Bound: the retry policy.", "Bound: the retry policy for each round."],
        Bound::Policies(_) => {
            &["Bound: the retry policy for each batch.", "Bound: the retry policy, and as long for its delivery."]
        }
        Bound::Attempt => &["Bound: one attempt."],
        Bound::Given(_) => &["Bound: the time given.", "Bound: twelve seconds.", "Bound: that of `work`."],
        Bound::Close => &["Bound: one attempt, and ten seconds."],
        Bound::UntilClosed => {
            &["Bound: none; it ends with the client.", "Bound: none; it ends when it is stopped, or with the client."]
        }
    }
}

/// The sentences about a message that moves.
const GUARANTEES: [&str; 5] = [
    "Guarantee: at least once.",
    "Guarantee: at most once.",
    "Guarantee: at least once with locks, at most once with receive-and-delete.",
    "Guarantee: at most once, and only when the transaction commits.",
    "Guarantee: all or nothing; unknown when the answer is lost.",
];

/// Whether a message moves by this call.
fn moves(name: &str) -> bool {
    let (kind, method) = name.split_once("::").expect("a type and a method");
    let verbs =
        ["send", "schedule", "cancel", "receive", "next", "complete", "abandon", "defer", "dead_letter", "settle"];
    let verbs = verbs.into_iter().chain(["delete", "purge", "run", "commit", "roll_back", "enqueue"]);
    !kind.starts_with("Client") && verbs.into_iter().any(|verb| method.starts_with(verb))
}

/// The paragraphs of a documentation, each in one line.
fn paragraphs(attributes: &[Attribute]) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        let Expr::Lit(literal) = &meta.value else { continue };
        let Lit::Str(text) = &literal.lit else { continue };
        let text = text.value();
        let line = text.trim();
        let last = paragraphs.last_mut().expect("there is one");
        if line.is_empty() {
            paragraphs.push(String::new());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(line);
        }
    }
    paragraphs
}

/// The documentation of public methods in a folder, by type and method.
fn documented(folder: &str) -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for item in file.items {
            let Item::Impl(block) = item else { continue };
            let Type::Path(of) = &*block.self_ty else { continue };
            let Some(kind) = of.path.segments.last().filter(|_| block.trait_.is_none()) else { continue };
            for method in block.items {
                if let ImplItem::Fn(method) = method {
                    found.insert(format!("{}::{}", kind.ident, method.sig.ident), paragraphs(&method.attrs));
                }
            }
        }
    }
    found
}

#[test]
fn every_async_method_states_cancel_safety_bound_and_guarantee() {
    let documented = documented("../core/src/client");
    let calls = calls::<Simulated<Heap>>();
    let mut wrong = Vec::new();
    for call in &calls {
        let name = call.name;
        // Of a trait, and documented at its type.
        let Some(paragraphs) = documented.get(name).filter(|_| !name.ends_with("::poll_next")) else { continue };
        let starting = |word: &str| paragraphs.iter().filter(|text| text.starts_with(word)).collect::<Vec<_>>();
        if starting("Cancel safety: ").len() != 1 {
            wrong.push(format!("{name}: no sentence begins with \"Cancel safety: \""));
        }
        // A call that has several rows says one of their bounds.
        let allowed: Vec<&str> =
            calls.iter().filter(|other| other.name == name).flat_map(|other| bounds(other.bound)).copied().collect();
        let bounds = starting("Bound: ");
        if bounds.len() != 1 || !allowed.contains(&bounds[0].as_str()) {
            wrong.push(format!("{name}: {bounds:?} is none of {allowed:?}"));
        }
        let guarantees = starting("Guarantee: ");
        let right = match guarantees.as_slice() {
            [] => !moves(name),
            [only] => moves(name) && GUARANTEES.contains(&only.as_str()),
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: guarantees {guarantees:?}"));
        }
    }
    assert!(calls.len() > 60);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same of administration: what changes an entity says how often.
#[test]
fn every_administration_method_states_cancel_safety_bound_and_guarantee() {
    let documented = documented("../core/src/client/administration");
    let calls = administration_calls::<Http, Tokio>();
    let mut wrong = Vec::new();
    for name in calls.iter().map(|call| call.name) {
        let method = name.split_once("::").expect("a type and a method").1;
        let bound = if method == "all" { " for each page." } else { "." };
        let changes = ["create", "update", "delete"].iter().any(|verb| method.starts_with(verb));
        let often = if method == "update_if_unchanged" { "most" } else { "least" };
        let guarantee = changes.then(|| format!("Guarantee: at {often} once."));
        let expected = [vec![format!("Bound: the retry policy{bound}")], Vec::from_iter(guarantee)];
        let Some(paragraphs) = documented.get(name) else {
            wrong.push(format!("{name} is not found"));
            continue;
        };
        let starting =
            |word: &str| paragraphs.iter().filter(|text| text.starts_with(word)).cloned().collect::<Vec<_>>();
        let found = [starting("Bound: "), starting("Guarantee: ")];
        if starting("Cancel safety: ").len() != 1 || found != expected {
            wrong.push(format!("{name}: {found:?} is not {expected:?}, or there is no sentence of cancel safety"));
        }
    }
    assert!(calls.len() > 20);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
