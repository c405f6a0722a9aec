//! Every public future of the client against every sick peer, in virtual time.

mod cell;
mod clients;
mod cuts;
mod matrix;
mod red;
mod rows;
mod until_closed;
