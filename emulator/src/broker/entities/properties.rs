//! A message's properties as filters read and actions change them.

use super::message::{Message, put_entry};
use crate::filter::{EvaluationError, MessageProperties, MessagePropertiesMut, SystemProperty, Value};
use bytes::BytesMut;
use servicebus_core::servicebus::LockToken;
use servicebus_core::servicebus::key::{PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, VIA_PARTITION_KEY};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{Header, MessageId, put_section};
use servicebus_core::wire::{self, Compound, Encode, Map, Reader, Sink, Symbol};
use std::borrow::Cow;
use std::collections::HashMap;

/// A property that is as the sender wrote it, or one that an action set.
#[derive(Debug)]
enum Property {
    Sent(Vec<u8>),
    Set(Value<'static>),
}

/// Reads a message's properties and collects changes to them.
#[derive(Debug)]
pub(super) struct PropertyEditor<'m> {
    message: &'m Message,
    system: HashMap<SystemProperty, Option<Value<'static>>>,
    /// Only once something is changed.
    user: Option<Vec<(String, Property)>>,
}

fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

fn id_text(id: MessageId<'_>) -> Value<'_> {
    match id {
        MessageId::String(text) => text.into(),
        MessageId::Ulong(number) => number.to_string().into(),
        MessageId::Uuid(uuid) => LockToken::from_uuid(uuid).to_string().into(),
        MessageId::Binary(bytes) => Value::Binary(Cow::Borrowed(bytes)),
    }
}

impl<'m> PropertyEditor<'m> {
    pub(super) fn new(message: &'m Message) -> Self {
        Self { message, system: HashMap::new(), user: None }
    }

    fn sent(&self, property: SystemProperty) -> Option<Value<'_>> {
        let message = self.message;
        let properties = message.properties();
        let annotation = |key: &str| {
            let annotations = message.view().message_annotations().ok()?;
            annotations.get(key).map(Value::from).filter(|value| *value != Value::Null)
        };
        Some(match property {
            SystemProperty::MessageId => id_text(properties.message_id?),
            SystemProperty::CorrelationId => id_text(properties.correlation_id?),
            SystemProperty::To => properties.to?.into(),
            SystemProperty::ReplyTo => properties.reply_to?.into(),
            SystemProperty::Label => properties.subject?.into(),
            SystemProperty::SessionId => properties.group_id?.into(),
            SystemProperty::ReplyToSessionId => properties.reply_to_group_id?.into(),
            SystemProperty::ContentType => properties.content_type?.as_str().into(),
            SystemProperty::PartitionKey => annotation(PARTITION_KEY)?,
            SystemProperty::ViaPartitionKey => annotation(VIA_PARTITION_KEY)?,
            SystemProperty::TimeToLive => message.time_to_live?.into(),
            SystemProperty::ScheduledEnqueueTime => message.scheduled_enqueue_time?.into(),
            SystemProperty::EnqueuedTime => message.enqueued_time.into(),
            SystemProperty::SequenceNumber => message.sequence_number.into(),
            SystemProperty::EnqueuedSequenceNumber => message.enqueued_sequence_number?.into(),
            SystemProperty::DeliveryCount => i32::try_from(message.delivery_count).unwrap_or(i32::MAX).into(),
            SystemProperty::ExpiresAt => message.expires_at()?.into(),
            SystemProperty::DeadLetterSource => Value::String(Cow::Borrowed(message.dead_letter_source.as_deref()?)),
            SystemProperty::State => (message.state as i32).into(),
            SystemProperty::Size => i64::try_from(message.size()).unwrap_or(i64::MAX).into(),
        })
    }

    fn edited(&mut self) -> &mut Vec<(String, Property)> {
        let message = self.message;
        self.user.get_or_insert_with(|| {
            let sent = message.application_properties();
            sent.iter()
                .map_while(Result::ok)
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), Property::Sent(wire::to_vec(&value)))))
                .collect()
        })
    }

    fn text(&self, property: SystemProperty) -> Option<Option<&str>> {
        let set = self.system.get(&property)?;
        Some(set.as_ref().and_then(Value::as_str))
    }

    /// The message with the changes.
    ///
    /// # Errors
    /// [`EvaluationError::Refused`] when it could not have been sent so.
    pub(super) fn finish(self) -> Result<Message, EvaluationError> {
        let mut changed = self.message.clone();
        match self.system.get(&SystemProperty::TimeToLive) {
            Some(Some(Value::Duration(ticks))) => {
                changed.time_to_live = Some(Duration::from_micros(u64::try_from(*ticks / 10).unwrap_or(0)));
            }
            Some(None) => changed.time_to_live = None,
            _ => {}
        }
        match self.system.get(&SystemProperty::ScheduledEnqueueTime) {
            Some(Some(Value::Timestamp(at))) => changed.scheduled_enqueue_time = Some(*at),
            Some(None) => changed.scheduled_enqueue_time = None,
            _ => {}
        }
        let mut out = BytesMut::with_capacity(self.message.size() + 128);
        self.write(&changed, &mut Sink::from(&mut out));
        changed.replace_bytes(out.freeze()).map_err(|error| EvaluationError::Refused(error.to_string()))?;
        Ok(changed)
    }

    fn write(&self, changed: &Message, out: &mut Sink<'_>) {
        let view = self.message.view();
        let header = view.header().unwrap_or(Header::EMPTY);
        let ttl = changed.time_to_live.map(|ttl| u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX));
        Header { ttl, ..header }.encode(out);
        put_map(out, section::DELIVERY_ANNOTATIONS, view.delivery_annotations().unwrap_or(Map::EMPTY));
        self.write_annotations(changed.scheduled_enqueue_time, out);
        let mut properties = self.message.properties();
        if let Some(id) = self.text(SystemProperty::MessageId) {
            properties.message_id = id.map(MessageId::String);
        }
        if let Some(id) = self.text(SystemProperty::CorrelationId) {
            properties.correlation_id = id.map(MessageId::String);
        }
        if let Some(text) = self.text(SystemProperty::ContentType) {
            properties.content_type = text.map(Symbol::new);
        }
        for (property, field) in [
            (SystemProperty::To, &mut properties.to),
            (SystemProperty::ReplyTo, &mut properties.reply_to),
            (SystemProperty::Label, &mut properties.subject),
            (SystemProperty::SessionId, &mut properties.group_id),
            (SystemProperty::ReplyToSessionId, &mut properties.reply_to_group_id),
        ] {
            if let Some(text) = self.text(property) {
                *field = text;
            }
        }
        properties.encode(out);
        match &self.user {
            None => put_map(out, section::APPLICATION_PROPERTIES, self.message.application_properties()),
            Some(user) => {
                put_section(out, section::APPLICATION_PROPERTIES);
                let mark = out.begin();
                for (name, property) in user {
                    name.as_str().encode(out);
                    match property {
                        Property::Sent(bytes) => out.put(bytes),
                        Property::Set(value) => value.encode(out),
                    }
                }
                out.end(mark, Compound::Map, user.len() * 2);
            }
        }
        out.put(view.body_bytes());
        put_map(out, section::FOOTER, view.footer().unwrap_or(Map::EMPTY));
    }

    fn write_annotations(&self, scheduled: Option<Timestamp>, out: &mut Sink<'_>) {
        let sent = self.message.view().message_annotations().unwrap_or(Map::EMPTY);
        put_section(out, section::MESSAGE_ANNOTATIONS);
        let mark = out.begin();
        let mut count = 0;
        let changes = [
            (PARTITION_KEY, self.text(SystemProperty::PartitionKey)),
            (VIA_PARTITION_KEY, self.text(SystemProperty::ViaPartitionKey)),
        ];
        for (key, value) in sent.iter().map_while(Result::ok) {
            let replaced = changes.iter().any(|(name, text)| key.as_str() == Some(*name) && text.is_some());
            if !replaced && key.as_str() != Some(SCHEDULED_ENQUEUE_TIME) {
                put_entry(out, &mut count, key, value);
            }
        }
        for (key, text) in changes {
            if let Some(Some(text)) = text {
                put_entry(out, &mut count, Symbol::new(key).into(), text.into());
            }
        }
        if let Some(at) = scheduled {
            put_entry(out, &mut count, Symbol::new(SCHEDULED_ENQUEUE_TIME).into(), at.into());
        }
        out.end(mark, Compound::Map, count);
    }
}

fn put_map(out: &mut Sink<'_>, code: u8, map: Map<'_>) {
    if map.is_empty() {
        return;
    }
    put_section(out, code);
    map.encode(out);
}

impl MessageProperties for PropertyEditor<'_> {
    fn system(&self, property: SystemProperty) -> Option<Value<'_>> {
        match self.system.get(&property) {
            Some(set) => set.as_ref().map(Value::borrowed),
            None => self.sent(property),
        }
    }

    fn user(&self, name: &str) -> Option<Value<'_>> {
        let Some(user) = &self.user else {
            let sent = self.message.application_properties();
            let found = sent.get(name).or_else(|| {
                let entries = sent.iter().map_while(Result::ok);
                let mut same = entries.filter(|(key, _)| key.as_str().is_some_and(|key| same_name(key, name)));
                same.next().map(|(_, value)| value)
            });
            return found.map(Value::from);
        };
        let exact = user.iter().find(|(key, _)| key == name);
        let (_, property) = exact.or_else(|| user.iter().find(|(key, _)| same_name(key, name)))?;
        match property {
            Property::Sent(bytes) => Reader::new(bytes).read::<wire::Value<'_>>().ok().map(Value::from),
            Property::Set(value) => Some(value.borrowed()),
        }
    }
}

impl MessagePropertiesMut for PropertyEditor<'_> {
    fn set_system(&mut self, property: SystemProperty, value: Option<Value<'static>>) {
        self.system.insert(property, value);
    }

    fn set_user(&mut self, name: &str, value: Value<'static>) {
        let user = self.edited();
        let at = user.iter().position(|(key, _)| key == name);
        let at = at.or_else(|| user.iter().position(|(key, _)| same_name(key, name)));
        match at.and_then(|at| user.get_mut(at)) {
            // The key keeps its spelling (docs/evidence/service-evidence.md §11).
            Some((_, property)) => *property = Property::Set(value),
            None => user.push((name.to_owned(), Property::Set(value))),
        }
    }

    fn remove_user(&mut self, name: &str) {
        self.edited().retain(|(key, _)| !same_name(key, name));
    }
}
