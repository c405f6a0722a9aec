//! The matrix itself.

use crate::cell::{MEANWHILE, Sim, cell};
use crate::red::{self, Names};
use crate::rows::{Judge, ROWS};
use servicebus_tests::calls::{Call, labelled};
use servicebus_tests::peers::SICK;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The judge of a cell.
enum Cell<'a> {
    Call(&'a Call<Sim>),
    Other(Judge),
}

/// A cell's seed goes by its names, whatever stands before it in the tables.
fn seed(call: &str, peer: &str) -> u64 {
    let mix = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    call.bytes().chain([b'/']).chain(peer.bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

#[test]
fn every_call_ends_within_its_bound_and_the_next_works_once_the_peer_is_well() {
    let begin = Instant::now();
    let rows = labelled::<Sim>().len() + ROWS.len();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::<Names, String>::new());
    let most = Mutex::new(Vec::new());
    let hits = Mutex::new(BTreeMap::<&str, u64>::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let only = std::env::var("MATRIX_ONLY").ok();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Worlds and calls stay on their thread.
                let calls = labelled::<Sim>();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(sick) = SICK.get(at) else { return };
                    let calls = calls.iter().map(|(name, call)| (name.as_str(), Cell::Call(call)));
                    let others = ROWS.iter().map(|(name, judge)| (*name, Cell::Other(*judge)));
                    for (name, of) in calls.chain(others) {
                        if only.as_ref().is_some_and(|only| !format!("{name}/{}", sick.name).contains(only)) {
                            continue;
                        }
                        // The seed is the cell's, whatever runs beside it.
                        let seed = seed(name, sick.name);
                        let judged = match of {
                            Cell::Call(call) => Some(cell(call, sick, seed, MEANWHILE)),
                            Cell::Other(judge) => judge(sick, seed),
                        };
                        let Some(judged) = judged else { continue };
                        *hits.lock().expect("the hits").entry(sick.name).or_default() += judged.hits;
                        let cell = (judged.demands, format!("{name}/{}", sick.name));
                        most.lock().expect("the demands").push(cell);
                        if let Err(wrong) = judged.result {
                            let names = (name.to_owned(), sick.name.to_owned());
                            found.lock().expect("the cells").insert(names, wrong.to_string());
                        }
                    }
                }
            });
        }
    });
    let hits = hits.into_inner().expect("the hits");
    if std::env::var_os("MATRIX_DEMANDS").is_some() {
        let mut most = most.into_inner().expect("the demands");
        most.sort();
        for (demands, cell) in most.iter().rev().take(100) {
            println!("{demands} demands: {cell}");
        }
    }
    let found = found.into_inner().expect("the cells");
    let mut by_peer = BTreeMap::<&str, BTreeMap<&str, usize>>::new();
    for ((_, peer), wrong) in &found {
        *by_peer.entry(peer).or_default().entry(wrong).or_default() += 1;
    }
    for (peer, wrong) in &by_peer {
        println!("{peer}: {wrong:?}");
    }
    let (peers, red, seconds) = (SICK.len(), found.len(), begin.elapsed().as_secs_f64());
    println!("{rows} calls x {peers} peers, {red} cells red, {seconds:.1} s");
    if only.is_none() {
        red::compare(&found);
        let idle: Vec<_> = SICK.iter().filter(|sick| hits[sick.name] == 0).map(|sick| sick.name).collect();
        assert!(idle.is_empty(), "no call gets these peers to misbehave: {idle:?}");
    }
}

#[test]
fn sicknesses_have_names_of_their_own() {
    for (at, sick) in SICK.iter().enumerate() {
        assert!(SICK[..at].iter().all(|other| other.name != sick.name), "{} stands twice", sick.name);
    }
    for ((call, peer), _) in red::listed() {
        assert!(SICK.iter().any(|sick| sick.name == peer), "{call} in red.tsv: no peer {peer:?}");
    }
}
