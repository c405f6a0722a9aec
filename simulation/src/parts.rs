//! The parts of a simulated client, for tests that put a layer between runtime, driver and dialer.

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
