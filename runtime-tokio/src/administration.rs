//! The administration client: entities at run time.
//!
//! ```no_run
//! use servicebus_core::servicebus::administration::CreateQueueOptions;
//! use servicebus_tokio::administration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = administration::connect("Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…")?;
//! if !client.queue_exists("orders").await? {
//!     client.create_queue("orders", CreateQueueOptions::new().max_delivery_count(5)).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Of an emulator (`UseDevelopmentEmulator=true`), the connection string names the management port, 5300 unless it says
//! otherwise: `Endpoint=sb://localhost:5300;…`. The connection is plain HTTP there and HTTPS everywhere else.

use crate::{Error, Tcp, Tokio};
use core::hash::{BuildHasher, Hasher};
use servicebus_core::client::administration::AdministrationOptions;
use servicebus_core::servicebus::{Argument, ConnectionString};
use std::collections::hash_map::RandomState;

pub use servicebus_core::transport::HttpError;

/// HTTP/1.1 over TCP and TLS; see [`servicebus_core::transport::Http`].
pub type Http = servicebus_core::transport::Http<Tcp>;

/// Makes, reads, changes and deletes entities; see
/// [`servicebus_core::client::administration::AdministrationClient`].
pub type AdministrationClient = servicebus_core::client::administration::AdministrationClient<Http, Tokio>;
/// Why an operation failed; see [`servicebus_core::client::administration::AdministrationError`].
pub type AdministrationError = servicebus_core::client::administration::AdministrationError<HttpError>;

/// A client for the namespace of a connection string, with the defaults.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
pub fn connect(connection_string: &str) -> Result<AdministrationClient, Error> {
    // A hasher's keys are random for every one that is made.
    let seed = RandomState::new().build_hasher().finish();
    connect_with(connection_string, AdministrationOptions::default().seed(seed), Http::default())
}

/// A client for the namespace of a connection string.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
pub fn connect_with(
    connection_string: &str,
    options: AdministrationOptions,
    http: Http,
) -> Result<AdministrationClient, Error> {
    let text = ConnectionString::parse(connection_string)
        .map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
    Ok(AdministrationClient::from_connection_string(&text, options, http, Tokio))
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<AdministrationClient>();
    crosses_threads::<AdministrationError>();
};
