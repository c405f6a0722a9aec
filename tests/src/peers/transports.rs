//! Proxies, TLS and WebSocket servers that never finish their handshakes. Only over sockets.

use super::client::Act;

/// The layer that never finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A proxy for CONNECT.
    Proxy,
    /// A TLS server.
    Tls,
    /// A WebSocket server, without TLS.
    WebSocket,
}

/// A server that is silent within a layer: [`ScriptedClient`](super::ScriptedClient) plays its script.
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    /// Names it in tables.
    pub name: &'static str,
    /// The layer of the client that meets it.
    pub layer: Layer,
    /// Its script.
    pub script: fn() -> Vec<Act>,
}

/// Waits for a request and answers it with these bytes.
fn answers(bytes: &[u8]) -> Vec<Act> {
    vec![Act::AwaitBytes(1), Act::Send(bytes.to_vec())]
}

const fn half(name: &'static str, layer: Layer, script: fn() -> Vec<Act>) -> HalfOpen {
    HalfOpen { name, layer, script }
}

/// Every server of the library that is silent within a layer.
pub const HALF_OPEN: &[HalfOpen] = &[
    half("proxy sends nothing", Layer::Proxy, Vec::new),
    half("proxy sends half a status line", Layer::Proxy, || answers(b"HTTP/1.1 200 Conn")),
    half("proxy never ends its header", Layer::Proxy, || answers(b"HTTP/1.1 200 Connection established\r\nVia: a\r\n")),
    half("proxy connects to a silent server", Layer::Proxy, || answers(b"HTTP/1.1 200 Connection established\r\n\r\n")),
    half("proxy refuses in a loop", Layer::Proxy, || {
        let mut acts = answers(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        acts.push(Act::Close);
        acts
    }),
    half("TLS sends nothing", Layer::Tls, Vec::new),
    half("TLS begins a record", Layer::Tls, || answers(&[22, 3, 3, 0x40, 0, 2])),
    half("TLS closes in the handshake", Layer::Tls, || {
        let mut acts = answers(&[]);
        acts.push(Act::Close);
        acts
    }),
    half("TLS stops reading", Layer::Tls, || vec![Act::StopReading]),
    half("WebSocket sends nothing", Layer::WebSocket, Vec::new),
    half("WebSocket sends half a status line", Layer::WebSocket, || answers(b"HTTP/1.1 101 Swi")),
    half("WebSocket never ends its header", Layer::WebSocket, || {
        answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
    }),
    half("WebSocket refuses in a loop", Layer::WebSocket, || {
        let mut acts = answers(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        acts.push(Act::Close);
        acts
    }),
];
