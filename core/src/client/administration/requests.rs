//! Requests, which are sent until there is an answer.

use super::client::Shared;
use super::race::race;
use super::{AdministrationClient, AdministrationError, HttpClient, Timer};
use crate::random::Random;
use crate::servicebus::Reason;
use crate::servicebus::administration::{
    FromEntry, Operation, RequestBuilder, Resource, Response, ServiceError, ServiceErrorKind, UnsignedRequest,
    read_deleted, read_one,
};
use crate::time::Duration;
use alloc::boxed::Box;
use core::pin::pin;

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    pub(super) fn requests(&self) -> &RequestBuilder {
        &self.shared.requests
    }

    /// Sends a request until there is an answer that trying again would not change, attempts are used up, or time is.
    pub(super) async fn send(
        &self,
        unsigned: &UnsignedRequest,
        operation: Operation,
    ) -> Result<Response, AdministrationError<H::Error>> {
        // On the heap: connecting and TLS take tens of kilobytes, which every call of a function that makes several would
        // have on the stack.
        let mut attempts = Box::pin(self.attempts(unsigned, operation));
        match self.within {
            None => attempts.await,
            Some(within) => {
                let most = self.shared.timer.sleep(within);
                race(attempts.as_mut(), pin!(most)).await.unwrap_or(Err(AdministrationError::Timeout))
            }
        }
    }

    async fn attempts(
        &self,
        unsigned: &UnsignedRequest,
        operation: Operation,
    ) -> Result<Response, AdministrationError<H::Error>> {
        let Shared { timer, options, .. } = &*self.shared;
        let retry = &options.retry;
        let mut random = Random::seeded(options.seed ^ timer.utc().as_millis().unsigned_abs());
        // The version that it asks for may be gone by its own first attempt: a repetition would call that a conflict.
        let once = unsigned.asks_for_version();
        let mut attempt = 0;
        loop {
            if self.is_closed() {
                return Err(AdministrationError::Closed);
            }
            let result = race(pin!(self.attempt(unsigned)), pin!(timer.sleep(retry.try_timeout)))
                .await
                .unwrap_or(Err(AdministrationError::Timeout));
            let (reason, least) = match &result {
                Ok(response) if (200..300).contains(&response.status) => return result,
                Ok(response) => {
                    let error = ServiceError::read(response, operation);
                    if !error.is_transient() {
                        return result;
                    }
                    let busy = error.kind == ServiceErrorKind::Throttled;
                    if once && !busy {
                        return result;
                    }
                    (busy.then_some(Reason::ServerBusy), error.retry_after.unwrap_or_default())
                }
                Err(error) if error.is_transient() && !once => (None, Duration::ZERO),
                Err(_) => return result,
            };
            let Some(delay) = retry.delay(attempt, reason, &mut random) else { return result };
            timer.sleep(delay.max(least.min(retry.max_delay))).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, unsigned: &UnsignedRequest) -> Result<Response, AdministrationError<H::Error>> {
        let Shared { http, timer, requests, authority, .. } = &*self.shared;
        let mut again = false;
        loop {
            let authorization = authority.authorize(timer).await?;
            let request = unsigned.sign(|audience| authorization.for_audience(audience));
            let response = http.send(requests.endpoint(), request).await.map_err(AdministrationError::Transport)?;
            // Nothing was carried out: a key may have been exchanged, or rights given, since the token was made.
            if response.status != 401 || again || !authority.refused(&authorization) {
                return Ok(response);
            }
            again = true;
        }
    }

    pub(super) async fn put<E: FromEntry>(
        &self,
        unsigned: UnsignedRequest,
        resource: Resource,
        operation: Operation,
    ) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&unsigned, operation).await?;
        Ok(read_one(&response, &resource, operation)?)
    }

    pub(super) async fn get<E: FromEntry>(&self, resource: Resource) -> Result<E, AdministrationError<H::Error>> {
        let response = self.send(&self.requests().get(&resource)?, Operation::Get).await?;
        Ok(read_one(&response, &resource, Operation::Get)?)
    }

    pub(super) async fn delete(&self, resource: Resource) -> Result<(), AdministrationError<H::Error>> {
        let response = self.send(&self.requests().delete(&resource)?, Operation::Delete).await?;
        Ok(read_deleted(&response)?)
    }

    pub(super) async fn exists<E: FromEntry>(&self, resource: Resource) -> Result<bool, AdministrationError<H::Error>> {
        match self.get::<E>(resource).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
