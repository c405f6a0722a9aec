//! Secrets in `{:?}`, which ends up in logs.

use servicebus_core::servicebus::{Body, MessageRef};
use servicebus_core::wire::frame::{Frame, HEADER_LEN, Kind, header};
use servicebus_core::wire::message::MessageView;
use servicebus_core::wire::sasl::{SaslFrame, SaslInit, SaslResponse, SaslView};
use servicebus_core::wire::{Decode, Decoder, Reader, Symbol, Value, to_vec};
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
        let content = to_vec(&init);
        let size = u32::try_from(content.len() + HEADER_LEN).unwrap();
        let bytes = [&header(size, Kind::Sasl, 0)[..], &content].concat();
        let frame = Frame::parse(&bytes, size).unwrap().expect("a whole frame");
        let decoder = Decoder::new(frame.body);
        for (name, text) in [
            ("SaslInit", format!("{init:?}")),
            ("SaslInit, pretty", format!("{init:#?}")),
            ("SaslFrame", format!("{:?}", SaslFrame::Init(init))),
            ("Frame", format!("{frame:?}")),
            ("Decoder", format!("{decoder:?}")),
            ("Reader", format!("{:?}", Reader::new(frame.body))),
            ("SaslView", format!("{:?}", SaslView::decode(&mut decoder.clone()).expect("a SASL frame"))),
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
        let bytes = to_vec(&data);
        let stored = servicebus_emulator::broker::entities::Message::accept(bytes.clone().into()).unwrap();
        judge.equal(format!("the emulator's message of {secret}"), is_shown(&format!("{stored:?}")), false, true);
        let view = MessageView::parse(&bytes).unwrap();
        judge.equal(format!("MessageView of {secret}"), is_shown(&format!("{view:?}")), false, true);
        judge.equal(format!("its body, {secret}"), is_shown(&format!("{:?}", view.body().unwrap())), false, true);
        let sections = [body.as_bytes()];
        for (name, body) in [
            ("sections", Body::DataSections(&sections)),
            ("a value", Body::Value(Value::String(body))),
            ("encoded sections", Body::Encoded(body.as_bytes())),
        ] {
            let message = MessageRef::from_body(body);
            judge.equal(format!("{name} of {secret}"), is_shown(&format!("{message:?}")), false, true);
            // Not every text is encoded sections.
            let bytes = to_vec(&message);
            let found = MessageView::parse(&bytes).map(|view| view.body());
            judge.equal(format!("{name} of {secret}, read"), is_shown(&format!("{found:?}")), false, true);
        }
    }
    judge.finish();
}
