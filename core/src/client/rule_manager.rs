//! The rules of a subscription, over AMQP.

use super::call;
use super::{Client, Error, StorageOf};
use crate::machine::{Cause, Entity, Failure};
use crate::runtime::Runtime;
use crate::servicebus::argument::is_longer;
use crate::servicebus::management::{AddRule, ListRules, ListSessions, RemoveRule, Request, Response};
use crate::servicebus::name::{self, MAX_SUBSCRIPTION_NAME};
use crate::servicebus::{Argument, RuleFilterRef, RuleRef};
use crate::storage::{Management, Storage};
use crate::time::{Duration, Instant};
use core::fmt;

/// Adds, removes and lists the rules of a subscription. It needs the right to manage, and no link of its own.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::servicebus::{Entity, RuleFilterRef, RuleRef};
///
/// let rules = client.rule_manager(Entity::subscription("events", "audit"));
/// rules.add(&RuleRef::new("thousands", RuleFilterRef::Sql("total >= 1000"))).await?;
/// rules.remove("$Default").await?; // it takes every message
/// assert_eq!(rules.list().await?[0].name(), "thousands");
/// # Ok(())
/// # });
/// ```
pub struct RuleManager<R: Runtime> {
    client: Client<R>,
    subscription: Entity<StorageOf<R>>,
    /// The time-out of each call, within the retry policy's.
    limit: Option<Duration>,
}

impl<R: Runtime> Clone for RuleManager<R> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), subscription: self.subscription.clone(), limit: self.limit }
    }
}

impl<R: Runtime> fmt::Debug for RuleManager<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleManager").field("subscription", &self.subscription).finish()
    }
}

/// The longest expression or action of a rule.
// docs/evidence/wire-protocol.md §8
const MAX_SQL_LEN: usize = 1_024;

/// Entries per request.
const PAGE: u32 = 100;
/// Entries of the longest list: their number is signed on the wire.
const MOST: u32 = i32::MAX as u32;

/// A list that is read page by page.
#[derive(Default)]
struct Listed {
    total: u32,
    /// Entries of this page, and a digest of their names.
    count: u32,
    digest: u64,
    /// The digest of the page before.
    before: u64,
}

impl Listed {
    fn entry(&mut self, name: &str) {
        self.count = self.count.saturating_add(1);
        for byte in name.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.digest = self.digest.rotate_left(1).wrapping_add(1);
    }

    /// A page is over; whether another one follows.
    ///
    /// # Errors
    /// A list without an end, such as that of a service that sends the same page again and again.
    fn page<S: Storage>(&mut self) -> Result<bool, Failure<S>> {
        let (count, digest) = (core::mem::take(&mut self.count), core::mem::take(&mut self.digest));
        self.total = self.total.saturating_add(count);
        if count < PAGE {
            return Ok(false);
        }
        if core::mem::replace(&mut self.before, digest) == digest || self.total > MOST {
            return Err(Failure::answered(Cause::Endless));
        }
        Ok(true)
    }
}

impl<R: Runtime<Storage = S>, S: Storage> RuleManager<R> {
    pub(super) fn new(client: Client<R>, subscription: Entity<S>) -> Self {
        Self { client, subscription, limit: None }
    }

    /// A clone whose calls end within `limit`, whatever the retry policy allows; of a list, all of its pages together.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    /// use servicebus_core::client::ErrorKind;
    /// use servicebus_core::servicebus::Entity;
    ///
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// # world.set_black_hole(true);
    /// // Nothing answers: known after two seconds instead of minutes.
    /// let error = rules.timeout(Duration::from_secs(2)).list().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self.clone() }
    }

    /// The end of a call that starts now, where it has one of its own.
    fn until(&self) -> Option<Instant> {
        let limit = self.limit?;
        Some(self.client.shared.now() + limit)
    }

    async fn request(&self, request: &dyn Request, until: Option<Instant>) -> Result<Response<S::Payload>, Error<S>> {
        self.client.request(&self.subscription, request, until).await
    }

    /// Refuses an argument before it costs a connection.
    fn refused(&self, argument: Argument, why: &dyn fmt::Display) -> Error<S> {
        Error::new(Failure::explained(Cause::Argument(argument), why), &self.subscription)
    }

    fn check_name(&self, name: &str) -> Result<(), Error<S>> {
        if !S::CHECKS {
            return Ok(());
        }
        name::check(name, MAX_SUBSCRIPTION_NAME, false).map_err(|why| self.refused(Argument::RuleName, &why))
    }

    /// Adds a rule. The name is unique in the subscription.
    ///
    /// Cancel safety: a dropped future may still have added the rule.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](super::ErrorKind::AlreadyExists),
    /// [`ErrorKind::Rejected`](super::ErrorKind::Rejected) for an expression that is not valid, and
    /// [`ErrorKind::InvalidArgument`](super::ErrorKind::InvalidArgument) for a name that no rule can have, or an
    /// expression or action of more than 1024 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::{CorrelationRuleFilterRef, Entity, RuleFilterRef, RuleRef};
    ///
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// let refunds = CorrelationRuleFilterRef::new().with_subject("refund");
    /// rules.add(&RuleRef::new("refunds", RuleFilterRef::Correlation(refunds))).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn add(&self, rule: &RuleRef<'_>) -> Result<(), Error<S>> {
        self.check_name(rule.name)?;
        let expression = if let RuleFilterRef::Sql(expression) = rule.filter { expression } else { "" };
        if S::CHECKS && [expression, rule.action.unwrap_or_default()].iter().any(|text| is_longer(text, MAX_SQL_LEN)) {
            return Err(Error::new(Failure::new(Cause::Argument(Argument::SqlExpression)), &self.subscription));
        }
        self.request(&AddRule { rule: *rule }, self.until()).await.map(|_| ())
    }

    /// Removes a rule.
    ///
    /// Cancel safety: a dropped future may still have removed the rule.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound), and
    /// [`ErrorKind::InvalidArgument`](super::ErrorKind::InvalidArgument) for a name that no rule can have.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    /// use servicebus_core::servicebus::Entity;
    ///
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// rules.remove("$Default").await?;
    /// assert_eq!(rules.remove("$Default").await.unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn remove(&self, name: &str) -> Result<(), Error<S>> {
        self.check_name(name)?;
        self.request(&RemoveRule { name }, self.until()).await.map(|_| ())
    }

    /// Hands every rule to `take`, in the order of their names. Returns how many there were.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// What the service says, after the retries of the policy; [`ErrorKind::Protocol`](super::ErrorKind::Protocol) when
    /// it sends the same rules again.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::Entity;
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// let count = rules.list_each(|rule| println!("{}: {:?}", rule.name, rule.filter)).await?;
    /// assert_eq!(count, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn list_each(&self, mut take: impl FnMut(RuleRef<'_>)) -> Result<u32, Error<S>> {
        let (mut listed, until) = (Listed::default(), self.until());
        loop {
            let response = self.request(&ListRules { skip: listed.total, top: PAGE }, until).await?;
            for rule in response.rules() {
                listed.entry(rule.name);
                take(rule);
            }
            if !listed.page().map_err(|failure| Error::new(failure, &self.subscription))? {
                return Ok(listed.total);
            }
        }
    }

    /// The rules of the subscription, in the order of their names.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`RuleManager::list_each`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::Entity;
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// for rule in rules.list().await? {
    ///     println!("{}: {:?}", rule.name(), rule.filter());
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    pub async fn list(&self) -> Result<alloc::vec::Vec<crate::servicebus::Rule>, Error<S>> {
        let mut rules = alloc::vec::Vec::new();
        self.list_each(|rule| rules.push(rule.into())).await?;
        Ok(rules)
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// Asks an entity's `$management`, again after failures that can pass.
    pub(super) async fn request(
        &self,
        entity: &Entity<S>,
        request: &dyn Request,
        until: Option<Instant>,
    ) -> Result<Response<S::Payload>, Error<S>> {
        call::check_entity(&self.shared, entity)?;
        call::request::<R>(&self.shared, None, entity, request, until).await
    }

    /// Hands the ids of the sessions of a queue or subscription to `take`: those that have messages or a state, or
    /// those whose state was set after `updated_after`. Returns how many there were.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// What the service says, after the retries of the policy; [`ErrorKind::Protocol`](super::ErrorKind::Protocol) when
    /// it sends the same ids again.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let count = client.list_sessions_each("jobs", None, |id| println!("{id}")).await?;
    /// assert_eq!(count, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn list_sessions_each(
        &self,
        entity: impl Into<Entity<S>>,
        updated_after: Option<crate::time::Timestamp>,
        mut take: impl FnMut(&str),
    ) -> Result<u32, Error<S>>
    where
        S: Management,
    {
        let entity = entity.into();
        let mut listed = Listed::default();
        loop {
            let request = ListSessions { updated_after, skip: listed.total, top: PAGE };
            let response = self.request(&entity, &request, None).await?;
            for id in response.session_ids() {
                listed.entry(id);
                take(id);
            }
            if !listed.page().map_err(|failure| Error::new(failure, &entity))? {
                return Ok(listed.total);
            }
        }
    }

    /// The ids of the sessions of a queue or subscription: those that have messages or a state, or those whose state
    /// was set after `updated_after`.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`Client::list_sessions_each`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// assert_eq!(client.list_sessions("jobs", None).await?, ["customer-7"]);
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    pub async fn list_sessions(
        &self,
        entity: impl Into<Entity<S>>,
        updated_after: Option<crate::time::Timestamp>,
    ) -> Result<alloc::vec::Vec<alloc::string::String>, Error<S>>
    where
        S: Management,
    {
        let mut ids = alloc::vec::Vec::new();
        self.list_sessions_each(entity, updated_after, |id| ids.push(id.into())).await?;
        Ok(ids)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use alloc::string::ToString;

    fn page(listed: &mut Listed, names: core::ops::Range<u32>) -> Result<bool, Cause> {
        names.for_each(|name| listed.entry(&name.to_string()));
        listed.page::<Heap>().map_err(|failure| failure.cause)
    }

    #[test]
    fn a_list_ends_with_a_page_that_is_not_full() {
        let mut listed = Listed::default();
        assert_eq!(page(&mut listed, 0..100), Ok(true));
        assert_eq!(page(&mut listed, 100..200), Ok(true));
        assert_eq!(page(&mut listed, 200..299), Ok(false));
        assert_eq!(listed.total, 299);
        assert_eq!(page(&mut Listed::default(), 0..0), Ok(false));
    }

    #[test]
    fn the_same_page_again_ends_a_list() {
        for size in [100, 101, 250] {
            let mut listed = Listed::default();
            assert_eq!(page(&mut listed, 0..size), Ok(true));
            assert_eq!(page(&mut listed, 0..size), Err(Cause::Endless));
        }
        let mut listed = Listed { total: MOST, ..Listed::default() };
        assert_eq!(page(&mut listed, 0..100), Err(Cause::Endless));
    }
}
