//! The pairs of links that requests travel over: `$cbs` and `<entity>/$management`.
// docs/evidence/wire-protocol.md §2, §5

use super::attachment::ATTACH_ANSWER;
use super::channels::Links;
use super::id::{EntityId, TokenId};
use super::routes::Route;
use super::tokens::User;
use super::{Capacity, Cause, ClientMachine, Clock, EngineError, Failure, Name, Path, Timer};
use crate::log::Span;
use crate::storage::Storage;
use crate::time::{Instant, Millis};
use crate::wire::performative::Role;

/// An entity's `$management` that nothing else keeps stays for this long after the last request.
const QUIET: Millis = Millis::from_secs(60);

/// The node that takes tokens.
pub(super) const CBS: &str = "$cbs";

impl<S: Storage> ClientMachine<S> {
    /// The channel of an entity that was acquired for it, or of `$cbs`; made when there is none.
    pub(super) fn use_node(&mut self, entity: Option<EntityId>) -> Result<u32, Failure<S>> {
        if let Some(place) = self.channels.find(entity) {
            // It has a use of its own.
            if let Some(entity) = entity {
                self.release(entity.token, User::Channel);
            }
            return Ok(place);
        }
        if let Some(place) = self.channels.spare() {
            self.drop_node(place);
        }
        self.channels.insert(entity).map_err(|_| {
            if let Some(entity) = entity {
                self.release(entity.token, User::Channel);
            }
            Failure::no_capacity(Capacity::Links)
        })
    }

    /// An entity's `$management` goes with its last sender or receiver, unless it still owes a response or renews a
    /// lock: a client that sees many entities in its life keeps links only to those that it uses.
    pub(super) fn drop_idle_nodes(&mut self, token: TokenId) {
        for place in self.channels.of_token(token).into_iter().flatten() {
            if !self.channels.is_asked(place) {
                self.drop_node(place);
            }
        }
    }

    /// The same after a quiet minute where there never was a sender or receiver, as for rules. Elsewhere it goes with the
    /// last of those.
    pub(super) fn channel_idle(&mut self, place: u32, clock: Clock) {
        let Some(entity) = self.channels.entity(place) else { return };
        if self.channels.is_asked(place) {
            self.node_used(place, clock);
        } else if !self.tokens.has_links(entity.token) {
            self.drop_node(place);
        }
    }

    /// A request to a channel is begun, or will be.
    pub(super) fn node_used(&mut self, place: u32, clock: Clock) {
        self.timers.start(Timer::ChannelIdle, place, clock.now, QUIET);
    }

    /// The pause for which a channel waited is over, its links were not attached in their time, or they have lived long
    /// enough to be healthy.
    pub(super) fn channel_timer(&mut self, place: u32, clock: Clock) {
        self.due = true;
        match self.channels.links(place) {
            Links::Up { .. } => self.channels.healthy(place),
            Links::Pending => self.node_detached(place, clock),
            Links::Down => self.channels.mark(place),
        }
    }

    /// Lets go of an entity's `$management`; `$cbs` stays.
    fn drop_node(&mut self, place: u32) {
        let Some(entity) = self.channels.entity(place) else { return };
        self.detach_node(place);
        self.channels.remove(place);
        self.timers.stop(Timer::Channel, place);
        self.timers.stop(Timer::ChannelIdle, place);
        self.release(entity.token, User::Channel);
    }

    /// Detaches what there is of a channel's links.
    fn detach_node(&mut self, place: u32) {
        for link in self.channels.both(place).into_iter().flatten() {
            self.detach(link);
        }
    }

    pub(super) fn node_name(&self, node: u32) -> Name {
        Self::name(self.link_up.container(), self.channels.name(node))
    }

    /// Puts the address of a node into `path`.
    ///
    /// # Errors
    /// One that is too long.
    pub(super) fn put_node_address(&self, node: u32, path: &mut Path) -> Result<(), EngineError> {
        match self.channels.entity(node) {
            Some(entity) => self.put_path(entity, true, path),
            None => path.push_str(CBS).map_err(|_| EngineError::IllegalState),
        }
    }

    #[inline(never)]
    pub(super) fn attach_node(&mut self, place: u32, now: Instant) -> Result<(), EngineError> {
        // A late answer to an earlier attach is not taken for the answer to this one.
        let number = self.next_number();
        let name = Self::name(self.link_up.container(), number);
        let mut address = Path::new();
        self.put_node_address(place, &mut address)?;
        // Both links have names of their own: peers differ in whether roles share one name space.
        let span = Span::link("requests", &name, &address);
        let mut receiver_name = name.clone();
        let _ = receiver_name.push('r');
        let sender = self.attach_plain(&name, Role::Sender, &name, &address)?;
        let receiver = match self.attach_plain(&receiver_name, Role::Receiver, &address, &name) {
            Ok(receiver) => receiver,
            Err(error) => {
                self.detach(sender);
                return Err(error);
            }
        };
        self.routes.add(sender, Route::Sender(place));
        self.routes.add(receiver, Route::Receiver(place));
        self.channels.attaching(place, sender, receiver, number, span);
        self.timers.start(Timer::Channel, place, now, ATTACH_ANSWER);
        Ok(())
    }

    /// One of a node's links is gone: so is the other.
    #[inline(never)]
    pub(super) fn node_detached(&mut self, place: u32, clock: Clock) {
        self.detach_node(place);
        self.channels.down(place);
        let failure = self.channels.error(place).cloned().unwrap_or_else(|| Failure::new(Cause::LinkLost));
        let backoff = self.channels.failed(place);
        let retry_at = self.retry_at(backoff, clock.now, &failure);
        self.timers.set(Timer::Channel, place, retry_at);
        let hopeless = !failure.is_transient() || backoff.is_exhausted(&self.settings.retry);
        self.fail_requests(place, clock, &failure, !hopeless);
        self.due = true;
    }
}
