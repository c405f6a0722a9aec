//! The way to a namespace, written once for every runtime of the standard library: TLS, WebSockets, an HTTP proxy, and
//! HTTP for the administration client, over any stream of bytes.
//!
//! A runtime gives TCP by a [`Network`]; [`Dialer`] is the [`Dial`](crate::driver::Dial) over it, and `Http` (feature
//! `http`) the client of the management API. Nothing here knows a runtime: streams are
//! [`Transport`](crate::driver::Transport)s, whose halves have embedded-io-async's traits.
//!
//! ```text
//!            AMQP                       HTTP
//!   WebSocketStream (optional)           │
//!        TlsStream (unless the emulator's)
//!      tunnel of an HTTP proxy (optional)
//!       Network::connect: TCP, or a stream of the program's own
//! ```

mod addresses;
#[cfg(feature = "azure-identity")]
mod azure;
mod credential;
mod dialer;
mod either;
#[cfg(any(feature = "http", feature = "proxy", feature = "websockets"))]
mod head;
#[cfg(feature = "http")]
mod http;
mod network;
mod options;
#[cfg(feature = "proxy")]
mod proxy;
mod roots;
#[cfg(all(test, any(feature = "http", feature = "proxy", feature = "websockets")))]
mod script;
mod tls;
#[cfg(feature = "websockets")]
mod websocket;

pub use crate::client::{Credential, CredentialError, HeapToken};
pub use addresses::first_to_connect;
#[cfg(feature = "azure-identity")]
pub use azure::AzureCredential;
pub use credential::Asked;
pub use dialer::{DialError, Dialer, Opened, Secured};
pub use either::Either;
#[cfg(feature = "http")]
pub use http::{Http, HttpError};
pub use network::Network;
#[doc(hidden)]
pub use options::seed;
#[cfg(feature = "proxy")]
pub use proxy::{Proxy, ProxyError};
pub use roots::{Tls, TlsError};
pub use tls::TlsStream;
#[cfg(feature = "websockets")]
pub use websocket::{WebSocketError, WebSocketStream};
