//! Judges cells against the list of those that are red today.

use crate::cell::Verdict;
use crate::red::red;
use std::time::Duration;

/// A cell that was played.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

/// Fails for cells that are red and not listed, listed and not red, or could not be prepared; `MATRIX_RED` names a
/// file for them.
pub(crate) fn judge(cells: Vec<Cell>) {
    let red = red();
    let mut wrong = Vec::new();
    let (mut green, mut known) = (0, 0);
    let slowest = cells.iter().max_by_key(|cell| cell.took).map(|cell| format!("{} {:.1?}", cell.name, cell.took));
    for Cell { name, verdict, took } in &cells {
        match (verdict, red.get(name.as_str())) {
            (Verdict::Kept, None) => green += 1,
            (Verdict::Kept, Some(_)) => wrong.push(format!("{name}\tis listed as red and is green: remove it")),
            (Verdict::Late(_) | Verdict::Panicked(_), Some(_)) => known += 1,
            (Verdict::Late(_), None) => wrong.push(format!("{name}\tlate, waited for {took:.1?}")),
            (Verdict::Panicked(text), None) => wrong.push(format!("{name}\tpanicked: {text}")),
            (Verdict::Unprepared(reason), _) => wrong.push(format!("{name}\tcould not be prepared: {reason}")),
        }
    }
    println!("{} cells: {green} green, {known} red and listed; slowest: {slowest:?}", cells.len());
    wrong.sort();
    if let Some(path) = std::env::var_os("MATRIX_RED") {
        // What would have to be listed, to be read before it is.
        std::fs::write(path, wrong.join("\n") + "\n").expect("the list is written");
    }
    assert!(wrong.is_empty(), "{} of {} cells are wrong:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}
