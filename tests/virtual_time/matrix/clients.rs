//! Hostile clients against the emulator: another client is served beside each.

use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
use servicebus_tests::peers::{Act, BrokerWithPeers, CLIENTS, ScriptedClient, VIRTUAL, actions};

fn broker_with_peers() -> BrokerWithPeers {
    let clock = Clock { now: Instant::from_millis(1_000), utc: VIRTUAL + Duration::from_secs(1) };
    let mut broker = Broker::new(BrokerConfig::default(), 7);
    broker.with_namespace(clock, |namespace| {
        namespace.create_queue("queue", QueueDescription::default(), clock.utc).expect("a queue");
    });
    BrokerWithPeers::new(broker, clock)
}

/// A well-behaved client that sends a message.
fn sends() -> ScriptedClient {
    let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue")].concat();
    // A data section of one byte.
    acts.push(actions::message(0, 0, &[0x00, 0x53, 0x75, 0xa0, 1, 7], true));
    ScriptedClient::new(acts)
}

fn waiting(broker_with_peers: &BrokerWithPeers) -> u64 {
    let namespace = broker_with_peers.broker.namespace();
    namespace.counts(&namespace.queue("queue").expect("the queue").stores).active
}

#[test]
fn another_client_is_served_beside_every_hostile_one() {
    for hostile in CLIENTS {
        let mut broker_with_peers = broker_with_peers();
        let guest = broker_with_peers.connect(ScriptedClient::new((hostile.script)()));
        broker_with_peers.pass(Duration::from_secs(10));
        let (before, other) = (waiting(&broker_with_peers), broker_with_peers.connect(sends()));
        broker_with_peers.pass(Duration::from_secs(1));
        println!("{}: {:?}", hostile.name, broker_with_peers.seen(guest));
        assert_eq!(waiting(&broker_with_peers), before + 1, "{}: {:?}", hostile.name, broker_with_peers.seen(other));
    }
}

#[test]
fn hostile_clients_send_their_whole_scripts() {
    for hostile in CLIENTS {
        let mut broker_with_peers = broker_with_peers();
        let guest = broker_with_peers.connect(ScriptedClient::new((hostile.script)()));
        broker_with_peers.pass(Duration::from_secs(10));
        let acts = (hostile.script)();
        let sent = acts.iter().map(|act| match act {
            Act::Send(bytes) => bytes.len(),
            Act::Repeat(bytes, times, _) => bytes.len() * times,
            _ => 0,
        });
        assert_eq!(broker_with_peers.seen(guest).sent, sent.sum::<usize>(), "{}", hostile.name);
    }
}
