//! Faults on request, for tests of how clients take them.

use super::{Broker, NamespaceId};
use servicebus_core::servicebus::Reason;
use servicebus_core::time::Duration;

/// What is to go wrong next.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The filter of non-exclusive sessions is not known, as where the service does not offer them.
    pub(crate) exclusive_only: bool,
    /// Responses of `$management` that are still to be lost.
    pub(crate) lost_responses: u64,
    operations: Countdown,
    tokens: Countdown,
    /// How long `$management` takes the new holder of a session for a stranger.
    pub(crate) takeover_delay: Duration,
}

/// Refusals that are left, and their reason.
#[derive(Debug, Default)]
struct Countdown {
    left: u64,
    reason: Option<Reason>,
}

impl Countdown {
    fn set(&mut self, count: u64, reason: Reason) {
        *self = Self { left: count, reason: Some(reason) };
    }

    fn take(&mut self) -> Option<Reason> {
        self.left = self.left.checked_sub(1)?;
        self.reason
    }
}

impl Faults {
    /// The next `count` sends and management requests are refused.
    pub(crate) fn refuse_operations(&mut self, count: u64, reason: Reason) {
        self.operations.set(count, reason);
    }

    /// The next `count` tokens are refused.
    pub(crate) fn refuse_tokens(&mut self, count: u64, reason: Reason) {
        self.tokens.set(count, reason);
    }

    /// Whether the next response of `$management` is lost.
    pub(crate) fn loses_response(&mut self) -> bool {
        let lost = self.lost_responses > 0;
        self.lost_responses = self.lost_responses.saturating_sub(1);
        lost
    }

    pub(crate) fn take_operation(&mut self) -> Option<Reason> {
        self.operations.take()
    }

    pub(crate) fn take_token(&mut self) -> Option<Reason> {
        self.tokens.take()
    }
}

impl Broker {
    /// The faults on request, which are those of the default namespace.
    fn faults(&mut self) -> &mut Faults {
        &mut self.namespaces.get_mut(NamespaceId::default()).faults
    }

    /// The next `operations` sends and management requests are answered with server-busy.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let orders = client.sender("orders")?;
    /// # world.broker(|broker, clock| {
    /// broker.throttle(2);
    /// # });
    /// orders.send("two of the blue ones").await?;
    /// # assert_eq!(world.broker(|broker, _| broker.statistics().messages_sent), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn throttle(&mut self, operations: u64) {
        self.refuse(operations, Reason::ServerBusy);
    }

    /// The next `operations` sends and management requests are refused for this reason.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::servicebus::Reason;
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let orders = client.sender("orders")?;
    /// # world.broker(|broker, clock| {
    /// broker.refuse(1, Reason::QuotaExceeded);
    /// # });
    /// assert!(orders.send("two of the blue ones").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn refuse(&mut self, operations: u64, reason: Reason) {
        self.faults().refuse_operations(operations, reason);
    }

    /// The next `count` tokens are refused for this reason.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::servicebus::Reason;
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let orders = client.sender("orders")?;
    /// # world.broker(|broker, clock| {
    /// broker.refuse_tokens(1, Reason::Unauthorized);
    /// # });
    /// assert!(orders.send("two of the blue ones").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn refuse_tokens(&mut self, count: u64, reason: Reason) {
        self.faults().refuse_tokens(count, reason);
    }

    /// What the next `count` requests to `$management` ask for is done, and their responses are lost.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let mut orders = client.receiver("orders")?.peeker();
    /// # world.broker(|broker, clock| {
    /// broker.lose_responses(1);
    /// # });
    /// assert!(orders.peek(1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub fn lose_responses(&mut self, count: u64) {
        self.faults().lost_responses = count;
    }

    /// Whether sessions can be accepted non-exclusively, as they can unless this is called: where the service does not
    /// offer that, it does not know the filter either.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    ///
    /// # world.broker(|broker, clock| {
    /// broker.offer_non_exclusive_sessions(false);
    /// # });
    ///
    /// # Ok(())
    /// # });
    /// ```
    pub fn offer_non_exclusive_sessions(&mut self, offered: bool) {
        self.faults().exclusive_only = !offered;
    }

    /// Who takes a session over is taken for a stranger by `$management` for this long, as it can happen at the
    /// service.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    ///
    /// # world.broker(|broker, clock| {
    /// broker.delay_take_over(Duration::from_secs(5));
    /// # });
    ///
    /// # Ok(())
    /// # });
    /// ```
    // docs/evidence/pinned-behaviour.md SES44
    pub fn delay_take_over(&mut self, delay: Duration) {
        self.faults().takeover_delay = delay;
    }
}
