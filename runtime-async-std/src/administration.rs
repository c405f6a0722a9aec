//! The administration client: entities at run time.
//!
//! ```
//! use core::time::Duration;
//! use servicebus_async_std::administration::{AdministrationClient, QueueDescription, RuleFilter, TopicDescription};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let emulator = runtime.block_on(servicebus_emulator::Emulator::start())?;
//! # let connection_string = emulator.connection_string();
//! # smol::block_on(async {
//! let admin = AdministrationClient::connect(&connection_string)?;
//! let orders = QueueDescription::new("orders").with_requires_session(true).with_lock_duration(Duration::from_secs(30));
//! admin.create_if_missing(&orders).await?;
//!
//! admin.create_if_missing(&TopicDescription::new("events")).await?;
//! let big = RuleFilter::sql("total >= 1000 AND customer LIKE 'a%'");
//! admin.topic("events").create_subscription_if_missing("big", big).await?;
//!
//! let mut queue = admin.get_queue("orders").await?;
//! queue.max_delivery_count = 5;
//! match admin.update_if_unchanged(&queue).await {
//!     Err(error) if error.is_conflict() => { /* another program was faster: read it again */ }
//!     result => drop(result?),
//! }
//! for queue in admin.list_queues().all().await? {
//!     println!("{}: {:?}", queue.name, queue.status);
//! }
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! The connection string is the one that messages are sent with. On an emulator (`UseDevelopmentEmulator=true`) the
//! connection is plain HTTP, on the port that the string names or on 5300; everywhere else it is HTTPS.

use crate::{AsyncIo, Tcp};

servicebus_core::administration_names!(AsyncIo, Tcp, "servicebus_async_std");
