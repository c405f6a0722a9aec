//! One deadline for all that a board does between two sleeps.

use crate::Client;
use core::future::Future;
use core::time::Duration;
use embassy_time::{Instant, with_deadline};
use servicebus_core::storage::Storage;

/// The part of the time that is kept for the end of the connection, and the most of it.
const SHARE: u32 = 4;
const CLOSING: embassy_time::Duration = embassy_time::Duration::from_secs(3);

/// Does `work` with the client's connection and ends the connection, all within `limit`, whatever the network and the service
/// do: wake up, send what waits, take commands, sleep. Returns the result of `work`, or `None` when it has not ended in time.
///
/// The last quarter of the time, and three seconds at most, is kept for the end of the connection
/// ([`Client::disconnect`](servicebus_core::client::Client::disconnect)): for so long less has `work`. What it is waiting for
/// then is dropped. When the time is up the connection may still be ending; the next call makes another one either way. The
/// time of the pauses between attempts counts, so that a service that cannot be reached costs `limit` and no more: choose
/// attempts in `Settings::retry` that are shorter.
///
/// Cancel safety: as of `work`; the connection stays when it is dropped before the end of `work`.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # servicebus_simulation::example_in_world(async |world| {
/// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
/// # world.spawn(runner.run(dialer));
/// use servicebus_embassy::{Duration, within};
///
/// let telemetry = client.sender("orders")?;
/// let sent = within(&client, Duration::from_secs(20), telemetry.send("21.5 °C")).await;
/// assert!(matches!(sent, Some(Ok(()))));
/// // The connection is closed: the radio can sleep.
/// # Ok(())
/// # });
/// ```
pub async fn within<S: Storage, T>(client: &Client<S>, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let limit = embassy_time::Duration::from_micros(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
    let begin = Instant::now();
    let end = begin.checked_add(limit).unwrap_or(Instant::MAX);
    let closing = end.checked_sub((limit / SHARE).min(CLOSING)).unwrap_or(begin);
    let result = with_deadline(closing, work).await.ok();
    // What is left of it goes on in the runner.
    _ = with_deadline(end, client.disconnect()).await;
    result
}
