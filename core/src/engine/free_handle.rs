//! Free handles of a session.

use super::entries::Number;
use super::id::{LinkIndex, SessionIndex};
use super::{Capacity, Connection, EngineError};
use crate::storage::Storage;

impl<S: Storage> Connection<S> {
    /// The handles in use among the 64 from `base` on, as bits.
    #[inline(never)]
    fn used_handles(&self, session: SessionIndex, base: u32) -> u64 {
        let mut used = 0;
        let mut at = self.sessions.get(session).and_then(|session| session.links.first());
        while let Some(link) = at.and_then(|at| self.links.get(LinkIndex::of(at))) {
            if let Some(bit) = u32::from(link.output_handle).checked_sub(base).filter(|&bit| bit < u64::BITS) {
                used |= 1u64 << bit;
            }
            at = link.of_session.next();
        }
        used
    }

    /// A handle that no link of the session sends on: `wanted`, or the lowest.
    pub(super) fn free_handle(&self, session: SessionIndex, wanted: u32) -> Result<u32, EngineError> {
        let found = self.sessions.get(session).ok_or(EngineError::Detached)?;
        let limit = found.peer_handle_max;
        if u32::from(found.link_count) > limit {
            return Err(EngineError::NoCapacity(Capacity::Links));
        }
        let used = |base| self.used_handles(session, base);
        if wanted <= limit && used(wanted) & 1 == 0 {
            return Ok(wanted);
        }
        (0..=self.links.end() / u64::BITS)
            .map(|block| block * u64::BITS)
            .find_map(|base| Some(base + (!used(base)).trailing_zeros()).filter(|&handle| handle < base + u64::BITS))
            .filter(|&handle| handle <= limit)
            .ok_or(EngineError::NoCapacity(Capacity::Links))
    }
}
