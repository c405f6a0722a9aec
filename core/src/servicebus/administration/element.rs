//! How the value of one XML element is read and written.

use super::iso8601::{TimeSpan, TimestampForm, parse_timestamp, write_timestamp};
use super::xml::{Node, Writer, text};
use crate::time::{Duration, Timestamp};
use alloc::string::{String, ToString};
use core::fmt;

/// An element of a description whose text is no value of its type.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::{BodyError, read_body};
///
/// let body = "<entry xmlns='http://www.w3.org/2005/Atom'><content><QueueDescription \
///     xmlns='http://schemas.microsoft.com/netservices/2010/10/servicebus/connect'>\
///     <MaxDeliveryCount>often</MaxDeliveryCount></QueueDescription></content></entry>";
/// let Err(BodyError::Element(invalid)) = read_body(body.as_bytes()) else { panic!("it has no number") };
/// assert_eq!((invalid.element.as_str(), invalid.text.as_str()), ("MaxDeliveryCount", "often"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidElement {
    /// The element's name.
    pub element: String,
    /// What it holds, cut to some 100 bytes.
    pub text: String,
}

impl InvalidElement {
    pub(super) fn new(node: Node<'_, '_>) -> Self {
        let mut shown = text(node);
        let end = (0..=shown.len().min(100)).rev().find(|&end| shown.is_char_boundary(end)).unwrap_or(0);
        shown.truncate(end);
        Self { element: node.tag_name().name().into(), text: shown }
    }
}

impl fmt::Display for InvalidElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "element {} has the value {:?}, which is not valid", self.element, self.text)
    }
}

impl core::error::Error for InvalidElement {}

/// How values that are not known are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// By a client: a newer service may send values that are not known here; where the type has a value for that, it
    /// is taken.
    Lenient,
    /// By a service: unknown elements are refused.
    Strict,
}

/// What an element holds.
pub(super) trait ElementValue: Sized {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement>;
    fn write(&self, name: &str, writer: &mut Writer);
}

/// A value that is one piece of text.
pub(super) trait Scalar: Sized {
    /// What stands for a value of a newer service.
    const UNKNOWN: Option<Self> = None;

    fn from_text(text: &str) -> Option<Self>;
    fn to_text(&self) -> String;
}

impl<T: Scalar> ElementValue for T {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let value = T::from_text(&text(node));
        let unknown = if reading == Reading::Lenient { T::UNKNOWN } else { None };
        value.or(unknown).ok_or_else(|| InvalidElement::new(node))
    }

    fn write(&self, name: &str, writer: &mut Writer) {
        writer.element(name, &[], &self.to_text());
    }
}

impl Scalar for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl Scalar for bool {
    fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        if *self { "true".into() } else { "false".into() }
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl Scalar for $number {
            fn from_text(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

numbers! { u32 u64 i32 i64 }

impl Scalar for Duration {
    fn from_text(text: &str) -> Option<Self> {
        Duration::try_from(TimeSpan::parse(text)?).ok()
    }

    fn to_text(&self) -> String {
        TimeSpan::from(*self).to_string()
    }
}

impl Scalar for Timestamp {
    fn from_text(text: &str) -> Option<Self> {
        parse_timestamp(text)
    }

    fn to_text(&self) -> String {
        write_timestamp(*self, TimestampForm::Trimmed)
    }
}

/// An enumeration that is written by name.
macro_rules! names {
    ($(#[$meta:meta])* pub enum $Name:ident { $( $(#[$doc:meta])* $Variant:ident = $text:literal, )* } unknown $unknown:expr, such as $Shown:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Name { $( $(#[$doc])* $Variant, )* }

        impl $Name {
            /// The name that the service uses.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::", stringify!($Name), ";")]
            ///
            #[doc = concat!("assert_eq!(", stringify!($Name), "::", stringify!($Shown), ".as_str(), \"", stringify!($Shown), "\");")]
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $text, )* }
            }

            /// The value of a name; `None` for one that is not known.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use servicebus_core::servicebus::administration::", stringify!($Name), ";")]
            ///
            #[doc = concat!("let known = ", stringify!($Name), "::from_name(\"", stringify!($Shown), "\");")]
            #[doc = concat!("assert_eq!(known, Some(", stringify!($Name), "::", stringify!($Shown), "));")]
            #[doc = concat!("assert_eq!(", stringify!($Name), "::from_name(\"?\"), None);")]
            /// ```
            pub fn from_name(name: &str) -> Option<Self> {
                match name.trim() { $( $text => Some(Self::$Variant), )* _ => None }
            }
        }

        impl core::fmt::Display for $Name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::servicebus::administration::element::Scalar for $Name {
            const UNKNOWN: Option<Self> = $unknown;

            fn from_text(text: &str) -> Option<Self> {
                Self::from_name(text)
            }

            fn to_text(&self) -> alloc::string::String {
                self.as_str().into()
            }
        }
    };
}

pub(super) use names;
