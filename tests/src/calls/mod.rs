//! Every public future as a call that a test can make: its name, what it needs, and how long it may take.
//!
//! ```text
//! for call in calls::<Tokio>() {
//!     let scene = Scene::warm(client, call.needs).await?;   // the service is healthy
//!     peer.fall_sick();
//!     let bound = call.bound.limit(&retry);
//!     (call.run)(scene).await                               // ends within `bound`
//! }
//! ```
//!
//! `tests/sources/public_futures.rs` holds the table against the sources: a future without a row fails, and a row
//! without a future.

mod administration;
mod bound;
mod elsewhere;
mod handling;
mod processing;
mod receiving;
mod scene;
mod sending;
mod sessions;
mod transactions;

pub use administration::{AdministrationCall, administration_calls};
pub use bound::{Bound, closing, policy};
pub use elsewhere::{ELSEWHERE, Elsewhere};
pub use handling::{Handling, Verb};
pub use processing::Spawns;
pub use scene::{MISSING_SEQUENCE_NUMBER, Needs, QUEUE, SESSIONS, SUBSCRIPTION, Scene, TOPIC};

use servicebus_core::runtime::Runtime;
use servicebus_core::time::Duration;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::pin::Pin;

/// How long the calls that take a longest wait are given.
pub const WAIT: Duration = Duration::from_millis(400);

/// How a call ended; the error as text.
pub type Outcome = Result<(), String>;

/// A call under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// A public future of the client.
pub struct Call<R: Runtime> {
    /// The type and the method; several rows may make the same call in different ways.
    pub name: &'static str,
    /// The handles and messages that it needs before the peer falls sick.
    pub needs: Needs,
    /// How long it may take.
    pub bound: Bound,
    /// Makes the call.
    pub run: fn(Scene<R>) -> Running,
}

impl<R: Runtime> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.name, self.needs, self.bound)
    }
}

/// The outcome of a call, as text where it failed.
fn outcome<T, E: Display>(result: Result<T, E>) -> Outcome {
    result.map(|_| ()).map_err(|error| error.to_string())
}

/// A row of the table: name, needs, bound, and the call as an expression of the scene.
macro_rules! call {
    ($name:literal, $needs:ident, $bound:expr, |$scene:ident| $body:expr) => {
        $crate::calls::Call {
            name: $name,
            needs: $crate::calls::Needs::$needs,
            bound: $bound,
            run: |$scene| Box::pin(async move { $crate::calls::outcome($body) }),
        }
    };
}
use call;

/// Every public future of the client that a runtime on the heap has.
pub fn calls<R: Spawns>() -> Vec<Call<R>> {
    let mut calls = sending::calls();
    calls.extend(receiving::calls());
    calls.extend(sessions::calls());
    calls.extend(transactions::calls());
    calls.extend(processing::calls());
    calls
}

/// The same, each with a label of its own: the name, and a number where several rows have it.
pub fn labelled<R: Spawns>() -> Vec<(String, Call<R>)> {
    let mut seen = BTreeMap::<&str, u32>::new();
    let label = |call: Call<R>| {
        let count = seen.entry(call.name).or_default();
        *count += 1;
        let label = if *count == 1 { call.name.to_owned() } else { format!("{} #{count}", call.name) };
        (label, call)
    };
    calls().into_iter().map(label).collect()
}
