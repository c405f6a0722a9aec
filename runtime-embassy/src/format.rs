//! What is printed of this package's types.

use crate::runner::{Embassy, Handle, Resources, Runner};
use core::fmt;
use servicebus_core::storage::Storage;

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
servicebus_core::format_as_text! {
    [E: fmt::Display] crate::PlainError<E>;
    [E: fmt::Debug] crate::StreamError<E>;
}
#[cfg(all(feature = "defmt", feature = "net"))]
servicebus_core::format_as_text! { [] crate::TcpError; }
#[cfg(all(feature = "defmt", feature = "sntp"))]
servicebus_core::format_as_text! { [] crate::SntpError; }
#[cfg(all(feature = "defmt", feature = "spool"))]
servicebus_core::format_as_text! {
    [E: fmt::Debug] crate::SpoolError<E>;
    [S: Storage, E: fmt::Debug] crate::SpoolSendError<S, E>;
}
