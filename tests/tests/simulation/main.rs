//! The client against the emulator, in virtual time: what broke for others, long runs, failures, and what is left behind.

mod rows_01_to_12;
mod stage;
