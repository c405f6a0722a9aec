//! The namespace as clients see it over AMQP: connections, `$cbs`, entity links, `$management`, the coordinator.

pub(crate) mod access;
mod answers;
pub(crate) mod attach;
mod attach_fields;
mod cbs;
pub(crate) mod fault;
pub(crate) mod link;
mod link_index;
mod management;
mod management_rules;
mod management_sessions;
pub(crate) mod peer;
pub(crate) mod receiving;
pub(crate) mod recorder;
mod response;
mod sending;
pub(crate) mod settlement;
pub(crate) mod transaction;
