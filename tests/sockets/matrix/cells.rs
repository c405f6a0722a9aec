//! The matrix: all calls against all peers, many cells beside each other.

use crate::administration;
use crate::cell::{Start, Verdict, play};
use crate::column::{Column, NEVER_MET, columns};
use crate::peer::Carrier;
use crate::platform::{Platform, Smol, Tokio};
use crate::red::red;
use crate::report::{Cell, judge};
use servicebus_tests::calls::{Bound, labelled};
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Cells that run beside each other: they wait far more than they compute.
const BESIDE: usize = 48;

/// After this a cell has stopped its thread from running anything else; it is left behind.
const STUCK: Duration = Duration::from_secs(150);

/// Cells that are played once more run beside few others, so that a busy machine makes none of them late.
const ALONE: usize = 2;

/// More cells than these do not become red by noise.
const MOST_REPEATED: usize = 60;

/// A cell before it is played.
#[derive(Clone)]
struct Planned {
    name: String,
    column: Column,
    start: Start,
    /// The row's place in the table.
    row: usize,
}

/// The cells of a platform; `wanted` chooses by the peer, the label of the call, and how it starts. `MATRIX_ONLY` is a
/// part of the names of cells to be played alone, for the ignored tests.
fn plan<P: Platform>(wanted: impl Fn(Column, &str, Start) -> bool) -> Vec<Planned> {
    let mut planned = Vec::new();
    let only = std::env::var("MATRIX_ONLY").unwrap_or_default();
    // Row by row: floods would take the processors from each other, and from those that still prepare.
    for (row, (label, call)) in labelled::<P::Runtime>().iter().enumerate() {
        for column in columns() {
            for start in [Start::Warm, Start::Cold] {
                if column.takes(call.needs, start) && wanted(column, label, start) {
                    let name = format!("{} / {} / {label} / {start:?}", P::NAME, column.name());
                    if name.contains(&only) {
                        planned.push(Planned { name, column, start, row });
                    }
                }
            }
        }
    }
    planned
}

fn play_row<P: Platform>(column: Column, start: Start, row: usize) -> (Verdict, bool) {
    let calls = labelled::<P::Runtime>();
    catch_unwind(AssertUnwindSafe(|| play::<P>(column, start, &calls[row].1))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        (Verdict::Panicked(text.unwrap_or("without words").to_owned()), true)
    })
}

/// Whether a call has got as far as the misbehaviour, or no call does.
fn met(cell: &Cell) -> bool {
    cell.met || cell.name.contains(NEVER_MET)
}

/// Plays the cells; those that are not as they should be are played once more, and that counts.
fn run<P: Platform>(planned: Vec<Planned>, must_meet: bool) -> Vec<Cell> {
    // Two matrices at once would take the processors from each other.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let red = red();
    let (mut cells, wrong): (Vec<_>, Vec<_>) = play_all::<P>(planned.clone(), BESIDE)
        .into_iter()
        .partition(|cell| cell.is_expected(&red) && (met(cell) || !must_meet));
    if wrong.is_empty() || wrong.len() > MOST_REPEATED {
        cells.extend(wrong);
        return cells;
    }
    println!("{} cells are played once more", wrong.len());
    let again = planned.into_iter().filter(|planned| wrong.iter().any(|cell| cell.name == planned.name)).collect();
    cells.extend(play_all::<P>(again, ALONE));
    cells
}

/// Plays the cells, each in a thread of its own, so many beside each other.
fn play_all<P: Platform>(planned: Vec<Planned>, beside: usize) -> Vec<Cell> {
    let (done, ended) = mpsc::channel();
    let mut waiting: VecDeque<_> = planned.into();
    let mut playing: Vec<(String, Instant)> = Vec::new();
    let mut cells = Vec::new();
    while !waiting.is_empty() || !playing.is_empty() {
        while playing.len() < beside
            && let Some(Planned { name, column, start, row }) = waiting.pop_front()
        {
            let (done, own) = (done.clone(), name.clone());
            playing.push((name, Instant::now()));
            std::thread::spawn(move || {
                let played = play_row::<P>(column, start, row);
                // After a cell was left behind its verdict is not wanted any more.
                let _ = done.send((own, played));
            });
        }
        if let Ok((name, (verdict, met))) = ended.recv_timeout(Duration::from_secs(1))
            && let Some(place) = playing.iter().position(|(playing, _)| *playing == name)
        {
            let (name, began) = playing.swap_remove(place);
            cells.push(Cell { name, verdict, met, took: began.elapsed() });
        }
        playing.retain(|(name, began)| {
            let stuck = began.elapsed() > STUCK;
            if stuck {
                cells.push(Cell {
                    name: name.clone(),
                    verdict: Verdict::Pending(began.elapsed()),
                    met: true,
                    took: began.elapsed(),
                });
            }
            !stuck
        });
    }
    cells
}

/// Every peer over sockets, with a call or two that get as far as its misbehaviour.
#[test]
fn fitting_calls_to_each_peer_end_within_their_bounds() {
    let planned = plan::<Tokio>(Column::fits);
    for column in columns() {
        let count = planned.iter().filter(|planned| planned.column.name() == column.name()).count();
        let wanted = if matches!(column, Column::Relay(_)) { 2 } else { 1 };
        assert_eq!(count, wanted, "{} has no row for a fitting call", column.name());
    }
    let cells = run::<Tokio>(planned, true);
    let missed: Vec<_> = cells.iter().filter(|cell| !met(cell)).map(|cell| &cell.name).collect();
    assert!(missed.is_empty(), "calls that do not get as far as the misbehaviour: {missed:#?}");
    judge(cells);
}

#[test]
#[ignore = "tests/run all: every call to every peer on tokio, some minutes"]
fn every_call_to_every_peer_ends_within_its_bound_on_tokio() {
    judge(run::<Tokio>(plan::<Tokio>(|_, _, _| true), false));
}

#[test]
#[ignore = "tests/run all: every call to every peer on smol, some minutes"]
fn every_call_to_every_peer_ends_within_its_bound_on_smol() {
    judge(run::<Smol>(plan::<Smol>(|_, _, _| true), false));
}

/// The list of red cells needs unique names.
#[test]
fn cells_have_names_of_their_own() {
    let mut names: Vec<_> = plan::<Tokio>(|_, _, _| true).into_iter().map(|planned| planned.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let smol = plan::<Smol>(|_, _, _| true).len();
    println!("{count} cells on tokio, {smol} on smol, {} peers", columns().count());
    for carrier in [Carrier::Tcp, Carrier::Tls, Carrier::WebSocket, Carrier::Proxy] {
        assert!(columns().filter(|column| column.carrier() == carrier).count() >= 5, "few peers over {carrier:?}");
    }
    let mut every: BTreeSet<String> = plan::<Smol>(|_, _, _| true).into_iter().map(|planned| planned.name).collect();
    every.extend(names);
    every.extend(administration::names());
    let stale: Vec<_> = red().into_keys().filter(|name| !every.contains(*name)).collect();
    assert!(stale.is_empty(), "red.tsv lists cells that do not exist: {stale:#?}");
    let unbounded = labelled::<<Tokio as Platform>::Runtime>();
    assert!(unbounded.iter().any(|(_, call)| call.bound == Bound::UntilClosed));
}
