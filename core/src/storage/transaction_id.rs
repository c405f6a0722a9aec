//! The ids of transactions, where a storage has room for them.

use crate::wire::Tag;
use core::fmt::Debug;

/// The id of a transaction, as the service gave it (AMQP 1.0 §4.5.5).
pub trait TransactionId: Copy + Debug + Unpin + 'static {
    /// Keeps an id; `None` where it does not fit.
    fn new(id: &[u8]) -> Option<Self>;
    /// Its bytes.
    fn as_bytes(&self) -> &[u8];
}

/// An id of up to 32 bytes.
impl TransactionId for Tag {
    fn new(id: &[u8]) -> Option<Self> {
        Self::new(id)
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The id of storage without transactions: there is none, so what would be done about it takes neither memory nor code.
#[derive(Clone, Copy, Debug)]
pub enum NoTransactions {}

impl TransactionId for NoTransactions {
    fn new(_: &[u8]) -> Option<Self> {
        None
    }

    fn as_bytes(&self) -> &[u8] {
        match *self {}
    }
}
