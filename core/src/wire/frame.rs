//! Frames and protocol headers (AMQP 1.0 §2.3, §2.2).

use super::{Encode, Sink};
use core::fmt;

/// Every peer must accept frames of this size (AMQP 1.0 §2.7.1).
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// The fixed part of a frame's header.
pub const HEADER_LEN: usize = 8;

/// A heartbeat: a frame without a body (AMQP 1.0 §2.4.5).
pub const EMPTY: [u8; HEADER_LEN] = [0, 0, 0, 8, 2, 0, 0, 0];

/// Which protocol a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0x00`
    Amqp,
    /// `0x01`
    Sasl,
}

/// A frame whose bytes are all there.
#[derive(Clone, Copy, Debug)]
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

/// Bytes that are no frame of this connection: nothing after them can be trusted.
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
    /// bytes (docs/evidence/invariants.md §1, go-amqp PR 320).
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
pub fn header(size: u32, kind: Kind, channel: u16) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = size.to_be_bytes();
    let [e, f] = channel.to_be_bytes();
    [a, b, c, d, 2, if kind == Kind::Sasl { 1 } else { 0 }, e, f]
}

/// The eight bytes that open a protocol layer (AMQP 1.0 §2.2).
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
    pub const fn header(self) -> [u8; 8] {
        let id = match self {
            Self::Amqp => 0,
            Self::Tls => 2,
            Self::Sasl => 3,
        };
        [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
    }

    /// The protocol of a header, or `None` when it is none of AMQP 1.0's.
    pub fn parse(header: [u8; 8]) -> Option<Self> {
        [Self::Amqp, Self::Tls, Self::Sasl].into_iter().find(|protocol| protocol.header() == header)
    }
}

/// A frame to be sent, as a value that encodes with its header.
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
