//! TCP of async-io, and streams of the program's own.

use async_io::{Async, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use servicebus_core::transport::{Either, Network, first_to_connect};
use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

/// A stream of the program's own.
type Own = Box<dyn Socket>;
/// Opens a stream of the program's own to a host and a port.
type Connector = dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Own>> + Send>> + Send + Sync;

/// What a stream of the program's own has to be.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Connects by TCP without delay, to whichever address of a name answers first (RFC 8305); or by what the program has put
/// in its place.
#[derive(Clone, Default)]
pub struct Tcp {
    own: Option<Arc<Connector>>,
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("own", &self.own.is_some()).finish()
    }
}

impl Tcp {
    /// Streams of the program's own, see [`Options::with_connector`](crate::Options::with_connector).
    pub fn by<F, T, S>(connect: F) -> Self
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let own: Arc<Connector> = Arc::new(move |host, port| {
            let opening = connect(host, port);
            Box::pin(async move { Ok(Box::new(opening.await?) as Own) })
        });
        Self { own: Some(own) }
    }
}

impl Network for Tcp {
    type Stream = Either<Plain, Other>;

    fn is_own(&self) -> bool {
        self.own.is_some()
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        if let Some(connect) = &self.own {
            return Ok(Either::Right(Other(connect(host.to_owned(), port).await?)));
        }
        let host = host.to_owned();
        // Names are resolved by the operating system, which only knows how to block.
        let addresses = blocking::unblock(move || (host, port).to_socket_addrs()).await?;
        let sleep = |pause| async move {
            let _: std::time::Instant = Timer::after(pause).await;
        };
        let stream = first_to_connect(addresses, Async::<TcpStream>::connect, sleep).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(Either::Left(Plain(stream)))
    }
}

/// A connection of TCP.
#[derive(Debug)]
pub struct Plain(Async<TcpStream>);

/// A stream of the program's own.
pub struct Other(Own);

impl fmt::Debug for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Other")
    }
}

impl servicebus_core::driver::Transport for Plain {
    type Error = io::Error;
    type Reader<'a> = Half<&'a Async<TcpStream>>;
    type Writer<'a> = Half<&'a Async<TcpStream>>;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        (Half(&self.0), Half(&self.0))
    }

    async fn close(mut self) -> io::Result<()> {
        self.0.close().await
    }
}

impl servicebus_core::driver::Transport for Other {
    type Error = io::Error;
    type Reader<'a> = Half<futures_lite::io::ReadHalf<&'a mut Own>>;
    type Writer<'a> = Half<futures_lite::io::WriteHalf<&'a mut Own>>;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        let (reader, writer) = futures_lite::io::split(&mut self.0);
        (Half(reader), Half(writer))
    }

    async fn close(mut self) -> io::Result<()> {
        self.0.close().await
    }
}

/// Half of a stream.
#[derive(Debug)]
pub struct Half<T>(T);

impl<T> ErrorType for Half<T> {
    type Error = io::Error;
}

impl<T: AsyncRead + Unpin> Read for Half<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl<T: AsyncWrite + Unpin> Write for Half<T> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}
