//! A stored message: the bytes it came in, and what the service knows about it.
//!
//! The bytes are kept as they are. Header, annotations and the service's own properties are written around them when
//! the message is handed out, so a body is copied once per delivery and never looked into.

use bytes::{Bytes, BytesMut};
use core::fmt;
use servicebus_core::random::Random;
use servicebus_core::servicebus::LockToken;
use servicebus_core::servicebus::key::{
    DEAD_LETTER_SOURCE, ENQUEUED_SEQUENCE_NUMBER, ENQUEUED_TIME, LOCKED_UNTIL, MESSAGE_STATE, PARTITION_KEY,
    SCHEDULED_ENQUEUE_TIME, SEQUENCE_NUMBER, VIA_PARTITION_KEY,
};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::message::{Body, MessageView, section};
use servicebus_core::wire::messaging::{Header, MessageId, Properties, put_section};
use servicebus_core::wire::{Compound, Encode, Map, MapWriter, Reader, Sink, Symbol, Value};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::EntityError;
use super::session::session_key;
use crate::broker::budget::{Budget, Holding, OverBudget, Share};

/// Longest session id, message id and partition key, in characters.
// docs/evidence/wire-protocol.md §8
pub(in crate::broker) const MAX_ID_LEN: usize = 128;

/// What has become of a message; the number is that of `x-opt-message-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Available, or locked by a receiver.
    Active = 0,
    /// Set aside: only its sequence number brings it back.
    Deferred = 1,
    /// Waits for its time.
    Scheduled = 2,
}

/// A message on its way through the namespace, or stored in an entity.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    layout: servicebus_core::wire::message::Layout,
    /// Its number in the entity.
    pub sequence_number: i64,
    /// Its number in the entity it was sent to, once it has been forwarded.
    pub enqueued_sequence_number: Option<i64>,
    /// When the entity took it.
    pub enqueued_time: Timestamp,
    /// When it was asked to become available.
    pub scheduled_enqueue_time: Option<Timestamp>,
    /// Its session.
    pub session_id: Option<Arc<str>>,
    /// Earlier deliveries that came to nothing.
    pub delivery_count: u32,
    /// How long it lives: the sender's wish, cut to the entity's limit.
    pub time_to_live: Option<Duration>,
    /// The entity whose dead-letter queue it was forwarded from.
    pub dead_letter_source: Option<Arc<str>>,
    /// What has become of it.
    pub state: MessageState,
    /// How often it has been forwarded.
    pub hops: u8,
    /// Whether it has waited for its time.
    pub activated: bool,
    /// A message id for a message that came without one: the JavaScript SDK cannot settle a message that has none.
    // docs/evidence/pinned-behaviour.md SND37
    made_id: Option<Arc<str>>,
    /// Its part of the memory budget, which its copies share.
    share: Option<Arc<Share>>,
    /// What a copy takes beside the bytes that it shares with the others.
    place: Option<Arc<Share>>,
}

/// Without the bytes: the body is the sender's, and this ends up in logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.bytes.len())
            .field("sequence_number", &self.sequence_number)
            .field("session_id", &self.session_id)
            .field("delivery_count", &self.delivery_count)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// How a message is handed out.
#[derive(Clone, Copy, Debug)]
pub struct Handout {
    /// The lock it is handed out with.
    pub lock: Option<(LockToken, Timestamp)>,
    /// The end of a lock that is told to somebody who does not hold it.
    pub locked_until: Option<Timestamp>,
    /// Whether the body is left out.
    pub omit_body: bool,
    /// It is shown and stays where it is.
    pub peeked: bool,
}

impl Handout {
    /// Whole, and for good.
    pub const TAKEN: Self = Self { lock: None, locked_until: None, omit_body: false, peeked: false };
    /// Whole, and not for keeps.
    pub const PEEKED: Self = Self { peeked: true, ..Self::TAKEN };

    /// Whole, under this lock.
    pub fn locked(token: LockToken, until: Timestamp) -> Self {
        Self { lock: Some((token, until)), ..Self::TAKEN }
    }
}

/// Annotations that belong to the service: what a sender writes there is not handed on.
const OWNED: [&str; 7] = [
    ENQUEUED_TIME,
    SEQUENCE_NUMBER,
    LOCKED_UNTIL,
    MESSAGE_STATE,
    ENQUEUED_SEQUENCE_NUMBER,
    DEAD_LETTER_SOURCE,
    SCHEDULED_ENQUEUE_TIME,
];

/// A property map with some entries replaced or added.
pub type Changes<'a> = [(&'a str, Value<'a>)];

fn checked(map: Map<'_>) -> Result<(), EntityError> {
    for entry in map.iter() {
        entry.map_err(|_| EntityError::Malformed)?;
    }
    Ok(())
}

/// Whether a value is of a type that application properties cannot have.
// docs/evidence/pinned-behaviour.md SND27
pub(in crate::broker) fn is_compound(value: &Value<'_>) -> bool {
    matches!(value, Value::List(_) | Value::Map(_) | Value::Array(_))
}

/// Checks that the sections of a body are what they must be, since receivers read them: bytes, or a list.
fn check_body(view: MessageView<'_>) -> Result<(), EntityError> {
    let readable = match view.body() {
        Ok(Body::Empty | Body::Value(_)) => true,
        Ok(Body::Data(sections)) => sections.data().all(|data| data.is_ok()),
        Ok(Body::Sequence(sections)) => sections.lists().all(|list| list.is_ok()),
        Err(_) => false,
    };
    if readable { Ok(()) } else { Err(EntityError::Malformed) }
}

impl Message {
    /// Takes an encoded message in.
    ///
    /// # Errors
    /// [`EntityError::Malformed`] for bytes that are no message, and what the service refuses in one: system
    /// annotations set to null, ids that are too long, property values of compound types (SND27).
    // docs/evidence/pinned-behaviour.md SND45
    pub fn accept(bytes: Bytes) -> Result<Self, EntityError> {
        let view = MessageView::parse(&bytes).map_err(|_| EntityError::Malformed)?;
        let header = view.header().map_err(|_| EntityError::Malformed)?;
        let properties = view.properties().map_err(|_| EntityError::Malformed)?;
        let annotations = view.message_annotations().map_err(|_| EntityError::Malformed)?;
        checked(annotations)?;
        checked(view.delivery_annotations().map_err(|_| EntityError::Malformed)?)?;
        checked(view.footer().map_err(|_| EntityError::Malformed)?)?;
        let application = view.application_properties().map_err(|_| EntityError::Malformed)?;
        for entry in application.iter() {
            let (key, value) = entry.map_err(|_| EntityError::Malformed)?;
            if key.as_str().is_none() {
                return Err(EntityError::Malformed);
            }
            if is_compound(&value) {
                return Err(EntityError::UnsupportedProperty);
            }
        }
        check_body(view)?;
        for key in [SCHEDULED_ENQUEUE_TIME, MESSAGE_STATE, ENQUEUED_SEQUENCE_NUMBER] {
            if annotations.get(key).is_some_and(|value| value.is_null()) {
                return Err(EntityError::NullAnnotation(key));
            }
        }
        for key in [PARTITION_KEY, VIA_PARTITION_KEY] {
            if annotations.get(key).is_some_and(|value| !value.is_null() && value.as_str().is_none()) {
                return Err(EntityError::WrongAnnotation(key));
            }
        }
        let session_id = properties.group_id;
        let partition_key = annotations.get(PARTITION_KEY).and_then(|value| value.as_str());
        let message_id = match properties.message_id {
            Some(MessageId::String(id)) => Some(id),
            _ => None,
        };
        for (name, id) in [("SessionId", session_id), ("PartitionKey", partition_key), ("MessageId", message_id)] {
            if id.is_some_and(|id| id.chars().count() > MAX_ID_LEN) {
                return Err(EntityError::IdTooLong(name));
            }
        }
        if matches!(properties.message_id, Some(MessageId::Binary(id)) if id.len() > MAX_ID_LEN) {
            return Err(EntityError::IdTooLong("MessageId"));
        }
        if let (Some(session), Some(partition)) = (session_id, partition_key)
            && session != partition
            // An empty one is no session to partition by (docs/evidence/field-reports.md F19).
            && !session.is_empty()
        {
            return Err(EntityError::PartitionKeyMismatch);
        }
        let time = |value: Value<'_>| {
            let time = value.as_timestamp().or_else(|| value.as_i64().map(Timestamp::from_millis));
            // A message that is to wait must not come at once.
            time.ok_or(EntityError::WrongAnnotation(SCHEDULED_ENQUEUE_TIME))
        };
        let scheduled_enqueue_time = annotations.get(SCHEDULED_ENQUEUE_TIME).map(time).transpose()?;
        let time_to_live = header.ttl.map(|ttl| Duration::from_millis(u64::from(ttl)));
        // A ttl field ends at 49 days; for longer lives only the expiry time tells (docs/evidence/service-evidence.md
        // §10).
        let time_to_live = match (time_to_live, properties.creation_time, properties.absolute_expiry_time) {
            (Some(ttl), Some(from), Some(until)) => Some(ttl.max(until.saturating_duration_since(from))),
            (ttl, _, _) => ttl,
        };
        let session_id = session_id.map(Arc::from);
        let layout = view.layout();
        Ok(Self {
            bytes,
            layout,
            sequence_number: 0,
            enqueued_sequence_number: None,
            enqueued_time: Timestamp::UNIX_EPOCH,
            scheduled_enqueue_time,
            session_id,
            delivery_count: 0,
            time_to_live,
            dead_letter_source: None,
            state: MessageState::Active,
            hops: 0,
            activated: false,
            made_id: None,
            share: None,
            place: None,
        })
    }

    /// Takes the messages of a batch in: one in each data section. `None` for a batch without any.
    ///
    /// # Errors
    /// As [`Message::accept`]; one bad message refuses the batch. [`EntityError::BatchTooLong`] for more than `limit`.
    // docs/evidence/wire-protocol.md §3.3
    pub fn accept_batch(bytes: &Bytes, limit: usize) -> Result<Option<Vec<Self>>, EntityError> {
        let Ok(view) = MessageView::parse(bytes) else { return Ok(None) };
        let Ok(Body::Data(sections)) = view.body() else { return Ok(None) };
        if sections.data().count() > limit {
            return Err(EntityError::BatchTooLong);
        }
        let message = |data: Result<&[u8], _>| Self::accept(bytes.slice_ref(data.map_err(|_| EntityError::Malformed)?));
        let messages: Vec<Self> = sections.data().map(message).collect::<Result<_, _>>()?;
        Ok(Some(messages).filter(|messages| !messages.is_empty()))
    }

    /// The message as it was sent.
    pub fn view(&self) -> MessageView<'_> {
        MessageView::with_layout(&self.bytes, self.layout)
    }

    /// Its properties section.
    pub fn properties(&self) -> Properties<'_> {
        self.view().properties().unwrap_or(Properties::EMPTY)
    }

    /// The application's own properties.
    pub fn application_properties(&self) -> Map<'_> {
        self.view().application_properties().unwrap_or(Map::EMPTY)
    }

    /// Its message id as text, for duplicate detection.
    pub fn message_id(&self) -> Option<String> {
        Some(match self.properties().message_id? {
            MessageId::String(id) => id.to_owned(),
            MessageId::Ulong(id) => id.to_string(),
            MessageId::Uuid(id) => LockToken::from_uuid(id).to_string(),
            MessageId::Binary(id) => id.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Whether a message id has to be made for it.
    pub fn lacks_id(&self) -> bool {
        self.properties().message_id.is_none() && self.made_id.is_none()
    }

    /// Gives it a message id.
    pub fn set_made_id(&mut self, id: Arc<str>) {
        self.made_id = Some(id);
    }

    /// Cuts its life to the limit of an entity.
    pub fn limit_life(&mut self, limit: Option<Duration>) {
        if let Some(limit) = limit {
            self.time_to_live = Some(self.time_to_live.map_or(limit, |own| own.min(limit)));
        }
    }

    /// Its partition key, or the session that stands for one, in the form in which sessions are compared: what is one
    /// session is in one partition.
    pub fn partition(&self) -> Option<Cow<'_, str>> {
        let annotations = self.view().message_annotations().ok();
        let key = annotations.and_then(|map| map.get(PARTITION_KEY)).and_then(|value| value.as_str());
        key.map(Cow::Borrowed).or_else(|| self.session_id.as_deref().map(session_key))
    }

    /// What it takes in the entity, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Counts the message against the memory budget, until the last of its copies is gone, and gives it memory of its own:
    /// part of a larger piece would keep all of that.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub(crate) fn hold(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        self.share = Some(Arc::new(budget.share(Holding::Messages, self.bytes.len() + Budget::ENTRY)?));
        let bytes = core::mem::take(&mut self.bytes);
        self.bytes = match bytes.try_into_mut() {
            Ok(own) if own.capacity() - own.len() <= own.len() / 4 => own.freeze(),
            Ok(wasteful) => Bytes::copy_from_slice(&wasteful),
            Err(shared) => Bytes::copy_from_slice(&shared),
        };
        Ok(())
    }

    /// What everything but the body takes, in bytes.
    pub fn header_size(&self) -> usize {
        self.bytes.len().saturating_sub(self.view().body_bytes().len())
    }

    /// When its life ends: never while it waits for its time.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let ttl = self.time_to_live.filter(|_| self.state != MessageState::Scheduled)?;
        let at = self.enqueued_time + ttl;
        (at < Timestamp::DOTNET_MAX).then_some(at)
    }

    /// Replaces the message's bytes, for instance after a rule's action.
    ///
    /// # Errors
    /// As [`Message::accept`].
    pub fn replace_bytes(&mut self, bytes: Bytes) -> Result<(), EntityError> {
        let fresh = Self::accept(bytes)?;
        self.bytes = fresh.bytes;
        self.layout = fresh.layout;
        self.session_id = fresh.session_id;
        self.renew_share();
        Ok(())
    }

    /// Sets application properties, keeping the order and the spelling of keys that are there. A key that occurs twice
    /// in `changes` has its last value.
    pub fn set_application_properties(&mut self, changes: &Changes<'_>) {
        if changes.is_empty() {
            return;
        }
        let view = self.view();
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + 64 * changes.len());
        let out = &mut Sink::from(&mut bytes);
        if let Ok(header) = view.header()
            && header != Header::EMPTY
        {
            header.encode(out);
        }
        put_map_section(out, section::DELIVERY_ANNOTATIONS, map_value(view.delivery_annotations()));
        put_map_section(out, section::MESSAGE_ANNOTATIONS, map_value(view.message_annotations()));
        if view.has_properties() {
            self.properties().encode(out);
        }
        put_section(out, section::APPLICATION_PROPERTIES);
        let mut map = MapWriter::begin(out);
        // A client chooses how many there are: none is looked for among the others.
        let last: HashMap<&str, usize> = changes.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        let mut there = HashSet::new();
        for (key, value) in self.application_properties().iter().map_while(Result::ok) {
            let Some(key) = key.as_str() else { continue };
            match last.get(key).and_then(|at| changes.get(*at)) {
                Some((_, changed)) => {
                    there.insert(key);
                    map.put(key, *changed);
                }
                None => map.put(key, value),
            }
        }
        for (at, (key, value)) in changes.iter().enumerate() {
            if last.get(key) == Some(&at) && !there.contains(key) {
                map.put(key, *value);
            }
        }
        map.end();
        out.put(view.body_bytes());
        put_map_section(out, section::FOOTER, map_value(view.footer()));
        if let Ok(layout) = servicebus_core::wire::message::Layout::of(&bytes) {
            self.bytes = bytes.freeze();
            self.layout = layout;
            self.renew_share();
        }
    }

    /// Bytes that it gains when properties are set.
    pub(crate) fn growth(&self, changes: &Changes<'_>) -> usize {
        let len = |key: &str, value: Value<'_>| key.len() + servicebus_core::wire::to_vec(&value).len();
        let last: HashMap<&str, Value<'_>> = changes.iter().copied().collect();
        let gained: usize = last.iter().map(|(key, value)| len(key, *value)).sum();
        let before = self.application_properties().iter().map_while(Result::ok);
        let replaced = before.filter_map(|(key, value)| {
            let key = key.as_str()?;
            last.contains_key(key).then(|| len(key, value))
        });
        gained.saturating_sub(replaced.sum())
    }

    /// Whether the memory budget has room for so many more bytes of messages.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.share.as_ref().is_none_or(|share| share.has_room(bytes))
    }

    /// Counts the place of one copy more.
    pub(crate) fn take_place(&mut self) {
        self.place = self.share.as_ref().map(|share| Arc::new(share.another(Budget::ENTRY)));
    }

    /// Bytes that replace others are this message's alone: its copies keep those they had.
    fn renew_share(&mut self) {
        if let Some(share) = &self.share {
            self.share = Some(Arc::new(share.another(self.bytes.len() + Budget::ENTRY)));
        }
    }

    /// Encodes the message for a receiver.
    pub fn hand_out(&self, handout: Handout) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + 256);
        self.write(handout, &mut Sink::from(&mut out));
        out.freeze()
    }

    fn write(&self, handout: Handout, out: &mut Sink<'_>) {
        let view = self.view();
        let ttl = self.time_to_live.map(|ttl| u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX));
        let header = view.header().unwrap_or(Header::EMPTY);
        // The count is written even when it is zero (docs/evidence/invariants.md §2).
        Header { ttl, delivery_count: Some(self.delivery_count), ..header }.encode(out);
        self.write_delivery_annotations(&view, handout, out);
        self.write_message_annotations(&view, handout, out);
        self.write_properties(&view, out);
        put_map_section(out, section::APPLICATION_PROPERTIES, map_value(view.application_properties()));
        if !handout.omit_body {
            out.put(view.body_bytes());
        }
        let footer = view.footer().unwrap_or(Map::EMPTY);
        if !footer.is_empty() {
            put_section(out, section::FOOTER);
            let mark = out.begin();
            let mut count = 0;
            for (key, value) in footer.iter().map_while(Result::ok) {
                put_entry(out, &mut count, annotation_key(key), value);
            }
            out.end(mark, Compound::Map, count);
        }
    }

    fn write_delivery_annotations(&self, view: &MessageView<'_>, handout: Handout, out: &mut Sink<'_>) {
        const LOCK_TOKEN: &str = "x-opt-lock-token";
        let own = view.delivery_annotations().unwrap_or(Map::EMPTY);
        // A message that is received has the section even where there is nothing in it (docs/evidence/field-reports.md F38).
        if own.is_empty() && handout.peeked && !handout.omit_body {
            return;
        }
        put_section(out, section::DELIVERY_ANNOTATIONS);
        let mark = out.begin();
        let mut count = 0;
        if let Some((token, _)) = handout.lock {
            put_entry(out, &mut count, Value::Symbol(Symbol::new(LOCK_TOKEN)), Value::Uuid(token.uuid()));
        }
        if handout.omit_body {
            let size = u32::try_from(view.body_bytes().len()).unwrap_or(u32::MAX);
            put_entry(out, &mut count, Value::Symbol(Symbol::new("omitted-message-body-size")), Value::Uint(size));
        }
        // The service hands a sender's delivery annotations on (docs/evidence/pinned-behaviour.md SND35).
        for (key, value) in own.iter().map_while(Result::ok) {
            if key.as_str() != Some(LOCK_TOKEN) {
                put_entry(out, &mut count, annotation_key(key), value);
            }
        }
        out.end(mark, Compound::Map, count);
    }

    fn write_message_annotations(&self, view: &MessageView<'_>, handout: Handout, out: &mut Sink<'_>) {
        let own = view.message_annotations().unwrap_or(Map::EMPTY);
        put_section(out, section::MESSAGE_ANNOTATIONS);
        let mark = out.begin();
        let mut count = 0;
        let mut put =
            |key: &'static str, value: Value<'_>| put_entry(out, &mut count, Value::Symbol(Symbol::new(key)), value);
        put(ENQUEUED_TIME, Value::Timestamp(self.enqueued_time));
        put(SEQUENCE_NUMBER, Value::Long(self.sequence_number));
        if let Some(until) = handout.lock.map(|(_, until)| until).or(handout.locked_until) {
            put(LOCKED_UNTIL, Value::Timestamp(until));
        }
        // An active message has no state annotation (docs/evidence/pinned-behaviour.md SND36).
        // One that has waited for its time says so to its receivers (docs/evidence/field-reports.md F18).
        if self.state != MessageState::Active {
            put(MESSAGE_STATE, Value::Int(self.state as i32));
        } else if self.activated && !handout.peeked {
            put(MESSAGE_STATE, Value::Int(MessageState::Scheduled as i32));
        }
        if let Some(time) = self.scheduled_enqueue_time {
            put(SCHEDULED_ENQUEUE_TIME, Value::Timestamp(time));
        }
        if let Some(number) = self.enqueued_sequence_number {
            put(ENQUEUED_SEQUENCE_NUMBER, Value::Long(number));
        }
        match &self.dead_letter_source {
            Some(source) => put(DEAD_LETTER_SOURCE, Value::String(source)),
            // A null one is handed on as null (docs/evidence/pinned-behaviour.md SND43).
            None if own.get(DEAD_LETTER_SOURCE).is_some_and(|value| value.is_null()) => {
                put(DEAD_LETTER_SOURCE, Value::Null);
            }
            None => {}
        }
        for (key, value) in own.iter().map_while(Result::ok) {
            if !key.as_str().is_some_and(|key| OWNED.contains(&key)) {
                put_entry(out, &mut count, annotation_key(key), value);
            }
        }
        out.end(mark, Compound::Map, count);
    }

    fn write_properties(&self, view: &MessageView<'_>, out: &mut Sink<'_>) {
        let mut properties = self.properties();
        if let Some(id) = &self.made_id
            && properties.message_id.is_none()
        {
            properties.message_id = Some(MessageId::String(id));
        }
        if let Some(ttl) = self.time_to_live {
            // The service writes both times where there is a time to live (docs/evidence/service-evidence.md §10).
            let created = properties.creation_time.unwrap_or(self.enqueued_time);
            properties.creation_time = Some(created);
            let until = created + ttl;
            properties.absolute_expiry_time = Some(until.min(Timestamp::from_millis(253_402_243_199_000)));
        }
        if view.has_properties() || properties != Properties::EMPTY {
            properties.encode(out);
        }
    }
}

fn map_value<'a, E>(map: Result<Map<'a>, E>) -> Value<'a> {
    map.ok().filter(|map| !map.is_empty()).map_or(Value::Null, Value::Map)
}

/// Writes a section that is a map, or nothing for null.
fn put_map_section(out: &mut Sink<'_>, code: u8, map: Value<'_>) {
    if map.is_null() {
        return;
    }
    put_section(out, code);
    map.encode(out);
}

/// A key of annotations or of a footer as a receiver gets it: a symbol (AMQP 1.0 §3.2.10) also where a client sent a
/// string, as the official client for Java does for footers. It takes nothing but symbols back, and finds its footer
/// unchanged on the service.
// docs/evidence/pinned-behaviour.md SND33
fn annotation_key(key: Value<'_>) -> Value<'_> {
    match key {
        Value::String(name) => Value::Symbol(Symbol::new(name)),
        key => key,
    }
}

/// Writes one entry of a map and counts both its items.
pub(crate) fn put_entry(out: &mut Sink<'_>, count: &mut usize, key: Value<'_>, value: Value<'_>) {
    key.encode(out);
    value.encode(out);
    *count += 2;
}

/// A made-up message id.
pub(in crate::broker) fn made_id(random: &mut Random) -> Arc<str> {
    random.uuid().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// Checks that a client's encoded value is one through and through, since its parts are read later.
pub fn validate(bytes: &[u8]) -> bool {
    Reader::new(bytes).validate().is_ok()
}
