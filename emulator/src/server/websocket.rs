//! AMQP over WebSockets.
// docs/evidence/wire-protocol.md §1.1

use super::http::{host_of, status};
use super::{Host, Serving, connection};
use bytes::{Buf, Bytes};
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::Instrument;

const PATH: &str = "/$servicebus/websocket";
/// AMQP as clients name it: nearly all as its specification does, that for Go in the other way.
const SUBPROTOCOLS: [&str; 2] = ["AMQPWSB10", "amqp"];
/// Bytes of a message that comes in at most. Bytes of AMQP may be cut anywhere, so that nobody needs longer ones.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a message that goes out at most.
const CHUNK: usize = 64 << 10;
/// Bytes that are read at a time.
const READ_BUFFER: usize = 16 << 10;

/// Whether a request is for a WebSocket, here or on another path. An offer of another protocol may be ignored (RFC 9110
/// §7.8): Java's client offers HTTP/2 with every request.
pub(super) fn is_upgrade(request: &hyper::Request<Incoming>) -> bool {
    is_here(request)
        || request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn is_here(request: &hyper::Request<Incoming>) -> bool {
    let path = request.uri().path();
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// Opens a WebSocket, which is served by a task of its own.
pub(super) fn answer(
    host: &Arc<Host>,
    scheme: &str,
    mut request: hyper::Request<Incoming>,
) -> hyper::Response<Full<Bytes>> {
    if !is_here(&request) {
        return status(404);
    }
    let name = match host_of(&request) {
        Ok(name) => name,
        Err(refused) => return status(refused),
    };
    if !request.headers().contains_key(UPGRADE) {
        let mut response = status(426);
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    }
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let known = |offer: &str| SUBPROTOCOLS.into_iter().find(|name| offer.trim().eq_ignore_ascii_case(name));
    let Some(subprotocol) = offers.find_map(known) else { return status(400) };
    let Ok(mut response) = create_response_with_body(&request, Full::default) else {
        let mut response = status(400);
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    let upgrade = hyper::upgrade::on(&mut request);
    let serving = Serving::new(Arc::clone(host));
    let protocol = if scheme == "https" { "AMQP over WebSockets and TLS" } else { "AMQP over WebSockets" };
    let open = async move {
        let Ok(socket) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // What is written goes to the socket at once.
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(socket), Role::Server, Some(config)).await;
        connection::serve(Arc::clone(&serving.0), WebSocket { socket, rest: Bytes::new() }, protocol, &name).await;
    };
    tokio::spawn(open.in_current_span());
    response
}

/// The bytes that a WebSocket carries. Dropping it sends a close frame.
struct WebSocket<S: AsyncRead + AsyncWrite + Unpin> {
    socket: WebSocketStream<S>,
    /// What is left of the last message.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for WebSocket<S> {
    fn drop(&mut self) {
        // A peer that does not read is not waited for.
        let closed = self.socket.poll_close_unpin(&mut Context::from_waker(Waker::noop()));
        tracing::trace!(sent = closed.is_ready(), "close of a WebSocket");
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.socket.poll_next_unpin(cx)).transpose().map_err(into_io)? {
                Some(Message::Binary(bytes)) => self.rest = bytes,
                Some(Message::Text(_)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a message of text")));
                }
                // Pings and close frames are answered by the WebSocket itself.
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_ready_unpin(cx)).map_err(into_io)?;
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        self.socket.start_send_unpin(Message::Binary(Bytes::copy_from_slice(chunk))).map_err(into_io)?;
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_close_unpin(cx).map_err(into_io)
    }
}
