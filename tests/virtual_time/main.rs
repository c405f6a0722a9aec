//! The client against the emulator, in virtual time: what broke for others, long runs, failures, and what is left behind.

mod blocking;
mod calls;
mod cancellation;
mod causes_and_effects;
mod client;
mod credential;
mod disconnect;
mod failures;
mod handles;
mod interruptions;
mod invariants_01_to_12;
mod invariants_13_to_25;
mod lock_renewal;
mod messages;
mod oversleeping;
mod pinned_management;
mod pinned_messages;
mod pinned_sessions;
mod processor;
mod responses;
mod retries;
mod scripts;
mod session_handlers;
mod stage;
mod stress;
mod takeover;
