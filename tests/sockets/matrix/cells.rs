//! The matrix: all calls against all peers, many cells beside each other.

use crate::cell::{Start, Verdict, play};
use crate::peer::{Carrier, PEERS, Peer};
use crate::platform::{Platform, Smol, Tokio};
use crate::report::{Cell, judge};
use servicebus_tests::calls::{Bound, labelled};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Cells that run beside each other: they wait far more than they compute.
const BESIDE: usize = 48;

/// After this a cell has stopped its thread from running anything else; it is left behind.
const STUCK: Duration = Duration::from_secs(150);

/// A cell before it is played.
struct Planned {
    name: String,
    peer: &'static Peer,
    start: Start,
    /// The row's place in the table.
    row: usize,
}

/// The cells of a platform; `wanted` chooses by the peer, the label of the call, and how it starts.
fn plan<P: Platform>(wanted: impl Fn(&Peer, &str, Start) -> bool) -> Vec<Planned> {
    let calls = labelled::<P::Runtime>();
    let mut planned = Vec::new();
    for peer in PEERS.iter().filter(|peer| P::offers(peer.carrier)) {
        for (row, (label, call)) in calls.iter().enumerate() {
            for start in [Start::Warm, Start::Cold] {
                if (start == Start::Cold && !call.needs.is_local()) || !wanted(peer, label, start) {
                    continue;
                }
                let name = format!("{} {} {label} {start:?}", P::NAME, peer.name);
                planned.push(Planned { name, peer, start, row });
            }
        }
    }
    planned
}

fn play_row<P: Platform>(peer: &'static Peer, start: Start, row: usize) -> Verdict {
    let calls = labelled::<P::Runtime>();
    catch_unwind(AssertUnwindSafe(|| play::<P>(peer, start, &calls[row].1))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Verdict::Panicked(text.unwrap_or("without words").to_owned())
    })
}

/// Plays the cells, each in a thread of its own.
fn run<P: Platform>(planned: Vec<Planned>) -> Vec<Cell> {
    let (done, ended) = mpsc::channel();
    let mut waiting: VecDeque<_> = planned.into();
    let mut playing: Vec<(String, Instant)> = Vec::new();
    let mut cells = Vec::new();
    while !waiting.is_empty() || !playing.is_empty() {
        while playing.len() < BESIDE
            && let Some(Planned { name, peer, start, row }) = waiting.pop_front()
        {
            let (done, own) = (done.clone(), name.clone());
            playing.push((name, Instant::now()));
            std::thread::spawn(move || {
                let verdict = play_row::<P>(peer, start, row);
                // After a cell was left behind its verdict is not wanted any more.
                let _ = done.send((own, verdict));
            });
        }
        if let Ok((name, verdict)) = ended.recv_timeout(Duration::from_secs(1))
            && let Some(place) = playing.iter().position(|(playing, _)| *playing == name)
        {
            let (name, began) = playing.swap_remove(place);
            cells.push(Cell { name, verdict, took: began.elapsed() });
        }
        playing.retain(|(name, began)| {
            let stuck = began.elapsed() > STUCK;
            if stuck {
                cells.push(Cell { name: name.clone(), verdict: Verdict::Late(began.elapsed()), took: began.elapsed() });
            }
            !stuck
        });
    }
    cells
}

/// Every peer over sockets, with two calls that suit it.
#[test]
fn two_calls_to_each_peer_end_within_their_bounds() {
    let planned = plan::<Tokio>(|peer, label, start| peer.fitting.contains(&label) && start == Start::Warm);
    assert_eq!(planned.len(), PEERS.len() * 2, "a fitting call has no row");
    judge(run::<Tokio>(planned));
}

#[test]
#[ignore = "tests/run all: every call to every peer on tokio, some minutes"]
fn every_call_to_every_peer_ends_within_its_bound_on_tokio() {
    judge(run::<Tokio>(plan::<Tokio>(|_, _, _| true)));
}

#[test]
#[ignore = "tests/run all: every call to every peer on smol, some minutes"]
fn every_call_to_every_peer_ends_within_its_bound_on_smol() {
    judge(run::<Smol>(plan::<Smol>(|_, _, _| true)));
}

/// What the names of peers and rows have to be for the list of red cells.
#[test]
fn cells_have_names_of_their_own() {
    let mut names: Vec<_> = plan::<Tokio>(|_, _, _| true).into_iter().map(|planned| planned.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let smol = plan::<Smol>(|_, _, _| true).len();
    println!("{count} cells on tokio, {smol} on smol, {} peers", PEERS.len());
    for carrier in [Carrier::Tcp, Carrier::Tls, Carrier::WebSocket, Carrier::Proxy] {
        assert!(PEERS.iter().filter(|peer| peer.carrier == carrier).count() >= 5, "few peers over {carrier:?}");
    }
    let unbounded = labelled::<<Tokio as Platform>::Runtime>();
    assert!(unbounded.iter().any(|(_, call)| call.bound == Bound::UntilClosed));
}
