//! How an administration client works.

use crate::servicebus::RetryPolicy;
use crate::servicebus::administration::ApiVersion;

/// How an administration client works.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use servicebus_core::client::administration::AdministrationOptions;
/// use servicebus_core::servicebus::RetryPolicy;
///
/// let patient = RetryPolicy::new().with_max_retries(10).with_try_timeout(Duration::from_secs(20));
/// let options = AdministrationOptions::new().with_retry(patient);
/// assert_eq!(options.retry.max_retries, 10);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdministrationOptions {
    /// The version of the API: the newest by default.
    pub api_version: ApiVersion,
    /// When failed requests are tried again.
    pub retry: RetryPolicy,
    /// Varies the pauses between attempts.
    pub seed: u64,
}

impl AdministrationOptions {
    /// The newest version of the API and the retry policy of the official SDKs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// assert_eq!(AdministrationOptions::new().retry, RetryPolicy::new());
    /// ```
    pub fn new() -> Self {
        Self { seed: seed(), ..Self::default() }
    }

    /// With another version of the API.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::administration::ApiVersion;
    /// let older = AdministrationOptions::new().with_api_version(ApiVersion::V2017_04);
    /// assert_eq!(older.api_version, ApiVersion::V2017_04);
    /// ```
    #[must_use]
    pub fn with_api_version(self, api_version: ApiVersion) -> Self {
        Self { api_version, ..self }
    }

    /// With another retry policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// # use servicebus_core::servicebus::RetryPolicy;
    /// let once = AdministrationOptions::new().with_retry(RetryPolicy::none());
    /// assert_eq!(once.retry.max_retries, 0);
    /// ```
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// With a seed for the pauses between attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::administration::AdministrationOptions;
    /// let same_pauses_each_time = AdministrationOptions::new().with_seed(1);
    /// assert_eq!(same_pauses_each_time.seed, 1);
    /// ```
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// A random number for each client, where there is a source. The time of day is mixed in with each call.
#[cfg(feature = "std")]
fn seed() -> u64 {
    use core::hash::{BuildHasher, Hasher};
    // A hasher's keys are random for every one that is made.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(not(feature = "std"))]
const fn seed() -> u64 {
    0
}
