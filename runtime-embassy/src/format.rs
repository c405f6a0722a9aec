//! What is printed of this package's types.

use crate::runner::{Embassy, Handle, Resources, Runner};
use core::fmt;
use servicebus_core::storage::Storage;

/// The texts of a type's values, for `Display` and, interned, for `defmt`.
#[cfg(any(feature = "net", feature = "tls"))]
macro_rules! texts {
    ($type:ty { $($pattern:pat => $text:literal,)* }) => {
        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $($pattern => $text,)* })
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $type {
            fn format(&self, f: defmt::Formatter<'_>) {
                let text = match self { $($pattern => defmt::intern!($text),)* };
                defmt::write!(f, "{=istr}", text);
            }
        }
    };
}
#[cfg(any(feature = "net", feature = "tls"))]
pub(crate) use texts;

/// `Debug` with the type's name alone: what is inside is long, shared, or no concern of the reader's.
macro_rules! debug_as_name {
    ($([$($parameters:tt)*] $type:ty as $name:literal;)*) => {$(
        impl<$($parameters)*> fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($name)
            }
        }
    )*};
}

debug_as_name! {
    [S] Embassy<S> as "Embassy";
    [S: Storage] Handle<S> as "Handle";
    [S: Storage] Resources<S> as "Resources";
    [S: Storage] Runner<S> as "Runner";
    [R, W] crate::Stream<'_, R, W> as "Stream";
}
#[cfg(feature = "net")]
debug_as_name! { [] crate::TcpStream<'_, '_> as "TcpStream"; }
#[cfg(feature = "sntp")]
debug_as_name! { [] crate::Sntp as "Sntp"; }

#[cfg(feature = "defmt")]
mod defmt_formats {
    use crate::{PlainError, StreamError};
    use defmt::{Format, Formatter, write};

    impl<E: Format> Format for PlainError<E> {
        fn format(&self, f: Formatter<'_>) {
            match self {
                Self::NeedsTls => write!(f, "the connection string wants TLS"),
                Self::Connect(error) => write!(f, "{}", error),
            }
        }
    }

    impl<E: Format> Format for StreamError<E> {
        fn format(&self, f: Formatter<'_>) {
            match self {
                Self::Busy => write!(f, "Busy"),
                Self::Io(error) => write!(f, "{}", error),
            }
        }
    }

    #[cfg(feature = "spool")]
    impl<S: servicebus_core::storage::Storage, E: Format> Format for crate::SpoolSendError<S, E> {
        fn format(&self, f: Formatter<'_>) {
            match self {
                Self::Spool(error) => write!(f, "{}", error),
                Self::Send(error) => write!(f, "{}", error),
            }
        }
    }
}
