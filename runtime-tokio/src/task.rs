//! Tasks that end with their handles.

use crate::Tokio;
use servicebus_core::runtime::RunTask;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A task of tokio's, such as the handler of a [`Processor`](crate::Processor). Dropped, it is aborted.
///
/// # Panics
/// When it is polled and the task has panicked, with the same payload, or the task's runtime was shut down.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
            },
        })
    }
}

impl<F: Future<Output: Send + 'static> + Send + 'static> RunTask<F> for Tokio {
    type Task = Task<F::Output>;

    /// Spawns it on the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn run_task(&self, future: F) -> Self::Task {
        Task(tokio::spawn(future))
    }
}
