//! A model of the broker: what it may do, written from the documents and sharing no code with it. [`driver`] alone knows
//! the broker, and holds it against the model.
//!
//! The model is slow and plain: lists that are searched from the start. It does not choose among legal outcomes: it is
//! given the observed outcome, objects where no document allows it, and otherwise follows it. Where the broker is known
//! to be wrong, [`known::KNOWN`] lists the tolerated behaviour; the rules themselves state the right one.
//!
//! A rule cites its evidence by the paper's path and a row: the first cell of a table's row, a section (`§8`), or for
//! `mutations.md` words of the row in quotation marks. A test follows each.

pub mod driver;
pub mod entities;
pub mod known;
pub mod messages;
pub mod peeking;
pub mod random;
pub mod receiving;
pub mod rules;
pub mod sending;
pub mod sessions;
pub mod settlement;
pub mod shrinking;
pub mod steps;
pub mod timers;
pub mod transactions;

use entities::{Entity, Place, Settings, Store, Sub, Topic};
use known::Row;
use receiving::Link;
use std::collections::{BTreeMap, BTreeSet};
use transactions::Transaction;

/// Milliseconds since the world began.
pub type Time = u64;
/// A lock token.
pub type Token = [u8; 16];

/// The answer to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Carried out, or accepted into a transaction.
    Done,
    /// Refused with one of these conditions.
    Refused(&'static [&'static str]),
}

impl Answer {
    /// Objects unless the observed condition of refusal, or its absence, is this answer.
    ///
    /// # Errors
    /// A description of the difference.
    pub fn check(&self, what: &str, observed: Option<&str>) -> Result<(), String> {
        let right = match (self, observed) {
            (Self::Done, None) => true,
            (Self::Refused(conditions), Some(condition)) => conditions.contains(&condition),
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("{what}: expected {self:?}, observed {observed:?}")) }
    }
}

/// A rule that a test makes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A message is moved one delivery after its maximum.
    OneDeliveryMore,
}

/// The model of a namespace and the links to it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The broker's monotonic clock.
    pub now: Time,
    /// The broker's UTC, which may jump.
    pub utc: Time,
    /// Queues and subscriptions by path.
    pub entities: BTreeMap<String, Entity>,
    /// Topics by path.
    pub topics: BTreeMap<String, Topic>,
    /// Links by the caller's number.
    pub links: BTreeMap<usize, Link>,
    /// Transactions by the caller's number.
    pub transactions: BTreeMap<usize, Transaction>,
    /// Links that the model has ended and that the broker must have ended too, with legal conditions.
    pub ended: Vec<(usize, &'static [&'static str])>,
    /// Counts moments: events of one moment have no order.
    pub moment: i64,
    /// A rule made wrong on purpose.
    pub plant: Option<Plant>,
    tolerated: BTreeSet<Row>,
}

impl Model {
    /// A model of an empty namespace that tolerates the differences of these rows.
    pub fn new(tolerated: impl IntoIterator<Item = Row>) -> Self {
        Self { tolerated: tolerated.into_iter().collect(), ..Self::default() }
    }

    /// Whether the known wrong behaviour of a row is expected instead of the right one.
    pub fn tolerates(&self, row: Row) -> bool {
        debug_assert!(known::KNOWN.iter().any(|known| known.row == row), "{row} is not in the list");
        self.tolerated.contains(row)
    }

    /// Creates a queue or subscription, or replaces one that was deleted.
    pub fn create(&mut self, path: &str, settings: Settings) {
        self.entities.insert(path.to_owned(), Entity::new(settings));
    }

    /// Ends the links to an entity, its sub-queues included: an update does so
    /// (docs/evidence/pinned-behaviour.md CRD14), and so does deletion.
    pub fn detach_all(&mut self, path: &str) {
        let links: Vec<usize> =
            self.links.iter().filter(|(_, link)| link.place.entity == path).map(|(number, _)| *number).collect();
        for link in links {
            self.close(link);
            self.ended.push((link, &[]));
        }
    }

    /// Deletes a queue with all that it holds.
    pub fn delete(&mut self, path: &str) {
        self.detach_all(path);
        self.entities.remove(path);
    }

    /// The settings of the entity that a place belongs to.
    pub fn settings(&self, place: &Place) -> &Settings {
        &self.entities[&place.entity].settings
    }

    /// The store at a place.
    pub fn store(&self, place: &Place) -> &Store {
        self.entities[&place.entity].store(place.sub)
    }

    /// The store at a place.
    pub fn store_mut(&mut self, place: &Place) -> &mut Store {
        self.entities.get_mut(&place.entity).expect("the entity exists").store_mut(place.sub)
    }

    /// All places that hold messages.
    pub fn places(&self) -> Vec<Place> {
        let all = [Sub::Main, Sub::Dead, Sub::Transfer];
        let place = |entity: &String, sub| Place { entity: entity.clone(), sub };
        self.entities.keys().flat_map(|entity| all.map(|sub| place(entity, sub))).collect()
    }

    /// The form in which a session id is compared: ids are not case-sensitive (docs/evidence/field-reports.md F67).
    pub fn session_key(&self, id: &str) -> String {
        id.to_lowercase()
    }
}
