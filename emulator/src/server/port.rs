//! What a client speaks on a port: its first byte tells. So one connection string serves messages and administration,
//! whatever an SDK does with it.
// docs/evidence/field-reports.md F60

use super::stall::Stall;
use super::{Host, Phase, Serving, connection, http};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tracing::Instrument;

/// A client that takes longer to send its first byte, or the head or body of a request, is cut off.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A TLS connection begins with the type of a handshake record.
const HANDSHAKE: u8 = 22;
/// HTTP begins with a method. AMQP begins with its name, whose first letter no method has.
const METHODS: core::ops::RangeInclusive<u8> = b'B'..=b'Z';

/// What a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// AMQP, WebSockets and HTTP, each with TLS or without.
    Any,
    /// The same with TLS alone, as the service's ports do.
    Tls,
}

/// The other end of a transport.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// A socket from this address.
    At(SocketAddr),
    /// A stream that was handed over in this process.
    InProcess,
}

impl Peer {
    /// Whether it is on this machine, and may read health, counters and metrics without a token.
    pub(crate) fn is_local(self) -> bool {
        match self {
            Self::At(address) => address.ip().to_canonical().is_loopback(),
            Self::InProcess => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::InProcess => f.write_str("in-process"),
        }
    }
}

/// Serves a transport until it ends.
pub(crate) async fn serve<S>(host: Arc<Host>, stream: S, peer: Peer, port: Port)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let serving = Serving::new(Arc::clone(&host));
    let span = tracing::info_span!("connection", %peer);
    tell_apart(host, stream, peer, port).instrument(span).await;
    drop(serving);
}

async fn tell_apart<S>(host: Arc<Host>, stream: S, peer: Peer, port: Port)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = Stall::new(stream, host.clock.clone());
    let Some((stream, first)) = begun(&host, stream).await else { return };
    match (first, port) {
        (HANDSHAKE, _) => match host.identity().accept(stream).await {
            Ok(stream) => {
                let Some((stream, first)) = begun(&host, stream).await else { return };
                match first {
                    first if METHODS.contains(&first) => http::serve(host, stream, peer, "https").await,
                    _ => {
                        // The host that the client asked the certificate for.
                        let name = stream.get_ref().get_ref().1.server_name().map(str::to_owned).unwrap_or_default();
                        connection::serve(host, stream, "AMQP over TLS", &name).await;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the TLS handshake failed"),
        },
        (_, Port::Tls) => tracing::warn!("refused: this port takes TLS alone"),
        (first, Port::Any) if METHODS.contains(&first) => http::serve(host, stream, peer, "http").await,
        (_, Port::Any) => connection::serve(host, stream, "AMQP", "").await,
    }
}

/// Waits for the first byte, which stays in the stream. `None` when none comes.
async fn begun<S: AsyncRead + Unpin>(host: &Host, stream: S) -> Option<(BufReader<S>, u8)> {
    // Later reads are longer than this buffer, and pass it by.
    let mut stream = BufReader::with_capacity(8, stream);
    let first = tokio::select! {
        () = host.reached(Phase::Draining) => return None,
        first = tokio::time::timeout(PATIENCE, stream.fill_buf()) => first.ok()?.ok()?.first().copied()?,
    };
    Some((stream, first))
}
