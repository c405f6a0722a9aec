//! Versions of entities.

use alloc::string::String;
use core::fmt;

/// The version of an entity's settings, as the service names it. An update that brings it along is refused where the
/// settings have been changed in between.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let mut orders = admin.get_queue("orders").await?;
/// println!("version {}", orders.etag.as_ref().ok_or("no version")?);
/// orders.max_delivery_count = 3;
/// admin.update_if_unchanged(&orders).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// A version as the header `ETag` has it, with or without quotes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::ETag;
    /// let version = ETag::new("\"637544496747300000\"");
    /// assert_eq!(version.as_str(), "\"637544496747300000\"");
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as the service wrote it.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let orders = admin.get_queue("orders").await?;
    /// assert!(orders.etag.is_some_and(|version| version.as_str().starts_with('"')));
    /// # Ok(())
    /// # });
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
