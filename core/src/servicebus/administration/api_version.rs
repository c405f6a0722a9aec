//! Versions of the management API.

use core::fmt;

/// The version of the API, which decides the elements that the service returns.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::administration::AdministrationOptions;
/// use servicebus_core::servicebus::administration::ApiVersion;
///
/// let options = AdministrationOptions::new().with_api_version(ApiVersion::V2021_05);
/// assert_eq!(options.api_version.to_string(), "2021-05");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// The oldest that clients still use.
    V2017_04,
    /// Adds the largest message of an entity.
    V2021_05,
    /// Adds a topic's counts of filters.
    #[default]
    V2024_05,
}

impl ApiVersion {
    /// The version as it is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::ApiVersion;
    /// assert_eq!(ApiVersion::default().as_str(), "2024-05");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2017_04 => "2017-04",
            Self::V2021_05 => "2021-05",
            Self::V2024_05 => "2024-05",
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
