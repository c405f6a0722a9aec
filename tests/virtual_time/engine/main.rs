//! The AMQP engine in virtual time: against the specification, hostile peers, values that are hard to encode, and itself.

mod hostile;
mod properties;
mod regressions;
mod specification;
mod values;
