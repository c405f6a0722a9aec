//! Gives memory that has become free back to the system.
//!
//! Messages that come and go leave free blocks between blocks that stay in use. glibc's allocator returns what is free
//! behind the last block in use, and keeps the pages of all others until it is asked for them.

use core::ffi::c_int;
use core::time::Duration;

/// Time between two looks at what is used.
const PERIOD: Duration = Duration::from_millis(500);
/// Bytes that must have become free. Asking for less costs more than it gives.
const WORTH: usize = 8 << 20;
/// Bytes by which use may change in a period in which little moves.
const LITTLE: usize = 1 << 20;

unsafe extern "C" {
    /// Returns free pages of all arenas, but for so many bytes behind the last block.
    safe fn malloc_trim(pad: usize) -> c_int;
}

/// Asks for free pages whenever much has become free and little moves. `used` is what clients make the program hold.
pub(crate) async fn run(used: impl Fn() -> usize) {
    let (mut most, mut last) = (0, 0);
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = used();
        most = now.max(most);
        if now.abs_diff(last) <= LITTLE && most - now >= WORTH {
            most = now;
            // It walks all free blocks.
            let trimmed = tokio::task::spawn_blocking(|| malloc_trim(0)).await;
            tracing::trace!(?trimmed, used = now, "free memory was returned");
        }
        last = now;
    }
}
