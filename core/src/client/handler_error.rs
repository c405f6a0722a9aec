//! What a handler returns when it did not work.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::error::Error;
use core::fmt;

/// The service's limit for the reason and for the description of a dead letter, in characters.
const LONGEST: usize = 4_096;

/// Why a handler failed. `?` makes it of every error and of a [`DeadLetter`]; [`HandlerError::new`] of a text. A
/// `Box<dyn Error + Send + Sync>` and an `anyhow::Error` are no errors themselves: `.map_err(HandlerError::new)?`.
///
/// ```
/// use servicebus_core::client::HandlerError;
/// use std::error::Error;
///
/// fn work() -> Result<(), Box<dyn Error + Send + Sync>> {
///     Err("out of stock".into())
/// }
///
/// fn handle() -> Result<(), HandlerError> {
///     work().map_err(HandlerError::new)?;
///     Ok(())
/// }
/// assert_eq!(handle().unwrap_err().to_string(), "out of stock");
/// ```
///
/// The processor abandons the message of a handler that failed, so that it comes again; with a [`DeadLetter`] it moves the
/// message to the dead-letter queue. A message that the handler settled itself is left as it is.
///
/// **An abandoned message comes again at once**, until the entity's maximum delivery count moves it to the dead-letter
/// queue: all its deliveries can be over in a second. There are two ways to wait before the next one:
///
/// - The handler sleeps before it returns the error, and ends early when
///   [`ProcessorMessage::stopping`](super::ProcessorMessage::stopping) does. The message stays locked meanwhile, for as long
///   as [`max_auto_lock_renewal`](super::ProcessorOptions::max_auto_lock_renewal) allows, and the handler counts among
///   `max_concurrent_calls`.
/// - The handler schedules a copy and returns `Ok`, which completes the original:
///   `sender.schedule(&message.to_message(), sender.now() + pause)`. The copy's delivery count begins at 0, so a property of
///   the copy has to count the tries; duplicate detection drops a copy that keeps the message id. A crash between the two
///   leaves both messages, unless they are in one [transaction](super::ProcessorMessage::complete_in).
///
/// It is no [`Error`] itself: then it could not be made of every error.
pub struct HandlerError(Kind);

enum Kind {
    Failed(Box<dyn Error + Send + Sync>),
    DeadLetter(DeadLetter),
}

impl HandlerError {
    /// A failure with this text or error; the message is abandoned.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::HandlerError;
    /// let error = HandlerError::new("out of stock");
    /// assert_eq!(error.to_string(), "out of stock");
    /// ```
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Kind::Failed(error.into()))
    }

    /// The error that the handler returned; `None` where it returned a [`DeadLetter`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::{DeadLetter, HandlerError};
    /// let error = HandlerError::from("x".parse::<u32>().unwrap_err());
    /// assert!(error.error().is_some_and(|error| error.is::<std::num::ParseIntError>()));
    ///
    /// let dead = HandlerError::from(DeadLetter::new("not a number", "x"));
    /// assert!(dead.error().is_none());
    /// ```
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0 {
            Kind::Failed(error) => Some(&**error),
            Kind::DeadLetter(_) => None,
        }
    }

    /// With what the message is dead-lettered; `None` where it is abandoned.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::{DeadLetter, HandlerError};
    /// let dead = HandlerError::from(DeadLetter::new("not a number", "x"));
    /// assert_eq!(dead.dead_letter().map(DeadLetter::reason), Some("not a number"));
    /// assert!(HandlerError::new("out of stock").dead_letter().is_none());
    /// ```
    pub fn dead_letter(&self) -> Option<&DeadLetter> {
        match &self.0 {
            Kind::Failed(_) => None,
            Kind::DeadLetter(dead_letter) => Some(dead_letter),
        }
    }
}

impl<T: Error + Send + Sync + 'static> From<T> for HandlerError {
    fn from(error: T) -> Self {
        Self(Kind::Failed(Box::new(error)))
    }
}

impl From<DeadLetter> for HandlerError {
    fn from(dead_letter: DeadLetter) -> Self {
        Self(Kind::DeadLetter(dead_letter))
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(error) => error.fmt(f),
            Kind::DeadLetter(dead_letter) => dead_letter.fmt(f),
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(error) => error.fmt(f),
            Kind::DeadLetter(dead_letter) => dead_letter.fmt(f),
        }
    }
}

/// Returned by a handler, moves the message to the dead-letter queue instead of having it again.
///
/// ```
/// use servicebus_core::client::{DeadLetter, HandlerError};
///
/// fn number(text: &str) -> Result<u32, HandlerError> {
///     Ok(text.parse().map_err(|error| DeadLetter::new("not a number", error))?)
/// }
///
/// let error = number("x").unwrap_err();
/// assert_eq!(error.dead_letter().unwrap().reason(), "not a number");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    reason: Cow<'static, str>,
    description: String,
}

impl DeadLetter {
    /// A short reason, to sort dead letters by, and a description, such as the error. Each is cut at 4 096 characters, the
    /// service's limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::DeadLetter;
    /// let dead = DeadLetter::new("too large", format_args!("{} pieces", 1_000));
    /// assert_eq!(dead.to_string(), "dead-lettered: too large: 1000 pieces");
    /// ```
    pub fn new(reason: impl Into<Cow<'static, str>>, description: impl fmt::Display) -> Self {
        let mut reason = reason.into();
        if let Some((end, _)) = reason.char_indices().nth(LONGEST) {
            reason.to_mut().truncate(end);
        }
        let mut description = description.to_string();
        if let Some((end, _)) = description.char_indices().nth(LONGEST) {
            description.truncate(end);
        }
        Self { reason, description }
    }

    /// The reason.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::DeadLetter;
    /// assert_eq!(DeadLetter::new("sold out", "since June").reason(), "sold out");
    /// ```
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The description.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::DeadLetter;
    /// assert_eq!(DeadLetter::new("sold out", "since June").description(), "since June");
    /// ```
    pub fn description(&self) -> &str {
        &self.description
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, description } = self;
        write!(f, "dead-lettered: {reason}")?;
        if description.is_empty() { Ok(()) } else { write!(f, ": {description}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_dead_letters_convert_by_question_mark() {
        fn failing(dead: bool) -> Result<(), HandlerError> {
            if dead {
                Err(DeadLetter::new("poison", "seen before"))?;
            }
            "x".parse::<u8>()?;
            Ok(())
        }
        let error = failing(false).unwrap_err();
        assert!(error.error().is_some_and(<dyn Error + Send + Sync>::is::<core::num::ParseIntError>));
        assert!(error.dead_letter().is_none());
        let error = failing(true).unwrap_err();
        assert_eq!(error.to_string(), "dead-lettered: poison: seen before");
        assert!(error.error().is_none());
        assert_eq!(HandlerError::new("out of stock").to_string(), "out of stock");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(LONGEST + 1);
        let dead_letter = DeadLetter::new(long.clone(), &long);
        assert_eq!(dead_letter.reason().chars().count(), LONGEST);
        assert_eq!(dead_letter.description().chars().count(), LONGEST);
        let whole = "é".repeat(LONGEST);
        assert_eq!(DeadLetter::new(whole.clone(), "").reason(), whole);
    }
}
