//! Described lists with named fields: the shape of every performative, section and outcome (AMQP 1.0 §1.4).

use super::messaging::Received;
use super::performative::{Attach, Begin, Detach, Disposition, ErrorCondition, Flow, Open, Role, Transfer};
use super::sasl::{SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse};
use super::transaction::{Declared, Discharge, TransactionalState};
use super::{Decode, DecodeError, Decoder, Multiple, Sink, Symbol};

/// How a field behaves when it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Absence is an error.
    Mandatory,
    /// Absence is `None`.
    Optional,
    /// Absence means this value, in the specification's spelling.
    Default(&'static str),
}

/// A field of a composite type.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The Rust name; the specification's has hyphens for underscores.
    pub name: &'static str,
    /// The Rust type.
    pub kind: &'static str,
    /// What absence means.
    pub presence: Presence,
}

/// What the specification says of a composite type; tests hold it against the specification's own XML.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The symbolic descriptor.
    pub name: &'static str,
    /// The numeric descriptor.
    pub code: u64,
    /// The fields in order.
    pub fields: &'static [Field],
}

impl Definition {
    /// The place of the field with this name.
    ///
    /// # Panics
    /// There is none. Names are written down, so that is found when it is compiled.
    pub(crate) const fn place(&self, name: &str) -> u8 {
        let mut place = 0;
        while place < self.fields.len() {
            if same(self.fields[place].name.as_bytes(), name.as_bytes()) {
                return place as u8;
            }
            place += 1;
        }
        panic!("no such field")
    }
}

/// Whether two names are the same.
const fn same(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([a, one @ ..], [b, other @ ..]) => *a == *b && same(one, other),
        _ => false,
    }
}

/// A type that is a described list.
pub trait Composite {
    /// Its definition.
    const DEFINITION: Definition;
}

/// The descriptors that have a name.
const NAMES: &[(&str, u8)] = &[
    ("amqp:open:list", 0x10),
    ("amqp:begin:list", 0x11),
    ("amqp:attach:list", 0x12),
    ("amqp:flow:list", 0x13),
    ("amqp:transfer:list", 0x14),
    ("amqp:disposition:list", 0x15),
    ("amqp:detach:list", 0x16),
    ("amqp:end:list", 0x17),
    ("amqp:close:list", 0x18),
    ("amqp:error:list", 0x1d),
    ("amqp:received:list", 0x23),
    ("amqp:accepted:list", 0x24),
    ("amqp:rejected:list", 0x25),
    ("amqp:released:list", 0x26),
    ("amqp:modified:list", 0x27),
    ("amqp:source:list", 0x28),
    ("amqp:target:list", 0x29),
    ("amqp:delete-on-close:list", 0x2b),
    ("amqp:delete-on-no-links:list", 0x2c),
    ("amqp:delete-on-no-messages:list", 0x2d),
    ("amqp:delete-on-no-links-or-messages:list", 0x2e),
    ("amqp:coordinator:list", 0x30),
    ("amqp:declare:list", 0x31),
    ("amqp:discharge:list", 0x32),
    ("amqp:declared:list", 0x33),
    ("amqp:transactional-state:list", 0x34),
    ("amqp:sasl-mechanisms:list", 0x40),
    ("amqp:sasl-init:list", 0x41),
    ("amqp:sasl-challenge:list", 0x42),
    ("amqp:sasl-response:list", 0x43),
    ("amqp:sasl-outcome:list", 0x44),
    ("amqp:header:list", 0x70),
    ("amqp:delivery-annotations:map", 0x71),
    ("amqp:message-annotations:map", 0x72),
    ("amqp:properties:list", 0x73),
    ("amqp:application-properties:map", 0x74),
    ("amqp:data:binary", 0x75),
    ("amqp:amqp-sequence:list", 0x76),
    ("amqp:amqp-value:*", 0x77),
    ("amqp:footer:map", 0x78),
];

/// The number of a symbolic descriptor; zero for one that is not known.
pub(super) fn code_of(name: Symbol<'_>) -> u8 {
    NAMES.iter().find(|(known, _)| *known == name.as_str()).map_or(0, |(_, code)| *code)
}

/// The name of the type with this descriptor.
pub(super) fn name_of(code: u8) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == code).map_or("described value", |(name, _)| name)
}

/// The types with fields that must be there.
const DEMANDING: [Definition; 17] = [
    Open::DEFINITION,
    Begin::DEFINITION,
    Attach::DEFINITION,
    Flow::DEFINITION,
    Transfer::DEFINITION,
    Disposition::DEFINITION,
    Detach::DEFINITION,
    ErrorCondition::DEFINITION,
    Received::DEFINITION,
    Declared::DEFINITION,
    Discharge::DEFINITION,
    TransactionalState::DEFINITION,
    SaslMechanisms::DEFINITION,
    SaslInit::DEFINITION,
    SaslChallenge::DEFINITION,
    SaslResponse::DEFINITION,
    SaslOutcome::DEFINITION,
];

/// The name of a field that must be there.
pub(super) fn field_of(code: u8, index: u8) -> &'static str {
    let definition = DEMANDING.iter().find(|definition| definition.code == u64::from(code));
    definition.and_then(|definition| definition.fields.get(usize::from(index))).map_or("?", |field| field.name)
}

/// The fields of a described list, taken in order. What is wrong with one is kept until [`Fields::check`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
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
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn present(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.decoder.present()
    }

    /// The next field; `None` when it is null, beyond the list's end or malformed.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    #[expect(clippy::should_implement_trait, reason = "each call has a type of its own")]
    pub fn next<T: Decode<'a>>(&mut self) -> Option<T> {
        if self.present() { T::decode(&mut self.decoder) } else { None }
    }

    /// The next field, which must be there; `place` is where it stands.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
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
    pub fn check(&self) -> Result<(), DecodeError> {
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
    Role = Role::Sender;
    SaslCode = SaslCode::Sys;
}

/// A composite type, made of its fields.
pub(crate) trait FromFields<'a>: Sized {
    /// Takes the fields; the descriptor has been looked at. What comes of it counts only if the decoder has no error.
    fn from_fields(fields: &mut Fields<'a>) -> Self;
}

/// Writes `0x00` and a numeric descriptor, always as `smallulong`: some peers read performatives at fixed offsets
/// (docs/evidence/wire-protocol.md §0 fact 1).
#[cfg_attr(feature = "alloc", inline(always))]
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn put_descriptor(sink: &mut Sink<'_>, code: u8) {
    sink.put(&[0x00, 0x53, code]);
}

/// Begins a described list and returns the mark for [`Sink::end`].
#[cfg_attr(feature = "alloc", inline(always))]
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn begin(sink: &mut Sink<'_>, code: u8) -> usize {
    put_descriptor(sink, code);
    sink.begin()
}

/// Declares composite types: the struct, its definition, and both directions of its codec. Every field is always
/// written, absent ones as null, because some peers index fields by number (docs/evidence/invariants.md §2). `Debug` is
/// derived by each declaration, so that those with secrets can leave them out.
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
            #[cfg_attr(feature = "alloc", inline)]
            #[cfg_attr(not(feature = "alloc"), inline(never))]
            #[allow(unused_variables, unused_imports)]
            fn from_fields(fields: &mut $crate::wire::Fields<$life>) -> Self {
                use $crate::wire::Composite as _;
                Self { $( $field: composite!(@value fields $type, $field [$($presence)*]), )* }
            }
        }
    };
}
