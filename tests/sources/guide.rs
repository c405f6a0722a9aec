//! The guide's tables are complete, and its figures are those of the code.

use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::storage::Heap;
use servicebus_simulation::Simulated;
use servicebus_tests::calls::{Bound, calls, policy};
use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the rows of the guide's tables.
fn rows() -> Vec<Vec<String>> {
    let guide = text("core/src/guide.rs");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("//! |")?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What the guide may say about a bound.
fn words(bound: Bound) -> &'static [&'static str] {
    match bound {
        Bound::Policy => &["the retry policy", "the retry policy for each round"],
        Bound::Policies(_) => {
            &["the retry policy for each batch", "the retry policy for the place, and for the outcome"]
        }
        Bound::Attempt => &["one attempt"],
        Bound::Given(_) => &["the time given", "twelve seconds"],
        Bound::Close => &["one attempt, and ten seconds"],
        Bound::UntilClosed => &["none: until the client closes", "none: until it is stopped"],
    }
}

#[test]
fn every_call_of_messages_has_a_row_with_its_bound() {
    let rows = rows();
    let table: Vec<&Vec<String>> = rows.iter().filter(|row| row.len() == 4).collect();
    // What a row of the guide names by another one of the same kind, or by `close`.
    let kin = |name: &str| match name {
        "Sender::schedule_each" | "Sender::schedule_all" => "Sender::schedule".to_owned(),
        "Receiver::abandon_with" => "Receiver::abandon".to_owned(),
        "Receiver::defer_with" => "Receiver::defer".to_owned(),
        "Receiver::renew_lock_by_token" => "Receiver::renew_lock".to_owned(),
        "Receiver::peek_each" => "Receiver::peek".to_owned(),
        "Peeker::peek_each" => "Peeker::peek".to_owned(),
        "Messages::poll_next" => "Receiver::messages".to_owned(),
        "Client::accept_non_exclusive_session" => "Client::accept_session".to_owned(),
        "Client::accept_next_non_exclusive_session" => "Client::accept_next_session".to_owned(),
        "Processor::run_inline" => "Processor::run".to_owned(),
        "SessionProcessor::run_inline" => "SessionProcessor::run".to_owned(),
        "ProcessorMessage::abandon_with" => "Receiver::abandon".to_owned(),
        "ProcessorMessage::defer_with" => "Receiver::defer".to_owned(),
        "Delivery::poll" => "Sender::enqueue".to_owned(),
        "ProcessorMessage::complete_in" | "ProcessorMessage::settle_in" => name.to_owned(),
        name => name.replace("ProcessorMessage::", "Receiver::"),
    };
    let mut missing = Vec::new();
    let timed = |bound| matches!(bound, Bound::Given(_));
    let all = calls::<Simulated<Heap>>();
    for call in &all {
        let name = kin(call.name);
        // Waits without an effect, and second rows of calls whose usual bound is another.
        let waits = ["LockRenewal::ended", "LockRenewal::during", "Client::state_changed", "Receiver::stopping"];
        let usual = all.iter().any(|other| other.name == call.name && timed(other.bound) != timed(call.bound));
        if waits.contains(&name.as_str()) || usual || name.ends_with("::close") {
            continue;
        }
        let (kind, method) = name.split_once("::").expect("a type and a method");
        let found = table.iter().find(|row| {
            let mut owner = "";
            row[0].split(", ").any(|cell| {
                let cell = cell.trim_matches('`');
                let (of, found) = cell.split_once("::").unwrap_or((owner, cell));
                owner = of;
                of == kind && found == method
            })
        });
        match found {
            Some(row) if words(call.bound).contains(&row[2].as_str()) => {}
            Some(row) => missing.push(format!("{}: {:?} is {:?} in the guide", call.name, call.bound, row[2])),
            None => missing.push(format!("{} has no row", call.name)),
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_kind_of_error_has_a_row() {
    let source = text("core/src/client/error.rs");
    let kinds =
        source.split("pub enum ErrorKind {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the enum");
    let kinds: Vec<&str> = kinds
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',').filter(|name| name.chars().all(char::is_alphanumeric)))
        .collect();
    assert!(kinds.len() > 15, "{kinds:?}");
    let rows = rows();
    let named: Vec<&str> = rows.iter().filter(|row| row.len() == 2).map(|row| row[0].trim_matches('`')).collect();
    for kind in &kinds {
        assert!(named.contains(kind), "{kind} has no row in the guide");
    }
}

#[test]
fn the_worst_case_of_the_default_policy_is_as_told() {
    let told = text("core/src/guide.rs");
    let seconds = policy(&RetryPolicy::default()).as_secs_f64();
    assert!(told.contains(&format!("**{seconds} seconds**")), "{seconds}");
    for readme in ["runtime-tokio/README.md", "runtime-async-std/README.md"] {
        assert!(text(readme).contains(&format!("{seconds} seconds at worst")), "{readme}: {seconds}");
    }
}
