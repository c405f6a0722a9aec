//! Reads the properties of the namespace.

use super::{AdministrationClient, AdministrationError, HttpClient, Timer};
use crate::servicebus::administration::{NamespaceProperties, Resource};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// The properties of the namespace.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let namespace = admin.get_namespace_properties().await?;
    /// println!("{} is a namespace of the tier {}", namespace.name, namespace.messaging_sku);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn get_namespace_properties(&self) -> Result<NamespaceProperties, AdministrationError<H::Error>> {
        self.get(Resource::Namespace).await
    }
}
