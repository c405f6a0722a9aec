//! Dead-lettering a message that is in a dead-letter queue.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::transaction::TransactionalState;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, is_enlisted};
use servicebus_tests::fault::Judge;

/// Entities with one dead message each.
const ENTITIES: [(&str, &str); 3] =
    [("queue", "queue"), ("sessions", "sessions"), ("topic", "topic/Subscriptions/sub")];

/// A message locked in the dead-letter queue of an entity, and the queue's path.
fn dead_message(entity: &str, path: &str) -> (World, String, Received) {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    let sender = world.sender(0, entity).unwrap();
    assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id("s")), Ended::Accepted);
    let receiver =
        if entity == "sessions" { world.session_receiver(0, path, Some("s"), None) } else { world.receiver(0, path) }
            .unwrap();
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.dead_letter(0, &message, "first", "");
    let dead = format!("{path}/$DeadLetterQueue");
    let receiver = world.receiver(0, &dead).unwrap();
    let message = world.receive_now(0, receiver, 1).remove(0);
    (world, dead, message)
}

fn condition(ended: &Ended) -> &str {
    match ended {
        Ended::Rejected(Some(failure)) => &failure.condition,
        _ => "",
    }
}

#[test]
fn dead_lettering_a_dead_letter_is_not_allowed_f15() {
    let mut judge = Judge::new();
    for (entity, path) in ENTITIES {
        for reason in ["again", ""] {
            let (mut world, _, message) = dead_message(entity, path);
            let ended = world.dead_letter(0, &message, reason, "");
            let name = format!("{path}, by its delivery, '{reason}'");
            judge.equal(name, condition(&ended), "amqp:not-allowed", "amqp:internal-error");
        }
        let (mut world, dead, message) = dead_message(entity, path);
        let response = world.update(0, &dead, message.token, "suspended");
        let name = format!("{path}, by its token");
        judge.equal(name, response.condition(), Some("amqp:not-allowed"), Some("amqp:internal-error"));
    }
    judge.finish();
}

#[test]
fn dead_lettering_a_dead_letter_in_a_transaction_is_refused_at_once_f37() {
    let mut judge = Judge::new();
    for (entity, path) in ENTITIES {
        for settled_with in ["a rejection", "an empty rejection"] {
            let (mut world, _, message) = dead_message(entity, path);
            let control = Control::attach(&mut world, 0);
            let txn = control.declare(&mut world);
            let error = servicebus_core::wire::performative::ErrorCondition::new("com.microsoft:dead-letter");
            let error = (settled_with == "a rejection").then_some(error);
            let outcome = Some(Outcome::Rejected(Rejected { error }));
            let state = DeliveryState::Transactional(TransactionalState { txn_id: &txn, outcome });
            let answer = world.settle(0, &message, &state);
            let committed = control.commit(&mut world, &txn);
            judge.case(
                format!("{path}, {settled_with}"),
                (answer, committed),
                |(answer, _)| matches!(answer, Ended::Rejected(Some(_))),
                |(answer, committed)| is_enlisted(answer) && *committed == Ended::Accepted,
            );
        }
    }
    judge.finish();
}
