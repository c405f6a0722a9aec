//! Entities come into use and go out of it, and their tokens are put to `$cbs`.

use super::id::{EntityId, TokenId};
use super::owner::Owner;
use super::tokens::{Attempt, SAS_TOKEN, TokenText, Tokens, User};
use super::{Capacity, ClientMachine, Clock, EngineError, Entity, Failure, Path};
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::wire::Value;
use core::fmt;

impl<S: Storage> ClientMachine<S> {
    /// The tokens, and what an attempt to put one needs.
    pub(super) fn token_attempt(&mut self, clock: Clock) -> (&mut Tokens<S>, Attempt<'_, S>) {
        let utc = self.service_clock.utc(clock);
        let attempt = Attempt {
            now: clock.now,
            utc,
            settings: &self.settings,
            random: &mut self.random,
            timers: &mut self.timers,
        };
        (&mut self.tokens, attempt)
    }

    /// Begins a use of an entity, and puts its token again if that was given up.
    ///
    /// # Errors
    /// [`Capacity::Links`] when there are too many.
    pub(super) fn acquire(&mut self, entity: &Entity<S>, user: User) -> Result<EntityId, Failure<S>> {
        let full = |_| Failure::no_capacity(Capacity::Links);
        let id = self.tokens.acquire(entity, user).map_err(full)?;
        self.tokens.retry(id.token);
        self.due = true;
        Ok(id)
    }

    /// Ends a use of an entity.
    pub(super) fn release(&mut self, token: TokenId, user: User) {
        let released = self.tokens.release(token, user, &mut self.timers);
        if let Some(request) = released.request {
            self.drop_request_at(request.index());
        }
        if released.without_links && user == User::Link {
            self.drop_idle_nodes(token);
        }
    }

    /// Puts the address, of an entity or of its `$management`, into `path`.
    ///
    /// # Errors
    /// One that is too long.
    #[inline(never)]
    pub(super) fn put_path(&self, entity: EntityId, management: bool, path: &mut Path) -> Result<(), EngineError> {
        let address = self.tokens.address(entity).ok_or(EngineError::Detached)?;
        let address = if management { address.management() } else { address };
        fmt::write(path, format_args!("{address}")).map_err(|_| EngineError::IllegalState)
    }

    /// Sends the put-token request. It stays queued while the credential has not returned the token.
    #[inline(never)]
    pub(super) fn send_token(&mut self, token: TokenId, request: u32, clock: Clock) -> Result<(), Failure<S>> {
        if self.settings.takes_tokens() {
            self.tokens.want_text(token);
            return Ok(());
        }
        let audience = self.tokens.audience(token, &self.settings)?;
        let mut text = TokenText::new();
        let expiry = Tokens::sign(&audience, &self.settings, self.service_clock.utc(clock), &mut text)?;
        self.put_token(token, request, &audience, (SAS_TOKEN, &text), expiry)
    }

    /// Sends the request that puts this token, of this type.
    pub(super) fn put_token(
        &mut self,
        token: TokenId,
        request: u32,
        audience: &str,
        (kind, text): (&str, &str),
        expiry: Timestamp,
    ) -> Result<(), Failure<S>> {
        let properties = [
            ("type", Value::String(kind)),
            ("name", Value::String(audience)),
            ("expiration", Value::Timestamp(expiry)),
        ];
        self.tokens.sent(token);
        self.channels.set_owner(request, Owner::Token(token, expiry));
        self.send_request(request, "put-token", &properties, &text, None)
    }

    /// The service has answered a put-token, or none came.
    pub(super) fn token_answered(
        &mut self,
        token: TokenId,
        expiry: Timestamp,
        clock: Clock,
        result: Result<(), Failure<S>>,
    ) {
        self.due = true;
        let failure = match result {
            Ok(()) => {
                let (tokens, mut attempt) = self.token_attempt(clock);
                return tokens.accepted(token, expiry, &mut attempt);
            }
            Err(failure) => failure,
        };
        // Fixed storage keeps the words of the last failure alone, which is this one.
        let kept = failure.description.as_ref();
        let words = if kept.is_empty() { self.last_description.as_ref() } else { kept };
        let expired = failure.reason().is_some() && Tokens::<S>::says_expired(words);
        if expired {
            self.lock_ended(clock, expiry);
        }
        let (tokens, mut attempt) = self.token_attempt(clock);
        tokens.refused(token, failure, expired, &mut attempt);
    }
}
