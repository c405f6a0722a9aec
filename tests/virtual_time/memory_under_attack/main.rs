//! Known faults of the emulator: memory that one client takes, counted by an allocator of this program's own. Each test
//! runs broker, server and clients on its own thread, and counts that.

mod answers;
mod beside_attacks;
mod budgets;
mod connections;
mod counted;
mod lists;
mod memory_returns;
mod settlements;

use servicebus_core::wire::Symbol;
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_tests::engine::{begin, frame, open, sasl_frame};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the bytes of this thread that are in use.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn change(by: isize) {
    let live = LIVE.get() + by;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        change(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        change(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        change(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread has in use.
fn live() -> isize {
    LIVE.get()
}

/// The most bytes that were in use at once during `act`, beyond those before.
fn peak(act: impl FnOnce()) -> isize {
    let before = live();
    PEAK.set(before);
    act();
    PEAK.get() - before
}

/// A client's bytes up to its session: with the namespace's key, or without a name.
fn opening(with_key: bool) -> Vec<u8> {
    let (mechanism, response) =
        if with_key { ("PLAIN", &b"\0RootManageSharedAccessKey\0SAS_KEY_VALUE"[..]) } else { ("ANONYMOUS", &b""[..]) };
    let init = SaslInit { mechanism: Symbol::new(mechanism), initial_response: Some(response), hostname: None };
    let sasl = [Protocol::Sasl.header().to_vec(), sasl_frame(&init)].concat();
    let amqp = [Protocol::Amqp.header().to_vec(), frame(0, &open("raw"), &[]), frame(0, &begin(None), &[])].concat();
    [sasl, amqp].concat()
}
