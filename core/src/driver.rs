//! The only file that awaits I/O: it carries bytes between a transport and the state that the client shares.
//!
//! Two loops run side by side on the halves of a transport. One reads and passes the bytes to the machine; the other
//! writes the machine's output and otherwise sleeps until its next deadline or until it is woken. Neither I/O
//! future is ever dropped half-way while the transport is in use, so transports need not be cancel-safe.
//!
//! A blocked write delays only bytes: deadlines, wake-ups and closing continue beside it. No loop
//! takes more than 64 steps before the other one, and the other tasks of the executor, have a turn, so that a
//! transport that is always ready starves nothing.

use crate::client::Access;
use crate::engine::ConnectionErrorKind;
use crate::machine::{Cause, Failure, Target, Want};
use crate::runtime::Runtime;
use crate::servicebus::Argument;
pub use crate::servicebus::Token;
use crate::servicebus::connection_string::MAX_HOST_BYTES;
use crate::storage::{Buffer, Features, RxOf, Storage, Text, TxOf};
use crate::time::{Duration, Instant};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{Read, Write};

/// Opens transports.
///
/// # Examples
///
/// A dialer with a second way, such as a modem, for when the first one does not lead to the namespace:
///
/// ```
/// use servicebus_core::driver::Dial;
/// use servicebus_core::machine::Target;
///
/// struct OrElse<D> {
///     first: D,
///     second: D,
/// }
///
/// impl<D: Dial> Dial for OrElse<D> {
///     type Transport<'a>
///         = D::Transport<'a>
///     where
///         Self: 'a;
///     type Error = D::Error;
///
///     async fn dial<'a>(&'a mut self, target: Target<'_>) -> Result<D::Transport<'a>, D::Error> {
///         match self.first.dial(target).await {
///             Ok(transport) => Ok(transport),
///             Err(_) => self.second.dial(target).await,
///         }
///     }
///
///     fn is_permanent(error: &D::Error) -> bool {
///         D::is_permanent(error)
///     }
/// }
/// ```
pub trait Dial {
    /// What is opened.
    type Transport<'a>: Transport
    where
        Self: 'a;
    /// Why it could not be opened. The application sees its text, and with a heap the error itself as a source.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Opens a transport to `target`, encrypted if [`Target::tls`] is set. The future is dropped when it takes too
    /// long.
    fn dial<'a>(&'a mut self, target: Target<'_>) -> impl Future<Output = Result<Self::Transport<'a>, Self::Error>>;

    /// Whether dialling fails like this however often it is tried, since the program has set it up so: it has no
    /// cryptography, say. Calls are not tried again then, and end with
    /// [`ErrorKind::InvalidArgument`](crate::client::ErrorKind::InvalidArgument) and [`Argument::Dialer`]; the next one
    /// dials again. By default no error is of this kind.
    ///
    /// # Examples
    ///
    /// A modem without a card for the network:
    ///
    /// ```
    /// # use servicebus_core::driver::Dial;
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_simulation::SimulatedDialer;
    /// use std::io::{Error, ErrorKind};
    ///
    /// struct Modem<D>(D);
    ///
    /// impl<D: Dial<Error = Error>> Dial for Modem<D> {
    ///     // …
    ///     # type Transport<'a> = D::Transport<'a> where Self: 'a;
    ///     # type Error = Error;
    ///     # async fn dial<'a>(&'a mut self, target: Target<'_>) -> Result<D::Transport<'a>, Error> {
    ///     #     self.0.dial(target).await
    ///     # }
    ///     fn is_permanent(error: &Error) -> bool {
    ///         error.kind() == ErrorKind::NotFound
    ///     }
    /// }
    /// # assert!(!Modem::<SimulatedDialer>::is_permanent(&ErrorKind::ConnectionRefused.into()));
    /// ```
    fn is_permanent(error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}

/// A stream of bytes in both directions.
///
/// # Examples
///
/// A stream that counts what is written:
///
/// ```
/// use core::cell::Cell;
/// use embedded_io_async::{ErrorType, Write};
/// use servicebus_core::driver::Transport;
///
/// struct Counted<T> {
///     stream: T,
///     written: Cell<usize>,
/// }
///
/// struct Counting<'a, W> {
///     writer: W,
///     written: &'a Cell<usize>,
/// }
///
/// impl<W: ErrorType> ErrorType for Counting<'_, W> {
///     type Error = W::Error;
/// }
///
/// impl<W: Write> Write for Counting<'_, W> {
///     async fn write(&mut self, bytes: &[u8]) -> Result<usize, W::Error> {
///         let count = self.writer.write(bytes).await?;
///         self.written.set(self.written.get() + count);
///         Ok(count)
///     }
///
///     async fn flush(&mut self) -> Result<(), W::Error> {
///         self.writer.flush().await
///     }
/// }
///
/// impl<T: Transport> Transport for Counted<T> {
///     type Error = T::Error;
///     type Reader<'a>
///         = T::Reader<'a>
///     where
///         Self: 'a;
///     type Writer<'a>
///         = Counting<'a, T::Writer<'a>>
///     where
///         Self: 'a;
///
///     fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
///         let (reader, writer) = self.stream.split();
///         (reader, Counting { writer, written: &self.written })
///     }
///
///     async fn close(self) -> Result<(), T::Error> {
///         self.stream.close().await
///     }
/// }
/// ```
pub trait Transport {
    /// Why it broke. The application sees its text, and with a heap the error itself as a source.
    type Error: embedded_io_async::Error + Send + Sync + 'static;
    /// The half that reads.
    type Reader<'a>: Read<Error = Self::Error>
    where
        Self: 'a;
    /// The half that writes. Frames that can be sent together come in one write, which should be one system call.
    type Writer<'a>: Write<Error = Self::Error>
    where
        Self: 'a;

    /// Both halves, to be used side by side.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);

    /// Ends the stream in its own terms, such as TLS's `close_notify` and TCP's FIN, once AMQP is closed. The future is
    /// dropped after a second. By default the stream ends when it is dropped.
    fn close(self) -> impl Future<Output = Result<(), Self::Error>>
    where
        Self: Sized,
    {
        // Not `ready`, which would keep a place for the result in the driver's future.
        poll_fn(|_| Poll::Ready(Ok(())))
    }
}

/// Where tokens come from that the connection string does not give. They are used when the client was made with
/// [`Settings::external_tokens`](crate::machine::Settings::external_tokens).
///
/// On runtimes of the standard library, implement `transport::Credential`, whose futures may move between threads.
///
/// # Examples
///
/// ```
/// use servicebus_core::driver::{Credential, Token};
/// use servicebus_core::storage::{Heap, Payload, Storage};
/// use servicebus_core::time::Timestamp;
///
/// /// Asks the identity endpoint of a machine.
/// struct Identity;
///
/// impl<P: Payload> Credential<P> for Identity {
///     type Error = std::io::Error;
///
///     async fn token(&mut self, _audience: &str) -> Result<Token<P>, std::io::Error> {
///         // What the endpoint has answered.
///         let (token, expires_at) = ("eyJ0…", Timestamp::from_secs(1_767_225_600));
///         let token = P::copy_from(token.as_bytes()).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
///         Ok(Token::jwt(token, expires_at))
///     }
/// }
/// # servicebus_simulation::example(async |_| {
/// # use servicebus_core::storage;
/// let token: Token<<Heap as Storage>::Payload> = Identity.token("sb://contoso.servicebus.windows.net/orders").await?;
/// # drop(token);
/// # Ok(())
/// # });
/// ```
pub trait Credential<P> {
    /// Whether it returns tokens at all. If not, a program is linked without the code for them, and
    /// [`Settings::external_tokens`](crate::machine::Settings::external_tokens) has no effect.
    const GIVES: bool = true;

    /// Why there is none. The application sees its text, and with a heap the error itself as a source.
    type Error: core::error::Error + Send + Sync + 'static;

    /// A token for `audience`, the address of an entity such as `sb://contoso.servicebus.windows.net/orders`. A
    /// [`Token::Jwt`] (scope `https://servicebus.azure.net/.default`) is used for every other entity as well, a
    /// [`Token::Sas`] for this one.
    ///
    /// One token is asked for at a time, again before a token ends, and after a failure with a back-off: while the last
    /// token still counts as long as it takes, else as often as the retry policy wants and then when the next call
    /// needs a token. The future is dropped when the connection is lost, or when it takes longer than the policy's try
    /// time-out; then it is called again. Entities whose token counts are not held up.
    fn token(&mut self, audience: &str) -> impl Future<Output = Result<Token<P>, Self::Error>>;
}

/// No credential: tokens are made from the connection string.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// use servicebus_core::client::Client;
/// use servicebus_core::driver::{self, NoCredential};
/// # use servicebus_core::storage::Heap;
/// # use servicebus_simulation::Simulated;
/// # use std::cell::RefCell;
/// # use std::rc::Rc;
/// # let (runtime, settings, dialer) = (world.runtime::<Heap>(), world.settings(), world.dialer());
/// # let spawn = |driver| world.spawn(driver);
/// # type Own = Simulated<Heap>;
///
/// // Of the runtime `Own`:
/// let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
/// let client = Client::<Own>::new(&shared, runtime.clone());
/// spawn(driver::run(shared, runtime, dialer, NoCredential));
/// client.sender("orders")?.send("one").await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredential;

impl<P> Credential<P> for NoCredential {
    const GIVES: bool = false;

    type Error = fmt::Error;

    fn token(&mut self, _: &str) -> impl Future<Output = Result<Token<P>, Self::Error>> {
        // Not `ready`, which would keep a place for a token in the driver's future.
        poll_fn(|_| Poll::Ready(Err(fmt::Error)))
    }
}

/// A function as a credential.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// use servicebus_core::driver::{Token, TokenFn};
/// use servicebus_core::storage::Heap;
///
/// let expires_at = world.clock().utc + std::time::Duration::from_secs(3_600);
/// # let token = "e30.eyJleHAiOjE3NjcyMjkyMDB9.x";
/// let credential = TokenFn(move || async move { Ok::<_, std::io::Error>(Token::jwt(token, expires_at)) });
/// let client = world.client_with_credential::<Heap>(world.settings(), credential);
/// client.sender("orders")?.send("one").await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenFn<F>(pub F);

impl<P, F, T, E> Credential<P> for TokenFn<F>
where
    F: FnMut() -> T,
    T: Future<Output = Result<Token<P>, E>>,
    E: core::error::Error + Send + Sync + 'static,
{
    type Error = E;

    fn token(&mut self, _: &str) -> impl Future<Output = Result<Token<P>, E>> {
        (self.0)()
    }
}

/// Reads or writes that one loop of a connection does before the other one has a turn.
const TURN: u8 = 64;

/// How long a write may continue after the connection has ended, so that the peer gets the reason.
const CLOSING: Duration = Duration::from_secs(1);

/// Ends when the first of both does. Both are pinned by the caller: an async function would keep each of them twice,
/// as its argument and in the place that it is pinned at.
fn race<T>(
    mut one: Pin<&mut impl Future<Output = T>>,
    mut other: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = T> {
    poll_fn(move |cx| match one.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => other.as_mut().poll(cx),
    })
}

/// Polls in a frame of its own on the stack, so that what the future has on its way there is not below everything else
/// that the caller polls. For what is rare: it costs a call.
#[inline(never)]
fn poll_apart<T>(future: Pin<&mut impl Future<Output = T>>, cx: &mut Context<'_>) -> Poll<T> {
    future.poll(cx)
}

/// Makes a value in its place, and keeps what that takes of the stack out of the caller's frame.
#[inline(never)]
fn make_in<T>(place: &mut Option<T>, make: impl FnOnce() -> T) -> &mut T {
    place.insert(make())
}

/// Counts a step, and is pending once after every [`TURN`] of them.
fn step(steps: &mut u8) -> impl Future<Output = ()> {
    poll_fn(|cx| {
        *steps = steps.wrapping_add(1);
        if !steps.is_multiple_of(TURN) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Waits until the driver is woken, or until `at`.
async fn woken_or<R: Runtime>(shared: &Access<R>, at: Option<Instant>) {
    let mut first = true;
    let woken = poll_fn(|cx| {
        // The driver's waker is taken when it is woken: in most cases it has to be cloned once.
        let mut clone = core::mem::take(&mut first).then(|| cx.waker().clone());
        loop {
            if let Some(polled) = shared.with(|state| state.driver.poll(cx.waker(), &mut clone)) {
                return polled;
            }
            clone = Some(cx.waker().clone());
        }
    });
    match at {
        Some(at) => race(pin!(woken), pin!(shared.runtime().sleep_until(at))).await,
        None => woken.await,
    }
}

/// Wakes the tasks that have news, outside of the lock.
fn wake_tasks<R: Runtime>(shared: &Access<R>) {
    let mut wakers = heapless::Vec::<Waker, 32>::new();
    loop {
        let more = shared.with(|state| state.take_wakers(&mut wakers));
        while let Some(waker) = wakers.pop() {
            waker.wake();
        }
        if !more {
            return;
        }
    }
}

/// A failure of a transport or of the credential.
fn failure_by<R: Runtime>(
    shared: &Access<R>,
    cause: Cause,
    error: impl core::error::Error + Send + Sync + 'static,
) -> Failure<R::Storage> {
    let text = <<R::Storage as Storage>::Text as Text>::of(&error);
    let failure = Failure::caused(cause, error);
    let _gone = shared.with(|state| {
        state.machine.describe_last(text);
        state.keep_source(&failure)
    });
    failure
}

/// A failure of a transport.
fn unreachable<R: Runtime>(
    shared: &Access<R>,
    error: impl core::error::Error + Send + Sync + 'static,
) -> Failure<R::Storage> {
    failure_by(shared, Cause::Unreachable, error)
}

/// A driver, from when it is made until it has ended or is dropped: then every call ends.
struct Running<R: Runtime>(Access<R>);

impl<R: Runtime> Drop for Running<R> {
    fn drop(&mut self) {
        self.0.with(|state| state.machine.stop());
        wake_tasks::<R>(&self.0);
    }
}

/// Carries bytes until the client is closed or its last handle is dropped. Connects when a call, sender or receiver
/// needs a connection, and again when it is lost.
///
/// It is the only driver: what differs between programs is the runtime, the dialer and the credential that it is given.
///
/// Dropping the future drops the transport, and ends every call of the client, pending or later, with
/// [`ErrorKind::Closed`](crate::client::ErrorKind::Closed). So does dropping the runtime that polls it.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// use servicebus_core::client::Client;
/// use servicebus_core::driver::{self, NoCredential};
/// # use servicebus_core::storage::Heap;
/// # use servicebus_simulation::Simulated;
/// # use std::cell::RefCell;
/// # use std::rc::Rc;
/// # let (runtime, settings, dialer) = (world.runtime::<Heap>(), world.settings(), world.dialer());
/// # type Own = Simulated<Heap>;
///
/// // Of the runtime `Own`:
/// let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
/// let client = Client::<Own>::new(&shared, runtime.clone());
/// let driver = driver::run(shared, runtime, dialer, NoCredential);
/// # world.spawn(async {
/// driver.await; // in a task of its own: until the client is closed
/// # });
/// # client.sender("orders")?.send("one").await?;
/// # client.close().await;
/// # Ok(())
/// # });
/// ```
pub fn run<R, D, C>(shared: R::Shared, runtime: R, dialer: D, credential: C) -> impl Future<Output = ()>
where
    R: Runtime,
    D: Dial,
    C: Credential<<R::Storage as Storage>::Payload>,
{
    // Made now: a future that is dropped before it was ever polled ends the calls as well.
    drive::<R, D, C>(Running(Access::new(shared, runtime)), dialer, credential)
}

async fn drive<R, D, C>(running: Running<R>, mut dialer: D, mut credential: C)
where
    R: Runtime,
    D: Dial,
    C: Credential<<R::Storage as Storage>::Payload>,
{
    let shared = &running.0;
    let frame_size = shared.with(|state| {
        const {
            assert!(
                !C::GIVES || <<R::Storage as Storage>::Features as Features>::EXTERNAL_TOKENS,
                "the storage takes no tokens of a credential: add `external_tokens: true` to its `fixed_storage!`"
            );
        }
        if !C::GIVES {
            state.machine.use_connection_string();
        }
        state.machine.settings().max_frame_size as usize
    });
    let mut buffers = None;
    make_in(&mut buffers, move || (<R::Storage as Storage>::rx(frame_size), <R::Storage as Storage>::tx(frame_size)));
    loop {
        wake_tasks::<R>(shared);
        // What decides is gone by the time that something is awaited, and takes no room there.
        let (dials, deadline) = {
            let clock = shared.clock();
            let (want, deadline) = shared.with(|state| {
                state.machine.handle_timeout(clock);
                (state.machine.handle_want(), state.machine.poll_timeout())
            });
            wake_tasks::<R>(shared);
            match want {
                Want::Stop => break,
                Want::Nothing => (false, deadline),
                Want::DialAt(at) if at > clock.now => (false, Some(deadline.map_or(at, |deadline| deadline.min(at)))),
                Want::DialAt(_) | Want::Dial => (true, deadline),
            }
        };
        if let (true, Some((rx, tx))) = (dials, &mut buffers) {
            rx.clear();
            tx.clear();
            let result = connect(shared, &mut dialer, &mut credential, rx, tx).await;
            let clock = shared.clock();
            shared.with(|state| state.machine.handle_disconnected(clock, result));
        } else {
            woken_or(shared, deadline).await;
        }
    }
    log!(info, "closed");
}

/// One connection, from dialling to its end; returns why it ended.
async fn connect<R, D, C>(
    shared: &Access<R>,
    dialer: &mut D,
    credential: &mut C,
    rx: &mut RxOf<R::Storage>,
    tx: &mut TxOf<R::Storage>,
) -> Failure<R::Storage>
where
    R: Runtime,
    D: Dial,
    C: Credential<<R::Storage as Storage>::Payload>,
{
    // All that dialling needs is gone when the bytes flow: the two share their room in the future.
    let mut transport = {
        let mut dialling = pin!(dial::<R, D>(shared, dialer));
        match poll_fn(|cx| poll_apart(dialling.as_mut(), cx)).await {
            Ok(transport) => transport,
            Err(failure) => return failure,
        }
    };
    let clock = shared.clock();
    if let Err(failure) = shared.with(|state| state.machine.handle_connected(clock)) {
        return failure;
    }
    let ended = {
        let (mut reader, mut writer) = transport.split();
        let mut read = pin!(read::<R>(shared, &mut reader, rx));
        let mut write = pin!(write(shared, &mut writer, tx));
        let mut fetch = pin!(fetch_tokens::<R, C>(shared, credential));
        poll_fn(|cx| {
            let mut ended = read.as_mut().poll(cx);
            if ended.is_pending() {
                ended = write.as_mut().poll(cx);
            }
            if C::GIVES && ended.is_pending() {
                ended = fetch.as_mut().poll(cx);
            }
            ended
        })
        .await
    };
    if shared.with(|state| state.machine.is_over()) {
        let closing = async { drop(transport.close().await) };
        let late = async { drop(serve::<R>(shared, shared.now() + CLOSING, CLOSING).await) };
        let mut closing = pin!(closing);
        let apart = poll_fn(|cx| poll_apart(closing.as_mut(), cx));
        race(pin!(apart), pin!(late)).await;
    }
    ended
}

/// Opens a transport, in the time of one attempt.
async fn dial<'d, R: Runtime, D: Dial>(
    shared: &Access<R>,
    dialer: &'d mut D,
) -> Result<D::Transport<'d>, Failure<R::Storage>> {
    let mut host = heapless::String::<MAX_HOST_BYTES>::new();
    let clock = shared.clock();
    let (port, tls, until) = shared.with(|state| {
        let until = state.machine.handle_dialling(clock);
        let target = state.machine.target()?;
        let pushed = host.push_str(target.host);
        pushed.map_err(|_| Failure::<R::Storage>::new(Cause::Argument(Argument::HostName)))?;
        Ok::<_, Failure<R::Storage>>((target.port, target.tls, until))
    })?;
    let host = host.as_str();
    log!(info, "connecting", host = host, port = port, tls = tls);
    // Made where it is awaited: from outside it would be kept a second time.
    let opening = async move {
        dialer.dial(Target { host, port, tls }).await.map_err(|error| {
            let permanent = D::is_permanent(&error);
            let cause = if permanent { Cause::Argument(Argument::Dialer) } else { Cause::Unreachable };
            failure_by::<R>(shared, cause, error)
        })
    };
    let give_up = async { Err(serve::<R>(shared, until, Duration::ZERO).await) };
    race(pin!(opening), pin!(give_up)).await
}

/// Does what time and calls ask for while a transport is being opened or its write is blocked, but no longer than
/// `until`, and no longer than `closing` once the client closes or the connection is over.
async fn serve<R: Runtime>(shared: &Access<R>, mut until: Instant, closing: Duration) -> Failure<R::Storage> {
    let mut steps = 0;
    let mut over = false;
    let mut deadline = None;
    loop {
        let clock = shared.clock();
        let busy = shared.with(|state| {
            let busy = state.machine.handle_due(clock, deadline);
            deadline = state.machine.poll_timeout_without_output();
            if !over && state.machine.is_over() {
                over = true;
                until = until.min(clock.now + closing);
            }
            busy
        });
        wake_tasks::<R>(shared);
        if clock.now >= until {
            return Failure::new(Cause::Timeout);
        }
        if !busy {
            let at = deadline.map_or(until, |deadline| deadline.min(until));
            woken_or(shared, Some(at)).await;
        }
        step(&mut steps).await;
    }
}

async fn read<R: Runtime>(
    shared: &Access<R>,
    reader: &mut impl Read<Error: Send + Sync + 'static>,
    rx: &mut RxOf<R::Storage>,
) -> Failure<R::Storage> {
    let mut steps = 0;
    loop {
        let count = match reader.read(rx.spare()).await {
            Ok(0) => return Failure::new(Cause::Connection(ConnectionErrorKind::Disconnected)),
            Ok(count) => count,
            Err(error) => return unreachable::<R>(shared, error),
        };
        rx.commit(count);
        let clock = shared.clock();
        shared.change(|state| state.machine.handle_input(clock, rx));
        wake_tasks::<R>(shared);
        step(&mut steps).await;
    }
}

async fn write<R: Runtime>(
    shared: &Access<R>,
    writer: &mut impl Write<Error: Send + Sync + 'static>,
    tx: &mut TxOf<R::Storage>,
) -> Failure<R::Storage> {
    let mut steps = 0;
    let mut deadline = None;
    loop {
        let clock = shared.clock();
        let (over, busy) = shared.with(|state| {
            if deadline.is_none_or(|deadline| deadline <= clock.now) {
                state.machine.handle_timeout(clock);
            }
            state.machine.poll_transmit(clock, tx);
            deadline = state.machine.poll_timeout();
            (state.machine.is_over(), state.machine.has_work())
        });
        wake_tasks::<R>(shared);
        if !tx.filled().is_empty() {
            // One write for all frames of a wake-up; more may have come up while it lasted.
            let mut written = 0;
            loop {
                let rest = tx.filled().get(written..).unwrap_or_default();
                let writing =
                    async { if rest.is_empty() { writer.flush().await.map(|()| 0) } else { writer.write(rest).await } };
                match unblocked(shared, pin!(writing)).await {
                    Ok(0) if rest.is_empty() => break,
                    Ok(0) => return Failure::new(Cause::Connection(ConnectionErrorKind::Disconnected)),
                    Ok(count) => written += count,
                    Err(failure) => return failure,
                }
            }
            tx.clear();
        } else if over {
            return Failure::new(Cause::Connection(ConnectionErrorKind::ClosedByPeer));
        } else if !busy {
            woken_or(shared, deadline).await;
        }
        step(&mut steps).await;
    }
}

/// Waits for a write, in the time of one attempt; a connection that takes no byte for as long is lost.
async fn unblocked<R: Runtime, T, E: core::error::Error + Send + Sync + 'static>(
    shared: &Access<R>,
    writing: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, Failure<R::Storage>> {
    let writing = async { writing.await.map_err(|error| unreachable::<R>(shared, error)) };
    let blocked = async {
        let until = shared.now() + shared.with(|state| state.machine.settings().retry.try_timeout);
        Err(serve::<R>(shared, until, CLOSING).await)
    };
    race(pin!(writing), pin!(blocked)).await
}

/// Asks the credential whenever the machine wants a token.
async fn fetch_tokens<R, C>(shared: &Access<R>, credential: &mut C) -> Failure<R::Storage>
where
    R: Runtime,
    C: Credential<<R::Storage as Storage>::Payload>,
{
    loop {
        // Only the driver itself can come to want one, in the same task: there is nothing to be woken by.
        let audience = poll_fn(|_| {
            if !shared.with(|state| state.machine.wants_access_token()) {
                return Poll::Pending;
            }
            let clock = shared.clock();
            match shared.change(|state| state.machine.poll_access_token(clock)) {
                Some(audience) => Poll::Ready(audience),
                None => Poll::Pending,
            }
        })
        .await;
        let mut asking = pin!(credential.token(&audience));
        let answer = poll_fn(|cx| match asking.as_mut().poll(cx) {
            // The deadline of the question passes in the same task.
            Poll::Pending if !shared.with(|state| state.machine.awaits_access_token()) => Poll::Ready(None),
            answer => answer.map(Some),
        });
        let token = match answer.await {
            None => continue,
            Some(Ok(token)) => Ok(token.detached()),
            Some(Err(error)) => Err(failure_by(shared, Cause::Credential, error)),
        };
        let clock = shared.clock();
        shared.change(|state| state.machine.handle_access_token(clock, &audience, token));
    }
}
