//! Why an emulator does not start.

use crate::blueprint::BlueprintError;
use crate::broker::InvalidNamespaceName;
use crate::server::{BindError, IdentityError};
use core::fmt;

/// Why an emulator could not be started.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use servicebus_emulator::{Emulator, StartError};
///
/// let first = Emulator::start().await?;
/// match Emulator::builder().amqp_port(first.amqp_address().port()).start().await {
///     Ok(emulator) => println!("{}", emulator.connection_string()),
///     Err(StartError::Bind(error)) => println!("another program has the port: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// An entity cannot be made.
    Entity(BlueprintError),
    /// The certificate cannot be used.
    Identity(IdentityError),
    /// Two namespaces have come to have this name.
    NamespaceTwice(String),
    /// A namespace has a name that no client can name.
    NamespaceName(InvalidNamespaceName),
    /// A subscription of this name was added before any topic.
    NoTopic(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Entity(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::NamespaceTwice(name) => write!(f, "two namespaces have the name '{name}'"),
            Self::NamespaceName(error) => error.fmt(f),
            Self::NoTopic(name) => write!(f, "the subscription '{name}' was added before any topic"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(error) => error.source(),
            Self::Entity(error) => error.source(),
            Self::Identity(error) => error.source(),
            Self::NamespaceName(error) => error.source(),
            Self::NamespaceTwice(_) | Self::NoTopic(_) => None,
        }
    }
}
