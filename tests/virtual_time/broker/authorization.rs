//! Who may connect, attach and ask.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::sasl::SaslInit;
use servicebus_core::wire::{Symbol, Value};
use servicebus_emulator::broker::entities::{AuthorizationRule, QueueDescription, Rights, SubscriptionDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig};
use servicebus_tests::broker::*;

fn key(name: &str, rights: Rights) -> AuthorizationRule {
    AuthorizationRule { key_name: name.into(), primary_key: "k".into(), secondary_key: "k2".into(), rights }
}

fn world() -> World {
    let mut world = World::new();
    let mut config = BrokerConfig::default();
    config.namespace.keys.push(key("send", Rights::SEND));
    config.namespace.keys.push(key("listen", Rights::LISTEN));
    world.broker = Broker::new(config, 7);
    world.queue("queue", QueueDescription::default());
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    world
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_token_for_the_entity_opens_it_and_nothing_else() {
    let mut world = world();
    let c = world.connect_bare();
    let failure = world.sender(c, "queue").unwrap_err();
    assert_eq!(failure.condition, "amqp:unauthorized-access");
    assert_eq!(world.put_token(c, "sb://localhost/queue", KEY_NAME, KEY, HOUR).status(), 202);
    world.sender(c, "queue").unwrap();
    world.receiver(c, "queue/$DeadLetterQueue").unwrap();
    assert_eq!(world.manage(c, "queue", "peek-message", &[("message-count", Value::Int(1))]).status(), 204);
    assert_eq!(world.sender(c, "topic").unwrap_err().condition, "amqp:unauthorized-access");
}

#[test]
fn a_token_for_a_topic_opens_its_subscriptions() {
    let mut world = world();
    let c = world.connect_bare();
    assert_eq!(world.put_token(c, "amqps://localhost:5671/topic/", KEY_NAME, KEY, HOUR).status(), 202);
    world.receiver(c, "topic/Subscriptions/sub").unwrap();
    world.sender(c, "topic").unwrap();
}

#[test]
fn a_wrong_key_or_name_is_told_err8() {
    let mut world = world();
    let c = world.connect_bare();
    for (name, key) in [(KEY_NAME, "wrong"), ("nobody", KEY)] {
        let response = world.put_token(c, "sb://localhost/queue", name, key, HOUR);
        assert_eq!(response.status(), 401);
        assert!(response.text().starts_with("InvalidSignature: The token has an invalid signature."));
    }
    assert_eq!(world.put_text(c, "sb://localhost/queue", "nonsense").status(), 401);
    assert_eq!(world.broker.statistics().tokens_refused, 3);
}

#[test]
fn the_secondary_key_counts_too() {
    let mut world = world();
    let c = world.connect_bare();
    assert_eq!(world.put_token(c, "sb://localhost/queue", "send", "k2", HOUR).status(), 202);
}

#[test]
fn an_expired_token_is_refused_err7() {
    let mut world = world();
    let c = world.connect_bare();
    let mut token = String::new();
    let ago = world.clock.utc - Duration::from_secs(1);
    servicebus_core::servicebus::sas::sign("sb://localhost/queue", KEY_NAME, KEY, ago, &mut token).unwrap();
    let response = world.put_text(c, "sb://localhost/queue", &token);
    assert_eq!(response.status(), 401);
    assert!(response.text().starts_with("ExpiredToken: The token is expired. Expiration time:"), "{}", response.text());
}

#[test]
fn a_token_for_one_entity_cannot_be_put_for_another() {
    let mut world = world();
    let c = world.connect_bare();
    let mut token = String::new();
    let later = world.clock.utc + HOUR;
    servicebus_core::servicebus::sas::sign("sb://localhost/other", KEY_NAME, KEY, later, &mut token).unwrap();
    assert_eq!(world.put_text(c, "sb://localhost/queue", &token).status(), 401);
}

#[test]
fn manage_includes_send_and_listen() {
    let mut world = world();
    let manage = Rights { send: false, listen: false, manage: true };
    let mut config = BrokerConfig::default();
    config.namespace.keys.push(key("manage", manage));
    world.broker = Broker::new(config, 7);
    world.queue("queue", QueueDescription::default());
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    for audience in ["sb://localhost/queue", "sb://localhost/"] {
        let c = world.connect_bare();
        assert_eq!(world.put_token(c, audience, "manage", "k", HOUR).status(), 202);
        let sender = world.sender(c, "queue").unwrap();
        world.send_texts(c, sender, &["a"]);
        let receiver = world.receiver(c, "queue").unwrap();
        assert_eq!(world.consume(c, receiver).unwrap().body(), "a", "{audience}");
    }
}

#[test]
fn the_rights_of_all_tokens_that_cover_an_entity_add_up() {
    let namespace = ("sb://localhost/", "listen");
    let entity = ("sb://localhost/queue", "send");
    let node = ("sb://localhost/queue/$management", "listen");
    // In either order, and with a token between them that covers nothing here.
    let other = ("sb://localhost/topic", "send");
    for tokens in [[namespace, other, entity], [entity, other, namespace], [other, namespace, entity]] {
        let mut world = world();
        let c = world.connect_bare();
        for (audience, name) in tokens {
            assert_eq!(world.put_token(c, audience, name, "k", HOUR).status(), 202);
        }
        world.sender(c, "queue").unwrap();
        world.receiver(c, "queue").unwrap();
        let peek = [("message-count", Value::Int(1))];
        assert_eq!(world.manage(c, "queue", "peek-message", &peek).status(), 204, "{tokens:?}");
    }
    for tokens in [[entity, node], [node, entity]] {
        let mut world = world();
        let c = world.connect_bare();
        for (audience, name) in tokens {
            assert_eq!(world.put_token(c, audience, name, "k", HOUR).status(), 202);
        }
        world.sender(c, "queue").unwrap();
        assert_eq!(world.receiver(c, "queue").unwrap_err().condition, "amqp:unauthorized-access");
        let peek = [("message-count", Value::Int(1))];
        assert_eq!(world.manage(c, "queue", "peek-message", &peek).status(), 204, "{tokens:?}");
    }
}

#[test]
fn a_missing_right_is_told_at_attach_err5_err6() {
    let mut world = world();
    let c = world.connect_bare();
    assert_eq!(world.put_token(c, "sb://localhost/queue", "listen", "k", HOUR).status(), 202);
    let failure = world.sender(c, "queue").unwrap_err();
    assert_eq!(failure.condition, "amqp:unauthorized-access");
    let text = "Unauthorized access. 'Send' claim(s) are required to perform this operation. Resource: \
                'sb://localhost/queue'. TrackingId:";
    assert!(failure.text.starts_with(text), "{}", failure.text);
    let other = world.connect_bare();
    world.put_token(other, "sb://localhost/queue", "send", "k", HOUR);
    let failure = world.receiver(other, "queue").unwrap_err();
    assert!(failure.text.starts_with("Unauthorized access. 'Listen' claim(s) are required"), "{}", failure.text);
    // Also for requests (SCH17).
    assert_eq!(world.manage(c, "queue", "cancel-scheduled-message", &[]).status(), 401);
}

#[test]
fn a_missing_entity_is_told_with_the_token_err3_and_a_missing_subscription_at_attach_err2() {
    let mut world = world();
    let c = world.connect_bare();
    let response = world.put_token(c, "sb://localhost/nope", KEY_NAME, KEY, HOUR);
    assert_eq!(response.status(), 404);
    assert!(response.text().starts_with("The messaging entity 'sb://localhost/nope' could not be found."));
    assert_eq!(world.put_token(c, "sb://localhost/topic/Subscriptions/none", KEY_NAME, KEY, HOUR).status(), 202);
    let failure = world.receiver(c, "topic/Subscriptions/none").unwrap_err();
    assert_eq!(failure.condition, "amqp:not-found");
    assert!(failure.text.starts_with("The messaging entity 'sbemulatorns:topic:topic"), "{}", failure.text);
    // With a token for everything the attach tells it (ERR1).
    let c = world.connect();
    let failure = world.receiver(c, "nope").unwrap_err();
    assert!(failure.text.starts_with("The messaging entity 'sb://localhost/nope' could not be found."));
}

#[test]
fn a_token_that_ends_takes_the_links_with_it() {
    let mut world = world();
    let c = world.connect_bare();
    world.put_token(c, "sb://localhost/queue", KEY_NAME, KEY, Duration::from_secs(60));
    let renewed = world.connect_bare();
    world.put_token(renewed, "sb://localhost/queue", KEY_NAME, KEY, Duration::from_secs(60));
    let (link, kept) = (world.receiver(c, "queue").unwrap(), world.receiver(renewed, "queue").unwrap());
    world.advance(Duration::from_secs(30));
    world.put_token(renewed, "sb://localhost/queue", KEY_NAME, KEY, Duration::from_secs(60));
    world.advance(Duration::from_secs(31));
    let failure = world.detached(c, link).expect("detached");
    assert_eq!(failure.condition, "amqp:link:detach-forced");
    assert!(failure.text.contains("Code: RenewToken. Details: Unauthorized access. 'Listen' claim(s)"));
    assert_eq!(world.detached(renewed, kept), None);
}

#[test]
fn a_connection_without_a_token_is_closed_after_20_seconds() {
    let mut world = world();
    let c = world.connect_bare();
    world.advance(Duration::from_secs(19));
    assert_eq!(world.closed(c), None);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.closed(c).unwrap().condition, "amqp:connection:forced");
}

#[test]
fn plain_gives_the_rights_of_the_key_without_a_token() {
    let mut world = world();
    let id = world.broker.connect(world.clock).unwrap();
    let init = SaslInit { mechanism: Symbol::new("PLAIN"), initial_response: Some(b"\0send\0k"), hostname: None };
    let c = world.open_client(id, &init);
    let sender = world.sender(c, "queue").unwrap();
    world.send(c, sender, &MessageRef::new("a"));
    assert_eq!(world.receiver(c, "queue").unwrap_err().condition, "amqp:unauthorized-access");
    world.advance(Duration::from_secs(30));
    assert_eq!(world.closed(c), None);
}

#[test]
fn plain_with_a_wrong_password_is_refused() {
    let mut world = world();
    for response in [&b"\0send\0wrong"[..], b"\0nobody\0k", b"\0send\0", b"send", b""] {
        let id = world.broker.connect(world.clock).unwrap();
        let init = SaslInit { mechanism: Symbol::new("PLAIN"), initial_response: Some(response), hostname: None };
        let c = world.open_client(id, &init);
        assert!(!world.clients[c].engine.is_open());
        assert!(world.broker.is_closed(id));
    }
}

#[test]
fn web_tokens_are_taken_by_their_form_and_end() {
    let mut world = world();
    let c = world.connect_bare();
    let jwt = |exp: Timestamp| {
        use base64::Engine as _;
        let claims = format!("{{\"exp\":{}}}", exp.as_secs());
        format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
    };
    let fresh = jwt(world.clock.utc + HOUR);
    assert_eq!(world.put_text(c, "sb://localhost/queue", &fresh).status(), 202);
    let stale = jwt(world.clock.utc);
    assert_eq!(world.put_text(c, "sb://localhost/queue", &stale).status(), 401);
}

#[test]
fn a_key_of_an_entity_opens_that_entity_only() {
    let mut world = world();
    let own = QueueDescription { authorization_rules: vec![key("mine", Rights::ALL)], ..QueueDescription::default() };
    world.queue("own", own);
    let c = world.connect_bare();
    assert_eq!(world.put_token(c, "sb://localhost/own", "mine", "k", HOUR).status(), 202);
    assert_eq!(world.put_token(c, "sb://localhost/queue", "mine", "k", HOUR).status(), 401);
    assert_eq!(world.put_token(c, "sb://localhost/", "mine", "k", HOUR).status(), 401);
}
