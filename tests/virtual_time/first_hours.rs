//! The first hours of a new user (`docs/evidence/field-reports.md` §6): texts, conversions and logged events.

use servicebus_core::client::{
    ConnectionState, Error, ErrorKind, ErrorOutcome, ProcessorError, ProcessorMessage, ProcessorOptions,
};
use servicebus_core::engine::Capacity;
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{
    Argument, BatchError, Entity, LockToken, Message, MessageId, MessageIdBuf, MessageRef, MessageState, RetryMode,
    SubQueue,
};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::{Uuid, Value};
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Server, Simulated, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use servicebus_tokio::Sender;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

fn world() -> World {
    let world = World::new(BrokerConfig::default(), 3);
    world.broker(|broker, clock| {
        broker
            .with_namespace(clock, |namespace| {
                for name in ["orders", "invoices", "a-queue", "Shop.Events", "x"] {
                    namespace.create_queue(name, QueueDescription::default(), clock.utc)?;
                }
                Ok::<_, servicebus_emulator::broker::entities::EntityError>(())
            })
            .expect("queues");
    });
    world
}

/// The text of the first error of a processor over `entity` whose handler fails with `fail`.
fn processor_error(entity: &'static str, id: &'static str, fail: fn() -> Result<(), String>) -> String {
    let world = world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let message = MessageRef::new("an order").with_message_id(id);
        client.sender(entity).unwrap().send(&message).await.unwrap();
        let processor = client.processor(Entity::queue(entity), ProcessorOptions::default());
        let control = processor.control();
        let text = Rc::new(RefCell::new(String::new()));
        let errors = |error: ProcessorError<Heap>| {
            text.borrow_mut().push_str(&error.to_string());
            control.stop();
        };
        processor.on_error(errors).run(handler(async |_: ProcessorMessage<Simulated<Heap>>| fail())).await.unwrap();
        client.close().await;
        text.take()
    })
}

#[test]
fn a_processor_error_names_entity_and_message_n3() {
    let failures: [fn() -> Result<(), String>; 3] =
        [|| Err("out of stock".to_owned()), || panic!("division by zero"), || panic!("{} by zero", "division")];
    let mut judge = Judge::new();
    for (entity, id) in [("orders", "order-1"), ("invoices", "7"), ("Shop.Events", "événement"), ("x", "m")] {
        for fail in failures {
            let text = processor_error(entity, id, fail);
            let cause = text.contains("out of stock") || text.contains("division by zero");
            let numbers = text.contains("sequence number 1") && text.contains("delivery count 0");
            let named = text.contains(entity) && text.contains(id) && numbers;
            judge.case(
                format!("{entity} {id}"),
                &text,
                |_| cause && named,
                |text| !named && text.starts_with("the handler "),
            );
        }
    }
    judge.finish();
}

/// Whether a type has a trait, known when the test is compiled: the inherent constant wins where its bound holds.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        #[allow(dead_code)]
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for Probe<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HAS: bool = true;
        }
        Probe::<$type>::HAS
    }};
}

#[test]
fn values_convert_and_handles_clone_n12() {
    let mut judge = Judge::new();
    for (name, has) in [
        ("Value: From<i32>", has!(Value<'static>: From<i32>)),
        ("Value: From<&str>", has!(Value<'static>: From<&'static str>)),
        ("Value: From<usize>", has!(Value<'static>: From<usize>)),
        ("Value: From<&String>", has!(Value<'static>: From<&'static String>)),
        ("Value: From<Timestamp>", has!(Value<'static>: From<Timestamp>)),
        ("f32: TryFrom<Value>", has!(f32: TryFrom<Value<'static>>)),
        ("char: TryFrom<Value>", has!(char: TryFrom<Value<'static>>)),
        ("Timestamp: From<SystemTime>", has!(Timestamp: From<SystemTime>)),
        ("SystemTime: TryFrom<Timestamp>", has!(SystemTime: TryFrom<Timestamp>)),
        ("Error: From<BatchError>", has!(Error<Heap>: From<BatchError>)),
        ("Entity: From<&str>", has!(Entity<Heap>: From<&'static str>)),
        ("Entity: From<String>", has!(Entity<Heap>: From<String>)),
        ("Sender: Clone", has!(Sender: Clone)),
        ("Client: Clone", has!(servicebus_tokio::Client: Clone)),
        ("AdministrationClient: Clone", has!(servicebus_tokio::administration::AdministrationClient: Clone)),
    ] {
        judge.equal(name, has, true, false);
    }
    judge.finish();
}

/// An order of an application.
struct Order {
    id: u32,
    customer: String,
    total: f64,
}

/// A plain function, for single sends and for batches.
fn to_message(order: &Order) -> Message {
    Message::new(format!("{} for {}", order.id, order.customer))
        .with_message_id(order.id.to_string())
        .with_subject(&order.customer)
        .with_property("total", order.total)
}

#[test]
fn a_function_returns_an_owned_message_that_every_call_takes_n11() {
    let world = world();
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let (sender, receiver) = (client.sender("orders").unwrap(), client.receiver("orders").unwrap());
        let orders: Vec<Order> =
            (0..5).map(|id| Order { id, customer: format!("c{id}"), total: 1.5 * f64::from(id) }).collect();
        let messages: Vec<Message> = orders.iter().map(to_message).collect();
        sender.send(&messages[0]).await.unwrap();
        let mut batch = sender.create_batch().await.unwrap();
        batch.try_add(&messages[1]).unwrap();
        sender.send_batch(batch).await.unwrap();
        sender.send_all(&messages[2..4]).await.unwrap();
        let kept = messages[4].clone();
        drop(messages);
        sender.enqueue(&kept).await.unwrap().await.unwrap();
        for order in &orders {
            let message = receiver.next().await.unwrap();
            assert_eq!(message.text(), Ok(&*format!("{} for {}", order.id, order.customer)));
            assert_eq!(message.message_id(), Some(MessageId::String(&order.id.to_string())));
            assert_eq!(message.subject(), Some(&*order.customer));
            assert_eq!(message.property("total"), Some(Value::Double(order.total)));
            receiver.complete(&message).await.unwrap();
        }
        client.close().await;
    });
}

#[test]
fn times_and_lock_tokens_are_readable_n16() {
    let mut judge = Judge::new();
    for (seconds, date) in
        [(0, "1970-01-01"), (1_767_225_600, "2026-01-01"), (951_782_400, "2000-02-29"), (-86_400, "1969-12-31")]
    {
        let text = format!("{:?}", Timestamp::from_secs(seconds));
        judge.case(date, text, |text| text.contains(date), |text| text.contains("high: ") && text.contains("low: "));
    }
    for (bytes, digits) in [([0x11; 16], "11111111-1111-1111"), ([0xab; 16], "abababab-abab-abab")] {
        let text = format!("{:?}", LockToken::from_uuid(Uuid(bytes)));
        judge.case(digits, text, |text| text.to_lowercase().contains(digits), |text| text.contains("Uuid(["));
    }
    judge.finish();
}

#[test]
fn values_and_kinds_are_shown_n16() {
    let uuid = Uuid([0xab; 16]);
    let mut judge = Judge::new();
    for (shown, wanted) in [
        (Value::Null.to_string(), "null"),
        (Value::from(true).to_string(), "true"),
        (Value::from(-7).to_string(), "-7"),
        (Value::from(21.5).to_string(), "21.5"),
        (Value::from("text").to_string(), "text"),
        (Value::Binary(&[0, 255]).to_string(), "0x00ff"),
        (Value::Uuid(uuid).to_string(), "abababab-abab-abab-abab-abababababab"),
        (Value::Timestamp(Timestamp::from_secs(0)).to_string(), "1970-01-01T00:00:00.000Z"),
        (MessageIdBuf::Uuid(uuid).to_string(), "abababab-abab-abab-abab-abababababab"),
        (MessageIdBuf::String("order-1".into()).to_string(), "order-1"),
        (ErrorKind::LockLost.to_string(), "lock lost"),
        (ErrorOutcome::NotSent.to_string(), "not sent"),
        (Argument::PartitionKeyMismatch.to_string(), "partition_key and session_id differ"),
        (Capacity::Links.to_string(), "`links`"),
        (ConnectionState::<Heap>::Idle.to_string(), "idle"),
        (MessageState::Deferred.to_string(), "deferred"),
        (ReceiveMode::PeekLock.to_string(), "peek lock"),
        (RetryMode::Exponential.to_string(), "exponential"),
        (SubQueue::DeadLetter.to_string(), "$DeadLetterQueue"),
    ] {
        judge.case(wanted, shown, |shown| shown == wanted, |_| false);
    }
    judge.finish();
}

/// Makes a message with a text that is too long in one place.
type Overlong = fn(&'static str) -> MessageRef<'static>;

#[test]
fn a_refusal_names_the_limit_and_who_refused_n17() {
    let long: &'static str = Box::leak("x".repeat(129).into_boxed_str());
    let messages: [(&str, Overlong); 4] = [
        ("message id", |text| MessageRef::new("m").with_message_id(text)),
        ("session id", |text| MessageRef::new("m").with_session_id(text)),
        ("partition key", |text| MessageRef::new("m").with_partition_key(text)),
        ("reply to session id", |text| MessageRef::new("m").with_reply_to_session_id(text)),
    ];
    let mut judge = Judge::new();
    for (name, message) in messages {
        let world = world();
        let inner = world.clone();
        let text = world.run(async move {
            let client = inner.client::<Heap>();
            let sender = client.sender("orders").unwrap();
            sender.send(&message(long)).await.expect_err("the limit is 128 characters").to_string()
        });
        judge.case(name, text, |text| text.contains("128"), |text| text.ends_with("is not valid"));
    }
    // Nothing was sent: the text must not speak of the service.
    let world = world();
    let inner = world.clone();
    let text = world.run(async move {
        let client = inner.client::<Heap>();
        let sender = client.sender("orders").unwrap();
        let body = vec![0; 1 << 21];
        sender.send(&MessageRef::new(&body)).await.expect_err("the link takes less").to_string()
    });
    judge.case(
        "a message over the link's limit",
        text,
        |text| !text.contains("the service refused"),
        |text| text.contains("the service refused"),
    );
    judge.finish();
}

/// Keeps level and text of each event.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<(Level, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("servicebus") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs a scene whose events are kept.
fn with_events(events: &Events, scene: impl FnOnce()) {
    // While there is one subscriber only, a thread without any that meets an event first turns it off for all.
    static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Events::default()));
    LazyLock::force(&OTHER);
    tracing::subscriber::with_default(events.clone(), scene);
}

/// The events of a scene of a client that sends, with what `trouble` does after the first message.
fn logged(trouble: fn(&World)) -> Vec<(Level, String)> {
    let events = Events::default();
    with_events(&events, || {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            let sender = client.sender("orders").unwrap();
            sender.send(&MessageRef::new("first")).await.unwrap();
            trouble(&inner);
            inner.sleep(Duration::from_secs(1)).await;
            inner.set_reachable(true);
            sender.send(&MessageRef::new("second")).await.unwrap();
            client.close().await;
        });
    });
    events.0.lock().unwrap().clone()
}

#[test]
fn a_graceful_close_is_no_failure_an_outage_a_warning_and_a_send_an_event_n5() {
    let quiet = logged(|_| {});
    let cut = logged(World::cut);
    let away = logged(|world| {
        world.set_reachable(false);
        world.cut();
    });
    let mut judge = Judge::new();
    for (name, events) in [("quiet", &quiet), ("after a cut", &cut), ("after an outage", &away)] {
        let last = events.iter().rev().find(|(_, text)| text.contains("disconnected")).cloned();
        judge.case(
            format!("{name}: a graceful close"),
            last,
            |last| last.as_ref().is_none_or(|(_, text)| !text.contains("failure")),
            |_| false,
        );
    }
    for (name, events) in [("a cut", &cut), ("an outage", &away)] {
        let first = events.iter().find(|(_, text)| text.contains("disconnected")).map(|(level, _)| *level);
        judge.case(format!("{name} is logged as"), first, |level| *level == Some(Level::WARN), |_| false);
        let warnings = events.iter().filter(|(level, _)| *level == Level::WARN).count();
        judge.case(format!("{name}: warnings"), warnings, |count| *count == 1, |_| false);
        let recoveries = events.iter().filter(|(_, text)| text.contains("message=connected")).count();
        judge.case(format!("{name}: two connections, a line each"), recoveries, |count| *count == 2, |_| false);
    }
    for (name, events) in [("quiet", &quiet), ("after a cut", &cut)] {
        let sends = events.iter().filter(|(_, text)| text.contains("sent")).count();
        judge.case(format!("{name}: events of two sends"), sends, |sends| *sends == 2, |_| false);
    }
    judge.finish();
}

/// A change of the network or of the server.
type Change = fn(&World);

/// What dials meet.
const AWAY: [(&str, Change); 3] = [
    ("unreachable", |world| world.set_reachable(false)),
    ("closes at once", |world| {
        world.set_reachable(true);
        world.set_server(Server::Closes);
    }),
    ("silent", |world| {
        world.set_reachable(true);
        world.set_server(Server::Silent);
    }),
];

/// The causes that are logged for the connection and for dials: of a client that had a connection which was cut, or of
/// one that had none. The first dial meets `first`, the second `second`.
fn causes(connected: bool, first: Change, second: Change) -> Vec<String> {
    let events = Events::default();
    with_events(&events, || {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            let sender = client.sender("orders").unwrap();
            if connected {
                sender.send(&MessageRef::new("first")).await.unwrap();
                inner.cut();
            }
            first(&inner);
            // A call keeps the client dialling; the first dial comes within a second.
            let message = MessageRef::new("second");
            let mut sending = std::pin::pin!(sender.send(&message));
            let meanwhile = std::pin::pin!(inner.sleep(Duration::from_millis(1_200)));
            futures_util::future::select(sending.as_mut(), meanwhile).await;
            second(&inner);
            _ = sending.await;
        });
    });
    let events = events.0.lock().unwrap();
    let lost = events.iter().filter_map(|(_, text)| text.split_once("disconnected")?.1.split_once("failure="));
    lost.map(|(_, failure)| failure.split(" pause_ms").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_cause_that_an_outage_is_logged_with_is_the_current_one_n5() {
    let mut judge = Judge::new();
    for (first_name, first) in AWAY {
        for (second_name, second) in AWAY {
            // The call ends before two dials have been silent.
            if (first_name, second_name) == ("silent", "silent") {
                continue;
            }
            // A client without a connection knows no older cause.
            let (own, next) = (causes(false, first, first)[0].clone(), causes(false, second, second)[0].clone());
            let found = causes(true, first, second);
            let lost = found[0].clone();
            judge.control("the connection's own cause", &lost, |lost| lost.contains("ConnectionReset"));
            judge.case(
                format!("{first_name}, then {second_name}"),
                found[1..3].to_vec(),
                |found| *found == [own, next],
                |found| *found == [lost.clone(), lost],
            );
        }
    }
    judge.finish();
}
