//! Names of entities.

use servicebus_core::servicebus::administration::{CreateQueueOptions, CreateTopicOptions};
use servicebus_tests::administrator::Administrator;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

#[known_fault("F9")]
fn a_segment_of_a_name_may_end_in_a_hyphen_or_an_underscore_f9() {
    let mut judge = Judge::new();
    let names = [
        "MassTransit/Fault--Company.Messages/OrderSubmitted--",
        "Company.Messages/Order--",
        "a--",
        "q-",
        "q__",
        "a-/b_",
        "x--y",
        "a-/b",
    ];
    for name in names {
        for topic in [false, true] {
            let (mut world, administrator) = (World::new(), Administrator::default());
            let response = if topic {
                administrator.create_topic(&mut world, name, CreateTopicOptions::new())
            } else {
                administrator.create_queue(&mut world, name, CreateQueueOptions::new())
            };
            judge.equal(format!("{name}, a topic: {topic}"), response.status, 201, 400);
        }
    }
    judge.finish();
}
