//! Rooms: names for the sizes of a storage, by which its containers are chosen.

use super::{Marks, Queue, Slots, Table};

/// Containers of one size. [`Storage`](super::Storage) has them for each room in this module.
pub trait Room<R> {
    /// Entries that keep their places.
    type Table<T>: Table<T>;
    /// Values beside the entries of such a table.
    type Slots<T>: Slots<T>;
    /// Marked entries of such a table.
    type Marks: Marks;
    /// A ring with a place for every entry.
    type Queue: Queue;
}

/// A table of room `R` in storage `S`.
pub type TableOf<S, R, T> = <S as Room<R>>::Table<T>;
/// Values beside the entries of a table of room `R` in storage `S`.
pub type SlotsOf<S, R, T> = <S as Room<R>>::Slots<T>;
/// Marked entries of a table of room `R` in storage `S`.
pub type MarksOf<S, R> = <S as Room<R>>::Marks;
/// A ring of room `R` in storage `S`.
pub type QueueOf<S, R> = <S as Room<R>>::Queue;

/// Every session of the connection.
#[derive(Debug)]
pub enum Sessions {}
/// Every link of the connection.
#[derive(Debug)]
pub enum Links {}
/// Every delivery that waits, is under way or unsettled.
#[derive(Debug)]
pub enum Deliveries {}
/// Every session, link and delivery.
#[derive(Debug)]
pub enum Changes {}
/// Every request that waits for its response.
#[derive(Debug)]
pub enum Requests {}
/// Every lock that is renewed.
#[derive(Debug)]
pub enum Renewals {}
/// Every node that is asked by requests.
#[derive(Debug)]
pub enum Nodes {}
/// Every receiver of a session.
#[derive(Debug)]
pub enum Claims {}
/// One entry that fixed storage has no room for.
#[derive(Debug)]
pub enum Spare {}
