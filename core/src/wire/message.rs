//! A message as its encoded sections (AMQP 1.0 §3.2).

use super::messaging::{Header, Properties};
use super::{Decode, DecodeError, List, Map, Reader, Value};

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
    /// (wire-protocol.md §3.1). A body is skipped by its length and never looked into.
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut layout = Self::default();
        let mut body_code = None;
        let mut reader = Reader::new(bytes);
        let position = |reader: &Reader<'_>| {
            u32::try_from(bytes.len() - reader.rest().len()).map_err(|_| DecodeError::InvalidCount)
        };
        while !reader.is_empty() {
            let start = position(&reader)?;
            let code = match reader.rest() {
                [0x00, 0x53, code, ..] => {
                    let code = *code;
                    reader.take(3)?;
                    code
                }
                _ => section_code(&mut reader)?,
            };
            let value = position(&reader)?;
            reader.skip()?;
            let end = position(&reader)?;
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
                        Some(_) => return Err(DecodeError::InvalidSection(u64::from(code))),
                    }
                    body_code = Some(code);
                    continue;
                }
                other => return Err(DecodeError::InvalidSection(u64::from(other))),
            };
            if slot.end != 0 {
                return Err(DecodeError::InvalidSection(u64::from(code)));
            }
            *slot = Span { start: value, end };
        }
        Ok(layout)
    }
}

/// Takes a section's descriptor in any form but the usual one.
#[cold]
fn section_code(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.byte()? {
        0 => {}
        found => return Err(DecodeError::UnexpectedType { expected: "message section", found }),
    }
    let code = match reader.value()? {
        Value::Ulong(code) => code,
        Value::Symbol(name) => match name.as_str() {
            "amqp:header:list" => 0x70,
            "amqp:delivery-annotations:map" => 0x71,
            "amqp:message-annotations:map" => 0x72,
            "amqp:properties:list" => 0x73,
            "amqp:application-properties:map" => 0x74,
            "amqp:data:binary" => 0x75,
            "amqp:amqp-sequence:list" => 0x76,
            "amqp:amqp-value:*" => 0x77,
            "amqp:footer:map" => 0x78,
            _ => 0,
        },
        _ => 0,
    };
    u8::try_from(code).map_err(|_| DecodeError::InvalidSection(code))
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
        let mut reader = Reader::new(self.0);
        core::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let item = (|| {
                reader.byte()?;
                reader.skip()?;
                reader.read()
            })();
            if item.is_err() {
                reader = Reader::new(&[]);
            }
            Some(item)
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
            Some(bytes) => Header::from_fields(super::Fields::list(&mut Reader::new(bytes))?),
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
            Some(bytes) => Properties::from_fields(super::Fields::list(&mut Reader::new(bytes))?),
            None => Ok(Properties::EMPTY),
        }
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
        let mut reader = Reader::new(bytes);
        match section_of(&mut reader)? {
            section::DATA => Ok(Body::Data(Sections(bytes))),
            section::AMQP_SEQUENCE => Ok(Body::Sequence(Sections(bytes))),
            _ => Ok(Body::Value(reader.value()?)),
        }
    }
}

fn section_of(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.rest() {
        [0x00, 0x53, code, ..] => {
            let code = *code;
            reader.take(3)?;
            Ok(code)
        }
        _ => section_code(reader),
    }
}
