//! Calls of transactions and their controller.

use super::sending::{batch, later, message};
use super::{Bound, Call, QUEUE, call};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::Disposition;
use servicebus_core::storage::Heap;

pub(super) fn calls<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Client::begin_transaction", Controller, Bound::Policy, |scene| {
            let _sender = scene.client.sender(QUEUE).map_err(|error| error.to_string())?;
            scene.client.begin_transaction().await.map(drop)
        }),
        call!("TransactionController::begin", Controller, Bound::Policy, |scene| {
            scene.controller().begin().await.map(drop)
        }),
        call!("TransactionController::close", Controller, Bound::Close, |scene| {
            let mut scene = scene;
            if let Some(controller) = scene.controller.take() {
                controller.close().await;
            }
            Ok::<_, String>(())
        }),
        call!("Transaction::send", Transaction, Bound::Attempt, |scene| {
            scene.transaction().send(scene.sender(), &message()).await
        }),
        call!("Transaction::send_batch", Transaction, Bound::Attempt, |scene| {
            scene.transaction().send_batch(scene.sender(), batch()).await
        }),
        call!("Transaction::schedule", Transaction, Bound::Attempt, |scene| {
            let at = later(scene.sender());
            scene.transaction().schedule(scene.sender(), &message(), at).await
        }),
        call!("Transaction::settle", Transaction, Bound::Attempt, |scene| {
            let disposition = Disposition::Abandon { properties: &[] };
            scene.transaction().settle(scene.receiver(), scene.message(), disposition).await
        }),
        call!("Transaction::complete", Transaction, Bound::Attempt, |scene| {
            scene.transaction().complete(scene.receiver(), scene.message()).await
        }),
        call!("Transaction::commit", Transaction, Bound::Attempt, |scene| {
            let mut scene = scene;
            let transaction = scene.transaction.take().expect("the call needs a transaction");
            transaction.commit().await
        }),
        call!("Transaction::roll_back", Transaction, Bound::Attempt, |scene| {
            let mut scene = scene;
            let transaction = scene.transaction.take().expect("the call needs a transaction");
            transaction.roll_back().await
        }),
    ]
}
