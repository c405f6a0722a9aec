//! Reference-counted text.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

/// Text on the heap whose clones share it: names of entities, which every message carries.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::SharedText;
///
/// let name = SharedText::from("orders");
/// let shared = name.clone();
/// assert_eq!(name.as_ptr(), shared.as_ptr(), "the text is there once");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedText(Arc<str>);

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SharedText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! shared_text_from {
    ($($type:ty),*) => { $(
        impl From<$type> for SharedText {
            fn from(text: $type) -> Self {
                Self(text.into())
            }
        }
    )* };
}

shared_text_from! { &str, String, Box<str>, Arc<str>, Cow<'_, str> }

impl From<&String> for SharedText {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}
