//! One call against one sick peer.

use servicebus_core::client::Client;
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::BrokerConfig;
use servicebus_simulation::{Server, Simulated, Stuck, World};
use servicebus_tests::calls::{Bound, Call, QUEUE, Scene, closing, policy};
use servicebus_tests::peers::{Service, Sick, VIRTUAL};
use servicebus_tests::storages::Complete;
use std::fmt;

pub(crate) type Sim = Simulated<Heap>;

/// A try time-out of two seconds and two retries.
pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy::new().with_max_retries(2).with_try_timeout(Duration::from_secs(2))
}

/// A call that has not ended by then is pending.
const PATIENCE: Duration = Duration::from_secs(600);
/// A call without a bound of its own is given this long before its client closes.
pub(crate) const MEANWHILE: Duration = Duration::from_secs(5);
/// For the latency of the network and rounded deadlines.
const SLACK: Duration = Duration::from_millis(50);
/// More steps than these in a second of virtual time are a task that spins. A flood takes some hundreds.
pub(crate) const STEPS: u32 = 1_500;
/// More dials and attaches than these during a call, or in a minute, are no policy with pauses.
const DEMANDS: u64 = 60;

/// The fault of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The call ends, but not within its bound.
    Late,
    /// The call does not end in ten minutes.
    Pending,
    /// Tasks run without end at one moment.
    Spins,
    /// One attempt follows another without a pause.
    Hammers,
    /// The service is healed, and the next call on the client does not work within its bound.
    Unhealed,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "late",
            Self::Pending => "pending",
            Self::Spins => "spins",
            Self::Hammers => "hammers",
            Self::Unhealed => "unhealed",
        })
    }
}

/// The verdict on a cell.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) result: Result<(), Wrong>,
    /// Dials and attaches of the sick service.
    pub(crate) demands: u64,
    /// How often the service misbehaved.
    pub(crate) hits: u64,
}

impl Judged {
    pub(crate) fn new(result: Result<(), Wrong>, service: &Service, before: u64) -> Self {
        let demands = service.demands() - before;
        let result = if demands > DEMANDS { Err(Wrong::Hammers) } else { result };
        Self { result, demands, hits: service.hits() }
    }

    /// Adds the verdict on the next call.
    pub(crate) fn and(self, next: impl FnOnce() -> Result<(), Wrong>) -> Self {
        Self { result: self.result.and_then(|()| next()), ..self }
    }
}

/// A world around a service that can fall sick.
pub(crate) fn world(seed: u64) -> (World, Service) {
    let world = World::new(BrokerConfig::default(), seed);
    let service = Service::new(VIRTUAL, seed);
    world.set_server(Server::Scripted(service.factory()));
    (world, service)
}

pub(crate) fn client<S: Complete>(world: &World) -> Client<Simulated<S>> {
    let mut settings = world.settings();
    settings.retry = retry();
    world.client_with(settings)
}

/// Runs a future in a world: its output and when it ended.
pub(crate) fn ended<T: 'static>(
    world: &World,
    running: impl Future<Output = T> + 'static,
) -> Result<(T, Instant), Wrong> {
    match world.try_run(running, PATIENCE, STEPS) {
        Ok(output) => Ok((output, world.clock().now)),
        Err(Stuck::Spins) => Err(Wrong::Spins),
        Err(Stuck::Idle | Stuck::Late) => Err(Wrong::Pending),
    }
}

/// Whether a future ends within `limit`.
pub(crate) fn judge<T: 'static>(
    world: &World,
    limit: Duration,
    running: impl Future<Output = T> + 'static,
) -> Result<T, Wrong> {
    let begin = world.clock().now;
    let (output, end) = ended(world, running)?;
    let took = end.saturating_duration_since(begin);
    if took > limit + SLACK { Err(Wrong::Late) } else { Ok(output) }
}

/// Prepares a call with a healthy service, makes it after the service has fallen sick, and judges it, and the next call
/// after the service is healed.
pub(crate) fn cell(call: &Call<Sim>, sick: &'static Sick, seed: u64, meanwhile: Duration) -> Judged {
    let (world, service) = world(seed);
    let client = client::<Heap>(&world);
    let warm = Scene::warm(client.clone(), call.needs);
    let prepared = world.try_run(warm, Duration::from_secs(60), STEPS).expect("a healthy service answers");
    let scene = prepared.unwrap_or_else(|error| panic!("{call:?}: {error}"));
    service.fall_sick(sick);
    let before = service.demands();
    let running = (call.run)(scene);
    let judged = match call.bound.limit(&retry()) {
        Some(limit) => judge(&world, limit, running).map(drop),
        None => {
            let (closer, sleeper) = (client.clone(), world.clone());
            world.spawn(async move {
                sleeper.sleep(meanwhile).await;
                closer.close().await;
            });
            judge(&world, meanwhile + closing(&retry()), running).map(drop)
        }
    };
    let closed = call.bound == Bound::UntilClosed || call.name == "Client::close";
    let judged = Judged::new(judged, &service, before);
    let judged = judged.and(|| if closed { Ok(()) } else { heal(&world, &service, client) });
    world.end();
    judged
}

/// Heals the service: the next send must be accepted.
pub(crate) fn heal<S: Complete>(world: &World, service: &Service, client: Client<Simulated<S>>) -> Result<(), Wrong> {
    service.heal();
    works(world, client)
}

/// Whether the next send is accepted within its bound.
pub(crate) fn works<S: Complete>(world: &World, client: Client<Simulated<S>>) -> Result<(), Wrong> {
    let next = async move {
        let sender = client.sender(QUEUE).map_err(drop)?;
        sender.send(&MessageRef::new(b"next")).await.map_err(drop)
    };
    match judge(world, policy(&retry()), next) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) | Err(Wrong::Late | Wrong::Pending | Wrong::Unhealed) => Err(Wrong::Unhealed),
        Err(spins @ (Wrong::Spins | Wrong::Hammers)) => Err(spins),
    }
}
