//! Spans of `tracing`: a connection and its links live in them, and what is told lies in the right one.

use servicebus_core::servicebus::{Entity, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const SECOND: Duration = Duration::from_secs(1);

/// A span: its name and fields, its parent, and how many handles to it there are.
#[derive(Clone, Debug)]
struct Noted {
    text: String,
    parent: Option<usize>,
    handles: usize,
}

#[derive(Debug, Default)]
struct Tree {
    spans: Vec<Noted>,
    entered: Vec<usize>,
    /// Events, and the span that each lies in.
    events: Vec<(String, Option<usize>)>,
    /// What the emulator warns of.
    warnings: Vec<String>,
}

/// Notes spans and events as a tree.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Tree>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

fn place(id: &Id) -> usize {
    usize::try_from(id.into_u64()).unwrap() - 1
}

impl Notes {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap()
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let warns = metadata.target().starts_with("servicebus_emulator") && *metadata.level() == Level::WARN;
        metadata.target() == "servicebus" || metadata.is_event() && warns
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(span.metadata().name().to_owned());
        span.record(&mut text);
        let mut tree = self.tree();
        let around = tree.entered.last().copied().filter(|_| span.is_contextual());
        let parent = span.parent().map(place).or(around);
        tree.spans.push(Noted { text: text.0, parent, handles: 1 });
        Id::from_u64(tree.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut tree = self.tree();
        if event.metadata().target() != "servicebus" {
            return tree.warnings.push(text.0);
        }
        let around = tree.entered.last().copied();
        tree.events.push((text.0, around));
    }

    fn enter(&self, id: &Id) {
        self.tree().entered.push(place(id));
    }

    fn exit(&self, id: &Id) {
        let left = self.tree().entered.pop();
        assert_eq!(left, Some(place(id)), "spans are left in the order in which they were entered");
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.tree().spans[place(id)].handles += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut tree = self.tree();
        let span = &mut tree.spans[place(&id)];
        span.handles = span.handles.checked_sub(1).expect("a span is closed once");
        span.handles == 0
    }
}

impl Tree {
    /// The spans that begin so, in order.
    fn named(&self, text: &str) -> Vec<usize> {
        (0..self.spans.len()).filter(|&place| self.spans[place].text.starts_with(text)).collect()
    }

    /// The spans that the events with this text lie in.
    fn around(&self, text: &str) -> Vec<usize> {
        let found = self.events.iter().filter(|(event, _)| event.contains(text));
        found.map(|(event, span)| span.unwrap_or_else(|| panic!("{event} is in no span"))).collect()
    }
}

/// What is told of a scene.
fn told<F: Future<Output = ()> + 'static>(scene: impl FnOnce(World) -> F) -> Arc<Mutex<Tree>> {
    // Whether a place in the code is listened to is remembered for the whole process.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let world = World::new(BrokerConfig::default(), 5);
        for (name, requires_session) in [("q", false), ("s", true)] {
            world.broker(|broker, clock| {
                let queue = QueueDescription { requires_session, ..QueueDescription::default() };
                broker.with_namespace(clock, |namespace| namespace.create_queue(name, queue, clock.utc)).unwrap();
            });
        }
        world.run(scene(world.clone()));
        // Its clients and their drivers go with it.
        drop(world);
    });
    let tree = notes.tree();
    assert!(tree.entered.is_empty());
    drop(tree);
    notes.0
}

async fn send_and_receive(client: &servicebus_core::client::Client<Simulated<Heap>>) {
    let sender = client.sender("q").unwrap();
    sender.send(&MessageRef::new("x")).await.unwrap();
    let receiver = client.receiver("q").unwrap();
    receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
    receiver.peek(0, 1).await.unwrap();
    receiver.close().await;
    sender.close().await;
}

#[test]
fn a_connection_and_its_links_are_spans() {
    let told = told(async |world| {
        let client = world.client::<Heap>();
        send_and_receive(&client).await;
        world.cut();
        world.sleep(SECOND).await;
        send_and_receive(&client).await;
        client.close().await;
    });
    let tree = told.lock().unwrap();
    let connections = tree.named("connection");
    assert_eq!(connections.len(), 2, "one for each connection");
    for (&connection, number) in connections.iter().zip(1..) {
        let span = &tree.spans[connection];
        assert_eq!(span.text, format!("connection connection={number} server.address=\"localhost\""));
        assert_eq!(span.parent, None, "a connection belongs to no call");
        // Each has the links that were attached on it.
        let mut links = Vec::new();
        for link in tree.named("link ") {
            if tree.spans[link].parent == Some(connection) {
                let text = &tree.spans[link].text;
                let kind = text.split("kind=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
                let entity = text.split("messaging.destination.name=").nth(1).unwrap();
                links.push(format!("{kind} {entity}"));
            }
        }
        links.sort();
        let wanted = [r#""receiver" "q""#, r#""requests" "$cbs""#, r#""requests" "q/$management""#, r#""sender" "q""#];
        assert_eq!(links, wanted);
    }
    assert_eq!(tree.around("message=connected connection="), connections);
    // Frames are told in the connection that they travel on; those of the emulator's end have no span.
    for text in ["message=sends channel", "message=receives channel", "sends a transfer"] {
        let frames: Vec<_> = tree.events.iter().filter(|(event, _)| event.contains(text)).collect();
        let ours: Vec<_> = frames.iter().filter_map(|(_, span)| *span).collect();
        assert!(ours.iter().all(|place| connections.contains(place)), "{text}");
        assert!(ours.len() * 3 > frames.len(), "{} of {} {text}", ours.len(), frames.len());
    }
    assert_eq!(tree.around(r#"message=sends channel=0 frame=Open { container_id: "sb-"#), connections);
    let attached = tree.around("link attached");
    assert_eq!(attached.len(), 4);
    for link in attached {
        assert!(tree.spans[link].text.starts_with("link "), "{:?}", tree.spans[link]);
    }
    // Calls are those of whoever makes them.
    for call in tree.named("ServiceBus.") {
        assert_eq!(tree.spans[call].parent, None, "{:?}", tree.spans[call]);
    }
}

#[test]
fn spans_end_with_what_they_are_of() {
    let told = told(async |world| {
        let client = world.client::<Heap>();
        for _ in 0..3 {
            send_and_receive(&client).await;
        }
        world.cut();
        world.sleep(SECOND).await;
        send_and_receive(&client).await;
        client.close().await;
    });
    let tree = told.lock().unwrap();
    assert!(tree.named("link ").len() > 8);
    for span in &tree.spans {
        assert_eq!(span.handles, 0, "{span:?} is still there");
    }
}

#[test]
fn what_is_lost_is_told_in_its_link() {
    let told = told(async |world| {
        let client = world.client::<Heap>();
        let session = client.accept_session(Entity::queue("s"), "a").await.unwrap();
        world.broker(|broker, clock| broker.force_detach("s", clock));
        assert!(session.receive(SECOND).await.is_err());
        let session = client.accept_session(Entity::queue("s"), "a").await.unwrap();
        world.cut();
        assert!(session.receive(SECOND).await.is_err());
        client.close().await;
    });
    let tree = told.lock().unwrap();
    let (lost, detached) = (tree.around("session lost"), tree.around("link detached"));
    assert_eq!((lost.len(), detached.len()), (2, 1));
    assert_eq!(lost[0], detached[0]);
    for link in lost {
        let text = &tree.spans[link].text;
        assert!(text.contains("kind=\"receiver\"") && text.ends_with("messaging.destination.name=\"s\""), "{text}");
    }
    assert_eq!(tree.around("disconnected").first(), tree.named("connection").first());
}

#[test]
fn a_connection_without_a_token_is_refused_and_not_just_closed() {
    let told = told(async |world| {
        let client = world.client::<Heap>();
        client.ready(SECOND).await.unwrap();
        world.sleep(SECOND * 25).await;
        client.close().await;
    });
    let tree = told.lock().unwrap();
    assert_eq!(tree.warnings.len(), 1, "{:#?}", tree.warnings);
    assert!(tree.warnings[0].contains("not authorized within 20000 milliseconds"), "{:#?}", tree.warnings);
}
