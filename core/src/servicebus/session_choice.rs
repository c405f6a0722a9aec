//! Which session a receiver asks for.

use super::lock_token::LockToken;
use crate::storage::Storage;
use core::fmt;

/// Which session a receiver is to take; once it is granted, which it has.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::SessionChoice;
/// use servicebus_core::storage::Heap;
///
/// fn describe(choice: &SessionChoice<Heap>) -> String {
///     match choice {
///         SessionChoice::Named(id) => format!("the session {id}"),
///         SessionChoice::NextAvailable => "any session".into(),
///         SessionChoice::NonExclusive { .. } => "a session that others may take over".into(),
///     }
/// }
/// assert_eq!(describe(&SessionChoice::Named("contoso".into())), "the session contoso");
/// ```
#[derive(Clone)]
pub enum SessionChoice<S: Storage> {
    /// The one with this id.
    Named(S::Text),
    /// Any that has messages and is not locked.
    NextAvailable,
    /// One whose lock another receiver can take over.
    // docs/evidence/pinned-behaviour.md SES42
    NonExclusive {
        /// Its id; `None` for any that has messages and is not locked.
        id: Option<S::Text>,
        /// The token of the lock: takes the session over from the receiver that has it. Never logged.
        token: Option<LockToken>,
    },
}

impl<S: Storage> SessionChoice<S> {
    /// The session's id, where it is known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::SessionChoice;
    /// # use servicebus_core::storage::Heap;
    /// assert_eq!(SessionChoice::<Heap>::Named("contoso".into()).id().map(String::as_str), Some("contoso"));
    /// assert_eq!(SessionChoice::<Heap>::NextAvailable.id(), None);
    /// ```
    pub fn id(&self) -> Option<&S::Text> {
        match self {
            Self::Named(id) => Some(id),
            Self::NonExclusive { id, .. } => id.as_ref(),
            Self::NextAvailable => None,
        }
    }

    /// The token that takes the session over, where it is known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::SessionChoice;
    /// # use servicebus_core::storage::Heap;
    /// assert_eq!(SessionChoice::<Heap>::Named("contoso".into()).token(), None);
    /// ```
    pub fn token(&self) -> Option<LockToken> {
        match self {
            Self::NonExclusive { token, .. } => *token,
            Self::Named(_) | Self::NextAvailable => None,
        }
    }
}

impl<S: Storage> PartialEq for SessionChoice<S> {
    fn eq(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
            && self.id() == other.id()
            && self.token() == other.token()
    }
}

impl<S: Storage> fmt::Debug for SessionChoice<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(id) => f.debug_tuple("Named").field(id).finish(),
            Self::NextAvailable => f.write_str("NextAvailable"),
            Self::NonExclusive { id, .. } => f.debug_struct("NonExclusive").field("id", id).finish_non_exhaustive(),
        }
    }
}
