//! A peer that stops reading blocks writes, and nothing else.

use crate::stage::{
    Kit, MINUTE, SECOND, Verbs, ended_by, ending, longest, observe, on_both_storages, policy, settings_of, within,
    world,
};
use crate::valve::Valve;
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::rc::Rc;

/// Longer than the idle time-out and than every call's own time.
const LIMIT: servicebus_core::time::Duration = MINUTE.saturating_mul(5);

/// A kit whose connection reads and writes nothing any more.
async fn blocked<S: Complete>(world: &World, retry: RetryPolicy) -> (Rc<Kit<S>>, Valve) {
    let (client, valve) = Valve::client(world, settings_of(world, retry));
    let kit = Kit::new(world, client).await;
    world.sleep(SECOND).await;
    valve.block();
    (kit, valve)
}

fn calls_end<S: Complete>() {
    let mut judge = Judge::new();
    for retry in [policy(1), policy(3)] {
        for (name, call) in Verbs::<S>::ALL {
            let ending = observe(&world(QueueDescription::default()), async move |world| {
                let (kit, _) = blocked(&world, retry).await;
                ending(&world, LIMIT, call(kit)).await
            });
            let in_time = |ending: &_| ended_by(ending, longest(&retry) + SECOND);
            judge.case(format!("{name}, {} retries", retry.max_retries), ending, in_time, Option::is_none);
        }
    }
    judge.finish();
}

fn closing_ends<S: Complete>() {
    let mut judge = Judge::new();
    for (name, call) in Verbs::<S>::ALL {
        let closed = observe(&world(QueueDescription::default()), async move |world| {
            let (kit, _) = blocked(&world, policy(1)).await;
            // The call's frames block the writer.
            let pending = Box::pin(call(Rc::clone(&kit)));
            let began = within(&world, SECOND / 10, pending).await;
            assert!(began.is_none(), "{name} ended without an answer");
            within(&world, LIMIT, kit.client.clone().close()).await.map(|(took, ())| took)
        });
        // As long as closing may wait for a service that does not answer.
        judge.case(name, closed, |took| took.is_some_and(|took| took <= SECOND * 12), Option::is_none);
    }
    judge.finish();
}

fn the_idle_time_out_ends_the_connection<S: Complete>() {
    let mut judge = Judge::new();
    for (name, call) in Verbs::<S>::ALL {
        let dials = observe(&world(QueueDescription::default()), async move |world| {
            let (kit, valve) = blocked(&world, policy(1)).await;
            let blocking = Rc::clone(&kit);
            world.spawn(async move { drop(call(blocking).await) });
            world.sleep(LIMIT).await;
            // The first call may have failed; this one meets a healthy service.
            drop(within(&world, MINUTE, kit.sender.send(&MessageRef::new("x"))).await);
            valve.dials.get()
        });
        judge.case(name, dials, |dials| *dials >= 2, |dials| *dials == 1);
    }
    judge.finish();
}

on_both_storages! {
    calls_end_in_their_time_while_a_write_is_blocked_c1 => calls_end;
    closing_ends_while_a_write_is_blocked_c1 => closing_ends;
    the_idle_time_out_ends_a_connection_whose_write_is_blocked_c1 => the_idle_time_out_ends_the_connection;
}
