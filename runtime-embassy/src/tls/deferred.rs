//! Signatures that are verified behind the messages that they came in.
//!
//! webpki and embedded-tls want to know at once whether a signature holds. One that takes long is taken for right until
//! both are done, and then verified in steps, between which other tasks have their turn; until it holds, the server is not
//! proven. webpki is led through all paths that it could take, since behind a signature that is wrong it would have gone
//! on to the next one.

use super::ecdsa::{Job, Run};
use super::refusal::{AUTHORITIES, CertificateError, Refusal};
use super::remembered::Remembered;
use super::verifier::SHORT_SIGNATURES;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use critical_section::Mutex;

/// Signatures of one handshake: those that the work for a chain pays for, and the one over the handshake.
const JOBS: usize = SHORT_SIGNATURES + 1;
/// Paths to a root, of one signature each at least.
const PATHS: usize = SHORT_SIGNATURES;
/// Signatures of the longest path that webpki takes: the server's certificate and its authorities.
const LONGEST: usize = AUTHORITIES + 1;

/// Signatures of ECDSA that a [`Verifier`](super::Verifier) has taken for right, and that are still to be verified.
///
/// # Examples
///
/// A handshake of one's own over embedded-tls does the work that was put off between its polls:
///
/// ```
/// use servicebus_embassy::tls::{Algorithms, Deferred, Refusal, Root, Verifier};
/// use servicebus_embassy::Timestamp;
///
/// fn is_proven(verifier: &Verifier<'_>, deferred: &Deferred<'_>) -> Result<bool, Refusal> {
///     while deferred.step()? {
///         // Other tasks have their turn here.
///     }
///     Ok(verifier.is_proven())
/// }
/// # let roots: [Root<'_>; 0] = [];
/// let deferred = Deferred::new();
/// # let (now, host) = (Timestamp::from_secs(1_767_225_600), "contoso.servicebus.windows.net");
/// let verifier = Verifier::new(&roots, host, now, Algorithms::ALL).with_deferred(&deferred);
/// assert!(is_proven(&verifier, &deferred).is_ok_and(|proven| !proven), "no server has shown anything yet");
/// ```
pub struct Deferred<'a> {
    jobs: Jobs,
    run: RefCell<Option<(u8, Run)>>,
    chain: Cell<Option<Chain<'a>>>,
}

/// A chain that is to be remembered once its signatures hold.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) remembered: &'a Remembered,
    pub(super) digest: [u8; 32],
    pub(super) now: Duration,
    pub(super) end: Duration,
}

impl Chain<'_> {
    pub(super) fn remember(&self) {
        self.remembered.put(self.digest, self.now, self.end);
    }
}

impl<'a> Deferred<'a> {
    /// Nothing is to be verified.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Deferred;
    /// assert!(!Deferred::new().is_due());
    /// ```
    pub const fn new() -> Self {
        Self { jobs: Jobs::new(), run: RefCell::new(None), chain: Cell::new(None) }
    }

    /// Does a part of what is to be done. False when nothing is left.
    ///
    /// Errors: [`CertificateError::Signature`] or [`CertificateError::HandshakeSignature`] when a signature is wrong, or
    /// [`CertificateError::TooLong`] when the server has shown more of them than are looked at; and ever after.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Deferred;
    /// assert!(matches!(Deferred::new().step(), Ok(false)), "nothing was put off");
    /// ```
    pub fn step(&self) -> Result<bool, Refusal> {
        let Ok(mut run) = self.run.try_borrow_mut() else { return Err(Refusal::new(CertificateError::Signature)) };
        let (number, holds) = if let Some((number, going)) = run.as_mut() {
            let Some(holds) = going.step() else { return Ok(true) };
            (*number, holds)
        } else {
            let Some((number, job)) = self.jobs.next()? else { return Ok(false) };
            *run = Run::start(&job).map(|started| (number, started));
            if run.is_some() {
                return Ok(true);
            }
            (number, false)
        };
        *run = None;
        let more = self.jobs.settle(number, holds)?;
        if !more && let Some(chain) = self.chain.take() {
            chain.remember();
        }
        Ok(more)
    }

    /// Whether there is something to be done.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Deferred;
    /// let deferred = Deferred::new();
    /// if deferred.is_due() {
    ///     // Poll the handshake again soon.
    /// }
    /// ```
    pub fn is_due(&self) -> bool {
        self.jobs.with(|list| !list.paths.is_empty()).unwrap_or(false)
    }

    /// Whether nothing is left, and nothing was wrong.
    pub(super) fn holds(&self) -> bool {
        self.jobs.with(|list| list.refusal.is_none() && list.paths.is_empty()).unwrap_or(false)
    }

    /// Another chain has come: what was before does not count.
    pub(super) fn clear(&self) {
        self.jobs.clear();
        self.chain.set(None);
        if let Ok(mut run) = self.run.try_borrow_mut() {
            *run = None;
        }
    }

    /// The list that algorithms put their signatures into.
    pub(super) const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// What is remembered when all holds.
    pub(super) fn remember(&self, chain: Chain<'a>) {
        self.chain.set(Some(chain));
    }
}

impl Default for Deferred<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deferred<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").finish_non_exhaustive()
    }
}

/// What is to be verified. In a critical section, because webpki asks for algorithms that can be shared among threads.
pub(super) struct Jobs(Mutex<RefCell<List>>);

/// A signature that is to be verified.
struct Entry {
    job: Job,
    /// The address of what is signed, which tells certificates apart as long as they are there.
    content: usize,
    /// Why the server is refused if it is wrong.
    refusal: Refusal,
}

struct List {
    entries: heapless::Vec<Entry, JOBS>,
    /// Of the signatures that webpki asked for last, the latest one at the end: the entry's bit, or none for a signature that
    /// was verified at once.
    asked: [u16; LONGEST],
    /// The entries of each path, by their bits. One of the paths has to hold.
    paths: heapless::Vec<u16, PATHS>,
    /// Entries that are done.
    right: u16,
    wrong: u16,
    /// Why the server is refused if no path holds: more of them, or more signatures, than are looked at.
    cut: Option<Refusal>,
    /// No path holds.
    refusal: Option<Refusal>,
}

impl List {
    const fn new() -> Self {
        Self {
            entries: heapless::Vec::new(),
            asked: [0; LONGEST],
            paths: heapless::Vec::new(),
            right: 0,
            wrong: 0,
            cut: None,
            refusal: None,
        }
    }

    /// Nothing is to be done any more.
    fn clear(&mut self) {
        self.entries.clear();
        self.paths.clear();
        (self.right, self.wrong, self.asked) = (0, 0, [0; LONGEST]);
        (self.cut, self.refusal) = (None, None);
    }

    fn note(&mut self, bit: u16) {
        self.asked.rotate_left(1);
        if let Some(last) = self.asked.last_mut() {
            *last = bit;
        }
    }

    fn put(&mut self, job: Job, content: usize) -> Option<()> {
        let number = match self.entries.iter().position(|other| other.job == job) {
            Some(number) => number,
            None => {
                let refusal = Refusal::new(CertificateError::Signature);
                self.entries.push(Entry { job, content, refusal }).ok()?;
                self.entries.len() - 1
            }
        };
        self.note(1_u16.checked_shl(number as u32)?);
        Some(())
    }

    fn path(&mut self, signatures: usize) -> bool {
        let path = self.asked.iter().rev().take(signatures).fold(0, |path, bit| path | bit);
        if path != 0 && !self.paths.contains(&path) {
            // There is room for as many as there can be.
            _ = self.paths.push(path);
        }
        path == 0
    }

    fn close(&mut self, refusal: Refusal) {
        let bit = self.asked.last().copied().unwrap_or_default();
        let entry = self.entries.get_mut(bit.trailing_zeros() as usize);
        let Some(entry) = entry else { return };
        entry.refusal = refusal;
        if self.paths.is_empty() {
            _ = self.paths.push(bit);
        }
        self.paths.iter_mut().for_each(|path| *path |= bit);
    }

    fn next(&self) -> Result<Option<(u8, Job)>, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let Some(path) = self.paths.first() else { return Ok(None) };
        let number = (path & !self.right).trailing_zeros();
        let entry = self.entries.get(number as usize).ok_or(Refusal::new(CertificateError::Signature))?;
        Ok(Some((number as u8, entry.job.clone())))
    }

    fn settle(&mut self, number: u8, holds: bool) -> Result<bool, Refusal> {
        let bit = 1_u16.checked_shl(u32::from(number)).unwrap_or_default();
        if holds {
            self.right |= bit;
        } else {
            self.wrong |= bit;
        }
        let (right, wrong) = (self.right, self.wrong);
        self.paths.retain(|path| path & wrong == 0);
        if self.paths.is_empty() {
            let refusal = self.entries.get(usize::from(number)).map(|entry| entry.refusal);
            let refusal = self.cut.or(refusal).unwrap_or(Refusal::new(CertificateError::Signature));
            self.clear();
            self.refusal = Some(refusal);
            return Err(refusal);
        }
        let more = self.paths.iter().all(|path| path & !right != 0);
        if !more {
            self.clear();
        }
        Ok(more)
    }
}

impl Jobs {
    const fn new() -> Self {
        Self(Mutex::new(RefCell::new(List::new())))
    }

    fn with<T>(&self, act: impl FnOnce(&mut List) -> T) -> Option<T> {
        critical_section::with(|section| Some(act(&mut *self.0.borrow(section).try_borrow_mut().ok()?)))
    }

    /// A signature is to be verified later; `None` when there is no room.
    pub(super) fn put(&self, job: Job, content: usize) -> Option<()> {
        self.with(|list| list.put(job, content))?
    }

    /// A signature was verified at once.
    pub(super) fn put_none(&self) {
        _ = self.with(|list| list.note(0));
    }

    /// A path was found, with as many signatures, which are the last that were asked for. True when all of them have been
    /// verified; otherwise it is kept.
    pub(super) fn path(&self, signatures: usize) -> bool {
        self.with(|list| list.path(signatures)).unwrap_or(false)
    }

    /// All paths are found: says why the server is refused when a signature of the content at an address is wrong, and when
    /// there are more of them than are looked at.
    pub(super) fn name(&self, refusal: impl Fn(usize) -> Refusal, cut: Option<Refusal>) {
        for number in 0..JOBS {
            let content = self.with(|list| list.entries.get(number).map(|entry| entry.content)).flatten();
            let Some(refusal) = content.map(&refusal) else { break };
            _ = self.with(|list| list.entries.get_mut(number).map(|entry| entry.refusal = refusal));
        }
        _ = self.with(|list| list.cut = cut);
    }

    /// The signature over the handshake was asked for last: each path needs it.
    pub(super) fn close(&self, refusal: Refusal) {
        _ = self.with(|list| list.close(refusal));
    }

    /// Nothing is to be done any more.
    pub(super) fn clear(&self) {
        _ = self.with(List::clear);
    }

    fn next(&self) -> Result<Option<(u8, Job)>, Refusal> {
        self.with(|list| list.next()).unwrap_or(Err(Refusal::new(CertificateError::Signature)))
    }

    /// An entry is done. Whether there is more to do.
    fn settle(&self, number: u8, holds: bool) -> Result<bool, Refusal> {
        self.with(|list| list.settle(number, holds)).unwrap_or(Err(Refusal::new(CertificateError::Signature)))
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}
