//! A relay in front of a service: it carries bytes until it falls sick.

use crate::peer::{Act, Carrier, Peer};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How much of the client's bytes the system keeps for a peer that does not read.
const SMALL_WINDOW: u32 = 4_096;

/// A relay on loopback; dropped, it ends with its connections.
pub(crate) struct Relay {
    address: SocketAddr,
    sick: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Relay {
    /// Starts a relay to `target`.
    pub(crate) fn start(peer: &'static Peer, target: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if matches!(peer.open, Act::StopReading) {
            socket.set_recv_buffer_size(SMALL_WINDOW)?;
        }
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(128)?;
        let address = listener.local_addr()?;
        let (sick, mood) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, peer, target, mood));
        Ok(Self { address, sick, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn fall_sick(&self) {
        self.sick.send_replace(true);
    }
}

async fn accept(listener: TcpListener, peer: &'static Peer, target: SocketAddr, mood: watch::Receiver<bool>) {
    // Dropped with this task, it ends the connections.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let mood = mood.clone();
        connections.spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = serve(client, peer, target, mood).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(
    mut client: TcpStream,
    peer: &'static Peer,
    target: SocketAddr,
    mut mood: watch::Receiver<bool>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    if *mood.borrow() {
        return act(client, peer.new, target).await;
    }
    if peer.carrier == Carrier::Proxy {
        read_head(&mut client).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    }
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    let fell_sick =
        async { mood.wait_for(|sick| *sick).await.map(drop).map_err(|_| io::Error::from(io::ErrorKind::Interrupted)) };
    tokio::select! {
        carried = copy_bidirectional(&mut client, &mut server) => return carried.map(drop),
        fell_sick = fell_sick => fell_sick?,
    }
    act(client, peer.open, target).await
}

/// Reads the head of a request.
async fn read_head(client: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(())
}

/// Does what a sick peer does with a connection; `target` is the service behind it.
pub(crate) async fn act(mut client: TcpStream, act: Act, target: SocketAddr) -> io::Result<()> {
    match act {
        Act::Silent => copy(&mut client, &mut sink()).await.map(drop),
        Act::StopReading => std::future::pending().await,
        Act::Reset => client.set_zero_linger(),
        Act::Close => client.shutdown().await,
        Act::Send(bytes) => {
            client.write_all(bytes).await?;
            copy(&mut client, &mut sink()).await.map(drop)
        }
        Act::SendAndClose(bytes) => {
            // A request that was not read would turn the end into a reset.
            let _ = client.read(&mut [0; 4_096]).await?;
            client.write_all(bytes).await?;
            client.shutdown().await
        }
        Act::Flood(first, rest) => {
            let (reader, writer) = client.into_split();
            both(reader, flood(writer, first, rest)).await
        }
        Act::Trickle(bytes) => {
            let (reader, mut writer) = client.into_split();
            let trickling = async move {
                for byte in bytes.iter().cycle() {
                    writer.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(())
            };
            both(reader, trickling).await
        }
        Act::CarryThenSilent(count) => {
            let mut client = carry(client, target, count, Duration::ZERO).await?;
            copy(&mut client, &mut sink()).await.map(drop)
        }
        Act::CarryThenReset(count) => carry(client, target, count, Duration::ZERO).await?.set_zero_linger(),
        Act::Crawl => carry(client, target, usize::MAX, Duration::from_millis(20)).await.map(drop),
    }
}

/// Reads and drops what comes beside `work`.
async fn both(mut reader: OwnedReadHalf, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut nowhere = sink();
    tokio::select! {
        read = copy(&mut reader, &mut nowhere) => read.map(drop),
        done = work => done,
    }
}

/// Two kibibytes every five milliseconds: more than any peer has a reason to send, and little enough that many cells
/// run beside each other.
async fn flood(mut writer: OwnedWriteHalf, first: &[u8], rest: &[u8]) -> io::Result<()> {
    let many: Vec<u8> = rest.iter().copied().cycle().take(2_048 / rest.len() * rest.len()).collect();
    writer.write_all(first).await?;
    loop {
        writer.write_all(&many).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Carries `count` bytes from the service and everything to it, with a pause after each byte, and returns the
/// connection.
async fn carry(mut client: TcpStream, target: SocketAddr, count: usize, pause: Duration) -> io::Result<TcpStream> {
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    let mut left = count;
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let down = async {
            let mut buffer = [0; 4_096];
            while left > 0 {
                let most = if pause.is_zero() { left.min(buffer.len()) } else { 1 };
                let read = from_server.read(&mut buffer[..most]).await?;
                if read == 0 {
                    return io::Result::Ok(());
                }
                to_client.write_all(&buffer[..read]).await?;
                left -= read;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        };
        tokio::select! {
            up = copy(&mut from_client, &mut to_server) => up.map(drop)?,
            down = down => down?,
        }
    }
    Ok(client)
}
