//! A chain that was verified.

use super::Algorithms;
use super::root::Root;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use rustls_pki_types::CertificateDer;
use sha2_tls::{Digest, Sha256};

/// A chain that was verified, by its hash. The next handshakes in which the server shows the same one, for the same host and
/// with the same roots, check the server's signature over the handshake alone.
///
/// It counts for a life that is set, and no longer than each certificate that was shown; a clock that is put back ends it.
/// It is lost with the RAM it is in.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::{Peer, Remembered};
/// use servicebus_embassy::{Duration, Timestamp};
///
/// let remembered = Remembered::new(Duration::from_secs(3_600));
/// for minute in 0..60 {
///     let now = Timestamp::from_secs(1_767_225_600 + 60 * minute);
///     let peer = Peer::new(&[], "contoso.servicebus.windows.net", now).with_remembered(&remembered);
/// #   drop(peer);
///     // A handshake: the first one verifies the chain, the others the signature over the handshake.
/// }
/// ```
pub struct Remembered {
    life: Duration,
    chain: Cell<Option<Chain>>,
}

#[derive(Clone, Copy)]
struct Chain {
    digest: [u8; 32],
    /// When it was verified, and until when that counts, since 1970.
    from: Duration,
    until: Duration,
}

impl Remembered {
    /// Nothing yet. A chain counts for `life` from when it was verified.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Duration;
    /// # use servicebus_embassy::tls::Remembered;
    /// let remembered = Remembered::new(Duration::from_secs(3_600));
    /// # drop(remembered);
    /// ```
    pub const fn new(life: Duration) -> Self {
        Self { life, chain: Cell::new(None) }
    }

    /// Forgets the chain.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Duration;
    /// # use servicebus_embassy::tls::Remembered;
    /// # let remembered = Remembered::new(Duration::from_secs(3_600));
    /// remembered.clear(); // the next handshake verifies the chain again
    /// ```
    pub fn clear(&self) {
        self.chain.set(None);
    }

    /// Whether a chain with this digest was verified and still counts.
    pub(super) fn has(&self, digest: &[u8; 32], now: Duration) -> bool {
        self.chain.get().is_some_and(|chain| chain.digest == *digest && (chain.from..chain.until).contains(&now))
    }

    /// A chain was verified now; the first of its certificates ends at `end`.
    pub(super) fn put(&self, digest: [u8; 32], now: Duration, end: Duration) {
        let until = now.saturating_add(self.life).min(end);
        self.chain.set(Some(Chain { digest, from: now, until }));
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("life", &self.life).finish_non_exhaustive()
    }
}

/// What a verification depends on but the time. Apart, so that its state is not on the stack below a verification.
#[inline(never)]
pub(super) fn digest<'c>(
    host: &str,
    roots: &[Root<'_>],
    algorithms: &Algorithms,
    chain: impl Iterator<Item = &'c CertificateDer<'c>>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Each part behind its length: no two lists of parts give the same bytes.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u32).to_be_bytes());
        hash.update(bytes);
    };
    part(host.as_bytes());
    part(&[algorithms.count()]);
    for root in roots {
        part(&root.anchor.subject);
        part(&root.anchor.subject_public_key_info);
        part(root.anchor.name_constraints.as_deref().unwrap_or_default());
        part(&root.path_length.map_or([0, 0], |limit| [1, limit]));
    }
    part(&[]);
    chain.for_each(|certificate| part(certificate));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_chain_counts_for_its_life_and_no_longer_than_its_certificates() {
        let (chain, other) = ([7; 32], [8; 32]);
        let remembered = Remembered::new(at(100));
        assert!(!remembered.has(&chain, at(1_000)));
        for (end, until) in [(5_000, 1_100), (1_040, 1_040)] {
            remembered.put(chain, at(1_000), at(end));
            for (now, counts) in [(999, false), (1_000, true), (until - 1, true), (until, false), (u64::MAX, false)] {
                assert_eq!(remembered.has(&chain, at(now)), counts, "at {now}, until {until}");
                assert!(!remembered.has(&other, at(now)));
            }
        }
        remembered.put(chain, at(1_000), at(900));
        assert!(!remembered.has(&chain, at(1_000)), "a certificate has ended");
        remembered.put(chain, at(1_000), at(5_000));
        remembered.clear();
        assert!(!remembered.has(&chain, at(1_000)));
    }
}
