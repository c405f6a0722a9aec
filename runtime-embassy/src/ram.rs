//! What a storage costs, before it is flashed.

use crate::Resources;
use servicebus_core::storage::{RxOf, Storage, TxOf};

/// Bytes of RAM of a client, on the target that this is compiled for.
///
/// ```
/// use servicebus_embassy::Ram;
///
/// servicebus_core::fixed_storage! {
///     pub type Board { links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024 }
/// }
/// const RAM: Ram = Ram::of::<Board>();
/// const _: () = assert!(RAM.total() <= 32 * 1024, "more than there is");
/// ```
///
/// The futures of calls come on top, and so do TCP's buffers and the records of TLS. A call's future is as large as
/// `size_of_val` says; calls that are awaited one after the other take as much as the largest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ram {
    /// Of the [`Resources`]: the client with its tables, messages and control frames.
    pub client: usize,
    /// Of the frames that are received and sent: a part of the runner's future.
    pub frames: usize,
}

impl Ram {
    /// What storage `S` costs.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_embassy::{Ram, fixed_storage};
    ///
    /// fixed_storage! {
    ///     pub type Sensor { links: 3, deliveries: 4, receive: 512, transmit: 512, message: 512 }
    /// }
    /// fixed_storage! {
    ///     pub type Gateway { links: 8, deliveries: 16, receive: 2048, transmit: 2048, message: 1024, receivers: true }
    /// }
    /// assert!(Ram::of::<Sensor>().client < Ram::of::<Gateway>().client);
    /// ```
    pub const fn of<S: Storage>() -> Self {
        Self { client: size_of::<Resources<S>>(), frames: size_of::<RxOf<S>>() + size_of::<TxOf<S>>() }
    }

    /// Both.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Ram, fixed_storage};
    /// # fixed_storage! { pub type Board { links: 3, deliveries: 4, receive: 512, transmit: 512, message: 512 } }
    /// let ram = Ram::of::<Board>();
    /// assert_eq!(ram.total(), ram.client + ram.frames);
    /// ```
    pub const fn total(self) -> usize {
        self.client + self.frames
    }
}
