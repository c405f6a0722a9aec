//! An Azure Service Bus broker for tests and development.

pub mod filter;
