//! The right to use an entity: a token that is put to `$cbs` and renewed before it ends (wire-protocol.md §2).

use super::endpoint::Entity;
use super::request::{Owner, Request};
use super::{Cause, Clock, Failure, Namespace};
use crate::servicebus::connection_string::{ConnectionCredential, ConnectionString};
use crate::servicebus::sas::{self, SharedAccessSignature};
use crate::storage::{Key, Spare, Storage, Table};
use crate::time::{Duration, Instant, Timestamp, before_end};
use crate::wire::Value;
use core::fmt::Write;

/// The type of a shared access signature; tokens of Entra ID are `jwt` (wire-protocol.md §2.2).
const SAS_TOKEN: &str = "servicebus.windows.net:sastoken";

/// How long a token that is signed here lives: as the official SDKs' (wire-protocol.md §2.3).
pub(super) const LIFETIME: Duration = Duration::from_secs(3_600);

/// Waits between attempts to renew: from 3 s, doubled up to 60 s, for ever (invariants.md §1 row 16).
pub(super) fn backoff(attempts: u32) -> Duration {
    Duration::from_secs((3u64 << attempts.min(5)).min(60))
}

/// When to renew a token that lives from `now` until `expiry`: at three quarters of its life, or seven minutes before
/// its end where that is later.
pub(super) fn renewal(now: Instant, utc: Timestamp, expiry: Timestamp) -> Instant {
    let life = expiry.saturating_duration_since(utc);
    now + before_end(life, life, 4, Duration::from_secs(7 * 60))
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
    pub(super) users: u32,
    /// When to put it again; at once when it is not valid and this is `None`.
    pub(super) refresh_at: Option<Instant>,
    /// Failed attempts since it was valid last, on whatever connections.
    pub(super) attempts: u32,
}

impl<S: Storage> Token<S> {
    fn is_due(&self, now: Instant) -> bool {
        !self.parked && self.request.is_none() && self.refresh_at.map_or(!self.valid, |at| at <= now)
    }
}

/// Room for an audience: scheme, host and an entity's path.
pub(super) type Audience = heapless::String<400>;
/// Room for a signed token: an audience, percent-encoded, and what comes with it.
type TokenText = heapless::String<1024>;

impl<S: Storage> Namespace<S> {
    /// Counts a user of the entity's token, making one when there is none.
    pub(super) fn use_token(&mut self, entity: &Entity<S>) -> Option<u32> {
        for place in 0..self.tokens.end() {
            if let Some(token) = self.tokens.get_mut(place).filter(|token| token.entity.shares_token(entity)) {
                token.users += 1;
                if token.parked {
                    self.retry_token(place);
                }
                return Some(place);
            }
        }
        let entity = Entity { sub_queue: None, ..entity.clone() };
        let token = Token {
            entity,
            valid: false,
            parked: false,
            expiry: Timestamp::DOTNET_MIN,
            request: None,
            users: 1,
            refresh_at: None,
            attempts: 0,
        };
        self.tokens.insert(token).ok().map(|key| key.index)
    }

    pub(super) fn release_token(&mut self, place: u32) {
        let Some(token) = self.tokens.get_mut(place) else { return };
        token.users = token.users.saturating_sub(1);
        if token.users == 0
            && let Some(token) = self.tokens.remove(place)
            && let Some(request) = token.request
        {
            self.drop_request(request);
        }
    }

    /// Somebody tries again: a token that waits after a refusal does so too.
    pub(super) fn retry_token(&mut self, place: u32) {
        if let Some(token) = self.tokens.get_mut(place).filter(|token| !token.valid && token.request.is_none()) {
            token.parked = false;
            token.refresh_at = None;
            token.attempts = 0;
        }
    }

    pub(super) fn token_is_valid(&self, place: u32) -> bool {
        self.tokens.get(place).is_some_and(|token| token.valid)
    }

    /// Puts every token that is due; `$cbs` is attached for it.
    pub(super) fn advance_tokens(&mut self, clock: Clock) {
        for place in 0..self.tokens.end() {
            if !self.tokens.get(place).is_some_and(|token| token.is_due(clock.now)) {
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
                        token.refresh_at = None;
                    }
                }
                Err(failure) => self.token_refused(place, clock, failure),
            }
        }
    }

    /// Puts the audience of a token (wire-protocol.md §2.2) into `audience`; `None` when it does not fit.
    fn put_audience(&self, place: u32, audience: &mut Audience) -> Option<()> {
        let host = self.settings.parsed().ok()?.host;
        let entity = &self.tokens.get(place)?.entity;
        write!(audience, "sb://{host}/{}", entity.address().audience()).ok()
    }

    /// Sends the request that puts a token. It goes on waiting while the credential that makes the token is asked;
    /// `access` is what that has just given.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn send_token(
        &mut self,
        key: Key,
        request: u32,
        clock: Clock,
        access: Option<&(S::Payload, Timestamp)>,
    ) -> Result<(), Failure<S>> {
        let too_long = || Failure::new(Cause::Argument("the length of the entity's name"));
        let known = self.tokens.find(key).ok_or_else(|| Failure::new(Cause::Closed))?;
        // To renew, a token is needed that ends later than the one that was put.
        let least = if known.valid { known.expiry.max(clock.utc) } else { clock.utc };
        let mut audience = Audience::new();
        self.put_audience(key.index, &mut audience).ok_or_else(too_long)?;
        let mut text = TokenText::new();
        let external;
        let (kind, token, expiry) = if self.settings.external_tokens {
            let lasts = |(_, expiry): &&(S::Payload, Timestamp)| *expiry > least;
            let found = match access {
                Some(given) => Some(lasts(&given).then_some(given).ok_or_else(|| {
                    Failure::described(Cause::Credential, "the token ends before one that is needed")
                })?),
                None => self.access_token.kept().filter(lasts),
            };
            let Some((token, expiry)) = found.cloned() else {
                self.access_token_wanted = !self.access_token_pending;
                return Ok(());
            };
            external = token;
            let token = core::str::from_utf8(external.as_ref())
                .map_err(|_| Failure::new(Cause::Argument("the access token")))?;
            ("jwt", token, expiry)
        } else {
            let parsed = ConnectionString::parse(self.settings.connection_string.as_ref())
                .map_err(|_| Failure::new(Cause::Argument("the connection string")))?;
            match parsed.credential {
                ConnectionCredential::SharedAccessKey { name, key } => {
                    let expiry = clock.utc + LIFETIME;
                    sas::sign(&audience, name, key, expiry, &mut text).map_err(|_| too_long())?;
                    (SAS_TOKEN, text.as_str(), expiry)
                }
                ConnectionCredential::SharedAccessSignature(signature) => {
                    let expiry = SharedAccessSignature::parse(signature)
                        .map_or(Timestamp::DOTNET_MAX, |signature| signature.expiry());
                    text.push_str(signature).map_err(|_| Failure::new(Cause::Argument("SharedAccessSignature")))?;
                    (SAS_TOKEN, text.as_str(), expiry)
                }
                ConnectionCredential::None => {
                    return Err(Failure::new(Cause::Argument("the connection string")));
                }
            }
        };
        let properties = [
            ("type", Value::String(kind)),
            ("name", Value::String(&audience)),
            ("expiration", Value::Timestamp(expiry)),
        ];
        if let Some(request) = self.requests.get_mut(request) {
            request.owner = Owner::Token(key, expiry);
        }
        self.send_request(request, "put-token", &properties, &Value::String(token), None)
    }

    /// The service has answered a put-token.
    pub(super) fn token_answered(&mut self, key: Key, expiry: Timestamp, clock: Clock, result: Result<(), Failure<S>>) {
        let Some(token) = self.tokens.find_mut(key) else { return };
        token.request = None;
        match result {
            Ok(()) => {
                token.valid = true;
                token.expiry = expiry;
                token.attempts = 0;
                // A signature that was given ready-made cannot be renewed.
                let renewable = self.settings.external_tokens
                    || self
                        .settings
                        .parsed()
                        .is_ok_and(|parsed| matches!(parsed.credential, ConnectionCredential::SharedAccessKey { .. }));
                if let Some(token) = self.tokens.find_mut(key) {
                    token.refresh_at = renewable.then(|| renewal(clock.now, clock.utc, expiry));
                }
                self.due = true;
            }
            Err(failure) => self.token_refused(key.index, clock, failure),
        }
    }

    /// A token could not be put. While the old one still counts, attempts never end. After that, those who wait learn of
    /// it when waiting does not help, and with nobody left who does the next attempt is left to the next call.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn token_refused(&mut self, place: u32, clock: Clock, failure: Failure<S>) {
        let Some(token) = self.tokens.get_mut(place) else { return };
        token.request = None;
        token.valid &= clock.utc < token.expiry;
        token.refresh_at = Some(clock.now + backoff(token.attempts));
        token.attempts = token.attempts.saturating_add(1);
        let hopeless = !token.valid && (!failure.is_transient() || token.attempts > self.settings.retry.max_retries);
        if hopeless {
            token.parked = true;
            token.refresh_at = None;
        }
        self.moved = true;
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
        if hopeless {
            self.fail_node_requests(place, clock, &failure);
        }
    }

    /// Whether an access token is wanted from the credential.
    pub fn wants_access_token(&self) -> bool {
        self.access_token_wanted
    }

    /// Whether an access token is wanted from the credential; asks once.
    pub fn poll_access_token(&mut self) -> bool {
        let wanted = core::mem::take(&mut self.access_token_wanted);
        self.access_token_pending |= wanted;
        wanted
    }

    /// The credential has answered; a failed answer is retried with a back-off, as often as the policy wants.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_access_token(&mut self, clock: Clock, token: Result<(S::Payload, Timestamp), Failure<S>>) {
        self.access_token_pending = false;
        match token {
            Ok(token) => {
                self.advance_requests(clock, Some(&token));
                self.access_token.keep(token);
                self.due = true;
            }
            Err(failure) => {
                for place in 0..self.requests.end() {
                    let waits = |request: &&Request<S>| request.waits() && matches!(request.owner, Owner::Token(..));
                    if self.requests.get(place).filter(waits).is_some() {
                        self.end_request(place, clock, Err(failure.clone()));
                    }
                }
            }
        }
    }
}
