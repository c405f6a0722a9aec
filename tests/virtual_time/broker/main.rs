//! The broker in virtual time: test names say the behaviour, and cite the row of docs/evidence/pinned-behaviour.md.

mod authorization;
mod deferral;
mod dotnet;
mod expiry;
mod faults;
mod forwarding;
mod hostile;
mod namespaces;
mod parts_of_entities;
mod rules;
mod scheduling;
mod sending;
mod sessions;
mod settlement;
mod transactions;
mod wrong_types;
