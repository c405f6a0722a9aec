//! Flash in memory that loses its power after so many writes.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::cell::RefCell;
use std::rc::Rc;

pub(crate) const PAGE: usize = 256;
const WORD: usize = 4;

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

struct Cells {
    bytes: Vec<u8>,
    /// Words that can be written, and pages that can be erased, until the power goes.
    left: Option<u64>,
    on: bool,
    random: Random,
    operations: u64,
}

/// Handles to the same flash are its clones: it outlives a reset.
#[derive(Clone)]
pub(crate) struct Flash(Rc<RefCell<Cells>>);

/// The power has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    /// Erased flash of so many pages.
    pub(crate) fn new(pages: usize, seed: u64) -> Self {
        let random = Random::new(seed);
        let bytes = vec![0xff; pages * PAGE];
        Self(Rc::new(RefCell::new(Cells { bytes, left: None, on: true, random, operations: 0 })))
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
        for (cell, byte) in self.bytes[at..][..WORD].iter_mut().zip(word) {
            *cell &= byte | self.random.next() as u8;
        }
    }

    /// An erasure that is cut: nothing has happened, or a part is erased, or some of the bits are.
    fn tear_page(&mut self, from: usize) {
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
    }
}

impl ErrorType for Flash {
    type Error = PowerCut;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        let cells = self.0.borrow();
        assert!((offset as usize).is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD), "reads are of whole words");
        bytes.copy_from_slice(&cells.bytes[offset as usize..][..bytes.len()]);
        if cells.on { Ok(()) } else { Err(PowerCut) }
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        let cells = &mut *self.0.borrow_mut();
        for page in (from as usize..to as usize).step_by(PAGE) {
            if !cells.on {
                return Err(PowerCut);
            }
            if !cells.is_powered() {
                cells.tear_page(page);
                return Err(PowerCut);
            }
            cells.bytes[page..][..PAGE].fill(0xff);
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
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
