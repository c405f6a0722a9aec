//! Judges cells against the list of those that are red today.

use crate::cell::Verdict;
use crate::red::red;
use std::collections::BTreeMap;
use std::time::Duration;

/// A cell that was played.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// Whether the call met the misbehaviour.
    pub(crate) met: bool,
    pub(crate) took: Duration,
}

impl Cell {
    /// Green and not listed, or red and listed.
    pub(crate) fn is_expected(&self, red: &BTreeMap<&str, &str>) -> bool {
        let listed = red.contains_key(self.name.as_str());
        match self.verdict {
            Verdict::Kept => !listed,
            Verdict::Late(_) | Verdict::Pending(_) | Verdict::Panicked(_) => listed,
            Verdict::Unprepared(_) => false,
        }
    }
}

/// Fails for cells that are red and not listed, listed and not red, or could not be prepared; `MATRIX_RED` names a
/// file for them.
pub(crate) fn judge(cells: Vec<Cell>) {
    let red = red();
    let mut wrong = Vec::new();
    let (mut green, mut known) = (0, 0);
    let slowest = cells.iter().max_by_key(|cell| cell.took).map(|cell| format!("{} {:.1?}", cell.name, cell.took));
    for Cell { name, verdict, .. } in &cells {
        if let (Verdict::Late(_) | Verdict::Pending(_), Some(reason)) = (verdict, red.get(name.as_str())) {
            println!("red: {name}: {verdict:?} ({reason})");
        }
        match (verdict, red.get(name.as_str())) {
            (Verdict::Kept, None) => green += 1,
            (Verdict::Kept, Some(_)) => wrong.push(format!("{name}\tis listed as red and is green: remove it")),
            (Verdict::Late(_) | Verdict::Pending(_) | Verdict::Panicked(_), Some(_)) => known += 1,
            (Verdict::Late(after), None) => wrong.push(format!("{name}\tlate: ends after {after:.1?}")),
            (Verdict::Pending(after), None) => wrong.push(format!("{name}\tpending after {after:.1?}")),
            (Verdict::Panicked(text), None) => wrong.push(format!("{name}\tpanicked: {text}")),
            (Verdict::Unprepared(reason), _) => wrong.push(format!("{name}\tcould not be prepared: {reason}")),
        }
    }
    let met = cells.iter().filter(|cell| cell.met).count();
    let count = cells.len();
    println!("{count} cells, {met} meet the misbehaviour: {green} green, {known} red and listed; slowest: {slowest:?}");
    wrong.sort();
    if let Some(path) = std::env::var_os("MATRIX_RED") {
        // What would have to be listed, to be read before it is.
        std::fs::write(path, wrong.join("\n") + "\n").expect("the list is written");
    }
    assert!(wrong.is_empty(), "{} of {} cells are wrong:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}
