//! The whole client as a static library for firmware in another language, and the proof that it needs no allocator: with
//! one crate in it that can allocate, the compiler refuses to make a static library that has no allocator.
#![no_std]

mod whole_client;

use core::panic::PanicInfo;

/// Drives the client for good.
#[unsafe(no_mangle)]
pub extern "C" fn servicebus_drive() -> ! {
    whole_client::drive()
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    whole_client::stop()
}
