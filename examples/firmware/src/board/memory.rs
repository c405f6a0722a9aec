//! What the firmware takes: flash and static RAM by the linker's account, stack by its high-water mark.

use core::cell::Cell;
use core::fmt;
use critical_section::Mutex;

/// Memory of the board that is in no image, so that a reset leaves it as it is.
const KEPT: usize = 0x2100_0000;
/// Its size: 16 MiB.
const KEPT_SIZE: usize = 1 << 24;

/// Fills the stack's unused part; a word that still has it was never used.
const PAINT: u32 = 0x5ab1_e5ac;
/// Left alone below the caller's frame while painting.
const MARGIN: usize = 512;

unsafe extern "C" {
    static mut __sheap: u32;
    static mut _stack_start: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sidata: u32;
}

/// Bytes in use.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Code, constants and the start values of variables.
    pub flash: usize,
    /// Variables.
    pub statics: usize,
    /// The deepest the stack has been.
    pub stack: usize,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flash {} bytes, static RAM {} bytes, stack at most {} bytes", self.flash, self.statics, self.stack)
    }
}

/// Paints what the stack has not used yet: all between the last variable and this call.
pub fn paint_stack() {
    let here = cortex_m::register::msp::read() as usize;
    let mut word = &raw mut __sheap;
    while (word as usize) < here - MARGIN {
        // SAFETY: between the end of the variables and the stack pointer nothing lives: there is no heap.
        unsafe {
            word.write_volatile(PAINT);
            word = word.add(1);
        }
    }
}

/// What is used by now; the stack since [`paint_stack`].
pub fn usage() -> Usage {
    let (top, bottom) = ((&raw const _stack_start) as usize, (&raw const __sheap) as usize);
    let mut word = &raw const __sheap;
    // SAFETY: reads words of RAM between the end of the variables and the start of the stack.
    while (word as usize) < top && unsafe { word.read_volatile() } == PAINT {
        // SAFETY: as above.
        word = unsafe { word.add(1) };
    }
    let initial = (&raw const __edata) as usize - (&raw const __sdata) as usize;
    Usage { flash: (&raw const __sidata) as usize + initial, statics: bottom - 0x2000_0000, stack: top - word as usize }
}

/// So many bytes that a reset keeps, in the place of flash; all zero when QEMU starts.
///
/// # Panics
///
/// When they are taken twice, or when there are not as many.
pub fn kept(length: usize) -> &'static mut [u8] {
    static TAKEN: Mutex<Cell<bool>> = Mutex::new(Cell::new(false));
    let taken = critical_section::with(|section| TAKEN.borrow(section).replace(true));
    assert!(length <= KEPT_SIZE && !taken, "memory that resets keep, once");
    // SAFETY: the board has this memory, the linker does not know it, and it is handed out once.
    unsafe { core::slice::from_raw_parts_mut(KEPT as *mut u8, length) }
}
