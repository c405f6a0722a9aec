//! Messages as programs hold them: copies outlive their receivers, any receiver of the entity settles them, and lists of
//! them are sent in as few batches as fit.

use crate::stage::{SECOND, Small, add_queue, play, with_store, world};
use servicebus_core::client::{Error, ErrorKind};
use servicebus_core::servicebus::{Argument, BodyError, Entity, Message, MessageRef, ReceivedMessage};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::entities::store::Store;

#[test]
fn a_message_outlives_its_receiver_and_is_settled_through_any_other_of_its_entity() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        client.sender("q").unwrap().send_all(&["a", "b", "c"]).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let messages = receiver.receive_messages(3, SECOND).await.unwrap();
        let copies: Vec<ReceivedMessage<Heap>> = messages.clone();
        drop(messages);
        // The same connection, another name for the same queue, another link.
        let other = client.receiver("Q").unwrap();
        other.complete(&copies[0]).await.unwrap();
        receiver.close().await;
        other.complete(&copies[1]).await.unwrap();
        world.cut();
        other.complete(&copies[2]).await.unwrap();
        assert_eq!(copies.iter().map(|copy| copy.text().unwrap()).collect::<String>(), "abc");
        assert_eq!(with_store(&world, Store::active_count), 0);
        client.close().await;
    });
}

#[test]
fn a_message_of_another_entity_is_refused_at_once_and_both_are_named() {
    let world = world(QueueDescription::default());
    add_queue(&world, "other", QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        client.sender("q").unwrap().send("x").await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let mut message = receiver.next().await.unwrap();
        let dead = client.receiver(Entity::queue("q").dead_letter()).unwrap();
        for wrong in [client.receiver("other").unwrap(), dead] {
            let requests = world.broker(|broker, _| broker.statistics().management_requests);
            let began = world.clock().now;
            let errors: [Error<Heap>; 3] = [
                wrong.complete(&message).await.unwrap_err(),
                wrong.abandon(&message).await.unwrap_err(),
                wrong.renew_lock(&mut message).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!((error.kind(), error.argument()), (ErrorKind::InvalidArgument, Some(Argument::OtherEntity)));
                let text = error.to_string();
                assert!(text.contains("it is of q,") && text.contains(&wrong.entity().to_string()), "{text}");
            }
            assert_eq!(world.clock().now, began, "at once");
            assert_eq!(world.broker(|broker, _| broker.statistics().management_requests), requests);
        }
        // Nothing has happened to it.
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

#[test]
fn a_message_is_shown_by_its_entity_number_and_id() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x").with_message_id("order-7")).await.unwrap();
        let message = client.receiver("q").unwrap().next().await.unwrap();
        assert_eq!(message.to_string(), "message of q, sequence number 1, id order-7");
        assert_eq!(message.entity().unwrap(), &Entity::queue("Q"));
        let bytes = ReceivedMessage::<Heap>::from_bytes(message.as_bytes().to_vec().into()).unwrap();
        assert_eq!(bytes.to_string(), "message, sequence number 1, id order-7");
        client.close().await;
    });
}

#[test]
fn a_body_that_is_no_text_says_why() {
    use servicebus_core::servicebus::Body;
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        for (body, text) in [
            (Body::Data(b"text"), Ok("text")),
            (Body::Value("text".into()), Ok("text")),
            (Body::Value((&b"text"[..]).into()), Ok("text")),
            (Body::Data(b"\xff"), Err(BodyError::NotUtf8)),
            (Body::DataSections(&[b"a", b"b"]), Err(BodyError::OtherKind)),
            (Body::Value(7.into()), Err(BodyError::OtherKind)),
            (Body::Value(true.into()), Err(BodyError::OtherKind)),
        ] {
            sender.send(&MessageRef::from_body(body)).await.unwrap();
            let message = receiver.next().await.unwrap();
            assert_eq!(message.text(), text, "{body:?}");
            receiver.complete(&message).await.unwrap();
        }
        sender.send(&Message::json(&[1, 2, 3]).unwrap()).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!((message.content_type(), message.text()), (Some("application/json"), Ok("[1,2,3]")));
        assert_eq!(message.json::<Vec<u8>>().unwrap(), [1, 2, 3]);
        assert!(message.json::<String>().is_err());
        client.close().await;
    });
}

#[test]
fn a_list_is_sent_in_as_few_batches_as_fit_and_an_error_says_how_many_are_stored() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        // Two of these fit into a batch of 256 KiB.
        let half = vec![b'x'; 100_000];
        sender.send_all(&[half.as_slice(); 5]).await.unwrap();
        assert_eq!(with_store(&world, Store::active_count), 5);
        let huge = vec![b'x'; 300_000];
        for (messages, expected) in [
            (vec![&huge[..], &half[..]], 0),
            (vec![&half[..], &huge[..]], 1),
            (vec![&half[..], &half[..], &half[..], &huge[..], &half[..]], 3),
        ] {
            let before = with_store(&world, Store::active_count);
            let error = sender.send_all(&messages).await.unwrap_err();
            assert_eq!((error.stored(), error.error().kind()), (expected, ErrorKind::TooLarge), "{error}");
            assert_eq!(with_store(&world, Store::active_count) - before, expected);
        }
        let long = "x".repeat(129);
        let invalid = [Message::new("a"), Message::new("b").with_message_id(long.as_str())];
        let error = sender.send_all(&invalid).await.unwrap_err();
        assert_eq!((error.stored(), error.error().argument()), (1, Some(Argument::MessageId)));
        client.close().await;
    });
}
