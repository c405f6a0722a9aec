//! Tokens that a credential gives.
// docs/evidence/wire-protocol.md §2.2

use crate::storage::Payload;
use crate::time::Timestamp;
use core::fmt;

/// A token from outside of the connection string, and its end.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::HeapToken;
/// use servicebus_core::servicebus::Token;
/// use servicebus_core::time::Timestamp;
///
/// /// A token of Entra ID, as its endpoint answers.
/// fn read(access_token: String, expires_on: i64) -> HeapToken {
///     Token::jwt(access_token, Timestamp::from_secs(expires_on))
/// }
/// # assert_eq!(read("eyJ0eXAiOi".into(), 1_800_000_000).expires_at(), Timestamp::from_secs(1_800_000_000));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Token<P> {
    /// A JSON web token, such as Entra ID's: for every entity of the namespace that its principal may use.
    Jwt {
        /// The token.
        text: P,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// A shared access signature for the audience that was asked for, `SharedAccessSignature sr=…`.
    Sas {
        /// The signature with its fields.
        text: P,
        /// When it ends, as in its `se`.
        expires_at: Timestamp,
    },
}

impl<P: Payload> Token<P> {
    /// The same without anything of the application's that would be dropped with it.
    pub(crate) fn detached(self) -> Self {
        match self {
            Self::Jwt { text, expires_at } => Self::Jwt { text: text.detached(), expires_at },
            Self::Sas { text, expires_at } => Self::Sas { text: text.detached(), expires_at },
        }
    }
}

impl<P> Token<P> {
    /// A JSON web token and its end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::HeapToken;
    /// # use servicebus_core::time::Timestamp;
    /// let token = HeapToken::jwt("eyJ0eXAiOi".to_owned(), Timestamp::from_secs(1_800_000_000));
    /// assert!(matches!(token, HeapToken::Jwt { .. }));
    /// ```
    pub fn jwt(text: impl Into<P>, expires_at: Timestamp) -> Self {
        Self::Jwt { text: text.into(), expires_at }
    }

    /// A shared access signature and its end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::HeapToken;
    /// # use servicebus_core::servicebus::sas;
    /// # use servicebus_core::time::Timestamp;
    /// let end = Timestamp::from_secs(1_800_000_000);
    /// let mut text = String::new();
    /// sas::sign("sb://contoso.servicebus.windows.net/orders", "Orders", "c2VjcmV0", end, &mut text)?;
    /// let token = HeapToken::sas(text, end);
    /// # let _ = token;
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn sas(text: impl Into<P>, expires_at: Timestamp) -> Self {
        Self::Sas { text: text.into(), expires_at }
    }

    /// When it ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::HeapToken;
    /// # use servicebus_core::time::Timestamp;
    /// let token = HeapToken::jwt("eyJ0eXAiOi".to_owned(), Timestamp::from_secs(1_800_000_000));
    /// assert_eq!(token.expires_at(), Timestamp::from_secs(1_800_000_000));
    /// ```
    pub fn expires_at(&self) -> Timestamp {
        match self {
            Self::Jwt { expires_at, .. } | Self::Sas { expires_at, .. } => *expires_at,
        }
    }
}

impl<P> fmt::Debug for Token<P> {
    /// Without its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Jwt { .. } => "Jwt",
            Self::Sas { .. } => "Sas",
        };
        f.debug_struct(name).field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}
