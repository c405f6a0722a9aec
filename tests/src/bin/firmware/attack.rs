//! A server that attacks the board: before it is authenticated, and behind the handshake (docs/evidence/field-reports.md,
//! D1).

use crate::forged::{APPLICATION_DATA, HANDSHAKE, Script, Sent, Server, inner, whole};
use rustls::ServerConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How many there are.
pub(crate) const ATTACKS: usize = 4;
/// How long the board may take to end the connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of them; whether the board ended the connection.
pub(crate) fn attack(number: usize, mut board: TcpStream, config: ServerConfig) -> std::io::Result<bool> {
    let empty = |_: &[u8]| vec![Sent::Sealed(Vec::new())];
    // As long as a tag, which is one byte too short for any record.
    let short = |_: &[u8]| vec![Sent::Raw([&[APPLICATION_DATA, 3, 3, 0, 16][..], &[7; 16]].concat())];
    let script = match number {
        0 => Script { flight: &empty, after: Vec::new() },
        1 => Script { flight: &short, after: Vec::new() },
        2 => Script { flight: &whole, after: vec![Sent::Sealed(vec![0; 3])] },
        // A KeyUpdate.
        _ => Script { flight: &whole, after: vec![inner(&[24, 0, 0, 1, 1], HANDSHAKE)] },
    };
    let mut server = Server::new(config, script, &<[u8]>::to_vec);
    board.set_nonblocking(false)?;
    board.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = [0; 4096];
    loop {
        match board.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(count) => server.input(&bytes[..count]),
            Err(error) => return Ok(error.kind() == std::io::ErrorKind::ConnectionReset),
        }
        board.write_all(&std::mem::take(&mut server.output))?;
    }
}
