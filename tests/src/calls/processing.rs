//! Calls of processors, and of the messages in their handlers.

use super::{Bound, Call, QUEUE, SESSIONS, Scene, Verb, call};
use servicebus_core::client::{HandlerError, HandlerFuture, ProcessorError, ProcessorOptions, SessionProcessorOptions};
use servicebus_core::runtime::{RunTask, Runtime};
use servicebus_core::servicebus::Entity;
use servicebus_core::storage::Heap;
use std::future::{Ready, ready};

/// The future of a handler that does nothing.
type Handled = Ready<Result<(), HandlerError>>;

/// A runtime on the heap that runs the handlers of the table.
pub trait Spawns: Runtime<Storage = Heap> + RunTask<HandlerFuture<Handled>> {}

impl<R: Runtime<Storage = Heap> + RunTask<HandlerFuture<Handled>>> Spawns for R {}

/// Handles a message or a session.
fn handle<T>(_: T) -> Handled {
    ready(Ok(()))
}

/// Errors do not end a processor; the tests ignore them.
fn ignore(_: ProcessorError<Heap>) {}

fn two_sessions() -> SessionProcessorOptions {
    SessionProcessorOptions::new().with_max_concurrent_sessions(2)
}

async fn settle<R: Runtime<Storage = Heap>>(mut scene: Scene<R>, verb: Verb) -> super::Outcome {
    let handling = scene.handling.take().expect("the call needs a message in a handler");
    handling.settle(verb).await
}

pub(super) fn calls<R: Spawns>() -> Vec<Call<R>> {
    vec![
        call!("Processor::run", Nothing, Bound::UntilClosed, |scene| {
            let processor = scene.client.processor(Entity::queue(QUEUE), ProcessorOptions::new());
            processor.on_error(ignore).run(handle).await
        }),
        call!("Processor::run_inline", Nothing, Bound::UntilClosed, |scene| {
            let processor = scene.client.processor(Entity::queue(QUEUE), ProcessorOptions::new());
            processor.on_error(ignore).run_inline(handle).await
        }),
        call!("SessionProcessor::run", Nothing, Bound::UntilClosed, |scene| {
            let processor = scene.client.session_processor(Entity::queue(SESSIONS), two_sessions());
            let processor = processor.on_session_opened(handle).on_session_closing(handle);
            processor.on_error(ignore).run(handle).await
        }),
        call!("SessionProcessor::run_inline", Nothing, Bound::UntilClosed, |scene| {
            let processor = scene.client.session_processor(Entity::queue(SESSIONS), two_sessions());
            let processor = processor.on_session_opened(handle).on_session_closing(handle);
            processor.on_error(ignore).run_inline(handle).await
        }),
        call!("ProcessorMessage::stopping", Handling, Bound::UntilClosed, |scene| settle(scene, Verb::Wait).await),
        call!("ProcessorMessage::complete", Handling, Bound::Policy, |scene| settle(scene, Verb::Complete).await),
        call!("ProcessorMessage::abandon", Handling, Bound::Policy, |scene| settle(scene, Verb::Abandon).await),
        call!("ProcessorMessage::abandon_with", Handling, Bound::Policy, |scene| {
            settle(scene, Verb::AbandonWith).await
        }),
        call!("ProcessorMessage::defer_with", Handling, Bound::Policy, |scene| {
            settle(scene, Verb::DeferWith).await
        }),
        call!("ProcessorMessage::defer", Handling, Bound::Policy, |scene| settle(scene, Verb::Defer).await),
        call!("ProcessorMessage::dead_letter", Handling, Bound::Policy, |scene| {
            settle(scene, Verb::DeadLetter).await
        }),
        call!("ProcessorMessage::complete_in", HandlingInTransaction, Bound::Attempt, |scene| {
            settle(scene, Verb::CompleteIn).await
        }),
        call!("ProcessorMessage::settle_in", HandlingInTransaction, Bound::Attempt, |scene| {
            settle(scene, Verb::SettleIn).await
        }),
    ]
}
