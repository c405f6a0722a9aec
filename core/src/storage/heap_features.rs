//! The heap has every capability.

use super::{ExternalTokens, Heap, LockRenewal, Prefetch, ReceiveAndDelete, Sessions, Transactions};

impl LockRenewal for Heap {}
impl Sessions for Heap {}
impl Transactions for Heap {}
impl Prefetch for Heap {}
impl ReceiveAndDelete for Heap {}
impl ExternalTokens for Heap {}
