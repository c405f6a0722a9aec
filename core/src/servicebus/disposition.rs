//! What the application decides about a locked message.

use super::argument::{Argument, is_longer};
use super::key::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use super::property::is_too_long;
use crate::engine::OutcomeKind;
use crate::storage::Storage;
use crate::wire::messaging::{self, Modified, Rejected};
use crate::wire::performative::ErrorCondition;
use crate::wire::{Encode, Map, Sink, Symbol, Value};

/// Application properties and their new values.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// receiver.abandon_with(&order, &[("step", "payment".into()), ("tries", 1.into())]).await?;
/// assert_eq!(receiver.next().await?.property("step"), Some("payment".into()));
/// # Ok(())
/// # });
/// ```
pub type Properties<'a> = &'a [(&'a str, Value<'a>)];

/// What becomes of a locked message.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{DeadLetterOptions, Disposition};
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// let what = match order.text() {
///     Ok(_) => Disposition::Complete,
///     Err(_) => Disposition::DeadLetter(DeadLetterOptions::new().with_reason("not text")),
/// };
/// receiver.settle_by_token(order.lock_token().ok_or("no lock")?, what).await?;
/// # Ok(())
/// # });
/// ```
// docs/evidence/wire-protocol.md §4.3
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Disposition<'a> {
    /// It is done and goes.
    Complete,
    /// It is available again at once, with its delivery count raised.
    Abandon {
        /// Application properties to change.
        properties: Properties<'a>,
    },
    /// It is set aside; only its sequence number brings it back.
    Defer {
        /// Application properties to change.
        properties: Properties<'a>,
    },
    /// It moves to the dead-letter queue.
    DeadLetter(DeadLetterOptions<'a>),
}

/// Why a message is dead-lettered.
///
/// ```
/// use servicebus_core::servicebus::DeadLetterOptions;
///
/// let refused = DeadLetterOptions::new().with_reason("not an order").with_description("line 3: no amount");
/// assert_eq!(refused.reason, Some("not an order"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DeadLetterOptions<'a> {
    /// Kept as the application property `DeadLetterReason`.
    pub reason: Option<&'a str>,
    /// Kept as the application property `DeadLetterErrorDescription`.
    pub description: Option<&'a str>,
    /// Application properties to change.
    pub properties: Properties<'a>,
}

impl<'a> DeadLetterOptions<'a> {
    /// No reason, no description, no properties to change.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::DeadLetterOptions;
    /// let options = DeadLetterOptions::new();
    /// assert_eq!((options.reason, options.description), (None, None));
    /// ```
    pub const fn new() -> Self {
        Self { reason: None, description: None, properties: &[] }
    }

    /// Sets the reason, up to 4 096 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::DeadLetterOptions;
    /// # use servicebus_core::servicebus::Entity;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// receiver.dead_letter(&order, DeadLetterOptions::new().with_reason("sold out")).await?;
    ///
    /// let letters = client.receiver(Entity::queue("orders").dead_letter())?;
    /// assert_eq!(letters.next().await?.dead_letter_reason(), Some("sold out"));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub const fn with_reason(self, reason: &'a str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Sets the description, up to 4 096 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::DeadLetterOptions;
    /// let options = DeadLetterOptions::new().with_reason("not an order").with_description("line 3: no amount");
    /// assert_eq!(options.description, Some("line 3: no amount"));
    /// ```
    #[must_use]
    pub const fn with_description(self, description: &'a str) -> Self {
        Self { description: Some(description), ..self }
    }

    /// Sets the application properties to change.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::DeadLetterOptions;
    /// let checked = [("checked_by", "intake".into())];
    /// let options = DeadLetterOptions::new().with_properties(&checked);
    /// assert_eq!(options.properties[0].0, "checked_by");
    /// ```
    #[must_use]
    pub const fn with_properties(self, properties: Properties<'a>) -> Self {
        Self { properties, ..self }
    }
}

/// The longest reason and description of a dead letter, in characters.
// docs/evidence/field-reports.md C6
pub(crate) const MAX_DEAD_LETTER_TEXT: usize = 4_096;

impl Disposition<'_> {
    /// Checks what the service would refuse: of the properties, where the storage checks.
    ///
    /// # Errors
    /// The text that is too long.
    pub(crate) fn validate<S: Storage>(&self) -> Result<(), Argument> {
        if S::CHECKS && self.properties().iter().any(|(name, value)| is_too_long(name, value)) {
            return Err(Argument::ApplicationProperty);
        }
        let Self::DeadLetter(DeadLetterOptions { reason, description, .. }) = self else { return Ok(()) };
        let texts = [(reason, Argument::DeadLetterReason), (description, Argument::DeadLetterDescription)];
        for (text, argument) in texts {
            if text.is_some_and(|text| is_longer(text, MAX_DEAD_LETTER_TEXT)) {
                return Err(argument);
            }
        }
        Ok(())
    }
}

/// The entries of a disposition's map.
pub(crate) struct Entries<'a>(pub(crate) Disposition<'a>);

impl Entries<'_> {
    pub(crate) fn count(&self) -> usize {
        let texts = match self.0 {
            Disposition::DeadLetter(DeadLetterOptions { reason, description, .. }) => {
                usize::from(reason.is_some()) + usize::from(description.is_some())
            }
            _ => 0,
        };
        texts + self.0.properties().len()
    }
}

impl Encode for Entries<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let mut put = |key: &str, value: &Value<'_>| {
            Symbol::new(key).encode(sink);
            value.encode(sink);
        };
        if let Disposition::DeadLetter(DeadLetterOptions { reason, description, .. }) = self.0 {
            for (key, text) in [(DEAD_LETTER_REASON, reason), (DEAD_LETTER_ERROR_DESCRIPTION, description)] {
                if let Some(text) = text {
                    put(key, &Value::String(text));
                }
            }
        }
        for (key, value) in self.0.properties() {
            put(key, value);
        }
    }
}

/// Its name.
impl core::fmt::Display for Disposition<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl<'a> Disposition<'a> {
    /// The application properties to change.
    const fn properties(&self) -> Properties<'a> {
        match *self {
            Self::Complete => &[],
            Self::Abandon { properties } | Self::Defer { properties } => properties,
            Self::DeadLetter(DeadLetterOptions { properties, .. }) => properties,
        }
    }

    /// What becomes of the message, in a word.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{DeadLetterOptions, Disposition};
    /// assert_eq!(Disposition::DeadLetter(DeadLetterOptions::new()).name(), "dead-letter");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Abandon { .. } => "abandon",
            Self::Defer { .. } => "defer",
            Self::DeadLetter(_) => "dead-letter",
        }
    }

    /// How the service confirms it.
    pub(crate) const fn outcome(&self) -> OutcomeKind {
        match self {
            Self::Complete => OutcomeKind::Accepted,
            Self::Abandon { .. } | Self::Defer { .. } => OutcomeKind::Modified,
            Self::DeadLetter(_) => OutcomeKind::Rejected,
        }
    }

    /// Its delivery state; `details` are its entries.
    pub(crate) fn state<'s>(&self, details: Map<'s>) -> messaging::Outcome<'s> {
        let modified = |undeliverable_here| {
            messaging::Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: Some(undeliverable_here),
                message_annotations: (!details.is_empty()).then_some(details),
            })
        };
        match self {
            Self::Complete => messaging::Outcome::Accepted,
            Self::Abandon { .. } => modified(false),
            Self::Defer { .. } => modified(true),
            Self::DeadLetter(_) => messaging::Outcome::Rejected(Rejected {
                error: Some(ErrorCondition {
                    condition: Symbol::new("com.microsoft:dead-letter"),
                    description: None,
                    info: Some(details),
                }),
            }),
        }
    }
}
