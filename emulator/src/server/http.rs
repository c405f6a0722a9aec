//! HTTP on every port: the management API, the emulator's own requests, and the request that opens a WebSocket.

use super::port::{PATIENCE, Peer};
use super::{Host, Phase, websocket};
use crate::broker::budget::{Budget, Holding, Share};
use core::convert::Infallible;
use core::pin::pin;
use http_body_util::{BodyExt, Full};
use hyper::Version;
use hyper::body::{Body, Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use servicebus_core::servicebus::administration::service::MAX_REQUEST_BODY;
use servicebus_core::servicebus::administration::{Headers, Method, Request, Response};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of a request's head at most.
const MAX_HEAD: usize = 64 << 10;

/// Answers requests until the client ends the connection or turns it into a WebSocket.
pub(super) async fn serve<S>(host: Arc<Host>, stream: S, peer: Peer, scheme: &'static str)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Its buffer may grow to twice the largest head.
    let Ok(share) = host.budget.share(Holding::Connections, 2 * MAX_HEAD) else {
        tracing::warn!(protocol = scheme, "refused: the memory that clients may use is used up");
        return;
    };
    tracing::info!(protocol = scheme, "connected");
    let service = service_fn(|request| {
        let host = Arc::clone(&host);
        async move {
            let answer = if websocket::is_upgrade(&request) {
                websocket::answer(&host, scheme, request)
            } else {
                answer(&host, peer, scheme, request).await
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = host.reached(Phase::Draining) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = &mut connection => result,
                () = host.reached(Phase::Stopped) => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "the HTTP connection failed");
    }
    drop(share);
}

/// Counts an answer until it is written. One that only shows what is there is refused where the budget has no room for
/// it; what a request has done is answered in any case.
fn respond(budget: &Budget, method: Method, response: Response) -> hyper::Response<Full<Bytes>> {
    let mut share = budget.empty(Holding::Bodies);
    if share.resize(response.body.capacity()).is_err() {
        if method == Method::Get {
            tracing::warn!("refused: the memory that clients may use is used up");
            return status(503);
        }
        share.set(response.body.capacity());
    }
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in response.headers.iter() {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from_owner(Counted { body: response.body, _share: share }));
    builder.body(body).unwrap_or_else(|_| status(500))
}

/// A body that is counted until it is dropped.
struct Counted {
    body: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

pub(super) fn status(status: u16) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::default());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Reads a body to its end, and keeps it while there is a share to count it in. The status of the refusal where it is too
/// long or breaks off.
async fn read(mut body: Incoming, share: &mut Option<Share>) -> Result<Vec<u8>, u16> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| 400_u16)?.into_data() else { continue };
        length += bytes.len();
        if length > MAX_REQUEST_BODY {
            return Err(413);
        }
        if let Some(share) = share {
            kept.extend_from_slice(&bytes);
            share.resize(kept.capacity()).map_err(|_| 503_u16)?;
        }
    }
    Ok(kept)
}

/// The host that a request names, or nothing: that of its target where this is a whole address, else `Host`. A request of
/// HTTP/1.1 has one `Host`, also beside a whole address (RFC 9112 §3.2); an older one may have none.
///
/// # Errors
/// The status of the refusal.
pub(super) fn host_of<B>(request: &hyper::Request<B>) -> Result<String, u16> {
    let mut fields = request.headers().get_all(HOST).iter();
    let named = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Err(400),
        (Some(field), None) => field.to_str().map_err(|_| 400_u16)?,
        (None, _) if request.version() >= Version::HTTP_11 => return Err(400),
        (None, _) => "",
    };
    let named = request.uri().authority().map_or(named, Authority::as_str);
    // A user before the host would be taken for a label of it (RFC 9110 §4.2.4).
    if named.contains('@') { Err(400) } else { Ok(named.to_owned()) }
}

async fn answer(
    host: &Host,
    peer: Peer,
    scheme: &str,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Full<Bytes>> {
    let named = match host_of(&request) {
        Ok(named) => named,
        Err(refused) => return status(refused),
    };
    let (head, body) = request.into_parts();
    let method = match head.method {
        hyper::Method::GET => Method::Get,
        hyper::Method::PUT => Method::Put,
        hyper::Method::DELETE => Method::Delete,
        _ => return status(405),
    };
    let mut headers = Headers::new();
    if !named.is_empty() {
        headers.push("Host", named);
    }
    for (name, value) in &head.headers {
        // Fields that are not text have no meaning here.
        if name != HOST
            && let Ok(value) = value.to_str()
        {
            headers.push(name.as_str(), value);
        }
    }
    let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut request = Request { method, path_and_query, headers, body: Vec::new() };
    // Without a right to be here a client cannot make the emulator hold its body (docs/evidence/field-reports.md A5).
    let keep = !body.is_end_stream() && {
        let clock = host.clock.now();
        host.with(None, |broker| broker.is_authorized(clock, &request))
    };
    let mut share = keep.then(|| host.budget.empty(Holding::Bodies));
    match tokio::time::timeout(PATIENCE, read(body, &mut share)).await {
        Ok(Ok(body)) => request.body = body,
        Ok(Err(refused)) => return status(refused),
        Err(_) => return status(408),
    }
    let clock = host.clock.now();
    let local = peer.is_local();
    let (answer, reason) = host.with(None, |broker| broker.manage_from(clock, scheme, &request, local));
    let mut response = respond(&host.budget, method, answer);
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.into_bytes()).ok()) {
        response.extensions_mut().insert(reason);
    }
    response
}
