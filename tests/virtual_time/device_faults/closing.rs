//! The end of a board's connection, and its connections one after the other.

use crate::network::{Board, KEY, Network, UTC, run, segment};
use crate::tls_server::Chain;
use rsa::rand_core::OsRng;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_embassy::tls::{Records, Root, Tls};
use servicebus_embassy::{Client, Plain};
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

const TLS_KEY: &str = "Endpoint=sb://readings.servicebus.example;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE";

/// The work of a program before it ended the connection.
const WAYS: [&str; 5] = ["sent", "received", "sent and received", "sent, and was idle", "dropped its handles"];

async fn act(way: &str, client: Client<Board>, network: Network) {
    let sender = client.sender("readings").expect("there is room");
    if way != "received" {
        sender.send(&MessageRef::new("21.5")).await.expect("it is accepted");
    }
    if way.ends_with("received") {
        let receiver = client.receiver("readings").expect("there is room");
        let message = receiver.receive(Duration::from_secs(2)).await.expect("the link holds");
        if let Some(message) = &message {
            receiver.complete(message).await.expect("the lock holds");
        }
        assert_eq!(message.is_some(), way == "sent and received");
        drop(message);
        receiver.close().await;
    }
    if way.ends_with("idle") {
        network.sleep(Duration::from_secs(20)).await;
    }
    if way.starts_with("dropped") {
        return;
    }
    sender.close().await;
    client.close().await;
}

#[known_fault("D6")]
fn a_connection_ends_with_a_fin_d6() {
    let mut judge = Judge::new();
    for way in WAYS {
        let network = run(KEY, None, Plain::new, |client, network| act(way, client, network));
        let fins = network.board.sent.borrow().iter().filter_map(|frame| segment(frame)).filter(|it| it.fin).count();
        judge.case(way, fins, |fins| *fins > 0, |fins| *fins == 0);
    }
    judge.finish();
}

#[known_fault("D6")]
fn a_connection_over_tls_ends_with_close_notify_d6() {
    let mut judge = Judge::new();
    for way in WAYS {
        let chain = Chain::plain();
        let root = Root::from_certificate(&chain.root.der).expect("an authority");
        let (mut read, mut write) = (vec![0; 16_640], vec![0; 4_096]);
        let records = Records { read: &mut read, write: &mut write };
        let dialer = |tcp| Tls::new(tcp, OsRng, core::slice::from_ref(&root), &UTC, records);
        let network = run(TLS_KEY, Some(&chain), dialer, |client, network| act(way, client, network));
        judge.equal(way, network.peer.notified.get(), 1, 0);
    }
    judge.finish();
}

/// The most lenient keep-alive: where it can be switched off, that is done here.
fn without_keep_alive(tcp: servicebus_embassy::Tcp<'static>) -> servicebus_embassy::Tcp<'static> {
    let source = include_str!("../../../runtime-embassy/src/tcp.rs");
    let setter = source.lines().find(|line| line.contains("pub fn") && line.contains("keep_alive"));
    assert_eq!(setter, None, "there is a setter: call it here, so that the row is judged by it");
    tcp
}

#[known_fault("D4")]
fn keep_alive_can_be_switched_off_d4() {
    let mut judge = Judge::of_few(3, "hours only differ in their length");
    for minutes in [5, 10, 30] {
        let network = run(
            KEY,
            None,
            |tcp| Plain::new(without_keep_alive(tcp)),
            |client, network| async move {
                let sender = client.sender("readings").expect("there is room");
                sender.send(&MessageRef::new("21.5")).await.expect("it is accepted");
                network.board.sent.borrow_mut().clear();
                network.step.set(50);
                network.sleep(Duration::from_secs(minutes * 60)).await;
                network.step.set(1);
                let is_probe = |frame: &Vec<u8>| segment(frame).is_some_and(|probe| probe.payload == 1);
                network.counted.set(network.board.sent.borrow().iter().filter(|frame| is_probe(frame)).count());
                sender.close().await;
                client.close().await;
            },
        );
        // One in 10 s; the broker's heartbeats take the place of some.
        let wrong = minutes as usize * 2;
        judge.case(format!("{minutes} minutes"), network.counted.get(), |count| *count == 0, |count| *count > wrong);
    }
    judge.finish();
}
