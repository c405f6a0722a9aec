//! Each known difference is shown by a sequence: tolerated it is green, and red at its last step otherwise.

use servicebus_tests::evidence;
use servicebus_tests::model::driver::{self, quietly, tolerated};
use servicebus_tests::model::known::{KNOWN, Row};
use servicebus_tests::model::steps::{Kind, Sequence, Setup, Step};

/// The sequence that shows a row. None is known to be wrong now.
fn sequence(row: Row) -> (Kind, Vec<Step>) {
    let sequences: [(Row, Kind, Vec<Step>); 0] = [];
    let found = sequences.into_iter().find(|(of, _, _)| *of == row);
    let (_, kind, steps) = found.unwrap_or_else(|| panic!("{row} has no sequence"));
    (kind, steps)
}

#[test]
fn each_known_difference_is_shown_by_its_sequence() {
    let text = evidence::document("field-reports.md");
    for known in KNOWN {
        assert!(text.contains(&format!("| {} |", known.row)), "{} is no row", known.row);
        let (kind, steps) = sequence(known.row);
        let setup = Setup { kind, lock: 5_000, max_delivery: 10, ttl: None, dead_on_expiry: false };
        let sequence = Sequence { setup, steps };
        let all = tolerated();
        let others: Vec<Row> = all.iter().copied().filter(|row| *row != known.row).collect();
        if let Err(failed) = quietly(|| driver::run(&sequence, &all, None)) {
            panic!("{}: the broker does not do what is tolerated, at {failed:?}", known.row);
        }
        let Err(failed) = quietly(|| driver::run(&sequence, &others, None)) else {
            panic!("{} is mended: remove the entry ({})", known.row, known.tolerated);
        };
        assert!(!failed.text.starts_with("panic"), "{}: {failed:?}", known.row);
        assert_eq!(failed.step + 1, sequence.steps.len(), "{}: {failed:?}", known.row);
        println!("known difference {}: {}", known.row, known.tolerated);
    }
}
