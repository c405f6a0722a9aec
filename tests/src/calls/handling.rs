//! A processor whose handler holds a message and settles it on command.

use super::{Outcome, QUEUE, outcome};
use crate::handler::handler;
use servicebus_core::client::{Client, DeadLetterOptions, ProcessorMessage, ProcessorOptions, Transaction};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Disposition, Entity};
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
    /// [`ProcessorMessage::abandon_with`].
    AbandonWith,
    /// [`ProcessorMessage::defer`].
    Defer,
    /// [`ProcessorMessage::defer_with`].
    DeferWith,
    /// Not at all: [`ProcessorMessage::stopping`].
    Wait,
    /// [`ProcessorMessage::dead_letter`].
    DeadLetter,
    /// [`ProcessorMessage::complete_in`], by a handler that was given a transaction.
    CompleteIn,
    /// [`ProcessorMessage::settle_in`], by such a handler.
    SettleIn,
}

/// The state that handler and test share.
struct Exchange<R: Runtime> {
    arrived: bool,
    transaction: Option<Transaction<R>>,
    verb: Option<Verb>,
    waiting: Option<Waker>,
    outcome: Option<Outcome>,
}

/// A processor whose handler has a message and waits for the verb.
pub struct Handling<R: Runtime> {
    run: Pin<Box<dyn Future<Output = Outcome>>>,
    exchange: Rc<RefCell<Exchange<R>>>,
}

impl<R: Runtime> fmt::Debug for Handling<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handling")
    }
}

impl<R: Runtime<Storage = Heap>> Handling<R> {
    /// Runs a processor until its handler has a message.
    pub(super) async fn begin(client: &Client<R>) -> Result<Self, String> {
        let exchange = Rc::new(RefCell::new(Exchange {
            arrived: false,
            transaction: None,
            verb: None,
            waiting: None,
            outcome: None,
        }));
        let processor = client.processor(Entity::queue(QUEUE), ProcessorOptions::default());
        let shared = Rc::clone(&exchange);
        let run = Box::pin(async move {
            let handler = handler(async |message: ProcessorMessage<R>| -> Result<(), String> {
                let verb = wait_for_verb(&shared).await;
                let result = match verb {
                    Verb::Complete => message.complete().await,
                    Verb::Abandon => message.abandon().await,
                    Verb::AbandonWith => message.abandon_with(&[("tries", 1.into())]).await,
                    Verb::Defer => message.defer().await,
                    Verb::DeferWith => message.defer_with(&[("until", "monday".into())]).await,
                    Verb::Wait => {
                        message.stopping().await;
                        Ok(())
                    }
                    Verb::DeadLetter => message.dead_letter(DeadLetterOptions::default()).await,
                    Verb::CompleteIn | Verb::SettleIn => {
                        let transaction = shared.borrow_mut().transaction.take().expect("a transaction");
                        match verb {
                            Verb::CompleteIn => message.complete_in(&transaction).await,
                            _ => message.settle_in(&transaction, Disposition::Abandon { properties: &[] }).await,
                        }
                    }
                };
                shared.borrow_mut().outcome = Some(outcome(result));
                Ok(())
            });
            outcome(processor.on_error(|_| ()).run_inline(handler).await)
        });
        let mut handling = Self { run, exchange };
        let arrived = |exchange: &mut Exchange<R>| exchange.arrived.then_some(());
        handling.until(arrived).await.map(|()| handling)
    }

    /// Gives the handler a transaction to settle its message under.
    pub(super) fn give(&self, transaction: Transaction<R>) {
        self.exchange.borrow_mut().transaction = Some(transaction);
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
    async fn until<T>(&mut self, mut wanted: impl FnMut(&mut Exchange<R>) -> Option<T>) -> Result<T, String> {
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
async fn wait_for_verb<R: Runtime>(exchange: &RefCell<Exchange<R>>) -> Verb {
    poll_fn(|cx| {
        let mut exchange = exchange.borrow_mut();
        exchange.arrived = true;
        exchange.waiting = Some(cx.waker().clone());
        exchange.verb.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
