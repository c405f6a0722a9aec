//! The image that sizes and panic paths are read from. Never run; what is in it: `whole_client.rs`.
#![no_std]
#![no_main]

#[path = "../futures.rs"]
mod futures;
#[path = "../whole_client.rs"]
mod whole_client;

use core::future::Future;
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use servicebus_embassy::{Resources, Runner};
use whole_client::{Board, run};

#[cfg(not(feature = "commands"))]
servicebus_core::fixed_storage! {
    /// The same with one link more.
    pub type OneLinkMore { sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024 }
}
#[cfg(feature = "commands")]
servicebus_core::fixed_storage! {
    /// The same with one link more, but for capabilities that only the whole API has.
    pub type OneLinkMore {
        sessions: 1, links: 5, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}

/// Read from the image: what the profile takes.
#[used]
static SIZE_OF_RESOURCES: [u8; size_of::<Resources<Board>>()] = [0; _];
#[used]
static SIZE_WITH_ONE_LINK_MORE: [u8; size_of::<Resources<OneLinkMore>>()] = [0; _];
#[used]
static SIZE_OF_RUNNER: [u8; runner_size::<_>(&(run as fn(_) -> _))] = [0; _];

/// The size of the future that the runner's task holds, frame buffers included.
const fn runner_size<F: Future>(_: &fn(Runner<Board>) -> F) -> usize {
    size_of::<F>()
}

#[entry]
fn main() -> ! {
    whole_client::drive()
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    whole_client::stop()
}
