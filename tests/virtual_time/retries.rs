//! The retry table of docs/evidence/wire-protocol.md §6.1, row by row: what is tried again, and what the user sees when
//! it is not.
//!
//! Nothing reconnects on a refusal: the link that carried it is well, so the next attempt takes the same one.

use crate::stage::{Names, SECOND, counts, on_both_storages, pair, play, send_numbers, world};
use servicebus_core::client::ErrorKind;
use servicebus_core::servicebus::{MessageRef, Reason, RetryPolicy};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::told::Told;

/// Reasons that another attempt follows. AuthFailed, EntityDisabled and EntityAlreadyExists, which the Python SDK tries
/// again, are not among them: nothing that a retry of seconds waits for changes them.
const RETRIED: [Reason; 8] = [
    Reason::ServerBusy,
    Reason::Timeout,
    Reason::InternalError,
    Reason::Other,
    Reason::DetachForced,
    Reason::ConnectionForced,
    Reason::OperationCancelled,
    Reason::SessionCannotBeLocked,
];

const FINAL: [Reason; 25] = [
    Reason::AuthFailed,
    Reason::EntityDisabled,
    Reason::EntityAlreadyExists,
    Reason::Unauthorized,
    Reason::EntityNotFound,
    Reason::NotAllowed,
    Reason::MessageSizeExceeded,
    Reason::QuotaExceeded,
    Reason::ArgumentError,
    Reason::DecodeError,
    Reason::NotImplemented,
    Reason::PreconditionFailed,
    Reason::InvalidField,
    Reason::ResourceDeleted,
    Reason::IllegalState,
    Reason::LinkStolen,
    Reason::SessionLockLost,
    Reason::MessageLockLost,
    Reason::ArgumentOutOfRange,
    Reason::MessageNotFound,
    Reason::StoreLockLost,
    Reason::NoMatchingSubscription,
    Reason::PublisherRevoked,
    Reason::TransactionUnknown,
    Reason::SessionNotFound,
];

on_both_storages! {
    a_refusal_that_can_pass_is_tried_again => retried;
    a_refusal_that_stays_is_told_at_once => told_at_once;
    a_refusal_that_does_not_pass_is_told_after_the_last_attempt => exhausted;
    a_busy_service_is_given_time => busy;
    all_calls_of_a_client_pause_while_the_service_is_busy => busy_for_all;
    a_policy_without_retries_tries_once => no_retries;
    a_detach_and_a_close_are_mended => mended;
}

fn retried<S: Names>() {
    for reason in RETRIED {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<S>();
            let (sender, receiver) = pair(&client);
            world.broker(|broker, _| broker.refuse(2, reason));
            sender.send(&MessageRef::new("x")).await.unwrap_or_else(|failure| panic!("{reason:?}: {failure}"));
            assert_eq!(counts(&world).active, 1, "{reason:?}");
            // Requests are tried again alike.
            world.broker(|broker, _| broker.refuse(2, reason));
            assert_eq!(receiver.peek_each(0, 10, drop).await.unwrap(), 1, "{reason:?}");
            assert_eq!(world.connections_opened(), 1, "{reason:?}");
            client.close().await;
        });
    }
}

fn told_at_once<S: Names>() {
    for reason in FINAL {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<S>();
            let (sender, receiver) = pair(&client);
            sender.size_limits().await.unwrap();
            let began = world.clock().now;
            world.broker(|broker, _| broker.refuse(1, reason));
            let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
            assert_eq!(Told::of(&failure), Told::Service(reason));
            assert!(!failure.is_transient(), "{reason:?}");
            assert!(failure.to_string().contains(reason.condition()), "{failure}");
            world.broker(|broker, _| broker.refuse(1, reason));
            let failure = receiver.peek_each(0, 10, drop).await.unwrap_err();
            assert_eq!(Told::of(&failure), Told::Service(reason));
            assert!(world.clock().now.saturating_duration_since(began) < SECOND, "{reason:?}");
            // The link goes on.
            send_numbers(&sender, 0..1).await;
            assert_eq!((counts(&world).active, world.connections_opened()), (1, 1));
            client.close().await;
        });
    }
    // Every reason is in one of both lists, or is an answer to something that is neither a send nor a request.
    let elsewhere = [Reason::PartitionNotOwned, Reason::TransactionRollback, Reason::TransactionTimeout];
    for reason in Reason::ALL {
        let listed = RETRIED.contains(reason) || FINAL.contains(reason) || elsewhere.contains(reason);
        assert!(listed, "{reason:?}");
        assert_eq!(reason.is_transient(), RETRIED.contains(reason) || *reason == Reason::PartitionNotOwned);
    }
}

fn exhausted<S: Names>() {
    for reason in RETRIED {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<S>();
            let (sender, _) = pair(&client);
            // As many as the attempts of one call: the next call finds the service well.
            world.broker(|broker, _| broker.refuse(4, reason));
            let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
            assert_eq!(Told::of(&failure), Told::Service(reason));
            assert!(failure.is_transient());
            sender.send(&MessageRef::new("x")).await.unwrap();
            assert_eq!(counts(&world).active, 1);
            client.close().await;
        });
    }
}

fn busy<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, _) = pair(&client);
        sender.size_limits().await.unwrap();
        let began = world.clock().now;
        world.broker(|broker, _| broker.throttle(2));
        sender.send(&MessageRef::new("x")).await.unwrap();
        let took = world.clock().now.saturating_duration_since(began);
        assert!(took >= SECOND * 8 && took < SECOND * 12, "{took:?}");
        client.close().await;
    });
}

fn busy_for_all<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.size_limits().await.unwrap();
        let began = world.clock().now;
        let since = || world.clock().now.saturating_duration_since(began);
        world.broker(|broker, _| broker.throttle(1));
        let message = MessageRef::new("x");
        let first = async {
            sender.send(&message).await.unwrap();
            since()
        };
        // Those that begin meanwhile wait with it, and are not refused one by one.
        let others = async {
            world.sleep(SECOND).await;
            let late = MessageRef::new("late");
            sender.send(&late).await.unwrap();
            let sent = since();
            receiver.peek_each(1, 1, |_| {}).await.unwrap();
            (sent, since())
        };
        let (first, (sent, peeked)) = futures_util::future::join(first, others).await;
        for took in [first, sent, peeked] {
            assert!(took >= SECOND * 4 && took < SECOND * 6, "{took:?}");
        }
        // A call that may not take as long ends in its time.
        world.broker(|broker, _| broker.throttle(1));
        let began = world.clock().now;
        let error = sender.timeout(SECOND).send(&message).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
        assert!(world.clock().now.saturating_duration_since(began) <= SECOND);
        client.close().await;
    });
}

fn no_retries<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let mut settings = world.settings::<S>();
        settings.retry = RetryPolicy::none();
        let client = world.client_with(settings);
        let (sender, _) = pair(&client);
        world.broker(|broker, _| broker.refuse(1, Reason::InternalError));
        let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::InternalError));
        sender.send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
    });
}

fn mended<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        for round in 0..6 {
            match round % 3 {
                0 => world.broker(|broker, clock| broker.force_detach("q", clock)),
                1 => world.cut(),
                _ => world.broker(|broker, clock| {
                    for id in broker.connections() {
                        broker.close_connection(id, clock);
                    }
                }),
            }
            send_numbers(&sender, round..round + 1).await;
            receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        }
        assert_eq!(counts(&world).total(), 0);
        assert!(world.connections_opened() <= 5, "a detach alone does not reconnect");
        client.close().await;
    });
}
