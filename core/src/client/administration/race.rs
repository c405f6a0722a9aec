//! A future against a time.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

/// The output of a future, unless a time passes before.
pub(super) async fn race<F: Future>(future: F, time: impl Future<Output = ()>) -> Option<F::Output> {
    let (mut future, mut time) = (pin!(future), pin!(time));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => time.as_mut().poll(context).map(|()| None),
    })
    .await
}
