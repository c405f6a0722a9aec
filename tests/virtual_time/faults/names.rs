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
    for (name, status) in [("x--y", 201), ("a-/b", 201), ("a b", 400), ("a-?", 400), ("a//b", 400)] {
        let (mut world, administrator) = (World::new(), Administrator::default());
        let element = "<MaxDeliveryCount>10</MaxDeliveryCount>";
        let path = format!("/{}?api-version=2021-05", name.replace(' ', "%20").replace('?', "%3F"));
        let response = administrator.put(&mut world, &path, "QueueDescription", element, false);
        judge.control(name, response.status, |found| *found == status);
    }
    judge.finish();
}
