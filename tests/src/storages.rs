//! Storages that tests of every capability run on.

use servicebus_core::storage::{
    ExternalTokens, LockRenewal, Prefetch, ReceiveAndDelete, Sessions, Storage, Transactions,
};

/// Storage with all capabilities.
pub trait Complete:
    Storage + LockRenewal + Sessions + Transactions + Prefetch + ReceiveAndDelete + ExternalTokens
{
}

impl<S> Complete for S where
    S: Storage + LockRenewal + Sessions + Transactions + Prefetch + ReceiveAndDelete + ExternalTokens
{
}
