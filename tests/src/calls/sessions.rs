//! Calls that accept sessions, and calls of their receivers.

use super::{Bound, Call, SESSIONS, WAIT, call};
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::{Entity, LockToken};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_core::wire::Uuid;

/// The longest wait for the next session: the service answers at the caller's, and the client grants a service that
/// does not answer one second more.
const NEXT_SESSION: Duration = Duration::from_millis(WAIT.as_millis() as u64 + 1_000);

/// A token that no session goes by.
const UNKNOWN: LockToken = LockToken::from_uuid(Uuid([7; 16]));

fn queue() -> Entity<Heap> {
    Entity::queue(SESSIONS)
}

pub(super) fn calls<R: Runtime<Storage = Heap>>() -> Vec<Call<R>> {
    vec![
        call!("Client::accept_session", Nothing, Bound::Policy, |scene| {
            scene.client.accept_session(queue(), "fresh").await
        }),
        call!("Client::accept_next_session", Nothing, Bound::Given(NEXT_SESSION), |scene| {
            scene.client.accept_next_session(queue(), WAIT).await
        }),
        call!("Client::accept_non_exclusive_session", Nothing, Bound::Policy, |scene| {
            scene.client.accept_non_exclusive_session(queue(), "fresh").await
        }),
        call!("Client::accept_next_non_exclusive_session", Nothing, Bound::Given(NEXT_SESSION), |scene| {
            scene.client.accept_next_non_exclusive_session(queue(), WAIT).await
        }),
        call!("Client::take_over_session", Nothing, Bound::Policy, |scene| {
            scene.client.take_over_session(queue(), "fresh", UNKNOWN).await
        }),
        call!("Client::list_sessions", Nothing, Bound::Policy, |scene| scene.client.list_sessions(queue(), None).await),
        call!("Client::list_sessions_each", Nothing, Bound::Policy, |scene| {
            scene.client.list_sessions_each(queue(), None, |_| ()).await
        }),
        call!("SessionReceiver::renew_session_lock", Session, Bound::Policy, |scene| {
            scene.session().renew_session_lock().await
        }),
        call!("SessionReceiver::state", Session, Bound::Policy, |scene| scene.session().state().await),
        call!("SessionReceiver::set_state", Session, Bound::Policy, |scene| {
            scene.session().set_state(Some(b"state")).await
        }),
        call!("SessionReceiver::state_json", Session, Bound::Policy, |scene| {
            scene.session().state_json::<u32>().await
        }),
        call!("SessionReceiver::set_state_json", Session, Bound::Policy, |scene| {
            scene.session().set_state_json(&7).await
        }),
        call!("SessionReceiver::close", Session, Bound::Close, |scene| {
            let mut scene = scene;
            if let Some(session) = scene.session.take() {
                session.close().await;
            }
            Ok::<_, String>(())
        }),
        call!("Receiver::receive", Session, Bound::Given(WAIT), |scene| scene.session().receive(WAIT).await),
    ]
}
