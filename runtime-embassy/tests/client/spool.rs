//! Readings in flash that loses its power at every write, and on their way to the emulator over many resets.

use crate::flash::Failure::{self, PowerCut};
use crate::flash::{Cut, Flash, PAGE, Random};
use crate::{BEGIN, Board, CLOCK, KEY, Memory, UTC, pass_a_millisecond, to_end};
use embassy_time::Timer;
use futures_util::FutureExt;
use futures_util::future::join;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::MessageBatch;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_embassy::{Order, Plain, Resources, Sender, Spool, SpoolError, SpoolSendError, WhenFull, new};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::PoisonError;
use std::task::{Context, Waker};

type Spooled = Spool<Flash, 96>;

/// The flash is never busy.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

/// A spool and what must be in it.
struct Bench<const WORD: usize> {
    flash: Flash<WORD>,
    order: Order,
    when_full: WhenFull,
    boots: u64,
    spool: Spool<Flash<WORD>, 96>,
    /// Readings that were pushed and not removed, in their order.
    stored: Vec<Vec<u8>>,
    /// A reading whose push was cut, or readings whose removal was.
    unknown: Vec<Vec<u8>>,
    pushed: u32,
}

impl<const WORD: usize> Bench<WORD> {
    fn new(pages: usize, seed: u64, order: Order, when_full: WhenFull) -> Self {
        let flash = Flash::new(pages, seed);
        let spool = Spool::new(flash.clone(), flash.range(), 0).expect("whole pages");
        let spool = spool.with_order(order).with_when_full(when_full);
        Self { flash, order, when_full, boots: 0, spool, stored: Vec::new(), unknown: Vec::new(), pushed: 0 }
    }

    fn push(&mut self) -> Result<(), Failure> {
        self.pushed += 1;
        let mut reading = format!("reading {}", self.pushed).into_bytes();
        reading.resize(reading.len() + self.pushed as usize * 7 % 40, b'.');
        match at_once(self.spool.push(&reading)) {
            Ok(()) if self.when_full == WhenFull::DropOldest => {
                self.stored.push(reading);
                // Pages of the oldest may have gone, and nothing else.
                let left = self.readings();
                assert!(self.stored.ends_with(&left) && !left.is_empty(), "{left:?}");
                self.stored = left;
            }
            Ok(()) => self.stored.push(reading),
            Err(SpoolError::Full) => assert_eq!(self.when_full, WhenFull::Refuse),
            Err(SpoolError::Flash(PowerCut)) => {
                self.unknown.push(reading);
                return Err(PowerCut);
            }
            Err(error) => panic!("{error:?}"),
        }
        Ok(())
    }

    /// Takes a batch, and removes it as if it were sent.
    fn deliver(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut batch = MessageBatch::<Heap>::new(700, BEGIN);
        let taken = match at_once(self.spool.fill(&mut batch, BEGIN)) {
            Ok(taken) => taken,
            Err(SpoolError::Flash(PowerCut)) => return Err(PowerCut),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(taken.len(), batch.len());
        assert_eq!(taken.is_empty(), self.stored.is_empty());
        let at = match self.order {
            Order::OldestFirst => 0,
            Order::NewestFirst => self.stored.len() - taken.len(),
        };
        let sent: Vec<_> = self.stored.drain(at..at + taken.len()).collect();
        match at_once(self.spool.remove(taken)) {
            Ok(()) => Ok(sent),
            Err(SpoolError::Flash(PowerCut)) => {
                self.unknown = sent;
                Err(PowerCut)
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn readings(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        at_once(self.spool.each(|_, reading| found.push(reading.to_vec()))).expect("there is power");
        found
    }

    /// Pushes more than there is room for, and delivers in between.
    fn use_it(&mut self, rounds: usize) -> Result<(), Failure> {
        for round in 0..rounds {
            for _ in 0..4 {
                self.push()?;
            }
            if round % 3 != 0 {
                self.deliver()?;
            }
        }
        Ok(())
    }

    /// Boots with power for good.
    fn reopen(&mut self, epoch: u64) {
        self.flash.power_on(None);
        self.spool = Spool::new(self.flash.clone(), self.flash.range(), epoch).expect("whole pages");
    }

    /// Boots with power for so many writes. Whatever was pushed is there, once and in order.
    fn boot(&mut self, left: Option<u64>) {
        self.flash.power_on(None);
        self.boots += 1;
        let spool = Spool::new(self.flash.clone(), self.flash.range(), 7 + self.boots).expect("whole pages");
        self.spool = spool.with_order(self.order).with_when_full(self.when_full);
        let found = self.readings();
        let rest: Vec<_> = found.iter().filter(|reading| !self.unknown.contains(reading)).cloned().collect();
        if self.when_full == WhenFull::DropOldest {
            // A push that was cut may have erased the oldest page, or a part of it.
            let lost: Vec<_> = self.stored.iter().map(|reading| !rest.contains(reading)).collect();
            let first = lost.iter().rposition(|lost| *lost).map_or(0, |last| last + 1);
            assert!(first <= 6, "{first} of {} are lost", self.stored.len());
            self.stored.retain(|reading| rest.contains(reading));
        }
        assert_eq!(rest, self.stored, "unknown {:?}", self.unknown);
        for reading in &self.unknown {
            assert!(found.iter().filter(|found| *found == reading).count() <= 1, "{reading:?} is there twice");
        }
        self.stored = found;
        self.unknown.clear();
        self.flash.power_on(left);
    }
}

/// Cuts at each write, or at each `stride`th of each kind of spool, from another one on for each.
fn cut_the_power<const WORD: usize>(stride: usize, corrects_errors: bool) {
    let kinds = [
        (Order::OldestFirst, WhenFull::Refuse),
        (Order::NewestFirst, WhenFull::Refuse),
        (Order::OldestFirst, WhenFull::DropOldest),
        (Order::NewestFirst, WhenFull::DropOldest),
    ];
    let mut cuts = BTreeSet::new();
    for (kind, (order, when_full)) in kinds.into_iter().enumerate() {
        let mut whole = Bench::<WORD>::new(3, 1, order, when_full);
        whole.use_it(9).expect("the power stays");
        let operations = whole.flash.operations();
        assert!(operations > 100, "{operations}");
        for cut in (0..operations).skip(kind * stride / 4).step_by(stride) {
            for seed in 0..2 {
                let mut bench = Bench::<WORD>::new(3, seed * 100_000 + cut, order, when_full);
                if corrects_errors {
                    bench.flash.correct_errors();
                }
                bench.flash.power_on(Some(cut));
                bench.use_it(9).expect_err("the power goes");
                cuts.extend(bench.flash.cut());
                // The first time it goes again while the spool finds its way back.
                let again = Random::new(seed ^ cut).below(80);
                bench.boot(Some(again));
                // Enough for all pages to be used again.
                if bench.use_it(5).is_err() {
                    bench.boot(None);
                    bench.use_it(5).expect("the power stays");
                }
                while !bench.stored.is_empty() {
                    bench.deliver().expect("the power stays");
                }
                assert!(at_once(bench.spool.is_empty()).expect("the power stays"));
            }
        }
    }
    assert_eq!(cuts, BTreeSet::from([Cut::Erasure, Cut::PageHead, Cut::Removal, Cut::Record]), "words of {WORD}");
}

#[test]
fn a_power_cut_at_any_write_loses_and_corrupts_nothing() {
    cut_the_power::<4>(1, false);
}

/// Samples: each of so many writes, where words of 4 bytes have them all. Over the four kinds of spool the cuts begin at
/// other writes, and fall on erasures, heads of pages, records and removals for each size of word.
#[test]
fn a_power_cut_loses_and_corrupts_nothing_in_words_of_other_sizes() {
    cut_the_power::<1>(97, false);
    cut_the_power::<8>(13, false);
    cut_the_power::<16>(11, false);
    cut_the_power::<32>(5, false);
}

/// As the test before, where a word whose write was cut, or which an erasure has left, cannot be read.
#[test]
fn a_power_cut_loses_and_corrupts_nothing_with_an_error_correcting_code() {
    cut_the_power::<8>(13, true);
    cut_the_power::<16>(11, true);
    cut_the_power::<32>(5, true);
}

#[test]
fn it_is_bounded_and_says_what_does_not_fit() {
    let mut bench = Bench::<4>::new(2, 1, Order::OldestFirst, WhenFull::Refuse);
    assert_eq!(at_once(bench.spool.push(&[1; 97])), Err(SpoolError::TooLong));
    assert_eq!(at_once(bench.spool.push(&[1; 96])), Ok(()));
    #[expect(clippy::reversed_empty_ranges, reason = "a user's mistake")]
    for range in [0..100, 0..256, 100..612, 0..768, 512..0] {
        assert_eq!(Spooled::new(Flash::new(2, 1), range.clone(), 1).err(), Some(SpoolError::Range), "{range:?}");
    }
    at_once(bench.spool.clear()).expect("there is power");
    while bench.stored.len() == bench.pushed as usize {
        bench.push().expect("the power stays");
    }
    assert!(bench.stored.len() >= 4, "{}", bench.stored.len());
    let (ids, count) = (RefCell::new(Vec::new()), bench.stored.len());
    at_once(bench.spool.each(|id, _| ids.borrow_mut().push(id.to_owned()))).expect("there is power");
    // One page was opened before.
    let expected: Vec<_> = (0..count).map(|number| format!("{:016x}-{number:08x}", 2)).collect();
    assert_eq!(*ids.borrow(), expected);
}

/// Each batch holds what is next in the order; one reading that no batch can hold does not stop the others.
#[test]
fn batches_are_filled_in_the_order_that_was_chosen() {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut bench = Bench::<4>::new(40, 1, order, WhenFull::Refuse);
        for _ in 0..60 {
            bench.push().expect("the power stays");
        }
        let mut all = bench.stored.clone();
        while !all.is_empty() {
            let sent = bench.deliver().expect("the power stays");
            assert!(sent.len() > 1 || all.len() < 8, "{order:?}: {} of {}", sent.len(), all.len());
            match order {
                Order::OldestFirst => assert!(all.starts_with(&sent)),
                Order::NewestFirst => assert!(all.ends_with(&sent)),
            }
            all.retain(|reading| !sent.contains(reading));
        }
        let (long, short) = ([7; 80], [8; 10]);
        for reading in [&short[..], &long, &short, &long] {
            at_once(bench.spool.push(reading)).expect("there is room");
        }
        let mut sent = 0;
        loop {
            let mut batch = MessageBatch::<Heap>::new(130, BEGIN);
            let taken = at_once(bench.spool.fill(&mut batch, BEGIN)).expect("the power stays");
            if taken.is_empty() {
                break;
            }
            sent += taken.len();
            at_once(bench.spool.remove(taken)).expect("the power stays");
        }
        assert_eq!((sent, bench.readings()), (2, vec![long.to_vec(); 2]), "{order:?}");
    }
}

/// Readings of a firmware whose buffer was larger are neither sent nor overlooked.
#[test]
fn readings_longer_than_the_buffer_keep_a_spool_from_being_empty() {
    let _one = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = Memory::new();
    let flash = Flash::new(2, 1);
    let before = Spooled::new(flash.clone(), flash.range(), 1).expect("whole pages");
    at_once(before.push(&[1; 20])).expect("there is room");
    while at_once(before.push(&[2; 90])).is_ok() {}
    drop(before);

    let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    let (client, runner) = new(resources, Settings::new(KEY, 1), &UTC).expect("nothing uses them");
    let spool = Spool::<_, 32>::new(flash.clone(), flash.range(), 1).expect("whole pages");
    let test = async {
        let sender = client.sender("spooled").expect("there is room");
        let mut shown = Vec::new();
        spool.each(|_, reading| shown.push(reading.to_vec())).await.expect("the power stays");
        assert_eq!(shown, [[1; 20]]);
        for _ in 0..2 {
            let ended = spool.send(&sender).await;
            assert!(matches!(ended, Err(SpoolSendError::Spool(SpoolError::Unsendable))), "{ended:?}");
            assert!(!spool.is_empty().await.expect("the power stays"));
        }
        assert_eq!(spool.push(&[3; 30]).await, Err(SpoolError::Full));
        spool.clear().await.expect("the power stays");
        assert!(spool.is_empty().await.expect("the power stays"));
        spool.push(&[3; 30]).await.expect("there is room");
        assert_eq!(spool.send(&sender).await.expect("the service takes it"), 1);
        client.close().await;
        drop((sender, client));
    };
    to_end(&memory, join(runner.run(Plain::new(memory.clone())), test));
}

/// Pushes a reading every two milliseconds, until the power goes; those that were taken.
async fn measure(spool: &Spooled, measured: &Cell<u32>, accepted: &RefCell<Vec<String>>) {
    loop {
        Timer::after_millis(2).await;
        let reading = format!("reading {}", measured.replace(measured.get() + 1));
        match spool.push(reading.as_bytes()).await {
            Ok(()) => accepted.borrow_mut().push(reading),
            Err(error) => return assert_eq!(error, SpoolError::Flash(PowerCut)),
        }
    }
}

/// Sends what waits, until the power goes.
async fn deliver(spool: &Spooled, sender: &Sender<Board>) {
    loop {
        match spool.send(sender).await {
            Ok(_) => Timer::after_millis(9).await,
            Err(SpoolSendError::Send(_)) => Timer::after_millis(100).await,
            Err(error) => {
                return assert!(matches!(error, SpoolSendError::Spool(SpoolError::Flash(PowerCut))), "{error}");
            }
        }
    }
}

/// A thousand readings; resets and power cuts come at random, also while a batch is on its way.
#[test]
fn a_thousand_readings_arrive_once_over_many_resets() {
    let _one = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = Memory::new();
    let flash = Flash::new(256, 11);
    let mut random = Random::new(11);
    let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    let (accepted, measured) = (RefCell::new(Vec::new()), Cell::new(0_u32));
    let mut resets = 0;
    let boot = |epoch: u64, power: Option<u64>| {
        flash.power_on(power);
        let spool = Spooled::new(flash.clone(), flash.range(), epoch).expect("whole pages");
        // The client before went with its boot.
        let (client, runner) = new(resources, Settings::new(KEY, epoch), &UTC).expect("nothing uses them");
        let order = if epoch.is_multiple_of(2) { Order::OldestFirst } else { Order::NewestFirst };
        (spool.with_order(order), client, runner)
    };
    while accepted.borrow().len() < 1_000 {
        let (spool, client, runner) = boot(random.next(), (random.below(3) == 0).then_some(random.below(600)));
        memory.0.borrow_mut().reachable = random.below(4) != 0;
        let device = async {
            let sender = client.sender("spooled").expect("there is room");
            join(measure(&spool, &measured, &accepted), deliver(&spool, &sender)).await;
        };
        let mut both = pin!(join(runner.run(Plain::new(memory.clone())), device));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..random.below(140) {
            _ = both.as_mut().poll(&mut cx);
            pass_a_millisecond(&memory);
        }
        memory.drop_connection();
        resets += 1;
    }
    assert!(resets > 30, "{resets}");

    memory.0.borrow_mut().reachable = true;
    let (spool, client, runner) = boot(random.next(), None);
    let arrived = RefCell::new(BTreeMap::<String, u32>::new());
    let rest = async {
        let sender = client.sender("spooled").expect("there is room");
        spool.send(&sender).await.expect("the power stays");
        assert!(spool.is_empty().await.expect("the power stays"));
        sender.close().await;
        let receiver = client.receiver("spooled").expect("there is room");
        while let Some(message) = receiver.receive(Duration::from_secs(1)).await.expect("the link holds") {
            *arrived.borrow_mut().entry(message.text().expect("text").to_owned()).or_default() += 1;
            receiver.complete(&message).await.expect("the lock holds");
        }
        client.close().await;
        drop((receiver, client));
    };
    to_end(&memory, join(runner.run(Plain::new(memory.clone())), rest));
    let arrived = arrived.into_inner();
    for reading in accepted.into_inner() {
        assert_eq!(arrived.get(&reading), Some(&1), "{reading}");
    }
    // Those whose push was cut arrive or not.
    assert_eq!(arrived.values().max(), Some(&1));
}

fn ids(spool: &Spooled) -> Vec<String> {
    let mut found = Vec::new();
    at_once(spool.each(|id, _| found.push(id.to_owned()))).expect("there is power");
    found
}

/// A battery that is nearly empty: at each boot the power goes within the first push. The pages before are left as they are,
/// and with them the number that the next message id is made of.
#[test]
fn a_power_that_fails_at_each_boot_uses_up_no_pages() {
    for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
        // Too little for a reading of 48 bytes and its head.
        for power in 0..15 {
            let reading = vec![b'.'; 48];
            let mut bench = Bench::<4>::new(4, 3, Order::OldestFirst, when_full);
            (0..9).try_for_each(|_| bench.push()).expect("the power stays");
            let last = ids(&bench.spool).pop();
            if when_full == WhenFull::Refuse {
                while !bench.stored.is_empty() {
                    bench.deliver().expect("the power stays");
                }
            }
            let stored = bench.stored.clone();
            for boot in 0..20 {
                bench.boot(Some(power));
                at_once(bench.spool.push(&reading)).expect_err("the power goes");
                bench.unknown.push(reading.clone());
                // One page of the oldest goes, where it is to.
                let lost = stored.iter().filter(|reading| !bench.stored.contains(reading)).count();
                assert!(lost <= 6, "power for {power}, boot {boot}: {lost} readings are lost");
            }
            bench.boot(None);
            bench.push().expect("the power stays");
            let next = ids(&bench.spool).pop();
            assert!(next > last, "power for {power}: {next:?} behind {last:?}");
        }
    }
}

/// An entity that detects duplicates would drop a reading with an id that it has seen.
#[test]
fn no_message_id_comes_again_after_a_clear() {
    for cut in (0..9).map(Some).chain([None]) {
        for seed in 0..8 {
            let mut bench = Bench::<4>::new(4, seed, Order::OldestFirst, WhenFull::Refuse);
            let mut seen = BTreeMap::new();
            for boot in 0..4 {
                // By the reading: one that is left after a clear that was cut keeps its id.
                let mut before = usize::MAX;
                while std::mem::replace(&mut before, bench.stored.len()) != bench.stored.len() {
                    bench.push().expect("the power stays");
                }
                at_once(bench.spool.each(|id, reading| {
                    let first = seen.entry(id.to_owned()).or_insert_with(|| reading.to_vec());
                    assert_eq!(first, reading, "cut {cut:?}, seed {seed}, boot {boot}: {id}");
                }))
                .expect("there is power");
                bench.flash.power_on(cut);
                _ = at_once(bench.spool.clear());
                bench.flash.power_on(None);
                let spool = Spooled::new(bench.flash.clone(), bench.flash.range(), 100 + boot);
                bench.spool = spool.expect("whole pages");
                bench.stored = bench.readings();
                // Readings of their own after each boot, and as many as there is room for.
                bench.pushed = 100 * (boot as u32 + 1);
            }
        }
    }
}

/// Readings that are on their way when the spool is cleared are not those that come after.
#[test]
fn what_was_taken_before_a_clear_removes_nothing_after_it() {
    let bench = Bench::<4>::new(2, 1, Order::OldestFirst, WhenFull::Refuse);
    at_once(bench.spool.push(b"21.5")).expect("there is room");
    let mut batch = MessageBatch::<Heap>::new(700, BEGIN);
    let taken = at_once(bench.spool.fill(&mut batch, BEGIN)).expect("the power stays");
    at_once(bench.spool.clear()).expect("the power stays");
    at_once(bench.spool.push(b"21.5")).expect("there is room");
    at_once(bench.spool.remove(taken)).expect("the power stays");
    assert_eq!(bench.readings(), [b"21.5"]);
}

/// All message ids with their readings, whatever was handed out before.
fn note_ids<const WORD: usize>(bench: &Bench<WORD>, seen: &mut BTreeMap<String, Vec<u8>>, what: &str) {
    at_once(bench.spool.each(|id, reading| {
        let first = seen.entry(id.to_owned()).or_insert_with(|| reading.to_vec());
        assert_eq!(first, reading, "{what}: {id} comes again");
    }))
    .unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// A spool that was used for a while, with so many pushes after it was last emptied and cleared.
fn used<const WORD: usize>(rounds: usize, waiting: usize, clears: bool) -> (Bench<WORD>, BTreeMap<String, Vec<u8>>) {
    let mut bench = Bench::<WORD>::new(4, 1, Order::OldestFirst, WhenFull::Refuse);
    let mut seen = BTreeMap::new();
    for _ in 0..rounds {
        (0..4).try_for_each(|_| bench.push()).expect("the power stays");
        note_ids(&bench, &mut seen, "in use");
        while !bench.stored.is_empty() {
            bench.deliver().expect("the power stays");
        }
    }
    if clears {
        at_once(bench.spool.clear()).expect("the power stays");
    }
    (0..waiting).try_for_each(|_| bench.push()).expect("the power stays");
    note_ids(&bench, &mut seen, "in use");
    (bench, seen)
}

/// Which page a reading is in, by its bytes.
fn page_of<const WORD: usize>(flash: &Flash<WORD>, reading: &[u8]) -> Option<usize> {
    flash.bytes().windows(reading.len()).position(|window| window == reading).map(|at| at / PAGE)
}

/// Damages a byte of each page's head and of its first record's, each `step`th of them in turn, and each head as a whole, then
/// fails the power while the next page begins, or does not.
fn damage_heads<const WORD: usize>(step: usize, corrects_errors: bool) {
    let states =
        [(0, 1, false), (0, 9, false), (5, 0, false), (9, 7, false), (21, 8, false), (3, 2, true)].map(|state| {
            let (rounds, waiting, clears) = state;
            (state, used::<WORD>(rounds, waiting, clears))
        });
    let head = 20_usize.next_multiple_of(WORD);
    let both = head + 12_usize.next_multiple_of(WORD);
    let places: Vec<_> = (0..both).step_by(step).map(|at| at..at + 1).chain([0..head, 0..both]).collect();
    // The last one falls on the head of the first record.
    let cuts = [None, Some(0), Some(1), Some(1 + (head / WORD) as u64)];
    for (state, (whole, ids)) in &states {
        for page in 0..4 {
            let is_healthy = |reading: &&Vec<u8>| page_of(&whole.flash, reading) != Some(page);
            let healthy: Vec<_> = whole.stored.iter().filter(is_healthy).collect();
            for (place, cut) in places.iter().flat_map(|place| cuts.map(|cut| (place, cut))) {
                if place.end == both && cut.is_some() {
                    // Nothing tells then what was in the page, and its next erasure takes the trace of that.
                    continue;
                }
                let what = format!("words of {WORD}, {state:?}, page {page}, bytes {place:?}, power for {cut:?}");
                let flash = whole.flash.copy();
                if corrects_errors {
                    flash.correct_errors();
                }
                place.clone().for_each(|at| flash.damage(page * PAGE + at, 0xa5));
                let mut bench = Bench::<WORD>::new(4, 1, Order::OldestFirst, WhenFull::Refuse);
                (bench.flash, bench.pushed) = (flash, 10_000);
                bench.reopen(1_000);
                let found = bench.readings();
                assert!(healthy.iter().all(|reading| found.contains(reading)), "{what}: {found:?} of {healthy:?}");
                if cut.is_some() {
                    bench.flash.power_on(cut);
                    // Room for no more than one of them is left in a page.
                    _ = (0..2).try_for_each(|_| at_once(bench.spool.push(&[b'-'; 90])));
                    bench.reopen(1_001);
                    let found = bench.readings();
                    assert!(healthy.iter().all(|reading| found.contains(reading)), "{what}: {found:?} of {healthy:?}");
                }
                bench.stored = bench.readings();
                go_on(&mut bench, ids.clone(), &what);
            }
        }
    }
}

/// Uses a spool that was damaged until its pages were used again, and clears it in between: each message id is a new one.
fn go_on<const WORD: usize>(bench: &mut Bench<WORD>, mut seen: BTreeMap<String, Vec<u8>>, what: &str) {
    note_ids(bench, &mut seen, what);
    for round in 0..5 {
        for _ in 0..4 {
            bench.push().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
        bench.stored = bench.readings();
        note_ids(bench, &mut seen, what);
        while !bench.stored.is_empty() {
            bench.deliver().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
        match round {
            0 | 1 => bench.reopen(1_002 + round),
            3 => at_once(bench.spool.clear()).unwrap_or_else(|error| panic!("{what}: {error}")),
            _ => {}
        }
    }
}

/// Bits that flip in flash: readings in the page can be lost, and nothing else. An entity that detects duplicates would drop
/// a new reading with an id that it has seen.
#[test]
fn no_message_id_comes_again_after_a_damaged_head() {
    damage_heads::<4>(4, false);
    damage_heads::<32>(17, false);
}

/// Pushes and sends go on behind words that cannot be read.
#[test]
fn a_word_that_cannot_be_read_costs_no_more_than_its_page() {
    damage_heads::<8>(8, true);
    damage_heads::<32>(32, true);
}

/// A clear that was cut has begun an epoch, and the page that tells of it is damaged.
#[test]
fn no_message_id_comes_again_when_a_clear_is_cut_and_its_page_damaged() {
    for power in 6..10 {
        let (mut whole, mut ids) = used::<4>(5, 7, false);
        whole.flash.power_on(Some(power));
        _ = at_once(whole.spool.clear());
        whole.reopen(1_000);
        (0..2).try_for_each(|_| whole.push()).expect("the power stays");
        note_ids(&whole, &mut ids, "in use");
        // In some, the page is used again before the next clear.
        for (page, rounds) in (0..4).flat_map(|page| [0, 1, 3].map(|rounds| (page, rounds))) {
            let mut bench = Bench::<4>::new(4, 1, Order::OldestFirst, WhenFull::Refuse);
            (bench.flash, bench.pushed) = (whole.flash.copy(), 10_000);
            bench.flash.damage(page * PAGE, 1);
            bench.reopen(2_000);
            let mut ids = ids.clone();
            for _ in 0..rounds {
                (0..5).try_for_each(|_| bench.push()).expect("the power stays");
                note_ids(&bench, &mut ids, "before the clear");
                bench.stored = bench.readings();
                while !bench.stored.is_empty() {
                    bench.deliver().expect("the power stays");
                }
            }
            at_once(bench.spool.clear()).expect("the power stays");
            go_on(&mut bench, ids, &format!("power for {power}, page {page}, {rounds} rounds"));
        }
    }
}

/// A bus that is down is no damage: nothing is erased for it.
#[test]
fn flash_that_answers_nothing_keeps_its_readings() {
    let (mut bench, _) = used::<4>(3, 5, false);
    bench.flash.power_on(Some(0));
    assert_eq!(at_once(bench.spool.push(&[1; 90])), Err(SpoolError::Flash(PowerCut)));
    assert_eq!(at_once(bench.spool.is_empty()), Err(SpoolError::Flash(PowerCut)));
    bench.unknown = vec![vec![1; 90]];
    bench.boot(None);
    assert!(bench.stored.len() >= 5);
}
