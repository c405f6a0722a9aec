//! Events for people: one line where something happens, and nothing at all while neither `tracing` nor `defmt` is on.
//!
//! Never in an event: keys, tokens and the bodies of messages. Frames are told without their payloads, and SASL frames
//! not at all.

/// Tells of an event: a level, what happened, and up to four fields that can be displayed.
///
/// With `tracing` the fields are fields; with `defmt` they follow the text.
macro_rules! log {
    ($level:ident, $text:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!(target: "servicebus", $($name = %$value,)* $text);
        #[cfg(feature = "defmt")]
        log!(@defmt $level, $text $(, $name = $value)*);
        // The values count as used, and are not evaluated.
        #[cfg(not(any(feature = "tracing", feature = "defmt")))]
        if false {
            $(let _ = &$value;)*
        }
    }};
    (@defmt $level:ident, $text:literal) => {
        ::defmt::$level!("{=str}", $text)
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr) => {
        ::defmt::$level!("{=str}: {=str}={}", $text, stringify!($a), ::defmt::Display2Format(&$x))
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr) => {
        ::defmt::$level!("{=str}: {=str}={} {=str}={}", $text, stringify!($a), ::defmt::Display2Format(&$x),
            stringify!($b), ::defmt::Display2Format(&$y))
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr, $c:ident = $z:expr) => {
        ::defmt::$level!("{=str}: {=str}={} {=str}={} {=str}={}", $text, stringify!($a),
            ::defmt::Display2Format(&$x), stringify!($b), ::defmt::Display2Format(&$y), stringify!($c),
            ::defmt::Display2Format(&$z))
    };
    (@defmt $level:ident, $text:literal, $a:ident = $x:expr, $b:ident = $y:expr, $c:ident = $z:expr,
        $d:ident = $w:expr) => {
        ::defmt::$level!("{=str}: {=str}={} {=str}={} {=str}={} {=str}={}", $text, stringify!($a),
            ::defmt::Display2Format(&$x), stringify!($b), ::defmt::Display2Format(&$y), stringify!($c),
            ::defmt::Display2Format(&$z), stringify!($d), ::defmt::Display2Format(&$w))
    };
}

/// Awaits a future inside of a span.
macro_rules! in_span {
    ($name:literal, $entity:expr, $future:expr) => {
        spanned!($name, $entity, $future).await
    };
}

/// A future inside of a span, named as the official SDKs name theirs (sdk-features.md §9), that tells the entity.
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
        log!(trace, $text, channel = $channel, frame = format_args!("{:?}", $frame))
    };
}

/// Something that may be absent, as text.
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T: core::fmt::Display> core::fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// What is done to one message: events inside of it carry the message's trace context.
#[cfg(feature = "alloc")]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(feature = "alloc")]
impl Span {
    /// A handler has the message with this trace context.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only spans of `tracing` tell it"))]
    pub(crate) fn handling(traceparent: Option<&str>) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::info_span!(target: "servicebus", "process", traceparent = %Maybe(traceparent)),
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
