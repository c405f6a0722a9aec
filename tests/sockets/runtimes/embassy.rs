//! embassy's timers, storage of fixed size, and an executor in one thread.

use crate::adapter::{Adapter, Answer, Connection, Driver, InParts};
use embassy_time::{MockDriver, Timer};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::client::Client;
use servicebus_core::driver::TokenFn;
use servicebus_core::machine::Settings;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_embassy::{Close, Connect, Embassy, Plain, Runner};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use tokio::net::{TcpSocket, TcpStream};

// embassy-time's clock is behind a critical section; on the host that is a mutex of std's.
use critical_section as _;

servicebus_core::fixed_storage! {
    /// Room for what the suite does at once.
    pub(crate) type Board {
        sessions: 4,
        links: 12,
        deliveries: 48,
        receive: 8192,
        transmit: 8192,
        message: 2048,
        receivers: true,
        management: true,
        session_receivers: 4,
        lock_renewal: true,
        transactions: true,
        prefetch: true,
        receive_and_delete: true,
        external_tokens: true,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often embassy's clock moves on.
const TICK: std::time::Duration = std::time::Duration::from_micros(200);

/// Lets embassy's clock, which stands still by itself, follow the real one.
fn start_clock() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            let begin = std::time::Instant::now();
            let mut told = 0;
            loop {
                std::thread::sleep(TICK);
                let passed = begin.elapsed().as_micros() as u64;
                MockDriver::get().advance(embassy_time::Duration::from_micros(passed - told));
                told = passed;
            }
        });
    });
}

fn utc() -> Timestamp {
    let utc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(utc.as_millis()).unwrap_or(i64::MAX))
}

static UTC: fn() -> Timestamp = utc;

/// A seed that no other client of this process has.
fn seed() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(1);
    SEED.fetch_add(1, Ordering::Relaxed)
}

/// What wakes a task.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    executor: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if let Some(waker) = &*lock(&self.executor) {
            waker.wake_by_ref();
        }
    }
}

/// Bells of tasks that ended, for others: embassy's queue of timers has few places, and keeps the waker of a task until
/// its time has come even when the task is gone. Boards have tasks that live for ever.
static BELLS: Mutex<Vec<Arc<Bell>>> = Mutex::new(Vec::new());

/// A bell while a task has it.
struct Borrowed(Arc<Bell>);

impl Borrowed {
    fn new() -> Self {
        let bell = lock(&BELLS).pop().unwrap_or_default();
        // A new task is polled first of all.
        bell.rung.store(true, Ordering::SeqCst);
        Self(bell)
    }

    /// Polls `task` when it was woken.
    fn poll<F: Future + ?Sized>(&self, task: Pin<&mut F>, executor: &Waker) -> Poll<F::Output> {
        *lock(&self.0.executor) = Some(executor.clone());
        if !self.0.rung.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        task.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.0))))
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        *lock(&self.0.executor) = None;
        lock(&BELLS).push(Arc::clone(&self.0));
    }
}

type Task = (Borrowed, Pin<Box<dyn Future<Output = ()>>>);

thread_local! {
    /// Tasks that were started in this thread and not polled yet.
    static STARTED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Runs `runner` in this thread, beside the test.
fn start(runner: impl Future<Output = ()> + 'static) {
    STARTED.with_borrow_mut(|tasks| tasks.push((Borrowed::new(), Box::pin(runner))));
}

/// Connects to the port of the connection string on this machine.
struct Loopback;

impl Connect for Loopback {
    type Stream<'a> = Socket;
    type StreamError = SocketError;
    type Error = SocketError;

    async fn connect(&mut self, host: &str, port: u16) -> Result<Socket, SocketError> {
        assert_eq!(host, "localhost");
        let socket = TcpSocket::new_v4().map_err(SocketError)?;
        // As little as a board has: a peer that stops reading is soon felt.
        socket.set_send_buffer_size(8_192).map_err(SocketError)?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.map_err(SocketError)?;
        stream.set_nodelay(true).map_err(SocketError)?;
        Ok(Socket(Rc::new(stream)))
    }
}

#[derive(Debug)]
struct SocketError(io::Error);

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SocketError {}

impl embedded_io_async::Error for SocketError {
    fn kind(&self) -> ErrorKind {
        match self.0.kind() {
            io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::Other,
        }
    }
}

#[derive(Clone)]
struct Socket(Rc<TcpStream>);

impl ErrorType for Socket {
    type Error = SocketError;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SocketError> {
        loop {
            self.0.readable().await.map_err(SocketError)?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map_err(SocketError),
            }
        }
    }
}

impl Close for Socket {}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        loop {
            self.0.writable().await.map_err(SocketError)?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map_err(SocketError),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        Ok(())
    }
}

/// embassy, as far as it goes without a board: its timers and its adapter over sockets of the host's.
pub(crate) struct EmbassyFixed;

impl EmbassyFixed {
    fn client(connection: Connection, external_tokens: bool) -> (Client<Embassy<Board>>, Runner<Board>) {
        assert!(connection.authority.is_none() && connection.endpoint.is_none(), "there is no TLS here");
        let connection_string: &'static str = connection.connection_string.leak();
        let mut settings = Settings::new(connection_string, seed()).with_retry(connection.retry);
        settings.external_tokens = external_tokens;
        servicebus_embassy::new(Box::leak(Box::default()), settings, &UTC).expect("they are new")
    }
}

impl Adapter for EmbassyFixed {
    type Storage = Board;
    type Runtime = Embassy<Board>;

    /// The board's places for deliveries, but four that the receivers use.
    const AT_ONCE: u32 = 44;

    fn now() -> Instant {
        Instant::from_micros(embassy_time::Instant::now().as_micros())
    }

    async fn sleep(duration: Duration) {
        Timer::after_micros(duration.as_micros() as u64).await;
    }

    fn block_on(test: impl Future<Output = ()>) {
        // One at a time: a full queue of timers wakes its tasks early, and some tests count the times they are polled.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = lock(&ONE);
        start_clock();
        let sockets = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("tokio starts");
        let mut test = pin!(test);
        let bell = Borrowed::new();
        let mut tasks: Vec<Task> = Vec::new();
        sockets.block_on(poll_fn(|cx| {
            let ended = bell.poll(test.as_mut(), cx.waker());
            tasks.append(&mut STARTED.take());
            tasks.retain_mut(|(bell, task)| bell.poll(task.as_mut(), cx.waker()).is_pending());
            ended
        }));
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        let (client, runner) = Self::client(connection, false);
        start(runner.run(Plain::new(Loopback)));
        client
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Board> + Send + 'static,
    ) -> Client<Self::Runtime> {
        let (client, runner) = Self::client(connection, true);
        start(runner.run_with_credential(Plain::new(Loopback), TokenFn(credential)));
        client
    }
}

impl InParts for EmbassyFixed {
    fn in_parts(connection: Connection) -> (Client<Self::Runtime>, Driver) {
        let (client, runner) = Self::client(connection, false);
        (client, Box::pin(runner.run(Plain::new(Loopback))))
    }
}
