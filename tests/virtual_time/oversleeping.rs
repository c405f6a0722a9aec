//! Drivers do not sleep while their clients have something to do: it would wait for an unrelated wake-up.

use crate::stage::overslept_in;
use crate::{cancellation, failures, responses};
use servicebus_tests::fault::Judge;

#[test]
fn a_driver_sleeps_only_when_its_client_has_nothing_to_do_c23() {
    let scenes: [(&str, fn()); 6] = [
        ("a silent server", failures::a_silent_server_is_given_up_in_time),
        ("a server that closes", failures::a_server_that_closes_at_once_is_given_up_in_time),
        ("an unreachable server", failures::an_unreachable_server_is_given_up_in_time),
        ("responses that are not taken", responses::what_applications_do_not_take_leaves_room_for_renewals),
        ("a session processor that is dropped", cancellation::session_processor::on_heap),
        ("the same on a board", cancellation::session_processor::on_fixed),
    ];
    let mut judge = Judge::new();
    for (name, scene) in scenes {
        judge.case(name, overslept_in(scene), |count| *count == 0, |count| *count > 0);
    }
    judge.finish();
}
