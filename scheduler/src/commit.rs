//! The committed prefix: it grows in block order, by one, and never back.
//!
//! ```text
//!   0 ─ 1 ─ 2 ─ 3 ─ 4 ─ 5 ─ 6 ─ …
//!   committed   │   speculation
//!               frontier
//! ```
//!
//! One worker at a time has the turn to commit; the others don't wait for it. With the turn, a worker looks at the
//! transaction at the frontier. If it is executed and its reads hold, its output is handed to the executor and the
//! frontier moves on. If they don't, it is aborted, and as its next run starts at the frontier, it is the last.
//!
//! Nobody is left behind when the turn is refused. A worker that has finished the transaction at the frontier leaves
//! it `Executed` and then tries for the turn. Whoever has the turn gives it back and *then* looks at the frontier once
//! more. Either it sees `Executed` and goes on, or the other comes later and finds the turn free.
//!
//! # Invariants
//!
//! - **P1.** The frontier never goes back, and what is below it is committed.
//! - **P2.** Outcomes are handed over one at a time and in block order, each once, before the frontier passes.
//! - **P3.** After the end of the block nothing is handed over.
//!
//! `models/commit.rs` checks them with workers that race.

use core::hash::Hash;

use crossbeam_utils::CachePadded;

use crate::{
    executor::Commit,
    fault::Fault,
    planted::planted,
    round::Round,
    scheduler::Scheduler,
    stats::Stats,
    status::TxStatus,
    sync::{AtomicBool, AtomicU32, Mutex, Ordering, TryLock, TryLockGuard},
    transaction::Run,
    version::TxIndex,
};

/// How far the block is committed, and whether it is over.
#[derive(Debug)]
pub(crate) struct CommittedPrefix {
    /// Read by all, written by whoever has the turn.
    shared: CachePadded<Shared>,
    /// The turn to commit, and what goes with it.
    turn: CachePadded<TryLock<Round>>,
    /// How the block ended; the first word counts.
    ending: Mutex<Option<Result<(), Fault>>>,
    /// How many transactions the block has.
    txs: u32,
}

/// The part that every worker looks at.
#[derive(Debug)]
struct Shared {
    /// The lowest transaction that is not committed.
    frontier: AtomicU32,
    /// The block is over.
    ended: AtomicBool,
}

impl CommittedPrefix {
    /// Nothing is committed. A block without transactions is over at once.
    pub(crate) fn new(txs: u32, round: Round) -> Self {
        let ending = (txs == 0).then_some(Ok(()));
        let shared = Shared { frontier: AtomicU32::new(0), ended: AtomicBool::new(ending.is_some()) };
        Self {
            shared: CachePadded::new(shared),
            turn: CachePadded::new(TryLock::new(round)),
            ending: Mutex::new(ending),
            txs,
        }
    }

    /// The lowest transaction that is not committed.
    pub(crate) fn frontier(&self) -> TxIndex {
        TxIndex(self.shared.frontier.load(Ordering::Acquire))
    }

    /// The block is over: all is committed, or it was stopped, or there was a fault.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Ends the block. Only the first word counts: what speculation does after the end never happened.
    pub(crate) fn end(&self, how: Result<(), Fault>) {
        let mut ending = self.ending.lock();
        if ending.is_none() {
            *ending = Some(how);
            self.shared.ended.store(true, Ordering::Release);
        }
    }

    /// How the block ended, if it has.
    pub(crate) fn into_ending(self) -> Option<Result<(), Fault>> {
        self.ending.into_inner()
    }

    /// The turn to commit, if nobody has it.
    fn try_turn(&self) -> Option<TryLockGuard<'_, Round>> {
        self.turn.try_lock()
    }

    /// Has the block go on to its end, whether or not that pays. Before anybody works on it, so that the turn is free.
    pub(crate) fn be_patient(&self) {
        if let Some(mut turn) = self.try_turn() {
            turn.be_patient();
        }
    }

    /// Moves the frontier past `tx`, and ends the block behind the last one. Only with the turn.
    pub(crate) fn advance(&self, tx: TxIndex) {
        let frontier = tx.next();
        self.shared.frontier.store(frontier.0, Ordering::Release);
        if frontier.0 == self.txs {
            self.end(Ok(()));
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq, O> Scheduler<K, V, O> {
    /// Commits all that can be, if nobody else is at it, and hands each outcome to `take`. Returns how many were.
    ///
    /// # Errors
    ///
    /// A fault if an invariant does not hold.
    pub(crate) fn commit_prefix(
        &self,
        stats: &mut Stats,
        mut take: impl FnMut(TxIndex, O) -> Commit,
    ) -> Result<u32, Fault> {
        let before = stats.committed;
        'turn: while let Some(mut turn) = self.prefix().try_turn() {
            while let Some((tx, run)) = self.settle_frontier(stats)? {
                stats.committed += 1;
                let Run { footprint, cost, spent, output } = run;
                if !footprint.reads.is_settled() {
                    self.likeness().note_commit(tx, |writer| footprint.reads.reads_from(writer));
                }
                let worth_it = turn.note_commit(cost, spent, self.waste());
                stats.has_paid |= turn.has_paid;
                if planted!(CommitOutOfOrder) {
                    drop(turn);
                    self.pass(tx)?;
                    let _: Commit = take(tx, output);
                    continue 'turn;
                }
                let decision = take(tx, output);
                if decision == Commit::Discard {
                    // Before the frontier passes: whoever finds himself there must not see it any more.
                    self.discard(tx, &footprint.written);
                }
                self.hand_on(tx, footprint);
                match decision {
                    Commit::Continue | Commit::Discard => self.pass(tx)?,
                    Commit::Stop => self.end(Ok(())),
                }
                if !worth_it && !self.must_go_on(&mut turn, tx.next()) {
                    stats.gave_up = true;
                    self.end(Ok(()));
                }
            }
            drop(turn);
            if planted!(NoSecondLook) || !self.frontier_is_executed() {
                break;
            }
        }
        Ok(stats.committed - before)
    }

    /// Commits the transaction at the frontier if it is executed and its reads hold. If they don't, aborts it.
    fn settle_frontier(&self, stats: &mut Stats) -> Result<Option<(TxIndex, Run<K, V, O>)>, Fault> {
        if self.prefix().has_ended() {
            return Ok(None);
        }
        let tx = self.prefix().frontier();
        let mut transaction = self.lock(tx);
        let aborted = if planted!(SkipValidation) {
            None
        } else {
            transaction.validate(tx, self.memory(), stats, self.waste())
        };
        let run = transaction.status.commit();
        drop(transaction);
        if let Some(suspension) = aborted {
            stats.aborts_at_frontier += 1;
            self.restart(suspension)?;
        }
        Ok(run.map(|run| (tx, run)))
    }

    /// Moves the frontier past `tx`, and lets those start that have waited for it.
    fn pass(&self, tx: TxIndex) -> Result<(), Fault> {
        self.prefix().advance(tx);
        if self.prefix().has_ended() {
            self.idle().wake_all();
        }
        // The frontier has moved before this lock is taken; `release_at` looks at it under the same lock.
        let waiters = self.lock(tx).take_commit_waiters();
        for suspension in waiters {
            self.make_ready(suspension)?;
        }
        self.wake_for(tx.next());
        Ok(())
    }

    /// Whether a block that is to end goes on with `next`, which is at the frontier: if it had begun when that was found,
    /// is over and holds, or if one that takes long has begun. Their time is spent, so they are not thrown away.
    fn must_go_on(&self, turn: &mut Round, next: TxIndex) -> bool {
        let holds = |run: &mut Run<K, V, O>| run.footprint.reads.still_holds(self.memory(), next);
        let has_begun = next < turn.end_of_begun(self.first_run());
        has_begun && self.lock(next).status.executed_mut().is_some_and(holds)
            || self.early().is_under_way_from(next)
    }

    /// Whether somebody should try for the turn.
    fn frontier_is_executed(&self) -> bool {
        let frontier = self.prefix().frontier();
        // Behind the last transaction there is none: whoever has passed it is about to end the block.
        frontier.0 < self.prefix().txs
            && !self.prefix().has_ended()
            && matches!(self.lock(frontier).status, TxStatus::Executed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workspace;

    /// Seen between the frontier's last move and the end, by a worker that has just given the turn back.
    #[test]
    fn p3_nobody_looks_behind_the_last_transaction() {
        let block = Scheduler::<char, u32, u32>::new(1, Round::steady(2), 4, Workspace::default());
        assert!(!block.frontier_is_executed());
        block.prefix().shared.frontier.store(1, Ordering::Release);
        assert!(!block.prefix().has_ended() && !block.frontier_is_executed());
    }
}
