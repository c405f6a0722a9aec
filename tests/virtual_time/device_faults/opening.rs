//! A service that does not take what is sent before it has answered.

use servicebus_core::client::Client;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_simulation::{Server, Simulated, World};
use servicebus_tests::calls::QUEUE;
use servicebus_tests::peers::{Service, VIRTUAL, sick};

/// A send to a service that opens no connection until the first one has failed, and one after the connection was lost.
fn sends(sickness: &str) -> u64 {
    let world = World::new(BrokerConfig::default(), 7);
    let service = Service::new(VIRTUAL, 7);
    world.set_server(Server::Scripted(service.factory()));
    service.fall_sick(sick(sickness));
    let mut settings = world.settings::<Heap>();
    settings.pipelined_opening = true;
    settings.retry.try_timeout = Duration::from_secs(5);
    let (handle, peers) = (world.clone(), service.clone());
    world.run(async move {
        let client: Client<Simulated<Heap>> = handle.client_with(settings);
        let sender = client.sender(QUEUE).expect("there is room");
        let first = MessageRef::new("1");
        let heals = async {
            while peers.hits() == 0 {
                handle.sleep(Duration::from_millis(50)).await;
            }
            peers.heal_new();
        };
        let (sent, ()) = futures_util::future::join(sender.send(&first), heals).await;
        sent.expect("the next connection waits for each answer");
        handle.cut();
        sender.send(&MessageRef::new("2")).await.expect("a new connection");
    });
    let accepted = service.accepted();
    world.end();
    accepted
}

#[test]
fn a_service_that_refuses_an_opening_at_once_has_its_answers_waited_for_in_the_same_call_d12() {
    for sickness in [
        "refuses SASL",
        "silent from SASL mechanisms",
        "silent from SASL outcome",
        "silent from open",
        "silent from TCP",
    ] {
        assert_eq!(sends(sickness), 3, "{sickness}");
    }
}
