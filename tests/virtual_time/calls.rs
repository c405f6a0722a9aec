//! The table of calls itself: with a healthy service each call can be prepared, made and ended.

use crate::stage::{MINUTE, SECOND};
use servicebus_core::client::Client;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_simulation::{Simulated, World};
use servicebus_tests::calls::{
    Bound, Call, Outcome, QUEUE, Running, SESSIONS, SUBSCRIPTION, Scene, TOPIC, WAIT, calls, closing,
};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Calls that name a missing message, session or rule, and are refused.
const REFUSED: [&str; 5] = [
    "Client::take_over_session",
    "Receiver::receive_deferred",
    "Receiver::receive_deferred_each",
    "RuleManager::remove",
    "Sender::cancel_scheduled",
];

/// A world with the entities of the calls.
fn world() -> World {
    let world = World::new(BrokerConfig::default(), 7);
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
            namespace.create_queue(QUEUE, QueueDescription::default(), clock.utc).expect("a queue");
            namespace.create_queue(SESSIONS, sessions, clock.utc).expect("a queue");
            namespace.create_topic(TOPIC, TopicDescription::default(), clock.utc).expect("a topic");
            let subscription = SubscriptionDescription::default();
            namespace.create_subscription(TOPIC, SUBSCRIPTION, subscription, None, clock.utc).expect("a subscription");
        });
    });
    world
}

/// The outcome of a call that ends within `limit`.
async fn within(world: &World, limit: Duration, mut running: Running) -> Result<Outcome, Running> {
    let ended = {
        let mut timeout = pin!(world.sleep(limit));
        poll_fn(|cx| match running.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => timeout.as_mut().poll(cx).map(|()| None),
        })
        .await
    };
    ended.ok_or(running)
}

/// Makes a call in a world of its own; the errors are texts.
fn make(call: &Call<Simulated<Heap>>, cold: bool) -> Option<Result<Outcome, String>> {
    let world = world();
    let retry = RetryPolicy::new().with_try_timeout(5 * SECOND);
    let (needs, bound, run) = (call.needs, call.bound, call.run);
    if cold && !needs.is_local() {
        return None;
    }
    let here = world.clone();
    let result = world.run(async move {
        let settings = here.settings().with_retry(retry);
        let client: Client<Simulated<Heap>> = here.client_with(settings);
        let scene = match Scene::cold(client.clone(), needs).filter(|_| cold) {
            Some(scene) => scene,
            None => Scene::warm(client.clone(), needs).await?,
        };
        let running = run(scene);
        let Some(limit) = bound.limit(&retry) else {
            // It waits until the client is closed, unless the scene has its message.
            let running = match within(&here, MINUTE, running).await {
                Ok(outcome) => return Ok(outcome),
                Err(running) => running,
            };
            let closed = client.clone();
            here.spawn(async move { closed.close().await });
            let ended = within(&here, closing(&retry), running).await;
            return ended.map(|_| Ok(())).map_err(|_| "it still runs after the client is closed".to_owned());
        };
        // At the end of its time a receive takes its credit back, which is one exchange.
        within(&here, limit + SECOND / 10, running).await.map_err(|_| format!("it does not end within {limit:?}"))
    });
    world.end();
    Some(result)
}

#[test]
fn every_call_ends_within_its_bound_when_the_service_is_well() {
    let mut wrong = Vec::new();
    for call in calls() {
        for cold in [true, false] {
            let refused = REFUSED.contains(&call.name);
            match make(&call, cold) {
                None => {}
                Some(Ok(outcome)) if outcome.is_err() == refused => {}
                Some(result) => wrong.push(format!("{call:?}, {}: {result:?}", if cold { "cold" } else { "warm" })),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A wait that is as long as another bound would hide which of both is kept.
#[test]
fn waits_are_shorter_than_the_policy_of_the_matrix() {
    assert!(calls::<Simulated<Heap>>().iter().all(|call| call.bound != Bound::Given(Duration::ZERO)));
    assert!(WAIT < SECOND);
}
