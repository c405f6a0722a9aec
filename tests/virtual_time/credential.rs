//! Tokens that come from a credential of the application's, as Entra ID's do.

use crate::stage::{HOUR, MINUTE, SECOND, add_queue, on_both_storages, play, world};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use servicebus_core::client::{Client, ErrorKind, ProcessorMessage, ProcessorOptions, ReceiverOptions};
use servicebus_core::driver::{Credential, Token, TokenFn};
use servicebus_core::servicebus::{Entity, MessageRef, Reason, sas};
use servicebus_core::storage::Payload;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_emulator::broker::entities::{Namespace, QueueDescription};
use servicebus_simulation::{Simulated, World};
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use servicebus_tests::told::{self, Told};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::ready;
use std::rc::Rc;

on_both_storages! {
    every_entity_keeps_a_token_that_counts => renewed;
    a_credential_that_fails_is_asked_again_with_pauses => fails;
    tokens_that_are_over_are_not_asked_for_in_a_loop => over;
    a_token_that_comes_late_is_waited_for => late;
    a_token_that_comes_after_its_connection_is_asked_for_again => too_late;
    a_sender_that_nobody_calls_is_parked => idle_sender;
    a_receiver_that_nobody_calls_is_parked => idle_receiver;
    a_session_that_cannot_be_had_asks_for_nothing_more => idle_session;
    a_token_that_runs_out_while_nobody_calls_is_left_alone => idle_when_it_runs_out;
    refused_tokens_are_not_put_again_for_nobody => idle_when_refused;
    a_new_sender_asks_again_for_a_parked_one => new_sender;
    a_request_asks_again_for_a_parked_token => request;
    a_processor_goes_on_asking_with_pauses => processor;
    a_signature_is_asked_for_each_audience_and_put_for_that_one => signed;
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

    fn issue<P: Payload>(&self, world: &World) -> std::io::Result<Token<P>> {
        self.asked.set(self.asked.get() + 1);
        let expires_at =
            world.clock().utc + self.lasting.get().ok_or_else(|| std::io::Error::other("nobody is signed in"))?;
        Ok(Token::Jwt { text: token(expires_at), expires_at })
    }
}

/// A token as the emulator reads it.
fn token<P: Payload>(expires_at: Timestamp) -> P {
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", expires_at.as_secs()));
    P::copy_from(format!("e30.{claims}.x").as_bytes()).expect("there is room")
}

/// Signs for the audience that it is asked for, as a back end that keeps the key would.
struct Signing {
    world: World,
    audiences: Rc<RefCell<Vec<String>>>,
}

impl<P: Payload> Credential<P> for Signing {
    type Error = std::io::Error;

    async fn token(&mut self, audience: &str) -> std::io::Result<Token<P>> {
        self.audiences.borrow_mut().push(audience.to_owned());
        let expires_at = self.world.clock().utc + HOUR;
        let mut text = String::new();
        sas::sign(audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", expires_at, &mut text)
            .map_err(std::io::Error::other)?;
        let text = P::copy_from(text.as_bytes()).map_err(|_| std::io::Error::other("the signature is too long"))?;
        Ok(Token::Sas { text, expires_at })
    }
}

fn signed<S: Complete>() {
    let world = world(QueueDescription::default());
    for name in ["a", "b"] {
        add_queue(&world, name, QueueDescription::default());
    }
    play(&world, async |world| {
        let audiences = Rc::<RefCell<Vec<String>>>::default();
        let credential = Signing { world: world.clone(), audiences: Rc::clone(&audiences) };
        let client = world.client_with_credential::<S>(world.settings(), credential);
        let (a, b) = (client.sender("a").unwrap(), client.sender("b").unwrap());
        for _ in 0..3 {
            a.send(&MessageRef::new("x")).await.unwrap();
            b.send(&MessageRef::new("x")).await.unwrap();
        }
        let mut asked = audiences.take();
        asked.sort();
        assert_eq!(asked.len(), 2, "each signature is used while it counts: {asked:?}");
        assert!(asked[0].ends_with("/a") && asked[1].ends_with("/b"), "{asked:?}");
        // Each is renewed by one of its own.
        world.sleep(HOUR * 2).await;
        a.send(&MessageRef::new("x")).await.unwrap();
        b.send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
    });
}

fn client<S: Complete>(world: &World, issuer: &Issuer) -> Client<Simulated<S>> {
    let (issuer, inner) = (issuer.clone(), world.clone());
    world.client_with_credential(world.settings(), TokenFn(move || ready(issuer.issue::<S::Payload>(&inner))))
}

fn renewed<S: Complete>() {
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
                sender.send(&MessageRef::new("x")).await.unwrap();
            }
            // Three entities are asked by request, one after the other: `Small` has places for two.
            let later = world.clock().utc + HOUR;
            for sender in &senders {
                sender.schedule(&MessageRef::new("later"), later).await.unwrap();
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

fn fails<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let sender = client.sender("q").unwrap();
        let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
        assert_eq!(Told::of(&failure), Told::Kind(ErrorKind::Credential), "{failure}");
        assert!(told::words(&failure).is_none_or(|words| !words.is_empty()), "{failure}");
        assert!((13..=16).contains(&issuer.asked.get()), "no more than four times for each attempt to send");
        issuer.lasting.set(Some(HOUR));
        sender.send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
    });
}

fn over<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(Some(Duration::ZERO));
        let client = client::<S>(&world, &issuer);
        let sender = client.sender("q").unwrap();
        let failure = sender.send(&MessageRef::new("x")).await.unwrap_err();
        assert!(
            matches!(Told::of(&failure), Told::Kind(ErrorKind::Credential) | Told::Kind(ErrorKind::Timeout)),
            "{failure}"
        );
        world.sleep(HOUR).await;
        assert!(issuer.asked.get() <= 16, "four times for each attempt to send: {}", issuer.asked.get());
        issuer.lasting.set(Some(HOUR));
        sender.send(&MessageRef::new("x")).await.unwrap();
        // One that cannot be replaced in time by another is not asked for in a loop either.
        let before = issuer.asked.get();
        issuer.lasting.set(Some(Duration::ZERO));
        world.sleep(MINUTE * 50).await;
        assert!(issuer.asked.get() - before < 100, "asked {} times", issuer.asked.get() - before);
        client.close().await;
    });
}

fn late<S: Complete>() {
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
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        assert!(world.clock().now < began + SECOND * 16);
        assert_eq!(asked.get(), 1);
        client.close().await;
    });
}

fn too_late<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (issuer, inner) = (Issuer::new(Some(HOUR)), world.clone());
        let asked = Rc::clone(&issuer.asked);
        // The service closes a connection that is not authorized in 20 s.
        let waits = Cell::new(SECOND * 30);
        let credential = TokenFn(move || {
            let (issuer, inner, wait) = (issuer.clone(), inner.clone(), waits.replace(SECOND));
            async move {
                inner.sleep(wait).await;
                issuer.issue::<S::Payload>(&inner)
            }
        });
        let client = world.client_with_credential::<S>(world.settings(), credential);
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        assert_eq!(asked.get(), 1, "the first answer was not waited for");
        assert_eq!(world.connections_opened(), 2);
        client.close().await;
    });
}

/// From now on nothing is asked and nothing connected.
async fn assert_quiet(world: &World, issuer: &Issuer) {
    let before = (issuer.asked.get(), world.connections_opened());
    world.sleep(HOUR * 24).await;
    assert_eq!((issuer.asked.get(), world.connections_opened()), before, "asked and connected for nobody");
}

fn idle_sender<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        // One that was never called, and then one that has failed.
        let sender = client.sender("q").unwrap();
        world.sleep(MINUTE).await;
        assert_eq!((issuer.asked.get(), world.connections_opened()), (4, 2), "the retries of one attempt");
        assert_quiet(&world, &issuer).await;
        sender.send(&MessageRef::new("x")).await.unwrap_err();
        world.sleep(MINUTE).await;
        assert_quiet(&world, &issuer).await;
        issuer.lasting.set(Some(HOUR));
        sender.send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
    });
}

fn idle_receiver<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let options = ReceiverOptions::new("q").with_prefetch(4);
        let receiver = client.receiver(options).unwrap();
        world.sleep(MINUTE).await;
        assert_eq!((issuer.asked.get(), world.connections_opened()), (4, 2), "the retries of one attempt");
        assert_quiet(&world, &issuer).await;
        assert_eq!(Told::of(&receiver.receive(HOUR).await.unwrap_err()), Told::Kind(ErrorKind::Credential));
        world.sleep(MINUTE).await;
        assert_quiet(&world, &issuer).await;
        issuer.lasting.set(Some(HOUR));
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        assert!(receiver.receive(MINUTE).await.unwrap().is_some());
        client.close().await;
    });
}

fn idle_session<S: Complete>() {
    let world = world(QueueDescription { requires_session: true, ..QueueDescription::default() });
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let accepted = client.accept_session(Entity::queue("q"), "s").await;
        assert_eq!(Told::of(&accepted.unwrap_err()), Told::Kind(ErrorKind::Credential));
        world.sleep(MINUTE).await;
        assert_quiet(&world, &issuer).await;
        // One that is held goes with the end of its token, and stays lost.
        issuer.lasting.set(Some(MINUTE * 10));
        let session = client.accept_session(Entity::queue("q"), "s").await.unwrap();
        issuer.lasting.set(None);
        world.sleep(HOUR).await;
        assert_quiet(&world, &issuer).await;
        assert_eq!(session.receive(MINUTE).await.unwrap_err().reason(), Some(Reason::SessionLockLost));
        assert_quiet(&world, &issuer).await;
        client.close().await;
    });
}

fn idle_when_it_runs_out<S: Complete>() {
    let world = world(QueueDescription::default());
    add_queue(&world, "a", QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(Some(MINUTE * 10));
        let client = client::<S>(&world, &issuer);
        let senders = ["q", "a"].map(|name| client.sender(name).unwrap());
        for sender in &senders {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let asked = issuer.asked.get();
        issuer.lasting.set(None);
        world.sleep(MINUTE * 12).await;
        assert!(issuer.asked.get() > asked + 4, "while the token counts, attempts do not end: {}", issuer.asked.get());
        assert_quiet(&world, &issuer).await;
        issuer.lasting.set(Some(HOUR));
        for sender in &senders {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        client.close().await;
    });
}

fn idle_when_refused<S: Complete>() {
    let world = world(QueueDescription::default());
    add_queue(&world, "a", QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let busy = client.sender("a").unwrap();
        busy.send(&MessageRef::new("x")).await.unwrap();
        // The connection stays for the one that works; the token of the other is refused.
        let refused = || world.broker(|broker, _| broker.statistics().tokens_refused);
        let mut before = 0;
        let mut idle = None;
        for (reason, attempts) in [(Reason::ServerBusy, 4), (Reason::Unauthorized, 1)] {
            world.broker(|broker, _| broker.refuse_tokens(u64::MAX, reason));
            idle = Some(client.sender("q").unwrap());
            for _ in 0..10 {
                world.sleep(MINUTE).await;
                busy.send(&MessageRef::new("x")).await.unwrap();
            }
            assert_eq!(refused() - before, attempts, "{reason}");
            before = refused();
        }
        world.broker(|broker, _| broker.refuse_tokens(0, Reason::Unauthorized));
        idle.unwrap().send(&MessageRef::new("x")).await.unwrap();
        assert_eq!(world.connections_opened(), 1);
        client.close().await;
    });
}

fn new_sender<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let parked = client.receiver("q").unwrap();
        world.sleep(MINUTE).await;
        assert_quiet(&world, &issuer).await;
        issuer.lasting.set(Some(HOUR));
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        assert!(parked.receive(MINUTE).await.unwrap().is_some());
        client.close().await;
    });
}

fn request<S: Complete>() {
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        let create = |namespace: &mut Namespace| {
            namespace.create_topic("t", Default::default(), clock.utc)?;
            namespace.create_subscription("t", "u", Default::default(), None, clock.utc)
        };
        broker.with_namespace(clock, create).unwrap();
    });
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        // No sender and no receiver uses the token.
        let rules = client.rule_manager(Entity::subscription("t", "u"));
        assert_eq!(Told::of(&rules.list_each(|_| {}).await.unwrap_err()), Told::Kind(ErrorKind::Credential));
        assert_quiet(&world, &issuer).await;
        issuer.lasting.set(Some(HOUR));
        assert_eq!(rules.list_each(|_| {}).await.unwrap(), 1);
        client.close().await;
    });
}

fn processor<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let issuer = Issuer::new(None);
        let client = client::<S>(&world, &issuer);
        let pump = client.processor(Entity::queue("q"), ProcessorOptions::default());
        let control = pump.control();
        let (handled, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (handling, failing) = (Rc::clone(&handled), Rc::clone(&failed));
        let handler = handler(async move |_: ProcessorMessage<Simulated<S>>| {
            handling.set(handling.get() + 1);
            Ok::<(), Infallible>(())
        });
        world.spawn(async move { pump.on_error(|_| failing.set(failing.get() + 1)).run(handler).await.unwrap() });
        world.sleep(HOUR).await;
        // An attempt to receive asks four times in 21 s, and the pauses between them grow to a minute.
        let each_hour = |count: u32| (4 * 25..=4 * 70).contains(&count);
        assert!(each_hour(issuer.asked.get()), "asked {} times in the first hour", issuer.asked.get());
        let before = issuer.asked.get();
        world.sleep(HOUR).await;
        assert!(each_hour(issuer.asked.get() - before), "asked {} times in the second", issuer.asked.get() - before);
        assert!(failed.get() > 10, "told {} times", failed.get());
        issuer.lasting.set(Some(HOUR));
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        world.sleep(MINUTE * 2).await;
        assert_eq!(handled.get(), 1);
        control.stop();
        world.sleep(MINUTE).await;
        client.close().await;
    });
}
