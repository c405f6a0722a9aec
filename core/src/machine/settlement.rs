//! Messages in the application's hands: when their locks end, and what renews these.

use super::id::RenewalId;
use crate::engine::DeliveryId;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::received::Origin;
use crate::storage::{Slots, Storage, room};
use crate::time::{Instant, Millis, Timestamp};

/// How long after the end of its lock a message that was never settled is forgotten.
const GRACE: Millis = Millis::from_secs(60);
/// The shortest time between two rounds through all messages.
const REST: Millis = Millis::from_secs(1);
/// Messages that one call looks at.
pub(super) const STEPS: u32 = 64;

/// A locked message, as far as its settlement goes.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    pub(crate) origin: Origin,
    pub(crate) token: Option<LockToken>,
    /// When its lock ends. During a settlement, the end that serves as evidence of the service's time; also a
    /// session's.
    pub(crate) locked_until: Option<Timestamp>,
}

/// A message in the application's hands.
#[derive(Clone, Copy, Debug)]
struct Held {
    delivery: DeliveryId,
    /// When its lock ends; a session's message has none.
    locked_until: Timestamp,
    renewal: Option<RenewalId>,
}

/// The messages that the application has taken and not settled, by the places of their deliveries.
pub(super) struct Settlement<S: Storage> {
    /// Where the round through all messages continues.
    next: usize,
    /// No round begins before.
    rests_until: Instant,
    held: Slots<S, room::Held, Held>,
}

impl<S: Storage> Settlement<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { next: 0, rests_until: Instant::ZERO, held: Slots::<S, room::Held, _>::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        (0..self.held.end()).filter(|&index| self.held.get(index).is_some()).count()
    }

    /// The application takes a message.
    pub(super) fn taken(&mut self, delivery: DeliveryId, locked_until: Timestamp) {
        let _ = self.held.put(delivery.index(), Held { delivery, locked_until, renewal: None });
    }

    /// A message is settled, or its link is gone: returns what renews its lock.
    pub(super) fn ended(&mut self, delivery: DeliveryId) -> Option<RenewalId> {
        self.get(delivery)?;
        self.held.take(delivery.index())?.renewal
    }

    /// The connection is gone.
    pub(super) fn clear(&mut self) {
        self.held = Slots::<S, room::Held, _>::default();
    }

    fn get(&self, delivery: DeliveryId) -> Option<&Held> {
        self.held.get(delivery.index()).filter(|held| held.delivery == delivery)
    }

    fn change(&mut self, delivery: DeliveryId, change: impl FnOnce(&mut Held)) {
        let Some(&(mut held)) = self.get(delivery) else { return };
        change(&mut held);
        let _ = self.held.put(delivery.index(), held);
    }

    /// When the lock on a message ends, as far as it has one.
    pub(super) fn lock_end(&self, delivery: DeliveryId) -> Option<Timestamp> {
        Some(self.get(delivery)?.locked_until).filter(|until| *until < Timestamp::DOTNET_MAX)
    }

    /// The lock on a message was renewed.
    pub(super) fn renewed(&mut self, delivery: DeliveryId, until: Timestamp) {
        self.change(delivery, |held| held.locked_until = until);
    }

    /// What renews the lock on a message.
    pub(super) fn renewal(&self, delivery: DeliveryId) -> Option<RenewalId> {
        self.get(delivery)?.renewal
    }

    /// The lock on a message is renewed from now on.
    pub(super) fn registered(&mut self, delivery: DeliveryId, renewal: RenewalId) {
        self.change(delivery, |held| held.renewal = Some(renewal));
    }

    /// Takes a message whose lock has ended long ago, at the service's time `utc`. Looks at no more than `steps`
    /// places, and goes through all of them no more often than once a second.
    pub(super) fn forget_next(&mut self, now: Instant, utc: Timestamp, steps: &mut u32) -> Option<DeliveryId> {
        if now < self.rests_until {
            return None;
        }
        while *steps > 0 {
            *steps -= 1;
            if self.next >= self.held.end() {
                self.next = 0;
                self.rests_until = now.after(REST);
                return None;
            }
            let place = self.next;
            self.next += 1;
            if self.held.get(place).is_some_and(|held| held.locked_until.after(GRACE) <= utc) {
                return self.held.take(place).map(|held| held.delivery);
            }
        }
        None
    }

    /// Whether a round continues with the next call.
    pub(super) fn is_searching(&self) -> bool {
        self.next > 0
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::{Generation, Heap, Key};
    use alloc::vec::Vec;

    const UTC: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn delivery(index: u32) -> DeliveryId {
        DeliveryId::numbered(index, Generation::FIRST)
    }

    fn renewal(index: u32) -> RenewalId {
        RenewalId::new(Key { index, generation: Generation::FIRST })
    }

    /// Messages that are forgotten, with the steps that this took.
    fn forget(settlement: &mut Settlement<Heap>, now: Instant, utc: Timestamp) -> (Vec<DeliveryId>, u32) {
        let mut steps = STEPS;
        let forgotten = core::iter::from_fn(|| settlement.forget_next(now, utc, &mut steps)).collect();
        (forgotten, STEPS - steps)
    }

    #[test]
    fn a_message_is_known_until_it_is_settled() {
        let mut settlement = Settlement::<Heap>::new();
        settlement.taken(delivery(3), UTC);
        settlement.registered(delivery(3), renewal(1));
        settlement.renewed(delivery(3), UTC.after(GRACE));
        assert_eq!(settlement.lock_end(delivery(3)), Some(UTC.after(GRACE)));
        let later = DeliveryId::numbered(3, Generation::FIRST.next());
        assert_eq!(
            (settlement.lock_end(later), settlement.ended(later)),
            (None, None),
            "another delivery in its place"
        );
        assert_eq!((settlement.len(), settlement.ended(delivery(3))), (1, Some(renewal(1))));
        assert_eq!((settlement.len(), settlement.ended(delivery(3))), (0, None));
    }

    #[test]
    fn a_message_of_a_session_has_no_lock_of_its_own() {
        let mut settlement = Settlement::<Heap>::new();
        settlement.taken(delivery(0), Timestamp::DOTNET_MAX);
        assert_eq!(settlement.lock_end(delivery(0)), None);
        let (forgotten, _) = forget(&mut settlement, Instant::ZERO, UTC.after(Millis::new(u32::MAX)));
        assert_eq!((forgotten.len(), settlement.len()), (0, 1));
    }

    #[test]
    fn messages_that_were_never_settled_are_forgotten_in_parts() {
        let mut settlement = Settlement::<Heap>::new();
        let count = 10 * STEPS;
        for index in 0..count {
            // Every other one is locked for longer.
            settlement.taken(delivery(index), if index % 2 == 0 { UTC } else { UTC.after(Millis::new(1)) });
        }
        let (mut now, utc) = (Instant::ZERO, UTC.after(GRACE));
        let mut calls = 0;
        while settlement.len() > count as usize / 2 {
            let (forgotten, steps) = forget(&mut settlement, now, utc);
            assert!(steps <= STEPS && forgotten.iter().all(|delivery| delivery.index() % 2 == 0));
            assert!(settlement.is_searching());
            calls += 1;
        }
        assert_eq!(calls, 10);
        // The round ends, and the next one is not at once.
        assert_eq!(forget(&mut settlement, now, utc), (Vec::new(), 1));
        assert!(!settlement.is_searching());
        assert_eq!(forget(&mut settlement, now, utc.after(GRACE)), (Vec::new(), 0));
        now = now.after(REST);
        assert_eq!(forget(&mut settlement, now, utc.after(GRACE)).0.len(), STEPS as usize / 2);
    }
}
