//! AMQP over WebSockets: the bytes of a connection as binary messages, cut anywhere (docs/evidence/wire-protocol.md
//! §1.1).

use crate::Options;
use crate::dial::{DialError, Dialer, Socket, Transport};
use async_tungstenite::tungstenite::client::ClientRequestBuilder;
use async_tungstenite::tungstenite::http::Uri;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use bytes::Bytes;
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_util::{SinkExt, StreamExt};
use servicebus_core::machine::Target;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// The port of HTTPS: the namespace takes WebSockets nowhere else.
const PORT: u16 = 443;
const PATH: &str = "/$servicebus/websocket";
const SUBPROTOCOL: &str = "AMQPWSB10";
/// Bytes of a message that comes in at most. Bytes of AMQP may be cut anywhere, so that nobody needs longer ones.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a message that goes out at most.
const CHUNK: usize = 64 << 10;
/// Bytes that are read at a time.
const READ_BUFFER: usize = 16 << 10;

impl Options {
    /// Connects over WebSockets, for networks that only let HTTPS out: to port 443, or to an emulator's own port without
    /// TLS.
    #[must_use]
    pub fn with_websockets(mut self) -> Self {
        self.dialer.websockets = true;
        self
    }
}

/// Why no WebSocket was opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum WebSocketError {
    /// Another answer of HTTP, such as that of a proxy on the way.
    Refused {
        /// The status of the answer.
        status: u16,
        /// What HTTP calls it; empty where it has no name.
        reason: &'static str,
    },
    /// The answer was not HTTP's, or the connection was lost before there was one.
    Handshake(io::Error),
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, reason } => {
                write!(f, "no WebSocket was opened: the answer was HTTP {status} {reason}")
            }
            Self::Handshake(error) => write!(f, "WebSocket: {error}"),
        }
    }
}

impl std::error::Error for WebSocketError {}

/// The bytes that a WebSocket carries. It says goodbye when it is dropped.
#[derive(Debug)]
struct WebSocket {
    socket: WebSocketStream<Box<dyn Socket>>,
    /// What is left of the last message.
    rest: Bytes,
}

impl Dialer {
    /// Opens a connection, and a WebSocket over it.
    pub(crate) async fn open_websocket(&self, target: Target<'_>) -> Result<Transport, DialError> {
        let target = Target { port: if target.tls { PORT } else { target.port }, ..target };
        let socket = self.open(target).await?.into_socket();
        let stream = WebSocket::open(socket, target).await.map_err(DialError::WebSocket)?;
        Ok(Transport::Over(Box::new(stream)))
    }
}

fn uri(target: Target<'_>) -> Result<Uri, WebSocketError> {
    let scheme = if target.tls { "wss" } else { "ws" };
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_owned() };
    let port = if target.port == PORT { String::new() } else { format!(":{}", target.port) };
    let uri = format!("{scheme}://{host}{port}{PATH}");
    uri.parse().map_err(|error| WebSocketError::Handshake(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

impl WebSocket {
    /// Asks for the upgrade.
    async fn open(socket: Box<dyn Socket>, target: Target<'_>) -> Result<Self, WebSocketError> {
        let request = ClientRequestBuilder::new(uri(target)?).with_sub_protocol(SUBPROTOCOL);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // What is written goes to the socket at once.
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        match client_async_with_config(request, socket, Some(config)).await {
            Ok((socket, _)) => Ok(Self { socket, rest: Bytes::new() }),
            Err(Error::Http(response)) => {
                let status = response.status();
                let reason = status.canonical_reason().unwrap_or_default();
                Err(WebSocketError::Refused { status: status.as_u16(), reason })
            }
            Err(error) => Err(WebSocketError::Handshake(into_io(error))),
        }
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        // Nobody is left to wait for a socket that is full.
        let _ = self.socket.poll_close_unpin(&mut Context::from_waker(Waker::noop()));
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        while self.rest.is_empty() {
            match ready!(self.socket.poll_next_unpin(cx)).transpose().map_err(into_io)? {
                Some(Message::Binary(bytes)) => self.rest = bytes,
                Some(Message::Text(_)) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "a WebSocket message of text");
                    return Poll::Ready(Err(error));
                }
                // Pings and goodbyes are answered by the WebSocket itself.
                Some(_) => {}
                None => return Poll::Ready(Ok(0)),
            }
        }
        let count = self.rest.len().min(buffer.len());
        let bytes = self.rest.split_to(count);
        if let Some(place) = buffer.get_mut(..count) {
            place.copy_from_slice(&bytes);
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_ready_unpin(cx)).map_err(into_io)?;
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        let message = Message::Binary(Bytes::copy_from_slice(chunk));
        self.socket.start_send_unpin(message).map_err(into_io)?;
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx).map_err(into_io)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_close_unpin(cx).map_err(into_io)
    }
}
