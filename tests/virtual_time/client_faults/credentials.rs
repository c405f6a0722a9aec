//! A credential that never answers is asked again, and blocks only calls that need its token.

use crate::scripted::{self, Server};
use crate::stage::{HOUR, MINUTE, SECOND, add_queue, ending, longest, observe, on_both_storages, settings_of, world};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use servicebus_core::driver::{Credential, Token, TokenFn};
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_core::storage::{Payload, Payloads};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::performative::Performative;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::engine::Item;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

/// A token as the emulator reads it.
fn token<P: Payload>(expires_at: Timestamp) -> Token<P> {
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", expires_at.as_secs()));
    Token::jwt(P::copy_from(format!("e30.{claims}.x").as_bytes()).expect("room"), expires_at)
}

/// A credential that gives tokens of this life, except for the requests from `first` on, `hangs` in number: those are
/// never answered. It counts the requests.
fn credential<P: Payload + 'static>(
    world: &World,
    life: Duration,
    first: u32,
    hangs: u32,
) -> (impl Credential<P> + use<P>, Rc<Cell<u32>>) {
    let asked = Rc::new(Cell::new(0));
    let (counted, inner) = (Rc::clone(&asked), world.clone());
    let credential = TokenFn(move || {
        let number = counted.get() + 1;
        counted.set(number);
        let inner = inner.clone();
        async move {
            if number >= first && number - first < hangs {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(token(inner.clock().utc + life))
        }
    });
    (credential, asked)
}

/// Sends to a service that leaves connections open and detaches links whose token has expired: how often the credential
/// was asked, and whether the last send worked.
fn sends<S: Complete>(life: Duration, first: u32, hangs: u32) -> (u32, bool) {
    observe(&world(QueueDescription::default()), async move |world| {
        let (credential, asked) = credential(&world, life, first, hangs);
        let expires_at = Cell::new(world.clock().now);
        let inner = world.clone();
        let script = move |server: &mut Server, item: &Item<'_>| {
            let Item::Frame(_, Performative::Transfer(transfer), _) = item else { return false };
            let Some(link) = server.link(transfer.handle) else { return false };
            let now = inner.clock().now;
            if link.address == "$cbs" {
                expires_at.set(now + life);
            } else if expires_at.get() <= now {
                server.detach(&link, "amqp:unauthorized-access");
                return true;
            }
            false
        };
        let settings = settings_of::<S>(&world, RetryPolicy::default()).with_external_tokens();
        let (client, _) = scripted::client_with_credential(&world, settings, credential, script);
        let sender = client.sender("q").unwrap();
        let end = world.clock().now + life * (first + 2) + HOUR;
        while world.clock().now < end {
            // It may fail while the credential does not answer.
            let _ = ending(&world, MINUTE * 10, sender.send(&MessageRef::new("x"))).await;
            world.sleep(SECOND * 20).await;
        }
        // The credential would answer for long, if it was asked.
        let sent = ending(&world, MINUTE * 10, sender.send(&MessageRef::new("x"))).await;
        (asked.get(), matches!(sent, Some((_, Ok(())))))
    })
}

fn is_asked_again<S: Complete>() {
    let mut judge = Judge::new();
    let ten = MINUTE * 10;
    for (life, first, hangs) in [(ten, 1, 1), (ten, 2, 1), (ten, 2, 2), (ten, 3, 1), (MINUTE * 5, 2, 1), (HOUR, 2, 1)] {
        judge.case(
            format!("tokens of {life:?}, request {first} and {} more unanswered", hangs - 1),
            sends::<S>(life, first, hangs),
            |(asked, sent)| *sent && *asked >= first + hangs,
            |(asked, sent)| !*sent && *asked == first,
        );
    }
    judge.finish();
}

/// Whether an entity with a valid token is used while the credential does not answer for another.
fn holds_up_no_valid_token<S: Complete>() {
    // After half an hour the service has detached the idle link, and closed the connection that had no other.
    for (life, wait, reconnects) in [
        (MINUTE * 10, SECOND, false),
        (MINUTE * 30, MINUTE, false),
        (HOUR, MINUTE * 10, false),
        (HOUR, MINUTE * 30, true),
    ] {
        let queues = world(QueueDescription::default());
        add_queue(&queues, "a", QueueDescription::default());
        let sent = observe(&queues, async move |world| {
            let (credential, _) = credential(&world, life, 2, u32::MAX);
            let client = world.client_with_credential(settings_of::<S>(&world, RetryPolicy::default()), credential);
            let sender = client.sender("q").unwrap();
            sender.send(&MessageRef::new("x")).await.unwrap();
            let other = client.sender("a").unwrap();
            world.spawn(async move { drop(other.send(&MessageRef::new("x")).await) });
            world.sleep(wait).await;
            let limit = longest(&RetryPolicy::default()) + SECOND;
            let ended = ending(&world, limit, sender.send(&MessageRef::new("x"))).await;
            (ended, world.connections_opened())
        });
        let (ended, connections) = sent;
        assert_eq!(connections > 1, reconnects, "{life:?} {wait:?}: {connections} connections");
        // Fixed storage has no room for a token's text (runtime-embassy/README.md): another connection needs the credential
        // again, and the call ends.
        let needs_another = <S::Payloads as Payloads<_, _>>::BOUNDED && reconnects;
        let right =
            ended.is_some_and(|(took, result)| result.is_err() == needs_another && (needs_another || took < SECOND));
        assert!(right, "{life:?} {wait:?}: {ended:?}, {connections} connections");
    }
}

on_both_storages! {
    a_credential_that_never_answers_is_asked_again_c4 => is_asked_again;
    a_credential_that_never_answers_holds_up_no_valid_token_c4 => holds_up_no_valid_token;
}
