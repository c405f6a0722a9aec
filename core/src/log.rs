//! Events for people: one line where something happens, and nothing at all while neither `tracing` nor `defmt` is on.
//!
//! With `tracing` events lie in spans. Those of a connection and its links are held by the state that they tell of and
//! entered where something happens to it; those of calls and handlers are around the future that is awaited.
//!
//! Never in an event: keys, tokens and the bodies of messages. Frames are logged without their payloads, and SASL
//! frames not at all.

/// Tells of an event: a level, what happened, and up to four fields that can be displayed.
///
/// With `tracing` the fields are fields, and one without a value is left out; with `defmt` they follow the text, as
/// [`defmt::Format`] has them: text and names are interned.
macro_rules! log {
    ($level:ident, $text:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!(
            target: "servicebus", $($name = $crate::log::Shown::shown(&$value).map(::tracing::field::display),)* $text
        );
        #[cfg(feature = "defmt")]
        log!(@defmt $level, $text $(, $name = $value)*);
        // The values count as used, and are not evaluated.
        #[cfg(not(any(feature = "tracing", feature = "defmt")))]
        if false {
            $(let _ = &$value;)*
        }
    }};
    (@defmt $level:ident, $text:literal) => {
        ::defmt::$level!($text)
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr) => {
        ::defmt::$level!("{=istr}: {=istr}={}", ::defmt::intern!($text), interned!($a), $x)
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr) => {
        ::defmt::$level!("{=istr}: {=istr}={} {=istr}={}", ::defmt::intern!($text), interned!($a), $x, interned!($b), $y)
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr, $c:ident = $z:expr) => {
        ::defmt::$level!("{=istr}: {=istr}={} {=istr}={} {=istr}={}", ::defmt::intern!($text), interned!($a), $x,
            interned!($b), $y, interned!($c), $z)
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr, $c:ident = $z:expr,
        $d:ident = $w:expr) => {
        ::defmt::$level!("{=istr}: {=istr}={} {=istr}={} {=istr}={} {=istr}={}", ::defmt::intern!($text), interned!($a), $x,
            interned!($b), $y, interned!($c), $z, interned!($d), $w)
    };
}

/// The name of a field as an index: `defmt` interns literals only.
#[cfg(feature = "defmt")]
macro_rules! interned {
    (attempt) => {
        ::defmt::intern!("attempt")
    };
    (bytes) => {
        ::defmt::intern!("bytes")
    };
    (connection) => {
        ::defmt::intern!("connection")
    };
    (delay_ms) => {
        ::defmt::intern!("delay_ms")
    };
    (delivery) => {
        ::defmt::intern!("delivery")
    };
    (entity) => {
        ::defmt::intern!("entity")
    };
    (error) => {
        ::defmt::intern!("error")
    };
    (failure) => {
        ::defmt::intern!("failure")
    };
    (handle) => {
        ::defmt::intern!("handle")
    };
    (host) => {
        ::defmt::intern!("host")
    };
    (how) => {
        ::defmt::intern!("how")
    };
    (left_ms) => {
        ::defmt::intern!("left_ms")
    };
    (lock) => {
        ::defmt::intern!("lock")
    };
    (locked_until) => {
        ::defmt::intern!("locked_until")
    };
    (more) => {
        ::defmt::intern!("more")
    };
    (pause_ms) => {
        ::defmt::intern!("pause_ms")
    };
    (place) => {
        ::defmt::intern!("place")
    };
    (port) => {
        ::defmt::intern!("port")
    };
    (service) => {
        ::defmt::intern!("service")
    };
    (tls) => {
        ::defmt::intern!("tls")
    };
    (traceparent) => {
        ::defmt::intern!("traceparent")
    };
    (utc) => {
        ::defmt::intern!("utc")
    };
}

/// Awaits a future inside of a span.
macro_rules! in_span {
    ($name:literal, $entity:expr, $future:expr) => {
        spanned!($name, $entity, $future).await
    };
}

/// A future inside of a span with the official SDKs' name and the entity.
// docs/evidence/sdk-features.md §9
macro_rules! spanned {
    ($name:literal, $entity:expr, $future:expr) => {{
        let future = $future;
        #[cfg(feature = "tracing")]
        let future = ::tracing::Instrument::instrument(
            future,
            ::tracing::info_span!(
                target: "servicebus", $name, messaging.system = "servicebus", messaging.destination.name = %$entity.address()
            ),
        );
        future
    }};
}

/// Tells of a frame, at the level of traces; its payload is no part of it.
macro_rules! log_frame {
    ($text:literal, $channel:expr, $frame:expr) => {
        #[cfg(feature = "tracing")]
        ::tracing::trace!(target: "servicebus", channel = %$channel, frame = ?$frame, $text);
        #[cfg(feature = "defmt")]
        ::defmt::trace!("{=istr}: channel={=u16} frame={}", ::defmt::intern!($text), $channel, $frame);
        #[cfg(not(any(feature = "tracing", feature = "defmt")))]
        if false {
            let _ = (&$channel, &$frame);
        }
    };
}

/// A frame's content as the logs have it.
#[cfg(not(feature = "defmt"))]
pub(crate) trait Logged: core::fmt::Debug {}
#[cfg(not(feature = "defmt"))]
impl<T: core::fmt::Debug> Logged for T {}

/// A frame's content as the logs have it.
#[cfg(feature = "defmt")]
pub(crate) trait Logged: core::fmt::Debug + defmt::Format {}
#[cfg(feature = "defmt")]
impl<T: core::fmt::Debug + defmt::Format> Logged for T {}

/// The value of a field, which may be absent: `tracing` leaves the field out, `defmt` shows `-`.
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

/// The value of a field of `tracing`.
#[cfg(feature = "tracing")]
pub(crate) trait Shown {
    type Value: core::fmt::Display;

    /// `None` leaves the field out.
    fn shown(&self) -> Option<&Self::Value>;
}

#[cfg(feature = "tracing")]
impl<T: core::fmt::Display> Shown for T {
    type Value = T;

    fn shown(&self) -> Option<&T> {
        Some(self)
    }
}

#[cfg(feature = "tracing")]
impl<T: core::fmt::Display> Shown for Maybe<T> {
    type Value = T;

    fn shown(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

#[cfg(feature = "defmt")]
impl<T: defmt::Format> defmt::Format for Maybe<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match &self.0 {
            Some(value) => defmt::write!(f, "{}", value),
            None => defmt::write!(f, "-"),
        }
    }
}

/// A tracing span: of a connection, of a link, of a message in its handler. Empty without `tracing`; without a
/// subscriber it allocates nothing.
#[derive(Debug)]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl Default for Span {
    /// No span: events inside of it belong to the enclosing one.
    fn default() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::Span::none(),
        }
    }
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only spans of `tracing` tell it"))]
impl Span {
    /// A connection, by its number among those of the client, to a host.
    pub(crate) fn connection(number: u32, host: &str) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::info_span!(
                target: "servicebus", parent: None, "connection", connection = number, server.address = host
            ),
        }
    }

    /// A link of the connection that this is called within, to an entity or node.
    pub(crate) fn link(kind: &'static str, name: &str, address: &str) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::debug_span!(
                target: "servicebus", "link", kind, name, messaging.system = "servicebus",
                messaging.destination.name = address
            ),
        }
    }

    /// A handler has a message: events inside of it carry its trace context, where it has one.
    #[cfg(feature = "alloc")]
    pub(crate) fn handling(traceparent: Option<&str>) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::info_span!(target: "servicebus", "process", traceparent = traceparent.map(tracing::field::display)),
        }
    }

    /// Does something inside of it.
    pub(crate) fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        return self.span.in_scope(act);
        #[cfg(not(feature = "tracing"))]
        act()
    }
}
