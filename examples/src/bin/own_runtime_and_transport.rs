//! A runtime and a transport of one's own: all that the client needs of the world, in one thread and without tokio,
//! smol or embassy.
//!
//! The runtime is an executor of twenty lines with timers. The transport is a socket of the Unix family, which no
//! adapter crate speaks; behind it a thread carries the bytes on to the emulator's port.

use embedded_io_async::{ErrorType, Read, Write};
use futures_util::future::{Either, select};
use servicebus_core::client::{Client, State};
use servicebus_core::driver::{self, Dial, NoCredential, Transport};
use servicebus_core::machine::{Clock, Settings, Target};
use servicebus_core::runtime::Runtime;
use servicebus_core::storage::Heap;
use servicebus_core::time::{Instant, Timestamp};
use servicebus_examples::{Namespace, Result};
use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

// --- The runtime: two clocks, a way to sleep, and a cell that client and driver share.

/// When to look again, besides when something wakes the thread.
#[derive(Clone, Debug)]
struct OneThread {
    start: std::time::Instant,
    wake_at: Rc<RefCell<Option<Instant>>>,
}

impl OneThread {
    fn wake_at(&self, at: Instant) {
        let mut wake_at = self.wake_at.borrow_mut();
        *wake_at = Some(wake_at.map_or(at, |earliest| earliest.min(at)));
    }
}

impl Runtime for OneThread {
    type Storage = Heap;
    // Nothing leaves this thread, so no lock is needed.
    type Shared = Rc<RefCell<State<Self>>>;

    fn clock(&self) -> Clock {
        let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock {
            now: Instant::from_micros(self.start.elapsed().as_micros() as u64),
            utc: Timestamp::from_millis(utc.as_millis() as i64),
        }
    }

    async fn sleep_until(&self, at: Instant) {
        poll_fn(|_| {
            if self.clock().now >= at {
                return Poll::Ready(());
            }
            self.wake_at(at);
            Poll::Pending
        })
        .await;
    }
}

/// Wakes the thread that runs the future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl OneThread {
    /// Runs a future to its end.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            self.wake_at.borrow_mut().take();
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            match *self.wake_at.borrow() {
                Some(at) => {
                    let wait = at.saturating_duration_since(self.clock().now);
                    thread::park_timeout(Duration::from_micros(wait.as_micros() as u64));
                }
                None => thread::park(),
            }
        }
    }
}

// --- The transport: a dialer, and the two halves of what it opens.

/// Opens sockets of the Unix family.
struct UnixDialer {
    runtime: OneThread,
    port: u16,
}

impl Dial for UnixDialer {
    type Transport<'a> = UnixTransport;
    type Error = io::Error;

    async fn dial(&mut self, _target: Target<'_>) -> io::Result<UnixTransport> {
        let (ours, theirs) = UnixStream::pair()?;
        carry(theirs, TcpStream::connect(("127.0.0.1", self.port))?)?;
        ours.set_nonblocking(true)?;
        Ok(UnixTransport { stream: ours, runtime: self.runtime.clone() })
    }
}

/// Carries bytes in both directions, on threads of their own.
fn carry(unix: UnixStream, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut from_unix, mut to_tcp) = (unix.try_clone()?, tcp.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_unix, &mut to_tcp);
        let _ = to_tcp.shutdown(std::net::Shutdown::Write);
    });
    let (mut from_tcp, mut to_unix) = (tcp, unix);
    thread::spawn(move || {
        let _ = io::copy(&mut from_tcp, &mut to_unix);
        let _ = to_unix.shutdown(std::net::Shutdown::Write);
    });
    Ok(())
}

struct UnixTransport {
    stream: UnixStream,
    runtime: OneThread,
}

/// One half. A transport with an event queue would store the waker there; this one looks again every millisecond.
struct Half<'a>(&'a UnixTransport);

impl Transport for UnixTransport {
    type Error = io::Error;
    type Reader<'a> = Half<'a>;
    type Writer<'a> = Half<'a>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(self), Half(self))
    }
}

impl Half<'_> {
    async fn retry(&self, mut operation: impl FnMut(&UnixStream) -> io::Result<usize>) -> io::Result<usize> {
        poll_fn(|_| match operation(&self.0.stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let runtime = &self.0.runtime;
                runtime.wake_at(runtime.clock().now + Duration::from_millis(1));
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
        .await
    }
}

impl ErrorType for Half<'_> {
    type Error = io::Error;
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(|mut stream| io::Read::read(&mut stream, buffer)).await
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(|mut stream| io::Write::write(&mut stream, bytes)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// --- Both together: the client of every other example.

fn main() -> Result<()> {
    let namespace = Namespace::open_in_thread(|emulator| emulator.queue("orders"))?;
    let port = namespace.amqp_port().ok_or("this example needs the emulator: it speaks no TLS")?;
    println!("Service Bus on a runtime and a transport of one's own, on {}", namespace.place);

    let runtime = OneThread { start: std::time::Instant::now(), wake_at: Rc::default() };
    // Names and jitter come from it: give every client its own.
    let seed = RandomState::new().build_hasher().finish();
    let settings = Settings::new(namespace.connection_string.as_str().into(), seed);
    let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
    let client = Client::<OneThread>::new(&shared, runtime.clone());
    let driver = driver::run(shared, runtime.clone(), UnixDialer { runtime: runtime.clone(), port }, NoCredential);

    let application = async {
        let sender = client.sender("orders")?;
        sender.send("hello from one thread").await?;
        println!("sent a message");
        let receiver = client.receiver("orders")?;
        let message = receiver.receive(Duration::from_secs(10)).await?.ok_or("the message did not come back")?;
        println!("received \"{}\"", message.text().unwrap_or("?"));
        receiver.complete(&message).await?;
        println!("completed it");
        drop((sender, receiver));
        client.close().await;
        Result::Ok(())
    };
    // The driver is a future like any other; it ends when the client is closed.
    match runtime.run(select(pin!(application), pin!(driver))) {
        Either::Left((result, _)) => result,
        Either::Right(_) => Ok(()),
    }
}
