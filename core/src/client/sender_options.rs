//! How a sender behaves.

use crate::storage::Storage;

/// How a sender behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SenderOptions<S: Storage> {
    pub(super) identifier: Option<S::Literal>,
}

impl<S: Storage> Default for SenderOptions<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Storage> SenderOptions<S> {
    /// The defaults: no identifier.
    pub const fn new() -> Self {
        Self { identifier: None }
    }

    /// Names the sender in the service's logs and messages, with up to 128 characters.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<S::Literal>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }
}
