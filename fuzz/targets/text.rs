//! Everything that comes as text: from users, from the management API, and in rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicebus_core::random::Random;
use servicebus_core::servicebus::ConnectionString;
use servicebus_core::servicebus::administration::{
    Headers, Method, Operation, QueueProperties, Request, Resource, Response, RuleProperties, SubscriptionProperties,
    TimeSpan, TopicProperties, read_one, read_page,
};
use servicebus_core::servicebus::sas::SharedAccessSignature;
use servicebus_core::time::{Instant, Timestamp};
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
use servicebus_emulator::filter::{Dialect, SqlAction, SqlFilter};
use servicebus_fuzz::{SEED, add_entities};

fn answers(body: &str) {
    let response = |status| Response { status, headers: Headers::new(), body: body.into() };
    let entity = Resource::Entity("q".into());
    let rule = Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "r".into() };
    let subscription = Resource::Subscription { topic: "t".into(), name: "s".into() };
    let _ = read_one::<QueueProperties>(&response(200), &entity, Operation::Get);
    let _ = read_one::<TopicProperties>(&response(201), &entity, Operation::Create);
    let _ = read_one::<SubscriptionProperties>(&response(200), &subscription, Operation::Get);
    let _ = read_one::<RuleProperties>(&response(200), &rule, Operation::Get);
    let _ = read_one::<QueueProperties>(&response(409), &entity, Operation::Create);
    let _ = read_page::<QueueProperties>(&response(200), &Resource::Queues);
}

/// A request of the management API: its line, then its body.
fn request(text: &str) {
    let clock = Clock { now: Instant::from_millis(1_000), utc: Timestamp::from_secs(1_767_225_600) };
    let mut broker = Broker::new(BrokerConfig { accept_jwt: true, ..BrokerConfig::default() }, SEED);
    add_entities(&mut broker, clock);
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = match line.split_at_checked(1) {
        Some(("P", path)) => (Method::Put, path),
        Some(("D", path)) => (Method::Delete, path),
        _ => (Method::Get, line),
    };
    let token = servicebus_core::servicebus::administration::shared_access_token(
        "http://localhost/",
        "RootManageSharedAccessKey",
        "SAS_KEY_VALUE",
        clock.utc,
    );
    let mut headers = Headers::new();
    headers.push("Authorization", token);
    for if_match in [None, Some("*")] {
        let mut headers = headers.clone();
        headers.push("Host", "localhost");
        if let Some(value) = if_match {
            headers.push("If-Match", value);
        }
        let request = Request { method, path_and_query: format!("/{path}"), headers, body: body.as_bytes().to_vec() };
        let response = broker.manage(clock, "http", &request);
        assert!((200..600).contains(&response.status));
        assert_ne!(response.status, 401, "the token is good");
    }
}

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    match kind % 7 {
        0 => {
            let _ = ConnectionString::parse(text);
            let _ = ConnectionString::parse_endpoint(text);
        }
        1 => {
            if let Ok(signature) = SharedAccessSignature::parse(text) {
                let _ = (signature.expiry(), signature.audience().count(), signature.key_name_is("name"));
                let _ = signature.verify("key", Timestamp::UNIX_EPOCH);
            }
        }
        2 => {
            if let Ok(filter) = SqlFilter::parse(text, Vec::new(), &Dialect::default()) {
                // The canonical form may be longer than what may be given.
                let dialect = Dialect { characters: 1 << 20, depth: 1_000, ..Dialect::default() };
                let canonical = filter.to_string();
                let again = SqlFilter::parse(canonical.clone(), Vec::new(), &dialect).expect("the canonical form");
                assert_eq!(again.to_string(), canonical);
            }
        }
        3 => {
            if let Ok(action) = SqlAction::parse(text, Vec::new(), &Dialect::default()) {
                let dialect = Dialect { characters: 1 << 20, depth: 1_000, ..Dialect::default() };
                let canonical = action.to_string();
                let again = SqlAction::parse(canonical.clone(), Vec::new(), &dialect).expect("the canonical form");
                assert_eq!(again.to_string(), canonical);
            }
        }
        4 => {
            let _ = TimeSpan::parse(text);
            let _ = servicebus_emulator::duration::parse(text);
            let _ = Random::seeded(text.len() as u64);
            for blueprint in servicebus_emulator::config::parse(text).unwrap_or_default() {
                let clock = Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH };
                let mut broker = Broker::new(BrokerConfig::default(), SEED);
                let _ = broker.with_namespace(clock, |namespace| blueprint.build(namespace, clock.utc));
            }
        }
        5 => answers(text),
        _ => request(text),
    }
});
