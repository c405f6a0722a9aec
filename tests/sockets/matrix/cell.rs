//! One cell of the matrix: a call to a peer that has fallen sick.

use crate::column::Column;
use crate::platform::{Platform, Site, sleep};
use futures_util::future::{Either, select};
use servicebus_core::client::Client;
use servicebus_core::servicebus::{RetryMode, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_tests::calls::{Call, Running, Scene, closing};
use std::pin::pin;
use std::time::Instant;

/// The policy of every client: two attempts of 300 ms each.
pub(crate) const RETRY: RetryPolicy = RetryPolicy::new()
    .with_max_retries(1)
    .with_delay(Duration::from_millis(20))
    .with_max_delay(Duration::from_millis(50))
    .with_mode(RetryMode::Fixed)
    .with_try_timeout(Duration::from_millis(300));

/// The time that a call without a bound of its own runs before the client is closed.
const RUNNING: Duration = Duration::from_secs(1);

/// How long a call that is late is watched, to learn whether it ends.
const LATER: Duration = Duration::from_secs(8);

/// A loaded machine with few cores may prolong everything; what hangs is still far longer.
pub(crate) fn with_slack(limit: Duration) -> Duration {
    limit * 2 + Duration::from_secs(3)
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within its bound.
    Kept,
    /// Not within its bound and the slack; when it ended.
    Late(Duration),
    /// It has not ended by then.
    Pending(Duration),
    /// The call panicked.
    Panicked(String),
    /// The call could not be prepared with a healthy peer.
    Unprepared(String),
}

/// Whether the call was prepared before the peer fell sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Connected and prepared while the peer was healthy.
    Warm,
    /// The peer is sick from the first connection on.
    Cold,
}

/// Makes the call; whether it ended in time, and whether it met the misbehaviour.
pub(crate) fn play<P: Platform>(column: Column, start: Start, call: &Call<P::Runtime>) -> (Verdict, bool) {
    let site = Site::start(column);
    let verdict = P::block_on(async {
        match prepare::<P>(&site, start, call).await {
            Ok((client, scene)) => judge::<P>(call, client, scene).await,
            Err(reason) => Verdict::Unprepared(reason),
        }
    });
    (verdict, site.was_met())
}

/// Judges how long the call takes.
async fn judge<P: Platform>(call: &Call<P::Runtime>, client: Client<P::Runtime>, scene: Scene<P::Runtime>) -> Verdict {
    let began = Instant::now();
    let running = (call.run)(scene);
    let Some(limit) = call.bound.limit(&RETRY).map(with_slack) else {
        let Some(running) = within::<P>(RUNNING, running).await else { return Verdict::Kept };
        // Closing is a call of its own, with a row; here it only ends the other one.
        let ended = Box::pin(async move { futures_util::future::join(running, client.close()).await.0 });
        let limit = with_slack(closing(&RETRY));
        return within::<P>(limit, ended).await.map_or(Verdict::Kept, |_| Verdict::Pending(began.elapsed()));
    };
    let Some(running) = within::<P>(limit, running).await else { return Verdict::Kept };
    match within::<P>(LATER, running).await {
        None => Verdict::Late(began.elapsed()),
        Some(_) => Verdict::Pending(began.elapsed()),
    }
}

/// Runs a call for so long; returns it when it has not ended.
async fn within<P: Platform>(limit: Duration, running: Running) -> Option<Running> {
    match select(running, pin!(sleep::<P>(limit))).await {
        Either::Left(_) => None,
        Either::Right(((), running)) => Some(running),
    }
}

/// A client and what the call needs; the peer is sick when this returns.
async fn prepare<P: Platform>(
    site: &Site,
    start: Start,
    call: &Call<P::Runtime>,
) -> Result<(Client<P::Runtime>, Scene<P::Runtime>), String> {
    if start == Start::Cold {
        site.fall_sick();
        let client = P::connect(site, RETRY);
        let scene = Scene::cold(client.clone(), call.needs).ok_or("it needs a service")?;
        return Ok((client, scene));
    }
    // The try time-out is short, and the machine may be busy.
    let mut last = String::new();
    for _ in 0..30 {
        let client = P::connect(site, RETRY);
        match Scene::warm(client.clone(), call.needs).await {
            Ok(scene) => {
                site.fall_sick();
                // Connections that are open see the change.
                sleep::<P>(Duration::from_millis(50)).await;
                return Ok((client, scene));
            }
            Err(reason) => last = reason,
        }
    }
    Err(last)
}
