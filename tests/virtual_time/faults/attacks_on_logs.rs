//! Secrets in `{:?}`, which ends up in logs.

use servicebus_core::servicebus::{Body, MessageRef};
use servicebus_core::wire::sasl::{SaslFrame, SaslInit, SaslResponse};
use servicebus_core::wire::{Symbol, Value};
use servicebus_tests::fault::Judge;

/// Whether a text shows these bytes, as characters or as numbers, whatever the spaces between.
fn shows(text: &str, secret: &[u8]) -> bool {
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let numbers = |number: fn(&u8) -> String| secret.iter().map(number).collect::<Vec<_>>().join(",");
    let forms = [
        dense(&String::from_utf8_lossy(secret)),
        numbers(ToString::to_string),
        numbers(|byte| format!("0x{byte:x}")),
        secret.iter().map(|byte| format!("{byte:02x}")).collect(),
    ];
    let text = dense(text);
    forms.iter().any(|form| text.contains(form.as_str()))
}

#[test]
fn a_password_is_not_printed_a8() {
    let mut judge = Judge::new();
    let secret = b"SAS_KEY_VALUE";
    for mechanism in ["PLAIN", "plain", "MSSBCBS", "XOAUTH2"] {
        let response = [b"\0RootManageSharedAccessKey\0", &secret[..]].concat();
        let init = SaslInit {
            mechanism: Symbol::new(mechanism),
            initial_response: Some(&response),
            hostname: Some("localhost"),
        };
        for (name, text) in [
            ("SaslInit", format!("{init:?}")),
            ("SaslInit, pretty", format!("{init:#?}")),
            ("SaslFrame", format!("{:?}", SaslFrame::Init(init))),
        ] {
            judge.equal(format!("{name} of {mechanism}"), shows(&text, secret), false, true);
        }
    }
    let response = SaslResponse { response: secret };
    judge.equal("SaslResponse", shows(&format!("{response:?}"), secret), false, true);
    judge.equal("SaslFrame of it", shows(&format!("{:?}", SaslFrame::Response(response)), secret), false, true);
    judge.finish();
}

#[test]
fn a_body_is_not_printed_a8() {
    let mut judge = Judge::new();
    for body in ["secret", "4711", "häß", "a longer text with spaces", "{\"card\": 4111}"] {
        let data = MessageRef::new(body).with_message_id("id");
        // Quotes are escaped in a debug text.
        let secret = body.replace('"', "\\\"");
        let is_shown = |text: &str| shows(text, body.as_bytes()) || shows(text, secret.as_bytes());
        judge.equal(format!("data of {body:?}"), is_shown(&format!("{data:?}")), false, true);
        let sections = [body.as_bytes()];
        for (name, body) in [
            ("sections", Body::DataSections(&sections)),
            ("a value", Body::Value(Value::String(body))),
            ("encoded sections", Body::Encoded(body.as_bytes())),
        ] {
            let message = MessageRef::from_body(body);
            judge.equal(format!("{name} of {secret}"), is_shown(&format!("{message:?}")), false, true);
        }
    }
    judge.finish();
}
