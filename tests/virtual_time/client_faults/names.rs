//! The longest names that the service allows work.

use crate::stage::{MINUTE, ending, observe, world};
use servicebus_core::servicebus::{Argument, Entity, MessageRef, SubQueue};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_tests::fault::Judge;
use servicebus_tests::told::Told;

/// A name of this length, with slashes where `deep`.
fn name(length: usize, deep: bool) -> String {
    let part = if deep { "a/" } else { "aaaaaaaaa-" };
    let mut name = part.repeat(length / part.len() + 1);
    name.truncate(length - 1);
    name + "z"
}

/// Sends to a topic and peeks at and receives from its subscription; with the first failure's cause.
fn use_names(host: usize, topic: &str, subscription: &str, sub_queue: Option<SubQueue>) -> Result<(), Told> {
    let host = format!("{}.servicebus.windows.net", name(host - ".servicebus.windows.net".len(), false));
    let names = world(QueueDescription::default());
    let (topic, subscription) = (topic.to_owned(), subscription.to_owned());
    names.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic(&topic, TopicDescription::default(), clock.utc).expect("a topic");
            let description = SubscriptionDescription::default();
            namespace
                .create_subscription(&topic, &subscription, description, None, clock.utc)
                .expect("its subscription");
        });
    });
    observe(&names, async move |world| {
        let connection_string = format!(
            "Endpoint=sb://{host};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
             UseDevelopmentEmulator=true"
        );
        let mut settings = world.settings::<Heap>();
        settings.connection_string = connection_string.into();
        let client = world.client_with(settings);
        let done = |ended: crate::stage::Ending| ended.expect("it ends").1;
        let sender = client.sender(topic.clone()).map_err(|failure| Told::of(&failure))?;
        done(ending(&world, MINUTE * 10, sender.send(&MessageRef::new("x"))).await)?;
        let mut entity = Entity::subscription(topic, subscription);
        entity.sub_queue = sub_queue;
        let receiver = client.receiver(entity).map_err(|failure| Told::of(&failure))?;
        done(ending(&world, MINUTE * 10, receiver.peek(0, 1)).await)?;
        done(ending(&world, MINUTE * 10, receiver.receive(MINUTE / 60)).await)
    })
}

#[test]
fn the_longest_names_of_the_service_work_c14() {
    let mut judge = Judge::new();
    for (host, topic, subscription, sub_queue) in [
        (73, name(260, false), name(50, false), None),
        (73, name(260, true), name(50, false), None),
        (73, name(260, false), name(50, false), Some(SubQueue::DeadLetter)),
        (73, name(260, false), name(50, false), Some(SubQueue::TransferDeadLetter)),
        (72, name(259, false), name(50, false), None),
        (73, name(255, false), name(50, false), None),
        (50, name(260, false), name(50, false), None),
        (73, name(200, true), name(20, false), None),
    ] {
        let result = use_names(host, &topic, &subscription, sub_queue);
        let case = format!(
            "a host of {host}, a topic of {} and a subscription of {}, {sub_queue:?}",
            topic.len(),
            subscription.len()
        );
        judge.equal(case, result, Ok(()), Err(Told::Argument(Argument::EntityName)));
    }
    judge.finish();
}
