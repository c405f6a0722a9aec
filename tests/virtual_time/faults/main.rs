//! Known faults of the emulator: each test states what is right for a row of docs/evidence/field-reports.md, and ends
//! in the row's name.

mod attaching;
mod batch_deletes;
mod batches;
mod configuration;
mod configured_rules;
mod dead_lettering;
mod duplicates;
mod entity_paths;
mod failing_actions;
mod forwarding;
mod forwarding_entities;
mod growth;
mod idle;
mod jms;
mod links;
mod management_feeds;
mod management_http;
mod messages;
mod names;
mod partitioned_entities;
mod property_sizes;
mod refusal_texts;
mod response_links;
mod rule_bench;
mod scheduling;
mod sessions;
mod settings;
mod sql_errors;
mod sql_values;
mod tokens;
mod transaction_bounds;
mod transactions;
mod transactions_across_entities;
mod updates;
