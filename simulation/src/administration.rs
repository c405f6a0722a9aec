//! The management API of the simulated namespace: requests go to the emulator without HTTP.

use crate::{CONNECTION_STRING, Simulated, World};
use servicebus_core::client::administration::{AdministrationClient, AdministrationOptions, HttpClient};
use servicebus_core::servicebus::ConnectionString;
use servicebus_core::servicebus::administration::{Endpoint, Request, Response};
use servicebus_core::storage::Heap;
use std::io;

/// An administration client of a world.
pub type SimulatedAdministration = AdministrationClient<SimulatedHttp, Simulated<Heap>>;

/// Hands requests to the emulator of a world, which answers at once.
#[derive(Clone, Debug)]
pub struct SimulatedHttp(World);

impl HttpClient for SimulatedHttp {
    type Error = io::Error;

    async fn send(&self, endpoint: &Endpoint, mut request: Request) -> io::Result<Response> {
        let Self(world) = self;
        if !world.0.network.borrow().reachable {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        request.headers.push("Host", endpoint.authority());
        let scheme = if endpoint.uses_tls() { "https" } else { "http" };
        Ok(world.broker(|broker, clock| broker.manage(clock, scheme, &request)))
    }
}

/// In the world of the documentation's examples, for a client that is made from nothing but a connection string.
impl Default for SimulatedHttp {
    fn default() -> Self {
        Self(World::of_examples())
    }
}

/// The time of such a world.
impl Default for Simulated<Heap> {
    fn default() -> Self {
        World::of_examples().runtime()
    }
}

impl World {
    /// The way to this world's management API.
    pub fn http(&self) -> SimulatedHttp {
        SimulatedHttp(self.clone())
    }

    /// An administration client for this world's namespace.
    ///
    /// # Panics
    /// Never: the connection string is valid.
    pub fn administration(&self) -> SimulatedAdministration {
        let text = ConnectionString::parse(CONNECTION_STRING).expect("it is valid");
        let options = AdministrationOptions::new().with_seed(1);
        AdministrationClient::from_connection_string(&text, options, self.http(), self.runtime())
    }
}
