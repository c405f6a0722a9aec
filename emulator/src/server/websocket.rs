//! AMQP over WebSockets on the ports of AMQP: the first byte of a connection tells which
//! (docs/evidence/wire-protocol.md §1.1).

use super::management::{MAX_HEAD, PATIENCE, status};
use super::{Host, connection};
use bytes::{Buf, Bytes};
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

const PATH: &str = "/$servicebus/websocket";
/// AMQP as clients name it: nearly all as its specification does, that for Go in the other way.
const SUBPROTOCOLS: [&str; 2] = ["AMQPWSB10", "amqp"];
/// What a request for an upgrade begins with: `GET`. AMQP begins with its name.
const REQUEST: u8 = b'G';
/// Bytes of a message that comes in at most. Bytes of AMQP may be cut anywhere, so that nobody needs longer ones.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a message that goes out at most.
const CHUNK: usize = 64 << 10;
/// Bytes that are read at a time.
const READ_BUFFER: usize = 16 << 10;

/// Serves a socket until it ends.
pub(super) async fn serve<S>(host: Arc<Host>, socket: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Reads of AMQP are longer than this buffer, and pass it by.
    let mut socket = BufReader::with_capacity(8, socket);
    let mut stopped = host.stop.subscribe();
    let first = tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => return,
        first = tokio::time::timeout(PATIENCE, socket.fill_buf()) => first,
    };
    match first {
        Ok(Ok([REQUEST, ..])) => exchange(host, socket).await,
        Ok(Ok(_)) => connection::serve(host, socket).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Answers requests until one opens a WebSocket, which goes on by itself.
async fn exchange<S>(host: Arc<Host>, socket: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stopped = host.stop.subscribe();
    let service = service_fn(|request| {
        let answer = answer(&host, request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        // A client that breaks off is its own business.
        _ = connection => {}
    }
}

fn answer(host: &Arc<Host>, mut request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
    let path = request.uri().path();
    if path.strip_suffix('/').unwrap_or(path) != PATH {
        return status(404);
    }
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
    let host = Arc::clone(host);
    tokio::spawn(async move {
        let Ok(socket) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // What is written goes to the socket at once.
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(socket), Role::Server, Some(config)).await;
        connection::serve(host, WebSocket { socket, rest: Bytes::new() }).await;
    });
    response
}

/// The bytes that a WebSocket carries. It says goodbye when it is dropped.
struct WebSocket<S: AsyncRead + AsyncWrite + Unpin> {
    socket: WebSocketStream<S>,
    /// What is left of the last message.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for WebSocket<S> {
    fn drop(&mut self) {
        // A peer that does not read is not waited for.
        let _ = self.socket.poll_close_unpin(&mut Context::from_waker(Waker::noop()));
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
