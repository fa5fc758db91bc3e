//! A map of few things, in one piece of memory that is as long as they are.
//!
//! What it is: a sorted vector of pairs. A `BTreeMap` takes room for eleven entries to keep one, and most maps of the folds and of
//! their readers keep one: the partitions of a view, the labels of a row, the rows of an agent's hour. A thousand times a thousand of
//! those were most of the memory. What it is not: a map for very many keys in no order; putting one in front of n others moves n.
//!
//! **Invariant:** keys are ascending, each once; so equal maps are equal in memory, and iterate alike.

use std::borrow::Borrow;

/// A map of few things, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    /// Nothing in it.
    pub const fn new() -> Self {
        Few(Vec::new())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // what is new mostly comes last: the next minute, the next label in order
        match self.0.last() {
            None => Err(0),
            Some((last, _)) if last.borrow() < key => Err(self.0.len()),
            Some(_) => self.0.binary_search_by(|(known, _)| known.borrow().cmp(key)),
        }
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Puts a value in; the one that was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.put(at, key, value);
                None
            }
        }
    }

    fn put(&mut self, at: usize, key: K, value: V) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(1 + self.0.len() / 2); // the first alone: mostly it stays the only one
        }
        self.0.insert(at, (key, value));
    }

    /// The value of a key, to be changed; an empty one when there was none.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = match self.place(&key) {
            Ok(at) => at,
            Err(at) => {
                self.put(at, key, V::default());
                at
            }
        };
        &mut self.0[at].1
    }

    /// Takes a key out; the value that it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the pairs of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// Takes out the pairs of all keys before `key`.
    pub fn forget_before<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let old = self.0.partition_point(|(known, _)| known.borrow() < key);
        if old > 0 {
            self.0.drain(..old);
            self.0.shrink_to(self.0.len() + self.0.len() / 2);
        }
    }

    /// The pairs whose keys are at or after `from`, in order.
    pub fn since<Q: Ord + ?Sized>(&self, from: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let at = self.0.partition_point(|(known, _)| known.borrow() < from);
        self.0[at..].iter().map(|(key, value)| (key, value))
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    /// Of pairs in any order; of one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut few = Few::new();
        for (key, value) in pairs {
            few.insert(key, value);
        }
        few
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Few<K, V> {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K, V> IntoIterator for Few<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a Few<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Deed {
        Put(u8, i32),
        Add(u8, i32),
        Take(u8),
        ForgetBefore(u8),
        KeepEven,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            (any::<u8>(), any::<i32>()).prop_map(|(k, v)| Deed::Put(k % 32, v)),
            (any::<u8>(), any::<i32>()).prop_map(|(k, v)| Deed::Add(k % 32, v)),
            any::<u8>().prop_map(|k| Deed::Take(k % 32)),
            any::<u8>().prop_map(|k| Deed::ForgetBefore(k % 32)),
            Just(Deed::KeepEven),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_map_does(deeds in prop::collection::vec(deed(), 0..60), from in 0u8..32) {
            let (mut few, mut map) = (Few::new(), BTreeMap::new());
            for deed in deeds {
                match deed {
                    Deed::Put(k, v) => prop_assert_eq!(few.insert(k, v), map.insert(k, v)),
                    Deed::Add(k, v) => {
                        for sum in [few.or_default(k), map.entry(k).or_default()] {
                            *sum = i32::wrapping_add(*sum, v);
                        }
                    }
                    Deed::Take(k) => prop_assert_eq!(few.remove(&k), map.remove(&k)),
                    Deed::ForgetBefore(k) => {
                        few.forget_before(&k);
                        map = map.split_off(&k);
                    }
                    Deed::KeepEven => {
                        few.retain(|_, v| *v % 2 == 0);
                        map.retain(|_, v| *v % 2 == 0);
                    }
                }
                prop_assert!(few.iter().eq(map.iter()) && few.len() == map.len());
            }
            prop_assert!(few.since(&from).eq(map.range(from..)));
            prop_assert!((0..32).all(|k| few.get(&k) == map.get(&k) && few.contains_key(&k) == map.contains_key(&k)));
            prop_assert_eq!(few.clone(), map.into_iter().rev().collect::<Few<u8, i32>>());
        }
    }

    #[test]
    fn one_thing_takes_the_room_of_one() {
        let mut few = Few::new();
        few.insert("events.call/0", [0u8; 300]);
        assert_eq!(few.0.capacity(), 1);
    }
}
