//! Calls of a client whose driver's runtime is gone end with an error.

use crate::calls::{self, Ending, IN_TIME};
use futures_util::future::join_all;
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tokio::MessageRef;
use tokio::runtime::{Builder, Runtime};

fn runtime(threads: bool) -> Runtime {
    let mut builder = if threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build().expect("tokio starts")
}

/// How calls end on another runtime than the client was made on, which is gone.
fn ends(threads: bool) -> Vec<(&'static str, Ending)> {
    let server = runtime(true);
    let emulator = server.block_on(Emulator::builder().queue("queue").start()).expect("it starts");
    let first = runtime(threads);
    let client = first.block_on(async {
        let client = calls::options(&emulator.connection_string()).connect();
        client.sender("queue").unwrap().send(&MessageRef::new("x")).await.unwrap();
        client
    });
    first.shutdown_background();
    let ended = runtime(threads).block_on(async {
        let mut calls = calls::all(&client);
        // Closing comes last: it ends the others.
        let (name, closing) = calls.pop().expect("there is one");
        let mut ended = join_all(calls.into_iter().map(async |(name, call)| (name, calls::watch(call).await))).await;
        ended.push((name, calls::watch(closing).await));
        ended
    });
    server.shutdown_background();
    ended
}

#[test]
fn calls_end_when_the_runtime_of_their_driver_is_gone_c5() {
    let mut judge = Judge::new();
    for threads in [false, true] {
        for (name, ended) in ends(threads) {
            // Only closing may succeed.
            let right = |ended: &Ending| {
                ended.is_some_and(|(took, result)| took <= IN_TIME && (result.is_err() || name == "close"))
            };
            judge.case(format!("{name}, a runtime with threads: {threads}"), ended, right, Option::is_none);
        }
    }
    judge.finish();
}
