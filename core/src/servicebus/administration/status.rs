//! Whether an entity can be used, and how many messages it holds.
// docs/evidence/sdk-features.md §7

use super::element::{ElementValue, InvalidElement, Reading, names};
use super::xml::{self, Node, SERVICE_BUS, SERVICE_BUS_2011, Writer};

names! {
    /// What an entity may be used for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::EntityStatus;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut orders = admin.get_queue("orders").await?;
    /// orders.status = EntityStatus::ReceiveDisabled;
    /// admin.update(&orders).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub enum EntityStatus {
        /// Sending and receiving.
        Active = "Active",
        /// Not there yet.
        Creating = "Creating",
        /// On its way out.
        Deleting = "Deleting",
        /// Neither sending nor receiving.
        Disabled = "Disabled",
        /// Sending only.
        ReceiveDisabled = "ReceiveDisabled",
        /// Receiving only.
        SendDisabled = "SendDisabled",
        /// Being renamed.
        Renaming = "Renaming",
        /// Being restored.
        Restoring = "Restoring",
        /// A state that is not known, or that the service does not know.
        Unknown = "Unknown",
    }
    unknown Some(Self::Unknown), such as Disabled
}

names! {
    /// Whether an entity can be reached.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::EntityAvailabilityStatus;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let orders = admin.get_queue("orders").await?;
    /// assert_eq!(orders.availability_status, EntityAvailabilityStatus::Available);
    /// # Ok(())
    /// # });
    /// ```
    pub enum EntityAvailabilityStatus {
        /// All of it.
        Available = "Available",
        /// Parts of it.
        Limited = "Limited",
        /// Being renamed.
        Renaming = "Renaming",
        /// Being restored.
        Restoring = "Restoring",
        /// A state that is not known, or that the service does not know.
        Unknown = "Unknown",
    }
    unknown Some(Self::Unknown), such as Limited
}

/// The number of an entity's messages by state.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let counts = admin.get_queue_runtime_properties("orders").await?.message_count_details;
/// if counts.dead_letter > 0 {
///     println!("{} of {} messages failed", counts.dead_letter, counts.total());
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MessageCountDetails {
    /// In the entity itself: ready, locked or deferred.
    pub active: u64,
    /// In the dead-letter queue.
    pub dead_letter: u64,
    /// Not due yet.
    pub scheduled: u64,
    /// On the way to another entity.
    pub transfer: u64,
    /// Dead-lettered on the way to another entity.
    pub transfer_dead_letter: u64,
}

impl MessageCountDetails {
    /// All messages.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::MessageCountDetails;
    /// assert_eq!(MessageCountDetails::default().total(), 0);
    /// ```
    pub const fn total(&self) -> u64 {
        self.active
            .saturating_add(self.dead_letter)
            .saturating_add(self.scheduled)
            .saturating_add(self.transfer)
            .saturating_add(self.transfer_dead_letter)
    }
}

impl ElementValue for MessageCountDetails {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let mut counts = Self::default();
        for child in xml::elements(node) {
            if !matches!(child.tag_name().namespace(), Some(SERVICE_BUS_2011 | SERVICE_BUS)) {
                continue;
            }
            let count = match child.tag_name().name() {
                "ActiveMessageCount" => &mut counts.active,
                "DeadLetterMessageCount" => &mut counts.dead_letter,
                "ScheduledMessageCount" => &mut counts.scheduled,
                "TransferMessageCount" => &mut counts.transfer,
                "TransferDeadLetterMessageCount" => &mut counts.transfer_dead_letter,
                _ => continue,
            };
            *count = u64::read(child, reading)?;
        }
        Ok(counts)
    }

    fn write(&self, name: &str, writer: &mut Writer) {
        writer.start(name, &[("xmlns:d2p1", SERVICE_BUS_2011)]);
        self.active.write("d2p1:ActiveMessageCount", writer);
        self.dead_letter.write("d2p1:DeadLetterMessageCount", writer);
        self.scheduled.write("d2p1:ScheduledMessageCount", writer);
        self.transfer.write("d2p1:TransferMessageCount", writer);
        self.transfer_dead_letter.write("d2p1:TransferDeadLetterMessageCount", writer);
        writer.end(name);
    }
}
