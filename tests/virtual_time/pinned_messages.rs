//! Rows of docs/evidence/pinned-behaviour.md about messages, through this client: sending, scheduling, peeking,
//! settling, deferring.

use crate::stage::{HOUR, MINUTE, SECOND, add_queue, counts, locks, pair, play, send_numbers, world};
use servicebus_core::client::{DeadLetterOptions, ErrorKind, ReceiverOptions};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{
    BatchError, Body, Disposition, Entity, MessageRef, MessageState, Reason, ReceivedMessage,
};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::{Uuid, Value, encode_list};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::told::Told;
use std::rc::Rc;

fn deleting(entity: impl Into<Entity<Heap>>) -> ReceiverOptions<Heap> {
    ReceiverOptions::new(entity).with_mode(ReceiveMode::ReceiveAndDelete)
}

#[test]
fn sends_that_are_accepted_snd1_snd4_snd13_snd14_snd15_snd16_snd17_snd19_snd42() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x").with_session_id("no sessions here")).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.session_id(), Some("no sessions here"));
        receiver.complete(&message).await.unwrap();
        for size in [300_000, 1_000_000] {
            let began = world.clock().now;
            let failure = sender.send(&MessageRef::new(&vec![0; size])).await.unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::TooLarge, "{failure}");
            assert!(world.clock().now.saturating_duration_since(began) < SECOND, "not tried again");
        }
        let large = vec![1; 200_000];
        let mut batch = sender.create_batch().await.unwrap();
        batch.try_add(&MessageRef::new(&large)).unwrap();
        assert!(matches!(batch.try_add(&MessageRef::new(&large)), Err(BatchError::Full)));
        sender.send_batch(batch).await.unwrap();
        let third = vec![2; 33_333];
        sender.send_all(&[MessageRef::new(&third), MessageRef::new(&third), MessageRef::new(&third)]).await.unwrap();
        sender.send_all(&[MessageRef::new("")]).await.unwrap();
        sender.send_all(&[MessageRef::new("p").with_partition_key("key")]).await.unwrap();
        let (small, big) = (vec![3; 64], vec![4; 65_536]);
        sender.send(&MessageRef::new(&small)).await.unwrap();
        sender.send(&MessageRef::new(&big)).await.unwrap();
        let got = receiver.receive_messages(20, SECOND).await.unwrap();
        let sizes: Vec<usize> = got.iter().map(|message| message.data().len()).collect();
        assert_eq!(sizes, [200_000, 33_333, 33_333, 33_333, 0, 1, 64, 65_536]);
        assert_eq!(got[5].partition_key(), Some("key"));
        assert_eq!((got[6].data(), got[7].data()), (&small[..], &big[..]));
        client.close().await;
    });
}

#[test]
fn a_topic_without_sessions_takes_session_ids_snd8_and_a_missing_entity_is_told_snd9() {
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", Default::default(), clock.utc).unwrap();
            namespace.create_subscription("t", "u", Default::default(), None, clock.utc).unwrap();
        });
    });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        client.sender("t").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
        let receiver = client.receiver(Entity::subscription("t", "u")).unwrap();
        assert_eq!(receiver.next().await.unwrap().session_id(), Some("s"));
        let failure = client.sender("missing").unwrap().create_batch().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound));
        client.close().await;
    });
}

#[test]
fn a_batch_holds_4500_messages_snd21() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        // With ids of their own these would take more than the 256 KiB of a batch.
        let client = world.client_with(world.settings::<Heap>().with_message_ids(false));
        let sender = client.sender("q").unwrap();
        let mut batch = sender.create_batch().await.unwrap();
        for _ in 0..4_500 {
            batch.try_add(&MessageRef::new("123456789012345678901234")).unwrap();
        }
        assert!(matches!(batch.try_add(&MessageRef::new("x")), Err(BatchError::Full)));
        sender.send_batch(batch).await.unwrap();
        assert_eq!(counts(&world).active, 4_500);
        client.close().await;
    });
}

#[test]
fn properties_keep_type_and_value_snd23_snd24_snd25_snd26_snd30_snd31_snd33() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let properties = [
            ("ubyte", Value::Ubyte(128)),
            ("byte", Value::Byte(-101)),
            ("char", Value::Char('ü')),
            ("short", Value::Short(-5)),
            ("ushort", Value::Ushort(5)),
            ("int", Value::Int(-400)),
            ("uint", Value::Uint(400)),
            ("long", Value::Long(-400)),
            ("ulong", Value::Ulong(400)),
            ("float", Value::Float(1.5)),
            ("double", Value::Double(400.1)),
            ("boolean", Value::Boolean(true)),
            ("uuid", Value::Uuid(Uuid([7; 16]))),
            ("string", Value::String("text")),
            ("timestamp", Value::Timestamp(Timestamp::from_millis(946_688_523_000))),
            ("null", Value::Null),
        ];
        let footer = [("f", Value::Long(1))];
        let message = MessageRef::from_body(Body::Value(Value::Long(6)))
            .with_properties(&properties)
            .with_footer(&footer)
            .with_priority(100)
            .with_durable(true);
        sender.send(&message).await.unwrap();
        let first = receiver.next().await.unwrap();
        assert!(first.properties().eq(properties));
        let view = first.view();
        let header = view.header().unwrap();
        assert_eq!((header.priority, header.durable), (Some(100), Some(true)));
        assert_eq!(view.footer().unwrap().get("f"), Some(Value::Long(1)));
        // Sent on, everything that is the sender's is the same.
        sender.send(&first.to_message()).await.unwrap();
        let second = receiver.next().await.unwrap();
        assert!(second.properties().eq(properties));
        assert_eq!(second.message_id(), first.message_id());
        assert_eq!(second.body().unwrap(), first.body().unwrap());
        client.close().await;
    });
}

#[test]
fn nothing_is_scheduled_or_cancelled_for_nothing_sch10_and_sessions_keep_their_schedules_sch14_sch15_sch18() {
    let world = world(QueueDescription::default());
    add_queue(&world, "s", QueueDescription { requires_session: true, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("s").unwrap();
        let requests =
            |world: &servicebus_simulation::World| world.broker(|broker, _| broker.statistics().management_requests);
        let now = world.clock().utc;
        assert!(sender.schedule_all(&[""; 0], now).await.unwrap().is_empty());
        sender.cancel_scheduled(&[]).await.unwrap();
        assert_eq!(requests(&world), 0);
        for id in ["", "named"] {
            sender.schedule(&MessageRef::new(id).with_session_id(id), now).await.unwrap();
            let session = client.accept_session(Entity::queue("s"), id).await.unwrap();
            let message = session.next().await.unwrap();
            assert_eq!(message.session_id(), Some(id));
            session.complete(&message).await.unwrap();
            session.close().await;
        }
        let (plain, receiver) = pair(&client);
        let number = plain.schedule(&MessageRef::new("x"), now + HOUR).await.unwrap();
        plain.close().await;
        let peeked = receiver.peek(number, 1).await.unwrap();
        assert_eq!((peeked.len(), peeked[0].state()), (1, MessageState::Scheduled));
        assert_eq!(world.connections_opened(), 1);
        client.close().await;
    });
}

#[test]
fn peeking_sees_what_is_there_pek7_pek9_pek12_pek14_pek15_set12_set17_set18_dlq1_dlq5_dlq11() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..10).await;
        let got = receiver.receive_messages(10, SECOND).await.unwrap();
        for message in &got[..5] {
            receiver.abandon(message).await.unwrap();
        }
        for message in &got[5..] {
            receiver
                .settle_by_token(message.lock_token().unwrap(), Disposition::Abandon { properties: &[] })
                .await
                .unwrap();
        }
        let peeked = receiver.peek(0, 20).await.unwrap();
        let numbers: Vec<_> = peeked.iter().filter_map(ReceivedMessage::sequence_number).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "in their first order, one after the other");
        assert_eq!(peeked[0].lock_token(), None);
        let failure = receiver.complete(&peeked[0]).await.unwrap_err();
        assert!(matches!(Told::of(&failure), Told::Argument(_)), "{failure}");
        let again = receiver.receive_messages(10, SECOND).await.unwrap();
        assert!(again.iter().all(|message| message.delivery_count() == 1));
        receiver.dead_letter(&again[0], DeadLetterOptions::default()).await.unwrap();
        let reason = DeadLetterOptions::new().with_reason("why");
        receiver.dead_letter(&again[1], reason).await.unwrap();
        for message in &again[2..] {
            receiver.complete(message).await.unwrap();
        }
        assert!(receiver.peek(0, 20).await.unwrap().is_empty());
        assert_eq!((counts(&world).active, counts(&world).dead_letter, counts(&world).total()), (0, 2, 2));
        let dead = client.receiver(deleting(Entity::queue("q").dead_letter())).unwrap();
        let peeked = dead.peek(0, 20).await.unwrap();
        assert_eq!(peeked.len(), 2);
        assert_eq!((peeked[0].dead_letter_reason(), peeked[1].dead_letter_reason()), (None, Some("why")));
        assert_eq!(dead.receive_messages(5, SECOND).await.unwrap().len(), 2);
        assert!(dead.peek(0, 20).await.unwrap().is_empty());
        client.close().await;
    });
}

#[test]
fn what_is_received_and_deleted_cannot_be_settled_rad4_and_outlives_the_connection_rad8_rad9() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..3).await;
        let options = deleting("q").with_prefetch(10);
        let receiver = client.receiver(options).unwrap();
        let mut message = receiver.next().await.unwrap();
        assert!(matches!(Told::of(&receiver.complete(&message).await.unwrap_err()), Told::Argument(_)));
        assert!(matches!(Told::of(&receiver.renew_lock(&mut message).await.unwrap_err()), Told::Argument(_)));
        world.sleep(SECOND).await;
        assert_eq!(counts(&world).active, 0);
        world.cut();
        world.sleep(SECOND).await;
        for _ in 0..2 {
            receiver.receive(SECOND).await.unwrap().expect("what had come is handed over");
        }
        world.broker(|broker, clock| {
            broker.with_namespace(clock, |namespace| {
                namespace.update_queue("q", QueueDescription::default(), clock.utc).unwrap();
            });
        });
        send_numbers(&sender, 3..4).await;
        receiver.receive(SECOND).await.unwrap().expect("on the new link");
        client.close().await;
    });
}

#[test]
fn calls_that_are_given_up_lose_nothing_rad7_set11_crd6() {
    for prefetch in [0, 10] {
        for mode in [ReceiveMode::PeekLock, ReceiveMode::ReceiveAndDelete] {
            let world = world(QueueDescription::default());
            play(&world, async move |world| {
                let client = world.client::<Heap>();
                let options = ReceiverOptions::new("q").with_prefetch(prefetch).with_mode(mode);
                let receiver = Rc::new(client.receiver(options).unwrap());
                // A receive that is dropped while it waits.
                let mut call = Box::pin(receiver.receive(MINUTE));
                for _ in 0..3 {
                    core::future::poll_fn(|cx| {
                        assert!(call.as_mut().poll(cx).is_pending());
                        core::task::Poll::Ready(())
                    })
                    .await;
                    world.sleep(SECOND).await;
                }
                drop(call);
                let sender = client.sender("q").unwrap();
                let began = world.clock().now;
                send_numbers(&sender, 0..10).await;
                for _ in 0..10 {
                    let message = receiver.receive(SECOND).await.unwrap().expect("none is lost");
                    assert_eq!(message.delivery_count(), 0);
                }
                assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5);
                client.close().await;
            });
        }
    }
}

#[test]
fn properties_of_dead_letters_are_kept_as_given_set19_set25_dlq8() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let message = receiver.next().await.unwrap();
        let time = Value::Timestamp(Timestamp::from_millis(946_688_523_000));
        let properties = [("DeadLetterReason", time), ("DeadLetterErrorDescription", time)];
        let options = DeadLetterOptions::new().with_properties(&properties);
        receiver.dead_letter(&message, options).await.unwrap();
        let dead = client.receiver(Entity::queue("q").dead_letter()).unwrap();
        let message = dead.next().await.unwrap();
        assert_eq!(message.property("DeadLetterReason"), Some(time));
        assert_eq!(message.dead_letter_reason(), None);
        dead.abandon_with(&message, &[("again", Value::Long(1))]).await.unwrap();
        let message = dead.next().await.unwrap();
        assert_eq!((message.property("again"), message.delivery_count()), (Some(Value::Long(1)), 0));
        dead.defer(&message).await.unwrap();
        let back = dead.receive_deferred(&[message.sequence_number().unwrap()]).await.unwrap();
        dead.complete(&back[0]).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

#[test]
fn settling_through_management_counts_alike_set30_def3_def5_def7_def9_def10_def14_def15_lck10() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        assert!(receiver.receive_deferred(&[]).await.unwrap().is_empty());
        let message = receiver.next().await.unwrap();
        let number = message.sequence_number().unwrap();
        receiver.close().await;
        let receiver = client.receiver("q").unwrap();
        let token = message.lock_token().unwrap();
        assert!(receiver.renew_lock_by_token(token).await.unwrap() > message.locked_until().unwrap());
        receiver.abandon(&message).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.delivery_count(), 1);
        receiver.close().await;
        let receiver = client.receiver("q").unwrap();
        receiver.defer(&message).await.unwrap();
        for _ in 0..2 {
            let peeked = receiver.peek(0, 5).await.unwrap();
            assert_eq!((peeked[0].sequence_number(), peeked[0].state()), (Some(number), MessageState::Deferred));
            let back = receiver.receive_deferred(&[number]).await.unwrap();
            assert_eq!(back[0].sequence_number(), Some(number));
            receiver.defer(&back[0]).await.unwrap();
            let back = receiver.receive_deferred(&[number]).await.unwrap();
            receiver.abandon(&back[0]).await.unwrap();
        }
        let back = receiver.receive_deferred(&[number]).await.unwrap();
        receiver.dead_letter(&back[0], DeadLetterOptions::default()).await.unwrap();
        assert!(receiver.peek(0, 5).await.unwrap().is_empty());
        let failure = receiver.receive_deferred(&[number]).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageNotFound));
        assert_eq!(counts(&world).dead_letter, 1);
        client.close().await;
    });
}

#[test]
fn a_thousand_completions_meet_a_busy_service_set37_err13() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        sender.send_all(&vec![MessageRef::new("x"); 1_000]).await.unwrap();
        let receiver = Rc::new(receiver);
        let messages = receiver.receive_messages(1_000, SECOND).await.unwrap();
        assert_eq!(messages.len(), 1_000);
        // Half of them go by their tokens alone, while the service refuses some.
        world.broker(|broker, _| broker.throttle(100));
        for (at, message) in messages.into_iter().enumerate() {
            let receiver = Rc::clone(&receiver);
            world.spawn(async move {
                if at % 2 == 0 {
                    receiver.complete(&message).await.unwrap();
                } else {
                    let token = message.lock_token().unwrap();
                    receiver.settle_by_token(token, Disposition::Complete).await.unwrap();
                }
            });
        }
        world.sleep(SECOND * 30).await;
        assert_eq!((counts(&world).total(), locks(&world)), (0, 0));
        client.close().await;
    });
}

#[test]
fn waiting_ends_when_it_should_crd3_crd4_crd9_crd10_crd13() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let began = world.clock().now;
        assert!(receiver.receive(SECOND * 2).await.unwrap().is_none());
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 3);
        // Closed with everything while a receive waits.
        let other = world.client::<Heap>();
        let waiting = other.receiver("q").unwrap();
        let own = world.clone();
        world.spawn(async move {
            own.sleep(SECOND).await;
            other.close().await;
        });
        let began = world.clock().now;
        assert_eq!(Told::of(&waiting.receive(MINUTE).await.unwrap_err()), Told::Kind(ErrorKind::Closed));
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 2);
        // Cut while a drain is under way.
        for delay in 0..8 {
            let own = world.clone();
            world.spawn(async move {
                own.sleep(Duration::from_micros(9_000 + delay * 300)).await;
                own.cut();
            });
            let _ = receiver.receive(Duration::from_millis(10)).await;
            world.sleep(SECOND).await;
            send_numbers(&sender, 0..1).await;
            let message = receiver.receive(SECOND).await.unwrap().expect("on a new link");
            receiver.complete(&message).await.unwrap();
            world.cut();
            let number = sender.schedule(&MessageRef::new("x"), world.clock().utc + HOUR).await.unwrap();
            world.cut();
            assert_eq!(receiver.peek(number, 1).await.unwrap().len(), 1);
        }
        receiver.close().await;
        let deleter = client.receiver(deleting("q")).unwrap();
        for _ in 0..30 {
            sender.send_all(&[MessageRef::new("x"); 100]).await.unwrap();
        }
        let mut seen = 0;
        while seen < 3_000 {
            seen += deleter.receive_messages(50, SECOND).await.unwrap().len();
        }
        assert_eq!((seen, counts(&world).active), (3_000, 0));
        client.close().await;
    });
}

#[test]
fn a_body_of_any_kind_can_be_sent_on_snd47() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let mut buffer = [0; 64];
        let list = encode_list(&["A1".into(), 1i64.into(), 2i32.into()], &mut buffer).unwrap();
        let lists = [list, list];
        let bodies = [
            Body::Empty,
            Body::Data(b"one"),
            Body::DataSections(&[b"one", b"two"]),
            Body::Value(Value::Long(6)),
            Body::Value(list.into()),
            Body::Sequence(&lists),
        ];
        for body in bodies {
            sender.send(&MessageRef::from_body(body)).await.unwrap();
            let first = receiver.next().await.unwrap();
            sender.send(&first.to_message()).await.unwrap();
            let second = receiver.next().await.unwrap();
            assert_eq!(second.body().unwrap(), first.body().unwrap(), "{body:?}");
        }
        client.close().await;
    });
}
