//! What client and emulator log at `warn` about connections that end well: nothing.

use servicebus_emulator::{Emulator, EmulatorBuilder};
use servicebus_tokio::{Client, Options, Tls};
use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Warnings and errors of client and emulator.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("servicebus") && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The warnings of a scene with an emulator, everything in one thread. The scene is over when no connection is left.
fn warnings(builder: EmulatorBuilder, scene: impl AsyncFnOnce(&Emulator)) -> Vec<String> {
    // While there is one subscriber only, a thread without any that meets an event first turns it off for all.
    static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Warnings::default()));
    LazyLock::force(&OTHER);
    let warnings = Warnings::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(warnings.clone(), || {
        runtime.block_on(async {
            let emulator = builder.start().await.unwrap();
            let over = async {
                scene(&emulator).await;
                while emulator.statistics().connections_open > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), over).await.expect("every connection ends");
            emulator.close().await;
        });
    });
    warnings.0.lock().unwrap().clone()
}

async fn send_receive_and_close(client: Client) {
    client.sender("q").unwrap().send("hello").await.unwrap();
    let receiver = client.receiver("q").unwrap();
    let message = receiver.receive(Duration::from_secs(5)).await.unwrap().expect("a message");
    receiver.complete(&message).await.unwrap();
    client.disconnect().await;
    receiver.peek(0, 1).await.unwrap();
    client.close().await;
}

#[test]
fn plain_n5() {
    let told = warnings(Emulator::builder().queue("q"), async |emulator| {
        send_receive_and_close(servicebus_tokio::connect(emulator.connection_string()).unwrap()).await;
    });
    assert!(told.is_empty(), "{told:#?}");
}

/// Options for the emulator's port of TLS, as on Azure.
fn over_tls(emulator: &Emulator) -> Options {
    let direct = emulator.connection_string();
    let secure = direct.replace(&format!("localhost:{}", emulator.amqp_address().port()), "localhost");
    let tls = Tls::authorities_from_pem(emulator.certificate_pem().unwrap().as_bytes()).unwrap();
    let port = emulator.tls_address().unwrap().port();
    Options::new(secure.replace(";UseDevelopmentEmulator=true", ""))
        .unwrap()
        .with_tls(tls)
        .with_endpoint("127.0.0.1", port)
}

#[test]
fn over_tls_n5() {
    let told = warnings(Emulator::builder().queue("q").tls(0, None), async |emulator| {
        send_receive_and_close(over_tls(emulator).connect()).await;
    });
    assert!(told.is_empty(), "{told:#?}");
}

#[cfg(feature = "websockets")]
#[test]
fn over_websockets_n5() {
    let told = warnings(Emulator::builder().queue("q").tls(0, None), async |emulator| {
        send_receive_and_close(over_tls(emulator).with_websockets().connect()).await;
        let plain = Options::new(emulator.connection_string()).unwrap();
        let plain = plain.with_endpoint("127.0.0.1", emulator.amqp_address().port()).with_websockets();
        send_receive_and_close(plain.connect()).await;
    });
    assert!(told.is_empty(), "{told:#?}");
}

#[cfg(feature = "administration")]
#[test]
fn administration_n5() {
    let told = warnings(Emulator::builder().queue("q"), async |emulator| {
        let admin = servicebus_tokio::AdministrationClient::connect(emulator.connection_string()).unwrap();
        assert!(admin.queue_exists("q").await.unwrap());
        admin.close().await;
    });
    assert!(told.is_empty(), "{told:#?}");
}

/// A connection that the emulator ends itself is an outage for the client, and nothing that was refused.
#[test]
fn closed_by_the_emulator_n5() {
    let told = warnings(Emulator::builder().queue("q"), async |emulator| {
        let client = servicebus_tokio::connect(emulator.connection_string()).unwrap();
        let sender = client.sender("q").unwrap();
        sender.send("one").await.unwrap();
        emulator.drop_connections();
        sender.send("two").await.unwrap();
        client.close().await;
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("servicebus message=disconnected"), "{told:#?}");
}

#[test]
fn what_is_not_amqp_is_still_warned_of() {
    let told = warnings(Emulator::builder().queue("q"), async |emulator| {
        let mut stream = TcpStream::connect(emulator.amqp_address()).await.unwrap();
        stream.write_all(b"AMQP\x03\x01\x00\x00\x00\x00\x00\x01\x02\x01\x00\x00").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("servicebus_emulator") && told[0].contains("refused"), "{told:#?}");
}

#[test]
fn a_close_with_an_error_is_warned_of_with_its_condition() {
    use servicebus_tokio::servicebus_core::wire::performative::{Close, ErrorCondition, Open};
    use servicebus_tokio::servicebus_core::wire::{Encode, to_vec};

    fn frame(performative: &impl Encode) -> Vec<u8> {
        let body = to_vec(performative);
        let size = u32::try_from(8 + body.len()).unwrap();
        [&size.to_be_bytes()[..], &[2, 0, 0, 0], &body].concat()
    }
    let told = warnings(Emulator::builder().queue("q"), async |emulator| {
        let mut stream = TcpStream::connect(emulator.amqp_address()).await.unwrap();
        let error = ErrorCondition { description: Some("byte 7"), ..ErrorCondition::new("amqp:decode-error") };
        let close = frame(&Close { error: Some(error) });
        let flight = [b"AMQP\x00\x01\x00\x00", &frame(&Open::new("sdk"))[..], &close].concat();
        stream.write_all(&flight).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("amqp:decode-error") && told[0].contains("byte 7"), "{told:#?}");
}
