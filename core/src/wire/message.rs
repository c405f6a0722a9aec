//! A message as its encoded sections (AMQP 1.0 §3.2).

use super::composite::FromFields;
use super::messaging::{Header, Properties};
use super::view::Items;
use super::{Decode, DecodeError, Decoder, Expected, Fields, List, Map, Reader, Value, View};

/// Section descriptors (AMQP 1.0 §3.2).
pub mod section {
    /// `header`
    pub const HEADER: u8 = 0x70;
    /// `delivery-annotations`
    pub const DELIVERY_ANNOTATIONS: u8 = 0x71;
    /// `message-annotations`
    pub const MESSAGE_ANNOTATIONS: u8 = 0x72;
    /// `properties`
    pub const PROPERTIES: u8 = 0x73;
    /// `application-properties`
    pub const APPLICATION_PROPERTIES: u8 = 0x74;
    /// `data`
    pub const DATA: u8 = 0x75;
    /// `amqp-sequence`
    pub const AMQP_SEQUENCE: u8 = 0x76;
    /// `amqp-value`
    pub const AMQP_VALUE: u8 = 0x77;
    /// `footer`
    pub const FOOTER: u8 = 0x78;
}

/// A part of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// Where the sections of a message lie in its bytes; kept beside the bytes so that they are walked once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    header: Span,
    delivery_annotations: Span,
    message_annotations: Span,
    properties: Span,
    application_properties: Span,
    body: Span,
    footer: Span,
}

impl Layout {
    /// Finds the sections. Their order is free: the Python SDK writes delivery annotations last
    /// (docs/evidence/wire-protocol.md §3.1). A body is skipped by its length and never looked into.
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let layout = Self::walk(bytes, &mut decoder);
        decoder.result(layout)
    }

    fn walk<'a>(bytes: &'a [u8], decoder: &mut Decoder<'a>) -> Option<Self> {
        let mut layout = Self::default();
        let mut body_code = None;
        if u32::try_from(bytes.len()).is_err() {
            return decoder.fail(DecodeError::InvalidCount);
        }
        let position = |decoder: &Decoder<'_>| (bytes.len() - decoder.rest().len()) as u32;
        while !decoder.rest().is_empty() {
            let start = position(decoder);
            let code = decoder.descriptor(Expected::MessageSection)?;
            let value = position(decoder);
            decoder.skip()?;
            let end = position(decoder);
            let slot = match code {
                section::HEADER => &mut layout.header,
                section::DELIVERY_ANNOTATIONS => &mut layout.delivery_annotations,
                section::MESSAGE_ANNOTATIONS => &mut layout.message_annotations,
                section::PROPERTIES => &mut layout.properties,
                section::APPLICATION_PROPERTIES => &mut layout.application_properties,
                section::FOOTER => &mut layout.footer,
                section::DATA | section::AMQP_SEQUENCE | section::AMQP_VALUE => {
                    // One value, or any number of data or of sequence sections in a row.
                    match body_code {
                        None => layout.body = Span { start, end },
                        Some(earlier) if earlier == code && code != section::AMQP_VALUE && layout.body.end == start => {
                            layout.body.end = end;
                        }
                        Some(_) => return decoder.fail(DecodeError::InvalidSection(code)),
                    }
                    body_code = Some(code);
                    continue;
                }
                _ => return decoder.fail(DecodeError::InvalidSection(code)),
            };
            if slot.end != 0 {
                return decoder.fail(DecodeError::InvalidSection(code));
            }
            *slot = Span { start: value, end };
        }
        Some(layout)
    }
}

/// A message's body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// No body section at all.
    Empty,
    /// One or more data sections.
    Data(Sections<'a>),
    /// One or more sequence sections.
    Sequence(Sections<'a>),
    /// One value.
    Value(Value<'a>),
}

/// The sections of a body, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sections<'a>(&'a [u8]);

impl<'a> Sections<'a> {
    fn iter<T: Decode<'a>>(self) -> impl Iterator<Item = Result<T, DecodeError>> + use<'a, T> {
        let mut decoder = Decoder::new(self.0);
        core::iter::from_fn(move || {
            if decoder.rest().is_empty() {
                return None;
            }
            let item = decoder.descriptor(Expected::MessageSection).and_then(|_| decoder.read());
            Some(decoder.result(item))
        })
    }

    /// The bytes of each data section.
    pub fn data(self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> + use<'a> {
        self.iter()
    }

    /// The list of each sequence section.
    pub fn lists(self) -> impl Iterator<Item = Result<List<'a>, DecodeError>> + use<'a> {
        self.iter()
    }
}

/// A message's bytes together with its layout; every part is decoded when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> MessageView<'a> {
    /// Finds the sections of an encoded message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { bytes, layout: Layout::of(bytes)? })
    }

    /// The message of these bytes, whose layout is known.
    pub const fn with_layout(bytes: &'a [u8], layout: Layout) -> Self {
        Self { bytes, layout }
    }

    /// The sections' places.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    fn bytes_of(&self, span: Span) -> Option<&'a [u8]> {
        if span.end == 0 { None } else { self.bytes.get(span.start as usize..span.end as usize) }
    }

    fn map(&self, span: Span) -> Result<Map<'a>, DecodeError> {
        match self.bytes_of(span) {
            Some(bytes) => Reader::new(bytes).read(),
            None => Ok(Map::EMPTY),
        }
    }

    /// The header; all fields absent when there is none.
    pub fn header(&self) -> Result<Header, DecodeError> {
        match self.bytes_of(self.layout.header) {
            Some(bytes) => fields_of(bytes, section::HEADER),
            None => Ok(Header::EMPTY),
        }
    }

    /// Whether there is a properties section.
    pub const fn has_properties(&self) -> bool {
        self.layout.properties.end != 0
    }

    /// The properties; all fields absent when there are none.
    pub fn properties(&self) -> Result<Properties<'a>, DecodeError> {
        match self.bytes_of(self.layout.properties) {
            Some(bytes) => fields_of(bytes, section::PROPERTIES),
            None => Ok(Properties::EMPTY),
        }
    }

    /// The header, field by field; `None` when there is none, or something that is no header.
    pub fn header_view(&self) -> Option<View<'a, Header>> {
        Items::list(&mut Decoder::new(self.bytes_of(self.layout.header)?), section::HEADER).map(View::from)
    }

    /// The properties, field by field; `None` when there are none, or something that is none.
    pub fn properties_view(&self) -> Option<View<'a, Properties<'a>>> {
        Items::list(&mut Decoder::new(self.bytes_of(self.layout.properties)?), section::PROPERTIES).map(View::from)
    }

    /// The delivery annotations.
    pub fn delivery_annotations(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.delivery_annotations)
    }

    /// The message annotations.
    pub fn message_annotations(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.message_annotations)
    }

    /// The application properties.
    pub fn application_properties(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.application_properties)
    }

    /// The footer.
    pub fn footer(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.footer)
    }

    /// The encoded body: every body section with its descriptor, or nothing.
    pub fn body_bytes(&self) -> &'a [u8] {
        self.bytes_of(self.layout.body).unwrap_or_default()
    }

    /// The body.
    pub fn body(&self) -> Result<Body<'a>, DecodeError> {
        let bytes = self.body_bytes();
        if bytes.is_empty() {
            return Ok(Body::Empty);
        }
        let mut decoder = Decoder::new(bytes);
        let body = match decoder.descriptor(Expected::MessageSection) {
            Some(0x75) => Some(Body::Data(Sections(bytes))),
            Some(0x76) => Some(Body::Sequence(Sections(bytes))),
            _ => decoder.value().map(Body::Value),
        };
        decoder.result(body)
    }
}

/// The composite type of these fields.
fn fields_of<'a, T: FromFields<'a>>(bytes: &'a [u8], code: u8) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let composite = Fields::made(&mut decoder, code);
    decoder.result(composite)
}
