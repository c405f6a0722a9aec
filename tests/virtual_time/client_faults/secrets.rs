//! No secret is printed by the `Debug` of a public type, nor by an error.

use base64::Engine as _;
use servicebus_core::client::Error;
use servicebus_core::client::administration::AdministrationOptions;
use servicebus_core::driver::Token;
use servicebus_core::machine::{ClientMachine, Settings};
use servicebus_core::servicebus::administration::{
    AccessRights, AuthorizationRule, Headers, Method, Request, Response,
};
use servicebus_core::servicebus::{ConnectionString, Entity, sas};
use servicebus_core::storage::Heap;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Symbol;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_emulator::broker::{BrokerConfig, entities};
use servicebus_emulator::server::Identity;
use servicebus_simulation::World;
use servicebus_tests::fault::Judge;
use std::fmt::Debug;

const KEY: &str = "bm90LWZvci1sb2dzLW5vdC1mb3ItbG9ncw==";

/// Both forms of `Debug`.
fn texts(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}

/// Every text of an error.
fn texts_of(error: &Error<Heap>) -> String {
    format!("{error} {}", texts(error))
}

/// Every part of a client by name, with its `Debug` output.
fn printed(secret: &str, connection_string: &str) -> Vec<(&'static str, String)> {
    let settings: Settings<Heap> = Settings::new(connection_string.into(), 1);
    let parsed = ConnectionString::parse(connection_string).expect("it is valid");
    let world = World::new(BrokerConfig::default(), 7);
    let tokio = servicebus_tokio::Options::new(connection_string).expect("it is valid");
    let websockets = tokio.clone().with_websockets();
    let proxy = servicebus_tokio::Proxy::new(&format!("http://user:{}@proxy:3128", hex(secret))).expect("a URL");
    let smol = servicebus_async_std::Options::new(connection_string).expect("it is valid");
    let (client, state) = world.client_and_state(settings.clone());
    let http = servicebus_tokio::administration::Http::default();
    let options = AdministrationOptions::default();
    let administration = servicebus_tokio::AdministrationClient::connect_with(connection_string, options, http);
    let given = secret.to_owned();
    let tokens = move || {
        let token = servicebus_tokio::Token::jwt(given.clone(), Timestamp::from_secs(1));
        std::future::ready(Ok::<_, std::io::Error>(token))
    };
    let by_credential = servicebus_tokio::AdministrationClient::for_namespace(
        "localhost",
        tokens,
        AdministrationOptions::default(),
        servicebus_tokio::administration::Http::default(),
    )
    .expect("it is valid");
    let token = Token::<Vec<u8>>::jwt(secret.as_bytes(), Timestamp::from_secs(1));
    let text_token = Token::<String>::sas(secret, Timestamp::from_secs(1));
    let body = format!("<PrimaryKey>{secret}</PrimaryKey>").into_bytes();
    let mut headers = Headers::new();
    headers.push("Authorization", secret);
    let request =
        Request { method: Method::Put, path_and_query: "/q".into(), headers: headers.clone(), body: body.clone() };
    let response = Response { status: 200, headers, body };
    let mut managed = AuthorizationRule::new("name", [AccessRights::Send]);
    managed.primary_key = Some(secret.to_owned());
    let initial_response = format!("\0name\0{secret}").into_bytes();
    let init = SaslInit {
        mechanism: Symbol::new("PLAIN"),
        initial_response: Some(&initial_response),
        hostname: Some("localhost"),
    };
    let rule = entities::AuthorizationRule {
        key_name: "name".into(),
        primary_key: secret.to_owned(),
        secondary_key: secret.to_owned(),
        rights: entities::Rights::ALL,
    };
    let mut config = BrokerConfig::default();
    config.namespace.keys = vec![rule.clone()];
    // Each is borrowed for itself: they are cells of one value.
    let state_text = texts(&*state.borrow());
    let own_settings = texts(state.borrow_mut().machine().settings());
    let printed = vec![
        ("Settings", texts(&settings)),
        ("tokio's Options", texts(&tokio)),
        ("tokio's Options over WebSockets", texts(&websockets)),
        ("tokio's Options through a proxy", texts(&tokio.with_proxy(proxy.clone()))),
        ("tokio's Proxy", texts(&proxy)),
        ("async-std's and smol's Options", texts(&smol)),
        ("ConnectionString", texts(&parsed)),
        ("ConnectionCredential", texts(&parsed.credential)),
        ("AdministrationClient with a credential", texts(&by_credential)),
        ("AdministrationClient", texts(&administration.expect("it is valid"))),
        ("Token", texts(&token)),
        ("Token, a signature", texts(&text_token)),
        ("Client", texts(&client)),
        ("State", state_text),
        ("ClientMachine", texts(&ClientMachine::new(settings))),
        ("Client's settings", own_settings),
        ("administration's Request", texts(&request)),
        ("administration's Response", texts(&response)),
        ("administration's AuthorizationRule", texts(&managed)),
        ("SaslInit", texts(&init)),
        ("the emulator's AuthorizationRule", texts(&rule)),
        ("BrokerConfig", texts(&config)),
    ];
    drop((client, state));
    world.end();
    printed
}

/// A text that needs no escapes in a URL and is as secret.
fn hex(secret: &str) -> String {
    secret.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text holds a secret: as it is, as bytes, or as the proxy has it.
fn holds_secret(text: &str, secret: &str) -> bool {
    let bytes = format!("{:?}", secret.as_bytes());
    let spaced = bytes.trim_matches(['[', ']']).to_owned();
    let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("user:{}", hex(secret)));
    [secret, &spaced, &hex(secret), &basic].into_iter().any(|form| text.contains(form) || flat.contains(form))
}

#[test]
fn no_public_type_prints_a_secret_c19_n1() {
    let mut signature = String::new();
    sas::sign("sb://localhost/", "name", KEY, Timestamp::from_secs(2_000_000_000), &mut signature).unwrap();
    let signed = signature.split("sig=").nth(1).and_then(|rest| rest.split('&').next()).unwrap().to_owned();
    let with_key = format!("Endpoint=sb://localhost;SharedAccessKeyName=name;SharedAccessKey={KEY}");
    let with_signature = format!("Endpoint=sb://localhost;SharedAccessSignature={signature}");
    let mut judge = Judge::new();
    for (secret, connection_string) in [(KEY, with_key), (signed.as_str(), with_signature)] {
        for (name, text) in printed(secret, &connection_string) {
            judge.case(
                format!("{name}, {}", &connection_string[..30]),
                holds_secret(&text, secret),
                |holds| !holds,
                |_| false,
            );
        }
    }
    judge.finish();
}

#[test]
fn errors_about_a_connection_string_hold_no_secret_c19() {
    for text in [
        format!("Endpoint=sb://localhost;SharedAccessKeyName=name;SharedAccessKey={KEY};{KEY}"),
        format!("Endpoint=sb://localhost;SharedAccessKey={KEY}"),
        format!("SharedAccessKeyName=name;SharedAccessKey={KEY}"),
        format!("Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey={KEY};SharedAccessKey={KEY}"),
        format!("Endpoint=http//:;SharedAccessKeyName=name;SharedAccessKey={KEY}"),
        format!("Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey={KEY};SharedAccessSignature={KEY}"),
    ] {
        if let Err(error) = servicebus_tokio::Options::new(text.clone()) {
            assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
        }
        if let Err(error) = servicebus_tokio::AdministrationClient::connect(&text) {
            assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
        }
        // Taken for the name of a host.
        let error = servicebus_tokio::Options::for_namespace(&text).unwrap_err();
        assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
        let error = servicebus_tokio::AdministrationClient::for_namespace(
            &text,
            async || Err::<servicebus_tokio::Token, _>("there is none"),
            AdministrationOptions::default(),
            servicebus_tokio::administration::Http::default(),
        )
        .unwrap_err();
        assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
    }
}

/// A bundle of a certificate and its key whose line breaks are lost, as in a variable of the environment.
#[test]
fn errors_about_a_pem_text_hold_no_secret_c19() {
    let one_line = format!("-----BEGIN PRIVATE KEY-----{KEY}-----END PRIVATE KEY-----");
    let two_lines = format!("-----BEGIN PRIVATE KEY-----{KEY}\n-----END PRIVATE KEY-----");
    let without_end = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n");
    let no_base64 = format!("-----BEGIN PRIVATE KEY-----\n{KEY}!\n-----END PRIVATE KEY-----\n");
    for text in [one_line, two_lines, without_end, no_base64] {
        let mut errors = Vec::new();
        if let Err(error) = servicebus_tokio::Tls::authorities_from_pem(text.as_bytes()) {
            errors.push(format!("{error} {}", texts(&error)));
        }
        for (chain, key) in [(text.as_str(), ""), ("", text.as_str())] {
            let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).map(|_| ()).unwrap_err();
            errors.push(format!("{error} {}", texts(&error)));
        }
        assert!(errors.len() >= 2);
        for error in errors {
            assert!(!holds_secret(&error, KEY), "{error}");
        }
    }
}

#[test]
fn errors_about_a_name_hold_no_secret_c19() {
    let key = format!("SharedAccessKey={KEY}");
    let whole = format!("Endpoint=sb://localhost;SharedAccessKeyName=name;{key}");
    let with_a_password = format!("sb://name:{}@localhost", hex(KEY));
    for text in [&key, &whole, &with_a_password] {
        let error = servicebus_tokio::Options::for_namespace(text).unwrap_err();
        assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
    }
    let world = World::new(BrokerConfig::default(), 7);
    let client = world.client::<Heap>();
    // The scheme may be left out.
    let plain = whole.replace("sb://", "");
    let entities = [&whole, &plain, &key]
        .map(|text| [Entity::queue(&**text), Entity::subscription(&**text, "s"), Entity::subscription("t", &**text)]);
    for entity in entities.into_iter().flatten() {
        for error in [client.sender(entity.clone()).unwrap_err(), client.receiver(entity.clone()).unwrap_err()] {
            assert!(!holds_secret(&texts_of(&error), KEY), "{error:?}");
        }
    }
    drop(client);
    world.end();
}
