//! Rows of docs/evidence/field-reports.md that belong to the client are shown in both storages and on each runtime: each
//! cell of that table has a test whose name ends in the row, or a reason why not.

use super::fault_rows::{endings, stated};
use super::files::text_files;
use std::collections::BTreeMap;

const LEFT_OUT: &str = include_str!("../fault-cells-left-out.tsv");

const ROWS: [&str; 19] = [
    "C1", "C2", "C3", "C4", "C5", "C10", "C12", "C15", "C16", "C17", "C20", "C22", "H1", "H2", "H3", "H4", "H5", "H6",
    "H7",
];

const COLUMNS: [&str; 5] = ["heap", "fixed", "tokio", "smol", "embassy"];

/// The suite that runs on every adapter.
const SUITE: &str = "tests/sockets/runtimes/main.rs";

/// The column of an adapter of the suite.
fn column(adapter: &str) -> &'static str {
    match adapter {
        _ if adapter.starts_with("Tokio") => "tokio",
        _ if adapter.starts_with("Embassy") => "embassy",
        _ => "smol",
    }
}

/// The columns of a test by its file; a scene has one test for each storage.
fn columns(path: &str, is_scene: bool) -> &'static [&'static str] {
    match path {
        _ if path.starts_with("tests/sockets/client_faults/") => &["tokio"],
        _ if path.starts_with("tests/virtual_time/") && is_scene => &["heap", "fixed"],
        _ if path.starts_with("tests/virtual_time/") || path.starts_with("core/src/") => &["heap"],
        _ => &[],
    }
}

/// The tests of the suite with their columns.
fn suite(text: &str) -> Vec<(&str, Vec<&'static str>)> {
    let (mut tests, mut adapters) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(names) = line.strip_prefix("{ ").and_then(|rest| rest.strip_suffix(" }:")) {
            adapters = names.split(' ').map(column).collect();
        } else if !adapters.is_empty() && line.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
            tests.push((line, adapters.clone()));
        }
    }
    tests
}

/// Row and column to the names of tests.
fn shown() -> BTreeMap<(String, &'static str), Vec<String>> {
    let mut shown = BTreeMap::<_, Vec<String>>::new();
    for test in stated() {
        let path = test.test.split("::").next().unwrap_or_default();
        for row in &test.rows {
            for column in columns(path, test.is_scene) {
                shown.entry((row.clone(), *column)).or_default().push(test.test.clone());
            }
        }
    }
    let files = text_files();
    let (_, text) = files.iter().find(|(path, _)| path == SUITE).expect("the suite");
    for (name, columns) in suite(text) {
        for row in endings(name) {
            for column in &columns {
                shown.entry((row.clone(), *column)).or_default().push(name.to_owned());
            }
        }
    }
    shown
}

/// Row and column to a reason.
fn left_out() -> BTreeMap<(String, &'static str), &'static str> {
    let mut reasons = BTreeMap::new();
    for line in LEFT_OUT.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [row, columns, reason] = cells[..] else { panic!("row, columns and reason: {line}") };
        assert!(ROWS.contains(&row) && !reason.trim().is_empty(), "{line}");
        for column in columns.split(' ') {
            let column = COLUMNS.iter().find(|known| **known == column).unwrap_or_else(|| panic!("{line}: {column}"));
            assert!(reasons.insert((row.to_owned(), *column), reason).is_none(), "{row} {column} is left out twice");
        }
    }
    reasons
}

/// Prints the table: `cargo test --test sources -- every_row_of_the_client --nocapture`.
#[test]
fn every_row_of_the_client_is_shown_in_both_storages_and_on_each_runtime() {
    let (shown, left_out) = (shown(), left_out());
    let mut wrong = Vec::new();
    for row in ROWS {
        for column in COLUMNS {
            let cell = (row.to_owned(), column);
            match (shown.get(&cell), left_out.get(&cell)) {
                (Some(tests), None) => println!("{row:4} {column:8} {}", tests.join(", ")),
                (None, Some(reason)) => println!("{row:4} {column:8} left out: {reason}"),
                (None, None) => wrong.push(format!("{row} has no test on {column}, and no reason")),
                (Some(tests), Some(_)) => {
                    wrong.push(format!("{row} on {column} is left out and has a test: {}", tests.join(", ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_suite_is_read_with_its_adapters() {
    let text = "suite! {\n    { TokioThreads Smol EmbassyFixed }:\n    faults {\n        it_ends_c1\n    }\n}\n";
    assert_eq!(suite(text), [("it_ends_c1", vec!["tokio", "smol", "embassy"])]);
}
