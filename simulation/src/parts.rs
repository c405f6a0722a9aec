//! What a client of a simulation is made of, for tests that put something between its parts.

use super::{Simulated, SimulatedDialer, World};
use std::marker::PhantomData;

impl World {
    /// The runtime of a client whose driver the test runs itself.
    pub fn runtime<S>(&self) -> Simulated<S> {
        Simulated(self.clone(), self.utc_clock(), PhantomData)
    }

    /// The dialer of a client whose driver the test runs itself.
    pub fn dialer(&self) -> SimulatedDialer {
        SimulatedDialer::new(self.clone())
    }
}
