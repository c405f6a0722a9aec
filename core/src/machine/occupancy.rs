//! How full the tables are.

use super::ClientMachine;
use crate::storage::Storage;

/// Entries of each table of a client, to see that nothing stays behind.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # use servicebus_core::storage::Heap;
/// let (client, shared) = world.client_and_state::<Heap>(world.settings());
/// client.sender("orders")?.send("one").await?;
/// # world.sleep(std::time::Duration::from_secs(5)).await;
/// let occupancy = shared.borrow_mut().machine().occupancy();
/// assert_eq!((occupancy.operations, occupancy.deliveries), (0, 0), "nothing stays behind");
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Senders and receivers.
    pub endpoints: usize,
    /// `$cbs` and the `$management` nodes that were asked so far.
    pub nodes: usize,
    /// Entities whose tokens are kept.
    pub tokens: usize,
    /// Requests that wait for their responses.
    pub requests: usize,
    /// Pending calls.
    pub operations: usize,
    /// Messages in the application's hands.
    pub held: usize,
    /// Sessions of the connection.
    pub sessions: usize,
    /// Links of the connection.
    pub links: usize,
    /// Deliveries of the connection, in both directions.
    pub deliveries: usize,
}

impl<S: Storage> ClientMachine<S> {
    /// How full the tables are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::machine::Occupancy;
    /// assert_eq!(machine.occupancy(), Occupancy::default());
    /// ```
    pub fn occupancy(&self) -> Occupancy {
        let (sessions, links, deliveries) =
            self.connection.as_ref().map_or((0, 0, 0), |connection| connection.table_sizes());
        Occupancy {
            endpoints: self.links.len(),
            nodes: self.channels.len(),
            tokens: self.tokens.len(),
            requests: self.channels.requests_len(),
            operations: self.calls.len(),
            held: self.settlement.len(),
            sessions,
            links,
            deliveries,
        }
    }
}
