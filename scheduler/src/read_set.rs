//! What one run saw and from whom. Validation replays it.
//!
//! A run is a deterministic function of what it read, so a run whose reads would all come out the same need not be
//! repeated, whoever wrote those values by now. The value is kept beside its origin for that reason: equal versions
//! are enough, and where versions differ, equal values are.
//!
//! # Invariants
//!
//! - **R1.** A read set holds if and only if every read in it would see an equal value now.

use core::hash::Hash;

use crate::{
    mv_memory::MvMemory,
    version::{Origin, TxIndex},
};

/// What one run saw, in the order of its reads.
#[derive(Debug)]
pub(crate) struct ReadSet<K, V>(Vec<Read<K, V>>);

/// One read.
#[derive(Debug)]
struct Read<K, V> {
    /// Where.
    key: K,
    /// Whose value.
    origin: Origin,
    /// The value, unless it is the caller's pre-state.
    value: Option<V>,
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> ReadSet<K, V> {
    /// The read set of a run that has read nothing.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Remembers one read.
    pub(crate) fn record(&mut self, key: K, origin: Origin, value: Option<V>) {
        self.0.push(Read { key, origin, value });
    }

    /// Whether anything was read that `writer` wrote.
    pub(crate) fn reads_from(&self, writer: TxIndex) -> bool {
        self.0.iter().any(|read| matches!(read.origin, Origin::Version(version) if version.tx == writer))
    }

    /// Whose writes were read, and by which of the reads.
    pub(crate) fn writers(&self) -> impl Iterator<Item = (TxIndex, usize)> {
        self.0.iter().enumerate().filter_map(|(nth, read)| match read.origin {
            Origin::Version(version) => Some((version.tx, nth)),
            Origin::PreState => None,
        })
    }

    /// Whether transaction `reader` would see the same again.
    pub(crate) fn still_holds(&self, memory: &MvMemory<K, V>, reader: TxIndex) -> bool {
        self.0.iter().all(|read| memory.still_holds(&read.key, reader, read.origin, read.value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Incarnation, Version};

    const WRITER: Version = Version { tx: TxIndex(0), incarnation: Incarnation(0) };

    #[test]
    fn r1_one_changed_read_is_enough_to_fail() {
        let memory = MvMemory::new();
        memory.apply(WRITER, vec![('a', 1), ('b', 2)], &[]);
        let mut reads = ReadSet::new();
        assert!(reads.still_holds(&memory, TxIndex(5)));
        reads.record('a', Origin::Version(WRITER), Some(1));
        reads.record('b', Origin::Version(WRITER), Some(2));
        reads.record('c', Origin::PreState, None);
        assert!(reads.still_holds(&memory, TxIndex(5)));

        let later = Version { tx: TxIndex(3), incarnation: Incarnation(0) };
        memory.apply(later, vec![('b', 2)], &[]);
        assert!(reads.still_holds(&memory, TxIndex(5)), "an equal value by another writer");
        memory.apply(later, vec![('c', 0)], &[]);
        assert!(!reads.still_holds(&memory, TxIndex(5)));
        assert!(reads.still_holds(&memory, TxIndex(3)), "the writer is not below this reader");
    }
}
