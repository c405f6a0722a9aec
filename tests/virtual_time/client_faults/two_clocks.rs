//! Two worlds in one process: the clock of a client is that of its own runtime.

use crate::stage::{
    DAY, HOUR, Kit, MINUTE, SECOND, Verbs, ended_by, ending, longest, observe, on_both_storages, policy, settings_of,
    world,
};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;

/// Calls that nothing but time ends, after another world in this thread has got ahead by this much. Its client lives on.
fn calls_end_by_their_own_clock<S: Complete>() {
    let mut judge = Judge::new();
    for ahead in [Duration::ZERO, MINUTE, HOUR, DAY] {
        let other = world(QueueDescription::default());
        other.run({
            let world = other.clone();
            async move {
                let kit = Kit::new(&world, world.client_with(settings_of::<S>(&world, policy(1)))).await;
                world.sleep(ahead).await;
                drop(kit);
            }
        });
        for (name, call) in Verbs::<S>::ALL {
            let ended = observe(&world(QueueDescription::default()), async move |world| {
                let kit = Kit::new(&world, world.client_with(settings_of::<S>(&world, policy(1)))).await;
                world.set_black_hole(true);
                ending(&world, DAY, call(kit)).await
            });
            let right = |ended: &_| ended_by(ended, longest(&policy(1)) + SECOND);
            judge.case(format!("{name}, the other {ahead:?} ahead"), ended, right, Option::is_none);
        }
        other.end();
    }
    judge.finish();
}

on_both_storages! {
    a_clock_that_is_ahead_elsewhere_stops_no_client_c15 => calls_end_by_their_own_clock;
}
