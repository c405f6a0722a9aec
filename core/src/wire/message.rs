//! A message as its encoded sections (AMQP 1.0 §3.2).
//!
//! # Examples
//! ```
//! use servicebus_core::wire::message::{Body, MessageView};
//! use servicebus_core::wire::messaging::Properties;
//! use servicebus_core::wire::to_vec;
//!
//! let mut bytes = to_vec(&Properties { subject: Some("order"), ..Properties::EMPTY });
//! bytes.extend(b"\x00\x53\x75\xa0\x04blue");
//!
//! let message = MessageView::parse(&bytes)?;
//! assert_eq!(message.properties()?.subject, Some("order"));
//! if let Body::Data(sections) = message.body()? {
//!     assert_eq!(sections.data().next(), Some(Ok(&b"blue"[..])));
//! }
//! # Ok::<(), servicebus_core::wire::DecodeError>(())
//! ```

use super::composite::FromFields;
use super::messaging::{Header, Properties};
use super::view::Items;
use super::{Decode, DecodeError, Decoder, Expected, Fields, List, Map, Reader, Value, View};

/// Section descriptors (AMQP 1.0 §3.2).
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::{MessageView, section};
/// use servicebus_core::wire::messaging::put_section;
/// use servicebus_core::wire::{Encode, Sink};
///
/// let mut bytes = Vec::new();
/// let mut sink = Sink::from(&mut bytes);
/// put_section(&mut sink, section::DATA);
/// b"blue"[..].encode(&mut sink);
/// assert_eq!(MessageView::parse(&bytes)?.body_bytes(), bytes);
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
pub mod section {
    /// `header`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Composite, message::section, messaging::Header};
    /// assert_eq!(u64::from(section::HEADER), Header::DEFINITION.code);
    /// ```
    pub const HEADER: u8 = 0x70;
    /// `delivery-annotations`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{MessageView, section};
    /// # use servicebus_core::wire::{MapWriter, Sink, Value, messaging::put_section};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::DELIVERY_ANNOTATIONS);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_symbol("x-opt-route", "north");
    /// map.end();
    /// let annotations = MessageView::parse(&bytes)?.delivery_annotations()?;
    /// assert_eq!(annotations.get("x-opt-route"), Some(Value::String("north")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const DELIVERY_ANNOTATIONS: u8 = 0x71;
    /// `message-annotations`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{MessageView, section};
    /// # use servicebus_core::wire::{MapWriter, Sink, Value, messaging::put_section};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::MESSAGE_ANNOTATIONS);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_symbol("x-opt-partition-key", "red");
    /// map.end();
    /// let annotations = MessageView::parse(&bytes)?.message_annotations()?;
    /// assert_eq!(annotations.get("x-opt-partition-key"), Some(Value::String("red")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const MESSAGE_ANNOTATIONS: u8 = 0x72;
    /// `properties`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Composite, message::section, messaging::Properties};
    /// assert_eq!(u64::from(section::PROPERTIES), Properties::DEFINITION.code);
    /// ```
    pub const PROPERTIES: u8 = 0x73;
    /// `application-properties`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{MessageView, section};
    /// # use servicebus_core::wire::{MapWriter, Sink, Value, messaging::put_section};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::APPLICATION_PROPERTIES);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put("color", "red");
    /// map.end();
    /// assert_eq!(MessageView::parse(&bytes)?.application_properties()?.get("color"), Some(Value::String("red")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const APPLICATION_PROPERTIES: u8 = 0x74;
    /// `data`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{Body, MessageView, section};
    /// # use servicebus_core::wire::{Encode, Sink, Value, encode_list, messaging::put_section};
    /// # let (mut bytes, mut memory) = (Vec::new(), [0; 32]);
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::DATA);
    /// b"blue"[..].encode(&mut sink);
    /// assert!(matches!(MessageView::parse(&bytes)?.body()?, Body::Data(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const DATA: u8 = 0x75;
    /// `amqp-sequence`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{Body, MessageView, section};
    /// # use servicebus_core::wire::{Encode, Sink, Value, encode_list, messaging::put_section};
    /// # let (mut bytes, mut memory) = (Vec::new(), [0; 32]);
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::AMQP_SEQUENCE);
    /// encode_list(&["red".into(), 3.into()], &mut memory)?.encode(&mut sink);
    /// assert!(matches!(MessageView::parse(&bytes)?.body()?, Body::Sequence(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const AMQP_SEQUENCE: u8 = 0x76;
    /// `amqp-value`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{Body, MessageView, section};
    /// # use servicebus_core::wire::{Encode, Sink, Value, encode_list, messaging::put_section};
    /// # let (mut bytes, mut memory) = (Vec::new(), [0; 32]);
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::AMQP_VALUE);
    /// "blue".encode(&mut sink);
    /// assert!(matches!(MessageView::parse(&bytes)?.body()?, Body::Value(Value::String("blue"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const AMQP_VALUE: u8 = 0x77;
    /// `footer`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{MessageView, section};
    /// # use servicebus_core::wire::{MapWriter, Sink, Value, messaging::put_section};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// put_section(&mut sink, section::FOOTER);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_symbol("x-opt-checksum", "6b86b273");
    /// map.end();
    /// assert_eq!(MessageView::parse(&bytes)?.footer()?.get("x-opt-checksum"), Some(Value::String("6b86b273")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const FOOTER: u8 = 0x78;
}

/// A part of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// Where the sections of a message lie in its bytes; kept beside the bytes so that they are walked once.
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::{Layout, MessageView};
///
/// struct Stored {
///     bytes: Vec<u8>,
///     layout: Layout,
/// }
///
/// let bytes = b"\x00\x53\x77\xa1\x04blue".to_vec();
/// let stored = Stored { layout: Layout::of(&bytes)?, bytes };
/// let message = MessageView::with_layout(&stored.bytes, stored.layout);
/// assert_eq!(message.body_bytes().len(), 9);
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
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
    /// Finds the sections. Their order is free: the Python SDK writes delivery annotations last. A body is skipped by
    /// its length and never looked into.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, message::Layout};
    /// let unknown_section = b"\x00\x53\x10\x45";
    /// assert_eq!(Layout::of(unknown_section), Err(DecodeError::InvalidSection(0x10)));
    /// assert_eq!(Layout::of(b""), Ok(Layout::default()));
    /// ```
    // docs/evidence/wire-protocol.md §3.1
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
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::{Body, MessageView};
///
/// let message = MessageView::parse(b"\x00\x53\x77\xa1\x04blue")?;
/// let text = match message.body()? {
///     Body::Empty => "",
///     Body::Value(value) => value.as_str().unwrap_or("not a text"),
///     Body::Data(_) | Body::Sequence(_) => "not a value",
/// };
/// assert_eq!(text, "blue");
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
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

/// Its kind alone, as of everything that holds a message.
impl core::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Data(sections) => f.debug_tuple("Data").field(sections).finish(),
            Self::Sequence(sections) => f.debug_tuple("Sequence").field(sections).finish(),
            Self::Value(_) => f.write_str("Value"),
        }
    }
}

/// The sections of a body, in order.
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::{Body, MessageView};
///
/// let message = MessageView::parse(b"\x00\x53\x75\xa0\x04two \x00\x53\x75\xa0\x04blue")?;
/// if let Body::Data(sections) = message.body()? {
///     let whole: Vec<u8> = sections.data().collect::<Result<Vec<_>, _>>()?.concat();
///     assert_eq!(whole, b"two blue");
/// }
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Sections<'a>(&'a [u8]);

/// Without the bytes, as everything that holds a message.
impl core::fmt::Debug for Sections<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Sections({} bytes)", self.0.len())
    }
}

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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{Body, MessageView};
    /// # let message = MessageView::parse(b"\x00\x53\x75\xa0\x04blue")?;
    /// if let Body::Data(sections) = message.body()? {
    ///     assert_eq!(sections.data().next(), Some(Ok(&b"blue"[..])));
    /// }
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn data(self) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> + use<'a> {
        self.iter()
    }

    /// The list of each sequence section.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::{Body, MessageView};
    /// # let message = MessageView::parse(b"\x00\x53\x76\xc0\x07\x01\xa1\x04blue")?;
    /// if let Body::Sequence(sections) = message.body()? {
    ///     for list in sections.lists() {
    ///         assert_eq!(list?.len(), 1);
    ///     }
    /// }
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn lists(self) -> impl Iterator<Item = Result<List<'a>, DecodeError>> + use<'a> {
        self.iter()
    }
}

/// A message's bytes together with its layout; every part is decoded when it is asked for.
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::MessageView;
/// use servicebus_core::wire::messaging::{Header, Properties};
/// use servicebus_core::wire::to_vec;
///
/// let header = Header { priority: Some(7), ..Header::EMPTY };
/// let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
/// let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
///
/// let message = MessageView::parse(&bytes)?;
/// assert_eq!((message.header()?, message.properties()?), (header, properties));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// Without the bytes, as everything that holds a message.
impl core::fmt::Debug for MessageView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MessageView({} bytes)", self.bytes.len())
    }
}

impl<'a> MessageView<'a> {
    /// Finds the sections of an encoded message.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, message::MessageView};
    /// let message = MessageView::parse(b"\x00\x53\x77\xa1\x04blue")?;
    /// assert!(!message.has_properties());
    /// assert_eq!(MessageView::parse(b"\x00\x53").map(|_| ()), Err(DecodeError::Truncated));
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { bytes, layout: Layout::of(bytes)? })
    }

    /// The message of these bytes, whose layout is known.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// # use servicebus_core::wire::message::Layout;
    /// let layout = Layout::of(&bytes)?;
    /// let message = MessageView::with_layout(&bytes, layout);
    /// assert_eq!(message.properties()?.subject, Some("order"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn with_layout(bytes: &'a [u8], layout: Layout) -> Self {
        Self { bytes, layout }
    }

    /// The sections' places.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// # use servicebus_core::wire::message::Layout;
    /// assert_eq!(MessageView::parse(&bytes)?.layout(), Layout::of(&bytes)?);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// let message = MessageView::parse(&bytes)?;
    /// assert_eq!(message.header()?.priority, Some(7));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn header(&self) -> Result<Header, DecodeError> {
        match self.bytes_of(self.layout.header) {
            Some(bytes) => fields_of(bytes, section::HEADER),
            None => Ok(Header::EMPTY),
        }
    }

    /// Whether there is a properties section.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// assert!(MessageView::parse(&bytes)?.has_properties());
    /// assert!(!MessageView::parse(b"")?.has_properties());
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn has_properties(&self) -> bool {
        self.layout.properties.end != 0
    }

    /// The properties; all fields absent when there are none.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// let message = MessageView::parse(&bytes)?;
    /// assert_eq!(message.properties()?.subject, Some("order"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn properties(&self) -> Result<Properties<'a>, DecodeError> {
        match self.bytes_of(self.layout.properties) {
            Some(bytes) => fields_of(bytes, section::PROPERTIES),
            None => Ok(Properties::EMPTY),
        }
    }

    /// The header, field by field; `None` when there is none, or something that is no header.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// let message = MessageView::parse(&bytes)?;
    /// let priority = message.header_view().and_then(|mut header| header.priority());
    /// assert_eq!(priority, Some(7));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn header_view(&self) -> Option<View<'a, Header>> {
        Items::list(&mut Decoder::new(self.bytes_of(self.layout.header)?), section::HEADER).map(View::from)
    }

    /// The properties, field by field; `None` when there are none, or something that is none.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// let message = MessageView::parse(&bytes)?;
    /// let subject = message.properties_view().and_then(|mut properties| properties.subject());
    /// assert_eq!(subject, Some("order"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn properties_view(&self) -> Option<View<'a, Properties<'a>>> {
        Items::list(&mut Decoder::new(self.bytes_of(self.layout.properties)?), section::PROPERTIES).map(View::from)
    }

    /// The delivery annotations.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, message::MessageView};
    /// # let bytes = b"\x00\x53\x71\xc1\x15\x02\xa3\x0bx-opt-route\xa1\x05north";
    /// let message = MessageView::parse(bytes)?;
    /// assert_eq!(message.delivery_annotations()?.get("x-opt-route"), Some(Value::String("north")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn delivery_annotations(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.delivery_annotations)
    }

    /// The message annotations.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, message::MessageView};
    /// # let bytes = b"\x00\x53\x72\xc1\x1b\x02\xa3\x13x-opt-partition-key\xa1\x03red";
    /// let message = MessageView::parse(bytes)?;
    /// assert_eq!(message.message_annotations()?.get("x-opt-partition-key"), Some(Value::String("red")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn message_annotations(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.message_annotations)
    }

    /// The application properties.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, message::MessageView};
    /// # let bytes = b"\x00\x53\x74\xc1\x0d\x02\xa3\x05color\xa1\x03red";
    /// let message = MessageView::parse(bytes)?;
    /// assert_eq!(message.application_properties()?.get("color"), Some(Value::String("red")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn application_properties(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.application_properties)
    }

    /// The footer.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, message::MessageView};
    /// # let bytes = b"\x00\x53\x78\xc1\x1b\x02\xa3\x0ex-opt-checksum\xa1\x086b86b273";
    /// let message = MessageView::parse(bytes)?;
    /// assert_eq!(message.footer()?.get("x-opt-checksum"), Some(Value::String("6b86b273")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn footer(&self) -> Result<Map<'a>, DecodeError> {
        self.map(self.layout.footer)
    }

    /// The encoded body: every body section with its descriptor, or nothing.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// let message = MessageView::parse(&bytes)?;
    /// assert_eq!(message.body_bytes(), b"\x00\x53\x75\xa0\x04blue");
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn body_bytes(&self) -> &'a [u8] {
        self.bytes_of(self.layout.body).unwrap_or_default()
    }

    /// The body.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::message::MessageView;
    /// # use servicebus_core::wire::{messaging::{Header, Properties}, to_vec};
    /// # let header = Header { priority: Some(7), ..Header::EMPTY };
    /// # let properties = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// # let bytes = [to_vec(&header), to_vec(&properties), b"\x00\x53\x75\xa0\x04blue".to_vec()].concat();
    /// # use servicebus_core::wire::message::Body;
    /// let message = MessageView::parse(&bytes)?;
    /// assert!(matches!(message.body()?, Body::Data(_)));
    /// assert_eq!(MessageView::parse(b"")?.body()?, Body::Empty);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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
