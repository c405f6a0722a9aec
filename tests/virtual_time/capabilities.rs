//! Clients of storages that declare little: what is left does all that it does elsewhere.

use crate::stage::{HOUR, MINUTE, SECOND, counts, locks, play, world};
use servicebus_core::client::{Client, ErrorKind};
use servicebus_core::servicebus::MessageRef;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::Simulated;

servicebus_core::fixed_storage! {
    /// It only sends, with the least that there can be.
    type Sensor { links: 3, deliveries: 4, receive: 512, transmit: 512, message: 512 }
}

servicebus_core::fixed_storage! {
    /// It sends and receives, and asks no entity anything.
    type Receiving { links: 4, deliveries: 6, receive: 1024, transmit: 1024, message: 512, receivers: true }
}

#[test]
fn a_client_without_receivers_sends_through_outages_and_tokens() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client: Client<Simulated<Sensor>> = world.client();
        let sender = client.sender("q").unwrap();
        for hour in 0..30_u8 {
            sender.send(&MessageRef::new([hour].as_slice())).await.unwrap();
            let mut batch = sender.create_batch().await.unwrap();
            batch.try_add(&MessageRef::new([hour, 1].as_slice())).unwrap();
            batch.try_add(&MessageRef::new([hour, 2].as_slice())).unwrap();
            sender.send_batch(batch).await.unwrap();
            match hour % 3 {
                0 => world.cut(),
                1 => client.disconnect().await,
                _ => {}
            }
            world.sleep(HOUR).await;
        }
        // Senders come and go, and none is in another's way.
        sender.close().await;
        let again = client.sender("q").unwrap();
        again.send(&MessageRef::new("last")).await.unwrap();
        assert_eq!(counts(&world).active, 91);
        client.close().await;
        let closed = again.send(&MessageRef::new("x")).await.expect_err("it is closed");
        assert_eq!(closed.kind(), ErrorKind::Closed);
    });
}

#[test]
fn without_management_a_message_whose_link_is_gone_comes_again() {
    let world = world(QueueDescription { lock_duration: MINUTE, ..QueueDescription::default() });
    play(&world, async |world| {
        let client: Client<Simulated<Receiving>> = world.client();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("led 1")).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        world.cut();
        // Before the client has noticed, and after.
        for _ in 0..2 {
            let lost = receiver.complete(&message).await.expect_err("its link is gone");
            assert_eq!((lost.kind(), lost.is_transient()), (ErrorKind::LockLost, false), "{lost}");
        }
        assert_eq!((locks(&world), counts(&world).active), (1, 1), "the service still has it");
        let again = receiver.receive(MINUTE * 2).await.unwrap().expect("it comes again");
        assert_eq!((again.text().unwrap(), again.delivery_count()), ("led 1", 1));
        receiver.complete(&again).await.unwrap();
        assert_eq!((locks(&world), counts(&world).active), (0, 0));
        client.close().await;
    });
}
