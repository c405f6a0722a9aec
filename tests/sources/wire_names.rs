//! Every filter, property, annotation, operation and entry name that core and emulator write or read has a source: the
//! recordings of the SDK for .NET (docs/evidence/data/dotnet-wire), or a section of the evidence. A name that was made up,
//! or taken from prose, is found here (docs/evidence/field-reports.md F68).

use crate::files::text_files;
use servicebus_tests::evidence;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name, a tab, and `dotnet-wire` or a citation.
const TABLE: &str = include_str!("../wire-names.tsv");
/// Where names are written down.
const FOLDERS: [&str; 5] = [
    "core/src/servicebus/",
    "core/src/machine/",
    "emulator/src/broker/protocol/",
    "emulator/src/broker/entities/",
    "emulator/src/filter/",
];

fn table() -> BTreeMap<&'static str, &'static str> {
    let rows: Vec<_> =
        TABLE.lines().map(|line| line.split_once('\t').expect("a name, a tab, and its source")).collect();
    let table: BTreeMap<_, _> = rows.iter().copied().collect();
    assert_eq!(table.len(), rows.len(), "a name is there twice");
    table
}

/// A name of Service Bus, or words with hyphens between them: what keys of maps look like.
fn is_name(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let rest = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.-".contains(&byte))
    };
    match text.split_once(':') {
        Some((namespace, name)) => namespace.starts_with("com.") && rest(name),
        None => text.strip_prefix("x-opt-").is_some_and(rest) || (text.contains('-') && text.split('-').all(word)),
    }
}

/// The string literals of a source, without those of its tests and comments.
fn literals(source: &str) -> Vec<&str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    // No name holds a quote: every second part between quotes is a literal, or is no name.
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

fn written_down() -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (path, text) in text_files() {
        let here = FOLDERS.iter().any(|folder| path.starts_with(folder));
        if here && path.ends_with(".rs") && !path.contains("administration") && !path.contains("/tests") {
            for name in literals(&text).into_iter().filter(|text| is_name(text)) {
                names.entry(name.to_owned()).or_insert_with(|| path.clone());
            }
        }
    }
    assert!(names.len() > 80, "only {} names were found", names.len());
    names
}

/// What the client wrote in every recording.
fn recorded() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence/data/dotnet-wire");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the recordings") {
        let path = entry.expect("a recording").path();
        if path.extension().is_none_or(|extension| extension != "rec") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a recording");
        let (mut rest, mut written) = (&bytes[..], Vec::new());
        while let [from, a, b, c, d, behind @ ..] = rest {
            let (part, next) = behind.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
            if *from == b'>' {
                written.extend_from_slice(part);
            }
            rest = next;
        }
        all.push(written);
    }
    assert!(all.len() >= 38, "only {} recordings", all.len());
    all
}

/// The short strings and symbols in what was written.
fn strings(written: &[u8]) -> impl Iterator<Item = &str> {
    (2..written.len()).filter_map(|at| {
        let [0xa1 | 0xa3, len] = written[at - 2..at] else { return None };
        std::str::from_utf8(written.get(at..at + usize::from(len))?).ok()
    })
}

#[test]
fn every_name_on_the_wire_has_a_source() {
    let table = table();
    let written = written_down();
    let unknown: Vec<_> = written.iter().filter(|(name, _)| !table.contains_key(&***name)).collect();
    assert!(unknown.is_empty(), "not in tests/wire-names.tsv: {unknown:?}");
    let unused: Vec<_> = table.keys().filter(|name| !written.contains_key(**name)).collect();
    assert!(unused.is_empty(), "in tests/wire-names.tsv, and nowhere else: {unused:?}");
}

#[test]
fn names_of_the_recordings_are_in_them_and_the_others_in_the_evidence() {
    let recordings = recorded();
    let seen: BTreeSet<&str> = recordings.iter().flat_map(|written| strings(written)).collect();
    let mut wrong = Vec::new();
    for (name, source) in table() {
        let operation = format!("com.microsoft:{name}");
        let is_there = match source {
            "dotnet-wire" => seen.contains(name) || seen.contains(&*operation),
            // Ours alone.
            "own" => !seen.contains(name),
            citation => {
                let (document, _) = citation.split_once(" §").expect("a document and a section");
                let document = document.strip_prefix("docs/evidence/").expect("a document of the evidence");
                !seen.contains(name) && evidence::document(document).contains(name.trim_start_matches("com.microsoft:"))
            }
        };
        if !is_there {
            wrong.push((name, source));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_name_that_dotnet_sends_is_known_here() {
    let table = table();
    let recordings = recorded();
    let sent = recordings.iter().flat_map(|written| strings(written));
    let sent = sent.filter(|name| name.starts_with("com.microsoft:") || name.starts_with("x-opt-"));
    let unknown: BTreeSet<_> = sent.filter(|name| !table.contains_key(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
