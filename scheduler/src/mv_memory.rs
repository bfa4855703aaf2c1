//! `MVMemory`: what every transaction wrote, by location and transaction index.
//!
//! ```text
//!  location a │ 2: Written(v2.0)   5: Estimate   9: Written(v9.1)
//!  location b │ 5: Estimate
//! ```
//!
//! A reader at index 7 looks for the highest entry below 7: at `a` it meets the estimate of 5 and is blocked, at `c`
//! there is nothing and it reads its pre-state. Locations are told apart by full comparison of their keys; the hash,
//! keyed at random, only says where to look. Each location keeps its entries in one vector sorted by index, which is
//! short for all but the hottest.
//!
//! # Invariants
//!
//! - **M1.** A read sees the highest lower transaction that has an entry, and never the reader's own.
//! - **M2.** After `apply`, a transaction has exactly the entries of its last run, all of them written.
//! - **M3.** An estimate stands only where the last run of its transaction wrote.
//!
//! The tests below check them against a plain map.

use core::{fmt::Debug, hash::BuildHasher, hash::Hash};

use crossbeam_utils::CachePadded;
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use crate::{
    sync::RwLock,
    version::{Incarnation, Origin, TxIndex, Version},
};

/// How many parts the memory is cut into, so that writers of different locations seldom meet.
const SHARDS: usize = 64;

/// What every transaction wrote, by location and transaction index.
#[derive(Debug)]
pub(crate) struct MvMemory<K, V> {
    /// Picks the place of a key; keyed at random, so that nobody can choose keys that share one.
    hasher: DefaultHashBuilder,
    /// The locations, by a part of their hash.
    shards: Box<[CachePadded<RwLock<Shard<K, V>>>]>,
}

/// The locations of one shard.
type Shard<K, V> = HashTable<Location<K, V>>;

/// One location and what was written to it.
#[derive(Debug)]
struct Location<K, V> {
    /// The name of the location, compared in full.
    key: K,
    /// What each transaction wrote here, by ascending index.
    entries: Vec<(TxIndex, Cell<V>)>,
}

/// What one transaction left at one location.
#[derive(Debug)]
enum Cell<V> {
    /// The value its last run wrote.
    Written(Incarnation, V),
    /// Its last run is void; the next one will likely write here again.
    Estimate,
}

/// What a read meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// A lower transaction wrote this.
    Value(Version, V),
    /// No lower transaction wrote here.
    PreState,
    /// This lower transaction was aborted and will likely write here again.
    Estimate(TxIndex),
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> MvMemory<K, V> {
    /// A memory in which nobody has written.
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| CachePadded::new(RwLock::new(HashTable::new()))).collect();
        Self { hasher: DefaultHashBuilder::default(), shards }
    }

    /// What transaction `reader` sees at `key`.
    pub(crate) fn read(&self, key: &K, reader: TxIndex) -> Found<V> {
        self.below(key, reader, |entry| match entry {
            None => Found::PreState,
            Some((tx, Cell::Written(incarnation, value))) => {
                Found::Value(Version { tx: *tx, incarnation: *incarnation }, value.clone())
            }
            Some((tx, Cell::Estimate)) => Found::Estimate(*tx),
        })
    }

    /// Whether transaction `reader` would see the same again: the same version, or another with an equal value.
    pub(crate) fn still_holds(&self, key: &K, reader: TxIndex, origin: Origin, value: Option<&V>) -> bool {
        self.below(key, reader, |entry| match (entry, origin) {
            (None, Origin::PreState) => true,
            (Some((tx, Cell::Written(incarnation, now))), Origin::Version(seen)) => {
                (seen.tx, seen.incarnation) == (*tx, *incarnation) || Some(now) == value
            }
            (Some(_), Origin::PreState) | (None | Some((_, Cell::Estimate)), Origin::Version(_)) => false,
        })
    }

    /// Makes `writes` the only entries of this run's transaction and returns where they are, and whether one of them
    /// is where no earlier run of it had written. `estimates` is where the earlier runs had.
    pub(crate) fn apply(&self, version: Version, writes: Vec<(K, V)>, estimates: &[K]) -> (Vec<K>, bool) {
        let mut somewhere_else = false;
        let written = writes
            .into_iter()
            .map(|(key, value)| {
                somewhere_else |= self.write(&key, version, value);
                key
            })
            .collect();
        for key in estimates {
            self.remove_estimate(key, version.tx);
        }
        (written, somewhere_else)
    }

    /// Turns what this run wrote at `keys` into estimates.
    pub(crate) fn mark_estimates(&self, version: Version, keys: &[K]) {
        for key in keys {
            let hash = self.hasher.hash_one(key);
            let mut shard = self.shard(hash).write();
            let Some(location) = shard.find_mut(hash, |location| location.key == *key) else { continue };
            if let Ok(place) = location.place(version.tx) {
                location.entries[place].1 = Cell::Estimate;
            }
        }
    }

    /// Shows `look` the highest entry at `key` below `reader`.
    fn below<R>(&self, key: &K, reader: TxIndex, look: impl FnOnce(Option<&(TxIndex, Cell<V>)>) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash).read();
        let entry = shard.find(hash, |location| location.key == *key).and_then(|location| {
            // INVARIANT M1: `place` counts the entries below the reader, whether or not it has one itself.
            let (Ok(place) | Err(place)) = location.place(reader);
            location.entries[..place].last()
        });
        look(entry)
    }

    /// Sets one entry; true if the transaction had none here.
    fn write(&self, key: &K, version: Version, value: V) -> bool {
        let hash = self.hasher.hash_one(key);
        let cell = Cell::Written(version.incarnation, value);
        let mut shard = self.shard(hash).write();
        match shard.entry(
            hash,
            |location| location.key == *key,
            |location| self.hasher.hash_one(&location.key),
        ) {
            Entry::Vacant(vacant) => {
                vacant.insert(Location { key: key.clone(), entries: vec![(version.tx, cell)] });
                true
            }
            Entry::Occupied(mut occupied) => {
                let location = occupied.get_mut();
                match location.place(version.tx) {
                    Ok(place) => {
                        location.entries[place].1 = cell;
                        false
                    }
                    Err(place) => {
                        location.entries.insert(place, (version.tx, cell));
                        true
                    }
                }
            }
        }
    }

    /// Removes the entry of `tx` at `key` if it is still an estimate, that is, if the last run did not write here.
    fn remove_estimate(&self, key: &K, tx: TxIndex) {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).write();
        let Some(location) = shard.find_mut(hash, |location| location.key == *key) else { return };
        if let Ok(place) = location.place(tx)
            && matches!(location.entries[place].1, Cell::Estimate)
        {
            location.entries.remove(place);
        }
    }

    /// The shard of a hash. The bits are from the middle: the table below uses both ends.
    fn shard(&self, hash: u64) -> &RwLock<Shard<K, V>> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl<K, V> Location<K, V> {
    /// Where the entry of `tx` is, or else where it would be.
    fn place(&self, tx: TxIndex) -> Result<usize, usize> {
        // Transactions come roughly in order, so most look at or behind the last entry.
        match self.entries.last() {
            Some((last, _)) if *last < tx => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&tx, |(writer, _)| *writer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn version(tx: u32, incarnation: u32) -> Version {
        Version { tx: TxIndex(tx), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn m1_a_read_sees_the_highest_lower_writer_and_not_itself() {
        let memory = MvMemory::new();
        memory.apply(version(2, 0), vec![('a', 20)], &[]);
        memory.apply(version(5, 0), vec![('a', 50)], &[]);
        assert_eq!(memory.read(&'a', TxIndex(2)), Found::PreState);
        assert_eq!(memory.read(&'a', TxIndex(3)), Found::Value(version(2, 0), 20));
        assert_eq!(memory.read(&'a', TxIndex(5)), Found::Value(version(2, 0), 20));
        assert_eq!(memory.read(&'a', TxIndex(6)), Found::Value(version(5, 0), 50));
        assert_eq!(memory.read(&'b', TxIndex(6)), Found::PreState);
    }

    #[test]
    fn m2_a_run_replaces_what_the_run_before_wrote() {
        let memory = MvMemory::new();
        let (written, new) = memory.apply(version(1, 0), vec![('a', 1), ('b', 1)], &[]);
        assert!(new);
        memory.mark_estimates(version(1, 0), &written);
        let (written, new) = memory.apply(version(1, 1), vec![('b', 2)], &written);
        assert_eq!((written.as_slice(), new), (['b'].as_slice(), false));
        assert_eq!(memory.read(&'a', TxIndex(9)), Found::PreState);
        assert_eq!(memory.read(&'b', TxIndex(9)), Found::Value(version(1, 1), 2));
    }

    #[test]
    fn m3_estimates_stand_where_the_void_run_wrote() {
        let memory = MvMemory::new();
        let (written, _) = memory.apply(version(1, 0), vec![('a', 1)], &[]);
        memory.mark_estimates(version(1, 0), &written);
        assert_eq!(memory.read(&'a', TxIndex(2)), Found::Estimate(TxIndex(1)));
        assert_eq!(memory.read(&'b', TxIndex(2)), Found::PreState);
    }

    #[test]
    fn a_location_written_twice_in_one_run_keeps_the_last_value() {
        let memory = MvMemory::new();
        memory.apply(version(0, 0), vec![('a', 1), ('a', 2)], &[]);
        assert_eq!(memory.read(&'a', TxIndex(1)), Found::Value(version(0, 0), 2));
    }

    #[test]
    fn a_read_holds_while_the_value_is_the_same() {
        let memory = MvMemory::new();
        let holds = |origin, value: Option<&i32>| memory.still_holds(&'a', TxIndex(3), origin, value);
        let seen = Origin::Version(version(1, 0));
        assert!(holds(Origin::PreState, None));
        let (written, _) = memory.apply(version(1, 0), vec![('a', 7)], &[]);
        assert!(!holds(Origin::PreState, None));
        assert!(holds(seen, Some(&7)));
        memory.mark_estimates(version(1, 0), &written);
        assert!(!holds(seen, Some(&7)), "an estimate is no value");
        memory.apply(version(1, 1), vec![('a', 7)], &written);
        assert!(holds(seen, Some(&7)), "another run, an equal value");
        memory.apply(version(2, 0), vec![('a', 8)], &[]);
        assert!(!holds(seen, Some(&7)));
    }

    /// A key whose hash is always the same, so that only comparison in full tells locations apart.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Colliding(u32);

    impl Hash for Colliding {
        fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
            state.write_u8(0);
        }
    }

    #[test]
    fn equal_hashes_do_not_merge_locations() {
        let memory = MvMemory::new();
        memory.apply(version(0, 0), (0..100).map(|key| (Colliding(key), key)).collect(), &[]);
        for key in 0..100 {
            assert_eq!(memory.read(&Colliding(key), TxIndex(1)), Found::Value(version(0, 0), key));
        }
    }

    proptest! {
        /// M1, M2 and M3 against a plain map of (location, transaction), over random runs and aborts.
        #[test]
        fn m1_m2_m3_hold_for_random_runs(
            moves in prop::collection::vec((0u32..6, prop::collection::btree_map(0u8..4, 0u8..4, 0..4)), 1..40)
        ) {
            let memory = MvMemory::new();
            let mut plain = BTreeMap::new();
            let mut last: BTreeMap<u32, (u32, Vec<u8>)> = BTreeMap::new();
            for (tx, writes) in moves {
                let (incarnation, estimates) = last.remove(&tx).unwrap_or_default();
                memory.mark_estimates(version(tx, incarnation), &estimates);
                for key in &estimates {
                    prop_assert_eq!(memory.read(key, TxIndex(tx + 1)), Found::Estimate(TxIndex(tx)));
                }
                let this = version(tx, incarnation + 1);
                let writes: Vec<_> = writes.into_iter().collect();
                plain.retain(|(_, writer), _| *writer != tx);
                plain.extend(writes.iter().map(|(key, value)| ((*key, tx), (this, *value))));
                let new = writes.iter().any(|(key, _)| !estimates.contains(key));
                let (written, somewhere_else) = memory.apply(this, writes, &estimates);
                prop_assert_eq!(somewhere_else, new);
                last.insert(tx, (incarnation + 1, written));

                for key in 0..4 {
                    for reader in 0..7 {
                        let expected = plain
                            .range((key, 0)..(key, reader))
                            .next_back()
                            .map_or(Found::PreState, |(_, (version, value))| Found::Value(*version, *value));
                        prop_assert_eq!(memory.read(&key, TxIndex(reader)), expected);
                    }
                }
            }
        }
    }
}
