//! Tokens that grant more than they say, and counters that need none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use servicebus_core::servicebus::administration::{Headers, Method, Request};
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::administrator::HOST;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// A token that the namespace's key has signed, whatever its end says.
fn token(audience: &str, end: &str) -> String {
    let encode = |text: &str| {
        text.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") },
            )
            .collect::<String>()
    };
    let encoded = encode(audience);
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("{encoded}\n{end}").as_bytes()));
    format!("SharedAccessSignature sr={encoded}&sig={}&se={end}&skn={KEY_NAME}", encode(&signature))
}

/// Ends that are no second of the calendar.
const ENDS: [&str; 9] =
    ["x", "", "-1", "-62135596801", "1e99", "0x7fffffff", "1795000100.5", "99999999999999999999", "253402300800"];

#[test]
fn a_token_of_its_own_making_is_taken_a7() {
    let mut world = World::with_queue(QueueDescription::default());
    let client = world.connect_bare();
    let end = (START.as_secs() + 60).to_string();
    let audience = "sb://localhost/queue";
    assert_eq!(world.put_text(client, audience, &token(audience, &end)).status(), 202);
    let past = (START.as_secs() - 60).to_string();
    assert_eq!(world.put_text(client, audience, &token(audience, &past)).status(), 401);
}

#[test]
fn a_token_whose_end_is_no_time_is_refused_by_cbs_a7() {
    let mut judge = Judge::new();
    for end in ENDS {
        for audience in ["sb://localhost/", "sb://localhost/queue"] {
            let mut world = World::with_queue(QueueDescription::default());
            let client = world.connect_bare();
            let status = world.put_text(client, audience, &token(audience, end)).status();
            judge.equal(format!("se={end} for {audience}"), status, 401, 202);
        }
    }
    judge.finish();
}

#[test]
fn a_token_whose_end_is_no_time_is_refused_over_http_a7() {
    let mut judge = Judge::new();
    for end in ENDS {
        let mut world = World::with_queue(QueueDescription::default());
        let mut headers = Headers::new();
        headers.push("Host", HOST.to_owned());
        headers.push("Authorization", token(&format!("https://{HOST}/"), end));
        let path_and_query = "/queue?api-version=2021-05".to_owned();
        let request = Request { method: Method::Get, path_and_query, headers, body: Vec::new() };
        let status = world.broker.manage(world.clock, "https", &request).status;
        judge.equal(format!("se={end}"), status, 401, 200);
    }
    judge.finish();
}

/// Over HTTP the counters take a token.
#[test]
fn the_counters_take_a_token_over_amqp_as_well_a7() {
    let mut judge = Judge::new();
    for address in ["$management", "$Management", "queue/$management", "none/$management"] {
        for (name, tokens) in [
            ("no token", &[][..]),
            ("a token for another entity", &["sb://localhost/elsewhere"]),
            ("tokens for two others", &["sb://localhost/elsewhere", "sb://localhost/queue2"]),
        ] {
            let mut world = World::with_queue(QueueDescription::default());
            let client = world.connect_bare();
            for audience in tokens {
                world.put_token(client, audience, KEY_NAME, KEY, Duration::from_secs(60));
            }
            let got = counters(&mut world, client, address);
            judge.equal(format!("{address} with {name}"), got, false, true);
        }
    }
    let mut world = World::with_queue(QueueDescription::default());
    let client = world.connect();
    assert!(counters(&mut world, client, "$management"), "with a token for the namespace they are there");
    judge.finish();
}

/// Whether a client gets at the counters by this node.
fn counters(world: &mut World, client: usize, address: &str) -> bool {
    let name = world.name(client);
    if world.attach(client, &attach_of(&name, Role::Sender, address, false, None, None)).is_err() {
        return false;
    }
    let properties = [("operation", Value::String("com.servicebus-emulator:statistics"))];
    let response = world.try_ask(client, address, &properties, |sink| put_map(sink, &[]), None);
    response.is_some_and(|response| response.status() == 200)
}
