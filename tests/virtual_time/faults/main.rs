//! Known faults of the emulator: each test states what is right for a row of docs/evidence/field-reports.md, and ends
//! in the row's name.

mod attaching;
mod attacks_on_filters;
mod attacks_on_logs;
mod attacks_on_tokens;
mod batch_deletes;
mod configuration;
mod dead_lettering;
mod duplicates;
mod forwarding;
mod growth;
mod idle;
mod jms;
mod links;
mod management_http;
mod messages;
mod names;
mod scheduling;
mod sessions;
mod settings;
mod tokens;
mod transactions;
mod updates;
