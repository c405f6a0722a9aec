//! Rows 13 to 25 of docs/evidence/invariants.md §1, and those below its table: renewal, deadlines, leaks, settlement.

use crate::stage::{
    HOUR, MINUTE, SECOND, Small, counts, locks, number, on_both_storages, pair, play, send_numbers, world,
};
use servicebus_core::machine::Occupancy;
use servicebus_core::servicebus::{BatchError, Disposition, Entity, LockToken, MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Server, World};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

on_both_storages! {
    row_13_a_renewal_is_tried_again_while_the_lock_lasts => renewal_over_failures;
    row_14_a_handler_of_75_minutes_keeps_its_lock => long_handler;
    row_16_refused_tokens_are_put_again_for_ever => token_refused_for_long;
    row_17_accepting_a_session_ends_at_the_callers_deadline => bounded_accept;
    row_18_the_service_is_told_how_long_to_look_for_a_session => accept_timeout;
    row_19_every_pending_call_ends_when_its_link_or_connection_does => no_orphans;
    row_22_tables_are_empty_after_many_openings => no_leaks;
    row_22_management_links_go_with_the_last_user_of_an_entity => many_entities;
    row_22_the_links_of_a_rule_manager_go_after_a_quiet_minute => quiet_rules;
    row_25_a_message_is_settled_elsewhere_or_after_a_reconnect => settled_elsewhere;
    row_26_lock_tokens_are_guids_in_dotnet_order => lock_tokens;
    row_28_an_answer_in_http_is_told_as_such => http_answer;
    row_29_a_settlement_waits_for_its_confirmation => settlement_refused;
}

fn renewal_over_failures<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let mut message = receiver.next().await.unwrap();
        // The first two attempts are refused, then the connection goes.
        world.broker(|broker, _| broker.refuse(2, Reason::InternalError));
        let first = receiver.renew_lock(&mut message).await.unwrap();
        world.cut();
        world.set_reachable(false);
        let other = world.clone();
        world.spawn(async move {
            other.sleep(SECOND * 5).await;
            other.set_reachable(true);
        });
        assert!(receiver.renew_lock(&mut message).await.unwrap() > first);
        receiver.complete(&message).await.unwrap();
        // A lock that has ended is told at once.
        send_numbers(&sender, 0..1).await;
        let mut message = receiver.next().await.unwrap();
        world.sleep(MINUTE * 2).await;
        let failure = receiver.renew_lock(&mut message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost), "{failure}");
        client.close().await;
    });
}

fn long_handler<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let mut message = receiver.next().await.unwrap();
        // Tokens end after an hour, links without traffic after ten minutes.
        for _ in 0..75 * 2 {
            world.sleep(SECOND * 30).await;
            receiver.renew_lock(&mut message).await.unwrap();
        }
        receiver.complete(&message).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        assert_eq!(world.connections_opened(), 1);
        client.close().await;
    });
}

fn token_refused_for_long<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let receiver = client.receiver("q").unwrap();
        // From before the first renewal until shortly before the token's end everything is refused.
        let other = world.clone();
        world.spawn(async move {
            other.sleep(MINUTE * 40).await;
            other.broker(|broker, _| broker.refuse_tokens(u64::MAX, Reason::InternalError));
            other.sleep(MINUTE * 19).await;
            other.broker(|broker, _| broker.refuse_tokens(0, Reason::InternalError));
            other.sleep(MINUTE * 10).await;
            let client = other.client::<S>();
            client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
            client.close().await;
        });
        let message = receiver.next().await.unwrap();
        receiver.complete(&message).await.unwrap();
        let refused = world.broker(|broker, _| broker.statistics().tokens_refused);
        assert!((6..20).contains(&refused), "for six minutes, 3 s to 60 s apart: {refused}");
        assert_eq!(world.connections_opened(), 2);
        client.close().await;
    });
}

fn sessions() -> World {
    world(QueueDescription { requires_session: true, ..QueueDescription::default() })
}

fn bounded_accept<S: Complete>() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<S>();
        for seconds in [1, 7, 90] {
            let began = world.clock().now;
            let wait = SECOND * seconds;
            let found = client.accept_next_session(Entity::queue("q"), wait).await;
            assert!(found.unwrap().is_none(), "no session is a value");
            let took = world.clock().now.saturating_duration_since(began);
            assert!(took >= wait && took < wait + SECOND * 2, "{seconds} s took {took:?}");
        }
        // The same when nobody answers at all.
        world.set_black_hole(true);
        let began = world.clock().now;
        let found = client.accept_next_session(Entity::queue("q"), SECOND * 20).await;
        assert!(found.is_ok_and(|found| found.is_none()));
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 23);
        world.set_black_hole(false);
        client.close().await;
    });
}

fn accept_timeout<S: Complete>() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        let other = world.clone();
        world.spawn(async move {
            other.sleep(SECOND * 100).await;
            sender.send(&MessageRef::new("x").with_session_id("late")).await.unwrap();
        });
        // Longer than the service looks by itself.
        let found = client.accept_next_session(Entity::queue("q"), SECOND * 120).await;
        let session = found.unwrap().expect("a session");
        assert_eq!(session.session_id(), "late");
        let message = session.next().await.unwrap();
        session.complete(&message).await.unwrap();
        session.close().await;
        client.close().await;
    });
}

fn no_orphans<S: Complete>() {
    for blow in 0..5 {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<S>();
            let (sender, receiver) = pair(&client);
            send_numbers(&sender, 0..4).await;
            let message = receiver.next().await.unwrap();
            let ended = Rc::new(Cell::new(0));
            let idle = client.receiver("q").unwrap();
            let count = |ended: &Rc<Cell<u32>>| ended.set(ended.get() + 1);
            let (a, b, c, d) = (ended.clone(), ended.clone(), ended.clone(), ended.clone());
            let (own, slow) = (world.clone(), client.receiver("q").unwrap());
            world.spawn(async move {
                let _ = sender.send(&MessageRef::new("x")).await;
                let _ = sender.schedule(&MessageRef::new("y"), own.clock().utc + HOUR).await;
                sender.close().await;
                count(&a);
            });
            world.spawn(async move {
                let _ = receiver.complete(&message).await;
                let _ = receiver.peek_each(0, 10, drop).await;
                receiver.close().await;
                count(&b);
            });
            world.spawn(async move {
                while idle.receive(SECOND * 10).await.is_ok_and(|found| found.is_some()) {}
                idle.close().await;
                count(&c);
            });
            world.spawn(async move {
                slow.close().await;
                count(&d);
            });
            world.sleep(Duration::from_micros(500 + blow * 700)).await;
            match blow {
                0 => world.cut(),
                1 => world.broker(|broker, clock| broker.force_detach("q", clock)),
                2 => world.broker(|broker, clock| {
                    for id in broker.connections() {
                        broker.close_connection(id, clock);
                    }
                }),
                3 => world.set_black_hole(true),
                _ => world.broker(|broker, clock| {
                    broker.with_namespace(clock, |namespace| namespace.delete("q")).expect("deleted");
                }),
            }
            world.sleep(MINUTE * 20).await;
            assert_eq!(ended.get(), 4, "blow {blow}");
            client.close().await;
        });
    }
}

fn no_leaks<S: Complete>() {
    // The Go SDK's benchmark does this 100 000 times; here every kind of opening is done 200 times.
    let world = world(QueueDescription { max_delivery_count: 1_000, ..QueueDescription::default() });
    add_session_queue(&world);
    play(&world, async |world| {
        let (client, state) = world.client_and_state::<S>(world.settings());
        let occupancy = || state.borrow_mut().machine().occupancy();
        let keep = client.sender("q").unwrap();
        send_numbers(&keep, 0..2).await;
        let mut before = Occupancy::default();
        for round in 0..200 {
            let sender = client.sender("q").unwrap();
            sender.send(&MessageRef::new("x")).await.unwrap();
            sender.close().await;
            let (one, other) = (client.receiver("q").unwrap(), client.receiver("q").unwrap());
            // Received by one, settled by the other.
            let message = one.next().await.unwrap();
            other.complete(&message).await.unwrap();
            one.close().await;
            drop(other);
            assert!(client.receiver("missing").unwrap().receive(SECOND).await.is_err());
            let refused = client.accept_session(Entity::queue("q"), "none").await;
            assert!(refused.is_err(), "it has no sessions");
            let none = Duration::from_millis(1);
            let found = client.accept_next_session(Entity::queue("s"), none).await;
            assert!(found.unwrap().is_none());
            world.sleep(SECOND).await;
            if round == 2 {
                before = occupancy();
                assert_eq!((before.endpoints, before.operations, before.requests), (1, 0, 0));
            }
        }
        assert_eq!(occupancy(), before);
        assert_eq!(before.deliveries, 0);
        keep.close().await;
        assert_eq!(occupancy().endpoints, 0);
        client.close().await;
    });
}

fn many_entities<S: Complete>() {
    // Each has a $management node of its own: those that are not used any more make room for others.
    let names = ["q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9"];
    let world = world(QueueDescription::default());
    for name in names {
        crate::stage::add_queue(&world, name, QueueDescription::default());
    }
    play(&world, async move |world| {
        let (client, state) = world.client_and_state::<S>(world.settings());
        for _ in 0..3 {
            for name in names {
                let sender = client.sender(name).unwrap();
                let number = sender.schedule(&MessageRef::new("x"), world.clock().utc + HOUR).await.unwrap();
                sender.cancel_scheduled(&[number]).await.unwrap();
                sender.close().await;
            }
        }
        world.sleep(SECOND).await;
        let occupancy = state.borrow_mut().machine().occupancy();
        assert_eq!((occupancy.endpoints, occupancy.nodes, occupancy.tokens), (0, 1, 0), "$cbs is left: {occupancy:?}");
        client.close().await;
    });
}

fn quiet_rules<S: Complete>() {
    // It has no sender or receiver that its $management could go with.
    let topics = ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            for topic in topics {
                namespace.create_topic(topic, Default::default(), clock.utc).unwrap();
                namespace.create_subscription(topic, "s", Default::default(), None, clock.utc).unwrap();
            }
        });
    });
    play(&world, async move |world| {
        let (client, state) = world.client_and_state::<S>(world.settings());
        let nodes = || state.borrow_mut().machine().occupancy().nodes;
        for topic in topics {
            let rules = client.rule_manager(Entity::subscription(topic, "s"));
            for _ in 0..3 {
                assert_eq!(rules.list_each(|_| ()).await.unwrap(), 1);
                world.sleep(SECOND * 40).await;
                assert_eq!(nodes(), 2, "$cbs and this one, whose links are kept between the calls");
            }
            world.sleep(SECOND * 25).await;
            let occupancy = state.borrow_mut().machine().occupancy();
            assert_eq!((occupancy.nodes, occupancy.tokens, occupancy.links), (1, 0, 2), "$cbs is left: {occupancy:?}");
        }
        assert_eq!(world.connections_opened(), 1);
        client.close().await;
    });
}

fn add_session_queue(world: &World) {
    crate::stage::add_queue(world, "s", QueueDescription { requires_session: true, ..QueueDescription::default() });
}

fn settled_elsewhere<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..5).await;
        let other = client.receiver("q").unwrap();
        // On another receiver of the same queue.
        other.complete(&receiver.next().await.unwrap()).await.unwrap();
        // After the connection was lost, while a new delivery has the old one's number.
        let old = receiver.next().await.unwrap();
        world.cut();
        let new = receiver.next().await.unwrap();
        receiver.dead_letter(&old, Default::default()).await.unwrap();
        receiver.complete(&new).await.unwrap();
        assert_eq!((counts(&world).active, counts(&world).dead_letter), (2, 1));
        // After the link was lost.
        let old = receiver.next().await.unwrap();
        world.broker(|broker, clock| broker.force_detach("q", clock));
        world.sleep(SECOND).await;
        receiver.abandon(&old).await.unwrap();
        // By its token alone, from another client.
        let again = receiver.next().await.unwrap();
        let stranger = world.client::<S>();
        let by_token = stranger.receiver("q").unwrap();
        by_token.settle_by_token(again.lock_token().unwrap(), Disposition::Complete).await.unwrap();
        assert_eq!((counts(&world).active, locks(&world)), (1, 0));
        stranger.close().await;
        client.close().await;
    });
}

fn lock_tokens<S: Complete>() {
    // The first three fields of a GUID are little endian on a link.
    let tag = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let token = LockToken::from_delivery_tag(&tag).expect("16 bytes");
    assert_eq!(token.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..2).await;
        // One token renews a lock through $management: both ends read it the same.
        let mut message = receiver.next().await.unwrap();
        world.sleep(SECOND).await;
        receiver.renew_lock(&mut message).await.unwrap();
        // Deferred messages have theirs in the response.
        receiver.defer(&message).await.unwrap();
        let mut back = None;
        receiver
            .receive_deferred_each(&[message.sequence_number().unwrap()], |found| back = Some(found))
            .await
            .unwrap();
        let back = back.expect("the deferred message");
        assert_ne!(back.lock_token(), message.lock_token());
        receiver.complete(&back).await.unwrap();
        assert_eq!(counts(&world).active, 1);
        client.close().await;
    });
}

fn http_answer<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        world.set_server(Server::Sends(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
        let client = world.client::<S>();
        let began = world.clock().now;
        let failure = client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap_err();
        assert!(failure.to_string().contains("HTTP"), "{failure}");
        assert!(!failure.is_transient());
        assert!(world.clock().now.saturating_duration_since(began) < SECOND);
        client.close().await;
    });
}

fn settlement_refused<S: Complete>() {
    let lock_duration = SECOND * 5;
    let world = world(QueueDescription { lock_duration, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let message = receiver.next().await.unwrap();
        // The service has no such lock any more when the disposition comes, but did not tell.
        world.sleep(Duration::from_millis(4_995)).await;
        world.set_latency(Duration::from_millis(50));
        let failure = receiver.complete(&message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost), "{failure}");
        assert_eq!(counts(&world).active, 1);
        client.close().await;
    });
}

#[test]
fn row_15_calls_do_not_need_the_driver_to_be_polled_by_them() {
    // A caller that blocks holds up nobody else: the driver is a task of its own, and its timers are the machine's.
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let message = receiver.next().await.unwrap();
        // Nothing of the client's is polled by the application for ten hours; heartbeats and tokens go on.
        world.sleep(HOUR * 10).await;
        let failure = receiver.complete(&message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        client.close().await;
    });
}

#[test]
fn row_20_a_frame_for_an_unknown_handle_ends_the_session_and_not_the_receiver() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        // flow on channel 0 for handle 77, before whatever comes next.
        let flow = [
            &[0, 0, 0, 26, 2, 0, 0, 0, 0, 0x53, 0x13, 0xc0, 13, 9][..],
            &[0x43, 0x52, 100, 0x43, 0x52, 100, 0x52, 77, 0x43, 0x43, 0x40, 0x41][..],
        ]
        .concat();
        assert_eq!(flow.len(), 26);
        let mut once = Some(flow);
        world.set_tamper(move |bytes| {
            if let Some(frame) = once.take() {
                bytes.splice(0..0, frame);
            }
        });
        // The send whose outcome went with the session is tried again and may arrive twice.
        let mut seen = BTreeSet::new();
        for round in 0..5 {
            send_numbers(&sender, round..round + 1).await;
            let message = receiver.next().await.unwrap();
            seen.insert(number(message.data()));
            receiver.complete(&message).await.unwrap();
        }
        while let Some(message) = receiver.receive(SECOND).await.unwrap() {
            seen.insert(number(message.data()));
            receiver.complete(&message).await.unwrap();
        }
        assert_eq!((seen.len(), world.connections_opened()), (5, 1));
        client.close().await;
    });
}

#[test]
fn row_21_no_more_credit_than_there_are_places() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..60).await;
        let mut seen = 0;
        while seen < 60 {
            let mut held = Vec::new();
            let count = receiver.receive_each(1_000, Some(SECOND), |message| held.push(message)).await.unwrap();
            assert!((1..16).contains(&count), "{count} of {seen}");
            for message in &held {
                assert_eq!(number(message.data()), seen);
                receiver.complete(message).await.unwrap();
                seen += 1;
            }
        }
        client.close().await;
    });
}

#[test]
fn row_23_large_messages_of_one_sender_do_not_mix() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let sender = Rc::new(sender);
        for number in 0..20u8 {
            let sender = Rc::clone(&sender);
            // More than a frame each.
            world.spawn(async move {
                sender.send(&MessageRef::new(&vec![number; 150_000 + usize::from(number)])).await.unwrap();
            });
        }
        let mut seen = 0;
        while seen < 20 {
            for message in receiver.receive_messages(20, MINUTE).await.unwrap() {
                let data = message.data();
                assert_eq!(data.len(), 150_000 + usize::from(data[0]));
                assert!(data.iter().all(|byte| *byte == data[0]));
                receiver.complete(&message).await.unwrap();
                seen += 1;
            }
        }
        client.close().await;
    });
}

#[test]
fn row_24_a_full_batch_is_accepted_and_one_byte_more_is_not_added() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for size in [1, 77, 254, 255, 256, 1_000, 40_000, 70_000] {
            let mut batch = sender.create_batch().await.unwrap();
            let body = vec![7; size];
            let message = MessageRef::new(&body).with_message_id("0123456789").with_session_id("s");
            let added = loop {
                match batch.try_add(&message) {
                    Ok(()) => {}
                    Err(BatchError::Full) => break batch.len(),
                    Err(other) => panic!("{other}"),
                }
            };
            assert!(batch.size_in_bytes() <= batch.max_size_in_bytes());
            let before = counts(&world).active;
            sender.send_batch(batch).await.unwrap();
            assert_eq!(counts(&world).active - before, added as u64, "bodies of {size}");
            assert!(added <= 4_500);
        }
        client.close().await;
    });
}

#[test]
fn row_27_an_empty_frame_is_taken_when_it_comes() {
    // Heartbeats of eight bytes arrive before everything else.
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        world.set_tamper(|bytes| {
            // Between AMQP's frames, not those of SASL.
            if (bytes.first(), bytes.get(5)) == (Some(&0), Some(&0)) {
                bytes.splice(0..0, [0, 0, 0, 8, 2, 0, 0, 0]);
            }
        });
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..3).await;
        for _ in 0..3 {
            let message = receiver.receive(SECOND).await.unwrap().expect("at once");
            receiver.complete(&message).await.unwrap();
        }
        let began = world.clock().now;
        client.close().await;
        assert!(world.clock().now.saturating_duration_since(began) < SECOND);
    });
}

#[test]
fn row_30_fifteen_pollers_repeat_their_time_outs() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let done = Rc::new(Cell::new(0));
        for _ in 0..15 {
            let (receiver, done) = (client.receiver("q").unwrap(), Rc::clone(&done));
            world.spawn(async move {
                for _ in 0..20 {
                    assert!(receiver.receive(SECOND * 5).await.unwrap().is_none());
                }
                done.set(done.get() + 1);
                receiver.close().await;
            });
        }
        world.sleep(SECOND * 102).await;
        assert_eq!(done.get(), 15);
        let failure = client.sender("missing").unwrap().send(&MessageRef::new("")).await.unwrap_err();
        assert_eq!(Told::of(&failure), Told::Service(Reason::EntityNotFound));
        client.close().await;
    });
}
