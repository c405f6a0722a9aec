//! Tasks that end with their handles.

use crate::AsyncIo;
use servicebus_core::runtime::RunTask;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

enum Inner<T> {
    #[cfg(feature = "async-std")]
    AsyncStd(Option<async_std::task::JoinHandle<T>>),
    #[cfg(feature = "smol")]
    Smol(smol::Task<T>),
}

/// A task of the executor's, such as the handler of a [`Processor`](crate::Processor). Dropped, it is cancelled.
pub struct Task<T>(Inner<T>);

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        match &mut self.0 {
            // A handle of async-std detaches its task when it is dropped. The first poll of `cancel` cancels.
            #[cfg(feature = "async-std")]
            Inner::AsyncStd(task) => {
                if let Some(task) = task.take() {
                    let mut cancelled = std::pin::pin!(task.cancel());
                    let _ = cancelled.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
                }
            }
            #[cfg(feature = "smol")]
            Inner::Smol(_) => {}
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            #[cfg(feature = "async-std")]
            Inner::AsyncStd(Some(task)) => Pin::new(task).poll(cx),
            #[cfg(feature = "async-std")]
            Inner::AsyncStd(None) => Poll::Pending,
            #[cfg(feature = "smol")]
            Inner::Smol(task) => Pin::new(task).poll(cx),
        }
    }
}

/// Spawns on async-std's executor when it is called from there, else on smol's.
impl<F: Future<Output: Send + 'static> + Send + 'static> RunTask<F> for AsyncIo {
    type Task = Task<F::Output>;

    fn run_task(&self, future: F) -> Self::Task {
        #[cfg(all(feature = "async-std", feature = "smol"))]
        if async_std::task::try_current().is_none() {
            return Task(Inner::Smol(smol::spawn(future)));
        }
        #[cfg(feature = "async-std")]
        return Task(Inner::AsyncStd(Some(async_std::task::spawn(future))));
        #[cfg(all(feature = "smol", not(feature = "async-std")))]
        Task(Inner::Smol(smol::spawn(future)))
    }
}
