//! Each known difference is shown by a sequence: tolerated it is green, and red at its last step otherwise.

use servicebus_tests::evidence;
use servicebus_tests::model::driver::{self, quietly, tolerated};
use servicebus_tests::model::known::{KNOWN, Row};
use servicebus_tests::model::steps::{Draft, Kind, Sequence, Setup, Step};

const PLAIN: Draft = Draft { session: None, id: None, color: None, quantity: None, ttl: None, delay: None };
const OF_SESSION: Draft = Draft { session: Some(0), ..PLAIN };

const fn credit(link: u8, count: u8) -> Step {
    Step::Credit { link, count }
}

const fn send(entity: u8, draft: Draft, txn: Option<u8>) -> Step {
    Step::Send { client: 0, entity, draft, txn }
}

const fn accept(session: u8) -> Step {
    Step::Accept { client: 0, place: 0, session }
}

/// The sequence that shows a row.
fn sequence(row: Row) -> (Kind, Vec<Step>) {
    match row {
        // The third session id is the first one in another case.
        "F67" => (Kind::Sessions, vec![send(0, OF_SESSION, None), accept(2), credit(0, 1)]),
        _ => panic!("{row} has no sequence"),
    }
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
