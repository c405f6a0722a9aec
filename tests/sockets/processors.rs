//! Handlers of processors as tasks, on each runtime that spawns.

use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// The shortest lock that the service offers.
const LOCK: Duration = Duration::from_secs(5);

/// Notes when it is dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a scene beside an emulator, which has a runtime of its own.
fn with_emulator<T>(scene: impl FnOnce(&str) -> T) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let short = QueueDescription { lock_duration: LOCK, ..QueueDescription::default() };
    let emulator = runtime.block_on(Emulator::builder().queue("q").queue_with("short", short).start()).unwrap();
    let result = scene(&emulator.connection_string());
    runtime.block_on(emulator.close());
    result
}

/// Lets other tasks run.
async fn yield_now() {
    let mut yielded = false;
    let turn = |cx: &mut Context<'_>| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    };
    std::future::poll_fn(turn).await;
}

/// A test for an adapter; `$block_on` runs a future on a runtime of it.
macro_rules! suite {
    ($($name:ident: $adapter:ident, $block_on:expr;)*) => { $(
        mod $name {
            use super::*;
            use $adapter::{ProcessorOptions, ProcessorErrorCause};

            #[test]
            fn a_dropped_processor_cancels_its_handlers() {
                with_emulator(|connection_string| $block_on(async {
                    let client = $adapter::connect(connection_string).unwrap();
                    client.sender("q").unwrap().send("work").await.unwrap();
                    let (began, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
                    let (begins, ends) = (Arc::clone(&began), Arc::clone(&ended));
                    let handler = move |_| {
                        let (began, ends) = (Arc::clone(&begins), Arc::clone(&ends));
                        async move {
                            let _noted = Noted(ends);
                            began.store(true, Ordering::SeqCst);
                            std::future::pending().await
                        }
                    };
                    let mut run = Box::pin(client.processor("q", ProcessorOptions::new()).run(handler));
                    while !began.load(Ordering::SeqCst) {
                        assert!(futures_util::poll!(&mut run).is_pending());
                        yield_now().await;
                    }
                    assert!(!ended.load(Ordering::SeqCst));
                    drop(run);
                    let dropped = Instant::now();
                    while !ended.load(Ordering::SeqCst) {
                        assert!(dropped.elapsed() < Duration::from_secs(5), "the handler goes on without its processor");
                        yield_now().await;
                    }
                    client.close().await;
                }));
            }

            /// A handler that blocks its executor for two locks and a half.
            #[test]
            fn a_handler_that_blocks_keeps_its_lock_with_a_driver_thread_n15() {
                with_emulator(|connection_string| $block_on(async {
                    let options = $adapter::Options::new(connection_string).unwrap().with_driver_thread();
                    let client = options.connect();
                    client.sender("short").unwrap().send("work").await.unwrap();
                    let processor = client.processor("short", ProcessorOptions::new());
                    let control = processor.control();
                    let calls = Arc::new(AtomicUsize::new(0));
                    let counted = Arc::clone(&calls);
                    let handler = move |_| {
                        let (control, calls) = (control.clone(), Arc::clone(&counted));
                        async move {
                            calls.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(LOCK * 5 / 2);
                            control.stop();
                            Ok(())
                        }
                    };
                    processor.on_error(|error| panic!("{error}")).run_inline(handler).await.unwrap();
                    assert_eq!(calls.load(Ordering::SeqCst), 1);
                    let left = client.receiver("short").unwrap().receive(Duration::from_millis(200)).await.unwrap();
                    assert!(left.is_none(), "it was not completed");
                    client.close().await;
                }));
            }

            /// One that captures nothing, in a task of its own.
            #[test]
            fn an_async_closure_is_a_handler() {
                with_emulator(|connection_string| $block_on(async {
                    let client = $adapter::connect(connection_string).unwrap();
                    client.sender("q").unwrap().send("work").await.unwrap();
                    let processor = client.processor("q", ProcessorOptions::new());
                    let control = processor.control();
                    let (report, reported) = std::sync::mpsc::channel();
                    let on_error = move |error: $adapter::ProcessorError| {
                        report.send(error.to_string()).unwrap();
                        control.stop();
                    };
                    let handler = async |message: $adapter::ProcessorMessage| {
                        let number: u32 = message.text()?.parse()?;
                        println!("{number}");
                        Ok(())
                    };
                    processor.on_error(on_error).run(handler).await.unwrap();
                    assert!(reported.recv().unwrap().contains("invalid digit"));
                    client.close().await;
                }));
            }

            #[test]
            fn a_panic_in_a_task_keeps_its_payload() {
                with_emulator(|connection_string| $block_on(async {
                    let client = $adapter::connect(connection_string).unwrap();
                    client.sender("q").unwrap().send("work").await.unwrap();
                    let processor = client.processor("q", ProcessorOptions::new());
                    let control = processor.control();
                    let (report, reported) = std::sync::mpsc::channel();
                    let on_error = move |error: $adapter::ProcessorError| {
                        report.send(error).unwrap();
                        control.stop();
                    };
                    processor.on_error(on_error).run(|_| async { std::panic::panic_any(7_u8) }).await.unwrap();
                    let error = reported.recv().unwrap();
                    assert_eq!((error.entity(), error.sequence_number(), error.delivery_count()), ("q", Some(1), Some(0)));
                    assert!(error.message_id().is_some(), "{error}");
                    let ProcessorErrorCause::Panicked(panic) = error.into_cause() else { panic!("no panic") };
                    assert_eq!(panic.into_payload().downcast_ref::<u8>(), Some(&7));
                    client.close().await;
                }));
            }
        }
    )* };
}

suite! {
    tokio_one_thread: servicebus_tokio, |scene| Builder::new_current_thread().enable_all().build().unwrap().block_on(scene);
    tokio_threads: servicebus_tokio, |scene| Builder::new_multi_thread().enable_all().build().unwrap().block_on(scene);
    on_smol: servicebus_async_std, smol::block_on;
    on_async_std: servicebus_async_std, async_std::task::block_on;
}
