//! The heap has every capability.

use super::{
    ExternalTokens, Heap, LockRenewal, Management, Prefetch, ReceiveAndDelete, Receivers, Sessions, Transactions,
};

impl Receivers for Heap {}
impl Management for Heap {}
impl LockRenewal for Heap {}
impl Sessions for Heap {}
impl Transactions for Heap {}
impl Prefetch for Heap {}
impl ReceiveAndDelete for Heap {}
impl ExternalTokens for Heap {}
