//! One location of the `MVMemory`: what every transaction wrote there, and what lies beneath.
//!
//! The shard's lock is held by whoever has a reference to it; invariants M1 to M5 are at the top of `mv_memory.rs`.

use smallvec::SmallVec;

use crate::{
    sync::{AtomicU32, Ordering, own_value},
    version::{Incarnation, TxIndex, Version},
};

/// One location and what was written to it.
#[derive(Debug)]
pub(crate) struct Location<K, V> {
    /// The name of the location, compared in full.
    pub(crate) key: K,
    /// What is beneath all entries, if a reader has looked it up.
    pub(crate) pre_state: Option<V>,
    /// The highest transaction that may have read here, whatever became of it.
    highest_reader: AtomicU32,
    /// What each transaction wrote here, by ascending index.
    pub(crate) entries: SmallVec<[(TxIndex, Cell<V>); 1]>,
}

/// What one transaction left at one location.
#[derive(Debug)]
pub(crate) enum Cell<V> {
    /// The value its last run wrote.
    Written(Incarnation, V),
    /// Its last run is void; the next one will likely write here again.
    Estimate,
}

/// What has become of a prediction or estimate, once the run is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The run has written here.
    Written,
    /// It has not, and there is nothing any more.
    Removed {
        /// A higher transaction may have read what there was.
        missed: bool,
    },
}

/// What a read meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// A lower transaction wrote this.
    Value(Version, V),
    /// No lower transaction wrote here. The value is there if the reader or one before has looked it up.
    PreState(Option<V>),
    /// This lower transaction was aborted and will likely write here again.
    Estimate(TxIndex),
}

impl<K, V: Clone + PartialEq> Location<K, V> {
    /// A location that a reader makes: nobody has read here before.
    pub(crate) fn for_reader(key: K) -> Self {
        Self { key, pre_state: None, highest_reader: AtomicU32::new(0), entries: SmallVec::new() }
    }

    /// A location where anybody may have read before: who presumes, and whose run is final, leaves no trace.
    pub(crate) fn for_anybody(key: K) -> Self {
        Self { highest_reader: AtomicU32::new(u32::MAX), ..Self::for_reader(key) }
    }

    /// Sets the entry of this run; true if a higher transaction may have read past it, or something else than was
    /// foreseen of it.
    pub(crate) fn write(&mut self, version: Version, value: V) -> bool {
        match self.place(version.tx) {
            Ok(place) => {
                let cell = &mut self.entries[place].1;
                let surprise =
                    matches!(cell, Cell::Written(Incarnation::FORESEEN, foreseen) if *foreseen != value);
                *cell = Cell::Written(version.incarnation, value);
                surprise && self.was_read_above(version.tx)
            }
            Err(place) => {
                self.entries.insert(place, (version.tx, Cell::Written(version.incarnation, value)));
                self.was_read_above(version.tx)
            }
        }
    }

    /// Leaves what is foreseen of a transaction that has never run: a value, or an estimate.
    pub(crate) fn predict(&mut self, tx: TxIndex, value: Option<V>) {
        if let Err(place) = self.place(tx) {
            let cell = value.map_or(Cell::Estimate, |value| Cell::Written(Incarnation::FORESEEN, value));
            self.entries.insert(place, (tx, cell));
        }
    }

    /// Removes what was foreseen or estimated of `tx`, if its last run has not written here.
    pub(crate) fn settle_prediction(&mut self, tx: TxIndex) -> Settled {
        let Ok(place) = self.place(tx) else { return Settled::Removed { missed: false } };
        match &self.entries[place].1 {
            Cell::Estimate => {
                self.entries.remove(place);
                Settled::Removed { missed: false }
            }
            Cell::Written(Incarnation::FORESEEN, _) => {
                self.entries.remove(place);
                Settled::Removed { missed: self.was_read_above(tx) }
            }
            Cell::Written(..) => Settled::Written,
        }
    }

    /// Whether a transaction above `tx` may have read here.
    fn was_read_above(&mut self, tx: TxIndex) -> bool {
        own_value(&mut self.highest_reader) > tx.0
    }

    /// What transaction `reader` sees here, noting that it does.
    pub(crate) fn show(&self, reader: TxIndex) -> Found<V> {
        // ORDERING: writers look at it under the write lock, so the shard's lock orders the two.
        if self.highest_reader.load(Ordering::Relaxed) < reader.0 {
            self.highest_reader.fetch_max(reader.0, Ordering::Relaxed);
        }
        match self.below(reader) {
            None => Found::PreState(self.pre_state.clone()),
            Some((tx, Cell::Written(incarnation, value))) => {
                Found::Value(Version { tx: *tx, incarnation: *incarnation }, value.clone())
            }
            Some((tx, Cell::Estimate)) => Found::Estimate(*tx),
        }
    }

    /// The highest entry below `reader`.
    pub(crate) fn below(&self, reader: TxIndex) -> Option<&(TxIndex, Cell<V>)> {
        // INVARIANT M1: `place` counts the entries below the reader, whether or not it has one itself.
        let (Ok(place) | Err(place)) = self.place(reader);
        self.entries[..place].last()
    }

    /// Where the entry of `tx` is, or else where it would be.
    pub(crate) fn place(&self, tx: TxIndex) -> Result<usize, usize> {
        // Transactions come roughly in order, so most look at or behind the last entry.
        match self.entries.last() {
            Some((last, _)) if *last < tx => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&tx, |(writer, _)| *writer),
        }
    }
}
