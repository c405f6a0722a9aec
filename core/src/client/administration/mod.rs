//! [`AdministrationClient`]: makes, reads, changes and deletes entities at run time.
//!
//! The client is written once; how HTTP requests are made, and what time it is, comes from outside: [`HttpClient`] and
//! [`Timer`]. An adapter crate provides both.
// docs/evidence/sdk-features.md §7

mod client;
mod credential;
mod descriptions;
mod error;
mod names;
mod namespace;
mod options;
mod pages;
mod queues;
mod race;
mod requests;
mod rules;
mod scoped;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topics;

use crate::runtime::Runtime;
use crate::servicebus::administration::{Endpoint, Request, Response};
use crate::time::{Duration, Timestamp};

pub use client::AdministrationClient;
pub use error::AdministrationError;
pub use options::AdministrationOptions;
pub use pages::Pages;
pub use scoped::{SubscriptionAdministration, TopicAdministration};

/// Makes HTTP requests.
///
/// # Examples
///
/// ```
/// use core::convert::Infallible;
/// use servicebus_core::client::administration::HttpClient;
/// use servicebus_core::servicebus::administration::service::write_error;
/// use servicebus_core::servicebus::administration::{Endpoint, Headers, Request, Response};
///
/// /// A service without entities, for tests.
/// struct Nothing;
///
/// impl HttpClient for Nothing {
///     type Error = Infallible;
///
///     async fn send(&self, _: &Endpoint, _: Request) -> Result<Response, Infallible> {
///         let body = write_error(404, "there is nothing here").into_bytes();
///         Ok(Response { status: 404, headers: Headers::new(), body })
///     }
/// }
/// # servicebus_simulation::example_in_world(async |world| {
/// # use servicebus_core::client::administration::{AdministrationClient, AdministrationOptions};
/// # use servicebus_core::servicebus::ConnectionString;
/// # use servicebus_core::storage::Heap;
/// # let text = ConnectionString::parse(servicebus_simulation::CONNECTION_STRING)?;
/// # let timer = world.runtime::<Heap>();
/// # let admin = AdministrationClient::from_connection_string(&text, AdministrationOptions::new(), Nothing, timer);
/// # assert!(!admin.queue_exists("orders").await?);
/// # Ok(())
/// # });
/// ```
pub trait HttpClient {
    /// Why there was no response.
    type Error: core::error::Error;

    /// Sends one request to the endpoint, encrypted when [`Endpoint::uses_tls`] says so, and reads the response, whatever
    /// its status. Redirects are not followed. A body larger than
    /// [`MAX_RESPONSE_BODY`](crate::servicebus::administration::MAX_RESPONSE_BODY) is an error.
    ///
    /// A future that is dropped ends the request.
    fn send(&self, endpoint: &Endpoint, request: Request) -> impl Future<Output = Result<Response, Self::Error>>;

    /// Closes connections that are kept for later requests. Those that are in use end with their request.
    fn close(&self) -> impl Future<Output = ()> {
        core::future::ready(())
    }
}

/// Tells the time and waits. Every [`Runtime`] does.
///
/// # Examples
///
/// ```
/// use core::future::ready;
/// use servicebus_core::client::administration::Timer;
/// use servicebus_core::time::{Duration, Timestamp};
///
/// /// The clock of a test: every wait is over at once.
/// struct Hurry;
///
/// impl Timer for Hurry {
///     fn utc(&self) -> Timestamp {
///         Timestamp::from_secs(1_800_000_000)
///     }
///
///     fn sleep(&self, _: Duration) -> impl Future<Output = ()> {
///         ready(())
///     }
/// }
/// ```
pub trait Timer {
    /// The time of day, for tokens.
    fn utc(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

impl<R: Runtime> Timer for R {
    fn utc(&self) -> Timestamp {
        self.clock().utc
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.sleep_until(self.clock().now + duration)
    }
}
