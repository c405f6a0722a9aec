//! The links of entities by path, for what concerns all links of one: it is deleted, changed or moved.

use super::work::Work;
use std::collections::BTreeMap;

/// Links by path and number, each with its place.
#[derive(Debug)]
pub(crate) struct Attachments<P> {
    by_path: BTreeMap<(String, u64), P>,
    work: Work,
}

impl<P: Copy> Attachments<P> {
    /// None yet; those that are looked at are counted there.
    pub(crate) fn new(work: Work) -> Self {
        Self { by_path: BTreeMap::new(), work }
    }

    /// Notes a link of this path, under its number.
    pub(crate) fn add(&mut self, path: &str, number: u64, place: P) {
        self.by_path.insert((path.to_owned(), number), place);
    }

    /// Forgets a link.
    pub(crate) fn remove(&mut self, path: &str, number: u64) {
        self.by_path.remove(&(path.to_owned(), number));
    }

    /// The links of an entity and of what lies below it, in the order of their attaches; all of them without a path.
    pub(crate) fn of(&self, path: &str) -> Vec<P> {
        if path.is_empty() {
            return self.by_path.values().copied().collect();
        }
        let own = self.by_path.range((path.to_owned(), 0)..=(path.to_owned(), u64::MAX));
        let prefix = format!("{path}/");
        let below = self.by_path.range((prefix.clone(), 0)..).take_while(|((path, _), _)| path.starts_with(&prefix));
        let mut found: Vec<(u64, P)> = own.chain(below).map(|((_, number), place)| (*number, *place)).collect();
        self.work.add(found.len() as u64);
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_what_covers_their_path() {
        let work = Work::default();
        let mut attachments = Attachments::new(work.clone());
        let paths =
            ["t/subscriptions/a", "t", "t2", "t/subscriptions/a/$deadletterqueue", "t/subscriptions/ab", "t-1", "t"];
        for (number, path) in paths.into_iter().enumerate() {
            attachments.add(path, number as u64, number);
        }
        assert_eq!(attachments.of("t"), [0, 1, 3, 4, 6]);
        assert_eq!(attachments.of("t/subscriptions/a"), [0, 3]);
        assert!(attachments.of("nothing").is_empty());
        assert_eq!(work.done(), 7, "no others were looked at");
        assert_eq!(attachments.of("").len(), 7);
        attachments.remove("t", 1);
        attachments.remove("t", 1);
        assert_eq!(attachments.of("t"), [0, 3, 4, 6]);
    }
}
