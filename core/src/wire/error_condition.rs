//! Errors sent by a peer (AMQP 1.0 §2.8.14).

use super::{Map, Symbol};

composite! {
    /// Details of an error (AMQP 1.0 §2.8.14). All three fields are always written: the Python SDK hangs on a shorter
    /// list.
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::engine::condition;
    /// use servicebus_core::wire::performative::ErrorCondition;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let error = ErrorCondition::new(condition::NOT_FOUND).with_description("no queue has this name");
    /// let bytes = to_vec(&error);
    ///
    /// let mut came: View<'_, ErrorCondition<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(came.condition().as_str(), "amqp:not-found");
    /// assert_eq!(came.description(), Some("no queue has this name"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    // docs/evidence/wire-protocol.md §0 fact 13
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    ErrorCondition<'a> = 0x1d "amqp:error:list" {
        /// What happened, as a symbol.
        condition: Symbol<'a> [mandatory],
        /// Text for people.
        description: &'a str [optional],
        /// Details.
        info: Map<'a> [optional],
    }
}

impl<'a> ErrorCondition<'a> {
    /// A condition without details.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::condition;
    /// # use servicebus_core::wire::performative::ErrorCondition;
    /// let error = ErrorCondition::new(condition::NOT_ALLOWED);
    /// assert_eq!((error.description, error.info), (None, None));
    /// ```
    pub const fn new(condition: &'a str) -> Self {
        Self { condition: Symbol::new(condition), description: None, info: None }
    }

    /// The same with text for people.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::condition;
    /// # use servicebus_core::wire::performative::ErrorCondition;
    /// let error = ErrorCondition::new(condition::NOT_ALLOWED).with_description("the queue is disabled");
    /// assert_eq!(error.description, Some("the queue is disabled"));
    /// ```
    pub const fn with_description(self, description: &'a str) -> Self {
        Self { description: Some(description), ..self }
    }
}
