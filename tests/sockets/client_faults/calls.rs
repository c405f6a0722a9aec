//! Calls of many kinds, each watched for a while.

use servicebus_core::client::Client;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{RetryMode, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Timestamp;
use servicebus_tests::told::Told;
use servicebus_tokio::{MessageRef, Options};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// One attempt of this length and one more.
pub(crate) const TRY: Duration = Duration::from_millis(200);

/// More than any call may take under [`options`], on a machine that is busy with other tests.
pub(crate) const IN_TIME: Duration = Duration::from_millis(1_500);

/// How long a call is watched.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// Options with short attempts.
pub(crate) fn options(connection_string: &str) -> Options {
    let delay = Duration::from_millis(20);
    Options::new(connection_string).expect("it is valid").with_retry(
        RetryPolicy::new()
            .with_max_retries(1)
            .with_delay(delay)
            .with_max_delay(delay)
            .with_mode(RetryMode::Fixed)
            .with_try_timeout(TRY),
    )
}

/// After how long a call ended and how; `None` while it is pending.
pub(crate) type Ending = Option<(Duration, Result<(), Told>)>;

pub(crate) type Calling = Pin<Box<dyn Future<Output = Result<(), Told>>>>;

/// Watches a call on tokio.
pub(crate) async fn watch(call: Calling) -> Ending {
    let began = Instant::now();
    let result = tokio::time::timeout(PATIENCE, call).await.ok()?;
    Some((began.elapsed(), result))
}

/// Calls on the queue `queue`.
pub(crate) fn all<R: Runtime<Storage = Heap>>(client: &Client<R>) -> Vec<(&'static str, Calling)> {
    macro_rules! calls {
        ($($name:literal: |$client:ident| $call:expr;)*) => {
            vec![$( {
                let $client = client.clone();
                let call: Calling = Box::pin(async move {
                    let done: Result<_, servicebus_tokio::Error> = $call;
                    done.map(drop).map_err(|error| Told::of(&error))
                });
                ($name, call)
            } ),*]
        };
    }
    let later = Timestamp::from_secs(4_000_000_000);
    calls! {
        "send": |client| client.sender("queue").unwrap().send(&MessageRef::new("x")).await;
        "schedule": |client| client.sender("queue").unwrap().schedule(&MessageRef::new("x"), later).await;
        "size_limits": |client| client.sender("queue").unwrap().size_limits().await;
        "peek": |client| client.receiver("queue").unwrap().peek(0, 1).await;
        "receive": |client| client.receiver("queue").unwrap().receive(TRY).await;
        "close": |client| { client.close().await; Ok(()) };
    }
}
