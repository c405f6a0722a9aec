//! Keys of an entity's own and the rights that they grant.
// docs/evidence/wire-protocol.md §7.2, docs/evidence/service-evidence.md §13.3

use super::element::{ElementValue, InvalidElement, Reading, names};
use super::xml::{self, Node, SERVICE_BUS, Writer};
use crate::time::Timestamp;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

names! {
    /// What a key permits.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::{AccessRights, AuthorizationRule, QueueDescription};
    ///
    /// let shop = AuthorizationRule::new("shop", [AccessRights::Send]);
    /// let warehouse = AuthorizationRule::new("warehouse", [AccessRights::Listen]);
    /// let orders = QueueDescription::new("orders").with_authorization_rules(vec![shop, warehouse]);
    /// # let _ = orders;
    /// ```
    pub enum AccessRights {
        /// Changing the entity; includes the other two.
        Manage = "Manage",
        /// Sending to it.
        Send = "Send",
        /// Receiving from it.
        Listen = "Listen",
    }
    unknown None, such as Listen
}

/// A pair of keys and what they permit. An entity has at most 12 of them; `Manage` comes with `Send` and `Listen`.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{AccessRights, AuthorizationRule, QueueDescription};
/// # servicebus_simulation::administration_example(async |admin| {
/// let shop = AuthorizationRule::new("shop", [AccessRights::Send]);
/// let created = admin.create(&QueueDescription::new("baskets").with_authorization_rules(vec![shop])).await?;
/// assert!(created.authorization_rules[0].primary_key.is_some());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationRule {
    /// The kind of claim: `SharedAccessKey`.
    pub claim_type: String,
    /// The claim's value: `None`.
    pub claim_value: String,
    /// What the keys permit.
    pub rights: Vec<AccessRights>,
    /// When the rule was created.
    pub created_at: Option<Timestamp>,
    /// When the rule was last changed.
    pub modified_at: Option<Timestamp>,
    /// The keys' name.
    pub key_name: String,
    /// The first key; the service makes one when there is none.
    pub primary_key: Option<String>,
    /// The second key; the service makes one when there is none.
    pub secondary_key: Option<String>,
}

impl AuthorizationRule {
    /// A rule whose keys the service makes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{AccessRights, AuthorizationRule};
    /// let all = AuthorizationRule::new("root", [AccessRights::Manage, AccessRights::Send, AccessRights::Listen]);
    /// assert_eq!(all.key_name, "root");
    /// ```
    pub fn new(key_name: impl Into<String>, rights: impl IntoIterator<Item = AccessRights>) -> Self {
        Self {
            claim_type: "SharedAccessKey".into(),
            claim_value: "None".into(),
            rights: rights.into_iter().collect(),
            created_at: None,
            modified_at: None,
            key_name: key_name.into(),
            primary_key: None,
            secondary_key: None,
        }
    }

    /// With keys of the caller's own: base64 of 32 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{AccessRights, AuthorizationRule};
    /// let one = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    /// let two = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    /// let shop = AuthorizationRule::new("shop", [AccessRights::Send]).with_keys(one, two);
    /// assert_eq!(shop.primary_key.as_deref(), Some(one));
    /// ```
    #[must_use]
    pub fn with_keys(mut self, primary: impl Into<String>, secondary: impl Into<String>) -> Self {
        self.primary_key = Some(primary.into());
        self.secondary_key = Some(secondary.into());
        self
    }
}

impl fmt::Debug for AuthorizationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRule")
            .field("key_name", &self.key_name)
            .field("rights", &self.rights)
            .field("created_at", &self.created_at)
            .field("modified_at", &self.modified_at)
            .finish_non_exhaustive()
    }
}

impl ElementValue for AuthorizationRule {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        let mut rule = Self::new(String::new(), []);
        for child in xml::elements(node).filter(|child| child.tag_name().namespace() == Some(SERVICE_BUS)) {
            if xml::is_nil(child) {
                continue;
            }
            match child.tag_name().name() {
                "ClaimType" => rule.claim_type = String::read(child, reading)?,
                "ClaimValue" => rule.claim_value = String::read(child, reading)?,
                "Rights" => {
                    for right in xml::elements(child) {
                        match AccessRights::read(right, reading) {
                            Ok(right) => rule.rights.push(right),
                            // A newer service may know more rights.
                            Err(_) if reading == Reading::Lenient => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                "CreatedTime" => rule.created_at = Some(Timestamp::read(child, reading)?),
                "ModifiedTime" => rule.modified_at = Some(Timestamp::read(child, reading)?),
                "KeyName" => rule.key_name = String::read(child, reading)?,
                "PrimaryKey" => rule.primary_key = Some(String::read(child, reading)?),
                "SecondaryKey" => rule.secondary_key = Some(String::read(child, reading)?),
                _ => {}
            }
        }
        Ok(rule)
    }

    fn write(&self, name: &str, writer: &mut Writer) {
        writer.start(name, &[("i:type", "SharedAccessAuthorizationRule")]);
        self.claim_type.write("ClaimType", writer);
        self.claim_value.write("ClaimValue", writer);
        writer.start("Rights", &[]);
        for right in &self.rights {
            writer.element("AccessRights", &[], &right.to_string());
        }
        writer.end("Rights");
        if let Some(created_at) = &self.created_at {
            created_at.write("CreatedTime", writer);
        }
        if let Some(modified_at) = &self.modified_at {
            modified_at.write("ModifiedTime", writer);
        }
        self.key_name.write("KeyName", writer);
        if let Some(key) = &self.primary_key {
            key.write("PrimaryKey", writer);
        }
        if let Some(key) = &self.secondary_key {
            key.write("SecondaryKey", writer);
        }
        writer.end(name);
    }
}

impl ElementValue for Vec<AuthorizationRule> {
    fn read(node: Node<'_, '_>, reading: Reading) -> Result<Self, InvalidElement> {
        xml::elements(node)
            .filter(|child| child.has_tag_name((SERVICE_BUS, "AuthorizationRule")))
            .map(|child| AuthorizationRule::read(child, reading))
            .collect()
    }

    fn write(&self, name: &str, writer: &mut Writer) {
        writer.start(name, &[]);
        for rule in self {
            rule.write("AuthorizationRule", writer);
        }
        writer.end(name);
    }
}
