//! Handshake messages that lie in several records.
//!
//! embedded-tls takes whole messages only. So each encrypted record is handed to it inside of a record that fills its
//! buffer, and is therefore read from the buffer's start: behind the beginning of a message that came
//! before. The [`Cipher`](super::cipher::Cipher) decrypts what is in there and hands on the messages that are whole by
//! then; the rest it leaves at the end of the buffer, where the [`Socket`](super::socket::Socket) finds it when the next
//! record is to be read.
//!
//! ```text
//! to the cipher:   | beginning | record as it came | …                         | their two lengths |
//! from the cipher: | whole messages | type |         … | beginning of a message | its length |    |
//! ```
//!
//! Whatever embedded-tls did to the buffer in between, the bytes that it is given are the ones that it puts into the
//! handshake's digest: a server that is taken has seen the same.

/// Two lengths, in the last bytes of the buffer.
const LENGTHS: usize = 4;
const TAG: usize = 16;
const HANDSHAKE: u8 = 22;
const FINISHED: u8 = 20;
pub(super) const NEW_SESSION_TICKET: u8 = 4;

/// Whether a record of this length can be handed on in a buffer of that size, if nothing came before.
pub(super) const fn fits(length: usize, size: usize) -> bool {
    length + LENGTHS <= size
}

/// Where in the buffer a record of this length goes. `leaves` says that the cipher has left there what came before.
pub(super) fn place(buffer: &mut [u8], leaves: bool, length: usize) -> Option<&mut [u8]> {
    let (body, lengths) = buffer.split_last_chunk_mut::<LENGTHS>()?;
    let [high, low, ..] = *lengths;
    let before = if leaves { usize::from(u16::from_be_bytes([high, low])) } else { 0 };
    body.copy_within(body.len().checked_sub(before)?.., 0);
    let place = body.get_mut(before..before + length)?;
    let ([b0, b1], [l0, l1]) = ((before as u16).to_be_bytes(), (length as u16).to_be_bytes());
    *lengths = [b0, b1, l0, l1];
    Some(place)
}

/// What is in the buffer for the cipher.
pub(super) struct Joined<'b> {
    body: &'b mut [u8],
    lengths: &'b mut [u8; LENGTHS],
    before: usize,
    length: usize,
}

impl<'b> Joined<'b> {
    pub(super) fn read(buffer: &'b mut [u8]) -> Option<Self> {
        let (body, lengths) = buffer.split_last_chunk_mut::<LENGTHS>()?;
        let [b0, b1, l0, l1] = *lengths;
        let (before, length) = (usize::from(u16::from_be_bytes([b0, b1])), usize::from(u16::from_be_bytes([l0, l1])));
        (before + length <= body.len()).then_some(Self { body, lengths, before, length })
    }

    /// The record: its content, and its tag.
    pub(super) fn record(&mut self) -> Option<(&mut [u8], &mut [u8; TAG])> {
        self.body.get_mut(self.before..self.before + self.length)?.split_last_chunk_mut()
    }

    /// The content is decrypted: puts the whole messages to the buffer's start, with their type behind them, and leaves
    /// the rest. Returns how much is to be read; `None` for what no handshake has.
    ///
    /// Behind the handshake there are tickets only, which are taken out: no session is resumed.
    pub(super) fn split(self, opened: bool) -> Option<usize> {
        let Self { body, lengths, before, length } = self;
        let content = body.get(before..(before + length).checked_sub(TAG)?)?;
        // Behind the content type there is padding of zeros (RFC 8446 §5.4).
        let end = content.iter().rposition(|byte| *byte != 0)?;
        if *content.get(end)? != HANDSHAKE {
            // Nothing may come between the parts of a message (RFC 8446 §5.1).
            *lengths = [0; LENGTHS];
            return (before == 0).then_some(end + 1);
        }
        if end == 0 {
            // No part of a message at all is forbidden (RFC 8446 §5.1).
            return None;
        }
        let filled = before + end;
        let whole = whole(body.get(..filled)?)?;
        let (messages, rest) = body.get(..filled)?.split_at_checked(whole)?;
        if opened && (!are_tickets(messages) || rest.first().is_some_and(|kind| *kind != NEW_SESSION_TICKET)) {
            return None;
        }
        let rest = rest.len();
        let at = body.len().checked_sub(rest)?;
        body.copy_within(whole..filled, at);
        let [high, low] = (rest as u16).to_be_bytes();
        *lengths = [high, low, 0, 0];
        let read = if opened { 0 } else { whole };
        *body.get_mut(read)? = HANDSHAKE;
        Some(read + 1)
    }
}

/// How many bytes the whole messages take. A key change follows Finished, so that nothing can be behind it.
fn whole(messages: &[u8]) -> Option<usize> {
    let mut rest = messages;
    while let [kind, high, middle, low, body @ ..] = rest {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let Some((_, behind)) = body.split_at_checked(length) else { break };
        rest = behind;
        if *kind == FINISHED && !rest.is_empty() {
            return None;
        }
    }
    Some(messages.len() - rest.len())
}

/// Whether these are whole NewSessionTicket messages, and nothing else.
pub(super) fn are_tickets(mut messages: &[u8]) -> bool {
    while let [NEW_SESSION_TICKET, high, middle, low, rest @ ..] = messages {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let Some((_, behind)) = rest.split_at_checked(length) else { return false };
        messages = behind;
    }
    messages.is_empty()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec;
    use std::vec::Vec;

    const SIZE: usize = 200;

    /// Hands records on, each a content and its type, as the socket and the cipher do; what comes out of each.
    fn handed_on(records: &[(&[u8], u8)], padding: usize, opened: bool) -> Option<Vec<Vec<u8>>> {
        // What embedded-tls leaves in the buffer is not ours.
        let mut buffer = vec![0xaa; SIZE];
        let mut found = Vec::new();
        for (number, (content, kind)) in records.iter().enumerate() {
            let mut record = content.to_vec();
            record.push(*kind);
            record.resize(record.len() + padding, 0);
            record.extend_from_slice(&[0x55; TAG]);
            place(&mut buffer, number > 0, record.len())?.copy_from_slice(&record);
            let mut joined = Joined::read(&mut buffer)?;
            let (content, tag) = joined.record()?;
            assert_eq!((content.len() + TAG, *tag), (record.len(), [0x55; TAG]));
            let length = joined.split(opened)?;
            found.push(buffer[..length].to_vec());
        }
        Some(found)
    }

    fn messages() -> [Vec<u8>; 3] {
        [vec![8, 0, 0, 2, 1, 2], vec![11, 0, 0, 0], [&[FINISHED, 0, 0, 40][..], &[7; 40]].concat()]
    }

    #[test]
    fn messages_are_joined_however_they_are_spread() {
        let flight = messages().concat();
        for size in 1..=flight.len() {
            for padding in [0, 1, 30] {
                let records: Vec<(&[u8], u8)> = flight.chunks(size).map(|chunk| (chunk, HANDSHAKE)).collect();
                let mut joined = Vec::new();
                for mut found in handed_on(&records, padding, false).expect("it is whole") {
                    assert_eq!(found.pop(), Some(HANDSHAKE));
                    assert_eq!(whole(&found), Some(found.len()), "whole messages only");
                    joined.extend(found);
                }
                assert_eq!(joined, flight, "{size} bytes in each, {padding} of padding");
            }
        }
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_message_or_behind_the_last_one() {
        let [first, _, finished] = messages();
        let alert = [1, 0];
        assert!(handed_on(&[(&first, HANDSHAKE), (&alert, 21)], 0, false).is_some());
        assert_eq!(handed_on(&[(&first[..3], HANDSHAKE), (&alert, 21)], 0, false), None);
        assert_eq!(handed_on(&[(&first[..3], HANDSHAKE), (&[], HANDSHAKE)], 0, false), None);
        for behind in 1..=first.len() {
            let record = [&finished[..], &first[..behind]].concat();
            assert_eq!(handed_on(&[(&record, HANDSHAKE)], 0, false), None, "{behind} bytes behind Finished");
        }
    }

    #[test]
    fn behind_the_handshake_tickets_vanish_however_they_are_spread() {
        let tickets = [&[NEW_SESSION_TICKET, 0, 0, 3, 1, 2, 3][..], &[NEW_SESSION_TICKET, 0, 0, 0]].concat().repeat(3);
        for size in 1..=tickets.len() {
            let mut records: Vec<(&[u8], u8)> = tickets.chunks(size).map(|chunk| (chunk, HANDSHAKE)).collect();
            records.push((b"data", 23));
            let mut found = handed_on(&records, 0, true).expect("they are whole");
            assert_eq!(found.pop().as_deref(), Some(&b"data\x17"[..]), "{size} bytes in each");
            assert!(found.iter().all(|read| read[..] == [HANDSHAKE]), "{size} bytes in each");
            records.remove(0);
            if size < 7 {
                assert_eq!(handed_on(&records, 0, true), None, "{size} bytes in each, without the first");
            }
        }
        for kind in (0..=255).filter(|kind| *kind != NEW_SESSION_TICKET) {
            assert_eq!(handed_on(&[(&[kind], HANDSHAKE)], 0, true), None, "the beginning of message {kind}");
            assert_eq!(handed_on(&[(&[kind, 0, 0, 0], HANDSHAKE)], 0, true), None, "message {kind}");
        }
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let long = [&[11, 0, 1, 0][..], &[7; 256]].concat();
        let records: Vec<(&[u8], u8)> = long.chunks(20).map(|chunk| (chunk, HANDSHAKE)).collect();
        assert_eq!(handed_on(&records, 0, false), None);
        assert!(fits(SIZE - LENGTHS, SIZE) && !fits(SIZE - LENGTHS + 1, SIZE));
        // Lengths that are not ours, either.
        for size in 0..40 {
            for (before, length) in (0..44).flat_map(|before| (0..44).map(move |length| (before, length))) {
                let mut buffer = vec![HANDSHAKE; size];
                if let Some(lengths) = buffer.last_chunk_mut::<LENGTHS>() {
                    *lengths = [0, before, 0, length];
                }
                if let Some(joined) = Joined::read(&mut buffer) {
                    _ = joined.split(false);
                }
                _ = place(&mut buffer, true, usize::from(length));
            }
        }
    }
}
