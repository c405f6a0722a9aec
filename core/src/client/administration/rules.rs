//! Reads, lists, changes and deletes rules.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{Operation, Resource, RuleProperties};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// A rule.
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
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.get_rule("events", "audit", "$Default").await?.filter, RuleFilter::True);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn get_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        self.get(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Replaces a rule by this one, for messages that come from now on.
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut rule = admin.get_rule("events", "audit", "$Default").await?;
    /// rule.filter = RuleFilter::sql("total >= 1000");
    /// admin.update_rule("events", "audit", &rule).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests().update_rule(topic, subscription, rule)?;
        let (topic, subscription, name) = (topic.into(), subscription.into(), rule.name.clone());
        self.put(unsigned, Resource::Rule { topic, subscription, name }, Operation::Update).await
    }

    /// Deletes a rule.
    ///
    /// Cancel safety: a dropped future may still have deleted it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.delete_rule("events", "audit", "$Default").await?;
    /// assert!(admin.list_rules("events", "audit").all().await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn delete_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Whether the subscription has a rule of this name.
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
    /// assert!(admin.rule_exists("events", "audit", "$Default").await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn rule_exists(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<RuleProperties>(Resource::Rule {
            topic: topic.into(),
            subscription: subscription.into(),
            name: name.into(),
        })
        .await
    }

    /// All of a subscription's rules, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// for rule in admin.list_rules("events", "audit").all().await? {
    ///     println!("{}: {:?}", rule.name, rule.filter);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_rules(&self, topic: &str, subscription: &str) -> Pages<H, T, RuleProperties> {
        Pages::new(self, Resource::Rules { topic: topic.into(), subscription: subscription.into() })
    }
}
