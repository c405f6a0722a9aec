//! The sick peers: how a client reaches them, and what they do with connections that are open and with new ones.

/// How a client reaches its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Tls,
    WebSocket,
    /// Through the tunnel of an HTTP proxy, which the relay is while it is healthy.
    Proxy,
}

/// The treatment of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Reads and answers nothing.
    Silent,
    /// Does not read, and answers nothing.
    StopReading,
    /// Resets the connection.
    Reset,
    /// Ends the connection.
    Close,
    /// Sends these bytes, then reads and answers nothing.
    Send(&'static [u8]),
    /// Sends these bytes and ends the connection.
    SendAndClose(&'static [u8]),
    /// Sends the first bytes once and the second ones again and again, and reads.
    Flood(&'static [u8], &'static [u8]),
    /// Sends one byte a second, and reads.
    Trickle(&'static [u8]),
    /// Carries so many bytes from the service, and then reads and answers nothing.
    CarryThenSilent(usize),
    /// Carries so many bytes from the service, and then resets the connection.
    CarryThenReset(usize),
    /// Carries one byte from the service every 20 milliseconds.
    Crawl,
}

/// A sick peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) carrier: Carrier,
    /// For connections that are open when it falls sick.
    pub(crate) open: Act,
    /// For new connections.
    pub(crate) new: Act,
    /// Calls of the default run.
    pub(crate) fitting: [&'static str; 2],
}

/// An empty frame of AMQP: a heartbeat.
const HEARTBEATS: &[u8] = &[0, 0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0];
/// The protocol header of SASL.
const SASL: &[u8] = b"AMQP\x03\x01\x00\x00";
/// The head of a frame of 60 000 bytes of which nothing more comes.
const ENDLESS_FRAME: &[u8] = &[0, 0, 0xea, 0x60, 2, 0, 0, 0];
/// The head of a frame larger than any client accepts.
const HUGE_FRAME: &[u8] = &[0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0];
/// Bytes that are no protocol.
const GARBAGE: &[u8] = b"\xde\xad\xbe\xef\xf0\x0d";

/// The head of an answer that switches to a WebSocket, without its end.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
/// One more field of a head that never ends.
const FIELD: &[u8] = b"X-More: and more\r\n";
/// A ping with the longest payload.
const PING: &[u8] = &{
    let mut frame = [0; 127];
    frame[0] = 0x89;
    frame[1] = 125;
    frame
};
/// The first of the frames of a binary message.
const FIRST_FRAGMENT: &[u8] = &[0x02, 0x01, 0x00];
/// The head of a binary message of 2⁴⁰ bytes.
const HUGE_MESSAGE: &[u8] = &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];

const TUNNEL: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const TUNNEL_HEAD: &[u8] = b"HTTP/1.1 200 Connection established\r\n";
const NOT_AUTHORIZED: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

const fn peer(name: &'static str, carrier: Carrier, open: Act, new: Act, fitting: [&'static str; 2]) -> Peer {
    Peer { name, carrier, open, new, fitting }
}

/// All of them.
pub(crate) const PEERS: &[Peer] = {
    use Act::{
        CarryThenReset, CarryThenSilent, Close, Crawl, Flood, Reset, Send, SendAndClose, Silent, StopReading, Trickle,
    };
    use Carrier::{Proxy, Tcp, Tls, WebSocket};
    &[
        // TCP.
        peer("silent", Tcp, Silent, Silent, ["Sender::send", "Receiver::complete"]),
        peer("stops-reading", Tcp, StopReading, StopReading, ["Sender::send #2", "Receiver::receive"]),
        peer("resets", Tcp, Reset, Reset, ["Sender::schedule", "Receiver::renew_lock"]),
        peer("closes", Tcp, Close, Close, ["Transaction::commit", "Processor::run"]),
        peer("accepts-tcp-only", Tcp, Reset, Silent, ["Receiver::next", "Client::accept_session"]),
        peer("silent-after-sasl-header", Tcp, Reset, CarryThenSilent(8), ["Sender::send", "Receiver::peek"]),
        peer("resets-after-sasl-header", Tcp, Reset, CarryThenReset(8), ["Sender::send_all", "SessionReceiver::state"]),
        peer("silent-in-sasl-mechanisms", Tcp, Reset, CarryThenSilent(20), ["RuleManager::add", "Client::close"]),
        peer("silent-in-open", Tcp, Reset, CarryThenSilent(150), ["Receiver::receive_messages", "Sender::close"]),
        peer("resets-in-open", Tcp, Reset, CarryThenReset(150), ["Sender::send", "Transaction::send"]),
        peer("silent-in-cbs", Tcp, Reset, CarryThenSilent(500), ["Sender::create_batch", "Client::list_sessions_each"]),
        peer(
            "floods-heartbeats",
            Tcp,
            Flood(b"", HEARTBEATS),
            Flood(SASL, HEARTBEATS),
            ["Sender::send", "Receiver::close"],
        ),
        peer(
            "floods-garbage",
            Tcp,
            Flood(b"", GARBAGE),
            Flood(b"", GARBAGE),
            ["Sender::send", "ProcessorMessage::complete"],
        ),
        peer("never-ends-a-frame", Tcp, Send(ENDLESS_FRAME), Silent, ["Receiver::abandon", "SessionReceiver::close"]),
        peer("announces-a-huge-frame", Tcp, Send(HUGE_FRAME), Reset, ["Sender::schedule_all", "Receiver::purge"]),
        peer("trickles", Tcp, Trickle(ENDLESS_FRAME), Trickle(SASL), ["Sender::send", "Transaction::roll_back"]),
        peer("crawls", Tcp, Reset, Crawl, ["Sender::size_limits", "TransactionController::begin"]),
        // TLS.
        peer("silent-in-tls", Tls, Reset, Silent, ["Sender::send", "Receiver::receive"]),
        peer("silent-in-tls-record", Tls, Reset, CarryThenSilent(3), ["Sender::send", "Client::accept_next_session"]),
        peer("silent-in-tls-certificate", Tls, Reset, CarryThenSilent(600), ["Sender::send", "LockRenewal::during"]),
        peer("resets-in-tls-handshake", Tls, Reset, CarryThenReset(600), ["Sender::send", "Receiver::defer"]),
        peer("speaks-http-not-tls", Tls, Reset, SendAndClose(UNAVAILABLE), ["Sender::send", "Receiver::dead_letter"]),
        peer(
            "floods-tls-garbage",
            Tls,
            Flood(b"", GARBAGE),
            Flood(b"", GARBAGE),
            ["Sender::send", "Receiver::complete"],
        ),
        peer("silent-over-tls", Tls, Silent, Silent, ["Sender::send", "SessionReceiver::renew_session_lock"]),
        peer("stops-reading-tls", Tls, StopReading, StopReading, ["Sender::send #2", "Receiver::settle_by_token"]),
        // WebSockets.
        peer("silent-in-upgrade", WebSocket, Reset, Silent, ["Sender::send", "Receiver::receive_each"]),
        peer("never-ends-upgrade", WebSocket, Reset, Flood(SWITCHING, FIELD), ["Sender::send", "Receiver::peek_each"]),
        peer("trickles-upgrade", WebSocket, Reset, Trickle(SWITCHING), ["Sender::send", "RuleManager::remove"]),
        peer("refuses-upgrade", WebSocket, Reset, SendAndClose(UNAVAILABLE), ["Sender::send", "Peeker::peek"]),
        peer("floods-pings", WebSocket, Flood(b"", PING), Reset, ["Sender::send", "Receiver::renew_lock_by_token"]),
        peer("never-ends-a-message", WebSocket, Send(FIRST_FRAGMENT), Reset, ["Sender::send", "Receiver::complete"]),
        peer(
            "announces-a-huge-message",
            WebSocket,
            Send(HUGE_MESSAGE),
            Silent,
            ["Sender::send", "Receiver::abandon_with"],
        ),
        peer(
            "stops-reading-websocket",
            WebSocket,
            StopReading,
            StopReading,
            ["Sender::send #2", "Receiver::delete_messages"],
        ),
        // Proxies.
        peer("silent-proxy", Proxy, Reset, Silent, ["Sender::send", "Receiver::receive"]),
        peer(
            "proxy-never-ends-head",
            Proxy,
            Reset,
            Flood(TUNNEL_HEAD, FIELD),
            ["Sender::send", "Client::take_over_session"],
        ),
        peer("proxy-trickles", Proxy, Reset, Trickle(TUNNEL), ["Sender::send", "Receiver::defer_with"]),
        peer("proxy-wants-password", Proxy, Reset, SendAndClose(NOT_AUTHORIZED), ["Sender::send", "Receiver::next"]),
        peer(
            "proxy-bad-gateway",
            Proxy,
            Reset,
            SendAndClose(BAD_GATEWAY),
            ["Sender::send", "Receiver::receive_deferred"],
        ),
        peer("proxy-opens-silent-tunnel", Proxy, Reset, Send(TUNNEL), ["Sender::send", "Transaction::complete"]),
    ]
};
