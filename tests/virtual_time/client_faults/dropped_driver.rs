//! With the driver gone every call ends.

use crate::stage::{Kit, MINUTE, SECOND, VERBS, ended_by, ending, observe, policy, settings, within, world};
use servicebus_core::client::Client;
use servicebus_core::driver::{self, NoCredential};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::fault::Judge;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// A kit and its driver, which runs until it is taken out.
async fn driven(world: &World) -> (Rc<Kit>, Rc<RefCell<Option<Driver>>>) {
    let runtime = world.runtime::<Heap>();
    let shared = Rc::new(RefCell::new(Client::shared_state(settings(world, policy(1)))));
    let client = Client::new(&shared, runtime.clone());
    let driver: Driver = Box::pin(driver::run(shared, runtime, world.dialer(), NoCredential));
    let driver = Rc::new(RefCell::new(Some(driver)));
    let polled = Rc::clone(&driver);
    world.spawn(std::future::poll_fn(move |cx| match polled.borrow_mut().as_mut() {
        Some(driver) => driver.as_mut().poll(cx),
        None => Poll::Ready(()),
    }));
    (Kit::new(world, client).await, driver)
}

#[test]
fn calls_end_when_their_driver_is_dropped_c5() {
    let mut judge = Judge::new();
    for (name, call) in VERBS {
        for begun in [false, true] {
            let ending = observe(&world(QueueDescription::default()), async move |world| {
                let (kit, driver) = driven(&world).await;
                let mut call = call(Rc::clone(&kit));
                if begun {
                    // Nothing that it asks for comes back.
                    world.set_black_hole(true);
                    let over = within(&world, SECOND / 100, call.as_mut()).await;
                    assert!(over.is_none(), "{name} ended without an answer");
                }
                let driver = driver.take();
                drop(driver);
                ending(&world, MINUTE * 5, call).await
            });
            let right = |ending: &_| ended_by(ending, SECOND) && ending.is_some_and(|(_, result)| result.is_err());
            judge.case(format!("{name}, begun before: {begun}"), ending, right, Option::is_none);
        }
    }
    judge.finish();
}

#[test]
fn closing_ends_when_the_driver_was_dropped_c5() {
    let mut judge = Judge::of_few(2, "closing has no input but whether a call is pending");
    for pending in [false, true] {
        let closed = observe(&world(QueueDescription::default()), async move |world| {
            let (kit, driver) = driven(&world).await;
            if pending {
                let receiver = kit.client.receiver("q").unwrap();
                world.spawn(async move { drop(receiver.receive(MINUTE).await) });
                world.settle().await;
            }
            let driver = driver.take();
            drop(driver);
            within(&world, MINUTE * 5, kit.client.clone().close()).await.map(|(took, ())| took)
        });
        let right = |took: &Option<_>| took.is_some_and(|took| took <= SECOND);
        judge.case(format!("a receive pending: {pending}"), closed, right, Option::is_none);
    }
    judge.finish();
}
