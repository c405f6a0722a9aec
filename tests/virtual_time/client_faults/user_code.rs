//! Code of the application runs outside of the client's lock.

use crate::stage::{HOUR, MINUTE, Notes, observe, sessions, settings, world};
use servicebus_core::client::{ProcessorMessage, ProcessorOptions, ReceiverOptions, SessionProcessorOptions};
use servicebus_core::machine::Entity;
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_simulation::{SharedState, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use servicebus_tests::known_fault;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

/// Notes whether the lock is free where the application's code runs.
#[derive(Clone)]
struct Probe {
    state: SharedState<Heap>,
    notes: Notes,
}

impl Probe {
    fn check(&self, place: &str) {
        let note = format!("{place}: {}", if self.state.try_borrow_mut().is_ok() { "free" } else { "locked" });
        if !self.notes.borrow().contains(&note) {
            self.notes.borrow_mut().push(note);
        }
    }
}

async fn closures_of_calls(world: &World, client: &crate::stage::HeapClient, probe: &Probe) {
    let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
    for _ in 0..3 {
        sender.send(&MessageRef::new("x")).await.unwrap();
    }
    let mut received = Vec::new();
    let take = |message| {
        probe.check("receive_each");
        received.push(message);
    };
    assert!(receiver.receive_each(2, Some(MINUTE), take).await.unwrap() > 0);
    receiver.peek_each(0, 10, |_| probe.check("peek_each")).await.unwrap();
    let number = received[0].sequence_number().unwrap();
    receiver.defer(&received[0]).await.unwrap();
    receiver.receive_deferred_each(&[number], |_| probe.check("receive_deferred_each")).await.unwrap();
    let at = world.clock().utc + HOUR;
    sender.schedule_each(&[MessageRef::new("x")], at, |_| probe.check("schedule_each")).await.unwrap();
    client.rule_manager(Entity::subscription("t", "s")).list_each(|_| probe.check("list_each")).await.unwrap();
    // Code that runs in the application's own task.
    let options = ProcessorOptions::default();
    let processor = client.processor(Entity::queue("q"), options);
    let control = processor.control();
    let handler = handler(async |_: ProcessorMessage<_>| {
        probe.check("handler");
        control.stop();
        Err::<(), _>("failed")
    });
    processor.on_error(|_| probe.check("on_error")).run(handler).await.unwrap();
}

async fn closures_of_sessions(client: &crate::stage::HeapClient, probe: &Probe) {
    let sender = client.sender("sessions").unwrap();
    sender.send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
    let entity = Entity::queue("sessions");
    client.list_sessions_each(entity, None, |_| probe.check("list_sessions_each")).await.unwrap();
    let session = client.accept_session(Entity::queue("sessions"), "s", ReceiverOptions::default()).await.unwrap();
    session.receive_each(1, Some(MINUTE), |_| probe.check("receive_each in a session")).await.unwrap();
    session.peek_each(0, 1, |_| probe.check("peek_each in a session")).await.unwrap();
    session.close().await;
    let processor = client.session_processor(Entity::queue("sessions"), SessionProcessorOptions::default());
    let control = processor.control();
    let handler = handler(async |_: ProcessorMessage<_>| {
        probe.check("handler of a session");
        control.stop();
        Ok::<(), Infallible>(())
    });
    processor.on_error(|_| {}).run(handler).await.unwrap();
}

#[known_fault("C7")]
fn no_code_of_the_application_runs_under_the_lock_c7() {
    let world = world(QueueDescription::default());
    crate::stage::add_queue(&world, "sessions", sessions(MINUTE));
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", TopicDescription::default(), clock.utc).expect("a topic");
            let subscription = SubscriptionDescription::default();
            namespace.create_subscription("t", "s", subscription, None, clock.utc).expect("a subscription");
        });
    });
    let notes = observe(&world, async move |world| {
        let (client, state) = world.client_and_state(settings(&world, RetryPolicy::default()));
        let probe = Probe { state, notes: Rc::new(RefCell::new(Vec::new())) };
        closures_of_calls(&world, &client, &probe).await;
        closures_of_sessions(&client, &probe).await;
        probe.notes.take()
    });
    let mut judge = Judge::new();
    for note in notes {
        let (place, lock) = note.split_once(": ").unwrap();
        judge.equal(place.to_owned(), lock.to_owned(), "free".to_owned(), "locked".to_owned());
    }
    judge.finish();
}
