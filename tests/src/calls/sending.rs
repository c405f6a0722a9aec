//! Calls of the client itself and of senders.

use super::{Bound, Call, MISSING_SEQUENCE_NUMBER, WAIT, call};
use servicebus_core::client::{ConnectionState, Error, Sender, SenderOptions};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{MessageBatch, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Timestamp};
use std::future::poll_fn;
use std::task::Poll;

/// The message of every send.
pub(super) fn message() -> MessageRef<'static> {
    MessageRef::new(b"sent")
}

/// A batch of one message.
pub(super) fn batch() -> MessageBatch<Heap> {
    let mut batch = MessageBatch::new(65_536, Timestamp::UNIX_EPOCH);
    batch.try_add(&message()).expect("there is room for a message");
    batch
}

/// An hour from now.
pub(super) fn later<R: Runtime>(sender: &Sender<R>) -> Timestamp {
    sender.now() + Duration::from_secs(3_600)
}

/// Sends more at once than sockets hold for a peer that does not read.
async fn send_much<R: Runtime<Storage = Heap>>(sender: &Sender<R>) -> Result<(), Error<Heap>> {
    let body = vec![7; 200_000];
    let message = MessageRef::new(&body);
    let mut sends: Vec<_> = (0..32).map(|_| Box::pin(sender.send(&message))).collect();
    let mut result = Ok(());
    poll_fn(|cx| {
        sends.retain_mut(|send| match send.as_mut().poll(cx) {
            Poll::Ready(sent) => {
                if sent.is_err() {
                    result = sent;
                }
                false
            }
            Poll::Pending => true,
        });
        if sends.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}

pub(super) fn calls<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Client::ready", Nothing, Bound::Given(WAIT), |scene| scene.client.ready(WAIT).await),
        call!("Client::state_changed", Nothing, Bound::UntilClosed, |scene| {
            while !matches!(scene.client.state(), ConnectionState::Closed) {
                scene.client.state_changed(&scene.client.state()).await;
            }
            Ok::<_, Error<Heap>>(())
        }),
        call!("Sender::send", Sender, Bound::Given(WAIT), |scene| scene.sender().timeout(WAIT).send(&message()).await),
        call!("Sender::send_batch", Sender, Bound::Given(WAIT), |scene| {
            scene.sender().timeout(WAIT).send_batch(batch()).await
        }),
        call!("Sender::schedule", Sender, Bound::Given(WAIT), |scene| {
            let sender = scene.sender().timeout(WAIT);
            sender.schedule(&message(), later(&sender)).await
        }),
        call!("Client::close", Nothing, Bound::Close, |scene| {
            scene.client.close().await;
            Ok::<_, String>(())
        }),
        call!("Client::close", Message, Bound::Close, |scene| {
            scene.client.clone().close().await;
            Ok::<_, String>(())
        }),
        call!("Client::disconnect", Message, Bound::Given(Duration::from_secs(12)), |scene| {
            scene.client.disconnect().await;
            Ok::<_, String>(())
        }),
        call!("Sender::send", Sender, Bound::Policy, |scene| scene.sender().send(&message()).await),
        call!("Sender::send", Sender, Bound::Policy, |scene| send_much(scene.sender()).await),
        call!("Sender::enqueue", Sender, Bound::Policies(2), |scene| {
            match scene.sender().enqueue(&message()).await {
                Ok(delivery) => delivery.await,
                Err(error) => Err(error),
            }
        }),
        call!("Delivery::poll", Sender, Bound::Policies(2), |scene| {
            let sender = scene.client.sender(SenderOptions::new(super::QUEUE).ordered());
            let sender = sender.map_err(|error| error.to_string())?;
            let first = sender.enqueue(&message()).await.map_err(|error| error.to_string())?;
            let second = sender.enqueue(&message()).await.map_err(|error| error.to_string())?;
            first.await.and(second.await).map_err(|error| error.to_string())
        }),
        call!("Sender::size_limits", Sender, Bound::Policy, |scene| scene.sender().size_limits().await),
        call!("Sender::create_batch", Sender, Bound::Policy, |scene| scene.sender().create_batch().await),
        call!("Sender::send_batch", Sender, Bound::Policy, |scene| scene.sender().send_batch(batch()).await),
        call!("Sender::send_all", Sender, Bound::Policies(2), |scene| scene.sender().send_all(&[message()]).await),
        call!("Sender::schedule", Sender, Bound::Policy, |scene| {
            let at = later(scene.sender());
            scene.sender().schedule(&message(), at).await
        }),
        call!("Sender::schedule_each", Sender, Bound::Policy, |scene| {
            let at = later(scene.sender());
            scene.sender().schedule_each(&[message()], at, |_| ()).await
        }),
        call!("Sender::schedule_all", Sender, Bound::Policy, |scene| {
            let at = later(scene.sender());
            scene.sender().schedule_all(&[message(), message()], at).await
        }),
        call!("Sender::cancel_scheduled", Sender, Bound::Policy, |scene| {
            scene.sender().cancel_scheduled(&[MISSING_SEQUENCE_NUMBER]).await
        }),
        call!("Sender::close", Sender, Bound::Close, |scene| {
            let mut scene = scene;
            if let Some(sender) = scene.sender.take() {
                sender.close().await;
            }
            Ok::<_, String>(())
        }),
    ]
}
