//! Definitions of composite types (AMQP 1.0 §1.4).

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

/// The definition of a composite type; tests compare it with the specification's own XML.
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
