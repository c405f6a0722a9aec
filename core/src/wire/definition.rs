//! Definitions of composite types (AMQP 1.0 §1.4).

/// How a field behaves when it is absent.
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::Open;
/// use servicebus_core::wire::{Composite, Presence};
///
/// let max_frame_size = Open::DEFINITION.fields[2];
/// let absent = match max_frame_size.presence {
///     Presence::Mandatory => "an error",
///     Presence::Optional => "none",
///     Presence::Default(value) => value,
/// };
/// assert_eq!((max_frame_size.name, absent), ("max_frame_size", "4294967295"));
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_core::wire::Composite;
/// use servicebus_core::wire::performative::Begin;
///
/// let field = Begin::DEFINITION.fields[0];
/// assert_eq!((field.name, field.kind), ("remote_channel", "u16"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The Rust name; the specification's has hyphens for underscores.
    pub name: &'static str,
    /// The Rust type.
    pub kind: &'static str,
    /// What absence means.
    pub presence: Presence,
}

/// The definition of a composite type; tests compare it with the specification's own XML.
///
/// # Examples
/// ```
/// use servicebus_core::wire::Composite;
/// use servicebus_core::wire::performative::Open;
///
/// let open = Open::DEFINITION;
/// assert_eq!((open.name, open.code, open.fields.len()), ("amqp:open:list", 0x10, 10));
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_core::wire::Composite;
/// use servicebus_core::wire::performative::{Begin, End};
///
/// fn descriptor<T: Composite>(_: &T) -> &'static str {
///     T::DEFINITION.name
/// }
///
/// assert_eq!(descriptor(&End { error: None }), "amqp:end:list");
/// ```
pub trait Composite {
    /// Its definition.
    const DEFINITION: Definition;
}
