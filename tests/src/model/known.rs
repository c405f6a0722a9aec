//! Known differences: the model states the right behaviour, and the broker's is tolerated until it is mended.

/// The id of a row of the field reports.
pub type Row = &'static str;

/// A difference.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The row.
    pub row: Row,
    /// The tolerated behaviour of the broker.
    pub tolerated: &'static str,
}

/// The differences. Each has a sequence of steps in `tests/virtual_time/model/known.rs` that shows it: an entry is red
/// as soon as the broker is mended.
pub const KNOWN: &[Known] = &[
    Known { row: "F11", tolerated: "a failed transfer goes to the transfer dead-letter queue" },
    Known { row: "F12", tolerated: "a dead letter whose target is disabled goes to the transfer dead-letter queue" },
    Known { row: "F13", tolerated: "a transfer to an entity with status SendDisabled fails" },
    Known { row: "F15", tolerated: "dead-lettering a dead letter is refused with amqp:internal-error" },
    Known { row: "F36", tolerated: "a transaction stays open beyond two minutes, until it is discharged" },
    Known { row: "F37", tolerated: "dead-lettering a dead letter in a transaction is accepted and ignored" },
    Known { row: "F41", tolerated: "a transaction may use several entities" },
    Known { row: "F48", tolerated: "a transaction beyond two minutes takes sends and settlements" },
    Known { row: "F67", tolerated: "session ids are case-sensitive" },
    Known { row: "F70", tolerated: "a lock that is lost in a session that is held is a session-lock-lost" },
    Known { row: "F71", tolerated: "session state set in a transaction is set at once" },
];
