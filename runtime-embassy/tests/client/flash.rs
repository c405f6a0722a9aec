//! Flash in memory that loses its power after so many writes, and what is in it where a test says so.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

pub(crate) const PAGE: usize = 256;

/// A generator of pseudo-random numbers (xorshift64*), the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 8) % bound
    }
}

/// What a power cut has fallen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    Erasure,
    PageHead,
    /// A word of zeros.
    Removal,
    /// Another word.
    Record,
}

struct Cells {
    bytes: Vec<u8>,
    /// A word whose write was cut, or that was damaged, answers with an error until it is erased.
    corrects_errors: bool,
    /// Where such words begin.
    unreadable: BTreeSet<usize>,
    /// Words that can be written, and pages that can be erased, until the power goes.
    left: Option<u64>,
    on: bool,
    random: Random,
    operations: u64,
    cut: Option<Cut>,
}

/// Handles to the same flash are its clones: it outlives a reset. It is read and written in words of so many bytes.
pub(crate) struct Flash<const WORD: usize = 4>(Rc<RefCell<Cells>>);

impl<const WORD: usize> Clone for Flash<WORD> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The power has gone.
    PowerCut,
    /// The error-correcting code does not fit a word.
    Uncorrectable,
}
use Failure::{PowerCut, Uncorrectable};

impl NorFlashError for Failure {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WORD: usize> Flash<WORD> {
    /// Erased flash of so many pages.
    pub(crate) fn new(pages: usize, seed: u64) -> Self {
        let random = Random::new(seed);
        let bytes = vec![0xff; pages * PAGE];
        let (corrects_errors, unreadable) = (false, BTreeSet::new());
        let cells =
            Cells { bytes, corrects_errors, unreadable, left: None, on: true, random, operations: 0, cut: None };
        Self(Rc::new(RefCell::new(cells)))
    }

    /// It has an error-correcting code from now on.
    pub(crate) fn correct_errors(&self) {
        self.0.borrow_mut().corrects_errors = true;
    }

    /// Flips bits of a byte. Flash with an error-correcting code has lost the word that it is in.
    pub(crate) fn damage(&self, at: usize, bits: u8) {
        let cells = &mut *self.0.borrow_mut();
        cells.bytes[at] ^= bits;
        if cells.corrects_errors {
            cells.unreadable.insert(at / WORD * WORD);
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.borrow().bytes.clone()
    }

    /// Another flash, with the same in it.
    pub(crate) fn copy(&self) -> Self {
        let cells = self.0.borrow();
        let (bytes, unreadable) = (cells.bytes.clone(), cells.unreadable.clone());
        let Cells { corrects_errors, left, on, operations, cut, .. } = *cells;
        let random = cells.random.clone();
        Self(Rc::new(RefCell::new(Cells { bytes, corrects_errors, unreadable, left, on, random, operations, cut })))
    }

    /// Gives it power for so many writes and erasures, or for good.
    pub(crate) fn power_on(&self, left: Option<u64>) {
        let cells = &mut *self.0.borrow_mut();
        (cells.left, cells.on) = (left, true);
    }

    /// Words written and pages erased so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// What the last power cut has fallen on.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.0.borrow().cut
    }

    pub(crate) fn range(&self) -> core::ops::Range<u32> {
        0..self.0.borrow().bytes.len() as u32
    }
}

impl Cells {
    /// Whether the next write or erasure is done as a whole.
    fn is_powered(&mut self) -> bool {
        self.operations += 1;
        match &mut self.left {
            Some(0) => {
                self.on = false;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// A write that is cut: of the bits that were to become zero, some have.
    fn tear(&mut self, at: usize, word: &[u8]) {
        self.cut = Some(match at % PAGE {
            0..20 => Cut::PageHead,
            _ if word.iter().all(|byte| *byte == 0) => Cut::Removal,
            _ => Cut::Record,
        });
        for (cell, byte) in self.bytes[at..].iter_mut().zip(word) {
            *cell &= byte | self.random.next() as u8;
        }
        if self.corrects_errors && self.random.below(2) == 0 {
            self.unreadable.insert(at);
        }
    }

    /// An erasure that is cut: nothing has happened, or a part is erased, or some of the bits are.
    fn tear_page(&mut self, from: usize, word: usize) {
        self.cut = Some(Cut::Erasure);
        let kind = self.random.below(4);
        let until = self.random.below(PAGE as u64) as usize;
        for (place, cell) in self.bytes[from..][..PAGE].iter_mut().enumerate() {
            match kind {
                0 => {}
                1 if place < until => *cell = 0xff,
                2 if place >= until => *cell = 0xff,
                3 => *cell |= self.random.next() as u8,
                _ => {}
            }
        }
        let words = (from..from + PAGE).step_by(word).filter(|_| self.corrects_errors && kind == 3);
        self.unreadable.extend(words.filter(|_| self.random.below(2) == 0));
    }
}

impl<const WORD: usize> ErrorType for Flash<WORD> {
    type Error = Failure;
}

impl<const WORD: usize> ReadNorFlash for Flash<WORD> {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failure> {
        let cells = self.0.borrow();
        assert!((offset as usize).is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD), "reads are of whole words");
        bytes.copy_from_slice(&cells.bytes[offset as usize..][..bytes.len()]);
        if !cells.on {
            return Err(PowerCut);
        }
        let words = offset as usize..offset as usize + bytes.len();
        let is_lost = cells.corrects_errors && cells.unreadable.range(words).next().is_some();
        if is_lost { Err(Uncorrectable) } else { Ok(()) }
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl<const WORD: usize> NorFlash for Flash<WORD> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Failure> {
        let cells = &mut *self.0.borrow_mut();
        for page in (from as usize..to as usize).step_by(PAGE) {
            if !cells.on {
                return Err(PowerCut);
            }
            if !cells.is_powered() {
                cells.tear_page(page, WORD);
                return Err(PowerCut);
            }
            cells.bytes[page..][..PAGE].fill(0xff);
            cells.unreadable.retain(|word| word / PAGE != page / PAGE);
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failure> {
        let cells = &mut *self.0.borrow_mut();
        assert!(
            (offset as usize).is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD),
            "writes are of whole words"
        );
        for (number, word) in bytes.chunks(WORD).enumerate() {
            let at = offset as usize + number * WORD;
            if !cells.on {
                return Err(PowerCut);
            }
            assert!(cells.bytes[at..][..WORD].iter().all(|cell| *cell == 0xff), "a word is written once");
            if !cells.is_powered() {
                cells.tear(at, word);
                return Err(PowerCut);
            }
            cells.bytes[at..][..WORD].iter_mut().zip(word).for_each(|(cell, byte)| *cell &= byte);
        }
        Ok(())
    }
}
