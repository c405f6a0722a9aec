//! A clock belongs to a runtime, not to the process.

use crate::calls::{self, Ending, IN_TIME};
use futures_util::future::join_all;
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tests::in_a_process;
use std::time::Duration;
use tokio::runtime::Builder;

/// How calls of a client with the clock of a runtime end, after another runtime's clock was moved by this much. The
/// calls get no answer: only time ends them.
fn ends_after(advanced: Duration, uses_client: bool) -> Vec<(&'static str, Ending)> {
    let first = Builder::new_current_thread().enable_all().start_paused(true).build().expect("tokio starts");
    first.block_on(async {
        if uses_client {
            // It reads its clock; the connection is irrelevant.
            let client = calls::options(
                "Endpoint=sb://127.0.0.1:1;UseDevelopmentEmulator=true;\
                SharedAccessKeyName=n;SharedAccessKey=k",
            )
            .connect();
            drop(client.sender("queue").unwrap());
            tokio::task::yield_now().await;
        }
        tokio::time::advance(advanced).await;
        let client = calls::options(
            "Endpoint=sb://127.0.0.1:1;UseDevelopmentEmulator=true;\
            SharedAccessKeyName=n;SharedAccessKey=k",
        )
        .connect();
        drop(client.sender("queue").unwrap());
        tokio::task::yield_now().await;
    });
    drop(first);
    let second = Builder::new_multi_thread().enable_all().build().expect("tokio starts");
    second.block_on(async {
        let emulator = Emulator::builder().queue("queue").start().await.expect("it starts");
        // Nothing is behind this port: the emulator's own answers would need no clock.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = silent.local_addr().expect("its address").port().to_string();
        let there = emulator.amqp_address().port().to_string();
        let client = calls::options(&emulator.connection_string().replace(&there, &port)).connect();
        let mut calls = calls::all(&client);
        // Closing comes last: it ends the others.
        calls.pop();
        join_all(calls.into_iter().map(async |(name, call)| (name, calls::watch(call).await))).await
    })
}

fn judge(advanced: Duration, uses_client: bool) {
    let mut judge = Judge::new();
    for (name, ended) in ends_after(advanced, uses_client) {
        let right = |ended: &Ending| ended.is_some_and(|(took, _)| took <= IN_TIME);
        judge.case(format!("{name} after {advanced:?}"), ended, right, Option::is_none);
    }
    judge.finish();
}

#[test]
fn a_clock_that_was_advanced_elsewhere_stops_no_client_c15() {
    in_a_process!(60, { judge(Duration::from_secs(3_600), false) });
}

#[test]
fn a_clock_that_was_advanced_by_a_minute_stops_no_client_c15() {
    in_a_process!(60, { judge(Duration::from_secs(60), false) });
}

/// The clock was read before it was advanced.
#[test]
fn a_clock_that_was_advanced_after_its_first_use_stops_no_client_c15() {
    in_a_process!(60, { judge(Duration::from_secs(3_600), true) });
}
