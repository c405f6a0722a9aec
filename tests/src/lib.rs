//! What the tests share: judges of known faults, values that own their bytes, fixtures, engines that are wired to each
//! other or to a script, and a broker with small clients around it.

pub mod administrator;
pub mod broker;
mod broker_links;
pub mod calls;
pub mod conformance;
pub mod coordinator;
pub mod engine;
pub mod evidence;
pub mod fault;
pub mod handler;
pub mod model;
pub mod peers;
pub mod socket;
pub mod storages;
pub mod told;
pub mod tree;

pub use servicebus_known_fault::known_fault;
