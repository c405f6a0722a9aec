//! A driver for the SMSC LAN9118 Ethernet controller, polled through its FIFOs (no DMA).
//!
//! The controller keeps received frames in one FIFO and their lengths in another, and takes frames to be sent behind
//! two command words. Register numbers and bits are those of the data sheet "LAN9118" (chapters 3.12 and 5).

use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;

/// The largest frame without its check sequence.
const FRAME: usize = 1514;
/// Words that hold the largest frame.
const FRAME_WORDS: usize = FRAME.div_ceil(4) + 1;
/// Bytes of the transmit FIFO that a frame takes at most, command words and padding included.
const TRANSMIT_ROOM: u32 = 1536;

const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5c;
const BYTE_TEST: usize = 0x64;
const FIFO_INT: usize = 0x68;
const TX_CFG: usize = 0x70;
const HW_CFG: usize = 0x74;
const RX_DP_CTRL: usize = 0x78;
const RX_FIFO_INF: usize = 0x7c;
const TX_FIFO_INF: usize = 0x80;
const MAC_CSR_CMD: usize = 0xa4;
const MAC_CSR_DATA: usize = 0xa8;

/// Enabled, active high, push-pull.
const IRQ_ON: u32 = 1 << 8 | 1 << 4 | 1;
/// Interrupt: a frame has arrived.
const RECEIVED: u32 = 1 << 3;
/// Interrupt: the transmit FIFO has room.
const ROOM: u32 = 1 << 9;
/// MAC registers.
const MAC_CR: u32 = 1;
const ADDRESS_HIGH: u32 = 2;
const ADDRESS_LOW: u32 = 3;
/// Full duplex, transmitter on, receiver on.
const MAC_ON: u32 = 1 << 20 | 1 << 3 | 1 << 2;

static WAKER: AtomicWaker = AtomicWaker::new();

#[derive(Clone, Copy, Debug)]
struct Registers(usize);

impl Registers {
    fn read(self, register: usize) -> u32 {
        // SAFETY: `Lan9118::new` was promised the controller's registers at this address.
        unsafe { ((self.0 + register) as *const u32).read_volatile() }
    }

    fn write(self, register: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { ((self.0 + register) as *mut u32).write_volatile(value) }
    }

    fn write_mac(self, register: u32, value: u32) {
        self.write(MAC_CSR_DATA, value);
        self.write(MAC_CSR_CMD, 1 << 31 | register);
        while self.read(MAC_CSR_CMD) & 1 << 31 != 0 {}
    }

    fn has_frame(self) -> bool {
        self.read(RX_FIFO_INF) >> 16 & 0xff != 0
    }

    fn has_room(self) -> bool {
        // Statuses of sent frames are taken out, else the controller stops when their FIFO is full.
        for _ in 0..self.read(TX_FIFO_INF) >> 16 & 0xff {
            self.read(TX_STATUS);
        }
        self.read(TX_FIFO_INF) & 0xffff >= TRANSMIT_ROOM
    }

    fn enable(self, interrupt: u32) {
        critical_section::with(|_| self.write(INT_EN, self.read(INT_EN) | interrupt));
    }

    /// Arms `interrupt` for the task of `cx`; the caller looks again afterwards, for what came in between.
    fn wait(self, cx: &Context<'_>, interrupt: u32) {
        WAKER.register(cx.waker());
        self.write(INT_STS, interrupt);
        self.enable(interrupt);
    }
}

/// The interrupt handler: masks what has fired and wakes the network's task.
pub(super) fn interrupt(base: usize) {
    let registers = Registers(base);
    let fired = registers.read(INT_STS) & registers.read(INT_EN);
    registers.write(INT_EN, registers.read(INT_EN) & !fired);
    WAKER.wake();
}

/// The controller.
#[derive(Debug)]
pub struct Lan9118 {
    registers: Registers,
    address: [u8; 6],
}

impl Lan9118 {
    /// Resets and starts the controller at `base`. `None` when no LAN9118 answers there.
    ///
    /// # Safety
    ///
    /// `base` is the address of the controller's registers, and nothing else uses them.
    pub unsafe fn new(base: usize, address: [u8; 6]) -> Option<Self> {
        let registers = Registers(base);
        if registers.read(BYTE_TEST) != 0x8765_4321 {
            return None;
        }
        registers.write(HW_CFG, 1);
        while registers.read(HW_CFG) & 1 != 0 {}
        // The transmit FIFO gets 5 KiB of 16; bit 20 must be one.
        registers.write(HW_CFG, 1 << 20 | 5 << 16);
        // Room means 1 536 bytes in the transmit FIFO (units of 64); one received frame is enough to interrupt.
        registers.write(FIFO_INT, (TRANSMIT_ROOM / 64) << 24);
        registers.write(INT_EN, 0);
        registers.write(INT_STS, u32::MAX);
        registers.write(IRQ_CFG, IRQ_ON);
        let [a, b, c, d, e, f] = address;
        registers.write_mac(ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        registers.write_mac(ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]));
        registers.write_mac(MAC_CR, MAC_ON);
        registers.write(TX_CFG, 1 << 1);
        Some(Self { registers, address })
    }
}

impl Driver for Lan9118 {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(RxToken, TxToken)> {
        if !self.registers.has_frame() {
            self.registers.wait(cx, RECEIVED);
            if !self.registers.has_frame() {
                return None;
            }
        }
        let transmit = self.transmit(cx)?;
        Some((RxToken { registers: self.registers }, transmit))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<TxToken> {
        if !self.registers.has_room() {
            self.registers.wait(cx, ROOM);
            if !self.registers.has_room() {
                return None;
            }
        }
        Some(TxToken { registers: self.registers })
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        // A limit here would clamp TCP's window to as many segments.
        capabilities.max_burst_size = None;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame that waits in the FIFO.
#[derive(Debug)]
pub struct RxToken {
    registers: Registers,
}

impl embassy_net_driver::RxToken for RxToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let status = self.registers.read(RX_STATUS);
        let length = (status >> 16 & 0x3fff) as usize;
        let words = length.div_ceil(4);
        let mut frame = [0u8; FRAME_WORDS * 4];
        // The check sequence, 4 bytes at the end, is not the network's.
        let kept = length.saturating_sub(4);
        if status & 1 << 15 != 0 || kept > FRAME {
            // Damaged or too long: the controller skips it, the network sees an empty frame and drops it.
            if words >= 4 {
                self.registers.write(RX_DP_CTRL, 1 << 31);
                while self.registers.read(RX_DP_CTRL) & 1 << 31 != 0 {}
            } else {
                (0..words).for_each(|_| _ = self.registers.read(RX_DATA));
            }
            return f(&mut []);
        }
        for word in frame.chunks_exact_mut(4).take(words) {
            word.copy_from_slice(&self.registers.read(RX_DATA).to_le_bytes());
        }
        f(frame.get_mut(..kept).unwrap_or_default())
    }
}

/// Room for one frame in the transmit FIFO.
#[derive(Debug)]
pub struct TxToken {
    registers: Registers,
}

impl embassy_net_driver::TxToken for TxToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = [0u8; FRAME_WORDS * 4];
        let length = length.min(FRAME);
        let result = f(frame.get_mut(..length).unwrap_or_default());
        // First and last segment, `length` bytes, no offset.
        self.registers.write(TX_DATA, 1 << 13 | 1 << 12 | length as u32);
        self.registers.write(TX_DATA, length as u32);
        for word in frame.chunks_exact(4).take(length.div_ceil(4)) {
            self.registers.write(TX_DATA, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        }
        result
    }
}
