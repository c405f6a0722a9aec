//! The connection string for AMQP, given to the administration client of an emulator.

use servicebus_core::client::administration::AdministrationOptions;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::servicebus::administration::{QueueDescription, TopicDescription};
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tokio::administration::{AdministrationClient, Http};

/// A client as an application makes it that has one connection string for both.
fn client(emulator: &Emulator) -> AdministrationClient {
    let options = AdministrationOptions::new().with_retry(RetryPolicy::none());
    AdministrationClient::connect_with(emulator.connection_string(), options, Http::default()).expect("it is valid")
}

/// Whether a text names the remedy: the port, or the connection string, for administration.
fn helps(text: &str) -> bool {
    let text = text.to_lowercase();
    (text.contains("port") || text.contains("connection string")) && (text.contains("admin") || text.contains("manage"))
}

#[test]
fn the_connection_string_for_amqp_works_or_the_error_helps_c21_n2() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio starts");
    let results = runtime.block_on(async {
        let emulator = Emulator::builder().queue("queue").topic("topic").start().await.expect("it starts");
        let client = client(&emulator);
        // The result in words, and the words of success.
        let mut results = Vec::new();
        macro_rules! call {
            ($name:literal, $wanted:literal, $call:expr) => {
                results.push(($name, $wanted, $call.map_err(|error| format!("{error} {error:?}"))));
            };
        }
        call!("queue_exists", "true", client.queue_exists("queue").await.map(|exists| exists.to_string()));
        call!("topic_exists", "true", client.topic_exists("topic").await.map(|exists| exists.to_string()));
        call!("get_queue", "queue", client.get_queue("queue").await.map(|queue| queue.name));
        call!("get_topic", "topic", client.get_topic("topic").await.map(|topic| topic.name));
        call!("create_queue", "new", client.create(&QueueDescription::new("new")).await.map(|queue| queue.name));
        call!("create_topic", "top", client.create(&TopicDescription::new("top")).await.map(|topic| topic.name));
        call!("list_queues", "2", client.list_queues().all().await.map(|queues| queues.len().to_string()));
        results
    });
    runtime.shutdown_background();
    let mut judge = Judge::new();
    for (name, wanted, result) in results {
        judge.case(
            name,
            result,
            |result| match result {
                Ok(found) => found == wanted,
                Err(text) => helps(text),
            },
            |result| match result {
                Ok(found) => found == "false",
                Err(text) => !helps(text) && (text.contains("NotFound") || text.contains("HTTP")),
            },
        );
    }
    judge.finish();
}
