//! Connecting to a name with several addresses (RFC 8305).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

/// How long an attempt runs alone before the next address is tried beside it (RFC 8305 §5).
const DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers: attempts begin in the order of RFC 8305 §4, families by turns, each a
/// quarter of a second after the one before, or at once when that failed. Attempts that have not won are dropped.
///
/// # Errors
/// The last attempt's; [`io::ErrorKind::NotFound`] without an address.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::first_to_connect;
/// use std::net::SocketAddr;
///
/// # servicebus_simulation::example_in_world(async |world| {
/// let addresses: [SocketAddr; 2] = ["192.0.2.1:5671".parse()?, "192.0.2.2:5671".parse()?];
/// // Nothing answers at the first address.
/// let connect = |address: SocketAddr| async move {
///     if address == addresses[0] { std::future::pending().await } else { Ok(address) }
/// };
/// let sleep = |pause| world.sleep(pause);
/// assert_eq!(first_to_connect(addresses, connect, sleep).await?, addresses[1]);
/// # Ok(())
/// # });
/// ```
pub async fn first_to_connect<T, C, S>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> C,
    sleep: impl Fn(Duration) -> S,
) -> io::Result<T>
where
    C: Future<Output = io::Result<T>>,
    S: Future<Output = ()>,
{
    let mut waiting = by_turns(addresses).into_iter();
    let mut attempts: Vec<Pin<Box<C>>> = Vec::new();
    let mut pause: Option<Pin<Box<S>>> = None;
    let mut failure = Some(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    poll_fn(move |cx| {
        loop {
            let mut connected = None;
            attempts.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    connected = Some(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure = Some(error);
                    pause = None;
                    false
                }
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok(stream));
            }
            if pause.as_mut().is_some_and(|pause| pause.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
            pause = None;
            match waiting.next() {
                Some(address) => {
                    attempts.push(Box::pin(connect(address)));
                    pause = Some(Box::pin(sleep(DELAY)));
                }
                None if attempts.is_empty() => return Poll::Ready(Err(failure.take().unwrap_or_else(ended))),
                None => return Poll::Pending,
            }
        }
    })
    .await
}

fn ended() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// The addresses in turns of their families, beginning with the first one's; within a family in their order.
fn by_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let first_is_v6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(preferred.len() + others.len());
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    loop {
        let pair = [preferred.next(), others.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};
    use core::future::{pending, ready};
    use core::pin::pin;
    use core::task::{Context, Waker};

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(address);
        let order = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(address);
        assert_eq!(by_turns(given), order);
        assert_eq!(by_turns([]), []);
    }

    #[test]
    fn the_second_address_is_tried_beside_a_black_hole_and_at_once_behind_a_refusal() {
        let [hole, refusal, good] = ["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"].map(address);
        let (passed, begun) = (Cell::new(false), RefCell::new(Vec::new()));
        let connect = |to: SocketAddr| {
            begun.borrow_mut().push(to);
            async move {
                match to {
                    to if to == hole => pending().await,
                    to if to == refusal => Err(io::ErrorKind::ConnectionRefused.into()),
                    to => Ok(to),
                }
            }
        };
        let sleep = |_| poll_fn(|_| if passed.take() { Poll::Ready(()) } else { Poll::Pending });
        let mut racing = pin!(first_to_connect([hole, refusal, good], connect, sleep));
        assert!(poll(racing.as_mut()).is_pending());
        assert_eq!(*begun.borrow(), [hole], "the first has a quarter of a second for itself");
        passed.set(true);
        assert!(matches!(poll(racing.as_mut()), Poll::Ready(Ok(to)) if to == good));
        assert_eq!(*begun.borrow(), [hole, refusal, good]);
    }

    #[test]
    fn the_last_error_is_the_result() {
        let connect = |_| ready(Err::<(), _>(io::ErrorKind::ConnectionRefused.into()));
        let addresses = ["1.1.1.1:1", "[::1]:1"].map(address);
        let Poll::Ready(Err(error)) = poll(pin!(first_to_connect(addresses, connect, |_| pending()))) else {
            panic!("both are refused")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let Poll::Ready(Err(error)) = poll(pin!(first_to_connect([], connect, |_| pending()))) else {
            panic!("there is no address")
        };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
