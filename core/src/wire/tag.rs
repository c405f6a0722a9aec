//! The tag of a delivery.

use core::fmt;

/// Up to 32 bytes that identify a delivery on its link (AMQP 1.0 §2.8.7).
///
/// # Examples
/// ```
/// use servicebus_core::wire::Tag;
///
/// let tag = Tag::new(b"order-7");
/// assert_eq!(tag.map(|tag| tag.as_bytes().len()), Some(7));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    bytes: [u8; 32],
    len: u8,
}

impl Tag {
    /// No bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Tag;
    /// assert_eq!(Tag::EMPTY.as_bytes(), b"");
    /// ```
    pub const EMPTY: Self = Self { bytes: [0; 32], len: 0 };

    /// A tag of these bytes; `None` when there are more than 32.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Tag;
    /// assert!(Tag::new(&[7; 32]).is_some());
    /// assert!(Tag::new(&[7; 33]).is_none());
    /// ```
    pub fn new(tag: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        bytes.get_mut(..tag.len())?.copy_from_slice(tag);
        Some(Self { bytes, len: tag.len() as u8 })
    }

    /// A number as a tag.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Tag;
    /// assert_eq!(Tag::number(258).as_bytes(), [0, 0, 1, 2]);
    /// ```
    pub fn number(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        let mut tag = Self { bytes: [0; 32], len: 4 };
        (tag.bytes[0], tag.bytes[1], tag.bytes[2], tag.bytes[3]) = (a, b, c, d);
        tag
    }

    /// The tag's bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Tag;
    /// assert_eq!(Tag::number(7).as_bytes(), [0, 0, 0, 7]);
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:02x?})", self.as_bytes())
    }
}
