//! Faults of the client that were reported from the field (docs/evidence/field-reports.md §2 and §3), in virtual time.

mod back_off;
mod blocked_writes;
mod clock_evidence;
mod clocks;
mod closing;
mod credentials;
mod credit;
mod drains;
mod dropped_driver;
mod fair_shares;
mod flood;
mod full_tables;
mod idle_receivers;
mod large_messages;
mod lost_answers;
mod names;
mod opening;
mod reasons;
mod resending;
mod scripted;
mod secrets;
mod settlement_sizes;
mod stage;
mod user_code;
mod valve;
mod windows;
