//! Flash in memory, for the examples of what is kept in flash.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use std::convert::Infallible;

const WORD: usize = 4;
const PAGE: usize = 256;

/// Erased flash, with pages of 256 bytes and words of four.
#[derive(Debug)]
pub struct ExampleFlash(Vec<u8>);

impl ExampleFlash {
    /// So many pages.
    pub fn of_pages(pages: usize) -> Self {
        Self(vec![0xff; pages * PAGE])
    }
}

impl ErrorType for ExampleFlash {
    type Error = Infallible;
}

impl ReadNorFlash for ExampleFlash {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for ExampleFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[offset as usize..].iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}
