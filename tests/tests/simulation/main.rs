//! The client against the emulator, in virtual time: what broke for others, long runs, failures, and what is left behind.

mod blocking;
mod cancellation;
mod credential;
mod failures;
mod pinned_management;
mod pinned_messages;
mod pinned_sessions;
mod responses;
mod retries;
mod rows_01_to_12;
mod rows_13_to_25;
mod scripts;
mod stage;
mod stress;
mod takeover;
