//! Calls end when their client closes and when its driver is dropped.

use crate::cell::{Sim, ended, retry, world};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_tests::calls::{Bound, Call, Scene, calls, closing};
use servicebus_tests::fault::Judge;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// The event that ends the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    DropDriver,
}

/// A driver that can be dropped while its task is not polled.
type Driver = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// How long after the end a call ended; `None` when it did not.
fn after(call: &Call<Sim>, end: End) -> Option<Duration> {
    let (world, _service) = world(7);
    let mut settings = world.settings::<Heap>();
    settings.retry = retry();
    let (client, driver) = world.client_and_driver(settings);
    let driver: Driver = Rc::new(RefCell::new(Some(Box::pin(driver))));
    let drop_driver = Rc::clone(&driver);
    world.spawn(poll_fn(move |cx| {
        let mut driver = driver.borrow_mut();
        driver.as_mut().map_or(Poll::Ready(()), |driver| driver.as_mut().poll(cx))
    }));
    let warm = Scene::warm(client.clone(), call.needs);
    let (scene, _) = ended(&world, warm).expect("a healthy service answers");
    let scene = scene.unwrap_or_else(|error| panic!("{call:?}: {error}"));
    // A message in the queue would end the call.
    let (sleeper, at) = (world.clone(), world.clock().now + Duration::from_secs(3));
    world.spawn(async move {
        sleeper.sleep(Duration::from_secs(3)).await;
        match end {
            End::Close => client.close().await,
            End::DropDriver => _ = drop_driver.borrow_mut().take(),
        }
    });
    let result = ended(&world, (call.run)(scene)).ok().map(|(_, end)| end.saturating_duration_since(at));
    world.end();
    result
}

fn unbounded() -> Vec<Call<Sim>> {
    let calls = calls::<Sim>().into_iter().filter(|call| call.bound == Bound::UntilClosed);
    calls.collect()
}

#[test]
fn calls_without_a_bound_end_when_their_client_closes() {
    for call in unbounded() {
        let after = after(&call, End::Close);
        assert!(after.is_some_and(|after| after <= closing(&retry())), "{call:?}: {after:?}");
    }
}

#[test]
fn calls_without_a_bound_end_when_their_driver_is_dropped_c5() {
    let mut judge = Judge::new();
    for call in unbounded() {
        let after = after(&call, End::DropDriver);
        let at_once = |after: &Option<Duration>| after.is_some_and(|after| after <= Duration::from_secs(1));
        judge.case(format!("{call:?}"), after, at_once, Option::is_none);
    }
    judge.finish();
}
