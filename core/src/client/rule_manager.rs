//! The rules of a subscription, over AMQP.

use super::call;
use super::{Client, StorageOf};
use crate::machine::{Entity, Failure};
use crate::runtime::Runtime;
use crate::servicebus::RuleDescription;
use crate::servicebus::management::{AddRule, ListRules, ListSessions, RemoveRule, Request, Response};
use crate::storage::Storage;
use core::fmt;

/// Adds, removes and lists the rules of a subscription. It needs the right to manage, and no link of its own.
pub struct RuleManager<R: Runtime> {
    client: Client<R>,
    subscription: Entity<StorageOf<R>>,
}

impl<R: Runtime> fmt::Debug for RuleManager<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleManager").field("subscription", &self.subscription).finish()
    }
}

/// Rules that are asked for at a time.
const PAGE: u32 = 100;

impl<R: Runtime> RuleManager<R> {
    pub(super) fn new(client: Client<R>, subscription: Entity<StorageOf<R>>) -> Self {
        Self { client, subscription }
    }

    async fn request(
        &self,
        request: &dyn Request,
    ) -> Result<Response<<StorageOf<R> as Storage>::Payload>, Failure<StorageOf<R>>> {
        self.client.request(&self.subscription, request).await
    }

    /// Adds a rule. The name is unique in the subscription.
    ///
    /// Cancel safety: a dropped future may still have added the rule.
    ///
    /// # Errors
    /// [`Reason::EntityAlreadyExists`](crate::servicebus::Reason::EntityAlreadyExists), and
    /// [`Reason::ArgumentError`](crate::servicebus::Reason::ArgumentError) for an expression that is not valid.
    pub async fn add(&self, rule: &RuleDescription<'_>) -> Result<(), Failure<StorageOf<R>>> {
        self.request(&AddRule { rule: *rule }).await.map(|_| ())
    }

    /// Removes a rule.
    ///
    /// Cancel safety: a dropped future may still have removed the rule.
    ///
    /// # Errors
    /// [`Reason::EntityNotFound`](crate::servicebus::Reason::EntityNotFound).
    pub async fn remove(&self, name: &str) -> Result<(), Failure<StorageOf<R>>> {
        self.request(&RemoveRule { name }).await.map(|_| ())
    }

    /// Hands every rule to `take`, in the order of their names. Returns how many there were.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// What the service says, after the retries of the policy.
    pub async fn list_each(&self, mut take: impl FnMut(RuleDescription<'_>)) -> Result<u32, Failure<StorageOf<R>>> {
        let mut total = 0;
        loop {
            let response = self.request(&ListRules { skip: total, top: PAGE }).await?;
            let mut count = 0;
            for rule in response.rules() {
                take(rule);
                count += 1;
            }
            total += count;
            if count < PAGE {
                return Ok(total);
            }
        }
    }
}

impl<R: Runtime> Client<R> {
    /// Asks an entity's `$management`, again after failures that can pass.
    pub(super) async fn request(
        &self,
        entity: &Entity<StorageOf<R>>,
        request: &dyn Request,
    ) -> Result<Response<<StorageOf<R> as Storage>::Payload>, Failure<StorageOf<R>>> {
        call::request::<R>(&self.shared, None, entity, request).await
    }

    /// Hands the ids of the sessions of a queue or subscription to `take`: those that have messages or a state, or
    /// those whose state was set after `updated_after`. Returns how many there were.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// # Errors
    /// What the service says, after the retries of the policy.
    pub async fn list_sessions_each(
        &self,
        entity: Entity<StorageOf<R>>,
        updated_after: Option<crate::time::Timestamp>,
        mut take: impl FnMut(&str),
    ) -> Result<u32, Failure<StorageOf<R>>> {
        let mut total = 0;
        loop {
            let request = ListSessions { updated_after, skip: total, top: PAGE };
            let response = self.request(&entity, &request).await?;
            let mut count = 0;
            for id in response.session_ids() {
                take(id);
                count += 1;
            }
            total += count;
            if count < PAGE {
                return Ok(total);
            }
        }
    }
}
