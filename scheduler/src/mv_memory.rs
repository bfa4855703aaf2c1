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
//! - **M4.** A write where a higher transaction may have read something else is a surprise: its writer is told, and
//!   surprises are counted. So are estimates, and writes that are taken back. What a run has read holds as long as the
//!   count stands where it stood when the run began: whoever writes there afterwards finds the reader noted, under the
//!   location's lock, and counts before he is committed. Who presumes is noted nowhere; the location that he means is one
//!   where anybody may have read, whoever makes it.
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
    sync::{AtomicU64, KeyHasher, Ordering, RwLock},
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
    /// How often a run may have read what is no longer so.
    surprises: CachePadded<AtomicU64>,
}

/// Where a location is. It stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which shard.
    shard: u8,
    /// Where in the shard.
    piece: u32,
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
struct Pieces<K, V> {
    /// The locations. Those behind the last one are room that was taken before.
    pieces: Vec<Vec<Location<K, V>>>,
    /// How many locations there are.
    len: u32,
}

/// How many locations are allocated together: few, since a small block touches most shards and each only once or twice.
const PIECE: usize = 8;

impl<K: Eq, V> Pieces<K, V> {
    /// No location.
    const fn new() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }

    /// The location at a place.
    fn at(&self, place: u32) -> &Location<K, V> {
        &self.pieces[place as usize / PIECE][place as usize % PIECE]
    }

    /// The same, to be changed.
    fn at_mut(&mut self, place: u32) -> &mut Location<K, V> {
        &mut self.pieces[place as usize / PIECE][place as usize % PIECE]
    }

    /// Puts a location behind the others, and returns its place.
    fn push(&mut self, location: Location<K, V>) -> u32 {
        let place = self.len;
        let piece = place as usize / PIECE;
        if piece == self.pieces.len() {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces[piece].push(location);
        self.len = place.checked_add(1).expect("a location takes more than a byte of memory");
        place
    }

    /// Removes all of them, and keeps the room.
    fn clear(&mut self) {
        self.pieces.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }

    /// Whether an entry of the table is that of this key.
    fn is<'a>(&'a self, hash: u64, key: &'a K) -> impl Fn(&(u64, u32)) -> bool + 'a {
        move |(found, place)| *found == hash && self.at(*place).key == *key
    }
}

impl<K: Clone + Eq, V> Shard<K, V> {
    /// No location.
    const fn new() -> Self {
        Self { table: HashTable::new(), pieces: Pieces::new() }
    }

    /// The location of this key, if there is one, and where it is.
    fn find(&self, hash: u64, key: &K) -> Option<(&Location<K, V>, u32)> {
        let (_, place) = self.table.find(hash, self.pieces.is(hash, key))?;
        Some((self.pieces.at(*place), *place))
    }

    /// The location of this key, or the one that `make` makes if there is none, and where it is.
    fn locate(
        &mut self,
        hash: u64,
        key: &K,
        make: impl FnOnce(K) -> Location<K, V>,
    ) -> (&mut Location<K, V>, u32) {
        let place = match self.table.entry(hash, self.pieces.is(hash, key), |(hash, _)| *hash) {
            Entry::Occupied(occupied) => occupied.get().1,
            Entry::Vacant(vacant) => {
                let place = self.pieces.push(make(key.clone()));
                vacant.insert((hash, place));
                place
            }
        };
        (self.pieces.at_mut(place), place)
    }
}

/// What a run has done to the memory.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Where it wrote.
    pub(crate) written: Vec<Place>,
    /// A higher transaction may have missed one of the writes, or read what was foreseen instead.
    pub(crate) missed: bool,
    /// Of the estimates, those where it wrote.
    pub(crate) hits: usize,
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> MvMemory<K, V> {
    /// A memory in which nobody has written.
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| CachePadded::new(RwLock::new(Shard::new()))).collect();
        Self { hasher: KeyHasher::default(), shards, surprises: CachePadded::new(AtomicU64::new(0)) }
    }

    /// Forgets everything, and keeps the room.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.table.clear();
            shard.pieces.clear();
        }
        // ORDERING: nobody else is there.
        self.surprises.store(0, Ordering::Relaxed);
    }

    /// How many surprises there have been.
    pub(crate) fn surprises(&self) -> u64 {
        self.surprises.load(Ordering::Acquire)
    }

    /// Counts one.
    fn note_surprise(&self) {
        self.surprises.fetch_add(1, Ordering::AcqRel);
    }

    /// What transaction `reader` sees at `key`, if nobody need know that it has looked.
    pub(crate) fn read(&self, key: &K, reader: TxIndex) -> Found<V> {
        let (hash, shard) = self.shard_of(key);
        let shard = self.shards[shard].read();
        shard.find(hash, key).map_or(Found::PreState(None), |(location, _)| location.show(reader))
    }

    /// What transaction `reader` sees at `key`, and where that is.
    pub(crate) fn note_read(&self, key: &K, reader: TxIndex) -> (Found<V>, Place) {
        let (hash, at) = self.shard_of(key);
        let shard = self.shards[at].read();
        if let Some((location, piece)) = shard.find(hash, key) {
            return (location.show(reader), Place::new(at, piece));
        }
        drop(shard);
        let mut shard = self.shards[at].write();
        let (location, piece) = shard.locate(hash, key, Location::for_anybody);
        (location.show(reader), Place::new(at, piece))
    }

    /// What transaction `reader` sees at `key`, and where that is; `load` looks up the pre-state if nobody has done so
    /// yet.
    ///
    /// # Errors
    ///
    /// That of `load`.
    pub(crate) fn read_or<E>(
        &self,
        key: &K,
        reader: TxIndex,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<(Found<V>, Place), E> {
        let (hash, at) = self.shard_of(key);
        let shard = self.shards[at].read();
        if let Some((location, piece)) = shard.find(hash, key) {
            let found = location.show(reader);
            if found != Found::PreState(None) {
                return Ok((found, Place::new(at, piece)));
            }
        }
        drop(shard);
        let value = load()?;
        let mut shard = self.shards[at].write();
        let (location, piece) = shard.locate(hash, key, Location::for_reader);
        location.pre_state.get_or_insert(value);
        // Somebody may have written since.
        Ok((location.show(reader), Place::new(at, piece)))
    }

    /// Whether transaction `reader` would see the same again: the same version, or another with an equal value.
    pub(crate) fn still_holds(
        &self,
        place: Place,
        reader: TxIndex,
        origin: Origin,
        value: Option<&V>,
    ) -> bool {
        let shard = self.shards[usize::from(place.shard)].read();
        match (shard.pieces.at(place.piece).below(reader), origin) {
            (None, Origin::PreState) => true,
            (Some((tx, Cell::Written(incarnation, now))), Origin::Version(seen)) => {
                (seen.tx, seen.incarnation) == (*tx, *incarnation) || Some(now) == value
            }
            (Some(_), Origin::PreState) | (None | Some((_, Cell::Estimate)), Origin::Version(_)) => false,
        }
    }

    /// Whether nobody below `reader` has written at `key`, or is expected to.
    pub(crate) fn is_unwritten(&self, key: &K, reader: TxIndex) -> bool {
        let (hash, shard) = self.shard_of(key);
        let shard = self.shards[shard].read();
        shard.find(hash, key).is_none_or(|(location, _)| location.below(reader).is_none())
    }

    /// Makes `writes` the only entries of this run's transaction. `estimates` is where earlier runs of this one had
    /// written, or where it was predicted to write; from there the estimates have kept readers away.
    #[cfg(test)]
    pub(crate) fn apply(&self, version: Version, writes: Vec<(K, V)>, estimates: &[Place]) -> Applied {
        self.apply_in(Vec::new(), version, writes, estimates)
    }

    /// The same, with room for where it wrote.
    pub(crate) fn apply_in(
        &self,
        mut written: Vec<Place>,
        version: Version,
        writes: Vec<(K, V)>,
        estimates: &[Place],
    ) -> Applied {
        let (mut missed, mut hits) = (false, 0);
        let write = |(key, value): (K, V)| {
            let (hash, at) = self.shard_of(&key);
            let mut shard = self.shards[at].write();
            let (location, piece) = shard.locate(hash, &key, Location::for_anybody);
            missed |= location.write(version, value);
            Place::new(at, piece)
        };
        written.clear();
        written.extend(writes.into_iter().map(write));
        for place in estimates {
            match self.change(*place, |location| location.settle_prediction(version.tx)) {
                Settled::Written => hits += 1,
                Settled::Removed { missed: also } => missed |= also,
            }
        }
        if missed && !planted!(UncountedSurprise) {
            self.note_surprise();
        }
        Applied { written, missed, hits }
    }

    /// Puts what is foreseen where `tx` has never written.
    pub(crate) fn predict(&self, tx: TxIndex, predictions: Vec<(K, Option<V>)>) -> Vec<Place> {
        let place = |(key, value): (K, Option<V>)| {
            let (hash, at) = self.shard_of(&key);
            let mut shard = self.shards[at].write();
            let (location, piece) = shard.locate(hash, &key, Location::for_reader);
            location.predict(tx, value);
            Place::new(at, piece)
        };
        predictions.into_iter().map(place).collect()
    }

    /// Turns what this run wrote at `places` into estimates.
    pub(crate) fn mark_estimates(&self, version: Version, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        for place in places {
            if planted!(LoseEstimate) && *place == places[0] {
                continue;
            }
            self.change(*place, |location| {
                if let Ok(place) = location.place(version.tx) {
                    location.entries[place].1 = Cell::Estimate;
                }
            });
        }
        self.note_surprise();
    }

    /// Removes what `tx` wrote at `places`.
    pub(crate) fn retract(&self, tx: TxIndex, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        for place in places {
            self.change(*place, |location| {
                if let Ok(place) = location.place(tx) {
                    location.entries.remove(place);
                }
            });
        }
        self.note_surprise();
    }

    /// Has `change` change a location.
    fn change<R>(&self, place: Place, change: impl FnOnce(&mut Location<K, V>) -> R) -> R {
        let mut shard = self.shards[usize::from(place.shard)].write();
        change(shard.pieces.at_mut(place.piece))
    }

    /// The hash of a key, and its shard. The bits are from the middle: the table below uses both ends.
    fn shard_of(&self, key: &K) -> (u64, usize) {
        let hash = self.hasher.hash_one(key);
        (hash, (hash >> 32) as usize % SHARDS)
    }
}

impl Place {
    /// A place in one of the shards.
    fn new(shard: usize, piece: u32) -> Self {
        const { assert!(SHARDS < 1 << u8::BITS) };
        Self { shard: u8::try_from(shard).unwrap_or(u8::MAX), piece }
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
        assert_eq!((written, missed), (vec![memory.note_read(&'b', TxIndex(0)).1], false));
        assert_eq!(memory.read(&'a', TxIndex(9)), Found::PreState(None));
        assert_eq!(memory.read(&'b', TxIndex(9)), Found::Value(version(1, 1), 2));
    }

    #[test]
    fn what_is_retracted_is_seen_no_more_and_nothing_else_is() {
        let memory = MvMemory::new();
        memory.apply(version(1, 0), vec![('a', 1), ('b', 1)], &[]);
        memory.apply(version(2, 0), vec![('a', 2)], &[]);
        memory.retract(TxIndex(2), &['a', 'c'].map(|key| memory.note_read(&key, TxIndex(0)).1));
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
        assert_eq!(
            memory.read_or(&'b', TxIndex(3), load).map(|(found, _)| found),
            Ok(Found::PreState(Some(7)))
        );
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
        let place = |key| memory.note_read(&key, TxIndex(0)).1;
        let holds =
            |key, value| memory.still_holds(place(key), TxIndex(3), Origin::Version(foreseen), Some(&value));

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
        let read = |reader, loaded: Result<i32, &'static str>| {
            memory.read_or(&'a', TxIndex(reader), || loaded).map(|(found, _)| found)
        };
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
        let place = memory.note_read(&'a', TxIndex(0)).1;
        let holds = |origin, value: Option<&i32>| memory.still_holds(place, TxIndex(3), origin, value);
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
            let mut last: BTreeMap<u32, (u32, Vec<Place>, Vec<u8>)> = BTreeMap::new();
            for (tx, writes) in moves {
                let (incarnation, estimates, keys) = last.remove(&tx).unwrap_or_default();
                memory.mark_estimates(version(tx, incarnation), &estimates);
                for key in &keys {
                    prop_assert_eq!(memory.read(key, TxIndex(tx + 1)), Found::Estimate(TxIndex(tx)));
                }
                let this = version(tx, incarnation + 1);
                let writes: Vec<_> = writes.into_iter().collect();
                plain.retain(|(_, writer), _| *writer != tx);
                plain.extend(writes.iter().map(|(key, value)| ((*key, tx), (this, *value))));
                let keys = writes.iter().map(|(key, _)| *key).collect();
                let Applied { written, .. } = memory.apply(this, writes, &estimates);
                last.insert(tx, (incarnation + 1, written, keys));

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
