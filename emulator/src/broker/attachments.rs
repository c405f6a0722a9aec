//! The links of entities by path, for what concerns all links of one: it is deleted, changed or moved.

use super::work::Work;
use core::ops::Bound;
use std::collections::BTreeMap;

/// The path and number of a link.
pub(crate) type Attachment = (String, u64);

/// Links by path and number, each with its place.
#[derive(Debug)]
pub(crate) struct Attachments<P> {
    by_path: BTreeMap<Attachment, P>,
    work: Work,
}

impl<P: Copy> Attachments<P> {
    /// None yet; those that are looked at are counted there.
    pub(crate) fn new(work: Work) -> Self {
        Self { by_path: BTreeMap::new(), work }
    }

    /// From now on those that are looked at are counted there.
    pub(crate) fn count_in(&mut self, work: Work) {
        self.work = work;
    }

    /// Notes a link of this path, under its number.
    pub(crate) fn add(&mut self, path: &str, number: u64, place: P) {
        self.by_path.insert((path.to_owned(), number), place);
    }

    /// Forgets a link.
    pub(crate) fn remove(&mut self, path: &str, number: u64) {
        self.by_path.remove(&(path.to_owned(), number));
    }

    /// The first link of an entity or of what lies below it behind this one, by path and number; without a path the first
    /// of all.
    pub(crate) fn next(&self, path: &str, after: Option<&Attachment>) -> Option<(Attachment, P)> {
        self.work.add(1);
        let found = |from: Bound<&Attachment>| {
            let next = self.by_path.range((from, Bound::Unbounded)).next()?;
            Some((next.0.clone(), *next.1))
        };
        if path.is_empty() {
            return found(after.map_or(Bound::Unbounded, Bound::Excluded));
        }
        let own = (path.to_owned(), 0);
        // Others stand between an entity and what lies below it.
        let below = (format!("{path}/"), 0);
        if after.is_none_or(|after| after.0 == path) {
            let next = found(after.map_or(Bound::Included(&own), Bound::Excluded));
            if let Some(next) = next.filter(|((of, _), _)| of == path) {
                return Some(next);
            }
        }
        let from = after.filter(|after| **after >= below).map_or(Bound::Included(&below), Bound::Excluded);
        found(from).filter(|((of, _), _)| of.starts_with(&below.0))
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
        let of = |attachments: &Attachments<usize>, path: &str| {
            let (mut found, mut after) = (Vec::new(), None);
            while let Some((next, place)) = attachments.next(path, after.as_ref()) {
                found.push(place);
                after = Some(next);
            }
            found
        };
        assert_eq!(of(&attachments, "t"), [1, 6, 0, 3, 4]);
        assert_eq!(work.done(), 6, "no others were looked at");
        assert_eq!(of(&attachments, "t/subscriptions/a"), [0, 3]);
        assert!(of(&attachments, "nothing").is_empty());
        assert_eq!(of(&attachments, "").len(), 7);
        attachments.remove("t", 1);
        attachments.remove("t", 1);
        assert_eq!(of(&attachments, "t"), [6, 0, 3, 4]);
    }
}
