//! What the tests share: values that own their bytes, the data of others, and engines that are wired to each other or
//! to a script.

pub mod conformance;
pub mod engine;
pub mod shared;
pub mod simulation;
pub mod socket;
pub mod tree;
