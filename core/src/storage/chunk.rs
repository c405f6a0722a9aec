//! Memory that many messages share, one behind the other.

use bytes::BytesMut;

/// Messages are packed into chunks of this size, many to one allocation.
pub(super) const CHUNK: usize = 64 * 1024;

/// Room for `len` more bytes at the end of `chunk`: its own memory again when no message holds on to it any more, else
/// a new chunk of this size. True when it is a new one.
pub(super) fn make_room(chunk: &mut BytesMut, len: usize, size: usize) -> bool {
    if chunk.capacity() - chunk.len() >= len || chunk.try_reclaim(size.max(len)) {
        return false;
    }
    let mut fresh = BytesMut::with_capacity(size.max(len));
    fresh.extend_from_slice(chunk);
    *chunk = fresh;
    true
}
