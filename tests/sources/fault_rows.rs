//! Every row of docs/evidence/field-reports.md has a test whose name ends in it, or a reason why not.

use crate::files::text_files;
use servicebus_tests::evidence;
use std::collections::{BTreeMap, BTreeSet};

const LEFT_OUT: &str = include_str!("../fault-rows-left-out.tsv");

/// `F14` and its like: a letter of the paper's tables, and a number.
pub(crate) fn is_row(word: &str) -> bool {
    let digits = word.strip_prefix(['A', 'C', 'D', 'F', 'G', 'H', 'N']).unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rows of the paper: the first cells of its tables, and the numbered sentences of section 6.
pub(crate) fn rows() -> BTreeSet<String> {
    let (mut rows, mut section) = (BTreeSet::new(), 0);
    for line in evidence::document("field-reports.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
        let cell = line.strip_prefix("| ").and_then(|rest| rest.split(" |").next()).unwrap_or("");
        // A sentence refers to other rows in parentheses: "(C19)" is none of the section's own.
        let sentences = line.split(' ').filter(|word| section == 6 && word.starts_with('N'));
        rows.extend(sentences.chain([cell]).filter(|word| is_row(word)).map(str::to_owned));
    }
    rows
}

/// A test that states rows.
pub(crate) struct Stated {
    /// FILE::NAME, or FILE where a script cites the row.
    pub(crate) test: String,
    /// The rows that its name ends in.
    pub(crate) rows: Vec<String>,
    /// A macro makes tests of it, one for each storage.
    pub(crate) is_scene: bool,
    /// The row of its mark.
    mark: Option<String>,
}

/// `a_lock_ends_f14_f15` ends in F15 and F14; `TestALockEndsF14` in F14.
pub(crate) fn endings(name: &str) -> Vec<String> {
    let parts: Vec<String> = name.rsplit(['_', ' ']).map(str::to_uppercase).collect();
    let found: Vec<String> = parts.iter().take_while(|part| is_row(part)).cloned().collect();
    if !found.is_empty() {
        // A name that is nothing but a row is none: the type `f64`.
        return if found.len() < parts.len() { found } else { Vec::new() };
    }
    // In camel case the row follows a small letter; `TestDrainsCRD1` ends in CRD1.
    let at = name.rfind(|letter: char| !letter.is_ascii_digit()).unwrap_or(0);
    let (before, end) = name.split_at_checked(at).unwrap_or_default();
    let camel = before.ends_with(char::is_lowercase) && is_row(end);
    camel.then(|| end.to_owned()).into_iter().collect()
}

/// The identifier that `text` begins with.
fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// What is between the first two double quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

/// The tests of a Rust file: functions with an attribute that makes them one, and scenes that a macro makes tests of.
fn rust_tests(path: &str, text: &str, stated: &mut Vec<Stated>) {
    let (mut is_test, mut mark) = (false, None);
    for line in text.lines().map(str::trim) {
        if let Some(row) = line.strip_prefix("#[known_fault(") {
            (is_test, mark) = (true, quoted(row).map(str::to_owned));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if !line.starts_with("//") {
            let name = line.trim_start_matches("pub ").trim_start_matches("async ").strip_prefix("fn ");
            let scene = line.split_once(" => ").filter(|(_, scene)| scene.ends_with(';')).map(|(name, _)| name);
            let name = name.filter(|_| is_test);
            let is_scene = name.is_none();
            if let Some(name) = name.or(scene).map(identifier) {
                let (test, rows) = (format!("{path}::{name}"), endings(name));
                stated.push(Stated { test, rows, is_scene, mark: mark.take() });
            }
            (is_test, mark) = (false, None);
        }
    }
}

/// The tests of the suites in other languages, by how each names one.
fn other_tests(path: &str, text: &str, stated: &mut Vec<Stated>) {
    for line in text.lines().map(str::trim) {
        let name = ["def test_", "async def test_", "func Test", "void "]
            .iter()
            .find_map(|start| Some(identifier(line.strip_prefix(start)?)))
            .or_else(|| line.strip_prefix("test(").or(line.strip_prefix("it(")).and_then(quoted));
        let Some(name) = name else { continue };
        stated.push(Stated { test: format!("{path}::{name}"), rows: endings(name), is_scene: false, mark: None });
    }
}

pub(crate) fn stated() -> Vec<Stated> {
    let mut stated = Vec::new();
    for (path, text) in text_files() {
        if path.ends_with(".rs") {
            rust_tests(&path, &text, &mut stated);
        } else if path.starts_with("tests/parts/") || path.starts_with("examples/firmware") {
            // A script's check is a comment that begins with its row: `# D1: …`.
            let cited = text.lines().filter_map(|line| line.trim().strip_prefix("# ")?.split(':').next());
            let rows = cited.filter(|word| is_row(word)).map(str::to_owned);
            stated.extend(rows.map(|row| Stated { test: path.clone(), rows: vec![row], is_scene: false, mark: None }));
        } else if path.starts_with("tests/interop/") {
            other_tests(&path, &text, &mut stated);
        }
    }
    stated
}

fn left_out() -> BTreeMap<&'static str, &'static str> {
    let mut reasons = BTreeMap::new();
    for line in LEFT_OUT.lines() {
        let (row, reason) = line.split_once('\t').expect("a row, a tab, and a reason");
        assert!(!reason.trim().is_empty(), "{row} is left out without a reason");
        assert!(reasons.insert(row, reason).is_none(), "{row} is left out twice");
    }
    reasons
}

/// Prints each row with its tests: `cargo test --test sources -- every_row_of_the_field --nocapture`.
#[test]
fn every_row_of_the_field_reports_has_its_test() {
    let (rows, left_out, stated) = (rows(), left_out(), stated());
    assert!(rows.len() >= 140, "only {} rows were understood", rows.len());
    assert!(stated.len() > 500, "only {} tests were found", stated.len());
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::from([("marked", 0), ("mended", 0), ("left out", 0), ("without a test", 0)]);
    let mut in_order: Vec<&String> = rows.iter().collect();
    in_order.sort_by_key(|row| (&row[..1], row[1..].parse::<u32>().unwrap_or(0)));
    for row in in_order {
        let tests: Vec<&Stated> = stated.iter().filter(|test| test.rows.contains(row)).collect();
        let reason = left_out.get(row.as_str());
        let marked = tests.iter().any(|test| test.mark.is_some());
        let state = match (tests.is_empty(), reason) {
            (true, None) => "without a test",
            (true, Some(_)) => "left out",
            (false, _) if marked => "marked",
            (false, _) => "mended",
        };
        *counts.get_mut(state).expect("one of the four") += 1;
        let names: Vec<&str> = tests.iter().map(|test| test.test.as_str()).collect();
        println!("{row:4} {state:14} {}", reason.map_or_else(|| names.join(", "), |reason| (*reason).to_owned()));
        match (tests.is_empty(), reason) {
            (true, None) => wrong.push(format!("{row} has no test and no reason")),
            (false, Some(_)) => wrong.push(format!("{row} is left out and has a test: {}", names.join(", "))),
            _ => {}
        }
    }
    println!("{} rows: {counts:?}", rows.len());
    wrong
        .extend(left_out.keys().filter(|row| !rows.contains(**row)).map(|row| format!("{row} is left out and no row")));
    for test in &stated {
        let unknown = test.rows.iter().filter(|row| !rows.contains(*row));
        wrong.extend(unknown.map(|row| format!("{} ends in {row}, which is no row", test.test)));
        // The paragraph on growth in section 1 is no row: its tests end in its word.
        let ends_in = |mark: &String| test.rows.contains(mark) || test.test.ends_with(&format!("_{mark}"));
        if let Some(mark) = test.mark.as_ref().filter(|mark| !ends_in(mark)) {
            wrong.push(format!("{} is marked {mark} and does not end in it", test.test));
        }
    }
    assert!(wrong.is_empty(), "{} faults in the list of rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_name_ends_in_its_rows() {
    assert_eq!(endings("a_session_lock_ends_f14"), ["F14"]);
    assert_eq!(endings("names_with_dashes_f9_f62"), ["F62", "F9"]);
    assert_eq!(endings("TestALockEndsF14"), ["F14"]);
    assert!(endings("a_key_of_f2_is_taken").is_empty() && endings("TestCRD1").is_empty() && endings("f64").is_empty());
}
