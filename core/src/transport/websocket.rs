//! AMQP over WebSockets: the bytes of a connection as binary messages, cut anywhere.
// docs/evidence/wire-protocol.md §1.1

use super::head;
use crate::driver::Transport;
use crate::machine::Target;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};
use futures_util::FutureExt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

/// The port of HTTPS: the namespace takes WebSockets nowhere else.
pub(super) const PORT: u16 = 443;
const PATH: &str = "/$servicebus/websocket";
const SUBPROTOCOL: &str = "AMQPWSB10";
/// Bytes of a message that comes in at most. Bytes of AMQP may be cut anywhere, so that no server needs longer ones.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a message that goes out at most.
const CHUNK: usize = 64 << 10;
/// Bytes that are read in one call.
const READ: usize = 16 << 10;
/// Bytes that may wait behind a write before reading waits for it as well. Behind a write only answers to pings wait,
/// at most three bytes for each that was read.
const MAX_ANSWERS: usize = 64 << 10;

/// Why no WebSocket was opened.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::WebSocketError;
///
/// let error = WebSocketError::Refused { status: 403, reason: "Forbidden" };
/// assert_eq!(error.to_string(), "no WebSocket was opened: the answer was HTTP 403 Forbidden");
/// ```
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

impl core::error::Error for WebSocketError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Handshake(error) => Some(error),
            Self::Refused { .. } => None,
        }
    }
}

/// The bytes that a WebSocket carries.
///
/// # Examples
///
/// What a [`Dialer`](super::Dialer) opens with [`with_websockets`](super::Dialer::with_websockets):
///
/// ```no_run
/// use servicebus_core::driver::Dial;
/// use servicebus_core::machine::Target;
/// use servicebus_core::transport::{DialError, Dialer, Either, Network};
///
/// async fn connect<N: Network>(network: N) -> Result<(), DialError> {
///     let target = Target { host: "contoso.servicebus.windows.net", port: 5671, tls: true };
///     if let Either::Right(websocket) = Dialer::new(network).with_websockets().dial(target).await? {
///         println!("{websocket:?}");
///     }
///     Ok(())
/// }
/// ```
pub struct WebSocketStream<T> {
    stream: T,
    frames: Mutex<Frames>,
    buffer: Box<[u8]>,
}

impl<T> fmt::Debug for WebSocketStream<T> {
    /// Without content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketStream").finish_non_exhaustive()
    }
}

/// The frames of both directions. A lock on it is never held across a wait.
struct Frames {
    socket: WebSocket<Pipe>,
    /// The rest of the last message.
    rest: Bytes,
    /// The server's close frame, with its code and reason where it has them.
    close_frame: Option<Option<CloseFrame>>,
    /// A write was dropped before its end: nothing that makes sense can follow.
    torn: bool,
}

/// The stream as the frames see it: bytes that have come, and bytes that are to go.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    taken: usize,
    ended: bool,
    outgoing: Vec<u8>,
}

impl io::Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = self.incoming.get(self.taken..).unwrap_or_default();
        let count = waiting.len().min(buffer.len());
        if count == 0 && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let (Some(from), Some(to)) = (waiting.get(..count), buffer.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn fill(&mut self, bytes: &[u8]) {
        self.incoming.clear();
        self.taken = 0;
        self.incoming.extend_from_slice(bytes);
        self.ended = bytes.is_empty();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn invalid(text: &'static str) -> WebSocketError {
    WebSocketError::Handshake(io::Error::new(io::ErrorKind::InvalidData, text))
}

impl<T: Transport<Error = io::Error>> WebSocketStream<T> {
    /// Asks for the upgrade on a stream to this target.
    pub(super) async fn open(mut stream: T, target: Target<'_>) -> Result<Self, WebSocketError> {
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_owned() };
        let port = if target.port == PORT { String::new() } else { format!(":{}", target.port) };
        let key = generate_key();
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nHost: {host}{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
        );
        let head = {
            let (mut reader, mut writer) = stream.split();
            head::write(&mut writer, request.as_bytes()).await.map_err(WebSocketError::Handshake)?;
            head::read(&mut reader).await.map_err(|error| WebSocketError::Handshake(error.into_io()))?
        };
        if head.status != 101 {
            return Err(WebSocketError::Refused { status: head.status, reason: head::reason(head.status) });
        }
        // RFC 6455 §4.1
        if !head.has_token("upgrade", "websocket") || !head.has_token("connection", "upgrade") {
            return Err(invalid("the answer does not upgrade to it"));
        }
        if head.field("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(invalid("the answer is to another request"));
        }
        if !head.field("sec-websocket-protocol").is_some_and(|chosen| chosen.eq_ignore_ascii_case(SUBPROTOCOL)) {
            return Err(invalid("the server has not chosen AMQP"));
        }
        if head.field("sec-websocket-extensions").is_some() {
            return Err(invalid("the server has chosen an extension that was not offered"));
        }
        Ok(Self::over(stream, head.rest))
    }

    /// A WebSocket that is open, and what came of it already.
    fn over(stream: T, incoming: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            // A frame is written as a whole.
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let pipe = Pipe { incoming, ..Pipe::default() };
        let socket = WebSocket::from_raw_socket(pipe, Role::Client, Some(config));
        let frames = Mutex::new(Frames { socket, rest: Bytes::new(), close_frame: None, torn: false });
        Self { stream, frames, buffer: vec![0; READ].into_boxed_slice() }
    }
}

impl<T: Transport<Error = io::Error>> Transport for WebSocketStream<T> {
    type Error = io::Error;
    type Reader<'a>
        = WebSocketReader<'a, T::Reader<'a>, T::Writer<'a>>
    where
        Self: 'a;
    type Writer<'a>
        = WebSocketWriter<'a, T::Writer<'a>>
    where
        Self: 'a;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        let (reader, writer) = self.stream.split();
        let sink = Arc::new(Mutex::new(Sink { writer: Some(writer), waker: None }));
        let writer = WebSocketWriter { frames: &self.frames, sink: Arc::clone(&sink) };
        (WebSocketReader { reader, frames: &self.frames, sink, buffer: &mut self.buffer }, writer)
    }

    /// Sends a close frame to the server, and closes the stream.
    async fn close(mut self) -> io::Result<()> {
        {
            let mut frames = lock(&self.frames);
            if frames.torn {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            // It fails where the server was first; that has been answered.
            let _ = frames.socket.close(None);
            let _ = frames.socket.flush();
        }
        let (_, mut writer) = self.stream.split();
        drain(&self.frames, &mut writer).await?;
        writer.flush().await?;
        drop(writer);
        self.stream.close().await
    }
}

/// The writing half of the stream, for the half of the WebSocket that writes at the moment: the one that sends
/// messages, or the one that reads and answers pings and close frames.
struct Sink<W> {
    writer: Option<W>,
    waker: Option<Waker>,
}

/// The writing half of the stream, until it is dropped.
struct Taken<'s, W> {
    sink: &'s Mutex<Sink<W>>,
    writer: Option<W>,
}

impl<W> Drop for Taken<'_, W> {
    fn drop(&mut self) {
        let waker = {
            let mut sink = lock(self.sink);
            sink.writer = self.writer.take();
            sink.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<W> Sink<W> {
    fn try_take(sink: &Mutex<Self>) -> Option<Taken<'_, W>> {
        let writer = lock(sink).writer.take()?;
        Some(Taken { sink, writer: Some(writer) })
    }

    /// Takes the writer, or leaves a waker for its return. Both in one step: a return in between would wake no task.
    /// Returns the previous waker.
    fn take_or_wait(&mut self, waker: &Waker) -> Result<W, Option<Waker>> {
        self.writer.take().ok_or_else(|| self.waker.replace(waker.clone()))
    }

    async fn take(sink: &Mutex<Self>) -> Taken<'_, W> {
        poll_fn(|cx| {
            let step = lock(sink).take_or_wait(cx.waker());
            match step {
                Ok(writer) => Poll::Ready(Taken { sink, writer: Some(writer) }),
                // It may be the last that holds its task, and with it what takes the lock when it is dropped: not
                // under the lock.
                Err(_former) => Poll::Pending,
            }
        })
        .await
    }
}

/// Writes the frames that are to go, unless an earlier one was cut.
async fn drain(frames: &Mutex<Frames>, writer: &mut impl Write<Error = io::Error>) -> io::Result<()> {
    loop {
        let outgoing = {
            let mut frames = lock(frames);
            if frames.torn {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let outgoing = core::mem::take(&mut frames.socket.get_mut().outgoing);
            frames.torn = !outgoing.is_empty();
            outgoing
        };
        let mut rest = outgoing.as_slice();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            match writer.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => rest = rest.get(count..).unwrap_or_default(),
            }
        }
        let mut frames = lock(frames);
        frames.torn = false;
        let pipe = frames.socket.get_mut();
        if pipe.outgoing.is_empty() {
            // Its room is used again.
            pipe.outgoing = outgoing;
            pipe.outgoing.clear();
        }
    }
}

impl<W: Write<Error = io::Error>> Taken<'_, W> {
    /// Sends every frame, those that come up meanwhile as well.
    async fn send(&mut self, frames: &Mutex<Frames>) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        loop {
            drain(frames, writer).await?;
            writer.flush().await?;
            if lock(frames).socket.get_ref().outgoing.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The half that reads messages, and answers pings and close frames.
pub struct WebSocketReader<'a, R, W> {
    reader: R,
    frames: &'a Mutex<Frames>,
    sink: Arc<Mutex<Sink<W>>>,
    buffer: &'a mut [u8],
}

impl<R, W> fmt::Debug for WebSocketReader<'_, R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketReader").finish_non_exhaustive()
    }
}

impl<R, W> ErrorType for WebSocketReader<'_, R, W> {
    type Error = io::Error;
}

impl Frames {
    /// The next bytes, `None` until more have come.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        while self.rest.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Text(_)) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a WebSocket message of text"));
                }
                // The answers to pings and close frames are among the outgoing frames after the next read.
                Ok(Message::Close(frame)) => self.close_frame = Some(frame),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(Some(0)),
                Err(error) => return Err(into_io(error)),
            }
        }
        let bytes = self.rest.split_to(self.rest.len().min(buffer.len()));
        if let Some(place) = buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(&bytes);
        }
        Ok(Some(bytes.len()))
    }

    /// The result of reading once the server's close frame has come: an error with its code and reason, unless the code
    /// is that of a normal closure.
    fn end(&self) -> Option<io::Result<usize>> {
        let frame = match self.close_frame.as_ref()? {
            Some(frame) if frame.code != CloseCode::Normal => frame,
            _ => return Some(Ok(0)),
        };
        let text = format!("the server has closed the WebSocket: {} {}", u16::from(frame.code), frame.reason);
        Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, text.trim_end())))
    }
}

impl<R: Read<Error = io::Error>, W: Write<Error = io::Error>> Read for WebSocketReader<'_, R, W> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (taken, answers, end) = {
                let mut frames = lock(self.frames);
                let taken = frames.take(buffer);
                (taken, frames.socket.get_ref().outgoing.len(), frames.end())
            };
            if let Some(end) = end {
                // Even if other frames follow or the stream stays open. The answer is sent as far as that needs no waiting:
                // the server may have reset the connection, or no longer read.
                if let Some(mut writer) = Sink::try_take(&self.sink) {
                    let _ = writer.send(self.frames).now_or_never();
                }
                return end;
            }
            if let Some(count) = taken? {
                return Ok(count);
            }
            // Where the other half writes, it sends them behind its own. A peer that sends pings and does not read is
            // not read from either, or its answers would take any amount of memory.
            let writer = match answers {
                0 => None,
                1..=MAX_ANSWERS => Sink::try_take(&self.sink),
                _ => Some(Sink::take(&self.sink).await),
            };
            if let Some(mut writer) = writer {
                let sent = writer.send(self.frames).await;
                // A server that has reset the connection may have sent a close frame before: reading finds it.
                if answers > MAX_ANSWERS {
                    sent?;
                }
            }
            let count = self.reader.read(self.buffer).await?;
            lock(self.frames).socket.get_mut().fill(self.buffer.get(..count).unwrap_or_default());
        }
    }
}

/// The half that writes messages. A flush sends the written bytes.
pub struct WebSocketWriter<'a, W> {
    frames: &'a Mutex<Frames>,
    sink: Arc<Mutex<Sink<W>>>,
}

impl<W> fmt::Debug for WebSocketWriter<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketWriter").finish_non_exhaustive()
    }
}

impl<W> ErrorType for WebSocketWriter<'_, W> {
    type Error = io::Error;
}

impl<W: Write<Error = io::Error>> Write for WebSocketWriter<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writer = Sink::take(&self.sink).await;
        if let Some(writer) = &mut writer.writer {
            drain(self.frames, writer).await?;
        }
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        let message = Message::Binary(Bytes::copy_from_slice(chunk));
        lock(self.frames).socket.send(message).map_err(into_io)?;
        Ok(chunk.len())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Sink::take(&self.sink).await.send(self.frames).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, now, poll};
    use super::*;
    use alloc::string::ToString;
    use alloc::task::Wake;
    use core::future::Future;
    use core::pin::pin;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::Context;

    /// The masked frames of a client, each as its first byte and its content.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let [first, length, mask @ ..] = bytes {
            let (mask, rest) = mask.split_at(4);
            let (content, rest) = rest.split_at(usize::from(length & 0x7f));
            frames.push((*first, content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()));
            bytes = rest;
        }
        frames
    }

    #[test]
    fn pings_of_a_peer_that_does_not_read_take_bounded_memory_and_no_frame_is_lost() {
        const PINGS: usize = 64 * READ / 2;
        let script = Script::default();
        let mut stream = WebSocketStream::over(script.clone(), Vec::new());
        let (mut reader, mut writer) = stream.split();
        let waiting = |frames: &Mutex<Frames>| lock(frames).socket.get_ref().outgoing.len();
        script.blocks.set(true);
        assert_eq!(now(writer.write(b"before")).expect("it is queued"), 6);
        script.incoming.borrow_mut().extend([0x89, 0].repeat(PINGS));
        script.incoming.borrow_mut().extend(*b"\x82\x02hi");
        let mut buffer = [0; 8];
        let both = reader.frames;
        {
            let mut flushing = pin!(writer.flush());
            assert!(poll(flushing.as_mut()).is_pending());
            let mut reading = pin!(reader.read(&mut buffer));
            assert!(poll(reading.as_mut()).is_pending());
            assert!(waiting(both) <= MAX_ANSWERS + 3 * READ, "{} bytes wait", waiting(both));
            script.blocks.set(false);
            assert!(matches!(poll(flushing.as_mut()), Poll::Ready(Ok(()))));
            assert!(matches!(poll(reading.as_mut()), Poll::Ready(Ok(2))), "reading goes on");
        }
        assert_eq!(buffer[..2], *b"hi");
        assert_eq!(now(writer.write(b"behind")).expect("it is queued"), 6);
        now(writer.flush()).expect("it is written");
        let frames = frames(&script.written.borrow());
        assert_eq!(frames.len(), PINGS + 2, "every ping is answered");
        assert_eq!(frames.first(), Some(&(0x82, b"before".to_vec())));
        assert_eq!(frames.last(), Some(&(0x82, b"behind".to_vec())));
    }

    /// What reading ends with after some frames of the server, which leaves the stream open, and what was answered.
    fn end(bytes: &[u8]) -> (io::Result<usize>, Vec<(u8, Vec<u8>)>) {
        let script = Script::default();
        script.incoming.borrow_mut().extend(bytes);
        let mut stream = WebSocketStream::over(script.clone(), Vec::new());
        let (mut reader, _writer) = stream.split();
        let ended = now(reader.read(&mut [0; 8]));
        let written = script.written.borrow();
        (ended, frames(&written))
    }

    #[test]
    fn a_close_frame_is_answered_and_its_code_and_reason_are_the_error_at_once() {
        let (ended, answers) = end(b"\x88\x02\x03\xe8");
        assert!(matches!(ended, Ok(0)), "{ended:?}");
        assert_eq!(answers, [(0x88, b"\x03\xe8".to_vec())]);
        assert!(matches!(end(b"\x88\0").0, Ok(0)));
        for (code, shown) in
            [(b"\x03\xe9", "1001"), (b"\x03\xf0", "1008"), (b"\x03\xf3", "1011"), (b"\x0f\xa0", "4000")]
        {
            let frame = [b"\x88\x06", &code[..], b"shed"].concat();
            let (ended, answers) = end(&frame);
            let error = ended.expect_err("it has a reason").to_string();
            assert_eq!(error, format!("the server has closed the WebSocket: {shown} shed"));
            assert_eq!(answers.len(), 1, "{shown}");
        }
        let (ended, answers) = end(b"\x88\x06\x03\xf0shed\x82\x02hi");
        assert!(ended.expect_err("the frame behind it is ignored").to_string().ends_with("1008 shed"));
        assert_eq!(answers, [(0x88, b"\x03\xf0shed".to_vec())]);
    }

    #[test]
    fn a_close_frame_is_read_though_no_answer_can_be_written() {
        const CLOSE: &[u8] = b"\x88\x06\x03\xf0shed";
        for (blocks, fails, ping) in [(true, false, &b""[..]), (false, true, b""), (false, true, b"\x89\0")] {
            let script = Script::default();
            let mut stream = WebSocketStream::over(script.clone(), Vec::new());
            let (mut reader, _writer) = stream.split();
            script.blocks.set(blocks);
            script.fails.set(fails);
            let mut buffer = [0; 8];
            let mut reading = pin!(reader.read(&mut buffer));
            script.incoming.borrow_mut().extend(ping);
            assert!(poll(reading.as_mut()).is_pending(), "a ping that cannot be answered ends nothing");
            script.incoming.borrow_mut().extend(CLOSE);
            let Poll::Ready(Err(error)) = poll(reading) else { panic!("{blocks} {fails} {ping:?}: no error") };
            assert!(error.to_string().ends_with("1008 shed"), "{error}");
        }
    }

    #[test]
    fn pings_of_a_peer_that_cannot_be_answered_take_bounded_memory() {
        let script = Script::default();
        script.fails.set(true);
        script.incoming.borrow_mut().extend([0x89, 0].repeat(64 * READ / 2));
        let mut stream = WebSocketStream::over(script, Vec::new());
        let (mut reader, _writer) = stream.split();
        let error = now(reader.read(&mut [0; 8])).expect_err("too many answers wait");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(lock(reader.frames).socket.get_ref().outgoing.len() <= MAX_ANSWERS + 3 * READ);
    }

    #[test]
    fn what_a_server_must_not_send_ends_the_stream() {
        let mask = [0; 4];
        let ping = [&b"\x89\x7e\x00\x80"[..], &[0; 128]].concat();
        let masked = [b"\x82\x82", &mask[..], b"hi"].concat();
        let giant = [&b"\x82\x7f"[..], &(1_u64 << 40).to_be_bytes(), b"hi"].concat();
        let wide = [&b"\x82\x7f"[..], &(MAX_MESSAGE as u64 + 1).to_be_bytes(), b"hi"].concat();
        let refused: [&[u8]; 8] = [
            &masked,
            &giant,
            &wide,
            b"\xc2\x02hi",         // compressed
            b"\x81\x02hi",         // text
            b"\x80\x02hi",         // the rest of nothing
            b"\x02\x01h\x82\x01i", // a message within a message
            &ping,                 // longer than 125 bytes
        ];
        for bytes in refused {
            let error = end(bytes).0.expect_err("it breaks the rules");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:x?}: {error}");
        }
    }

    #[test]
    fn a_message_may_come_in_fragments_with_pings_in_between() {
        let (read, answers) = end(b"\x02\x01h\x89\x01?\x00\x00\x80\x01i");
        assert!(matches!(read, Ok(2)), "{read:?}");
        assert_eq!(answers, []);
        let long = [&b"\x82\x7f"[..], &3_u64.to_be_bytes(), b"abc"].concat();
        assert!(matches!(end(&long).0, Ok(3)), "a length may be longer than it has to be, or is refused");
    }

    /// The upgrade's result by the fields of an answer that fits the request otherwise.
    fn upgrade(fields: &str) -> Result<(), WebSocketError> {
        let script = Script::default();
        let target = Target { host: "localhost", port: 5300, tls: false };
        let mut opening = pin!(WebSocketStream::open(script.clone(), target));
        assert!(poll(opening.as_mut()).is_pending());
        let request = String::from_utf8(script.written.borrow().clone()).expect("a request is text");
        let (_, rest) = request.split_once("Sec-WebSocket-Key: ").expect("it has a key");
        let accept = derive_accept_key(rest.lines().next().unwrap_or_default().as_bytes());
        let answer = format!("HTTP/1.1 101 Upgraded\r\nSec-WebSocket-Accept: {accept}\r\n{fields}\r\n");
        script.incoming.borrow_mut().extend(answer.as_bytes());
        match poll(opening) {
            Poll::Ready(opened) => opened.map(drop),
            Poll::Pending => panic!("the answer is there"),
        }
    }

    #[test]
    fn an_answer_opens_a_websocket_with_every_field_and_without_extensions() {
        const FIELDS: [&str; 3] =
            ["upgrade: WebSocket\r\n", "connection: keep-alive, Upgrade\r\n", "sec-websocket-protocol: amqpwsb10\r\n"];
        upgrade(&FIELDS.concat()).expect("it is whole");
        for missing in FIELDS {
            let fields = FIELDS.concat().replace(missing, "");
            assert!(matches!(upgrade(&fields), Err(WebSocketError::Handshake(_))), "without {missing}");
        }
        let extended = format!("{}Sec-WebSocket-Extensions: permessage-deflate\r\n", FIELDS.concat());
        assert!(matches!(upgrade(&extended), Err(WebSocketError::Handshake(_))));
        for (field, wrong) in [("WebSocket", "h2c"), ("Upgrade", "close"), ("amqpwsb10", "mqtt")] {
            let fields = FIELDS.concat().replace(field, wrong);
            assert!(matches!(upgrade(&fields), Err(WebSocketError::Handshake(_))), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_written_behind_a_frame_that_was_cut() {
        let script = Script::default();
        let mut stream = WebSocketStream::over(script.clone(), Vec::new());
        let (_reader, mut writer) = stream.split();
        now(writer.write(b"cut")).expect("it is queued");
        script.blocks.set(true);
        assert!(poll(pin!(writer.flush())).is_pending());
        script.blocks.set(false);
        for _ in 0..2 {
            let error = now(writer.write(b"behind")).expect_err("the stream makes no sense any more");
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(now(writer.flush()).expect_err("nor does a flush").kind(), io::ErrorKind::BrokenPipe);
        }
        assert!(script.written.borrow().is_empty());
    }

    /// A task that waits for the sink: whether it was woken, and whether the sink was locked when it was dropped.
    struct Waiting {
        sink: Arc<Mutex<Sink<()>>>,
        woken: Arc<AtomicBool>,
        locked: Arc<AtomicBool>,
    }

    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::SeqCst);
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            self.locked.fetch_or(self.sink.try_lock().is_err(), Ordering::SeqCst);
        }
    }

    #[test]
    fn who_waits_for_the_writer_is_left_in_the_step_that_finds_it_taken() {
        let mut sink = Sink { writer: None::<()>, waker: None };
        assert!(matches!(sink.take_or_wait(Waker::noop()), Err(None)));
        assert!(sink.waker.is_some());
        assert!(matches!(sink.take_or_wait(Waker::noop()), Err(Some(_))), "the former one is given out");

        let sink = Arc::new(Mutex::new(Sink { writer: Some(()), waker: None }));
        let [first, second, locked] = core::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        let taken = Sink::try_take(&sink).expect("it is there");
        let mut waiting = pin!(Sink::take(&sink));
        for woken in [&first, &second] {
            let (sink, woken, locked) = (Arc::clone(&sink), Arc::clone(woken), Arc::clone(&locked));
            let waker = Waker::from(Arc::new(Waiting { sink, woken, locked }));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(taken);
        assert!(second.load(Ordering::SeqCst), "the task of the last poll is woken");
        assert!(!first.load(Ordering::SeqCst));
        assert!(!locked.load(Ordering::SeqCst), "no task is dropped under the lock");
        assert!(poll(waiting).is_ready());
    }
}
