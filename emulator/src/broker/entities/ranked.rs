//! An ordered set whose members are found by their rank: pages of a long list cost what is on them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A subtree.
type Tree<K> = Option<Box<Node<K>>>;

#[derive(Debug)]
struct Node<K> {
    key: K,
    /// That of a node is above those of the nodes below it. They are random, so that no order of insertions makes the tree
    /// deep.
    priority: u64,
    /// Nodes in the subtree.
    size: usize,
    left: Tree<K>,
    right: Tree<K>,
}

/// The set: a treap.
#[derive(Debug)]
pub(super) struct Ranked<K> {
    root: Tree<K>,
    /// Where priorities come from: of no influence on what the set holds, and on its order.
    priorities: RandomState,
    inserted: u64,
}

impl<K> Default for Ranked<K> {
    fn default() -> Self {
        Self { root: None, priorities: RandomState::new(), inserted: 0 }
    }
}

fn size<K>(tree: &Tree<K>) -> usize {
    tree.as_ref().map_or(0, |node| node.size)
}

impl<K> Node<K> {
    fn count(&mut self) {
        self.size = 1 + size(&self.left) + size(&self.right);
    }
}

/// Splits a tree into the keys below this one, and the others.
fn split<K: Ord>(tree: Tree<K>, key: &K) -> (Tree<K>, Tree<K>) {
    let Some(mut node) = tree else { return (None, None) };
    if node.key < *key {
        let (left, right) = split(node.right.take(), key);
        node.right = left;
        node.count();
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), key);
        node.left = right;
        node.count();
        (left, Some(node))
    }
}

/// Joins two trees, the keys of the first of which are below those of the other.
fn join<K>(left: Tree<K>, right: Tree<K>) -> Tree<K> {
    match (left, right) {
        (Some(mut one), Some(other)) if one.priority >= other.priority => {
            one.right = join(one.right.take(), Some(other));
            one.count();
            Some(one)
        }
        (Some(one), Some(mut other)) => {
            other.left = join(Some(one), other.left.take());
            other.count();
            Some(other)
        }
        (one, other) => one.or(other),
    }
}

fn remove<K: Ord>(tree: &mut Tree<K>, key: &K) -> bool {
    let Some(node) = tree else { return false };
    let removed = match key.cmp(&node.key) {
        core::cmp::Ordering::Less => remove(&mut node.left, key),
        core::cmp::Ordering::Greater => remove(&mut node.right, key),
        core::cmp::Ordering::Equal => {
            *tree = join(node.left.take(), node.right.take());
            return true;
        }
    };
    node.count();
    removed
}

impl<K: Ord> Ranked<K> {
    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: K) {
        self.inserted += 1;
        let priority = self.priorities.hash_one(self.inserted);
        let (left, right) = split(self.root.take(), &key);
        let node = Node { key, priority, size: 1, left: None, right: None };
        self.root = join(join(left, Some(Box::new(node))), right);
    }

    pub(super) fn remove(&mut self, key: &K) {
        remove(&mut self.root, key);
    }

    /// How many keys are below this one.
    pub(super) fn count_below(&self, key: &K) -> usize {
        let (mut tree, mut count) = (&self.root, 0);
        while let Some(node) = tree {
            if node.key < *key {
                count += 1 + size(&node.left);
                tree = &node.right;
            } else {
                tree = &node.left;
            }
        }
        count
    }

    /// The key with so many below it.
    pub(super) fn at(&self, mut rank: usize) -> Option<&K> {
        let mut tree = &self.root;
        while let Some(node) = tree {
            let below = size(&node.left);
            if rank == below {
                return Some(&node.key);
            }
            if rank < below {
                tree = &node.left;
            } else {
                rank -= below + 1;
                tree = &node.right;
            }
        }
        None
    }

    /// Its keys, to be let go one by one.
    pub(super) fn into_entries(mut self) -> impl Iterator<Item = ()> + Send
    where
        K: Send,
    {
        let mut waiting: Vec<Box<Node<K>>> = self.root.take().into_iter().collect();
        core::iter::from_fn(move || {
            let mut node = waiting.pop()?;
            waiting.extend(node.left.take());
            waiting.extend(node.right.take());
            Some(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicebus_core::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_found_by_rank() {
        let mut random = Random::seeded(5);
        let (mut ranked, mut set) = (Ranked::default(), BTreeSet::new());
        for _ in 0..4_000 {
            let key = random.below(500);
            if set.contains(&key) && random.below(2) == 0 {
                set.remove(&key);
                ranked.remove(&key);
            } else if set.insert(key) {
                ranked.insert(key);
            }
            ranked.remove(&1_000);
            let key = random.below(500);
            assert_eq!(ranked.count_below(&key), set.range(..key).count());
        }
        let listed: Vec<u64> = (0..).map_while(|rank| ranked.at(rank).copied()).collect();
        assert!(listed.len() > 100 && listed.iter().eq(&set));
        assert_eq!(ranked.into_entries().count(), set.len());
    }

    #[test]
    fn the_tree_is_shallow_whatever_the_order() {
        fn depth<K>(tree: &Tree<K>) -> usize {
            tree.as_ref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        let mut ranked = Ranked::default();
        for key in 0..20_000 {
            ranked.insert(key);
        }
        assert!(depth(&ranked.root) < 80, "{}", depth(&ranked.root));
        for key in 0..19_990 {
            ranked.remove(&key);
        }
        assert_eq!((ranked.at(0), ranked.at(9), ranked.at(10)), (Some(&19_990), Some(&19_999), None));
    }
}
