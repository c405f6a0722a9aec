//! The hook for transports: whatever yields a stream of bytes can carry Service Bus, with TLS or without.

use core::fmt;
use core::future::{Future, poll_fn};
use core::task::Poll;
use embedded_io_async::{ErrorType, Read, Write};
use servicebus_core::driver::{Dial, Transport};
use servicebus_core::machine::Target;

/// Opens streams of bytes: embassy-net's TCP ([`Tcp`](crate::Tcp)), a cellular modem, ESP-IDF's sockets, a UART tunnel.
///
/// A transport whose halves are two objects needs no more than two `RefCell`s:
///
/// ```
/// # use core::cell::RefCell;
/// # use embedded_io_async::{Read, Write};
/// # use servicebus_embassy::{Connect, Stream, StreamError};
/// struct Uart<R, W> {
///     receive: RefCell<R>,
///     transmit: RefCell<W>,
/// }
///
/// impl<R: Read<Error: Send + Sync + 'static>, W: Write<Error = R::Error>> Connect for Uart<R, W> {
///     type Stream<'a> = Stream<'a, R, W> where Self: 'a;
///     type StreamError = StreamError<R::Error>;
///     type Error = core::convert::Infallible;
///
///     async fn connect<'a>(&'a mut self, _host: &str, _port: u16) -> Result<Self::Stream<'a>, Self::Error> {
///         // Tell the other end of the tunnel here whom to connect to.
///         Ok(Stream::new(&self.receive, &self.transmit))
///     }
/// }
/// ```
pub trait Connect {
    /// A handle to the stream; reads and writes of clones go on side by side.
    type Stream<'a>: Read<Error = Self::StreamError> + Write + Close + Clone
    where
        Self: 'a;
    /// Why a stream broke; its text reaches the application.
    type StreamError: embedded_io_async::Error + Send + Sync + 'static;
    /// Why there is no stream; its text reaches the application.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Connects to `port` of `host`, a DNS name or an IP address. What an earlier stream was is over. The future is
    /// dropped when it takes too long.
    fn connect<'a>(&'a mut self, host: &str, port: u16) -> impl Future<Output = Result<Self::Stream<'a>, Self::Error>>;
}

/// A stream of bytes that can be ended, so that the other end knows that nothing more comes.
///
/// # Examples
///
/// ```
/// # use embedded_io_async::{ErrorType, Write};
/// use servicebus_embassy::Close;
///
/// /// The socket of a modem, which is closed by a command.
/// struct Socket<S>(S);
/// # impl<S: ErrorType> ErrorType for Socket<S> {
/// #     type Error = S::Error;
/// # }
///
/// impl<S: Write> Close for Socket<S> {
///     async fn close(&mut self) -> Result<(), S::Error> {
///         self.0.write_all(b"AT+CIPCLOSE\r\n").await
///     }
/// }
/// # servicebus_simulation::example(async |_| {
/// # let mut sent = [0; 32];
/// # let mut socket = Socket(&mut sent[..]);
/// socket.close().await?;
/// # assert!(sent.starts_with(b"AT+CIPCLOSE"));
/// # Ok(())
/// # });
/// ```
pub trait Close: ErrorType {
    /// Sends what is still to be sent and the end behind it, such as TCP's FIN. The future is dropped after a second.
    /// By default nothing is sent, for streams that have no end of their own.
    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> {
        // Not `ready`, which would keep a place for the result in the future.
        poll_fn(|_| Poll::Ready(Ok(())))
    }
}

/// Dials without TLS: for an emulator, or for a transport that encrypts by itself.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_uart!(Uart);
/// use servicebus_embassy::{Connect, Plain};
///
/// /// For an emulator in the same network.
/// fn dialer<C: Connect>(modem: C) -> Plain<C> {
///     Plain::new(modem)
/// }
/// # drop(dialer(Uart::default()));
/// ```
#[derive(Debug)]
pub struct Plain<C> {
    connect: C,
    encrypts: bool,
}

impl<C: Connect> Plain<C> {
    /// Refuses targets that need TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_uart!(Uart);
    /// # use servicebus_core::driver::Dial;
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_embassy::{Plain, PlainError};
    /// # let uart = Uart::default();
    /// # servicebus_simulation::example(async |_| {
    /// let mut dialer = Plain::new(uart);
    /// let azure = Target { host: "contoso.servicebus.windows.net", port: 5671, tls: true };
    /// let dialled = dialer.dial(azure).await;
    /// assert!(matches!(dialled, Err(PlainError::NeedsTls)));
    /// # Ok(())
    /// # });
    /// ```
    pub const fn new(connect: C) -> Self {
        Self { connect, encrypts: false }
    }

    /// For a transport that encrypts and verifies the server by itself, such as a modem's TLS socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_uart!(Uart);
    /// # use servicebus_core::driver::Dial;
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_embassy::Plain;
    /// # let modem = Uart::default();
    /// # servicebus_simulation::example(async |_| {
    /// let mut dialer = Plain::over_encrypted(modem);
    /// let azure = Target { host: "contoso.servicebus.windows.net", port: 5671, tls: true };
    /// let dialled = dialer.dial(azure).await;
    /// assert!(dialled.is_ok());
    /// # Ok(())
    /// # });
    /// ```
    pub const fn over_encrypted(connect: C) -> Self {
        Self { connect, encrypts: true }
    }
}

impl<C: Connect> Dial for Plain<C> {
    type Transport<'a>
        = Duplex<C::Stream<'a>>
    where
        Self: 'a;
    type Error = PlainError<C::Error>;

    async fn dial<'a>(&'a mut self, target: Target<'_>) -> Result<Self::Transport<'a>, Self::Error> {
        if target.tls && !self.encrypts {
            return Err(PlainError::NeedsTls);
        }
        self.connect.connect(target.host, target.port).await.map(Duplex).map_err(PlainError::Connect)
    }

    fn is_permanent(error: &Self::Error) -> bool {
        matches!(error, PlainError::NeedsTls)
    }
}

/// Why [`Plain`] did not connect.
///
/// # Examples
///
/// ```
/// use core::convert::Infallible;
/// use servicebus_embassy::PlainError;
///
/// let error = PlainError::<Infallible>::NeedsTls;
/// assert_eq!(error.to_string(), "the connection string wants TLS");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainError<E> {
    /// The connection string wants TLS: dial with `tls::Tls`, or set `UseDevelopmentEmulator=true`.
    NeedsTls,
    /// There is no stream.
    Connect(E),
}

impl<E: fmt::Display> fmt::Display for PlainError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsTls => f.write_str("the connection string wants TLS"),
            Self::Connect(error) => error.fmt(f),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl<E: core::error::Error> core::error::Error for PlainError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NeedsTls => None,
            Self::Connect(error) => error.source(),
        }
    }
}

/// A stream whose clones are its halves.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_uart!(Uart);
/// # use servicebus_core::driver::{Dial, Transport};
/// # use servicebus_core::machine::Target;
/// # use servicebus_embassy::Plain;
/// # servicebus_simulation::example(async |_| {
/// # let mut dialer = Plain::new(Uart::default());
/// # let emulator = Target { host: "192.0.2.7", port: 5672, tls: false };
/// let mut duplex = dialer.dial(emulator).await?; // `dialer` is a `Plain`
/// let (reader, writer) = duplex.split();
/// # drop((reader, writer));
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Duplex<S>(S);

impl<S: Read<Error: Send + Sync + 'static> + Write + Close + Clone> Transport for Duplex<S> {
    type Error = S::Error;
    type Reader<'a>
        = S
    where
        Self: 'a;
    type Writer<'a>
        = S
    where
        Self: 'a;

    fn split(&mut self) -> (S, S) {
        (self.0.clone(), self.0.clone())
    }

    async fn close(mut self) -> Result<(), S::Error> {
        self.0.close().await
    }
}

/// Two halves as one stream that can be cloned.
///
/// # Examples
///
/// ```
/// use core::cell::RefCell;
/// # use embedded_io_async::Write;
/// use servicebus_embassy::Stream;
///
/// # servicebus_simulation::example(async |_| {
/// # let (rx, tx) = (servicebus_simulation::ExampleLine, servicebus_simulation::ExampleLine);
/// let (receive, transmit) = (RefCell::new(rx), RefCell::new(tx));
/// let stream = Stream::new(&receive, &transmit);
/// let (mut reader, mut writer) = (stream.clone(), stream);
/// let count = writer.write(b"AMQP").await?;
/// # assert_eq!(count, 4);
/// # _ = &mut reader;
/// # Ok(())
/// # });
/// ```
pub struct Stream<'a, R, W> {
    reader: &'a core::cell::RefCell<R>,
    writer: &'a core::cell::RefCell<W>,
}

impl<'a, R, W> Stream<'a, R, W> {
    /// A stream of these halves.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// # use servicebus_embassy::Stream;
    /// # let (rx, tx) = (servicebus_simulation::ExampleLine, servicebus_simulation::ExampleLine);
    /// let (receive, transmit) = (RefCell::new(rx), RefCell::new(tx));
    /// let stream = Stream::new(&receive, &transmit);
    /// # drop(stream);
    /// ```
    pub const fn new(reader: &'a core::cell::RefCell<R>, writer: &'a core::cell::RefCell<W>) -> Self {
        Self { reader, writer }
    }
}

impl<R, W> Clone for Stream<'_, R, W> {
    fn clone(&self) -> Self {
        Self { reader: self.reader, writer: self.writer }
    }
}

/// An error of one of the halves, or two reads or two writes at the same time.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::StreamError;
///
/// fn is_ours<E>(error: &StreamError<E>) -> bool {
///     matches!(error, StreamError::Busy) // two tasks read at the same time
/// }
/// assert!(!is_ours(&StreamError::Io("noise on the line")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// Another read, or another write, is under way.
    Busy,
    /// The half's own.
    Io(E),
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another read, or another write, is under way"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl<E: core::error::Error> core::error::Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Busy => None,
            Self::Io(error) => error.source(),
        }
    }
}

impl<E: embedded_io_async::Error> embedded_io_async::Error for StreamError<E> {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        match self {
            Self::Busy => embedded_io_async::ErrorKind::Other,
            Self::Io(error) => error.kind(),
        }
    }
}

impl<R: ErrorType, W> ErrorType for Stream<'_, R, W> {
    type Error = StreamError<R::Error>;
}

impl<R: ErrorType, W> Close for Stream<'_, R, W> {}

#[expect(clippy::await_holding_refcell_ref, reason = "the borrow is what keeps a second read out")]
impl<R: Read, W> Read for Stream<'_, R, W> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let mut reader = self.reader.try_borrow_mut().map_err(|_| StreamError::Busy)?;
        reader.read(buffer).await.map_err(StreamError::Io)
    }
}

#[expect(clippy::await_holding_refcell_ref, reason = "the borrow is what keeps a second write out")]
impl<R: ErrorType, W: Write<Error = R::Error>> Write for Stream<'_, R, W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| StreamError::Busy)?;
        writer.write(bytes).await.map_err(StreamError::Io)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        let mut writer = self.writer.try_borrow_mut().map_err(|_| StreamError::Busy)?;
        writer.flush().await.map_err(StreamError::Io)
    }
}
