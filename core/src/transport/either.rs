//! One of two streams.

use crate::driver::Transport;
use embedded_io_async::{ErrorType, Read, Write};

/// One of two streams, or a half of one.
///
/// # Examples
///
/// A transport that is a serial line or TCP, as the program was configured:
///
/// ```
/// use servicebus_core::driver::Transport;
/// use servicebus_core::transport::Either;
///
/// fn choose<A, B>(serial: Option<A>, tcp: B) -> impl Transport<Error = A::Error>
/// where
///     A: Transport,
///     B: Transport<Error = A::Error>,
/// {
///     match serial {
///         Some(serial) => Either::Left(serial),
///         None => Either::Right(tcp),
///     }
/// }
/// ```
#[derive(Debug)]
pub enum Either<A, B> {
    /// The one.
    Left(A),
    /// The other.
    Right(B),
}

impl<A: Transport, B: Transport<Error = A::Error>> Transport for Either<A, B> {
    type Error = A::Error;
    type Reader<'a>
        = Either<A::Reader<'a>, B::Reader<'a>>
    where
        Self: 'a;
    type Writer<'a>
        = Either<A::Writer<'a>, B::Writer<'a>>
    where
        Self: 'a;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        match self {
            Self::Left(stream) => {
                let (reader, writer) = stream.split();
                (Either::Left(reader), Either::Left(writer))
            }
            Self::Right(stream) => {
                let (reader, writer) = stream.split();
                (Either::Right(reader), Either::Right(writer))
            }
        }
    }

    async fn close(self) -> Result<(), A::Error> {
        match self {
            Self::Left(stream) => stream.close().await,
            Self::Right(stream) => stream.close().await,
        }
    }
}

impl<A: ErrorType, B: ErrorType<Error = A::Error>> ErrorType for Either<A, B> {
    type Error = A::Error;
}

impl<A: Read, B: Read<Error = A::Error>> Read for Either<A, B> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, A::Error> {
        match self {
            Self::Left(half) => half.read(buffer).await,
            Self::Right(half) => half.read(buffer).await,
        }
    }
}

impl<A: Write, B: Write<Error = A::Error>> Write for Either<A, B> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, A::Error> {
        match self {
            Self::Left(half) => half.write(bytes).await,
            Self::Right(half) => half.write(bytes).await,
        }
    }

    async fn flush(&mut self) -> Result<(), A::Error> {
        match self {
            Self::Left(half) => half.flush().await,
            Self::Right(half) => half.flush().await,
        }
    }
}
