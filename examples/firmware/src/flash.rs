//! Memory in the place of flash, which QEMU's board has none of: a product takes its HAL's.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a page.
pub const PAGE: usize = 512;

/// Flash in words of four bytes.
#[derive(Debug)]
pub struct Memory {
    cells: &'static mut [u8],
    /// Asked before each word is written and each page is erased: may end the board's run.
    before: fn(),
}

impl Memory {
    /// What is in `cells` is what an earlier run has left there.
    pub fn new(cells: &'static mut [u8], before: fn()) -> Self {
        Self { cells, before }
    }

    fn at(&mut self, offset: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let cells = self.cells.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..length));
        cells.ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ErrorType for Memory {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(self.at(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let before = self.before;
        for page in self.at(from, to.saturating_sub(from) as usize)?.chunks_mut(PAGE) {
            before();
            page.fill(0xff);
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let before = self.before;
        for (cells, word) in self.at(offset, bytes.len())?.chunks_mut(4).zip(bytes.chunks(4)) {
            before();
            cells.copy_from_slice(word);
        }
        Ok(())
    }
}
