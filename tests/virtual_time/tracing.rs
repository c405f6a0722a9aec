//! What the core tells through `tracing`, and what it never does.

use servicebus_core::client::{ProcessorMessage, ProcessorOptions};
use servicebus_core::servicebus::{Entity, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Notes every event and span as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "servicebus"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.0.lock().unwrap().push(line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn told(traceparent: Option<&'static str>) -> Vec<String> {
    let _alone = alone();
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let world = World::new(BrokerConfig::default(), 5);
        world.broker(|broker, clock| {
            let queue = QueueDescription::default();
            broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
        });
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            let sender = client.sender("q").unwrap();
            let mut message = MessageRef::new("a body nobody may read");
            message.traceparent = traceparent;
            sender.send(&message).await.unwrap();
            let receiver = client.receiver("q").unwrap();
            let message = receiver.receive(Duration::from_secs(1)).await.unwrap().expect("a message");
            assert_eq!(message.traceparent(), traceparent);
            receiver.abandon(&message).await.unwrap();
            receiver.close().await;
            let processor = client.processor(Entity::queue("q"), ProcessorOptions::default());
            let control = processor.control();
            let handler = handler(async |_: ProcessorMessage<Simulated<Heap>>| {
                control.stop();
                Ok::<_, std::convert::Infallible>(())
            });
            processor.on_error(|error| panic!("{error:?}")).run(handler).await.unwrap();
            client.close().await;
        });
    });
    lines.0.lock().unwrap().clone()
}

/// One test at a time: whether a place in the code is listened to is remembered for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn connections_links_messages_settlements_and_frames_are_told() {
    let told = told(Some(TRACEPARENT));
    let all = [
        "INFO message=connecting host=localhost port=5672 tls=false",
        "INFO message=connected connection=1",
        "INFO message=closed",
        "DEBUG message=link attached entity=q",
        "DEBUG message=settled entity=q",
        "how=abandon",
        "how=complete",
        "message=sends channel=0 frame=Attach",
        "message=receives channel=0 frame=Attach",
        "message=sends a transfer",
        "span ServiceBus.send",
        "span ServiceBus.receive",
        "span ServiceBus.settle",
    ];
    for wanted in all {
        assert!(told.iter().any(|line| line.contains(wanted)), "{wanted} is not told:\n{}", told.join("\n"));
    }
    let received = told.iter().find(|line| line.contains("message=received")).expect("a message is received");
    assert!(received.contains(TRACEPARENT), "{received}");
    assert!(told.iter().any(|line| line.starts_with("span process") && line.contains(TRACEPARENT)));
}

/// A field without a value is left out, so that the span of a handler is not `process{traceparent=-}`.
#[test]
fn a_message_without_a_trace_context_has_none_in_its_span() {
    let told = told(None);
    let spans: Vec<_> = told.iter().filter(|line| line.starts_with("span process")).collect();
    assert_eq!(spans, ["span process"]);
    let absent: Vec<_> = told.iter().filter(|line| line.contains("traceparent") || line.contains("=-")).collect();
    assert!(absent.is_empty(), "{absent:#?}");
}

#[test]
fn no_secret_and_no_body_is_told() {
    let told = told(Some(TRACEPARENT));
    for line in told {
        for secret in ["SAS_KEY_VALUE", "SharedAccessSignature", "sig=", "nobody may read"] {
            assert!(!line.contains(secret), "{line}");
            // Nor as a list of numbers.
            let bytes = format!("{:?}", secret.as_bytes());
            assert!(!line.contains(bytes.trim_matches(['[', ']'])), "{line}");
        }
    }
}

#[test]
fn a_trace_context_that_the_application_sets_itself_is_sent_once() {
    let _alone = alone();
    let world = World::new(BrokerConfig::default(), 6);
    world.broker(|broker, clock| {
        let queue = QueueDescription::default();
        broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
    });
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let properties = [("traceparent", Value::String(TRACEPARENT)), ("celsius", Value::Int(20))];
        let message =
            MessageRef::new("x").with_properties(&properties).with_traceparent("another").with_tracestate("vendor=1");
        client.sender("q").unwrap().send(&message).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(Duration::from_secs(1)).await.unwrap().expect("a message");
        assert_eq!(message.traceparent(), Some(TRACEPARENT));
        assert_eq!(message.tracestate(), Some("vendor=1"));
        assert_eq!(message.properties().count(), 3);
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

#[test]
fn the_token_that_takes_a_session_over_is_not_told() {
    let _alone = alone();
    let lines = Lines::default();
    let token = tracing::subscriber::with_default(lines.clone(), || {
        let world = World::new(BrokerConfig::default(), 5);
        world.broker(|broker, clock| {
            let queue = QueueDescription { requires_session: true, ..QueueDescription::default() };
            broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
        });
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<Heap>();
            let entity = Entity::queue("q");
            let session = client.accept_non_exclusive_session(entity.clone(), "s").await.unwrap();
            let token = session.lock_token().unwrap();
            client.take_over_session(entity, "s", token).await.unwrap();
            client.close().await;
            token
        })
    });
    let bytes = format!("{:?}", token.uuid().0);
    let lines = lines.0.lock().unwrap();
    for line in lines.iter() {
        assert!(!line.contains(&token.to_string()) && !line.contains(bytes.trim_matches(['[', ']'])), "{line}");
    }
    let attach =
        lines.iter().find(|line| line.contains("sends") && line.contains("non-exclusive")).expect("the attach");
    assert!(attach.contains("Described(0x137000000e)"), "{attach}");
}
