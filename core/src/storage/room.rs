//! Rooms: names for the sizes of a storage, by which its containers are chosen.

use super::{Buffer, Marks, Table};

/// Containers of one size. [`Storage`](super::Storage) has them for each room in this module.
pub trait Room<R> {
    /// Entries that keep their places.
    type Table<T>: Table<T>;
    /// Values beside the places of such a table.
    type Slots<T: Default>: AsRef<[T]> + AsMut<[T]> + Default;
    /// Marked entries of such a table.
    type Marks: Marks;
    /// A buffer of so many bytes.
    type Buffer: Buffer;

    /// Makes room for `len` slots, where slots can grow.
    fn grow<T: Default>(slots: &mut Self::Slots<T>, len: usize);
}

/// A table of room `R` in storage `S`.
pub type TableOf<S, R, T> = <S as Room<R>>::Table<T>;
/// Marked entries of a table of room `R` in storage `S`.
pub type MarksOf<S, R> = <S as Room<R>>::Marks;

/// A buffer of room `R` in storage `S`.
pub type BufferOf<S, R> = <S as Room<R>>::Buffer;
/// The receive buffer of storage `S`.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Buffer, Heap, RxOf, Storage};
///
/// let received: RxOf<Heap> = Heap::rx(65_536);
/// assert!(received.filled().is_empty());
/// ```
pub type RxOf<S> = BufferOf<S, Receive>;
/// The transmit buffer of storage `S`.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Buffer, Heap, Storage, TxOf};
///
/// let to_send: TxOf<Heap> = Heap::tx(65_536);
/// assert!(to_send.filled().is_empty());
/// ```
pub type TxOf<S> = BufferOf<S, Transmit>;

/// Every session of the connection.
#[derive(Debug)]
pub enum Sessions {}
/// Every link of the connection.
#[derive(Debug)]
pub enum Links {}
/// Every link of the connection, where messages are fetched ahead.
#[derive(Debug)]
pub enum Prefetching {}
/// Every delivery that waits, is under way or unsettled.
#[derive(Debug)]
pub enum Deliveries {}
/// Every message that the application has taken and not settled.
#[derive(Debug)]
pub enum Held {}
/// Every request that waits for its response.
#[derive(Debug)]
pub enum Requests {}
/// Every lock that is renewed.
#[derive(Debug)]
pub enum Renewals {}
/// Every node that requests go to: `$cbs` and `<entity>/$management`.
#[derive(Debug)]
pub enum Nodes {}
/// Every receiver of a session.
#[derive(Debug)]
pub enum SessionReceivers {}
/// One entry that fixed storage has no room for.
#[derive(Debug)]
pub enum Spare {}
/// The bytes of the largest frame that is received.
#[derive(Debug)]
pub enum Receive {}
/// The bytes of the largest frame that is sent.
#[derive(Debug)]
pub enum Transmit {}
/// The bytes of control frames that wait to be sent.
#[derive(Debug)]
pub enum Outbox {}
