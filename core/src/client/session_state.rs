//! What a session remembers, as JSON.

use super::{Error, SessionReceiver, StorageOf};
use crate::machine::{Cause, Failure};
use crate::runtime::Runtime;
use crate::servicebus::Argument;
use crate::storage::{Management, Storage};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A state that is not JSON of its type.
fn unfit<R: Runtime>(session: &SessionReceiver<R>, error: serde_json::Error) -> Error<StorageOf<R>> {
    session.endpoint.error(Failure::caused(Cause::Argument(Argument::SessionState), error))
}

impl<R: Runtime<Storage = S>, S: Storage> SessionReceiver<R> {
    /// What the session remembers, from JSON; `None` when nothing was set.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`SessionReceiver::state`], and [`ErrorKind::InvalidArgument`](super::ErrorKind::InvalidArgument) for a state that is
    /// not JSON of this type; its source is `serde_json`'s error.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let done: Option<u32> = session.state_json().await?;
    /// session.set_state_json(&(done.unwrap_or(0) + 1)).await?;
    /// assert_eq!(session.state_json().await?, Some(1));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn state_json<T: DeserializeOwned>(&self) -> Result<Option<T>, Error<S>>
    where
        S: Management,
    {
        let Some(state) = self.state().await? else { return Ok(None) };
        serde_json::from_slice(state.as_ref()).map(Some).map_err(|error| unfit(self, error))
    }

    /// Sets what the session remembers, as JSON.
    ///
    /// Cancel safety: a dropped future may still have set the state.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`SessionReceiver::set_state`], and [`ErrorKind::InvalidArgument`](super::ErrorKind::InvalidArgument) for a value that
    /// JSON cannot hold; its source is `serde_json`'s error.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// session.set_state_json(&["painted", "dried"]).await?;
    /// assert_eq!(session.state().await?.as_deref(), Some(&br#"["painted","dried"]"#[..]));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn set_state_json(&self, state: &(impl Serialize + ?Sized)) -> Result<(), Error<S>>
    where
        S: Management,
    {
        let state = serde_json::to_vec(state).map_err(|error| unfit(self, error))?;
        self.set_state(Some(&state)).await
    }
}
