//! Tokens of a credential outside of the connection string, such as Entra ID's (docs/evidence/wire-protocol.md §2.2).
//!
//! The driver asks for them: a program whose driver has no credential is linked without any of this.

use super::request::{Owner, Request, Stage};
use super::{Cause, ClientMachine, Clock, Failure, Timer, client};
use crate::servicebus::Argument;
use crate::storage::{Spare, Storage, Table};
use crate::time::Timestamp;

/// The type of such a token.
const JWT: &str = "jwt";

impl<S: Storage> ClientMachine<S> {
    /// Whether an access token may be wanted from the credential.
    pub fn wants_access_token(&self) -> bool {
        self.access_token_wanted
    }

    /// Whether an access token is wanted from the credential, which is told once. Who can do with the last one gets that.
    pub fn poll_access_token(&mut self, clock: Clock) -> bool {
        let mut wanted = core::mem::take(&mut self.access_token_wanted);
        if let Some(kept) = self.access_token.take() {
            wanted &= self.put_access_token(clock, &kept, false);
            self.access_token.keep(kept);
        }
        if wanted {
            self.access_token_pending = true;
            let until = clock.now + self.settings.retry.try_timeout;
            self.timers.set(Timer::Client, client::CREDENTIAL, Some(until));
        }
        wanted
    }

    /// Whether the answer of the credential is still waited for: a question that takes longer than an attempt may is
    /// dropped, and asked again when a token needs it.
    pub fn awaits_access_token(&self) -> bool {
        self.access_token_pending
    }

    /// The credential has not answered in its time.
    pub(super) fn credential_expired(&mut self) {
        log!(warn, "the credential does not answer");
        self.access_token_pending = false;
        // Requests that wait for a token ask again.
        self.due = true;
    }

    /// The credential has answered; a failed answer is retried with a back-off, as often as the policy wants.
    pub fn handle_access_token(&mut self, clock: Clock, token: Result<(S::Payload, Timestamp), Failure<S>>) {
        self.access_token_pending = false;
        self.timers.stop(Timer::Client, client::CREDENTIAL);
        match token {
            Ok(token) => {
                self.put_access_token(clock, &token, true);
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

    /// Puts a token for all who wait for one and for whom it lasts; whether others are left. For a `new` one there is no
    /// better to wait for.
    fn put_access_token(&mut self, clock: Clock, (token, expiry): &(S::Payload, Timestamp), new: bool) -> bool {
        let mut left = false;
        for place in 0..self.requests.end() {
            let Some(Request { owner: Owner::Token(key, _), stage: Stage::Waiting, .. }) = self.requests.get(place)
            else {
                continue;
            };
            let key = *key;
            if !self.can_send(place, clock) {
                continue;
            }
            let known = self.tokens.find(key).filter(|known| known.valid);
            let utc = self.service_clock.utc(clock);
            // To renew, a token is needed that ends later than the one that was put.
            let lasts = *expiry > known.map_or(utc, |known| known.expiry.max(utc));
            let sent = match core::str::from_utf8(token.as_ref()) {
                _ if !lasts && !new => {
                    left = true;
                    continue;
                }
                _ if !lasts => Err(Failure::described(Cause::Credential, "the token ends before one that is needed")),
                Ok(token) => {
                    self.audience(key).and_then(|audience| self.put_token(key, place, &audience, (JWT, token), *expiry))
                }
                Err(_) => Err(Failure::new(Cause::Argument(Argument::AccessToken))),
            };
            if let Err(failure) = sent {
                self.end_request(place, clock, Err(failure));
            }
        }
        left
    }
}
