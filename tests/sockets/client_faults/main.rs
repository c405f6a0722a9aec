//! Faults of the client that were reported from the field (docs/evidence/field-reports.md §2 and §3), over real sockets
//! and on real runtimes.

mod addresses;
mod administration;
mod calls;
mod dropped_runtime;
mod paused_clock;
mod sick_server;
