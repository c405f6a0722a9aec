//! With the driver gone every call ends.

use crate::stage::{
    Kit, MINUTE, SECOND, Verbs, ended_by, ending, observe, on_both_storages, policy, settings_of, within, world,
};
use servicebus_core::client::Client;
use servicebus_core::driver::{self, NoCredential};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// A kit and its driver, which runs until it is taken out.
async fn driven<S: Complete>(world: &World) -> (Rc<Kit<S>>, Rc<RefCell<Option<Driver>>>) {
    let runtime = world.runtime::<S>();
    let shared = Rc::new(RefCell::new(Client::shared_state(settings_of(world, policy(1)))));
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

fn calls_end<S: Complete>() {
    let mut judge = Judge::new();
    for (name, call) in Verbs::<S>::ALL {
        for begun in [false, true] {
            let ending = observe(&world(QueueDescription::default()), async move |world| {
                let (kit, driver) = driven::<S>(&world).await;
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

fn closing_ends<S: Complete>() {
    let mut judge = Judge::of_few(2, "closing has no input but whether a call is pending");
    for pending in [false, true] {
        let closed = observe(&world(QueueDescription::default()), async move |world| {
            let (kit, driver) = driven::<S>(&world).await;
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

on_both_storages! {
    calls_end_when_their_driver_is_dropped_c5 => calls_end;
    closing_ends_when_the_driver_was_dropped_c5 => closing_ends;
}
