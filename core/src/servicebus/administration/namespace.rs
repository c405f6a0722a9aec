//! The namespace itself.
// docs/evidence/pinned-behaviour.md ADM64

use super::description::known;
use super::element::{ElementValue, InvalidElement, Reading, names};
use super::xml::{self, Node, SCHEMA_INSTANCE, SERVICE_BUS, Writer};
use crate::time::Timestamp;
use alloc::string::String;

names! {
    /// A namespace's tier.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::MessagingSku;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// match admin.get_namespace_properties().await?.messaging_sku {
    ///     MessagingSku::Basic => println!("no topics"),
    ///     MessagingSku::Premium => println!("messages of up to 100 MB"),
    ///     tier => println!("{tier}"),
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub enum MessagingSku {
        /// Queues only.
        Basic = "Basic",
        /// Shared resources.
        Standard = "Standard",
        /// Resources of its own, by messaging unit.
        Premium = "Premium",
        /// A tier that is not known.
        Unknown = "Unknown",
    }
    unknown Some(Self::Unknown), such as Premium
}

names! {
    /// What a namespace is for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::NamespaceType;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let namespace = admin.get_namespace_properties().await?;
    /// assert_eq!(namespace.namespace_type, NamespaceType::Messaging);
    /// # Ok(())
    /// # });
    /// ```
    pub enum NamespaceType {
        /// Queues and topics.
        Messaging = "Messaging",
        /// Notification hubs.
        NotificationHub = "NotificationHub",
        /// Several of these.
        Mixed = "Mixed",
        /// Event hubs.
        EventHub = "EventHub",
        /// Relays.
        Relay = "Relay",
        /// Something that is not known.
        Unknown = "Unknown",
    }
    unknown Some(Self::Unknown), such as Messaging
}

/// The properties of a namespace.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let namespace = admin.get_namespace_properties().await?;
/// println!("{} ({})", namespace.name, namespace.messaging_sku);
/// if let Some(created) = namespace.created_at {
///     println!("since {created}");
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceProperties {
    /// The name of the pair of namespaces that this one is half of.
    pub alias: Option<String>,
    /// When it was created, where the service says so.
    pub created_at: Option<Timestamp>,
    /// Its tier.
    pub messaging_sku: MessagingSku,
    /// Its messaging units: on the Premium tier only.
    pub messaging_units: Option<u32>,
    /// When it was last changed, where the service says so.
    pub modified_at: Option<Timestamp>,
    /// Its name, without the domain.
    pub name: String,
    /// What it is for.
    pub namespace_type: NamespaceType,
}

impl NamespaceProperties {
    /// A namespace of this name and tier.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{MessagingSku, NamespaceProperties};
    /// let contoso = NamespaceProperties::new("contoso", MessagingSku::Standard);
    /// assert_eq!(contoso.messaging_units, None);
    /// ```
    pub fn new(name: impl Into<String>, messaging_sku: MessagingSku) -> Self {
        Self {
            alias: None,
            created_at: None,
            messaging_sku,
            messaging_units: None,
            modified_at: None,
            name: name.into(),
            namespace_type: NamespaceType::Messaging,
        }
    }

    pub(super) const ELEMENT: &'static str = "NamespaceInfo";

    pub(super) fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let mut namespace = Self::new(String::new(), MessagingSku::Unknown);
        namespace.namespace_type = NamespaceType::Unknown;
        for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
            if xml::is_nil(child) {
                continue;
            }
            match child.tag_name().name() {
                "Alias" => namespace.alias = Some(String::read(child, reading)?).filter(|alias| !alias.is_empty()),
                "CreatedTime" => namespace.created_at = known(Some(Timestamp::read(child, reading)?)),
                "MessagingSKU" => namespace.messaging_sku = MessagingSku::read(child, reading)?,
                "MessagingUnits" => namespace.messaging_units = Some(u32::read(child, reading)?),
                "ModifiedTime" => namespace.modified_at = known(Some(Timestamp::read(child, reading)?)),
                "Name" => namespace.name = String::read(child, reading)?,
                "NamespaceType" => namespace.namespace_type = NamespaceType::read(child, reading)?,
                _ => {}
            }
        }
        Ok(namespace)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.start(Self::ELEMENT, &[("xmlns", SERVICE_BUS), ("xmlns:i", SCHEMA_INSTANCE)]);
        if let Some(alias) = &self.alias {
            alias.write("Alias", writer);
        }
        if let Some(created) = &self.created_at {
            created.write("CreatedTime", writer);
        }
        self.messaging_sku.write("MessagingSKU", writer);
        if let Some(units) = &self.messaging_units {
            units.write("MessagingUnits", writer);
        }
        if let Some(modified) = &self.modified_at {
            modified.write("ModifiedTime", writer);
        }
        self.name.write("Name", writer);
        self.namespace_type.write("NamespaceType", writer);
        writer.end(Self::ELEMENT);
    }
}
