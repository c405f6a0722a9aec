//! [`AdministrationClient`]: makes, reads, changes and deletes entities at run time.
//!
//! The client is written once; how HTTP requests are made, and what time it is, comes from outside: [`HttpClient`] and
//! [`Timer`]. An adapter crate provides both.
// docs/evidence/sdk-features.md §7

mod client;
mod credential;
mod entities;
mod error;
mod names;
mod pages;
mod race;
mod scoped;
#[cfg(test)]
mod tests;

use crate::runtime::Runtime;
use crate::servicebus::administration::{Endpoint, Request, Response};
use crate::time::{Duration, Timestamp};

pub use client::{AdministrationClient, AdministrationOptions};
pub use error::AdministrationError;
pub use pages::Pages;
pub use scoped::{SubscriptionAdministration, TopicAdministration};

/// Makes HTTP requests.
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
