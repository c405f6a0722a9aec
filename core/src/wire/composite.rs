//! Described lists with named fields: the shape of every performative, section and outcome (AMQP 1.0 §1.4).

use super::codec::Multiple;
use super::decoder::{Decode, Decoder};
use super::error::DecodeError;
use super::sink::Sink;
use super::value::Symbol;

/// The fields of a described list, taken in order. What is wrong with one is kept until [`Fields::check`].
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    decoder: Decoder<'a>,
    left: u32,
    code: u8,
}

impl<'a> Fields<'a> {
    /// Takes a list whose descriptor, which is `code`, has been taken.
    pub(super) fn list(decoder: &mut Decoder<'a>, code: u8) -> Option<Self> {
        let list = decoder.list()?;
        Some(Self { decoder: Decoder::new(list.items), left: list.count, code })
    }

    /// Takes a described list as what these fields make.
    pub(super) fn of<T: FromFields<'a>>(decoder: &mut Decoder<'a>, code: u8) -> Option<T> {
        decoder.composite(code)?;
        Self::made(decoder, code)
    }

    /// Takes a list whose descriptor has been taken as what its fields make.
    pub(super) fn made<T: FromFields<'a>>(decoder: &mut Decoder<'a>, code: u8) -> Option<T> {
        let mut fields = Self::list(decoder, code)?;
        let made = T::from_fields(&mut fields);
        match fields.check() {
            Ok(()) => Some(made),
            Err(error) => decoder.fail(error),
        }
    }

    /// Goes back to where `start` stands.
    #[inline]
    pub(super) fn rewind(&mut self, start: &Self) {
        self.decoder.rewind(&start.decoder);
        self.left = start.left;
    }

    /// Passes over this many fields, as far as there are any.
    #[inline]
    pub(super) fn pass(&mut self, count: u8) {
        for _ in 0..count {
            let Some(left) = self.left.checked_sub(1) else { return };
            self.left = left;
            self.decoder.skip();
        }
    }

    /// Whether the next field is there.
    #[inline]
    pub(super) fn present(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.decoder.present()
    }

    /// The next field; `None` when it is null, beyond the list's end or malformed.
    #[inline]
    pub(crate) fn next<T: Decode<'a>>(&mut self) -> Option<T> {
        if self.present() { T::decode(&mut self.decoder) } else { None }
    }

    /// The next field, which must be there; `place` is where it stands.
    #[inline]
    pub(crate) fn mandatory<T: Decode<'a> + Mandatory>(&mut self, place: u8) -> T {
        match self.next() {
            Some(value) => value,
            None => {
                self.decoder.missing(self.code, place);
                T::ABSENT
            }
        }
    }

    /// What was wrong with a field.
    ///
    /// # Errors
    /// The first thing that was.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        self.decoder.check()
    }
}

/// The type of a field that must be there.
pub(crate) trait Mandatory {
    /// What stands in its place when it is not. Nobody sees it: the decoder has an error then.
    const ABSENT: Self;
}

macro_rules! mandatory {
    ($($type:ty = $absent:expr;)*) => { $(
        impl Mandatory for $type {
            const ABSENT: Self = $absent;
        }
    )* };
}

mandatory! {
    u32 = 0;
    u64 = 0;
    &str = "";
    &[u8] = &[];
    Symbol<'_> = Symbol::new("");
    Multiple<'_> = Multiple::NONE;
}

/// A composite type, made of its fields.
pub(crate) trait FromFields<'a>: Sized {
    /// Takes the fields; the descriptor has been looked at. What comes of it counts only if the decoder has no error.
    fn from_fields(fields: &mut Fields<'a>) -> Self;
}

/// Writes `0x00` and a numeric descriptor, always as `smallulong`: some peers read performatives at fixed offsets.
// docs/evidence/wire-protocol.md §0 fact 1
#[cfg_attr(feature = "alloc", inline(always))]
pub(super) fn put_descriptor(sink: &mut Sink<'_>, code: u8) {
    sink.put(&[0x00, 0x53, code]);
}

/// Begins a described list and returns the mark for [`Sink::end`].
#[cfg_attr(feature = "alloc", inline(always))]
pub(super) fn begin(sink: &mut Sink<'_>, code: u8) -> usize {
    put_descriptor(sink, code);
    sink.begin()
}

/// Declares composite types: the struct, its definition, and both directions of its codec. Every field is always
/// written, absent ones as null, because some peers index fields by number. `Debug` is derived by each declaration, so
/// that those with secrets can leave them out.
// docs/evidence/invariants.md §2
macro_rules! composite {
    ($( $(#[$meta:meta])* $name:ident $(<$life:lifetime>)? = $code:literal $symbol:literal {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty [$($presence:tt)*], )*
    } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq)]
        pub struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub $field: composite!(@type $type [$($presence)*]), )*
        }

        impl $(<$life>)? $crate::wire::Composite for $name $(<$life>)? {
            const DEFINITION: $crate::wire::Definition = $crate::wire::Definition {
                name: $symbol,
                code: $code,
                fields: &[ $( $crate::wire::Field {
                    name: stringify!($field),
                    kind: stringify!($type),
                    presence: composite!(@presence [$($presence)*]),
                }, )* ],
            };
        }

        impl $(<$life>)? $crate::wire::Encode for $name $(<$life>)? {
            #[cfg_attr(feature = "alloc", inline(always))]
            fn encode(&self, sink: &mut $crate::wire::Sink<'_>) {
                let mark = $crate::wire::composite::begin(sink, $code);
                $( self.$field.encode(sink); )*
                let count = <Self as $crate::wire::Composite>::DEFINITION.fields.len();
                sink.end(mark, $crate::wire::Compound::List, count);
            }
        }

        composite!(@decode $name $(<$life>)? $code $symbol {
            $( $(#[$field_meta])* $field: $type [$($presence)*], )*
        });
    )* };

    (@type $type:ty [mandatory]) => { $type };
    (@type $type:ty [optional]) => { Option<$type> };
    (@type $type:ty [default $text:literal = $value:expr]) => { $type };
    (@presence [mandatory]) => { $crate::wire::Presence::Mandatory };
    (@presence [optional]) => { $crate::wire::Presence::Optional };
    (@presence [default $text:literal = $value:expr]) => { $crate::wire::Presence::Default($text) };
    (@seen $view:ident $type:ty, $place:ident [mandatory]) => { $view.mandatory::<$type>($place) };
    (@seen $view:ident $type:ty, $place:ident [optional]) => { $view.field::<$type>($place) };
    (@seen $view:ident $type:ty, $place:ident [default $text:literal = $value:expr]) => {
        $view.field::<$type>($place).unwrap_or($value)
    };
    (@value $fields:ident $type:ty, $field:ident [mandatory]) => { $fields.mandatory::<$type>(const { Self::DEFINITION.place(stringify!($field)) }) };
    (@value $fields:ident $type:ty, $field:ident [optional]) => { $fields.next::<$type>() };
    (@value $fields:ident $type:ty, $field:ident [default $text:literal = $value:expr]) => {
        $fields.next::<$type>().unwrap_or($value)
    };

    (@decode $name:ident <$life:lifetime> $code:literal $symbol:literal { $($fields:tt)* }) => {
        composite!(@impl $name<$life>, $life, $code $symbol { $($fields)* });
    };
    (@decode $name:ident $code:literal $symbol:literal { $($fields:tt)* }) => {
        composite!(@impl $name, 'a, $code $symbol { $($fields)* });
    };
    (@impl $name:ty, $life:lifetime, $code:literal $symbol:literal {
        $( $(#[$field_meta:meta])* $field:ident: $type:ty [$($presence:tt)*], )*
    }) => {
        #[allow(unused_imports)]
        impl<$life> $crate::wire::View<$life, $name> {
            $(
                $(#[$field_meta])*
                #[inline]
                pub fn $field(&mut self) -> composite!(@type $type [$($presence)*]) {
                    use $crate::wire::Composite as _;
                    let place = const { <$name>::DEFINITION.place(stringify!($field)) };
                    composite!(@seen self $type, place [$($presence)*])
                }
            )*
        }

        impl<$life> $crate::wire::Decode<$life> for $name {
            fn decode(decoder: &mut $crate::wire::Decoder<$life>) -> Option<Self> {
                $crate::wire::Fields::of(decoder, $code)
            }
        }

        impl<$life> $crate::wire::composite::FromFields<$life> for $name {
            #[inline]
            #[allow(unused_variables, unused_imports)]
            fn from_fields(fields: &mut $crate::wire::Fields<$life>) -> Self {
                use $crate::wire::Composite as _;
                Self { $( $field: composite!(@value fields $type, $field [$($presence)*]), )* }
            }
        }
    };
}

/// Restricted types with named choices (AMQP 1.0 §2.8.1–§2.8.3).
macro_rules! choice {
    ($( $(#[$meta:meta])* $name:ident: $base:ty { $( $(#[$choice_meta:meta])* $choice:ident = $value:literal, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum $name { $( $(#[$choice_meta])* $choice, )* }

        impl $crate::wire::Encode for $name {
            #[inline]
            fn encode(&self, sink: &mut $crate::wire::Sink<'_>) {
                let value: $base = match self { $( Self::$choice => $value, )* };
                value.encode(sink);
            }
        }

        impl<'a> $crate::wire::Decode<'a> for $name {
            #[inline]
            fn decode(decoder: &mut $crate::wire::Decoder<'a>) -> Option<Self> {
                let value: $base = decoder.read()?;
                $( if value == $value { return Some(Self::$choice); } )*
                decoder.invalid($crate::wire::Expected::$name)
            }
        }
    )* };
}
