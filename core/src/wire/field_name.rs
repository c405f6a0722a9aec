//! The names of fields that must be there.

use super::definition::{Composite, Definition};
use super::error::FieldName;
use super::error_condition::ErrorCondition;
use super::outcome::Received;
use super::performative::{Attach, Begin, Detach, Disposition, Flow, Open, Transfer};
use super::sasl::{SaslChallenge, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse};
use super::transaction::{Declared, Discharge, TransactionalState};
use core::fmt;

/// The types with fields that must be there.
const DEMANDING: [Definition; 17] = [
    Open::DEFINITION,
    Begin::DEFINITION,
    Attach::DEFINITION,
    Flow::DEFINITION,
    Transfer::DEFINITION,
    Disposition::DEFINITION,
    Detach::DEFINITION,
    ErrorCondition::DEFINITION,
    Received::DEFINITION,
    Declared::DEFINITION,
    Discharge::DEFINITION,
    TransactionalState::DEFINITION,
    SaslMechanisms::DEFINITION,
    SaslInit::DEFINITION,
    SaslChallenge::DEFINITION,
    SaslResponse::DEFINITION,
    SaslOutcome::DEFINITION,
];

impl FieldName {
    /// The field's name, with underscores for the specification's hyphens.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Composite, FieldName, performative::Begin};
    /// assert_eq!(FieldName::of(&Begin::DEFINITION, 1).as_str(), "next_outgoing_id");
    /// ```
    pub fn as_str(self) -> &'static str {
        let definition = DEMANDING.iter().find(|definition| definition.code == u64::from(self.composite));
        let field = definition.and_then(|definition| definition.fields.get(usize::from(self.index)));
        field.map_or("?", |field| field.name)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
