//! Described lists with named fields: the shape of every performative, section and outcome (AMQP 1.0 §1.4).

use super::{Decode, DecodeError, Full, Reader, Sink};

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

/// A type that is a described list.
pub trait Composite {
    /// Its definition.
    const DEFINITION: Definition;
}

/// The fields of a described list, taken in order. An error is kept until [`Fields::finish`], and ends the list: one
/// check for all fields is a good deal less code than one for each.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    items: Reader<'a>,
    left: u32,
    error: Option<DecodeError>,
}

impl<'a> Fields<'a> {
    /// Takes a described list whose descriptor is that of `definition`, numeric or symbolic.
    pub fn of(reader: &mut Reader<'a>, definition: &Definition) -> Result<Self, DecodeError> {
        let code = descriptor(reader, definition.name, definition.code)?;
        if code != definition.code {
            return Err(DecodeError::UnexpectedDescriptor { expected: definition.name, found: code });
        }
        Self::list(reader)
    }

    /// Takes a list whose descriptor has been taken.
    pub fn list(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0x45 => Ok(Self { items: Reader::new(&[]), left: 0, error: None }),
            code @ (0xc0 | 0xd0) => {
                let list = reader.list_payload(code)?;
                Ok(Self { items: Reader::new(list.items), left: list.count, error: None })
            }
            found => Err(DecodeError::UnexpectedType { expected: "list", found }),
        }
    }

    /// The next field; `None` when it is null, beyond the list's end or malformed.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    #[expect(clippy::should_implement_trait, reason = "each call has a type of its own")]
    pub fn next<T: Decode<'a>>(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let mut ahead = self.items;
        match ahead.byte() {
            Ok(0x40) => {
                self.items = ahead;
                None
            }
            Ok(_) => match T::decode(&mut self.items) {
                Ok(value) => Some(value),
                Err(error) => self.fail(error),
            },
            Err(error) => self.fail(error),
        }
    }

    /// The error of a field that must be there and is not: that of an earlier field, if there was one.
    #[cold]
    pub fn missing(&self, field: &'static str) -> DecodeError {
        self.error.unwrap_or(DecodeError::MissingField(field))
    }

    /// The error of the fields taken so far.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.error.map_or(Ok(()), Err)
    }

    #[cold]
    fn fail<T>(&mut self, error: DecodeError) -> Option<T> {
        self.error = Some(error);
        self.left = 0;
        None
    }
}

/// Takes `0x00` and a descriptor. A symbolic one reads as `code` when it is `name`, else as zero.
#[inline]
pub(super) fn descriptor(reader: &mut Reader<'_>, name: &'static str, code: u64) -> Result<u64, DecodeError> {
    match reader.byte()? {
        0 => {}
        found => return Err(DecodeError::UnexpectedType { expected: name, found }),
    }
    match reader.peek()? {
        0x53 | 0x80 | 0x44 => reader.read(),
        0xa3 | 0xb3 => {
            let symbol: super::Symbol<'_> = reader.read()?;
            Ok(if symbol.as_str() == name { code } else { 0 })
        }
        found => Err(DecodeError::UnexpectedType { expected: "descriptor", found }),
    }
}

/// Writes `0x00` and a numeric descriptor. Codes below 256 are always `smallulong`: some peers read performatives at
/// fixed offsets (wire-protocol.md §0 fact 1).
#[cfg_attr(feature = "alloc", inline)]
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn put_descriptor<W: Sink>(sink: &mut W, code: u64) -> Result<(), Full> {
    match u8::try_from(code) {
        Ok(small) => sink.put(&[0x00, 0x53, small]),
        Err(_) => {
            sink.put(&[0x00, 0x80])?;
            sink.put(&code.to_be_bytes())
        }
    }
}

/// Declares composite types: the struct, its definition, and both directions of its codec. Every field is always
/// written, absent ones as null, because some peers index fields by number (invariants.md §2).
macro_rules! composite {
    ($( $(#[$meta:meta])* $name:ident $(<$life:lifetime>)? = $code:literal $symbol:literal {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty [$($presence:tt)*], )*
    } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
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
            #[inline]
            fn encode<W: $crate::wire::Sink>(&self, sink: &mut W) -> Result<(), $crate::wire::Full> {
                $crate::wire::composite::put_descriptor(sink, $code)?;
                #[allow(unused_mut)]
                let mut count = 0u32;
                let mark = sink.begin()?;
                $( self.$field.encode(sink)?; count += 1; let _ = stringify!($field); )*
                sink.end(mark, $crate::wire::Compound::List, count)
            }
        }

        composite!(@decode $name $(<$life>)? $symbol { $( $field: $type [$($presence)*], )* });
    )* };

    (@type $type:ty [mandatory]) => { $type };
    (@type $type:ty [optional]) => { Option<$type> };
    (@type $type:ty [default $text:literal = $value:expr]) => { $type };
    (@presence [mandatory]) => { $crate::wire::Presence::Mandatory };
    (@presence [optional]) => { $crate::wire::Presence::Optional };
    (@presence [default $text:literal = $value:expr]) => { $crate::wire::Presence::Default($text) };
    (@value $fields:ident $type:ty, $field:ident [mandatory]) => {
        match $fields.next::<$type>() {
            Some(value) => value,
            None => return Err($fields.missing(stringify!($field))),
        }
    };
    (@value $fields:ident $type:ty, $field:ident [optional]) => { $fields.next::<$type>() };
    (@value $fields:ident $type:ty, $field:ident [default $text:literal = $value:expr]) => {
        $fields.next::<$type>().unwrap_or($value)
    };

    (@decode $name:ident <$life:lifetime> $symbol:literal { $( $field:ident : $type:ty [$($presence:tt)*], )* }) => {
        impl<$life> $crate::wire::Decode<$life> for $name<$life> {
            fn decode(reader: &mut $crate::wire::Reader<$life>) -> Result<Self, $crate::wire::DecodeError> {
                let fields = $crate::wire::Fields::of(reader, &<Self as $crate::wire::Composite>::DEFINITION)?;
                Self::from_fields(fields)
            }
        }

        impl<$life> $name<$life> {
            #[allow(unused_mut, unused_variables)]
            #[inline]
            pub(crate) fn from_fields(
                mut fields: $crate::wire::Fields<$life>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let composite = Self { $( $field: composite!(@value fields $type, $field [$($presence)*]), )* };
                fields.finish()?;
                Ok(composite)
            }
        }
    };
    (@decode $name:ident $symbol:literal { $( $field:ident : $type:ty [$($presence:tt)*], )* }) => {
        impl<'a> $crate::wire::Decode<'a> for $name {
            fn decode(reader: &mut $crate::wire::Reader<'a>) -> Result<Self, $crate::wire::DecodeError> {
                let fields = $crate::wire::Fields::of(reader, &<Self as $crate::wire::Composite>::DEFINITION)?;
                Self::from_fields(fields)
            }
        }

        impl $name {
            #[allow(unused_mut, unused_variables)]
            #[inline]
            pub(crate) fn from_fields(
                mut fields: $crate::wire::Fields<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let composite = Self { $( $field: composite!(@value fields $type, $field [$($presence)*]), )* };
                fields.finish()?;
                Ok(composite)
            }
        }
    };
}
