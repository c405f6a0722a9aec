//! How large messages and batches may be.

/// What a sender may send at once, in bytes.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// let limits = client.sender("orders")?.size_limits().await?;
/// assert!(limits.batch <= limits.message);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeLimits {
    /// One message.
    pub message: u64,
    /// One batch.
    pub batch: u64,
}

/// The limits that senders assume when the link announces none.
// docs/evidence/wire-protocol.md §3.3
const DEFAULT_SIZE: u64 = 1 << 20;
/// The limit of a batch where a message may have less than a mebibyte.
const STANDARD_SIZE: u64 = 1 << 18;

impl SizeLimits {
    /// The limits of a link; zero where the service announced none.
    pub(super) fn of(message: u64, batch: u32) -> Self {
        let message = if message == 0 { DEFAULT_SIZE } else { message };
        let assumed = if message >= DEFAULT_SIZE { DEFAULT_SIZE } else { STANDARD_SIZE };
        let batch = if batch == 0 { assumed } else { u64::from(batch) };
        Self { message, batch: batch.min(message) }
    }
}
