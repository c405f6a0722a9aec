//! Peers over sockets.

use super::sick::Fault;
use super::{Act, Peer, ScriptedClient, Service};
use servicebus_core::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that wait for a socket before the peer is asked for no more.
const WAITING: usize = 1 << 18;

/// The longest pause between two polls of a peer: effects of other connections, and of a test on the service, show within
/// it.
const POLL: std::time::Duration = std::time::Duration::from_millis(2);

/// Serves a listener until the future is dropped. The service's instant zero is when this begins.
pub async fn serve(listener: TcpListener, service: Service) {
    let begin = std::time::Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        match service.fault() {
            // The kernel has accepted already: the connection stays silent.
            Some(Fault::NeverAccepts) => {
                service.turn_away();
                connections.spawn(hold(socket));
            }
            Some(Fault::RefusesConnections) => {
                service.turn_away();
                drop(socket);
            }
            _ => _ = connections.spawn(drive(socket, service.accept(), begin)),
        }
    }
}

/// Plays a script on every connection of a listener, until the future is dropped.
pub async fn serve_script(listener: TcpListener, script: fn() -> Vec<Act>) {
    let begin = std::time::Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        connections.spawn(drive(socket, Box::new(ScriptedClient::new(script())), begin));
    }
}

/// Connects a peer to an address and drives it until the connection ends.
///
/// # Errors
/// When the address cannot be reached.
pub async fn connect(address: &str, peer: Box<dyn Peer + Send>) -> std::io::Result<()> {
    let socket = TcpStream::connect(address).await?;
    drive(socket, peer, std::time::Instant::now()).await;
    Ok(())
}

async fn hold(socket: TcpStream) {
    std::future::pending::<()>().await;
    drop(socket);
}

async fn drive(mut socket: TcpStream, mut peer: Box<dyn Peer + Send>, begin: std::time::Instant) {
    let now = || Instant::from_micros(1_000_000 + u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
    // Bytes wait in the peer instead of in the kernel.
    _ = socket.set_nodelay(true);
    peer.connected(now());
    let (mut reader, mut writer) = socket.split();
    let (mut waiting, mut buffer) = (Vec::new(), vec![0; 65_536]);
    let (mut reads, mut closes) = (true, false);
    loop {
        if waiting.len() < WAITING && !closes {
            let output = peer.output(now());
            waiting.extend(output.bytes);
            (reads, closes) = (output.reads, output.closes);
        }
        if closes && waiting.is_empty() {
            return;
        }
        let pause = peer.next().map_or(POLL, |at| {
            std::time::Duration::from_micros(at.saturating_duration_since(now()).as_micros() as u64).min(POLL)
        });
        tokio::select! {
            biased;
            read = reader.read(&mut buffer), if reads && !closes => match read {
                Ok(count) if count > 0 => peer.input(now(), &buffer[..count]),
                _ => return,
            },
            written = writer.write(&waiting), if !waiting.is_empty() => match written {
                Ok(count) => _ = waiting.drain(..count),
                Err(_) => return,
            },
            () = tokio::time::sleep(pause), if waiting.len() < WAITING => {}
        }
    }
}
