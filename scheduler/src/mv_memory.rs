//! `MVMemory`: what every transaction wrote, by location and transaction index.
//!
//! ```text
//!  location a │ 2: Written(v2.0)   5: Estimate   9: Written(v9.1)
//!  location b │ 5: Estimate
//! ```
//!
//! A reader at index 7 looks for the highest entry below 7: at `a` it meets the estimate of 5 and is blocked, at `c`
//! there is nothing and it reads its pre-state, which is then kept beside the entries for the next reader. Locations
//! are told apart by full comparison of their keys; the hash, keyed at random, only says where to look. Each location
//! keeps its entries in one vector sorted by index, which is short for all but the hottest; a single entry lies in the
//! location itself.
//!
//! # Invariants
//!
//! - **M1.** A read sees the highest lower transaction that has an entry, and never the reader's own.
//! - **M2.** After `apply`, a transaction has exactly the entries of its last run, all of them written by it; after
//!   `retract`, none of them.
//! - **M3.** An estimate stands only where the last run of its transaction wrote, or where it was predicted to write
//!   and has not run. So does a value that was foreseen.
//! - **M4.** Whoever writes where a higher transaction may have read is told so.
//! - **M5.** What lies beneath may change as transactions are committed, and nobody who counts sees more of it than he
//!   should. Say `w` is committed, and changes what lies beneath at a key that it wrote. It had entered its write here
//!   before. So whoever is above `w` finds that entry, or has found nothing and looked beneath, and then his validation
//!   finds it; and whoever is below `w` is committed. A value that is kept beside the entries may be one that `w` left:
//!   nobody looks at it any more. `tests/programs.rs` has commits that change it.
//!
//! The tests below check them against a plain map.

use core::{fmt::Debug, hash::BuildHasher, hash::Hash};

use crossbeam_utils::CachePadded;
use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    location::{Cell, Found, Location, Settled},
    planted::planted,
    sync::{KeyHasher, RwLock},
    version::{Origin, TxIndex, Version},
};

/// How many parts the memory is cut into, so that writers of different locations seldom meet.
const SHARDS: usize = 64;

/// What every transaction wrote, by location and transaction index.
#[derive(Debug)]
pub(crate) struct MvMemory<K, V> {
    /// Picks the place of a key.
    hasher: KeyHasher,
    /// The locations, by a part of their hash.
    shards: Box<[CachePadded<RwLock<Shard<K, V>>>]>,
}

/// The locations of one shard.
#[derive(Debug)]
struct Shard<K, V> {
    /// Hashes and places.
    table: HashTable<(u64, u32)>,
    /// The locations.
    pieces: Pieces<K, V>,
}

/// Locations by place, so many of them allocated together. They are large, so each stays where it is first put, and
/// only its place is moved when the table grows.
#[derive(Debug)]
struct Pieces<K, V>(Vec<Vec<Location<K, V>>>);

/// How many locations are allocated together.
const PIECE: usize = 32;

impl<K: Eq, V> Pieces<K, V> {
    /// The location at a place.
    fn at(&self, place: u32) -> &Location<K, V> {
        &self.0[place as usize / PIECE][place as usize % PIECE]
    }

    /// The same, to be changed.
    fn at_mut(&mut self, place: u32) -> &mut Location<K, V> {
        &mut self.0[place as usize / PIECE][place as usize % PIECE]
    }

    /// Puts a location behind the others, and returns its place.
    fn push(&mut self, location: Location<K, V>) -> u32 {
        if self.0.last().is_none_or(|piece| piece.len() == PIECE) {
            self.0.push(Vec::with_capacity(PIECE));
        }
        let piece = self.0.len() - 1;
        let place = piece * PIECE + self.0[piece].len();
        self.0[piece].push(location);
        u32::try_from(place).expect("a location takes more than a byte of memory")
    }

    /// Whether an entry of the table is that of this key.
    fn is<'a>(&'a self, hash: u64, key: &'a K) -> impl Fn(&(u64, u32)) -> bool + 'a {
        move |(found, place)| *found == hash && self.at(*place).key == *key
    }
}

impl<K: Clone + Eq, V> Shard<K, V> {
    /// No location.
    const fn new() -> Self {
        Self { table: HashTable::new(), pieces: Pieces(Vec::new()) }
    }

    /// The location of this key, if there is one.
    fn find(&self, hash: u64, key: &K) -> Option<&Location<K, V>> {
        let (_, place) = self.table.find(hash, self.pieces.is(hash, key))?;
        Some(self.pieces.at(*place))
    }

    /// The same, to be changed.
    fn find_mut(&mut self, hash: u64, key: &K) -> Option<&mut Location<K, V>> {
        let (_, place) = self.table.find(hash, self.pieces.is(hash, key))?;
        Some(self.pieces.at_mut(*place))
    }

    /// The location of this key, or the one that `make` makes if there is none.
    fn locate(&mut self, hash: u64, key: &K, make: impl FnOnce(K) -> Location<K, V>) -> &mut Location<K, V> {
        let place = match self.table.entry(hash, self.pieces.is(hash, key), |(hash, _)| *hash) {
            Entry::Occupied(occupied) => occupied.get().1,
            Entry::Vacant(vacant) => {
                let place = self.pieces.push(make(key.clone()));
                vacant.insert((hash, place));
                place
            }
        };
        self.pieces.at_mut(place)
    }
}

/// What a run has done to the memory.
#[derive(Debug)]
pub(crate) struct Applied<K> {
    /// Where it wrote.
    pub(crate) written: Vec<K>,
    /// A higher transaction may have missed one of the writes, or read what was foreseen instead.
    pub(crate) missed: bool,
    /// Of the estimates, those where it wrote.
    pub(crate) hits: usize,
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> MvMemory<K, V> {
    /// A memory in which nobody has written.
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| CachePadded::new(RwLock::new(Shard::new()))).collect();
        Self { hasher: KeyHasher::default(), shards }
    }

    /// What transaction `reader` sees at `key`.
    pub(crate) fn read(&self, key: &K, reader: TxIndex) -> Found<V> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash).read();
        let location = shard.find(hash, key);
        location.map_or(Found::PreState(None), |location| location.show(reader))
    }

    /// What transaction `reader` sees at `key`; `load` looks up the pre-state if nobody has done so yet.
    ///
    /// # Errors
    ///
    /// That of `load`.
    pub(crate) fn read_or<E>(
        &self,
        key: &K,
        reader: TxIndex,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<Found<V>, E> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash).read();
        if let Some(location) = shard.find(hash, key) {
            let found = location.show(reader);
            if found != Found::PreState(None) {
                return Ok(found);
            }
        }
        drop(shard);
        let value = load()?;
        let mut shard = self.shard(hash).write();
        let location = shard.locate(hash, key, Location::for_reader);
        location.pre_state.get_or_insert(value);
        // Somebody may have written since.
        Ok(location.show(reader))
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

    /// Makes `writes` the only entries of this run's transaction. `estimates` is where earlier runs of this one had
    /// written, or where it was predicted to write; from there the estimates have kept readers away.
    pub(crate) fn apply(&self, version: Version, writes: Vec<(K, V)>, estimates: &[K]) -> Applied<K> {
        let (mut missed, mut hits) = (false, 0);
        let written = writes
            .into_iter()
            .map(|(key, value)| {
                missed |= self.write(&key, version, value);
                key
            })
            .collect();
        for key in estimates {
            match self.change(key, |location| location.settle_prediction(version.tx)) {
                Some(Settled::Written) => hits += 1,
                Some(Settled::Removed { missed: also }) => missed |= also,
                None => {}
            }
        }
        Applied { written, missed, hits }
    }

    /// Puts what is foreseen where `tx` has never written.
    pub(crate) fn predict(&self, tx: TxIndex, predictions: Vec<(K, Option<V>)>) -> Vec<K> {
        let place = |(key, value): (K, Option<V>)| {
            let hash = self.hasher.hash_one(&key);
            let mut shard = self.shard(hash).write();
            shard.locate(hash, &key, Location::for_reader).predict(tx, value);
            key
        };
        predictions.into_iter().map(place).collect()
    }

    /// Turns what this run wrote at `keys` into estimates.
    pub(crate) fn mark_estimates(&self, version: Version, keys: &[K]) {
        for key in keys {
            if planted!(LoseEstimate) && *key == keys[0] {
                continue;
            }
            self.change(key, |location| {
                if let Ok(place) = location.place(version.tx) {
                    location.entries[place].1 = Cell::Estimate;
                }
            });
        }
    }

    /// Removes what `tx` wrote at `keys`.
    pub(crate) fn retract(&self, tx: TxIndex, keys: &[K]) {
        for key in keys {
            self.change(key, |location| {
                if let Ok(place) = location.place(tx) {
                    location.entries.remove(place);
                }
            });
        }
    }

    /// Shows `look` the highest entry at `key` below `reader`.
    fn below<R>(&self, key: &K, reader: TxIndex, look: impl FnOnce(Option<&(TxIndex, Cell<V>)>) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash).read();
        let location = shard.find(hash, key);
        look(location.and_then(|location| location.below(reader)))
    }

    /// Sets one entry; true if a higher transaction may have read past it, or what was foreseen instead.
    fn write(&self, key: &K, version: Version, value: V) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).write();
        shard.locate(hash, key, Location::for_writer).write(version, value)
    }

    /// Has `change` change the location of this key, if there is one.
    fn change<R>(&self, key: &K, change: impl FnOnce(&mut Location<K, V>) -> R) -> Option<R> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).write();
        shard.find_mut(hash, key).map(change)
    }

    /// The shard of a hash. The bits are from the middle: the table below uses both ends.
    fn shard(&self, hash: u64) -> &RwLock<Shard<K, V>> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::version::Incarnation;

    fn version(tx: u32, incarnation: u32) -> Version {
        Version { tx: TxIndex(tx), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn m1_a_read_sees_the_highest_lower_writer_and_not_itself() {
        let memory = MvMemory::new();
        memory.apply(version(2, 0), vec![('a', 20)], &[]);
        memory.apply(version(5, 0), vec![('a', 50)], &[]);
        assert_eq!(memory.read(&'a', TxIndex(2)), Found::PreState(None));
        assert_eq!(memory.read(&'a', TxIndex(3)), Found::Value(version(2, 0), 20));
        assert_eq!(memory.read(&'a', TxIndex(5)), Found::Value(version(2, 0), 20));
        assert_eq!(memory.read(&'a', TxIndex(6)), Found::Value(version(5, 0), 50));
        assert_eq!(memory.read(&'b', TxIndex(6)), Found::PreState(None));
    }

    #[test]
    fn m2_a_run_replaces_what_the_run_before_wrote() {
        let memory = MvMemory::new();
        let Applied { written, .. } = memory.apply(version(1, 0), vec![('a', 1), ('b', 1)], &[]);
        memory.mark_estimates(version(1, 0), &written);
        let Applied { written, missed, .. } = memory.apply(version(1, 1), vec![('b', 2)], &written);
        assert_eq!((written.as_slice(), missed), (['b'].as_slice(), false));
        assert_eq!(memory.read(&'a', TxIndex(9)), Found::PreState(None));
        assert_eq!(memory.read(&'b', TxIndex(9)), Found::Value(version(1, 1), 2));
    }

    #[test]
    fn what_is_retracted_is_seen_no_more_and_nothing_else_is() {
        let memory = MvMemory::new();
        memory.apply(version(1, 0), vec![('a', 1), ('b', 1)], &[]);
        memory.apply(version(2, 0), vec![('a', 2)], &[]);
        memory.retract(TxIndex(2), &['a', 'c']);
        assert_eq!(
            ['a', 'b'].map(|key| memory.read(&key, TxIndex(9))),
            [1, 1].map(|value| Found::Value(version(1, 0), value))
        );
    }

    #[test]
    fn m3_estimates_stand_where_the_void_run_wrote() {
        let memory = MvMemory::new();
        let Applied { written, .. } = memory.apply(version(1, 0), vec![('a', 1)], &[]);
        memory.mark_estimates(version(1, 0), &written);
        assert_eq!(memory.read(&'a', TxIndex(2)), Found::Estimate(TxIndex(1)));
        assert_eq!(memory.read(&'b', TxIndex(2)), Found::PreState(None));
    }

    #[test]
    fn m4_a_writer_learns_of_higher_readers_only() {
        let memory = MvMemory::new();
        let missed = |tx, key| memory.apply(version(tx, 0), vec![(key, 1)], &[]).missed;
        assert!(missed(1, 'a') && missed(2, 'a'), "nobody knows who has looked before there was a location");
        let load = || Ok::<_, ()>(7);
        assert_eq!(memory.read_or(&'b', TxIndex(3), load), Ok(Found::PreState(Some(7))));
        assert!(!missed(4, 'b') && !missed(3, 'b') && missed(2, 'b'));
        assert_eq!(memory.read(&'b', TxIndex(9)), Found::Value(version(4, 0), 1));
        assert!(missed(5, 'b'));
    }

    #[test]
    fn m2_m4_what_was_foreseen_is_read_until_its_run_is_over_and_a_surprise_is_told() {
        let memory = MvMemory::new();
        let keys =
            memory.predict(TxIndex(1), vec![('a', Some(5)), ('b', Some(6)), ('c', Some(7)), ('d', None)]);
        let foreseen = Version { tx: TxIndex(1), incarnation: Incarnation::FORESEEN };
        let seen = |key| memory.read(&key, TxIndex(3));
        assert_eq!(['a', 'b', 'c'].map(seen), [5, 6, 7].map(|value| Found::Value(foreseen, value)));
        assert_eq!(seen('d'), Found::Estimate(TxIndex(1)));
        let holds =
            |key, value| memory.still_holds(&key, TxIndex(3), Origin::Version(foreseen), Some(&value));

        let Applied { missed, .. } = memory.apply(version(1, 0), vec![('a', 5)], &keys[..1]);
        assert!(!missed && holds('a', 5), "as foreseen");
        let Applied { missed, .. } = memory.apply(version(1, 0), vec![('b', 9)], &keys[1..2]);
        assert!(missed && !holds('b', 6), "another value");
        let Applied { missed, .. } = memory.apply(version(1, 0), vec![], &keys[2..]);
        assert!(missed && !holds('c', 7), "not written at all");
        assert_eq!(['c', 'd'].map(seen), [Found::PreState(None), Found::PreState(None)]);
    }

    #[test]
    fn the_pre_state_is_looked_up_once() {
        let memory = MvMemory::new();
        let read =
            |reader, loaded: Result<i32, &'static str>| memory.read_or(&'a', TxIndex(reader), || loaded);
        assert_eq!(read(3, Err("absent")), Err("absent"));
        assert_eq!(read(3, Ok(7)), Ok(Found::PreState(Some(7))));
        assert_eq!(read(4, Err("not asked")), Ok(Found::PreState(Some(7))));
        memory.apply(version(3, 0), vec![('a', 8)], &[]);
        assert_eq!(read(4, Err("not asked")), Ok(Found::Value(version(3, 0), 8)));
        assert_eq!(read(3, Err("not asked")), Ok(Found::PreState(Some(7))));
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
        let Applied { written, .. } = memory.apply(version(1, 0), vec![('a', 7)], &[]);
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
                let Applied { written, .. } = memory.apply(this, writes, &estimates);
                last.insert(tx, (incarnation + 1, written));

                for key in 0..4 {
                    for reader in 0..7 {
                        let expected = plain
                            .range((key, 0)..(key, reader))
                            .next_back()
                            .map_or(Found::PreState(None), |(_, (version, value))| Found::Value(*version, *value));
                        prop_assert_eq!(memory.read(&key, TxIndex(reader)), expected);
                    }
                }
            }
        }
    }
}
