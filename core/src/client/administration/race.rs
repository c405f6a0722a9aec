//! A future against a time.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;

/// The output of a future, unless a time passes before. Both are pinned by the caller: an async function would keep each
/// of them twice, as its argument and in the place that it is pinned at.
pub(super) fn race<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    mut time: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = Option<T>> {
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => time.as_mut().poll(context).map(|()| None),
    })
}
