//! The head of an HTTP/1.1 response (RFC 9112).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{Read, Write};
use std::io;

/// Bytes of a head at most.
const MAX_HEAD: usize = 64 << 10;
/// Fields of a head at most.
const MAX_FIELDS: usize = 128;
/// Interim responses before the final one at most.
const MAX_INTERIM: usize = 16;

/// The head of a response. Of a proxy's the status counts alone, and the version only for those over HTTP.
#[cfg_attr(not(feature = "http"), allow(dead_code))]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    /// What came behind it.
    pub(super) rest: Vec<u8>,
    /// Whether it is HTTP/1.1, whose connections stay open.
    pub(super) keeps_open: bool,
}

#[cfg_attr(not(any(feature = "http", feature = "websockets")), allow(dead_code))]
impl Head {
    /// The value of a field; the first one where there are several.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a token is in the list of a field, which may be there several times (RFC 9110 §5.3).
    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    }
}

/// What HTTP calls a status; empty where it has no name.
#[cfg(any(feature = "proxy", feature = "websockets"))]
pub(super) fn reason(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The stream's.
    Io(io::Error),
    /// It is not HTTP.
    Parse(httparse::Error),
    /// It is larger than any that makes sense.
    TooLarge,
    /// Interim responses come, and no final one.
    Interim,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Parse(error) => write!(f, "the answer is not HTTP: {error}"),
            Self::TooLarge => f.write_str("the head of the answer is too large"),
            Self::Interim => f.write_str("too many interim responses come before the answer"),
        }
    }
}

impl HeadError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        }
    }
}

/// Writes a request.
pub(super) async fn write(writer: &mut impl Write<Error = io::Error>, request: &[u8]) -> io::Result<()> {
    let mut rest = request;
    while !rest.is_empty() {
        match writer.write(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => rest = rest.get(count..).unwrap_or_default(),
        }
    }
    writer.flush().await
}

/// Reads the head of the final response.
pub(super) async fn read(reader: &mut impl Read<Error = io::Error>) -> Result<Head, HeadError> {
    let mut bytes = Vec::new();
    let mut interim = 0;
    loop {
        if let Some(head) = parse(&bytes)? {
            // Interim responses come before the one that counts (RFC 9110 §15.2); 101 is final here.
            if (100..200).contains(&head.status) && head.status != 101 {
                if interim == MAX_INTERIM {
                    return Err(HeadError::Interim);
                }
                interim += 1;
                bytes = head.rest;
                continue;
            }
            return Ok(head);
        }
        if bytes.len() > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        let mut part = [0; 1024];
        match reader.read(&mut part).await.map_err(HeadError::Io)? {
            0 => return Err(HeadError::Io(io::ErrorKind::UnexpectedEof.into())),
            count => bytes.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
}

/// The head at the beginning of some bytes, once it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(HeadError::Parse)? else {
        return Ok(None);
    };
    let text =
        |field: &httparse::Header<'_>| (field.name.to_string(), String::from_utf8_lossy(field.value).into_owned());
    Ok(Some(Head {
        status: response.code.unwrap_or_default(),
        fields: response.headers.iter().map(text).collect(),
        rest: bytes.get(length..).unwrap_or_default().to_vec(),
        keeps_open: response.version == Some(1),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, now};
    use super::*;

    fn behind(interim: usize) -> Result<Head, HeadError> {
        let mut script = Script::default();
        script.incoming.borrow_mut().extend(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(interim));
        script.incoming.borrow_mut().extend(b"HTTP/1.1 200 OK\r\n\r\n");
        now(read(&mut script))
    }

    #[test]
    fn interim_responses_are_passed_over_up_to_a_limit() {
        assert!(matches!(behind(MAX_INTERIM), Ok(head) if head.status == 200));
        assert!(matches!(behind(MAX_INTERIM + 1), Err(HeadError::Interim)));
    }
}
