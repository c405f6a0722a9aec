//! Support for the board that these firmwares run on: QEMU's `mps2-an386`, a Cortex-M4 with an SMSC LAN9118.
//!
//! There is no allocator in any of them: the images link without one.
#![no_std]

pub mod board;
pub mod clock;
pub mod device;
pub mod encrypted;
pub mod flash;
#[cfg(feature = "defmt")]
mod log;
pub mod sleeping;
pub mod telemetry;
