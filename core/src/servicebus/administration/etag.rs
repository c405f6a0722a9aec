//! Versions of entities.

use alloc::string::String;
use core::fmt;

/// The version of an entity's settings, as the service names it. An update that brings it along is refused where the
/// settings have been changed in between.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// A version as the header `ETag` has it, with or without quotes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as the service wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
