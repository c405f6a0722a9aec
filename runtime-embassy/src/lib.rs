//! Azure Service Bus for microcontrollers.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(feature = "tls")]
pub mod tls;
