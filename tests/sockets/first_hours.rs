//! The first hours of a new user (`docs/evidence/field-reports.md` §6), on a runtime with threads.

use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tokio::{Entity, MessageRef, ProcessorOptions, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many handlers that block a thread run at the same time, at most.
async fn side_by_side(calls: usize) -> usize {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let client = connect(emulator.connection_string()).unwrap();
    let sender = client.sender("q").unwrap();
    for _ in 0..2 * calls {
        sender.send(&MessageRef::new("work")).await.unwrap();
    }
    let options = ProcessorOptions::new().with_max_concurrent_calls(calls);
    let processor = client.processor(Entity::queue("q"), options);
    let control = processor.control();
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)));
    let shared = Arc::clone(&counts);
    let handler = move |_| {
        let (shared, control) = (Arc::clone(&shared), control.clone());
        async move {
            let (running, most, done) = &*shared;
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            running.fetch_sub(1, Ordering::SeqCst);
            if done.fetch_add(1, Ordering::SeqCst) + 1 == 2 * calls {
                control.stop();
            }
            Ok(())
        }
    };
    // In a task of its own, as programs do.
    tokio::spawn(processor.on_error(|error| panic!("{error}")).run(handler)).await.unwrap().unwrap();
    client.close().await;
    counts.1.load(Ordering::SeqCst)
}

#[test]
fn handlers_of_a_processor_run_on_all_cores_n15() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let mut judge = Judge::new();
    for calls in [2, 3, 4, 6, 8] {
        judge.case(
            format!("{calls} concurrent calls"),
            runtime.block_on(side_by_side(calls)),
            |most| *most > 1,
            |most| *most == 1,
        );
    }
    judge.finish();
}
