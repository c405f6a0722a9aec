//! What the tests share: values that own their bytes, the data of others, and engines wired back to back.

pub mod shared;
pub mod simulation;
pub mod tree;
