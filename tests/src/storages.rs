//! Storages that tests of every capability run on.

use servicebus_core::storage::{
    ExternalTokens, LockRenewal, Prefetch, ReceiveAndDelete, Sessions, Storage, Transactions,
};

/// Storage with all capabilities, whose texts can be made from constants.
pub trait Complete:
    Storage<Literal: From<&'static str>>
    + LockRenewal
    + Sessions
    + Transactions
    + Prefetch
    + ReceiveAndDelete
    + ExternalTokens
{
}

impl<S> Complete for S where
    S: Storage<Literal: From<&'static str>>
        + LockRenewal
        + Sessions
        + Transactions
        + Prefetch
        + ReceiveAndDelete
        + ExternalTokens
{
}
