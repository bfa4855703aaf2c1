//! What a worker's runs see, one after the other: the writes of lower transactions, and beneath them the caller's pre-state.
//!
//! A run that starts at the frontier sees only what is final and records nothing. Any other run is speculative: each
//! read is recorded with its origin, so that a validation can replay it.

use core::{fmt, hash::Hash};

use crate::{
    commit::CommittedPrefix,
    mv_memory::{Found, MvMemory},
    read_set::ReadSet,
    version::{Blocked, Origin, TxIndex},
};

/// What one worker's current run sees.
pub struct View<'a, K, V> {
    /// The transaction that runs.
    tx: TxIndex,
    /// Everybody's writes.
    memory: &'a MvMemory<K, V>,
    /// How far the block is committed.
    prefix: &'a CommittedPrefix,
    /// What was read; `None` if the run started at the frontier.
    reads: Option<ReadSet<K, V>>,
    /// Why the run cannot go on. It stands even if the executor loses the `Blocked` on its way up.
    wait: Option<Wait>,
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
    pub(crate) const fn new(memory: &'a MvMemory<K, V>, prefix: &'a CommittedPrefix) -> Self {
        Self { tx: TxIndex(0), memory, prefix, reads: None, wait: None }
    }

    /// A run of `tx` starts.
    pub(crate) fn open(&mut self, tx: TxIndex) {
        self.tx = tx;
        self.reads = (self.prefix.frontier() != tx).then(ReadSet::new);
        self.wait = None;
    }

    /// The value of the highest lower transaction that wrote `key`. `None` if there is none: the caller reads its
    /// pre-state, which must not change while the block runs.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if that transaction was aborted and is about to write here again. Return it from
    /// [`crate::Executor::execute`]; a run that carries on regardless is void all the same.
    pub fn read(&mut self, key: &K) -> Result<Option<V>, Blocked> {
        match self.memory.read(key, self.tx) {
            Found::Value(version, value) => {
                if let Some(reads) = &mut self.reads {
                    reads.record(key.clone(), Origin::Version(version), Some(value.clone()));
                }
                Ok(Some(value))
            }
            Found::PreState => {
                if let Some(reads) = &mut self.reads {
                    reads.record(key.clone(), Origin::PreState, None);
                }
                Ok(None)
            }
            Found::Estimate(lower) => {
                self.wait.get_or_insert(Wait::Execution(lower));
                Err(Blocked(lower))
            }
        }
    }

    /// The transaction that runs.
    pub const fn tx(&self) -> TxIndex {
        self.tx
    }

    /// True when every lower transaction is committed: what this run reads from here on is final. Once true, it stays
    /// true. What a speculative run read earlier is still checked before it commits.
    pub fn is_final(&self) -> bool {
        self.reads.is_none() || self.prefix.frontier() == self.tx
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
        if self.is_final() {
            return Ok(());
        }
        self.wait = Some(Wait::Frontier);
        // Transaction 0 is always final, so there is one below.
        Err(Blocked(TxIndex(self.tx.0.saturating_sub(1))))
    }

    /// The end of the run: what it read, and why it must be given up, if so. No reads if it started at the frontier.
    pub(crate) const fn close(&mut self) -> (Option<ReadSet<K, V>>, Option<Wait>) {
        (self.reads.take(), self.wait.take())
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
    use crate::version::{Incarnation, Version};

    const WRITER: Version = Version { tx: TxIndex(0), incarnation: Incarnation(0) };

    /// The view of a run of `tx`.
    fn open<'a>(
        tx: TxIndex,
        memory: &'a MvMemory<char, u8>,
        prefix: &'a CommittedPrefix,
    ) -> View<'a, char, u8> {
        let mut view = View::new(memory, prefix);
        view.open(tx);
        view
    }

    #[test]
    fn a_speculative_run_records_and_a_final_one_does_not() {
        let memory = MvMemory::new();
        memory.apply(WRITER, vec![('a', 1)], &[]);
        let prefix = CommittedPrefix::new(3);
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert!(!view.is_final());
        assert_eq!((view.read(&'a'), view.read(&'b')), (Ok(Some(1)), Ok(None)));
        let (reads, wait) = view.close();
        assert!(!reads.unwrap().is_empty() && wait.is_none());

        prefix.advance(TxIndex(0));
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert!(view.is_final());
        assert_eq!(view.read(&'a'), Ok(Some(1)));
        assert!(view.close().0.is_none());
    }

    #[test]
    fn an_estimate_blocks_even_if_the_executor_forgets() {
        let memory = MvMemory::new();
        memory.apply(WRITER, vec![('a', 1)], &[]);
        memory.mark_estimates(WRITER, &['a']);
        let prefix = CommittedPrefix::new(3);
        let mut view = open(TxIndex(2), &memory, &prefix);
        assert_eq!(view.read(&'a'), Err(Blocked(TxIndex(0))));
        assert_eq!(view.read(&'b'), Ok(None));
        assert_eq!(view.close().1, Some(Wait::Execution(TxIndex(0))));
    }

    #[test]
    fn await_frontier_waits_for_all_below_and_then_lets_pass() {
        let memory = MvMemory::<char, u8>::new();
        let prefix = CommittedPrefix::new(3);
        let mut view = open(TxIndex(1), &memory, &prefix);
        assert_eq!(view.await_frontier(), Err(Blocked(TxIndex(0))));
        assert_eq!(view.close().1, Some(Wait::Frontier));

        let mut view = open(TxIndex(1), &memory, &prefix);
        prefix.advance(TxIndex(0));
        assert!(view.is_final(), "reached while it ran");
        assert_eq!(view.await_frontier(), Ok(()));
    }
}
