//! The steady state allocates nothing for a message: counted on this thread, over a client and a server on `Heap`.

use servicebus_core::engine::{Config, Event, Handler, SendOptions, StateUpdate, Tag};
use servicebus_core::storage::{Buffer, Heap, Payload, Storage};
use servicebus_core::time::Instant;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::Role;
use servicebus_tests::engine::{Pair, Side};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the allocations of this thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts deliveries that are settled.
struct Settled(usize);

impl Handler for Settled {
    fn state(&mut self, update: &StateUpdate<'_>) {
        self.0 += usize::from(update.settled);
    }
}

/// Moves what one engine has to say into the other, without a buffer of its own.
/// Returns how many deliveries that settles.
fn carry(from: &mut Side<Heap>, to: &mut Side<Heap>) -> usize {
    let mut settled = Settled(0);
    while from.connection.poll_transmit(Instant::ZERO, &mut from.tx) {
        while !from.tx.filled().is_empty() {
            let spare = to.rx.spare();
            let count = from.tx.filled().len().min(spare.len());
            spare[..count].copy_from_slice(&from.tx.filled()[..count]);
            to.rx.commit(count);
            from.tx.consume(count);
            to.connection.handle_input(Instant::ZERO, &mut to.rx, &mut settled).expect("a good peer");
        }
    }
    settled.0
}

#[test]
fn a_message_costs_no_allocation() {
    const BATCH: usize = 500;
    let config = Config { max_frame_size: 65_536, ..Config::default() };
    let mut pair = Pair::<Heap>::new(0, config);
    let session = pair.client.connection.begin().expect("room");
    let (ours, theirs) = pair.attach(session, "link", Role::Sender);
    let payload = <Heap as Storage>::Payload::copy_from(&[7; 1_024]).expect("room");
    let options = SendOptions { tag: Tag::new(b"0123").expect("a short tag"), ..SendOptions::default() };
    let mut rounds = |rounds: usize| {
        let before = ALLOCATIONS.get();
        for _ in 0..rounds {
            pair.server.connection.grant(theirs, BATCH as u32).expect("a receiver");
            for _ in 0..BATCH {
                pair.client.connection.send(ours, &payload, &options).expect("room");
            }
            let mut received = 0;
            let mut settled = 0;
            while settled < BATCH {
                carry(&mut pair.client, &mut pair.server);
                while let Some(event) = pair.server.connection.poll_event() {
                    let Event::Readable(link) = event else { continue };
                    while let Some(incoming) = pair.server.connection.receive(link) {
                        received += 1;
                        assert_eq!(incoming.payload.len(), 1_024);
                        pair.server.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true).expect("mine");
                    }
                }
                settled += carry(&mut pair.server, &mut pair.client);
                while pair.client.connection.poll_event().is_some() {}
            }
            assert_eq!(received, BATCH);
        }
        ALLOCATIONS.get() - before
    };
    rounds(5);
    let allocations = rounds(200);
    // 100 000 messages are 100 MiB: a read buffer for each 72 KiB at most, and what tells its parts apart.
    println!("{allocations} allocations for {} messages", 200 * BATCH);
    assert!(allocations <= 2 * 200 * BATCH * 1_100 / 65_536, "{allocations} allocations");
}
