//! Errors sent by a peer (AMQP 1.0 §2.8.14).

use super::{Map, Symbol};

composite! {
    /// Details of an error (AMQP 1.0 §2.8.14). All three fields are always written: the Python SDK hangs on a shorter
    /// list (docs/evidence/wire-protocol.md §0 fact 13).
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
    pub const fn new(condition: &'a str) -> Self {
        Self { condition: Symbol::new(condition), description: None, info: None }
    }

    /// The same with text for people.
    pub const fn with_description(self, description: &'a str) -> Self {
        Self { description: Some(description), ..self }
    }
}
