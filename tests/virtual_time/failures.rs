//! Bad input and failures: each is a typed error that says what is wrong, within its deadline.

use crate::stage::{MINUTE, Names, SECOND, counts, number, on_both_storages, pair, play, send_numbers, world};
use servicebus_core::client::ErrorKind;
use servicebus_core::engine::Capacity;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::{Entity, MessageRef, Reason, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_core::wire::Reader;
use servicebus_core::wire::frame::Frame;
use servicebus_core::wire::performative::Performative;
use servicebus_emulator::broker::entities::{AuthorizationRule, QueueDescription, Rights};
use servicebus_simulation::Server;
use servicebus_tests::storages::Complete;
use servicebus_tests::told::{self, Told};

servicebus_core::fixed_storage! {
    /// Nothing can be attached.
    type TwoLinks {
        sessions: 1, links: 2, deliveries: 8, receive: 2048, transmit: 2048, message: 1024, engine_alone: true,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    /// A sender or a receiver, and no more.
    type ThreeLinks {
        sessions: 1, links: 3, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    type OneDelivery {
        sessions: 1, links: 8, deliveries: 1, receive: 2048, transmit: 2048, message: 1024, engine_alone: true,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    type TwoDeliveries {
        sessions: 1, links: 8, deliveries: 2, receive: 2048, transmit: 2048, message: 1024, engine_alone: true,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    type FourDeliveries {
        sessions: 1, links: 8, deliveries: 4, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}
servicebus_core::fixed_storage! {
    type SmallFrames {
        sessions: 1, links: 8, deliveries: 8, receive: 512, transmit: 512, message: 1024,
        receivers: true, management: true,
    }
}

on_both_storages! {
    a_wrong_key_is_told_at_once => wrong_key;
    an_expired_signature_is_told_at_once => expired_signature;
    a_missing_right_is_told_at_once => missing_right;
    an_unknown_subscription_is_told_at_once => unknown_subscription;
    a_server_that_speaks_tls_is_told_as_such => speaks_tls;
    garbage_is_told_as_such => garbage;
    a_silent_server_is_given_up_in_time => silent;
    a_server_that_closes_at_once_is_given_up_in_time => closes;
    an_unreachable_server_is_given_up_in_time => unreachable;
    a_peer_that_sends_more_than_was_granted_costs_no_message => breaks_credit;
    a_peer_that_breaks_the_window_of_a_session_costs_no_message => breaks_window;
    responses_that_never_come_take_no_places_for_good => lost_responses;
}

const WRONG_KEY: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=not_the_key;UseDevelopmentEmulator=true";
const EXPIRED: &str = "Endpoint=sb://localhost;SharedAccessSignature=SharedAccessSignature \
    sr=sb%3A%2F%2Flocalhost%2Fq&sig=AAAA&se=1000000000&skn=RootManageSharedAccessKey;UseDevelopmentEmulator=true";
const LISTENER: &str = "Endpoint=sb://localhost;SharedAccessKeyName=listener;SharedAccessKey=secret;\
    UseDevelopmentEmulator=true";

/// Sends and receives with a connection string: both fail for this reason, and at once.
fn refused<S: Names>(connection_string: &'static str, reason: Reason) {
    let world = world(QueueDescription::default());
    play(&world, async move |world| {
        let client = world.client_with::<S>(Settings::new(connection_string.into(), 3));
        let began = world.clock().now;
        let (sender, receiver) = pair(&client);
        for _ in 0..2 {
            let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
            assert_eq!(failure.reason(), Some(reason), "{failure}");
            let failure = receiver.receive(MINUTE).await.unwrap_err();
            assert_eq!(failure.reason(), Some(reason), "{failure}");
            let failure = receiver.peek_each(0, 1, drop).await.unwrap_err();
            assert_eq!(failure.reason(), Some(reason), "{failure}");
        }
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5);
        client.close().await;
    });
}

fn wrong_key<S: Names>() {
    refused::<S>(WRONG_KEY, Reason::AuthFailed);
}

fn expired_signature<S: Names>() {
    refused::<S>(EXPIRED, Reason::AuthFailed);
}

fn missing_right<S: Names>() {
    let rights = Rights { send: false, listen: true, manage: false };
    let rule = AuthorizationRule {
        key_name: "listener".into(),
        primary_key: "secret".into(),
        secondary_key: String::new(),
        rights,
    };
    let world = world(QueueDescription { authorization_rules: vec![rule], ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client_with::<S>(Settings::new(LISTENER.into(), 3));
        let began = world.clock().now;
        let (sender, receiver) = pair(&client);
        let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::Unauthorized), "{failure}");
        assert!(receiver.receive(SECOND).await.unwrap().is_none(), "it may listen");
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5);
        client.close().await;
    });
}

fn unknown_subscription<S: Complete>() {
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_topic("t", Default::default(), clock.utc)).unwrap();
    });
    play(&world, async |world| {
        let client = world.client::<S>();
        let began = world.clock().now;
        let receiver = client.receiver(Entity::subscription("t", "missing")).unwrap();
        let failure = receiver.receive(MINUTE).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
        let failure = client.receiver("t").unwrap().receive(MINUTE).await.unwrap_err();
        assert!(!failure.is_transient(), "nobody receives from a topic itself: {failure}");
        let failure = client.accept_session(Entity::queue("missing"), "s").await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
        let failure = client.accept_next_session(Entity::queue("missing"), MINUTE).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5);
        client.close().await;
    });
}

/// Whatever answers, a send and a receive end within these times, and the client works as soon as the emulator answers.
fn bad_server<S: Names>(server: Server, patience: Duration, transient: bool) {
    let world = world(QueueDescription::default());
    play(&world, async move |world| {
        world.set_server(server.clone());
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        let began = world.clock().now;
        let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
        assert!(!matches!(Told::of(&failure), Told::Service(_)), "{server:?}: {failure}");
        assert_eq!(failure.is_transient(), transient, "{server:?}: {failure}");
        let took = world.clock().now.saturating_duration_since(began);
        assert!(took <= patience, "{server:?}: {failure} after {took:?}");
        let began = world.clock().now;
        let failure = receiver.receive(SECOND * 10).await.err();
        let took = world.clock().now.saturating_duration_since(began);
        assert!(took <= SECOND * 11, "{server:?}: {failure:?} after {took:?}");
        assert!(failure.is_some(), "{server:?}: no message is not the same as no service");
        let began = world.clock().now;
        world.set_server(Server::Emulator);
        send_numbers(&sender, 0..1).await;
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        let took = world.clock().now.saturating_duration_since(began);
        assert!(took <= MINUTE * 3, "{server:?}: back after {took:?}");
        client.close().await;
    });
}

fn speaks_tls<S: Names>() {
    bad_server::<S>(Server::SendsAndCloses(vec![0x15, 3, 1, 0, 2, 2, 70]), SECOND, false);
}

fn garbage<S: Names>() {
    bad_server::<S>(Server::Sends(vec![0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, 0, 0]), SECOND, false);
    // The right greeting, and then a frame that is none.
    let greeting = [b"AMQP\x03\x01\x00\x00".to_vec(), vec![0xff; 64]].concat();
    bad_server::<S>(Server::Sends(greeting), MINUTE, true);
}

fn silent<S: Names>() {
    bad_server::<S>(Server::Silent, MINUTE * 5, true);
}

fn closes<S: Names>() {
    bad_server::<S>(Server::Closes, MINUTE, true);
}

fn lost_responses<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let settings = world.settings::<S>();
        let retry = RetryPolicy::none().with_try_timeout(SECOND * 5);
        let client = world.client_with(settings.with_retry(retry));
        let receiver = client.receiver("q").unwrap();
        for _ in 0..3 {
            world.broker(|broker, _| broker.lose_responses(12));
            for _ in 0..12 {
                let failure = receiver.peek_each(1, 1, |_| {}).await.unwrap_err();
                assert_eq!(Told::of(&failure), Told::Kind(ErrorKind::Timeout), "{failure}");
            }
            receiver.peek_each(1, 1, |_| {}).await.unwrap();
        }
        client.close().await;
    });
}

fn unreachable<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        world.set_reachable(false);
        let client = world.client::<S>();
        let began = world.clock().now;
        let failure = client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap_err();
        assert!(told::words(&failure).is_none_or(|words| words.contains("connection refused")), "{failure}");
        assert!(failure.is_transient());
        assert!(world.clock().now.saturating_duration_since(began) < MINUTE);
        client.close().await;
    });
}

fn breaks_credit<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..6).await;
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        // Each message comes twice from now on, until the client has said what it thinks of that.
        let mut times = 3;
        world.set_tamper(move |bytes| {
            let is_transfer = bytes.get(9..11) == Some(&[0x53, 0x14]);
            if is_transfer && times > 0 {
                times -= 1;
                let copy = bytes.clone();
                bytes.extend_from_slice(&copy);
            }
        });
        let mut seen = 0;
        while let Some(message) = receiver.receive(SECOND * 90).await.unwrap() {
            if receiver.complete(&message).await.is_ok() {
                seen += 1;
            }
        }
        assert_eq!((seen, counts(&world).total()), (5, 0));
        client.close().await;
    });
}

/// Makes the first transfer among these frames one that goes on and on: more frames than the window has room for, none
/// of which ends the delivery.
fn endless(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes;
    while let Ok(Some(frame)) = Frame::parse(rest, u32::MAX) {
        if let Ok(Performative::Transfer(transfer)) = Reader::new(frame.body).read::<Performative<'_>>() {
            let before = &bytes[..bytes.len() - rest.len()];
            let channel = &rest[6..8];
            let frame = |fields: &[u8], count: u8| {
                let size = u32::try_from(14 + fields.len()).unwrap();
                let list = [0, 0x53, 0x14, 0xc0, u8::try_from(fields.len() + 1).unwrap(), count];
                [&size.to_be_bytes()[..], &[2, 0], channel, &list, fields].concat()
            };
            let handle = [&[0x70][..], &transfer.handle.to_be_bytes()].concat();
            let id = [&[0x70][..], &transfer.delivery_id?.to_be_bytes()].concat();
            let tag = transfer.delivery_tag?;
            let tag = [&[0xa0, u8::try_from(tag.len()).unwrap()][..], tag].concat();
            // No format, not settled, more to come.
            let first = frame(&[&handle[..], &id, &tag, &[0x43, 0x42, 0x41]].concat(), 6);
            let next = frame(&[&handle[..], &[0x40, 0x40, 0x40, 0x40, 0x41]].concat(), 6);
            return Some([before, &first, &next.repeat(20_000)].concat());
        }
        rest = &rest[frame.size..];
    }
    None
}

fn breaks_window<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..3).await;
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        let mut broken = false;
        world.set_tamper(move |bytes| {
            if let Some(more) = endless(bytes).filter(|_| !core::mem::replace(&mut broken, true)) {
                *bytes = more;
            }
        });
        // The delivery never ends; with the end of the session the others come, and it when its lock has ended.
        for (wait, expected) in [(SECOND * 10, 2), (SECOND * 90, 1)] {
            let message = receiver.receive(wait).await.unwrap().expect("a message");
            assert_eq!(number(message.data()), expected);
            receiver.complete(&message).await.unwrap();
        }
        assert_eq!(counts(&world).total(), 0);
        assert_eq!(world.connections_opened(), 1, "only the session is at fault");
        client.close().await;
    });
}

#[test]
fn a_full_table_of_links_names_its_knob() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let full = Told::Capacity(Capacity::Links);
        let client = world.client::<TwoLinks>();
        let failure = client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap_err();
        assert_eq!(Told::of(&failure), full, "{failure}");
        client.close().await;
        let client = world.client::<ThreeLinks>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let failure = receiver.receive(SECOND).await.unwrap_err();
        assert_eq!(Told::of(&failure), full, "{failure}");
        let failure = receiver.peek_each(0, 1, drop).await.unwrap_err();
        assert_eq!(Told::of(&failure), full, "{failure}");
        // Room for one again: the other works.
        sender.close().await;
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

/// A table that cannot hold a request, its response, a message out and one in is refused at once.
fn too_few_deliveries<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let full = Told::Capacity(Capacity::Deliveries);
        assert_eq!(Told::of(&client.sender("q").unwrap_err()), full);
        assert_eq!(Told::of(&client.receiver("q").unwrap_err()), full);
        let rules = client.rule_manager(Entity::subscription("t", "s"));
        assert_eq!(Told::of(&rules.list_each(|_| ()).await.unwrap_err()), full);
        client.close().await;
    });
}

#[test]
fn a_table_of_one_or_two_deliveries_names_its_knob() {
    too_few_deliveries::<OneDelivery>();
    too_few_deliveries::<TwoDeliveries>();
}

#[test]
fn a_table_of_four_deliveries_does_everything_one_after_the_other() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<FourDeliveries>();
        let (sender, receiver) = pair(&client);
        let began = world.clock().now;
        send_numbers(&sender, 0..5).await;
        let mut held = Vec::new();
        for _ in 0..5 {
            let mut message = receiver.receive(SECOND).await.unwrap().expect("a message");
            receiver.renew_lock(&mut message).await.unwrap();
            held.push(message);
            if held.len() == 1 {
                // With one in hand there is no place for another: that is no error, only no message.
                assert!(receiver.receive(SECOND).await.unwrap().is_none());
            }
            receiver.complete(&held.pop().expect("it")).await.unwrap();
        }
        assert_eq!(counts(&world).total(), 0);
        assert!(world.clock().now.saturating_duration_since(began) < MINUTE);
        client.close().await;
    });
}

#[test]
fn a_message_larger_than_fixed_storage_is_told_and_stays_in_the_queue() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let large = world.client::<Heap>();
        let sender = large.sender("q").unwrap();
        sender.send(&MessageRef::new(&[1; 5_000])).await.unwrap();
        sender.send(&MessageRef::new(&[2; 100])).await.unwrap();
        let client = world.client::<SmallFrames>();
        let (own, receiver) = pair(&client);
        let failure = own.send(&MessageRef::new(&[3; 5_000])).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::TooLarge, "{failure}");
        let failure = receiver.receive(SECOND * 30).await.unwrap_err();
        assert_eq!(Told::of(&failure), Told::Capacity(Capacity::Message), "{failure}");
        // Whoever has room gets it.
        let other = large.receiver("q").unwrap();
        assert_eq!(counts(&world).active, 2);
        world.sleep(MINUTE).await;
        let message = other.receive(MINUTE * 2).await.unwrap().expect("the large one");
        assert_eq!(message.data().len(), 5_000);
        other.complete(&message).await.unwrap();
        let message = receiver.receive(SECOND * 30).await.unwrap().expect("the small one");
        receiver.complete(&message).await.unwrap();
        large.close().await;
        client.close().await;
    });
}

#[test]
fn frames_of_512_bytes_carry_everything() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<SmallFrames>();
        let (sender, receiver) = pair(&client);
        for _ in 0..10 {
            sender.send(&MessageRef::new(&[7; 700])).await.unwrap();
            let message = receiver.receive(SECOND).await.unwrap().expect("a message");
            assert_eq!(message.data(), [7; 700]);
            receiver.complete(&message).await.unwrap();
        }
        client.close().await;
    });
}
