//! The costs of calls: RAM, round trips, and pauses between connections.

use servicebus_core::client::Client;
use servicebus_core::servicebus::{MessageBatch, MessageRef};
use servicebus_core::storage::{Heap, Receivers, Storage};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::fault::Judge;

macro_rules! boards {
    ($($name:ident $message:literal),*) => { $(
        servicebus_core::fixed_storage! {
            /// A board whose messages have this size.
            type $name {
                sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: $message,
                receivers: true, management: true,
            }
        }
    )* };
}

boards!(Board512 512, Board1024 1024, Board2048 2048, Board4096 4096, Board8192 8192, Board16384 16384);

/// The namespace of the tests, with two queues.
fn world() -> World {
    let world = World::new(BrokerConfig::default(), 7);
    world.broker(|broker, clock| {
        for name in ["q", "r"] {
            let queue = QueueDescription::default();
            broker.with_namespace(clock, |namespace| namespace.create_queue(name, queue, clock.utc)).expect("a queue");
        }
    });
    world
}

/// Bytes of a batch, and of the futures of `send_batch` and `send_all`.
fn futures<S: Storage>() -> [usize; 3] {
    let world = world();
    let client: Client<Simulated<S>> = world.client();
    let sender = client.sender("q").expect("there is room");
    let batch = size_of_val(&sender.send_batch(MessageBatch::new(1, Timestamp::UNIX_EPOCH)));
    let all = size_of_val(&sender.send_all(&[""; 0]));
    drop((sender, client));
    world.end();
    [size_of::<MessageBatch<S>>(), batch, all]
}

#[test]
fn a_batch_is_sent_in_place_d5() {
    let mut judge = Judge::new();
    let least = futures::<Board512>();
    let boards = [
        futures::<Board1024>(),
        futures::<Board2048>(),
        futures::<Board4096>(),
        futures::<Board8192>(),
        futures::<Board16384>(),
    ];
    for board in boards {
        for (name, at) in [("send_batch", 1), ("send_all", 2)] {
            let copies = (board[at] - least[at]) as f64 / (board[0] - least[0]) as f64;
            let name = format!("copies in {name} for a batch of {} bytes", board[0]);
            judge.case(name, copies, |copies| *copies < 1.5, |copies| *copies > 2.5);
        }
    }
    judge.finish();
}

/// Round trips after TCP's until the first message is sent, or received, and settled.
fn round_trips<S: Receivers + Storage>(latency: Duration, sends: bool, pipelined: Option<bool>) -> u128 {
    let world = world();
    if !sends {
        let handle = world.clone();
        world.run(async move {
            let client: Client<Simulated<Board1024>> = handle.client();
            let sender = client.sender("q").expect("there is room");
            sender.send(&MessageRef::new("led 1")).await.expect("it is accepted");
            sender.close().await;
            client.close().await;
        });
    }
    world.set_latency(latency);
    let handle = world.clone();
    let elapsed = world.run(async move {
        let mut settings = handle.settings::<S>();
        settings.pipelined_opening = pipelined.unwrap_or(settings.pipelined_opening);
        let client: Client<Simulated<S>> = handle.client_with(settings);
        let begun = handle.clock().now;
        if sends {
            client.sender("q").expect("there is room").send(&MessageRef::new("21.5")).await.expect("it is accepted");
        } else {
            let receiver = client.receiver("q").expect("there is room");
            let message =
                receiver.receive(Duration::from_secs(60)).await.expect("the link holds").expect("it is there");
            receiver.complete(&message).await.expect("the lock holds");
        }
        handle.clock().now.saturating_duration_since(begun)
    });
    world.end();
    // The simulated network takes one to connect.
    (elapsed + latency).as_micros() / (2 * latency).as_micros() - 1
}

/// One for everything up to the links of `$cbs`, one each for the token, the link, and the message. Servers keep the steps
/// that every service takes, and so does a board that is told to.
#[test]
fn the_first_message_takes_few_round_trips_d12() {
    for milliseconds in [20, 100, 500] {
        let latency = Duration::from_millis(milliseconds);
        for sends in [true, false] {
            let trips = [
                round_trips::<Board1024>(latency, sends, None),
                round_trips::<Board1024>(latency, sends, Some(false)),
                round_trips::<Heap>(latency, sends, Some(true)),
                round_trips::<Heap>(latency, sends, None),
            ];
            assert_eq!(trips, [4, 6, 4, 6], "{} at {milliseconds} ms", if sends { "send" } else { "receive" });
        }
    }
}

/// How long each of so many sends takes, each on a connection of its own that ends less than a second after it began:
/// the board switches its radio off.
fn sends_on_short_connections(count: usize, queues: &'static [&'static str], keeps_sender: bool) -> Vec<Duration> {
    let world = world();
    let handle = world.clone();
    let pauses = world.run(async move {
        let client: Client<Simulated<Board1024>> = handle.client();
        let mut kept = Vec::new();
        let mut pauses = Vec::new();
        for number in 0..count {
            let begun = handle.clock().now;
            let sender = match kept.pop() {
                Some(sender) if keeps_sender => sender,
                _ => client.sender(queues[number % queues.len()]).expect("there is room"),
            };
            sender.send(&MessageRef::new("21.5")).await.expect("it is accepted");
            pauses.push(handle.clock().now.saturating_duration_since(begun));
            if keeps_sender {
                kept.push(sender);
            } else {
                sender.close().await;
            }
            handle.cut();
            handle.settle().await;
        }
        pauses
    });
    world.end();
    pauses
}

#[test]
fn short_connections_that_ended_do_not_delay_the_next_d3() {
    // The first pause of the retry policy is 0.8 s, and varies by a fifth.
    let first = Duration::from_millis(1_000);
    for (name, queues, keeps_sender) in [
        ("one sender", &["q"][..], true),
        ("a sender for each", &["q"], false),
        ("a sender of another queue for each", &["q", "r"], false),
    ] {
        for (number, pause) in sends_on_short_connections(6, queues, keeps_sender).into_iter().enumerate() {
            assert!(pause <= first, "{name}, after {number}: {pause:?}");
        }
    }
}
