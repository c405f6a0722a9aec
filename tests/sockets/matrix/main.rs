//! Every public future against every sick peer, over sockets: each ends within the bound that the table of calls names.
//!
//! A peer is a relay in front of an emulator. While it is well it carries bytes; then it falls sick, for connections
//! that are open and for new ones. The default run makes two fitting calls to each peer; the ignored tests make all.

mod administration;
mod cell;
mod cells;
mod driver;
mod emulator;
mod peer;
mod platform;
mod red;
mod relay;
mod report;
