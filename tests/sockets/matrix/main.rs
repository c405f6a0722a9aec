//! Every public future against every sick peer, over sockets: each ends within the bound that the table of calls names.
//!
//! Most calls are prepared while the peer is healthy. Then it falls sick, for connections that are open and for new ones.
//! A relay in front of an emulator misbehaves below AMQP, the library's services in AMQP. The
//! default run makes fitting calls to each peer; the ignored tests make all.

mod administration;
mod cell;
mod cells;
mod column;
mod driver;
mod emulator;
mod peer;
mod platform;
mod red;
mod relay;
mod report;
