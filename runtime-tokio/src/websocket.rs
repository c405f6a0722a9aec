//! AMQP over WebSockets: the bytes of a connection as binary messages, cut anywhere (wire-protocol.md §1.1).

use crate::dial::{DialError, Socket};
use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use servicebus_core::servicebus::namespace::Target;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

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

/// The bytes that a WebSocket carries. It says goodbye when it is dropped.
#[derive(Debug)]
pub struct WebSocket {
    socket: WebSocketStream<Box<dyn Socket>>,
    /// What is left of the last message.
    rest: Bytes,
}

/// Where the WebSocket of a target is.
pub(crate) fn target(target: Target<'_>) -> Target<'_> {
    Target { port: if target.tls { PORT } else { target.port }, ..target }
}

fn uri(target: Target<'_>) -> Result<Uri, DialError> {
    let scheme = if target.tls { "wss" } else { "ws" };
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_owned() };
    let port = if target.port == PORT { String::new() } else { format!(":{}", target.port) };
    let uri = format!("{scheme}://{host}{port}{PATH}");
    uri.parse().map_err(|error| DialError::WebSocket(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

impl WebSocket {
    /// Asks for the upgrade.
    pub(crate) async fn open(socket: Box<dyn Socket>, target: Target<'_>) -> Result<Self, DialError> {
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
                Err(DialError::Refused { status: status.as_u16(), reason })
            }
            Err(error) => Err(DialError::WebSocket(into_io(error))),
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
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.socket.poll_next_unpin(cx)).transpose().map_err(into_io)? {
                Some(Message::Binary(bytes)) => self.rest = bytes,
                Some(Message::Text(_)) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "a WebSocket message of text");
                    return Poll::Ready(Err(error));
                }
                // Pings and goodbyes are answered by the WebSocket itself.
                Some(_) => {}
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_close_unpin(cx).map_err(into_io)
    }
}
