//! Each known difference is shown by a sequence: tolerated it is green, and red at its last step otherwise.

use servicebus_tests::evidence;
use servicebus_tests::model::driver::{self, quietly, tolerated};
use servicebus_tests::model::entities::Status;
use servicebus_tests::model::known::{KNOWN, Row};
use servicebus_tests::model::settlement::Ending;
use servicebus_tests::model::steps::{Change, Draft, Kind, Pass, Sequence, Setup, Step};

const SEND: Step = Step::Send { client: 0, entity: 0, draft: PLAIN, txn: None };
const PLAIN: Draft = Draft { session: None, id: None, color: None, quantity: None, ttl: None, delay: None };
const OF_SESSION: Draft = Draft { session: Some(0), ..PLAIN };
const DECLARE: Step = Step::Declare { client: 0 };
const BEYOND: Step = Step::Time(Pass::Some(121_000));

const fn open(place: u8) -> Step {
    Step::Open { client: 0, place, deleting: false }
}

const fn credit(link: u8, count: u8) -> Step {
    Step::Credit { link, count }
}

const fn settle(which: u8, ending: Ending, managed: bool, txn: Option<u8>) -> Step {
    Step::Settle { client: 0, which, ending, managed, txn }
}

const fn send(entity: u8, draft: Draft, txn: Option<u8>) -> Step {
    Step::Send { client: 0, entity, draft, txn }
}

const fn accept(session: u8) -> Step {
    Step::Accept { client: 0, place: 0, session }
}

const fn disable(place: u8, status: Status) -> Step {
    Step::Update { entity: place, change: Change::Status(status) }
}

/// The sequence that shows a row.
fn sequence(row: Row) -> (Kind, Vec<Step>) {
    let reject = |which| settle(which, Ending::Reject, false, None);
    match row {
        "F11" => (Kind::Forwarding, vec![disable(0, Status::Disabled), SEND]),
        "F12" => {
            let steps = vec![send(1, PLAIN, None), open(0), credit(0, 1), disable(1, Status::Disabled), reject(0)];
            (Kind::Forwarding, steps)
        }
        "F13" => (Kind::Forwarding, vec![disable(0, Status::SendDisabled), SEND]),
        "F15" => (Kind::Queue, vec![SEND, open(0), credit(0, 1), reject(0), open(3), credit(1, 1), reject(1)]),
        "F36" => (Kind::Queue, vec![DECLARE, BEYOND]),
        "F37" => {
            let steps = vec![SEND, open(0), credit(0, 1), reject(0), open(3), credit(1, 1), DECLARE];
            (Kind::Queue, [steps, vec![settle(1, Ending::Reject, false, Some(0))]].concat())
        }
        "F41" => (Kind::Forwarding, vec![DECLARE, send(0, PLAIN, Some(0)), send(1, PLAIN, Some(0))]),
        "F48" => (Kind::Queue, vec![DECLARE, BEYOND, send(0, PLAIN, Some(0))]),
        // The third session id is the first one in another case.
        "F67" => (Kind::Sessions, vec![send(0, OF_SESSION, None), accept(2), credit(0, 1)]),
        "F70" => {
            let steps = vec![send(0, OF_SESSION, None), accept(0), credit(0, 1), settle(0, Ending::Defer, false, None)];
            let deferred = Step::Deferred { client: 0, which: 0, locking: true };
            let complete = settle(1, Ending::Complete, true, None);
            (Kind::Sessions, [steps, vec![deferred, complete, complete]].concat())
        }
        "F71" => {
            let set = Step::SetState { client: 0, place: 0, session: 0, state: Some(7), txn: Some(0) };
            let get = Step::GetState { client: 0, place: 0, session: 0 };
            (Kind::Sessions, vec![accept(0), DECLARE, set, get])
        }
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
