//! The checked-in list of red cells, which may only shrink.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Call, peer and fault.
const RED: &str = include_str!("red.tsv");

/// The name of a call and of a peer.
pub(crate) type Names = (String, String);

/// The list.
///
/// # Panics
/// When a line is no row, or stands twice.
pub(crate) fn listed() -> BTreeMap<Names, String> {
    let mut listed = BTreeMap::new();
    for line in RED.lines().filter(|line| !line.starts_with('#')) {
        let [call, peer, wrong] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("no row: {line:?}") };
        let before = listed.insert((call.to_owned(), peer.to_owned()), wrong.to_owned());
        assert!(before.is_none(), "twice: {line:?}");
    }
    listed
}

/// Holds what was found against the list.
///
/// # Panics
/// When they differ; `MATRIX_RED` names a file for the list that would be right.
pub(crate) fn compare(found: &BTreeMap<Names, String>) {
    if let Some(path) = std::env::var_os("MATRIX_RED") {
        let mut text = String::from("# Red cells: call, peer, fault. Rows are only taken out.\n");
        for ((call, peer), wrong) in found {
            _ = writeln!(text, "{call}\t{peer}\t{wrong}");
        }
        std::fs::write(path, text).expect("the list is written");
    }
    let differences = differences(found, &listed());
    assert!(differences.is_empty(), "\n{differences}");
}

fn differences(found: &BTreeMap<Names, String>, listed: &BTreeMap<Names, String>) -> String {
    let mut differences = String::new();
    for (names, wrong) in found {
        match listed.get(names) {
            None => _ = writeln!(differences, "red and not in the list: {names:?}: {wrong}"),
            Some(before) if before != wrong => {
                _ = writeln!(differences, "{names:?}: {wrong}, in the list {before}");
            }
            Some(_) => {}
        }
    }
    for names in listed.keys().filter(|names| !found.contains_key(*names)) {
        _ = writeln!(differences, "green, remove it from red.tsv: {names:?}");
    }
    differences
}

#[test]
fn the_list_may_only_shrink() {
    let cells = |rows: &[(&str, &str)]| -> BTreeMap<Names, String> {
        rows.iter().map(|(call, wrong)| (((*call).to_owned(), "peer".to_owned()), (*wrong).to_owned())).collect()
    };
    let listed = cells(&[("a", "late"), ("b", "pending")]);
    assert_eq!(differences(&listed, &listed), "");
    let added = differences(&cells(&[("a", "late"), ("b", "pending"), ("c", "late")]), &listed);
    assert!(added.starts_with("red and not in the list") && added.contains("\"c\""), "{added}");
    let mended = differences(&cells(&[("a", "late")]), &listed);
    assert!(mended.starts_with("green, remove it") && mended.contains("\"b\""), "{mended}");
    let other = differences(&cells(&[("a", "spins"), ("b", "pending")]), &listed);
    assert!(other.contains("spins, in the list late"), "{other}");
}
