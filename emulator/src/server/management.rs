//! The management API over HTTP and HTTPS, on one port: the first byte of a connection tells which.

use super::{Host, Identity};
use core::convert::Infallible;
use core::time::Duration;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use servicebus_core::servicebus::administration::service::MAX_REQUEST_BODY;
use servicebus_core::servicebus::administration::{Headers, Method, Request, Response};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A client that takes longer to say what it wants is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// What a TLS connection begins with: the type of a handshake record.
const HANDSHAKE: u8 = 22;

/// Serves a socket until it ends.
pub(super) async fn serve(host: Arc<Host>, socket: TcpStream, identity: Option<Identity>) {
    let mut first = [0];
    let Ok(Ok(1)) = tokio::time::timeout(PATIENCE, socket.peek(&mut first)).await else { return };
    match identity {
        Some(identity) if first == [HANDSHAKE] => {
            if let Some(socket) = identity.accept(socket).await {
                exchange(host, socket, "https").await;
            }
        }
        _ => exchange(host, socket, "http").await,
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(host: Arc<Host>, socket: S, scheme: &'static str) {
    let mut stopped = host.stop.subscribe();
    let service = service_fn(|request| {
        let host = Arc::clone(&host);
        async move { Ok::<_, Infallible>(answer(&host, scheme, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        // A client that breaks off is its own business.
        _ = connection => {}
    }
}

fn respond(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in response.headers.iter() {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(response.body));
    builder.body(body).unwrap_or_else(|_| status(500))
}

pub(super) fn status(status: u16) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::default());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

async fn answer(host: &Host, scheme: &str, request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let method = match head.method {
        hyper::Method::GET => Method::Get,
        hyper::Method::PUT => Method::Put,
        hyper::Method::DELETE => Method::Delete,
        _ => return status(405),
    };
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_REQUEST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return status(413),
        Ok(Err(_)) => return status(400),
        Err(_) => return status(408),
    };
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        // What is not text is none of the fields that count.
        if let Ok(value) = value.to_str() {
            headers.push(name.as_str(), value);
        }
    }
    let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = Request { method, path_and_query, headers, body: body.into() };
    let clock = host.clock.now();
    respond(host.with(None, |broker| broker.manage(clock, scheme, &request)))
}
