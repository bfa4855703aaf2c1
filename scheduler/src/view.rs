//! What a worker's runs see, one after the other: the writes of lower transactions, and beneath them the caller's pre-state.
//!
//! A run that starts at the frontier sees only what is final and records nothing. Any other run is speculative: each
//! read is recorded with its origin, so that a validation can replay it. A speculative run that finds itself at the
//! frontier is validated on the spot, and goes on as a final one or not at all.

use core::{fmt, hash::Hash};

use crate::{
    commit::CommittedPrefix,
    location::Found,
    mv_memory::{MvMemory, Place},
    read_set::ReadSet,
    version::{Blocked, TxIndex},
    watch::Watch,
};

/// What one worker's current run sees.
pub struct View<'a, K, V> {
    /// The transaction that runs.
    tx: TxIndex,
    /// Everybody's writes.
    memory: &'a MvMemory<K, V>,
    /// How far the block is committed.
    prefix: &'a CommittedPrefix,
    /// What it has read.
    reads: ReadSet<K, V>,
    /// Why the run cannot go on. It stands even if the executor loses the `Blocked` on its way up.
    wait: Option<Wait>,
    /// Is told of each read.
    watch: Option<&'a dyn Watch>,
}

/// What a run that was given up waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A run of this lower transaction, whose estimate was met.
    Execution(TxIndex),
    /// The commit of every lower transaction.
    Frontier,
}

impl<'a, K: Clone + Eq + Hash, V: Clone + PartialEq> View<'a, K, V> {
    /// The view of a worker that runs nothing yet.
    pub(crate) fn new(memory: &'a MvMemory<K, V>, prefix: &'a CommittedPrefix) -> Self {
        Self { tx: TxIndex(0), memory, prefix, reads: ReadSet::default(), wait: None, watch: None }
    }

    /// The same view, and `watch` is told of each read.
    pub(crate) const fn watched(mut self, watch: Option<&'a dyn Watch>) -> Self {
        self.watch = watch;
        self
    }

    /// A run of `tx` starts. What it reads goes into the room of another run.
    pub(crate) fn open(&mut self, tx: TxIndex, room: ReadSet<K, V>) {
        self.tx = tx;
        self.reads = room;
        let is_ahead = self.prefix.frontier() != tx;
        self.reads.begin(is_ahead.then(|| self.memory.surprises()));
        self.wait = None;
    }

    /// The value of the highest lower transaction that wrote `key`. `None` if there is none: the caller reads its
    /// pre-state, which must not change while the block runs but as [`View::read_or`] says.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if that transaction was aborted and is about to write here again, or if this run cannot count any
    /// more. Return it from [`crate::Executor::execute`]; a run that carries on regardless is void all the same.
    pub fn read(&mut self, key: &K) -> Result<Option<V>, Blocked> {
        self.tell_of_read();
        self.settle()?;
        if self.reads.is_settled() {
            self.take(self.memory.read(key, self.tx))
        } else {
            let (found, place) = self.memory.note_read(key, self.tx);
            self.record(place, found)
        }
    }

    /// As [`View::read`], but where no lower transaction wrote, the value is that of the pre-state: looked up by
    /// `load` the first time anybody asks, and kept for the others.
    ///
    /// What `load` looks at may change while the block runs, but only in [`crate::Executor::commit`], and only where
    /// the transaction that is committed wrote: at this key, or at one that every reader of this key reads before it.
    /// Then a run that was shown the change too early fails its validation (invariant M5).
    ///
    /// # Errors
    ///
    /// As [`View::read`], and that of `load`.
    pub fn read_or<E: From<Blocked>>(
        &mut self,
        key: &K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        self.tell_of_read();
        self.settle()?;
        let (found, place, failed) = match self.memory.read_or(key, self.tx, load) {
            Ok((found, place)) => (found, place, None),
            Err(error) => {
                // A failure is a read like any other: it stands if nobody below writes here.
                let (found, place) = self.memory.note_read(key, self.tx);
                (found, place, Some(error))
            }
        };
        match (self.record(place, found)?, failed) {
            (Some(value), _) => Ok(value),
            (None, Some(error)) => Err(error),
            (None, None) => Err(self.give_up().into()),
        }
    }

    /// As [`View::read`], for a location where most likely nobody writes, and which nobody predicts or reads with
    /// [`View::read_or`]: an answer that is only presumed, and left to the validation. False, and no answer, if the run
    /// is final: its reads are not validated any more.
    ///
    /// # Errors
    ///
    /// As [`View::read`].
    pub fn presume_unwritten(&mut self, key: &K) -> Result<bool, Blocked> {
        self.settle()?;
        if !self.reads.is_settled() {
            self.reads.presume(key.clone());
        }
        Ok(!self.reads.is_settled())
    }

    /// Tells whoever watches that a read is next.
    fn tell_of_read(&self) {
        if let Some(watch) = self.watch {
            watch.reads();
        }
    }

    /// Remembers one read, if need be.
    fn record(&mut self, place: Place, found: Found<V>) -> Result<Option<V>, Blocked> {
        if !self.reads.is_settled() {
            match &found {
                Found::Value(version, value) => self.reads.record(place, *version, value.clone()),
                Found::PreState(_) => self.reads.record_pre_state(place),
                Found::Estimate(_) => {}
            }
        }
        self.take(found)
    }

    /// What was found, or whom it is to wait for.
    fn take(&mut self, found: Found<V>) -> Result<Option<V>, Blocked> {
        match found {
            Found::Value(_, value) => Ok(Some(value)),
            Found::PreState(value) => Ok(value),
            Found::Estimate(lower) => {
                self.wait.get_or_insert(Wait::Execution(lower));
                Err(Blocked(lower))
            }
        }
    }

    /// Makes a speculative run final once every lower transaction is committed: what it has read is checked here and
    /// now, and nothing need be recorded from here on.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if it has read what is no longer so.
    fn settle(&mut self) -> Result<(), Blocked> {
        if self.reads.is_settled() || self.prefix.frontier() != self.tx {
            return Ok(());
        }
        if self.wait.is_none() && self.reads.still_holds(self.memory, self.tx) {
            self.reads.settle();
            return Ok(());
        }
        Err(self.give_up())
    }

    /// This run is void, and the next one waits for the frontier.
    fn give_up(&mut self) -> Blocked {
        self.wait.get_or_insert(Wait::Frontier);
        // Transaction 0 is always final, so there is one below.
        Blocked(TxIndex(self.tx.0.saturating_sub(1)))
    }

    /// The transaction that runs.
    pub const fn tx(&self) -> TxIndex {
        self.tx
    }

    /// True when every lower transaction is committed: what this run reads from here on is final. Once true, it stays
    /// true.
    pub fn is_final(&self) -> bool {
        self.reads.is_settled() || self.prefix.frontier() == self.tx
    }

    /// Gives up a speculative run until every lower transaction is committed, so that it can read what nearly every
    /// transaction writes, such as the beneficiary's balance. The scheduler does not start the transaction again
    /// before it is at the frontier, and then this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`Blocked`] on the transaction right below, unless this run is final already. Return it from
    /// [`crate::Executor::execute`].
    pub fn await_frontier(&mut self) -> Result<(), Blocked> {
        self.settle()?;
        if self.reads.is_settled() { Ok(()) } else { Err(self.give_up()) }
    }

    /// Gives up this run, whatever it has seen, for one that starts at the frontier. Return the result from
    /// [`crate::Executor::execute`].
    ///
    /// Only for a run that started ahead of the frontier: one that starts there would do the same again, for ever.
    pub fn abandon(&mut self) -> Blocked {
        self.give_up()
    }

    /// The end of the run: what it has read, and why it must be given up, if so.
    pub(crate) fn close(&mut self) -> (ReadSet<K, V>, Option<Wait>) {
        (core::mem::take(&mut self.reads), self.wait.take())
    }
}

impl<K, V> fmt::Debug for View<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("tx", &self.tx).field("wait", &self.wait).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mv_memory::Applied,
        round::Round,
        version::{Incarnation, Version},
    };

    const WRITER: Version = Version { tx: TxIndex(0), incarnation: Incarnation(0) };

    /// A block of three of which nothing is committed.
    fn prefix() -> CommittedPrefix {
        CommittedPrefix::new(3, Round::steady(2))
    }

    /// The view of a run of `tx`.
    fn open<'a>(
        tx: TxIndex,
        memory: &'a MvMemory<char, u8>,
        prefix: &'a CommittedPrefix,
    ) -> View<'a, char, u8> {
        let mut view = View::new(memory, prefix);
        view.open(tx, ReadSet::default());
        view
    }

    #[test]
    fn a_speculative_run_records_and_a_final_one_does_not() {
        let memory = MvMemory::new();
        memory.apply(WRITER, vec![('a', 1)], &[]);
        let prefix = prefix();
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert!(!view.is_final());
        assert_eq!((view.read(&'a'), view.read(&'b')), (Ok(Some(1)), Ok(None)));
        let (reads, wait) = view.close();
        assert!(!reads.is_settled() && wait.is_none());

        prefix.advance(TxIndex(0));
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert!(view.is_final());
        assert_eq!(view.read(&'a'), Ok(Some(1)));
        let reads = view.close().0;
        assert!(reads.is_settled());
    }

    #[test]
    fn what_is_presumed_unwritten_is_validated() {
        let memory = MvMemory::new();
        let prefix = prefix();
        let mut view = open(TxIndex(2), &memory, &prefix);
        assert_eq!(view.presume_unwritten(&'a'), Ok(true));
        let mut reads = view.close().0;
        assert!(reads.still_holds(&memory, TxIndex(2)));
        assert!(memory.apply(WRITER, vec![('a', 1)], &[]).missed, "M4");
        assert!(!reads.still_holds(&memory, TxIndex(2)));
        assert_eq!(open(TxIndex(0), &memory, &prefix).presume_unwritten(&'a'), Ok(false));
    }

    #[test]
    fn an_estimate_blocks_even_if_the_executor_forgets() {
        let memory = MvMemory::new();
        let Applied { written, .. } = memory.apply(WRITER, vec![('a', 1)], &[]);
        memory.mark_estimates(WRITER, &written);
        let prefix = prefix();
        let mut view = open(TxIndex(2), &memory, &prefix);
        assert_eq!(view.read(&'a'), Err(Blocked(TxIndex(0))));
        assert_eq!(view.read(&'b'), Ok(None));
        assert_eq!(view.close().1, Some(Wait::Execution(TxIndex(0))));
    }

    #[test]
    fn await_frontier_waits_for_all_below_and_then_lets_pass() {
        let memory = MvMemory::<char, u8>::new();
        let prefix = prefix();
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert_eq!(view.await_frontier(), Err(Blocked(TxIndex(0))));
        assert_eq!(view.close().1, Some(Wait::Frontier));

        let mut view = open(TxIndex(1), &memory, &prefix);
        prefix.advance(TxIndex(0));
        assert!(view.is_final(), "reached while it ran");
        assert_eq!(view.await_frontier(), Ok(()));
    }

    #[test]
    fn a_run_that_reaches_the_frontier_goes_on_as_a_final_one_or_not_at_all() {
        let memory = MvMemory::new();
        for (written, holds) in [('b', true), ('a', false)] {
            let prefix = prefix();
            let mut view = open(TxIndex(1), &memory, &prefix);
            assert_eq!(view.read(&'a'), Ok(None));
            memory.apply(WRITER, vec![(written, 1)], &[]);
            prefix.advance(TxIndex(0));
            assert_eq!(view.read(&'c').is_ok(), holds);
            let (reads, wait) = view.close();
            assert_eq!(reads.is_settled(), holds);
            assert_eq!(wait, (!holds).then_some(Wait::Frontier));
        }
    }
}
