//! The right to use an entity: a token that is put to `$cbs` and renewed before it ends (docs/evidence/wire-protocol.md
//! §2).

use super::endpoint::{Entity, EntityId, Path};
use super::request::Owner;
use super::{Backoff, Capacity, Cause, ClientMachine, Clock, EngineError, Failure, Timer};
use crate::servicebus::Argument;
use crate::servicebus::address::Address;
use crate::servicebus::connection_string::ConnectionCredential;
use crate::servicebus::{RetryMode, RetryPolicy, sas};
use crate::storage::{Key, Marks, Storage, Table};
use crate::time::{Duration, Instant, Millis, Timestamp};
use crate::wire::Value;
use core::fmt::{self, Write};

/// The type of a shared access signature; tokens of Entra ID are `jwt` (docs/evidence/wire-protocol.md §2.2).
const SAS_TOKEN: &str = "servicebus.windows.net:sastoken";

/// How the service begins to say that a token has ended (docs/evidence/service-evidence.md §6).
const EXPIRED: &str = "ExpiredToken";

/// How long a token that is signed here lives: as the official SDKs' (docs/evidence/wire-protocol.md §2.3).
pub(super) const LIFETIME: Millis = Millis::from_secs(3_600);

/// Pauses between attempts to put a token: from 3 s, doubled up to 60 s, without an end while the old one counts
/// (docs/evidence/invariants.md §1 row 16).
const PAUSES: RetryPolicy = RetryPolicy {
    max_retries: u32::MAX,
    delay: Duration::from_secs(3),
    max_delay: Duration::from_secs(60),
    mode: RetryMode::Exponential,
    try_timeout: Duration::from_secs(60),
};

/// How long before its end a token that is signed here is renewed: a quarter of an hour, since the local clock may be
/// ten minutes behind the service's before there is any evidence of that.
const SIGNED_MARGIN: Millis = Millis::from_secs(15 * 60);
/// How long before its end another token is asked for: credentials keep theirs until five minutes before the end.
const GIVEN_MARGIN: Millis = Millis::from_secs(7 * 60);

/// When to renew a token that lives from `now` until `expiry`: at three quarters of its life, or `margin` before its end
/// where that is later.
pub(super) fn renewal(now: Instant, utc: Timestamp, expiry: Timestamp, margin: Millis) -> Instant {
    let life = expiry.left(utc);
    now.after(life.before_end(life, 4, margin))
}

/// A token for one entity, shared by everything that uses it.
#[derive(Debug)]
pub(super) struct Token<S: Storage> {
    pub(super) entity: Entity<S>,
    /// The service has accepted it on this connection.
    pub(super) valid: bool,
    /// It could not be had, and nobody waits for it any more: the next call tries again.
    pub(super) parked: bool,
    /// The end of the token that was put last.
    pub(super) expiry: Timestamp,
    /// The request that puts it.
    pub(super) request: Option<Key>,
    /// Attempts that failed in a row, on whatever connections.
    pub(super) backoff: Backoff,
}

/// Room for an audience: scheme, host and an entity's path.
pub(super) type Audience = heapless::String<400>;
/// Room for a signed token: an audience, percent-encoded, and what comes with it.
type TokenText = heapless::String<1024>;

/// What does not fit is what the application has named.
fn too_long<S: Storage>() -> Failure<S> {
    Failure::new(Cause::Argument(Argument::EntityName))
}

impl<S: Storage> ClientMachine<S> {
    /// An entity by its token, which is made when there is none; one that was given up tries again. Whoever does not come
    /// to use it releases it.
    ///
    /// # Errors
    /// [`Capacity::Links`] when there are too many.
    pub(super) fn use_entity(&mut self, entity: &Entity<S>) -> Result<EntityId, Failure<S>> {
        let sub_queue = entity.sub_queue;
        let shared = |&place: &u32| self.tokens.get(place).is_some_and(|token| token.entity.shares_token(entity));
        if let Some(token) = (0..self.tokens.end()).find(shared) {
            self.retry_token(token);
            return Ok(EntityId { token, sub_queue });
        }
        let token = Token {
            entity: Entity { sub_queue: None, ..entity.clone() },
            valid: false,
            parked: false,
            expiry: Timestamp::DOTNET_MIN,
            request: None,
            backoff: Backoff::default(),
        };
        match self.tokens.insert(token) {
            Ok(key) => {
                self.mark_token(key.index);
                Ok(EntityId { token: key.index, sub_queue })
            }
            Err(_) => Err(Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Links)))),
        }
    }

    /// Forgets the token of an entity that neither a sender or receiver nor a node is for any more.
    pub(super) fn release_token(&mut self, place: u32) {
        let mut endpoints = (0..self.endpoints.end()).filter_map(|at| self.endpoints.get(at));
        let mut nodes = (0..self.nodes.end()).filter_map(|at| self.nodes.get(at));
        let used = endpoints.any(|endpoint| endpoint.token == place)
            || nodes.any(|node| node.entity.is_some_and(|entity| entity.token == place));
        if !used && let Some(token) = self.tokens.get(place) {
            let request = token.request;
            self.tokens.free(place);
            self.timers.stop(Timer::Token, place);
            self.tokens_due.clear(place);
            if let Some(request) = request {
                self.drop_request(request);
            }
        }
    }

    /// The address of an entity on the wire.
    pub(super) fn address(tokens: &S::Links<Token<S>>, entity: EntityId) -> Option<Address<'_>> {
        let address = tokens.get(entity.token)?.entity.address();
        Some(Address { sub_queue: entity.sub_queue, ..address })
    }

    /// Puts the address, of an entity or of its `$management`, into `path`.
    ///
    /// # Errors
    /// One that is too long.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn put_path(&self, entity: EntityId, management: bool, path: &mut Path) -> Result<(), EngineError> {
        let address = Self::address(&self.tokens, entity).ok_or(EngineError::Detached)?;
        let address = if management { address.management() } else { address };
        fmt::write(path, format_args!("{address}")).map_err(|_| EngineError::IllegalState)
    }

    /// A new call tries again: so does a token that waits after a refusal, with the attempts that a call has. A refusal is
    /// the answer to one request, so that calls in a loop cost no more than their own requests.
    pub(super) fn retry_token(&mut self, place: u32) {
        if let Some(token) = self.tokens.get_mut(place).filter(|token| !token.valid && token.request.is_none()) {
            token.parked = false;
            token.backoff.forget();
            self.timers.stop(Timer::Token, place);
            self.mark_token(place);
        }
    }

    /// A token may have to be put.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn mark_token(&mut self, place: u32) {
        self.due = true;
        self.tokens_due.mark(place);
    }

    pub(super) fn token_is_valid(&self, place: u32) -> bool {
        self.tokens.get(place).is_some_and(|token| token.valid)
    }

    /// Puts every token that is due; `$cbs` is attached for it.
    pub(super) fn advance_tokens(&mut self, clock: Clock) {
        for _ in 0..self.tokens_due.count() {
            let Some(place) = self.tokens_due.take() else { return };
            let Some(token) = self.tokens.get(place) else { continue };
            if token.parked || token.request.is_some() || self.timers.get(Timer::Token, place).is_some() {
                continue;
            }
            let Some(key) = self.tokens.key(place) else { continue };
            let deadline = clock.now + self.settings.retry.try_timeout;
            let owner = Owner::Token(key, Timestamp::DOTNET_MIN);
            let node = self.use_node(None);
            match node.and_then(|node| self.start_request(node, owner, deadline)) {
                Ok(request) => {
                    if let Some(token) = self.tokens.get_mut(place) {
                        token.request = Some(request);
                    }
                }
                Err(failure) => self.token_refused(place, clock, failure),
            }
        }
    }

    /// The audience of a token (docs/evidence/wire-protocol.md §2.2).
    ///
    /// # Errors
    /// One that does not fit.
    pub(super) fn audience(&self, key: Key) -> Result<Audience, Failure<S>> {
        let host = self.settings.parsed()?.host;
        let known = self.tokens.find(key).ok_or_else(|| Failure::new(Cause::Closed))?;
        let mut audience = Audience::new();
        write!(audience, "sb://{host}/{}", known.entity.address().audience()).map_err(|_| too_long())?;
        Ok(audience)
    }

    /// Sends the request that puts a token. It goes on waiting while the credential that makes the token is asked.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn send_token(&mut self, key: Key, request: u32, clock: Clock) -> Result<(), Failure<S>> {
        if self.settings.external_tokens {
            self.access_token_wanted = !self.access_token_pending;
            return Ok(());
        }
        let audience = self.audience(key)?;
        let mut text = TokenText::new();
        let expiry = match self.settings.parsed()?.credential {
            ConnectionCredential::SharedAccessKey { name, key } => {
                let expiry = self.service_clock.utc(clock).after(LIFETIME);
                sas::sign(&audience, name, key, expiry, &mut text).map_err(|_| too_long())?;
                expiry
            }
            ConnectionCredential::SharedAccessSignature(signature) => {
                text.push_str(signature).map_err(|_| Failure::new(Cause::Argument(Argument::ConnectionString)))?;
                sas::expiry(signature)
            }
            ConnectionCredential::None => return Err(Failure::new(Cause::Argument(Argument::ConnectionString))),
        };
        self.put_token(key, request, &audience, (SAS_TOKEN, &text), expiry)
    }

    /// Sends the request that puts this token, of this type.
    pub(super) fn put_token(
        &mut self,
        key: Key,
        request: u32,
        audience: &str,
        (kind, token): (&str, &str),
        expiry: Timestamp,
    ) -> Result<(), Failure<S>> {
        let properties = [
            ("type", Value::String(kind)),
            ("name", Value::String(audience)),
            ("expiration", Value::Timestamp(expiry)),
        ];
        if let Some(request) = self.requests.get_mut(request) {
            request.owner = Owner::Token(key, expiry);
        }
        self.send_request(request, "put-token", &properties, &token, None)
    }

    /// The service has answered a put-token.
    pub(super) fn token_answered(&mut self, key: Key, expiry: Timestamp, clock: Clock, result: Result<(), Failure<S>>) {
        let Some(token) = self.tokens.find_mut(key) else { return };
        token.request = None;
        match result {
            Ok(()) => {
                token.valid = true;
                token.expiry = expiry;
                token.backoff.forget();
                // A signature that was given ready-made cannot be renewed.
                let renewable = self.settings.external_tokens
                    || self
                        .settings
                        .parsed()
                        .is_ok_and(|parsed| matches!(parsed.credential, ConnectionCredential::SharedAccessKey { .. }));
                let at = renewable.then(|| self.token_renewal(clock, expiry));
                self.timers.set(Timer::Token, key.index, at);
                self.token_changed = true;
                self.due = true;
            }
            Err(failure) => {
                if failure.description.as_ref().starts_with(EXPIRED) {
                    self.lock_ended(clock, expiry);
                }
                self.token_refused(key.index, clock, failure);
            }
        }
    }

    /// When to renew a token that ends at `expiry`.
    fn token_renewal(&self, clock: Clock, expiry: Timestamp) -> Instant {
        let margin = if self.settings.external_tokens { GIVEN_MARGIN } else { SIGNED_MARGIN };
        renewal(clock.now, self.service_clock.utc(clock), expiry, margin)
    }

    /// The local UTC turned out to be wrong: tokens may end sooner than was planned for.
    pub(super) fn replan_tokens(&mut self, clock: Clock) {
        for place in 0..self.tokens.end() {
            let Some(expiry) = self.tokens.get(place).filter(|token| token.valid).map(|token| token.expiry) else {
                continue;
            };
            let at = self.token_renewal(clock, expiry);
            if let Some(planned) = self.timers.get(Timer::Token, place) {
                self.timers.set(Timer::Token, place, Some(at.min(planned)));
            }
        }
    }

    /// A token could not be put. While the old one still counts, attempts never end. After that, those who wait learn of
    /// it when waiting does not help, and with nobody left who does the next attempt is left to the next call.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn token_refused(&mut self, place: u32, clock: Clock, failure: Failure<S>) {
        let Some(token) = self.tokens.get_mut(place) else { return };
        token.request = None;
        // The next one is signed by a better clock.
        let expired = failure.description.as_ref().starts_with(EXPIRED) && !self.settings.external_tokens;
        token.valid &= self.service_clock.utc(clock) < token.expiry;
        token.backoff.failed();
        let backoff = token.backoff;
        let hopeless =
            !token.valid && (!(failure.is_transient() || expired) || backoff.is_exhausted(&self.settings.retry));
        token.parked = hopeless;
        let at = backoff.retry_at(&PAUSES, clock.now, failure.reason(), &mut self.random).filter(|_| !hopeless);
        self.timers.set(Timer::Token, place, at);
        for at in 0..self.endpoints.end() {
            let Some(endpoint) = self.endpoints.get_mut(at).filter(|endpoint| endpoint.token == place) else {
                continue;
            };
            endpoint.error = Some(failure.clone());
            if hopeless {
                endpoint.parked = true;
                self.fail_waiting(at, &failure);
            }
        }
        self.fail_node_requests(place, clock, &failure, hopeless);
    }
}
