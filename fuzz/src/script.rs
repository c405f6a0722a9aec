//! What a peer says and when, as bytes: for each line how many milliseconds after the one before, and how many bytes, in
//! two bytes each, and these bytes.

use servicebus_core::time::Duration;

/// Writes a script.
pub fn write(lines: &[(Duration, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (wait, line) in lines {
        let mut wait = *wait;
        for line in line.chunks(usize::from(u16::MAX)) {
            bytes.extend(u16::try_from(wait.as_millis()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend((line.len() as u16).to_be_bytes());
            bytes.extend(line);
            wait = Duration::ZERO;
        }
    }
    bytes
}

/// Reads a script; any bytes are one.
pub fn read(mut bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let mut lines = Vec::new();
    while let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() {
        let count = usize::from(u16::from_be_bytes([*c, *d])).min(rest.len());
        let (line, rest) = rest.split_at(count);
        lines.push((Duration::from_millis(u64::from(u16::from_be_bytes([*a, *b]))), line.to_vec()));
        bytes = rest;
    }
    lines
}
