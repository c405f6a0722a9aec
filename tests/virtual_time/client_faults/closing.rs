//! Closing takes as long as the service needs for its answers.

use crate::stage::{MINUTE, SECOND, observe, on_both_storages, sessions, world};
use servicebus_core::client::{Client, ProcessorMessage, SessionProcessorOptions};
use servicebus_core::servicebus::Entity;
use servicebus_core::time::Duration;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::convert::Infallible;

/// The call that waits for a session when the client closes.
#[derive(Clone, Copy, Debug)]
enum Waits {
    /// An accept that may take this long.
    Accept(Duration),
    /// As many accepts at once.
    Accepts(u32),
    NonExclusive,
    /// An accept whose future was dropped just before.
    Dropped,
    /// A session processor that was stopped just before.
    StoppedProcessor,
    /// Nothing.
    Nothing,
}

fn start<S: Complete>(world: &World, client: &Client<Simulated<S>>, waits: Waits) {
    let accept = |wait: Duration| {
        let client = client.clone();
        async move { drop(client.accept_next_session(Entity::queue("q"), wait).await) }
    };
    match waits {
        Waits::Accept(wait) => world.spawn(accept(wait)),
        Waits::Accepts(count) => (0..count).for_each(|_| world.spawn(accept(MINUTE))),
        Waits::NonExclusive => {
            let client = client.clone();
            world.spawn(async move {
                drop(client.accept_next_non_exclusive_session(Entity::queue("q"), MINUTE).await);
            });
        }
        Waits::Dropped => {
            let (world, accept) = (world.clone(), accept(MINUTE));
            world.clone().spawn(async move {
                assert!(crate::stage::within(&world, SECOND, accept).await.is_none());
            });
        }
        Waits::StoppedProcessor => {
            let processor = client.session_processor(Entity::queue("q"), SessionProcessorOptions::default());
            let (control, later) = (processor.control(), world.clone());
            world.spawn(async move {
                let handler = handler(async |_: ProcessorMessage<_>| Ok::<(), Infallible>(()));
                drop(processor.on_error(|_| {}).run(handler).await);
            });
            world.spawn(async move {
                later.sleep(SECOND).await;
                control.stop();
            });
        }
        Waits::Nothing => {}
    }
}

fn a_client_closes_at_once<S: Complete>() {
    let mut judge = Judge::new();
    for waits in [
        Waits::Accept(SECOND * 10),
        Waits::Accept(MINUTE),
        Waits::Accept(MINUTE * 5),
        Waits::Accepts(5),
        Waits::NonExclusive,
        Waits::Dropped,
        Waits::StoppedProcessor,
        Waits::Nothing,
    ] {
        let took = observe(&world(sessions(MINUTE)), async move |world| {
            let client = world.client::<S>();
            client.sender("q").unwrap().size_limits().await.unwrap();
            start(&world, &client, waits);
            world.sleep(SECOND + Duration::from_millis(1)).await;
            let began = world.clock().now;
            client.close().await;
            world.clock().now.saturating_duration_since(began)
        });
        // A few ways through a network of a millisecond.
        let right = |took: &Duration| *took <= Duration::from_millis(50);
        judge.case(format!("{waits:?}"), took, right, |took| took.abs_diff(SECOND * 5) < SECOND / 10);
    }
    judge.finish();
}

on_both_storages! {
    a_client_closes_at_once_while_an_accept_is_pending_c16 => a_client_closes_at_once;
}
