//! Frames and protocol headers (AMQP 1.0 §2.3, §2.2).
//!
//! # Examples
//! ```
//! use servicebus_core::wire::frame::{Frame, Kind, Outgoing};
//! use servicebus_core::wire::performative::{End, Performative};
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let bytes = to_vec(&Outgoing { kind: Kind::Amqp, channel: 7, body: &End { error: None } });
//!
//! if let Some(frame) = Frame::parse(&bytes, 512)? {
//!     let body: Performative<'_> = Reader::new(frame.body).read()?;
//!     assert_eq!((frame.channel, body), (7, Performative::End(End { error: None })));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{Encode, Sink};
use core::fmt;

/// Every peer must accept frames of this size (AMQP 1.0 §2.7.1).
///
/// # Examples
/// ```
/// use servicebus_core::engine::Config;
/// use servicebus_core::wire::frame::MIN_MAX_FRAME_SIZE;
///
/// let small = Config { max_frame_size: MIN_MAX_FRAME_SIZE, ..Config::default() };
/// assert_eq!(small.max_frame_size, 512);
/// ```
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// The fixed part of a frame's header.
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::{Frame, HEADER_LEN};
///
/// assert!(Frame::parse(&[0; HEADER_LEN - 1], 512)?.is_none());
/// # Ok::<(), servicebus_core::wire::frame::FrameError>(())
/// ```
pub const HEADER_LEN: usize = 8;

/// A heartbeat: a frame without a body (AMQP 1.0 §2.4.5).
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::{EMPTY, Frame};
///
/// let heartbeat = Frame::parse(&EMPTY, 512)?;
/// assert!(heartbeat.is_some_and(|frame| frame.body.is_empty()));
/// # Ok::<(), servicebus_core::wire::frame::FrameError>(())
/// ```
pub const EMPTY: [u8; HEADER_LEN] = [0, 0, 0, 8, 2, 0, 0, 0];

/// Which protocol a frame belongs to.
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::{EMPTY, Frame, Kind};
///
/// let kind = Frame::parse(&EMPTY, 512)?.map(|frame| frame.kind);
/// let layer = match kind {
///     Some(Kind::Amqp) => "AMQP",
///     Some(Kind::Sasl) => "SASL",
///     None => "not known yet",
/// };
/// assert_eq!(layer, "AMQP");
/// # Ok::<(), servicebus_core::wire::frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0x00`
    Amqp,
    /// `0x01`
    Sasl,
}

/// A frame whose bytes are all there.
///
/// # Examples
/// How a receive buffer with several frames is read:
///
/// ```
/// use servicebus_core::wire::frame::{EMPTY, Frame};
///
/// let received = [EMPTY, EMPTY].concat();
/// let (mut rest, mut frames) = (&received[..], 0);
/// while let Some(frame) = Frame::parse(rest, 512)? {
///     frames += 1;
///     rest = &rest[frame.size..];
/// }
/// assert_eq!(frames, 2);
/// # Ok::<(), servicebus_core::wire::frame::FrameError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Which protocol it belongs to.
    pub kind: Kind,
    /// The channel of an AMQP frame; unused in SASL.
    pub channel: u16,
    /// Where the body starts in the frame.
    pub offset: usize,
    /// The frame's size with its header.
    pub size: usize,
    /// What follows the header: empty in a heartbeat.
    pub body: &'a [u8],
}

/// Without the body: it holds messages and passwords.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, channel, size, .. } = self;
        f.debug_struct("Frame")
            .field("kind", kind)
            .field("channel", channel)
            .field("size", size)
            .finish_non_exhaustive()
    }
}

/// Bytes that are no frame of this connection: nothing after them can be trusted.
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::{Frame, FrameError};
///
/// match Frame::parse(b"HTTP/1.1", 512) {
///     Ok(_) => {}
///     Err(FrameError::TooLarge { size, .. }) => assert_eq!(size.to_be_bytes(), *b"HTTP"),
///     Err(error) => panic!("{error}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// The size is smaller than the header it includes.
    TooSmall(u32),
    /// The size exceeds the max-frame-size that was agreed.
    TooLarge {
        /// The frame's size in bytes.
        size: u32,
        /// What was agreed.
        limit: u32,
    },
    /// The data offset points into the header or behind the frame.
    BadOffset(u8),
    /// A type that is neither AMQP nor SASL.
    BadType(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall(size) => write!(f, "frame size {size} is smaller than a frame header"),
            Self::TooLarge { size, limit } => write!(f, "frame size {size} exceeds the limit of {limit} bytes"),
            Self::BadOffset(doff) => write!(f, "frame data offset {doff} is out of range"),
            Self::BadType(kind) => write!(f, "unknown frame type {kind}"),
        }
    }
}

impl core::error::Error for FrameError {}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`; `None` when more bytes are needed. An empty frame is complete with its eight
    /// bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::frame::{EMPTY, Frame};
    /// assert!(Frame::parse(&EMPTY[..5], 512)?.is_none());
    /// assert_eq!(Frame::parse(&EMPTY, 512)?.map(|frame| frame.size), Some(8));
    /// # Ok::<(), servicebus_core::wire::frame::FrameError>(())
    /// ```
    // docs/evidence/invariants.md §1, go-amqp PR 320
    pub fn parse(bytes: &'a [u8], limit: u32) -> Result<Option<Self>, FrameError> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [a, b, c, d, doff, kind, e, f] = *head;
        let size = u32::from_be_bytes([a, b, c, d]);
        if (size as usize) < HEADER_LEN {
            return Err(FrameError::TooSmall(size));
        }
        if size > limit {
            return Err(FrameError::TooLarge { size, limit });
        }
        let kind = match kind {
            0 => Kind::Amqp,
            1 => Kind::Sasl,
            other => return Err(FrameError::BadType(other)),
        };
        let offset = usize::from(doff) * 4;
        if offset < HEADER_LEN || offset > size as usize {
            return Err(FrameError::BadOffset(doff));
        }
        let size = size as usize;
        let Some(body) = bytes.get(offset..size) else { return Ok(None) };
        Ok(Some(Self { kind, channel: u16::from_be_bytes([e, f]), offset, size, body }))
    }
}

/// Writes a frame's header in front of the `size - 8` bytes that follow it.
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::{EMPTY, Kind, header};
///
/// assert_eq!(header(8, Kind::Amqp, 0), EMPTY);
/// assert_eq!(header(20, Kind::Sasl, 0), [0, 0, 0, 20, 2, 1, 0, 0]);
/// ```
pub fn header(size: u32, kind: Kind, channel: u16) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = size.to_be_bytes();
    let [e, f] = channel.to_be_bytes();
    [a, b, c, d, 2, if kind == Kind::Sasl { 1 } else { 0 }, e, f]
}

/// The eight bytes that open a protocol layer (AMQP 1.0 §2.2).
///
/// # Examples
/// ```
/// use servicebus_core::wire::frame::Protocol;
///
/// let layer = match Protocol::parse(*b"AMQP\x03\x01\x00\x00") {
///     Some(Protocol::Sasl) => "SASL comes first",
///     Some(Protocol::Amqp) => "frames follow",
///     Some(Protocol::Tls) => "TLS comes first",
///     None => "not AMQP 1.0",
/// };
/// assert_eq!(layer, "SASL comes first");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP 1.0 itself.
    Amqp,
    /// TLS inside AMQP; not offered by Service Bus and never used here.
    Tls,
    /// The SASL layer.
    Sasl,
}

impl Protocol {
    /// The header's bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::frame::Protocol;
    /// assert_eq!(Protocol::Amqp.header(), *b"AMQP\x00\x01\x00\x00");
    /// ```
    pub const fn header(self) -> [u8; 8] {
        let id = match self {
            Self::Amqp => 0,
            Self::Tls => 2,
            Self::Sasl => 3,
        };
        [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
    }

    /// The protocol of a header, or `None` when it is none of AMQP 1.0's.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::frame::Protocol;
    /// assert_eq!(Protocol::parse(Protocol::Amqp.header()), Some(Protocol::Amqp));
    /// assert_eq!(Protocol::parse(*b"AMQP\x00\x00\x09\x01"), None);
    /// ```
    pub fn parse(header: [u8; 8]) -> Option<Self> {
        [Self::Amqp, Self::Tls, Self::Sasl].into_iter().find(|protocol| protocol.header() == header)
    }
}

/// A frame to be sent, as a value that encodes with its header.
///
/// # Examples
/// ```
/// use servicebus_core::wire;
/// use servicebus_core::wire::frame::{Kind, Outgoing};
/// use servicebus_core::wire::performative::Close;
///
/// let mut memory = [0; 64];
/// let close = Outgoing { kind: Kind::Amqp, channel: 0, body: &Close { error: None } };
/// let size = wire::encode(&close, &mut memory)?;
/// assert_eq!(memory[..8], [0, 0, 0, size as u8, 2, 0, 0, 0]);
/// # Ok::<(), wire::Full>(())
/// ```
pub struct Outgoing<'a> {
    /// Which protocol it belongs to.
    pub kind: Kind,
    /// The channel.
    pub channel: u16,
    /// The body.
    pub body: &'a dyn Encode,
}

impl Encode for Outgoing<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let start = sink.position();
        sink.put(&[0; HEADER_LEN]);
        self.body.encode(sink);
        // Frames are never larger than what both ends agreed on in 32 bits.
        let size = (sink.position() - start) as u32;
        sink.patch(start, &header(size, self.kind, self.channel));
    }
}

/// The eight bytes.
impl Encode for Protocol {
    fn encode(&self, sink: &mut Sink<'_>) {
        sink.put(&self.header());
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("channel", &self.channel).finish_non_exhaustive()
    }
}
