//! Hostile clients against the emulator: whatever they do, another client is served meanwhile.

use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
use servicebus_tests::peers::{Act, CLIENTS, Meeting, ScriptedClient, VIRTUAL, actions};

fn meeting() -> Meeting {
    let clock = Clock { now: Instant::from_millis(1_000), utc: VIRTUAL + Duration::from_secs(1) };
    let mut broker = Broker::new(BrokerConfig::default(), 7);
    broker.with_namespace(clock, |namespace| {
        namespace.create_queue("queue", QueueDescription::default(), clock.utc).expect("a queue");
    });
    Meeting::new(broker, clock)
}

/// A well-behaved client that sends a message.
fn sends() -> ScriptedClient {
    let mut acts = [actions::opened(), actions::link(0, Role::Sender, "queue")].concat();
    // A data section of one byte.
    acts.push(actions::message(0, 0, &[0x00, 0x53, 0x75, 0xa0, 1, 7], true));
    ScriptedClient::new(acts)
}

fn waiting(meeting: &Meeting) -> u64 {
    let namespace = meeting.broker.namespace();
    namespace.counts(&namespace.queue("queue").expect("the queue").stores).active
}

#[test]
fn another_client_is_served_beside_every_hostile_one() {
    for hostile in CLIENTS {
        let mut meeting = meeting();
        let guest = meeting.connect(ScriptedClient::new((hostile.script)()));
        meeting.pass(Duration::from_secs(10));
        let (before, other) = (waiting(&meeting), meeting.connect(sends()));
        meeting.pass(Duration::from_secs(1));
        println!("{}: {:?}", hostile.name, meeting.seen(guest));
        assert_eq!(waiting(&meeting), before + 1, "{}: {:?}", hostile.name, meeting.seen(other));
    }
}

#[test]
fn scripts_of_hostile_clients_get_as_far_as_they_mean_to() {
    for hostile in CLIENTS {
        let mut meeting = meeting();
        let guest = meeting.connect(ScriptedClient::new((hostile.script)()));
        meeting.pass(Duration::from_secs(10));
        let acts = (hostile.script)();
        let said = acts.iter().map(|act| match act {
            Act::Say(bytes) => bytes.len(),
            Act::Repeat(bytes, times, _) => bytes.len() * times,
            _ => 0,
        });
        assert_eq!(meeting.seen(guest).sent, said.sum::<usize>(), "{}", hostile.name);
    }
}
