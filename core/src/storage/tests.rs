//! How often entries of tables on the heap were touched, so that tests can bound it.

extern crate std;

use core::cell::Cell;

std::thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// An entry is touched.
pub(crate) fn note() {
    COUNT.set(COUNT.get() + 1);
}

/// How often entries were touched in this thread.
pub(crate) fn count() -> usize {
    COUNT.get()
}
