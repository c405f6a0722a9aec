//! The stream below TLS, record by record: what has no place in TLS 1.3 does not reach embedded-tls.

use super::joined;
use crate::connect::Close;
use core::cmp::Ordering;
use core::future::{Future, poll_fn};
use core::task::Poll;
use embedded_io_async::{Error, ErrorKind, ErrorType, Read, ReadExactError, Write};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const HEADER: usize = 5;
/// A content type and a tag: no encrypted record is shorter.
const SHORTEST: usize = 17;
/// What a record can hold, encrypted (RFC 8446 §5.2); plain ones hold 256 bytes less.
const LONGEST: usize = (1 << 14) + 256;

/// The version in the header of a record behind the handshake. On the wire it says nothing, for it is always the same
/// and has to be ignored (RFC 8446 §5.1); from here to the [`Cipher`](super::cipher::Cipher) it says that the handshake
/// is over, which embedded-tls does not tell the cipher.
pub(super) const OPENED: [u8; 2] = [3, 4];
/// A record with another one in it ([`joined`]), in the handshake.
pub(super) const JOINED: [u8; 2] = [3, 5];
/// The same behind the handshake.
pub(super) const JOINED_AND_OPENED: [u8; 2] = [3, 6];
const OPENING: [u8; 2] = [3, 3];

/// Is pending once.
fn turn() -> impl Future<Output = ()> {
    let mut had = false;
    poll_fn(move |cx| {
        if core::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The ServerHello, or an alert.
    Hello,
    /// Encrypted records, and a ChangeCipherSpec for the middleboxes.
    Handshake,
    /// Encrypted records.
    Opened,
}

/// A stream that refuses records before they reach embedded-tls, which would take plain ones where only encrypted
/// ones may be, and panic on some of them.
///
/// The halves of a connection are its clones, and they are made when the handshake is over: a clone is past it.
// docs/evidence/field-reports.md D1
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    phase: Phase,
    header: [u8; HEADER],
    /// Bytes of the header that have come, and those that were handed on.
    came: usize,
    handed: usize,
    /// Bytes of the record behind its header that are still to be handed on.
    rest: usize,
    /// How they are handed on.
    body: Body,
    /// What embedded-tls reads records into.
    size: usize,
    /// The last record left something in there for the next one, or says that there is nothing.
    leaves: bool,
}

/// How a record's body is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    AsItComes,
    /// With the further records that the ServerHello lies in; so many bytes are in the first one.
    Hello(usize),
    /// Behind the beginning of a message that came before.
    Joined(usize),
}

impl<S> Socket<S> {
    /// For an embedded-tls whose buffer of records has this size.
    pub(super) const fn new(stream: S, size: usize) -> Self {
        let (header, body) = ([0; HEADER], Body::AsItComes);
        Self { stream, phase: Phase::Hello, header, came: 0, handed: 0, rest: 0, body, size, leaves: false }
    }

    /// Checks the header that has come, and says in it whether the handshake is over.
    fn check(&mut self) -> Result<(), ErrorKind> {
        let [kind, .., high, low] = self.header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let encrypted = kind == APPLICATION_DATA;
        let in_place = match self.phase {
            Phase::Hello => kind == HANDSHAKE || kind == ALERT,
            Phase::Handshake => encrypted || kind == ALERT || kind == CHANGE_CIPHER_SPEC,
            Phase::Opened => encrypted,
        };
        let fits = match kind {
            APPLICATION_DATA => (SHORTEST..=LONGEST).contains(&length),
            // One byte, always the same (RFC 8446 §5).
            CHANGE_CIPHER_SPEC => length == 1,
            _ => (1..=1 << 14).contains(&length),
        };
        if !in_place || !fits {
            return Err(ErrorKind::InvalidData);
        }
        let mut version = if self.phase == Phase::Opened { OPENED } else { OPENING };
        (self.rest, self.body) = (length, Body::AsItComes);
        if kind == HANDSHAKE {
            self.phase = Phase::Handshake;
            self.body = Body::Hello(length);
        } else if encrypted && joined::fits(length, self.size) {
            version = if self.phase == Phase::Opened { JOINED_AND_OPENED } else { JOINED };
            self.body = Body::Joined(length);
        } else if encrypted && self.phase == Phase::Handshake {
            return Err(ErrorKind::OutOfMemory);
        } else if encrypted {
            // One of the longest records there are: in a buffer that is just as long, nothing is left for it.
            self.leaves = false;
        }
        if self.body != Body::AsItComes {
            self.rest = self.size;
            self.header[3..].copy_from_slice(&(self.size as u16).to_be_bytes());
        }
        self.header[1..3].copy_from_slice(&version);
        Ok(())
    }
}

impl<S: Read> Socket<S> {
    /// Fills `buffer` with a record that has more in it than came, or less. Returns how much of it is filled: all, or
    /// nothing at the stream's end.
    async fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SocketError<S::Error>> {
        if buffer.len() != self.size {
            // embedded-tls asks for the body of a record at once, in the whole of its buffer.
            return Err(SocketError::Record(ErrorKind::Unsupported));
        }
        let filled = match self.body {
            Body::Joined(length) => {
                let leaves = core::mem::replace(&mut self.leaves, true);
                let place = joined::place(buffer, leaves, length).ok_or(SocketError::Record(ErrorKind::OutOfMemory))?;
                self.exactly(place).await?
            }
            Body::Hello(length) => self.hello(buffer, length).await?,
            Body::AsItComes => true,
        };
        Ok(if filled { self.size } else { 0 })
    }

    /// Gathers the ServerHello, of which the first record has `length` bytes; false at the stream's end. A key change
    /// follows it, so that it ends with a record (RFC 8446 §5.1).
    async fn hello(&mut self, buffer: &mut [u8], mut length: usize) -> Result<bool, SocketError<S::Error>> {
        let mut filled = 0;
        loop {
            let record = buffer.get_mut(filled..filled + length).ok_or(SocketError::Record(ErrorKind::OutOfMemory))?;
            if !self.exactly(record).await? {
                return Ok(false);
            }
            filled += length;
            if let Some([_, high, middle, low, ..]) = buffer.get(..filled) {
                let message = 4 + u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                match filled.cmp(&message) {
                    Ordering::Less => {}
                    Ordering::Equal => return Ok(true),
                    Ordering::Greater => return Err(SocketError::Record(ErrorKind::InvalidData)),
                }
            }
            let mut header = [0; HEADER];
            if !self.exactly(&mut header).await? {
                return Ok(false);
            }
            let [kind, .., high, low] = header;
            length = usize::from(u16::from_be_bytes([high, low]));
            if kind != HANDSHAKE || !(1..=1 << 14).contains(&length) {
                return Err(SocketError::Record(ErrorKind::InvalidData));
            }
        }
    }

    /// Whether the stream had as many bytes.
    async fn exactly(&mut self, place: &mut [u8]) -> Result<bool, SocketError<S::Error>> {
        match self.stream.read_exact(place).await {
            Ok(()) => Ok(true),
            Err(ReadExactError::UnexpectedEof) => Ok(false),
            Err(ReadExactError::Other(error)) => Err(SocketError::Stream(error)),
        }
    }
}

impl<S: Clone> Clone for Socket<S> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), phase: Phase::Opened, leaves: false, ..*self }
    }
}

/// Why nothing more can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketError<E> {
    /// A record that has no place there, or a length that no record has.
    Record(ErrorKind),
    /// The stream's own.
    Stream(E),
}

impl<E: core::fmt::Debug> core::fmt::Display for SocketError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Record(_) => f.write_str("the server sent a record that has no place there"),
            Self::Stream(error) => write!(f, "{error:?}"),
        }
    }
}

/// Transparent: the source is that of the inner error.
impl<E: core::error::Error> core::error::Error for SocketError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Record(_) => None,
            Self::Stream(error) => error.source(),
        }
    }
}

impl<E: Error> Error for SocketError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Record(kind) => *kind,
            Self::Stream(error) => error.kind(),
        }
    }
}

impl<S: ErrorType> ErrorType for Socket<S> {
    type Error = SocketError<S::Error>;
}

impl<S: Read> Read for Socket<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if self.handed == HEADER && self.rest == 0 {
            (self.came, self.handed) = (0, 0);
            if self.phase != Phase::Opened {
                // The certificates and the server's signature take long to verify: that is done meanwhile, and other tasks
                // have their turn.
                turn().await;
            }
        }
        while self.came < HEADER {
            let count = self.stream.read(&mut self.header[self.came..]).await.map_err(SocketError::Stream)?;
            if count == 0 {
                return Ok(0);
            }
            self.came += count;
            if self.came == HEADER {
                self.check().map_err(SocketError::Record)?;
            }
        }
        if self.handed < HEADER {
            let count = buffer.len().min(HEADER - self.handed);
            buffer[..count].copy_from_slice(&self.header[self.handed..][..count]);
            self.handed += count;
            return Ok(count);
        }
        let most = buffer.len().min(self.rest);
        let count = if self.body == Body::AsItComes {
            self.stream.read(&mut buffer[..most]).await.map_err(SocketError::Stream)?
        } else {
            self.fill(buffer).await?
        };
        self.rest -= count;
        Ok(count)
    }
}

impl<S: Close> Close for Socket<S> {
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.stream.close().await.map_err(SocketError::Stream)
    }
}

impl<S: Write> Write for Socket<S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if self.phase == Phase::Handshake {
            // The server's signatures are verified first, should they have come with its last record.
            turn().await;
        }
        self.stream.write(bytes).await.map_err(SocketError::Stream)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.stream.flush().await.map_err(SocketError::Stream)
    }
}
