//! Calls of processors, and of the messages in their handlers.

use super::{Bound, Call, QUEUE, SESSIONS, Scene, Verb, call};
use servicebus_core::client::{
    ProcessorError, ProcessorMessage, ProcessorOptions, SessionHandlers, SessionProcessorOptions, SessionReceiver,
};
use servicebus_core::machine::Entity;
use servicebus_core::runtime::Runtime;
use servicebus_core::storage::Heap;

type Handled = Result<(), String>;

/// Errors do not end a processor; the tests ignore them.
fn ignore(_: ProcessorError<Heap, String>) {}

async fn settle<R: Runtime<Storage = Heap>>(mut scene: Scene<R>, verb: Verb) -> super::Outcome {
    let handling = scene.handling.take().expect("the call needs a message in a handler");
    handling.settle(verb).await
}

pub(super) fn calls<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Processor::run", Nothing, Bound::UntilClosed, |scene| {
            let processor = scene.client.processor(Entity::queue(QUEUE), ProcessorOptions::default());
            processor.run(async |_: &ProcessorMessage<'_, R>| Handled::Ok(()), ignore).await
        }),
        call!("SessionProcessor::run", Nothing, Bound::UntilClosed, |scene| {
            let options = SessionProcessorOptions { max_concurrent_sessions: 2, ..Default::default() };
            let processor = scene.client.session_processor(Entity::queue(SESSIONS), options);
            processor.run(async |_: &ProcessorMessage<'_, R>| Handled::Ok(()), ignore).await
        }),
        call!("SessionProcessor::run_with", Nothing, Bound::UntilClosed, |scene| {
            let options = SessionProcessorOptions { max_concurrent_sessions: 2, ..Default::default() };
            let processor = scene.client.session_processor(Entity::queue(SESSIONS), options);
            let handlers = SessionHandlers {
                opened: async |_: &SessionReceiver<R>| Handled::Ok(()),
                message: async |_: &ProcessorMessage<'_, R>| Handled::Ok(()),
                closing: async |_: &SessionReceiver<R>| Handled::Ok(()),
            };
            processor.run_with(handlers, ignore).await
        }),
        call!("ProcessorMessage::complete", Handling, Bound::Policy, |scene| settle(scene, Verb::Complete).await),
        call!("ProcessorMessage::abandon", Handling, Bound::Policy, |scene| settle(scene, Verb::Abandon).await),
        call!("ProcessorMessage::defer", Handling, Bound::Policy, |scene| settle(scene, Verb::Defer).await),
        call!("ProcessorMessage::dead_letter", Handling, Bound::Policy, |scene| {
            settle(scene, Verb::DeadLetter).await
        }),
    ]
}
