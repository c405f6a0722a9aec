//! Clients and emulator over real sockets, TLS and HTTP.

mod administration;
mod azure_credential;
mod certificates;
mod connectors;
mod crypto;
mod dialling;
mod first_hours;
mod hosts;
mod large_message;
mod ports;
mod processors;
mod promptness;
mod proxy;
mod status_lines;
mod websockets;
