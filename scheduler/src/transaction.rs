//! All that is kept about one transaction, behind one lock: where it stands, its last run, who waits for it, and room for
//! the footprint of its next run.
//!
//! The lock is held for a few instructions, and for the length of a validation. It is never held while the executor
//! runs. Reads don't need it: they go to the multi-version memory.
//!
//! LOCKS: while this lock is held, shards of the memory are locked. Nobody locks a transaction while holding a
//! shard, and nobody holds two transactions.

use core::{hash::Hash, mem};

use crate::{
    mv_memory::{MvMemory, Place},
    read_set::ReadSet,
    round::Waste,
    stats::Stats,
    status::{Suspension, TxStatus},
    version::TxIndex,
};

/// One transaction of the block.
#[derive(Debug)]
pub(crate) struct Transaction<K, V, O> {
    /// Where it stands.
    pub(crate) status: TxStatus<Place, Run<K, V, O>>,
    /// Higher transactions that met an estimate of this one, or follow it in a row. They go on when it has finished a run.
    pub(crate) execution_waiters: Vec<Suspension>,
    /// Higher transactions that may not start again before this one is committed.
    pub(crate) commit_waiters: Vec<Suspension>,
    /// Room for the footprint of its next run, from one that is over. What it was may still stand there.
    pub(crate) room: Option<Box<Footprint<K, V>>>,
}

/// Where a run has been. It is handed on from transaction to transaction as room for another, so that none is allocated
/// for each; in a box, as it is moved often.
#[derive(Debug)]
pub(crate) struct Footprint<K, V> {
    /// What it has read.
    pub(crate) reads: ReadSet<K, V>,
    /// Where it wrote.
    pub(crate) written: Vec<Place>,
}

impl<K, V> Default for Footprint<K, V> {
    fn default() -> Self {
        Self { reads: ReadSet::default(), written: Vec::new() }
    }
}

/// What a finished run leaves behind.
#[derive(Debug)]
pub(crate) struct Run<K, V, O> {
    /// Where it has been.
    pub(crate) footprint: Box<Footprint<K, V>>,
    /// How long it took to run.
    pub(crate) cost: u32,
    /// What it took of all workers together.
    pub(crate) spent: u64,
    /// What else it produced.
    pub(crate) output: O,
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq, O> Transaction<K, V, O> {
    /// A transaction that nobody has run.
    pub(crate) const fn new() -> Self {
        Self {
            status: TxStatus::new(),
            execution_waiters: Vec::new(),
            commit_waiters: Vec::new(),
            room: None,
        }
    }

    /// Has finished a run that is not void, so that a reader will find its writes.
    pub(crate) const fn is_finished(&self) -> bool {
        matches!(self.status, TxStatus::Executed { .. } | TxStatus::Committed)
    }

    /// Replays the reads of the last run. If they don't hold, aborts it, leaves estimates where it wrote, and hands
    /// over the suspension. A transaction that is not executed has nothing to replay.
    pub(crate) fn validate(
        &mut self,
        tx: TxIndex,
        memory: &MvMemory<K, V>,
        stats: &mut Stats,
        waste: &Waste,
    ) -> Option<Suspension> {
        let reads = &mut self.status.executed_mut()?.footprint.reads;
        if reads.is_settled() {
            return None;
        }
        stats.validations += 1;
        if reads.still_holds(memory, tx) {
            return None;
        }
        stats.aborts += 1;
        let room = &mut self.room;
        self.status.abort(tx, |version, run| {
            let Run { mut footprint, spent, .. } = run;
            waste.note_abort(spent);
            memory.mark_estimates(version, &footprint.written);
            let written = mem::take(&mut footprint.written);
            *room = Some(footprint);
            written
        })
    }

    /// The transaction of another block, with the room that this one has, in which nothing is left.
    pub(crate) fn renew(&mut self) {
        let mut room = self.room.take();
        if let Some(room) = &mut room {
            room.reads.settle();
            room.written.clear();
        }
        *self = Self { room, ..Self::new() };
    }

    /// Those who wait for a run of this transaction; the caller releases them.
    pub(crate) fn take_execution_waiters(&mut self) -> Vec<Suspension> {
        mem::take(&mut self.execution_waiters)
    }

    /// Those who wait for this transaction's commit; the caller makes them ready.
    pub(crate) fn take_commit_waiters(&mut self) -> Vec<Suspension> {
        mem::take(&mut self.commit_waiters)
    }
}
