//! The whole client on tokio and a real socket allocates nothing for a message once it is warm: counted on the thread that
//! runs it, with the emulator on another.

use servicebus_tokio::{Error, Message, MessageRef, ReceiverOptions, connect};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

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

/// Calls that are under way at a time, each in a slot of its own that is used again.
const WORKERS: usize = 32;
const ROUND: usize = 10_000;

/// Messages that a worker of this round still has to take.
fn next(left: &Cell<usize>) -> bool {
    let some = left.get() > 0;
    left.set(left.get().saturating_sub(1));
    some
}

#[test]
fn a_message_costs_the_client_no_allocation() {
    let (address, connection_string) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let emulator = servicebus_emulator::Emulator::builder().queue("q").start().await.unwrap();
            address.send(emulator.connection_string()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let connection_string = connection_string.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sending, receiving) = runtime.block_on(async {
        let client = connect(connection_string).unwrap();
        let sender = client.sender("q").unwrap();
        let options = ReceiverOptions::new("q").with_prefetch(200);
        let receiver = client.receiver(options).unwrap();
        let body = [7; 1_024];
        let owned = Message::new(&body[..]).with_property("priority", 7).with_property("total", 21.5);
        let (mut sending, mut receiving) = (usize::MAX, usize::MAX);
        // The first round grows tables and buffers to the size that they keep.
        for _ in 0..3 {
            let left = Cell::new(ROUND);
            let before = ALLOCATIONS.get();
            let workers = (0..WORKERS).map(|_| async {
                while next(&left) {
                    // An owned message keeps its properties encoded: it is neither copied nor walked.
                    if left.get().is_multiple_of(2) {
                        sender.send(&owned).await?;
                    } else {
                        sender.send(&MessageRef::new(&body)).await?;
                    }
                }
                Ok::<(), Error>(())
            });
            futures_util::future::try_join_all(workers).await.unwrap();
            sending = sending.min(ALLOCATIONS.get() - before);

            let left = Cell::new(ROUND);
            let before = ALLOCATIONS.get();
            let workers = (0..WORKERS).map(|_| async {
                while next(&left) {
                    let message = receiver.receive(Duration::from_secs(10)).await?.expect("a message");
                    receiver.complete(&message).await?;
                }
                Ok::<(), Error>(())
            });
            futures_util::future::try_join_all(workers).await.unwrap();
            receiving = receiving.min(ALLOCATIONS.get() - before);
        }
        client.close().await;
        (sending, receiving)
    });
    println!("{ROUND} messages: {sending} allocations to send them, {receiving} to receive and complete them");
    // Each 64 KiB chunk holds some sixty messages; the rest is the harness.
    assert!(sending < ROUND / 20, "{sending} allocations for {ROUND} sends");
    assert!(receiving < ROUND / 20, "{receiving} allocations for {ROUND} receives");
}
