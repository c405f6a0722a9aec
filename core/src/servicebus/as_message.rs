//! What can be sent.

use super::message::MessageRef;

/// What the sending calls take: messages, and text or bytes that become the body of one.
///
/// The conversion borrows: it neither allocates nor copies, and is done anew for each attempt.
///
/// ```
/// use servicebus_core::servicebus::{AsMessage, MessageRef};
///
/// fn subject_of(message: &(impl AsMessage + ?Sized)) -> Option<&str> {
///     message.as_message().subject
/// }
/// assert_eq!(subject_of("hello"), None);
/// assert_eq!(subject_of(&MessageRef::new("hello").with_subject("greeting")), Some("greeting"));
/// ```
pub trait AsMessage {
    /// The message, borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Body, Message};
    /// assert_eq!("two of the blue ones".as_message().body, Body::Data(b"two of the blue ones"));
    /// assert_eq!(Message::new("three").with_subject("order").as_message().subject, Some("order"));
    /// ```
    fn as_message(&self) -> MessageRef<'_>;
}

impl<T: AsMessage + ?Sized> AsMessage for &T {
    fn as_message(&self) -> MessageRef<'_> {
        (**self).as_message()
    }
}

impl AsMessage for MessageRef<'_> {
    #[inline]
    fn as_message(&self) -> MessageRef<'_> {
        *self
    }
}

macro_rules! as_body {
    ($($(#[$meta:meta])* [$($generics:tt)*] $type:ty),* $(,)?) => { $(
        $(#[$meta])*
        impl<$($generics)*> AsMessage for $type {
            fn as_message(&self) -> MessageRef<'_> {
                MessageRef::new(self)
            }
        }
    )* };
}

as_body! {
    [] str,
    [] [u8],
    [const N: usize] [u8; N],
    #[cfg(feature = "alloc")] [] alloc::string::String,
    #[cfg(feature = "alloc")] [] alloc::vec::Vec<u8>,
    #[cfg(feature = "alloc")] [] bytes::Bytes,
}
