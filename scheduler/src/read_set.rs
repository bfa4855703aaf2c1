//! What one run saw and from whom. Validation replays it.
//!
//! A run is a deterministic function of what it read, so a run whose reads would all come out the same need not be
//! repeated, whoever wrote those values by now. The value is kept beside its origin for that reason: equal versions
//! are enough, and where versions differ, equal values are.
//!
//! # Invariants
//!
//! - **R1.** A read set holds if and only if every read in it would see an equal value now. Where nothing has surprised
//!   anybody since the run began (invariant M4), nothing need be looked at.

use core::hash::Hash;

use smallvec::SmallVec;

use crate::{
    mv_memory::{MvMemory, Place},
    version::{Origin, TxIndex, Version},
};

/// What one run saw, in the order of its reads.
#[derive(Debug)]
pub(crate) struct ReadSet<K, V> {
    /// How many surprises there had been when the run began, or when it was last found to hold. `None` if all that it
    /// read is final: nothing is remembered, and it holds.
    since: Option<u64>,
    /// The reads.
    reads: Vec<Read>,
    /// The values of those that found some transaction's, in the same order.
    values: Vec<V>,
    /// Locations where nothing was looked up, because most likely nobody writes there.
    presumed: SmallVec<[K; 1]>,
}

/// One read.
#[derive(Debug, Clone, Copy)]
struct Read {
    /// Where.
    place: Place,
    /// Whose value.
    origin: Origin,
}

/// So many reads are expected of a run.
const READS: usize = 12;

/// That of a run whose reads are final.
impl<K, V> Default for ReadSet<K, V> {
    fn default() -> Self {
        Self { since: None, reads: Vec::new(), values: Vec::new(), presumed: SmallVec::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> ReadSet<K, V> {
    /// That of a run that has read nothing, and begins after so many surprises.
    #[cfg(test)]
    pub(crate) fn since(surprises: u64) -> Self {
        let mut reads = Self::default();
        reads.begin(Some(surprises));
        reads
    }

    /// Forgets what there was: a run begins after so many surprises, or at the frontier.
    pub(crate) fn begin(&mut self, surprises: Option<u64>) {
        self.settle();
        self.since = surprises;
        if surprises.is_some() {
            self.reads.reserve(READS);
        }
    }

    /// What was read so far holds, and what is read from here on is final. Nothing of it is remembered.
    pub(crate) fn settle(&mut self) {
        self.since = None;
        self.reads.clear();
        self.values.clear();
        self.presumed.clear();
    }

    /// Whether all reads are final, so that there is none to replay.
    pub(crate) const fn is_settled(&self) -> bool {
        self.since.is_none()
    }

    /// Remembers one read of what no lower transaction has written.
    pub(crate) fn record_pre_state(&mut self, place: Place) {
        self.reads.push(Read { place, origin: Origin::PreState });
    }

    /// Remembers one read of what a lower transaction has written.
    pub(crate) fn record(&mut self, place: Place, writer: Version, value: V) {
        self.reads.push(Read { place, origin: Origin::Version(writer) });
        self.values.push(value);
    }

    /// Remembers that nobody below is taken to have written here.
    pub(crate) fn presume(&mut self, key: K) {
        self.presumed.push(key);
    }

    /// How many reads there are to replay.
    pub(crate) const fn len(&self) -> usize {
        self.reads.len()
    }

    /// Whether anything was read that `writer` wrote.
    pub(crate) fn reads_from(&self, writer: TxIndex) -> bool {
        self.writers().any(|(tx, _)| tx == writer)
    }

    /// Whose writes were read, and by which of the reads.
    pub(crate) fn writers(&self) -> impl Iterator<Item = (TxIndex, usize)> {
        self.reads.iter().enumerate().filter_map(|(nth, read)| match read.origin {
            Origin::Version(version) => Some((version.tx, nth)),
            Origin::PreState => None,
        })
    }

    /// Whether somebody has been surprised since the run began, or was last found to hold.
    pub(crate) fn is_doubtful(&self, memory: &MvMemory<K, V>) -> bool {
        // INVARIANT M4: otherwise nobody has written where this run has read.
        self.since.is_some_and(|since| memory.surprises() != since)
    }

    /// Whether transaction `reader` would see the same again.
    pub(crate) fn still_holds(&mut self, memory: &MvMemory<K, V>, reader: TxIndex) -> bool {
        let Some(since) = self.since else { return true };
        let now = memory.surprises();
        if now == since {
            return true;
        }
        let mut values = self.values.iter();
        let mut holds = |read: &Read| {
            let value = if read.origin == Origin::PreState { None } else { values.next() };
            memory.still_holds(read.place, reader, read.origin, value)
        };
        let holds = self.reads.iter().all(&mut holds)
            && self.presumed.iter().all(|key| memory.is_unwritten(key, reader));
        if holds {
            self.since = Some(now);
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{location::Found, mv_memory::Applied, version::Incarnation};

    const WRITER: Version = Version { tx: TxIndex(0), incarnation: Incarnation(0) };

    #[test]
    fn r1_one_changed_read_is_enough_to_fail() {
        let memory = MvMemory::new();
        memory.apply(WRITER, vec![('a', 1), ('b', 2)], &[]);
        let mut reads = ReadSet::since(memory.surprises());
        assert!(reads.still_holds(&memory, TxIndex(5)));
        for (key, value) in [('a', 1), ('b', 2)] {
            reads.record(memory.note_read(&key, TxIndex(5)).1, WRITER, value);
        }
        reads.record_pre_state(memory.note_read(&'c', TxIndex(5)).1);
        reads.presume('d');
        assert!(reads.still_holds(&memory, TxIndex(5)));
        let later = Version { tx: TxIndex(3), incarnation: Incarnation(0) };
        memory.apply(later, vec![('b', 2)], &[]);
        assert!(reads.still_holds(&memory, TxIndex(5)), "an equal value by another writer");
        for key in ['c', 'd'] {
            let Applied { written, .. } = memory.apply(later, vec![(key, 0)], &[]);
            assert!(!reads.still_holds(&memory, TxIndex(5)), "{key}");
            assert!(reads.still_holds(&memory, TxIndex(3)), "the writer is not below this reader");
            memory.retract(later.tx, &written);
            assert!(reads.still_holds(&memory, TxIndex(5)), "{key}");
        }
    }

    #[test]
    fn r1_what_surprises_nobody_is_not_looked_at() {
        let memory = MvMemory::new();
        let mut reads = ReadSet::since(memory.surprises());
        reads.record_pre_state(memory.note_read(&'a', TxIndex(5)).1);
        let before = memory.surprises();
        assert_eq!(
            memory.read_or(&'b', TxIndex(2), || Ok::<_, ()>(7)).map(|(found, _)| found),
            Ok(Found::PreState(Some(7)))
        );
        memory.apply(Version { tx: TxIndex(4), incarnation: Incarnation(0) }, vec![('b', 0)], &[]);
        assert_eq!(memory.surprises(), before, "nobody above has read there");
        assert!(reads.still_holds(&memory, TxIndex(5)));
        memory.apply(Version { tx: TxIndex(4), incarnation: Incarnation(0) }, vec![('a', 0)], &[]);
        assert!(memory.surprises() > before && !reads.still_holds(&memory, TxIndex(5)));
    }
}
