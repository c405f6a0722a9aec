//! Calls of receivers, of what reads through them, of the renewal of locks, and of the rules of a subscription.

use super::{Bound, Call, MISSING_SEQUENCE_NUMBER, Scene, WAIT, call};
use futures_core::Stream;
use servicebus_core::client::DeadLetterOptions;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Disposition, LockToken, RuleFilterRef, RuleRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::Timestamp;
use std::future::poll_fn;
use std::pin::Pin;

/// The lock token of the scene's message.
fn token<R: Runtime<Storage = Heap>>(scene: &Scene<R>) -> LockToken {
    scene.message().lock_token().expect("a received message has a lock")
}

/// Earlier than any message was enqueued, so that nothing is deleted by chance.
const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;

pub(super) fn calls<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    let mut calls = receiving();
    calls.extend(settling());
    calls.extend(managing());
    calls
}

fn receiving<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Receiver::receive", Receiver, Bound::Given(WAIT), |scene| scene.receiver().receive(WAIT).await),
        call!("Receiver::receive_each", Receiver, Bound::Given(WAIT), |scene| {
            scene.receiver().receive_each(3, Some(WAIT), |_| ()).await
        }),
        call!("Receiver::receive_each", Receiver, Bound::UntilClosed, |scene| {
            scene.receiver().receive_each(3, None, |_| ()).await
        }),
        call!("Receiver::receive_messages", Receiver, Bound::Given(WAIT), |scene| {
            scene.receiver().receive_messages(3, WAIT).await
        }),
        call!("Receiver::next", Receiver, Bound::UntilClosed, |scene| scene.receiver().next().await),
        call!("Messages::poll_next", Receiver, Bound::UntilClosed, |scene| {
            let mut messages = scene.receiver().messages();
            // It ends with the client.
            poll_fn(|cx| Pin::new(&mut messages).poll_next(cx)).await.transpose()
        }),
        call!("Receiver::close", Receiver, Bound::Close, |scene| {
            let mut scene = scene;
            if let Some(receiver) = scene.receiver.take() {
                receiver.close().await;
            }
            Ok::<_, String>(())
        }),
    ]
}

fn settling<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Receiver::complete", Message, Bound::Policy, |scene| scene.receiver().complete(scene.message()).await),
        call!("Receiver::abandon", Message, Bound::Policy, |scene| scene.receiver().abandon(scene.message()).await),
        call!("Receiver::abandon_with", Message, Bound::Policy, |scene| {
            scene.receiver().abandon_with(scene.message(), &[]).await
        }),
        call!("Receiver::defer", Message, Bound::Policy, |scene| scene.receiver().defer(scene.message()).await),
        call!("Receiver::defer_with", Message, Bound::Policy, |scene| {
            scene.receiver().defer_with(scene.message(), &[]).await
        }),
        call!("Receiver::dead_letter", Message, Bound::Policy, |scene| {
            scene.receiver().dead_letter(scene.message(), DeadLetterOptions::default()).await
        }),
        call!("Receiver::settle_by_token", Message, Bound::Policy, |scene| {
            scene.receiver().settle_by_token(token(&scene), Disposition::Complete).await
        }),
        call!("Receiver::renew_lock", Message, Bound::Policy, |scene| {
            let mut scene = scene;
            let mut message = scene.message.take().expect("the call needs a message");
            scene.receiver().renew_lock(&mut message).await
        }),
        call!("Receiver::renew_lock_by_token", Message, Bound::Policy, |scene| {
            scene.receiver().renew_lock_by_token(token(&scene)).await
        }),
        call!("LockRenewal::ended", Renewal, Bound::UntilClosed, |scene| {
            let mut scene = scene;
            let mut renewal = scene.renewal.take().expect("the call needs a renewal");
            renewal.ended().await;
            Ok::<_, String>(())
        }),
        call!("LockRenewal::during", Renewal, Bound::Given(WAIT), |scene| {
            let mut scene = scene;
            let mut renewal = scene.renewal.take().expect("the call needs a renewal");
            renewal.during(scene.work(), |_| ()).await
        }),
    ]
}

fn managing<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Receiver::peek_each", Receiver, Bound::Policy, |scene| scene.receiver().peek_each(0, 3, |_| ()).await),
        call!("Receiver::peek", Receiver, Bound::Policy, |scene| scene.receiver().peek(0, 3).await),
        call!("Peeker::peek_each", Receiver, Bound::Policy, |scene| {
            scene.receiver().peeker().peek_each(3, |_| ()).await
        }),
        call!("Peeker::peek", Receiver, Bound::Policy, |scene| scene.receiver().peeker().peek(3).await),
        call!("Receiver::receive_deferred_each", Receiver, Bound::Policy, |scene| {
            scene.receiver().receive_deferred_each(&[MISSING_SEQUENCE_NUMBER], |_| ()).await
        }),
        call!("Receiver::receive_deferred", Receiver, Bound::Policy, |scene| {
            scene.receiver().receive_deferred(&[MISSING_SEQUENCE_NUMBER]).await
        }),
        call!("Receiver::delete_messages", Receiver, Bound::Attempt, |scene| {
            scene.receiver().delete_messages(3, LONG_AGO).await
        }),
        call!("Receiver::purge", Receiver, Bound::Policy, |scene| scene.receiver().purge(LONG_AGO).await),
        call!("RuleManager::add", RuleManager, Bound::Policy, |scene| {
            scene.rules().add(&RuleRef::new("added", RuleFilterRef::True)).await
        }),
        call!("RuleManager::remove", RuleManager, Bound::Policy, |scene| scene.rules().remove("missing").await),
        call!("RuleManager::list", RuleManager, Bound::Policy, |scene| scene.rules().list().await),
        call!("RuleManager::list_each", RuleManager, Bound::Policy, |scene| scene.rules().list_each(|_| ()).await),
    ]
}
