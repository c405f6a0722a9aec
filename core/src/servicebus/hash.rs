//! The hash that tokens are signed with.

use hmac::digest::common::BlockSizeUser;
use hmac::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use sha2::Sha256;

/// SHA-256, each of whose steps is a function of its own: inlined, as the library wants it, they would be there several
/// times, once for each place where a signature hashes.
#[derive(Clone, Default)]
pub(super) struct Hash(Sha256);

impl HashMarker for Hash {}

impl OutputSizeUser for Hash {
    type OutputSize = <Sha256 as OutputSizeUser>::OutputSize;
}

impl BlockSizeUser for Hash {
    type BlockSize = <Sha256 as BlockSizeUser>::BlockSize;
}

impl Update for Hash {
    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        Update::update(&mut self.0, bytes);
    }
}

impl FixedOutput for Hash {
    #[inline(never)]
    fn finalize_into(self, out: &mut Output<Self>) {
        FixedOutput::finalize_into(self.0, out);
    }
}
