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
pub const KNOWN: &[Known] = &[];
