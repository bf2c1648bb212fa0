//! Longest-prefix match for both IP versions: one hash table per prefix length in use, tried from the
//! longest, behind a small direct-mapped cache of destinations. The cost of a look-up depends on the
//! number of different lengths, never on the number of prefixes. Prefixes cannot be removed: owners
//! rebuild the table when routes change, which is rare.

use std::net::IpAddr;

use rustc_hash::FxHashMap;

use super::prefix::{Prefix, mask_v4, mask_v6};

/// Values by prefix.
#[derive(Clone, Debug)]
pub struct LpmTable<V> {
    values: Vec<V>,
    v4: Family<u32>,
    v6: Family<u128>,
}

impl<V> Default for LpmTable<V> {
    fn default() -> Self {
        Self { values: Vec::new(), v4: Family::default(), v6: Family::default() }
    }
}

impl<V> LpmTable<V> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of `prefix`; the former value, if there was one, is returned.
    pub fn insert(&mut self, prefix: Prefix, value: V) -> Option<V> {
        let next = self.values.len() as u32;
        let index = match prefix.address() {
            IpAddr::V4(address) => self.v4.insert(address.to_bits(), prefix.len(), next),
            IpAddr::V6(address) => self.v6.insert(address.to_bits(), prefix.len(), next),
        };
        if index == next {
            self.values.push(value);
            return None;
        }
        Some(core::mem::replace(&mut self.values[index as usize], value))
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Number of prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of the longest prefix that contains `address`.
    #[inline]
    pub fn lookup(&mut self, address: IpAddr) -> Option<&V> {
        let index = match address {
            IpAddr::V4(address) => self.v4.cached(address.to_bits()),
            IpAddr::V6(address) => self.v6.cached(address.to_bits()),
        };
        self.values.get(index as usize)
    }

    /// As [`LpmTable::lookup`], without touching the cache.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<&V> {
        let index = match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        };
        self.values.get(index as usize)
    }

    /// The value of exactly `prefix`.
    #[must_use]
    pub fn get(&self, prefix: Prefix) -> Option<&V> {
        let index = match prefix.address() {
            IpAddr::V4(address) => self.v4.get(address.to_bits(), prefix.len()),
            IpAddr::V6(address) => self.v6.get(address.to_bits(), prefix.len()),
        };
        self.values.get(index? as usize)
    }
}

/// Index that is in no table: nothing found.
const NONE: u32 = u32::MAX;
/// A cache slot without content.
const VACANT: u32 = u32::MAX - 1;
/// Slots of the cache, a power of two.
const SLOTS: usize = 64;

trait Key: Copy + Eq + core::hash::Hash + Default {
    fn masked(self, len: u8) -> Self;
    /// Well-mixed upper bits.
    fn spread(self) -> u64;
}

impl Key for u32 {
    #[inline]
    fn masked(self, len: u8) -> Self {
        self & mask_v4(len)
    }

    #[inline]
    fn spread(self) -> u64 {
        u64::from(self).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Key for u128 {
    #[inline]
    fn masked(self, len: u8) -> Self {
        self & mask_v6(len)
    }

    #[inline]
    fn spread(self) -> u64 {
        (((self >> 64) as u64).rotate_left(29) ^ self as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, Debug, Default)]
struct Family<K> {
    /// Longest first.
    lengths: Vec<(u8, FxHashMap<K, u32>)>,
    /// Empty until the first look-up.
    cache: Vec<(K, u32)>,
}

impl<K: Key> Family<K> {
    /// The index under which the prefix already was, or `index`.
    fn insert(&mut self, key: K, len: u8, index: u32) -> u32 {
        self.cache.clear();
        let position = self.lengths.partition_point(|&(other, _)| other > len);
        if self.lengths.get(position).is_none_or(|&(other, _)| other != len) {
            self.lengths.insert(position, (len, FxHashMap::default()));
        }
        *self.lengths[position].1.entry(key).or_insert(index)
    }

    fn get(&self, key: K, len: u8) -> Option<u32> {
        let (_, prefixes) = self.lengths.iter().find(|&&(other, _)| other == len)?;
        prefixes.get(&key).copied()
    }

    fn find(&self, key: K) -> u32 {
        self.lengths
            .iter()
            .find_map(|(len, prefixes)| prefixes.get(&key.masked(*len)))
            .copied()
            .unwrap_or(NONE)
    }

    #[inline]
    fn cached(&mut self, key: K) -> u32 {
        let slot = (key.spread() >> (64 - SLOTS.ilog2())) as usize;
        match self.cache.get(slot) {
            Some(&(cached, index)) if cached == key && index != VACANT => index,
            _ => self.fill(slot, key),
        }
    }

    #[cold]
    fn fill(&mut self, slot: usize, key: K) -> u32 {
        if self.cache.is_empty() {
            self.cache.resize(SLOTS, (K::default(), VACANT));
        }
        let index = self.find(key);
        self.cache[slot] = (key, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Addresses that share their leading bits, so that prefixes nest.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (any::<u32>(), 0..32u32)
                .prop_map(|(bits, keep)| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (bits >> keep)))),
            (any::<u128>(), 0..128u32)
                .prop_map(|(bits, keep)| IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | (bits >> keep)))),
        ]
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        (address(), 0..=128u8).prop_map(|(address, len)| {
            let len = if address.is_ipv4() { len % 33 } else { len };
            Prefix::containing(address, len).expect("the length is in range")
        })
    }

    proptest! {
        // NET-07
        #[test]
        fn look_up_agrees_with_a_scan_of_all_prefixes(
            prefixes in prop::collection::vec(prefix(), 0..60),
            addresses in prop::collection::vec(address(), 1..100),
        ) {
            let mut table = LpmTable::new();
            for (value, prefix) in prefixes.iter().enumerate() {
                table.insert(*prefix, value);
            }
            let members = prefixes.iter().map(Prefix::address);
            for address in addresses.iter().copied().chain(members) {
                let scanned = prefixes
                    .iter()
                    .enumerate()
                    .filter(|(_, prefix)| prefix.contains(address))
                    .max_by_key(|(value, prefix)| (prefix.len(), *value))
                    .map(|(value, _)| value);
                prop_assert_eq!(table.find(address).copied(), scanned);
                prop_assert_eq!(table.lookup(address).copied(), scanned, "first");
                prop_assert_eq!(table.lookup(address).copied(), scanned, "from the cache");
            }
        }
    }

    #[test]
    fn an_insertion_is_seen_by_destinations_in_the_cache() {
        let address = "10.0.0.1".parse().unwrap();
        let mut table = LpmTable::new();
        assert_eq!(table.lookup(address), None);
        assert_eq!(table.insert("10.0.0.0/8".parse().unwrap(), 8), None);
        assert_eq!(table.lookup(address), Some(&8));
        assert_eq!(table.insert("10.0.0.0/24".parse().unwrap(), 24), None);
        assert_eq!(table.lookup(address), Some(&24));
        assert_eq!(table.insert("10.0.0.0/24".parse().unwrap(), 25), Some(24));
        assert_eq!(table.lookup(address), Some(&25));
        assert_eq!(table.get("10.0.0.0/8".parse().unwrap()), Some(&8));
        assert_eq!(table.get("10.0.0.0/9".parse().unwrap()), None);
        assert_eq!(table.len(), 2);
        table.clear();
        assert_eq!(table.lookup(address), None);
    }

    #[test]
    fn the_zero_address_is_not_mistaken_for_an_unused_cache_slot() {
        let mut table = LpmTable::new();
        table.insert(Prefix::DEFAULT_V4, 1);
        assert_eq!(table.lookup("255.0.0.1".parse().unwrap()), Some(&1));
        assert_eq!(table.lookup(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(&1));
    }
}
