//! The end of a board's connection, and its connections one after the other.

use crate::network::{Board, KEY, Network, UTC, run, segment};
use crate::tls_server::Chain;
use rsa::rand_core::OsRng;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_embassy::tls::{Records, Root, Tls};
use servicebus_embassy::{Client, Plain};

pub(crate) const TLS_KEY: &str = "Endpoint=sb://readings.servicebus.example;SharedAccessKeyName=RootManageSharedAccessKey;\
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

#[test]
fn a_connection_ends_with_a_fin_d6() {
    for way in WAYS {
        let network = run(KEY, None, Plain::new, |client, network| act(way, client, network));
        let fins = network.board.sent.borrow().iter().filter_map(|frame| segment(frame)).filter(|it| it.fin).count();
        assert!(fins > 0, "{way}");
    }
}

#[test]
fn a_connection_over_tls_ends_with_close_notify_d6() {
    for way in WAYS {
        let chain = Chain::plain();
        let root = Root::from_certificate(&chain.root.der).expect("an authority");
        let (mut read, mut write) = (vec![0; 16_640], vec![0; 4_096]);
        let records = Records::new(&mut read, &mut write);
        let dialer = |tcp| Tls::new(tcp, OsRng, core::slice::from_ref(&root), &UTC, records);
        let network = run(TLS_KEY, Some(&chain), dialer, |client, network| act(way, client, network));
        assert_eq!(network.peer.notified.get(), 1, "{way}");
    }
}

#[test]
fn keep_alives_are_off_unless_wanted_d4() {
    for (minutes, every) in [(5, None), (10, None), (30, None), (5, Some(10)), (10, Some(20))] {
        let keep_alive = every.map(embassy_time::Duration::from_secs);
        let network = run(
            KEY,
            None,
            |tcp| Plain::new(if every.is_some() { tcp.with_keep_alive(keep_alive) } else { tcp }),
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
        // The broker's heartbeats take the place of some.
        let least = every.map_or(0, |every| minutes * 30 / every) as usize;
        let count = network.counted.get();
        assert!(if every.is_none() { count == 0 } else { count > least }, "{minutes} minutes, {every:?}: {count}");
    }
}
