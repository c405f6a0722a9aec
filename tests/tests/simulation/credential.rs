//! Tokens that come from a credential of the application's, as Entra ID's do.

use crate::stage::{HOUR, MINUTE, Names, SECOND, add_queue, on_both_storages, play, world};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use servicebus_core::client::Client;
use servicebus_core::driver::{AccessToken, TokenFn};
use servicebus_core::servicebus::Message;
use servicebus_core::servicebus::namespace::Cause;
use servicebus_core::storage::PayloadBuilder;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::simulation::{Simulated, World};
use std::cell::Cell;
use std::future::ready;
use std::rc::Rc;

on_both_storages! {
    every_entity_keeps_a_token_that_counts => renewed;
    a_credential_that_fails_is_asked_again_with_pauses => fails;
    tokens_that_are_over_are_not_asked_for_in_a_loop => over;
    a_token_that_comes_late_is_waited_for => late;
}

/// What a credential does, and how often it was asked.
#[derive(Clone)]
struct Issuer {
    asked: Rc<Cell<u32>>,
    /// How long its tokens last; `None` when it has none.
    lasting: Rc<Cell<Option<Duration>>>,
}

impl Issuer {
    fn new(lasting: Option<Duration>) -> Self {
        Self { asked: Rc::default(), lasting: Rc::new(Cell::new(lasting)) }
    }

    fn issue<P: PayloadBuilder>(&self, world: &World) -> Result<AccessToken<P>, &'static str> {
        self.asked.set(self.asked.get() + 1);
        let expires_at = world.clock().utc + self.lasting.get().ok_or("nobody is signed in")?;
        Ok(AccessToken { token: token(expires_at), expires_at })
    }
}

/// A token as the emulator reads it.
fn token<P: PayloadBuilder>(expires_at: Timestamp) -> P {
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", expires_at.as_secs()));
    P::copy_from(format!("e30.{claims}.x").as_bytes()).expect("there is room")
}

fn client<S: Names>(world: &World, issuer: &Issuer) -> Client<Simulated<S>> {
    let (issuer, inner) = (issuer.clone(), world.clone());
    world.client_with_credential(world.settings(), TokenFn(move || ready(issuer.issue::<S::Payload>(&inner))))
}

fn renewed<S: Names>() {
    let world = world(QueueDescription::default());
    for name in ["a", "b"] {
        add_queue(&world, name, QueueDescription::default());
    }
    play(&world, async |world| {
        let issuer = Issuer::new(Some(MINUTE * 10));
        let client = client::<S>(&world, &issuer);
        let senders = ["q", "a", "b"].map(|name| client.sender(name).unwrap());
        let began = world.clock().now;
        while world.clock().now < began + HOUR {
            for sender in &senders {
                sender.send(&Message::new("x")).await.unwrap();
            }
            // Three entities are asked by request, one after the other: `Small` has places for two.
            let later = world.clock().utc + HOUR;
            for sender in &senders {
                sender.schedule(&Message::new("later"), later).await.unwrap();
            }
            world.sleep(MINUTE * 2).await;
        }
        let (statistics, asked) = (world.broker(|broker, _| broker.statistics()), issuer.asked.get());
        assert_eq!(statistics.tokens_refused, 0);
        assert_eq!(world.connections_opened(), 1, "no token ran out");
        // Each lasts ten minutes, and is renewed in the eighth; the three entities may need one each.
        assert!((7..=40).contains(&asked), "asked {asked} times");
        client.close().await;
    });
}

fn fails<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let sender = client.sender("q").unwrap();
        let failure = sender.send(&Message::new("x")).await.unwrap_err();
        // The service closes a connection that is not authorized in 20 s, so that waiting may end first.
        assert!(matches!(failure.cause, Cause::Credential | Cause::Timeout), "{failure}");
        assert!(!client.last_description().as_ref().is_empty());
        assert!(issuer.asked.get() < 60, "asked {} times", issuer.asked.get());
        issuer.lasting.set(Some(HOUR));
        sender.send(&Message::new("x")).await.unwrap();
        client.close().await;
    });
}

fn over<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(Some(Duration::ZERO));
        let client = client::<S>(&world, &issuer);
        let sender = client.sender("q").unwrap();
        let failure = sender.send(&Message::new("x")).await.unwrap_err();
        assert!(matches!(failure.cause, Cause::Credential | Cause::Timeout), "{failure}");
        world.sleep(HOUR).await;
        // A few times for each connection, which the service closes after 20 s.
        assert!(issuer.asked.get() < 700, "asked {} times", issuer.asked.get());
        issuer.lasting.set(Some(HOUR));
        sender.send(&Message::new("x")).await.unwrap();
        // One that cannot be replaced in time by another is not asked for in a loop either.
        let before = issuer.asked.get();
        issuer.lasting.set(Some(Duration::ZERO));
        world.sleep(MINUTE * 50).await;
        assert!(issuer.asked.get() - before < 100, "asked {} times", issuer.asked.get() - before);
        client.close().await;
    });
}

fn late<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (issuer, inner) = (Issuer::new(Some(HOUR)), world.clone());
        let asked = Rc::clone(&issuer.asked);
        let credential = TokenFn(move || {
            let (issuer, inner) = (issuer.clone(), inner.clone());
            async move {
                inner.sleep(SECOND * 15).await;
                issuer.issue::<S::Payload>(&inner)
            }
        });
        let client = world.client_with_credential::<S>(world.settings(), credential);
        let began = world.clock().now;
        client.sender("q").unwrap().send(&Message::new("x")).await.unwrap();
        assert!(world.clock().now < began + SECOND * 16);
        assert_eq!(asked.get(), 1);
        client.close().await;
    });
}
