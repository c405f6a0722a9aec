//! A processor whose handler holds a message and settles it on command.

use super::{Outcome, QUEUE, outcome};
use crate::handler::handler;
use servicebus_core::client::{Client, DeadLetterOptions, ProcessorMessage, ProcessorOptions};
use servicebus_core::machine::Entity;
use servicebus_core::runtime::Runtime;
use servicebus_core::storage::Heap;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How the handler settles its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`ProcessorMessage::complete`].
    Complete,
    /// [`ProcessorMessage::abandon`].
    Abandon,
    /// [`ProcessorMessage::defer`].
    Defer,
    /// Not at all: [`ProcessorMessage::stopping`].
    Wait,
    /// [`ProcessorMessage::dead_letter`].
    DeadLetter,
}

/// The state that handler and test share.
#[derive(Debug, Default)]
struct Exchange {
    arrived: bool,
    verb: Option<Verb>,
    waiting: Option<Waker>,
    outcome: Option<Outcome>,
}

/// A processor whose handler has a message and waits for the verb.
pub struct Handling<R: Runtime> {
    run: Pin<Box<dyn Future<Output = Outcome>>>,
    exchange: Rc<RefCell<Exchange>>,
    runtime: std::marker::PhantomData<fn() -> R>,
}

impl<R: Runtime> fmt::Debug for Handling<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handling").field(&self.exchange).finish()
    }
}

impl<R: Runtime<Storage = Heap>> Handling<R> {
    /// Runs a processor until its handler has a message.
    pub(super) async fn begin(client: &Client<R>) -> Result<Self, String> {
        let exchange = Rc::new(RefCell::new(Exchange::default()));
        let processor = client.processor(Entity::queue(QUEUE), ProcessorOptions::default());
        let shared = Rc::clone(&exchange);
        let run = Box::pin(async move {
            let handler = handler(async |message: ProcessorMessage<R>| -> Result<(), String> {
                let verb = wait_for_verb(&shared).await;
                let result = match verb {
                    Verb::Complete => message.complete().await,
                    Verb::Abandon => message.abandon(&[]).await,
                    Verb::Defer => message.defer(&[]).await,
                    Verb::Wait => {
                        message.stopping().await;
                        Ok(())
                    }
                    Verb::DeadLetter => message.dead_letter(DeadLetterOptions::default()).await,
                };
                shared.borrow_mut().outcome = Some(outcome(result));
                Ok(())
            });
            outcome(processor.on_error(|_| ()).run_inline(handler).await)
        });
        let mut handling = Self { run, exchange, runtime: std::marker::PhantomData };
        let arrived = |exchange: &mut Exchange| exchange.arrived.then_some(());
        handling.until(arrived).await.map(|()| handling)
    }

    /// Lets the handler settle its message and returns how that ended.
    pub(super) async fn settle(mut self, verb: Verb) -> Outcome {
        let waiting = {
            let mut exchange = self.exchange.borrow_mut();
            exchange.verb = Some(verb);
            exchange.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        self.until(|exchange| exchange.outcome.take()).await?
    }

    /// Runs the processor until `wanted` finds a result in the exchange.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&mut Exchange) -> Option<T>) -> Result<T, String> {
        poll_fn(|cx| {
            let ended = self.run.as_mut().poll(cx);
            if let Some(found) = wanted(&mut self.exchange.borrow_mut()) {
                return Poll::Ready(Ok(found));
            }
            match ended {
                Poll::Ready(end) => Poll::Ready(Err(format!("the processor has ended: {end:?}"))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Reports the message's arrival and waits for the verb.
async fn wait_for_verb(exchange: &RefCell<Exchange>) -> Verb {
    poll_fn(|cx| {
        let mut exchange = exchange.borrow_mut();
        exchange.arrived = true;
        exchange.waiting = Some(cx.waker().clone());
        exchange.verb.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
