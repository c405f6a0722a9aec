//! Known faults of the client on a board, on the host: rows D1 to D12 of docs/evidence/field-reports.md.

mod calls;
mod certificates;
mod closing;
mod compiling;
mod forged;
mod frames;
mod names;
mod network;
mod opening;
mod records;
mod tls_server;

// The mock clock's queue of timers is behind a critical section; on the host that is a mutex of std's.
use critical_section as _;
