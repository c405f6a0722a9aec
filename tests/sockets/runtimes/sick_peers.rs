//! Sick peers over real sockets: the rows of docs/evidence/field-reports.md in which a runtime's sockets, timers and tasks
//! have a part. What the client itself decides is shown in virtual time (tests/virtual_time/client_faults).

use crate::adapter::{Adapter, Answer, Connection, InParts, access};
use crate::bench::{ClientOf, SOON};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{Either, join, join_all, select};
use servicebus_core::client::{Client, Error};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Entity, MessageRef, RetryMode, RetryPolicy};
use servicebus_core::storage::{Payloads, RxOf, Storage};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_tests::calls::{QUEUE, SESSIONS, SUBSCRIPTION, TOPIC};
use servicebus_tests::peers::{self, Pace, Service};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;
use std::future::{pending, ready};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpSocket;

/// One attempt of this length, and one more.
const TRY: Duration = Duration::from_millis(400);

/// More than any call may take under [`retry`], on a machine that is busy with other tests.
const IN_TIME: Duration = Duration::from_secs(3);

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str =
    "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

fn retry() -> RetryPolicy {
    let delay = Duration::from_millis(20);
    RetryPolicy::new()
        .with_max_retries(1)
        .with_delay(delay)
        .with_max_delay(delay)
        .with_mode(RetryMode::Fixed)
        .with_try_timeout(TRY)
}

/// A service that can fall sick, behind a socket.
struct Site<A> {
    service: Service,
    connection_string: String,
    adapter: PhantomData<A>,
}

impl<A: Adapter> Site<A> {
    /// Runs a test against it.
    fn run(test: impl AsyncFnOnce(&Self)) {
        let server =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let service = Service::over_sockets(1);
        let listener = server.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            // Little is on its way to a peer that does not read.
            socket.set_recv_buffer_size(8_192).expect("a size");
            socket.bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
            socket.listen(64).expect("it listens")
        });
        let port = listener.local_addr().expect("its address").port();
        server.spawn(peers::serve(listener, service.clone()));
        let connection_string = format!("Endpoint=sb://localhost:{port};{KEY}");
        let site = Self { service, connection_string, adapter: PhantomData };
        A::block_on(async {
            let in_time = matches!(select(pin!(test(&site)), pin!(A::sleep(PATIENCE))).await, Either::Left(_));
            assert!(in_time, "the test hangs: {:?}", site.service);
        });
        server.shutdown_background();
    }

    fn connection(&self) -> Connection {
        Connection::new(self.connection_string.clone(), retry())
    }

    fn client(&self) -> ClientOf<A> {
        A::connect(self.connection())
    }

    /// A client that has sent a message.
    async fn warm(&self) -> ClientOf<A> {
        let client = self.client();
        self.until_it_sends("before the sickness", &client).await;
        client
    }

    /// Waits until a message can be sent.
    async fn until_it_sends(&self, what: &str, client: &ClientOf<A>) {
        let (sender, deadline) = (client.sender(QUEUE).expect("a sender"), A::now() + SOON);
        while let Err(error) = sender.send(&MessageRef::new("x")).await {
            assert!(A::now() < deadline, "{what}: {error:?}");
            A::sleep(Duration::from_millis(5)).await;
        }
    }
}

type Calling = Pin<Box<dyn Future<Output = Result<(), Told>>>>;

/// A call on a client of its own handle.
fn call<R: Runtime + 'static, T>(
    client: &Client<R>,
    call: impl AsyncFnOnce(&Client<R>) -> Result<T, Error<R::Storage>> + 'static,
) -> Calling {
    let client = client.clone();
    Box::pin(async move { call(&client).await.map(drop).map_err(|error| Told::of(&error)) })
}

/// Calls of several kinds.
fn calls<R: Runtime<Storage: Complete> + 'static>(client: &Client<R>) -> Vec<(&'static str, Calling)> {
    let later = Timestamp::from_secs(4_000_000_000);
    vec![
        ("send", call(client, async |client| client.sender(QUEUE)?.send(&MessageRef::new("x")).await)),
        (
            "schedule",
            call(client, async move |client| client.sender(QUEUE)?.schedule(&MessageRef::new("x"), later).await),
        ),
        ("size_limits", call(client, async |client| client.sender(QUEUE)?.size_limits().await)),
        ("peek", call(client, async |client| client.receiver(QUEUE)?.peek(0, 1).await)),
        // Longer than an attempt: one that ends sooner does not know yet what is wrong.
        ("receive", call(client, async |client| client.receiver(QUEUE)?.receive(TRY * 2).await)),
    ]
}

/// Lets calls end, each in its time; how they ended.
async fn end_in_time<A: Adapter>(
    what: &str,
    calls: Vec<(&'static str, Calling)>,
) -> Vec<(&'static str, Result<(), Told>)> {
    let watch = async |(name, call): (&'static str, Calling)| {
        let result = match select(call, pin!(A::sleep(IN_TIME))).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("{what}: {name} has not ended after {IN_TIME:?}"),
        };
        (name, result)
    };
    join_all(calls.into_iter().map(watch)).await
}

/// Where the storage has places of a fixed size, messages are small.
fn is_small<S: Storage>() -> bool {
    <S::Payloads as Payloads<S::Payload, RxOf<S>>>::BOUNDED
}

pub(crate) fn a_peer_that_stops_reading_holds_up_no_call_c1<A: Adapter>() {
    Site::<A>::run(async |site| {
        let client = site.warm().await;
        site.service.fall_sick(peers::sick("stops reading at once"));
        // More than the sockets of both ends take.
        let size = if is_small::<A::Storage>() { 1_500 } else { 100_000 };
        let large = |_| {
            let sending =
                async move |client: &ClientOf<A>| client.sender(QUEUE)?.send(&MessageRef::new(&vec![0; size])).await;
            ("send much", call(&client, sending))
        };
        let sends: Vec<_> = (0..A::AT_ONCE / 2).map(large).collect();
        let ended = join(end_in_time::<A>("blocked", sends), end_in_time::<A>("blocked", calls(&client))).await;
        assert!(ended.0.iter().all(|(_, result)| result.is_err()), "{:?}", ended.0);
        site.service.heal();
        site.until_it_sends("healed", &client).await;
        client.close().await;
    });
}

/// A token that the emulator takes.
fn token() -> String {
    format!("e30.{}.x", URL_SAFE_NO_PAD.encode("{\"exp\":4000000000}"))
}

pub(crate) fn a_credential_that_hangs_is_asked_again_c4<A: Adapter>() {
    Site::<A>::run(async |site| {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let client = A::connect_with_credential(site.connection(), move || -> Answer<A::Storage> {
            match counted.fetch_add(1, Ordering::SeqCst) {
                0 => Box::pin(pending()),
                _ => Box::pin(ready(access::<A::Storage>(Some(&token())))),
            }
        });
        site.until_it_sends("the second answer", &client).await;
        assert!(asked.load(Ordering::SeqCst) >= 2);
        client.close().await;
        let hanging = A::connect_with_credential(site.connection(), || -> Answer<A::Storage> { Box::pin(pending()) });
        for (name, result) in end_in_time::<A>("no answer", calls(&hanging)).await {
            assert!(result.is_err(), "{name} without a token");
        }
        let began = A::now();
        hanging.close().await;
        assert!(A::now() < began + IN_TIME, "closing waits for the credential");
    });
}

pub(crate) fn calls_end_when_their_driver_is_dropped_c5<A: InParts>() {
    Site::<A>::run(async |site| {
        for begun in [false, true] {
            let (client, mut driver) = A::in_parts(site.connection());
            let warm = pin!(site.until_it_sends("with its driver", &client));
            assert!(matches!(select(warm, &mut driver).await, Either::Left(_)), "the driver ended");
            let mut pending = calls(&client);
            if begun {
                // Nothing is answered while the driver does not run.
                for (name, call) in &mut pending {
                    assert!(futures_util::poll!(call).is_pending(), "{name} ended without a driver");
                }
            }
            drop(driver);
            for (name, result) in end_in_time::<A>("without a driver", pending).await {
                assert!(result.is_err(), "{name} without a driver, begun before: {begun}");
            }
            let began = A::now();
            client.close().await;
            assert!(A::now() < began + IN_TIME, "closing waits for a driver that is gone");
        }
    });
}

pub(crate) fn closing_does_not_wait_for_an_accept_c16<A: Adapter>() {
    Site::<A>::run(async |site| {
        let client = site.warm().await;
        let accept = client.accept_next_session(Entity::queue(SESSIONS), SOON * 4);
        let closing = async {
            // The attach is on its way or there: it is answered when there is a session.
            site.until_it_sends("beside the accept", &client).await;
            let began = A::now();
            client.clone().close().await;
            A::now().saturating_duration_since(began)
        };
        let (accepted, took) = join(accept, closing).await;
        assert!(accepted.is_err(), "it was closed");
        assert!(took < Duration::from_secs(2), "closing took {took:?}");
    });
}

/// As fast as the client reads, with one processor for both.
const FLOOD: Pace = Pace { burst: 64, every: Duration::from_micros(500), payload: 4_096 };

pub(crate) fn a_flood_holds_up_no_call_h1<A: Adapter>() {
    Site::<A>::run(async |site| {
        site.service.set_pace(FLOOD);
        for flood in ["floods with heartbeats", "floods with dispositions", "floods with flows", "floods with echoes"] {
            let client = site.warm().await;
            let hits = site.service.hits();
            site.service.fall_sick(peers::sick(flood));
            end_in_time::<A>(flood, calls(&client)).await;
            assert!(site.service.hits() > hits, "{flood}: it was met");
            let closing = pin!(client.close());
            let closed = matches!(select(closing, pin!(A::sleep(SOON * 2 + IN_TIME))).await, Either::Left(_));
            assert!(closed, "{flood}: closing has no end");
            site.service.heal();
        }
    });
}

/// The steps of an opening.
const STEPS: [&str; 9] = [
    "never accepts",
    "silent from TCP",
    "silent from SASL mechanisms",
    "silent from SASL outcome",
    "silent from AMQP header",
    "silent from open",
    "silent from begin",
    "silent from attach of $cbs",
    "silent from answer of $cbs",
];

pub(crate) fn an_opening_that_is_not_finished_ends_in_time_h3<A: Adapter>() {
    Site::<A>::run(async |site| {
        for step in STEPS {
            let hits = site.service.hits();
            site.service.fall_sick(peers::sick(step));
            let client = site.client();
            for (name, result) in end_in_time::<A>(step, calls(&client)).await {
                assert!(result.is_err(), "{step}: {name} succeeds");
            }
            assert!(site.service.hits() > hits, "{step}: it was met");
            // What is open stays sick: the client gives it up by itself.
            site.service.heal_new();
            site.until_it_sends(step, &client).await;
            client.close().await;
            site.service.heal();
        }
    });
}

pub(crate) fn a_drain_that_is_not_answered_holds_up_no_receive_h5<A: Adapter>() {
    Site::<A>::run(async |site| {
        for sickness in ["omits drained", "silent from drained"] {
            let client = site.client();
            let receiver = client.receiver(Entity::subscription(TOPIC, SUBSCRIPTION)).expect("a receiver");
            assert!(matches!(receiver.receive(TRY).await, Ok(None)), "a healthy service has nothing");
            let hits = site.service.hits();
            site.service.fall_sick(peers::sick(sickness));
            for _ in 0..3 {
                let began = A::now();
                // It finds nothing, or reports that the link does not answer.
                let _ = receiver.receive(TRY).await;
                let took = A::now().saturating_duration_since(began);
                assert!(took < TRY + Duration::from_secs(2), "{sickness}: a receive of {TRY:?} took {took:?}");
            }
            assert!(site.service.hits() > hits, "{sickness}: it was met");
            site.service.heal();
            site.until_it_sends(sickness, &client).await;
            client.close().await;
        }
    });
}
