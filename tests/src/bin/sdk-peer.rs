//! Our client as one end of a conversation whose other end is an official SDK: messages are described on standard
//! input and output, one JSON object a line.
//!
//! ```text
//! sdk-peer CONNECTION_STRING send QUEUE             sends what is described
//! sdk-peer CONNECTION_STRING receive QUEUE COUNT    describes what it receives, and completes it
//! sdk-peer CONNECTION_STRING operate QUEUE SESSIONS every operation once, for a look at the frames
//! ```
//!
//! A description holds the fields of `MessageRef` by name, those of sections as `[type, contents]`
//! ([`Tree::of_pair`]): `"application_properties": [["key", ["ubyte", 5]]]`, `"body": ["value", ["int", 7]]`,
//! `["data", ["00ff"]]`, `["sequence", [[["int", 1]]]]` or `null`. Bytes are in hexadecimal, times in milliseconds.

use serde_json::{Map, Value as Json, json};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::message::Body as ReceivedBody;
use servicebus_core::wire::{List, Reader, Value};
use servicebus_tests::tree::Tree;
use servicebus_tokio::{
    Body, Client, DeadLetterOptions, Entity, MessageId, MessageRef, ReceiveMode, ReceivedMessage, Receiver,
    ReceiverOptions, connect,
};
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// Encoded values that a message can borrow from.
struct Section(Vec<(String, Vec<u8>)>);

impl Section {
    fn of(description: &Json, name: &str) -> Self {
        let entries = description[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let key = |entry: &Json| entry[0].as_str().expect("a key").to_owned();
        Self(entries.iter().map(|entry| (key(entry), Tree::of_pair(&entry[1]).to_bytes())).collect())
    }

    fn values(&self) -> Result<Vec<(&str, Value<'_>)>> {
        let mut values = Vec::new();
        for (key, bytes) in &self.0 {
            values.push((key.as_str(), Reader::new(bytes).read::<Value<'_>>()?));
        }
        Ok(values)
    }
}

fn bytes(hex: &Json) -> Vec<u8> {
    let digits = hex.as_str().expect("hexadecimal").as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.chunks(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn send(client: &Client, queue: &str, description: &Json) -> Result<()> {
    let text = |name: &str| description[name].as_str();
    let time = |name: &str| description[name].as_i64().map(Timestamp::from_millis);
    let sections = ["application_properties", "annotations", "delivery_annotations", "footer"]
        .map(|name| Section::of(description, name));
    let [application_properties, annotations, delivery_annotations, footer] = &sections;
    let (application_properties, annotations) = (application_properties.values()?, annotations.values()?);
    let (delivery_annotations, footer) = (delivery_annotations.values()?, footer.values()?);
    let user_id = description["user_id"].is_string().then(|| bytes(&description["user_id"]));
    let parts: Vec<Vec<u8>> = match (description["body"][0].as_str(), &description["body"][1]) {
        (Some("data"), parts) => parts.as_array().into_iter().flatten().map(bytes).collect(),
        (Some("value"), value) => vec![Tree::of_pair(value).to_bytes()],
        (Some("sequence"), lists) => lists
            .as_array()
            .into_iter()
            .flatten()
            .map(|list| Tree::of_pair(&json!(["list", list])).to_bytes())
            .collect(),
        _ => Vec::new(),
    };
    let data: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let mut lists = Vec::new();
    let body = match description["body"][0].as_str() {
        Some("data") => Body::DataSections(&data),
        Some("value") => Body::Value(Reader::new(data.first().ok_or("no value")?).read::<Value<'_>>()?),
        Some("sequence") => {
            for bytes in &data {
                lists.push(Reader::new(bytes).read::<List<'_>>()?);
            }
            Body::Sequence(&lists)
        }
        _ => Body::Empty,
    };
    let small = |name: &str| description[name].as_u64();
    let mut message = MessageRef::from_body(body)
        .with_properties(&application_properties)
        .with_annotations(&annotations)
        .with_delivery_annotations(&delivery_annotations)
        .with_footer(&footer);
    message.message_id = text("message_id").map(MessageId::String);
    message.session_id = text("session_id");
    message.partition_key = text("partition_key");
    message.correlation_id = text("correlation_id").map(MessageId::String);
    message.subject = text("subject");
    message.to = text("to");
    message.reply_to = text("reply_to");
    message.reply_to_session_id = text("reply_to_session_id");
    message.content_type = text("content_type");
    message.content_encoding = text("content_encoding");
    message.time_to_live = small("time_to_live").map(Duration::from_millis);
    message.user_id = user_id.as_deref();
    message.group_sequence = small("group_sequence").map(u32::try_from).transpose()?;
    message.creation_time = time("creation_time");
    message.absolute_expiry_time = time("absolute_expiry_time");
    message.priority = small("priority").map(u8::try_from).transpose()?;
    message.durable = description["durable"].as_bool();
    message.first_acquirer = description["first_acquirer"].as_bool();
    let sender = client.sender(queue)?;
    sender.send(&message).await?;
    sender.close().await;
    Ok(())
}

fn section(map: servicebus_core::wire::Map<'_>) -> Result<Json> {
    let mut entries = Vec::new();
    for entry in map.iter() {
        let (key, value) = entry?;
        entries.push(json!([key.as_str().ok_or("a key that is no text")?, Tree::of(&value)?.to_pair()]));
    }
    Ok(json!(entries))
}

fn id(id: MessageId<'_>) -> Json {
    match id {
        MessageId::String(text) => json!(text),
        other => json!([format!("{other:?}")]),
    }
}

fn describe(message: &ReceivedMessage) -> Result<Json> {
    let view = message.view();
    let (header, properties) = (view.header()?, view.properties()?);
    let mut told = Map::new();
    let mut tell = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            told.insert(name.into(), value);
        }
    };
    tell("durable", header.durable.map(Json::from));
    tell("priority", header.priority.map(Json::from));
    tell("time_to_live", header.ttl.map(Json::from));
    tell("first_acquirer", header.first_acquirer.map(Json::from));
    tell("delivery_count", header.delivery_count.map(Json::from));
    tell("message_id", properties.message_id.map(id));
    tell("user_id", properties.user_id.map(|bytes| json!(hex(bytes))));
    tell("to", properties.to.map(Json::from));
    tell("subject", properties.subject.map(Json::from));
    tell("reply_to", properties.reply_to.map(Json::from));
    tell("correlation_id", properties.correlation_id.map(id));
    tell("content_type", properties.content_type.map(|symbol| json!(symbol.as_str())));
    tell("content_encoding", properties.content_encoding.map(|symbol| json!(symbol.as_str())));
    tell("absolute_expiry_time", properties.absolute_expiry_time.map(|time| json!(time.as_millis())));
    tell("creation_time", properties.creation_time.map(|time| json!(time.as_millis())));
    tell("session_id", properties.group_id.map(Json::from));
    tell("group_sequence", properties.group_sequence.map(Json::from));
    tell("reply_to_session_id", properties.reply_to_group_id.map(Json::from));
    tell("application_properties", Some(section(view.application_properties()?)?));
    tell("annotations", Some(section(view.message_annotations()?)?));
    tell("delivery_annotations", Some(section(view.delivery_annotations()?)?));
    tell("footer", Some(section(view.footer()?)?));
    let body = match message.body()? {
        ReceivedBody::Empty => Json::Null,
        ReceivedBody::Data(sections) => {
            let parts = sections.data().map(|part| part.map(hex)).collect::<core::result::Result<Vec<_>, _>>()?;
            json!(["data", parts])
        }
        ReceivedBody::Sequence(sections) => {
            let mut lists = Vec::new();
            for list in sections.lists() {
                lists.push(Tree::of(&Value::List(list?))?.to_pair()[1].take());
            }
            json!(["sequence", lists])
        }
        ReceivedBody::Value(value) => json!(["value", Tree::of(&value)?.to_pair()]),
    };
    tell("body", Some(body));
    Ok(Json::Object(told))
}

async fn receive(client: &Client, queue: &str, count: usize) -> Result<()> {
    let receiver = client.receiver(queue)?;
    let mut out = std::io::stdout();
    for _ in 0..count {
        let message = receiver.receive(Duration::from_secs(10)).await?.ok_or("a message is missing")?;
        writeln!(out, "{}", describe(&message)?)?;
        receiver.complete(&message).await?;
    }
    receiver.close().await;
    Ok(())
}

async fn one(receiver: &Receiver) -> Result<ReceivedMessage> {
    Ok(receiver.receive(Duration::from_secs(10)).await?.ok_or("a message is missing")?)
}

/// The operations of the frame comparison, in the order of the official SDKs' scripts.
async fn operate(client: &Client, queue: &str, sessions: &str) -> Result<()> {
    let properties = [("text", Value::String("value")), ("flag", Value::Boolean(true))];
    let sender = client.sender(queue)?;
    let full = MessageRef::new("one")
        .with_message_id("one")
        .with_subject("subject")
        .with_content_type("text/plain")
        .with_correlation_id("correlation")
        .with_time_to_live(Duration::from_secs(60))
        .with_properties(&properties);
    sender.send(&full).await?;
    let (two, three) =
        (MessageRef::new("two").with_message_id("two"), MessageRef::new("three").with_message_id("three"));
    sender.send_all(&[two, three]).await?;
    let hours = Timestamp::from_millis(253_402_300_000_000);
    let number = sender.schedule(&MessageRef::new("later").with_message_id("later"), hours).await?;
    sender.cancel_scheduled(&[number]).await?;

    let receiver = client.receiver(queue)?;
    receiver.peek(1, 2).await?;
    let first = one(&receiver).await?;
    receiver.complete(&first).await?;
    let second = one(&receiver).await?;
    receiver.abandon(&second).await?;
    let mut second = one(&receiver).await?;
    receiver.renew_lock(&mut second).await?;
    let options = DeadLetterOptions::new().with_reason("why").with_description("because");
    receiver.dead_letter(&second, options).await?;
    let third = one(&receiver).await?;
    receiver.defer(&third).await?;
    let number = third.sequence_number().ok_or("no number")?;
    for message in receiver.receive_deferred(&[number]).await? {
        receiver.complete(&message).await?;
    }
    receiver.close().await;

    let options = ReceiverOptions::new(Entity::queue(queue).dead_letter()).with_mode(ReceiveMode::ReceiveAndDelete);
    let dead = client.receiver(options)?;
    one(&dead).await?;
    dead.close().await;
    sender.close().await;

    let sender = client.sender(sessions)?;
    sender.send(&MessageRef::new("one").with_message_id("one").with_session_id("a")).await?;
    sender.close().await;
    let session = client.accept_session(Entity::queue(sessions), "a").await?;
    session.set_state(Some(b"state")).await?;
    session.state().await?;
    session.renew_session_lock().await?;
    let message = session.receive(Duration::from_secs(10)).await?.ok_or("a message is missing")?;
    session.complete(&message).await?;
    session.close().await;
    let none = client.accept_next_session(Entity::queue(sessions), Duration::from_secs(2)).await?;
    if none.is_some() { Err("a session without messages".into()) } else { Ok(()) }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let client = connect(*words.first().ok_or("sdk-peer CONNECTION_STRING send|receive|operate QUEUE …")?)?;
    match words[1..] {
        ["send", queue] => {
            for line in std::io::stdin().lock().lines() {
                send(&client, queue, &serde_json::from_str(&line?)?).await?;
            }
        }
        ["receive", queue, count] => receive(&client, queue, count.parse()?).await?,
        ["operate", queue, sessions] => operate(&client, queue, sessions).await?,
        _ => return Err("sdk-peer CONNECTION_STRING send|receive|operate QUEUE [COUNT|SESSIONS]".into()),
    }
    client.close().await;
    Ok(())
}
