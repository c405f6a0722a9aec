//! Every row of docs/evidence/pinned-behaviour.md that is about messaging has a test that pins it, or a reason why not.

use servicebus_tests::evidence;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const TABLE: &str = include_str!("../pinned-behaviour.tsv");

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The rows of the table: id, then tests or a reason.
fn rows() -> Vec<(&'static str, &'static str)> {
    TABLE.lines().map(|line| line.split_once('\t').expect("an id, a tab, and what pins it")).collect()
}

#[test]
fn every_named_test_exists() {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut missing = Vec::new();
    let mut seen = BTreeSet::new();
    for (id, pins) in rows() {
        assert!(seen.insert(id), "{id} is there twice");
        if let Some(reason) = pins.strip_prefix("left out: ") {
            assert!(!reason.trim().is_empty(), "{id} is left out without a reason");
            continue;
        }
        for pin in pins.split(", ") {
            let Some((file, name)) = pin.split_once("::") else {
                missing.push(format!("{id}: {pin} is no file::test"));
                continue;
            };
            let text = files.entry(file).or_insert_with(|| {
                // A file that is gone holds no test.
                std::fs::read_to_string(root().join(file)).unwrap_or_default()
            });
            let definitions = [
                format!("fn {name}("),
                format!("def {name}("),
                format!("test(\"{name}\""),
                // A scene that is run on both storages.
                format!("{name} => "),
            ];
            if !definitions.iter().any(|definition| text.contains(definition.as_str())) {
                missing.push(format!("{id}: {pin}"));
            }
        }
    }
    assert!(missing.is_empty(), "tests that are not there:\n{}", missing.join("\n"));
}

#[test]
fn every_row_is_in_the_table_and_no_other() {
    let text = evidence::document("pinned-behaviour.md");
    let mut wanted = BTreeSet::new();
    let mut group = 0;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title.split_once('.').and_then(|(number, _)| number.parse().ok()).unwrap_or(0);
        }
        let id = line.strip_prefix("| ").and_then(|rest| rest.split_once(" |")).map_or("", |(id, _)| id);
        let is_id = id.len() > 3 && id.is_ascii() && id[3..].bytes().all(|byte| byte.is_ascii_digit());
        // Group 15 is the administration API, which has suites of its own.
        if is_id && (1..=17).contains(&group) && group != 15 {
            wanted.insert(id);
        }
    }
    assert!(wanted.len() > 300, "only {} rows were understood", wanted.len());
    let listed: BTreeSet<&str> = rows().into_iter().map(|(id, _)| id).collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}
