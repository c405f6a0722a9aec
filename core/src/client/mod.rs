//! The API that people use: async, but without a runtime of its own.

#[cfg(feature = "administration")]
pub mod administration;
