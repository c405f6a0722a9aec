//! Tokens of a credential outside of the connection string, such as Entra ID's: what passes between the driver, which
//! asks for them, `tokens` and `channels`.
//!
//! A program whose driver has no credential is linked without any of this.
// docs/evidence/wire-protocol.md §2.2

use super::timers::{Timer, client};
use super::tokens::{Audience, SAS_TOKEN};
use super::{Cause, ClientMachine, Clock, Failure};
use crate::servicebus::{Argument, Token};
use crate::storage::Storage;
use crate::time::Timestamp;

/// The type of such a token.
const JWT: &str = "jwt";

impl<S: Storage> ClientMachine<S> {
    /// Whether an access token may be wanted from the credential.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.wants_access_token(), "no link waits for one");
    /// ```
    pub fn wants_access_token(&self) -> bool {
        self.tokens.wants_credential()
    }

    /// The audience that a token is wanted for from the credential, once. The last token is used again where it suits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// if let Some(audience) = machine.poll_access_token(clock) {
    ///     println!("ask the credential for {audience}");
    /// }
    /// ```
    pub fn poll_access_token(&mut self, clock: Clock) -> Option<Audience> {
        let mut wanted = self.tokens.take_wanted();
        if let Some(kept) = self.tokens.take_kept() {
            wanted &= self.put_access_token(clock, &kept, None, false);
            self.tokens.keep(kept);
        }
        if !wanted {
            return None;
        }
        let audience = loop {
            let (id, request) = self.tokens.next_without_text()?;
            match self.tokens.audience(id, &self.settings) {
                Ok(audience) => {
                    self.tokens.leave_without_text(id);
                    break audience;
                }
                // Others that wait are not held up by one that has no audience.
                Err(failure) => self.end_request(request, clock, Err(failure)),
            }
        };
        self.tokens.set_pending(true);
        let until = clock.now + self.settings.retry.try_timeout;
        self.timers.set(Timer::Client, client::CREDENTIAL, Some(until));
        Some(audience)
    }

    /// Whether the credential's answer is still awaited. A request that takes longer than an attempt is dropped, and
    /// repeated when a token needs it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.awaits_access_token());
    /// ```
    pub fn awaits_access_token(&self) -> bool {
        self.tokens.awaits_credential()
    }

    /// The credential has not answered in its time.
    pub(super) fn credential_expired(&mut self) {
        log!(warn, "the credential does not answer");
        self.tokens.set_pending(false);
        self.tokens.ask_again();
    }

    /// The credential has answered for an audience; a failed answer is retried with a back-off, as often as the policy
    /// wants.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::servicebus::Token;
    /// let (audience, expires_at) = ("sb://localhost/orders", clock.utc + std::time::Duration::from_secs(3_600));
    /// machine.handle_access_token(clock, audience, Ok(Token::jwt("eyJ0…", expires_at)));
    /// assert!(!machine.awaits_access_token());
    /// ```
    pub fn handle_access_token(&mut self, clock: Clock, audience: &str, token: Result<Token<S::Payload>, Failure<S>>) {
        self.tokens.set_pending(false);
        self.timers.stop(Timer::Client, client::CREDENTIAL);
        self.due = true;
        match token {
            Ok(Token::Jwt { text, expires_at }) => {
                let token = (text, expires_at);
                self.put_access_token(clock, &token, None, true);
                self.tokens.keep(token);
            }
            // The others ask for their own.
            Ok(Token::Sas { text, expires_at }) => {
                self.put_access_token(clock, &(text, expires_at), Some(audience), true);
            }
            Err(failure) => {
                while let Some((_, request)) = self.tokens.next_without_text() {
                    self.end_request(request, clock, Err(failure.clone()));
                }
            }
        }
    }

    /// Puts a token for every entity that waits for one and for which it lasts; returns whether others still wait. A
    /// `new` token is used however soon it ends. A shared access signature is for one `signed` audience.
    fn put_access_token(
        &mut self,
        clock: Clock,
        (token, expiry): &(S::Payload, Timestamp),
        signed: Option<&str>,
        new: bool,
    ) -> bool {
        let mut left = false;
        for _ in 0..self.tokens.count_without_text() {
            let Some((id, request)) = self.tokens.next_without_text() else { break };
            if !self.can_send(request, clock) {
                // It asks again once it can be sent.
                self.channels.wait_again(request);
                continue;
            }
            let audience = self.tokens.audience(id, &self.settings);
            if signed.is_some_and(|signed| audience.as_ref().is_ok_and(|audience| audience != signed)) {
                left = true;
                self.tokens.want_text(id);
                continue;
            }
            let lasts = self.tokens.lasts(id, *expiry, self.service_clock.utc(clock));
            let kind = if signed.is_some() { SAS_TOKEN } else { JWT };
            let sent = match core::str::from_utf8(token.as_ref()) {
                _ if !lasts && !new => {
                    left = true;
                    self.tokens.leave_without_text(id);
                    continue;
                }
                _ if !lasts => Err(Failure::described(Cause::Credential, "the token ends before one that is needed")),
                Ok(token) => {
                    audience.and_then(|audience| self.put_token(id, request, &audience, (kind, token), *expiry))
                }
                Err(_) => Err(Failure::new(Cause::Argument(Argument::AccessToken))),
            };
            if let Err(failure) = sent {
                self.end_request(request, clock, Err(failure));
            }
        }
        left
    }
}
