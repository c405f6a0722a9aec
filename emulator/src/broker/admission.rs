//! Whether an entity takes a message: rights aside, everything a sender can be refused for. Nothing here changes
//! anything.

use super::entities::description::EntityStatus;
use super::entities::duplicates::Duplicates;
use super::entities::{EntityError, Message, Namespace, StoreId};
use servicebus_core::time::Duration;
use std::borrow::Cow;

/// The application properties and annotations of a message at most, in bytes.
// docs/evidence/wire-protocol.md §8
pub(super) const MAX_HEADER: usize = 64 << 10;
/// A property's name or value at most, in bytes.
// docs/evidence/field-reports.md F50
const MAX_PROPERTY: usize = 32_767;

/// A queue or topic as senders meet it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'n> {
    /// Its key.
    pub(super) key: &'n str,
    name: &'n str,
    namespace: &'n str,
    kind: &'static str,
    status: EntityStatus,
    limit: u64,
    requires_session: bool,
    partitioned: bool,
    /// How long message ids are remembered, and those that are.
    duplicates: Option<(Duration, &'n Duplicates)>,
    pub(super) time_to_live: Option<Duration>,
    /// Where messages come in.
    pub(super) arrivals: StoreId,
    /// Where messages wait for their time.
    pub(super) scheduled: StoreId,
}

impl<'n> Target<'n> {
    /// The queue or topic with this key.
    pub(super) fn find(namespace: &'n Namespace, entity: &str) -> Result<Self, EntityError> {
        if let Some((key, queue)) = namespace.queues.get_key_value(entity) {
            let description = &queue.description;
            return Ok(Self {
                key,
                name: &queue.name,
                namespace: &namespace.name,
                kind: "Queue",
                status: description.status,
                limit: description.max_size_in_megabytes << 20,
                requires_session: description.requires_session,
                partitioned: description.enable_partitioning,
                duplicates: description
                    .requires_duplicate_detection
                    .then_some((description.duplicate_detection_history_time_window, &queue.duplicates)),
                time_to_live: description.default_message_time_to_live,
                arrivals: queue.stores.main,
                scheduled: queue.stores.main,
            });
        }
        let found = namespace.topics.get_key_value(entity);
        let (key, topic) = found.ok_or_else(|| EntityError::NotFound(entity.to_owned()))?;
        let description = &topic.description;
        Ok(Self {
            key,
            name: &topic.name,
            namespace: &namespace.name,
            kind: "Topic",
            status: description.status,
            limit: description.max_size_in_megabytes << 20,
            requires_session: false,
            partitioned: description.enable_partitioning,
            duplicates: description
                .requires_duplicate_detection
                .then_some((description.duplicate_detection_history_time_window, &topic.duplicates)),
            time_to_live: description.default_message_time_to_live,
            arrivals: topic.transit,
            scheduled: topic.scheduled,
        })
    }

    /// Whether messages that come in get numbers which are seen.
    pub(super) fn is_queue(&self) -> bool {
        self.arrivals == self.scheduled
    }

    /// Checks a message of a sender.
    pub(super) fn check(&self, message: &Message) -> Result<(), EntityError> {
        if !self.status.can_send() {
            return Err(EntityError::Disabled(self.name.to_owned()));
        }
        check_properties(message)?;
        if self.partitioned
            && self.duplicates.is_some()
            && message.properties().message_id.is_none()
            && message.partition().is_none()
        {
            return Err(EntityError::NotAllowed(
                "Message to a partitioned entity with duplicate detection enabled must have either PartitionKey or \
                 MessageId set"
                    .into(),
            ));
        }
        self.check_session(message)
    }

    /// Checks a message that another entity forwards: a target that takes nothing from senders takes it, unless it is
    /// disabled altogether.
    // docs/evidence/field-reports.md F13
    pub(super) fn check_forwarded(&self, message: &Message) -> Result<(), EntityError> {
        if self.status == EntityStatus::Disabled {
            return Err(EntityError::Disabled(self.name.to_owned()));
        }
        self.check_session(message)
    }

    fn check_session(&self, message: &Message) -> Result<(), EntityError> {
        if self.requires_session && message.session_id.is_none() { Err(EntityError::SessionIdMissing) } else { Ok(()) }
    }

    /// Checks the messages of one batch against each other: a batch is stored in one partition.
    pub(super) fn check_batch(&self, messages: &[Message]) -> Result<(), EntityError> {
        let Some((first, rest)) = messages.split_first().filter(|_| self.partitioned) else { return Ok(()) };
        let detects = self.duplicates.is_some();
        let same = |message: &Message| {
            message.partition() == first.partition()
                && (!detects || message.properties().message_id == first.properties().message_id)
        };
        if rest.iter().all(same) {
            return Ok(());
        }
        let text = if detects {
            "Batching brokered messages with distinct SessionId, PartitionKey, or MessageId is not supported for an \
             entity with partitioning and duplicate detection enabled"
        } else {
            "Batching brokered messages with distinct SessionId or PartitionKey is not supported for an entity with \
             partitioning enabled"
        };
        Err(EntityError::NotAllowed(text.into()))
    }

    /// Checks that an entity of `held` bytes can hold `size` more.
    pub(super) fn check_quota(&self, held: u64, size: u64) -> Result<(), EntityError> {
        if held + size <= self.limit {
            return Ok(());
        }
        // The size that it would have: the service tells one at or above the maximum.
        let name = format!("{}:{}:{}", self.namespace, self.kind, self.name).to_uppercase();
        Err(EntityError::QuotaExceeded { kind: self.kind, name, size: held + size, limit: self.limit })
    }

    /// What duplicates of a message are known by: its id, and in a partitioned entity its partition key besides. `None`
    /// where duplicates are not detected.
    // docs/evidence/field-reports.md F32
    pub(super) fn identity(&self, message: &Message) -> Option<String> {
        self.duplicates?;
        let id = message.message_id()?;
        match message.partition().filter(|_| self.partitioned) {
            Some(partition) => Some(format!("{}:{id}{partition}", id.len())),
            None => Some(id),
        }
    }

    /// Whether an identity is remembered.
    pub(super) fn is_remembered(&self, identity: &str, utc: servicebus_core::time::Timestamp) -> bool {
        self.duplicates.is_some_and(|(window, duplicates)| duplicates.contains(identity, window, utc))
    }

    /// Checks that there is memory for so many more ids of this length together.
    pub(super) fn check_room_for_ids(&self, ids: usize, length: usize) -> Result<(), EntityError> {
        match self.duplicates {
            Some((_, duplicates)) if !duplicates.has_room(ids, length) => Err(super::budget::OverBudget.into()),
            _ => Ok(()),
        }
    }

    /// The partition that messages belong to; `None` where nothing says so.
    ///
    /// # Errors
    /// They belong to several.
    pub(super) fn partition_of<'m>(
        &self,
        messages: impl IntoIterator<Item = &'m Message>,
    ) -> Result<Option<String>, SeveralPartitions> {
        let mut partitions = messages.into_iter().filter(|_| self.partitioned).filter_map(Message::partition);
        let first = partitions.next();
        if partitions.all(|other| Some(&other) == first.as_ref()) {
            Ok(first.map(Cow::into_owned))
        } else {
            Err(SeveralPartitions)
        }
    }
}

/// Messages do not belong to one partition.
pub(super) struct SeveralPartitions;

/// Checks the properties of a message.
// docs/evidence/field-reports.md F49, F50
fn check_properties(message: &Message) -> Result<(), EntityError> {
    if message.header_size() < MAX_PROPERTY {
        return Ok(());
    }
    for (key, value) in message.application_properties().iter().map_while(Result::ok) {
        let value = value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len)).unwrap_or(0);
        check_property(key.as_str().map_or(0, str::len), value)?;
    }
    if is_header_too_large(message) { Err(EntityError::HeaderTooLarge) } else { Ok(()) }
}

/// Checks the size of a property's name and value.
pub(super) fn check_property(name: usize, value: usize) -> Result<(), EntityError> {
    if name.max(value) > MAX_PROPERTY { Err(EntityError::PropertyTooLong) } else { Ok(()) }
}

/// Whether everything but the body takes more than there is room for.
pub(super) fn is_header_too_large(message: &Message) -> bool {
    message.header_size() > MAX_HEADER
}
