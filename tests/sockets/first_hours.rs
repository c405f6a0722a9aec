//! The first hours of a new user (`docs/evidence/field-reports.md` §6), on a runtime with threads.

use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;
use servicebus_tokio::{Entity, MessageRef, ProcessorMessage, ProcessorOptions, connect};
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
    let options = ProcessorOptions { max_concurrent_calls: calls, ..ProcessorOptions::default() };
    let processor = client.processor(Entity::queue("q"), options);
    let control = processor.control();
    let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let handler = async |_: &ProcessorMessage<'_>| {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        running.fetch_sub(1, Ordering::SeqCst);
        if done.fetch_add(1, Ordering::SeqCst) + 1 == 2 * calls {
            control.stop();
        }
        Ok::<_, std::convert::Infallible>(())
    };
    processor.run(handler, |error| panic!("{error}")).await.unwrap();
    client.close().await;
    most.into_inner()
}

#[known_fault("N15")]
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
