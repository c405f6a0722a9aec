//! The cells that are red today. The list may only shrink: a cell that is listed and green fails until it is removed.

use std::collections::BTreeMap;

const LIST: &str = include_str!("red.tsv");

/// The listed cells with what is wrong with them.
pub(crate) fn red() -> BTreeMap<&'static str, &'static str> {
    let mut cells = BTreeMap::new();
    for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) = line.split_once('\t').expect("a cell, a tab, and what is wrong");
        assert!(!reason.trim().is_empty(), "{name} is listed without a reason");
        assert!(cells.insert(name, reason).is_none(), "{name} is listed twice");
    }
    cells
}
