//! Counting of few distinct values among many.

use std::collections::BTreeMap;

/// Counts by value. The ranking is by count, then by which value came first.
#[derive(Clone, Debug)]
pub(super) struct Tally<K> {
    counts: BTreeMap<K, (u64, usize)>,
}

impl<K: Ord> Tally<K> {
    pub(super) const fn new() -> Self {
        Self { counts: BTreeMap::new() }
    }

    /// Counts `key`; only a key never seen is copied.
    pub(super) fn add<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if let Some((count, _)) = self.counts.get_mut(key) {
            *count += 1;
        } else {
            let order = self.counts.len();
            self.counts.insert(key.to_owned(), (1, order));
        }
    }

    /// The `limit` most frequent values, most frequent first.
    pub(super) fn ranking(&self, limit: usize) -> Vec<(&K, u64)> {
        let mut ranked: Vec<_> = self.counts.iter().collect();
        ranked.sort_by_key(|&(_, &(count, order))| (std::cmp::Reverse(count), order));
        ranked.into_iter().take(limit).map(|(key, &(count, _))| (key, count)).collect()
    }
}
