//! Why an administration operation failed.

use super::credential::NoToken;
use crate::servicebus::administration::{InvalidRequest, ResponseError, ServiceError, ServiceErrorKind};
use core::fmt;

/// Why an operation failed; `E` is the error of the HTTP client.
///
/// # Examples
///
/// ```
/// # use servicebus_core::client::administration::AdministrationError;
/// # use servicebus_core::servicebus::administration::QueueDescription;
/// # servicebus_simulation::administration_example(async |admin| {
/// match admin.create(&QueueDescription::new("orders")).await {
///     Ok(_) => println!("created"),
///     Err(error) if error.is_already_exists() => println!("there already"),
///     Err(AdministrationError::Request(error)) => println!("not a queue: {error}"),
///     Err(AdministrationError::Transport(_) | AdministrationError::Timeout) => println!("ask again"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AdministrationError<E> {
    /// The request cannot be sent: a name or a text is not valid. Nothing was sent.
    Request(InvalidRequest),
    /// The credential gave no token. Nothing was sent.
    #[cfg(feature = "std")]
    Credential(crate::client::CredentialError),
    /// The service refused.
    Service(ServiceError),
    /// The service's answer could not be read. A change may have been made.
    Response(ResponseError),
    /// There was no answer. A change may have been made.
    Transport(E),
    /// There was no answer in time. A change may have been made.
    Timeout,
    /// The client was closed.
    Closed,
}

impl<E> AdministrationError<E> {
    /// What kind of refusal it is, when the service refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::ServiceErrorKind;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let error = admin.get_queue("baskets").await.unwrap_err();
    /// assert_eq!(error.kind(), Some(ServiceErrorKind::NotFound));
    /// # Ok(())
    /// # });
    /// ```
    pub fn kind(&self) -> Option<ServiceErrorKind> {
        match self {
            Self::Service(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether the entity is not there.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let orders = match admin.get_queue("baskets").await {
    ///     Err(error) if error.is_not_found() => None,
    ///     other => Some(other?),
    /// };
    /// assert_eq!(orders, None);
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_not_found(&self) -> bool {
        self.kind() == Some(ServiceErrorKind::NotFound)
    }

    /// Whether the entity is there already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::QueueDescription;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let error = admin.create(&QueueDescription::new("orders")).await.unwrap_err();
    /// assert!(error.is_already_exists());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_already_exists(&self) -> bool {
        self.kind() == Some(ServiceErrorKind::AlreadyExists)
    }

    /// Whether the entity was changed since its settings were read, or is being changed by another request.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let admin = world.administration();
    /// let before = admin.get_queue("orders").await?;
    /// # world.sleep(std::time::Duration::from_secs(1)).await;
    /// admin.update(&before).await?;
    /// let error = admin.update_if_unchanged(&before).await.unwrap_err();
    /// assert!(error.is_conflict());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_conflict(&self) -> bool {
        matches!(self.kind(), Some(ServiceErrorKind::PreconditionFailed | ServiceErrorKind::Conflict))
    }

    /// Whether trying again can help. The client has tried as often as its retry policy says.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let admin = world.administration();
    /// # world.set_reachable(false);
    /// let error = admin.timeout(Duration::from_secs(5)).get_queue("orders").await.unwrap_err();
    /// assert!(error.is_transient());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service(error) => error.is_transient(),
            Self::Transport(_) | Self::Timeout => true,
            #[cfg(feature = "std")]
            Self::Credential(_) => true,
            Self::Request(_) | Self::Response(_) | Self::Closed => false,
        }
    }
}

impl<E: fmt::Display> fmt::Display for AdministrationError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            #[cfg(feature = "std")]
            Self::Credential(error) => write!(f, "the credential gave no token: {error}"),
            Self::Service(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Timeout => f.write_str("the service did not answer in time"),
            Self::Closed => f.write_str("the administration client is closed"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl<E: core::error::Error> core::error::Error for AdministrationError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Request(error) => error.source(),
            #[cfg(feature = "std")]
            Self::Credential(error) => error.source(),
            Self::Service(error) => error.source(),
            Self::Response(error) => error.source(),
            Self::Transport(error) => error.source(),
            Self::Timeout | Self::Closed => None,
        }
    }
}

impl<E> From<NoToken> for AdministrationError<E> {
    fn from(error: NoToken) -> Self {
        #[cfg(feature = "std")]
        return Self::Credential(error);
        #[cfg(not(feature = "std"))]
        match error {}
    }
}

impl<E> From<InvalidRequest> for AdministrationError<E> {
    fn from(error: InvalidRequest) -> Self {
        Self::Request(error)
    }
}

impl<E> From<ResponseError> for AdministrationError<E> {
    fn from(error: ResponseError) -> Self {
        match error {
            ResponseError::Service(error) => Self::Service(error),
            error => Self::Response(error),
        }
    }
}
