//! Who runs next: the next task, what a finished run sets in motion, and when an aborted transaction may run again.
//!
//! Everything is kept in four places: the transactions, the multi-version memory, the committed prefix, and the
//! cursors that say where to look next. A worker takes the task with the lowest index: a validation, a transaction
//! that runs again, or the next one that has never run. A few that take long may begin before their turn.
//!
//! # Reach
//!
//! How far ahead of the frontier a transaction may start depends on how often it has failed. The first incarnation may
//! start `window` ahead, the next half as far, and so on; in the end it starts at the frontier, where nothing can go
//! wrong. (To have waited for one that resembles it counts as a failure; the few that begin early ignore the window.)
//! So a chain of conflicts, or a block made to provoke them, wastes a bounded number of runs. Where speculation does
//! not pay at all, `pace.rs` ends the block.
//!
//! # Waiting
//!
//! An aborted transaction waits for a run of the transaction whose estimate it met, or for a commit that brings the
//! frontier within its reach; one that has never run may wait for a run of the one before it in its group. It is
//! entered in the list of the one it waits for, under that one's lock and only if what it waits for has not come about;
//! and that one empties its list under the same lock, after it has come about. So nobody is entered too late. Everybody waits for a
//! lower transaction, so nobody waits in a circle.

use core::hash::Hash;

use crossbeam_utils::CachePadded;

use crate::{
    commit::CommittedPrefix,
    cursor::{Cursor, Doubts, Early, Restarts},
    executor::Execution,
    fault::Fault,
    idle::Idle,
    likeness::Likeness,
    mv_memory::{Applied, MvMemory, Place},
    round::{Round, Waste},
    stats::Stats,
    status::{ExecutionClaim, Suspension, broken},
    sync::{Mutex, MutexGuard},
    transaction::{Footprint, Run, Transaction},
    version::{Incarnation, TxIndex},
    view::Wait,
};

/// How many first runs must be waiting within the window for the sleepers to be woken. One by one they are left to the
/// worker that commits: on a chain of conflicts, waking another worker costs more than it brings.
const WORTH_WAKING: u32 = 16;

/// The state of one block while it is run.
#[derive(Debug)]
pub(crate) struct Scheduler<K, V, O> {
    /// One entry for each transaction.
    transactions: Vec<CachePadded<Mutex<Transaction<K, V, O>>>>,
    /// What all runs wrote.
    memory: MvMemory<K, V>,
    /// How far the block is committed.
    prefix: CommittedPrefix,
    /// The next transaction that has never run.
    first_runs: Cursor,
    /// Those that may begin before their turn.
    early: Early,
    /// The transactions that are ready to run again.
    restarts: Restarts,
    /// The transactions to validate ahead of the frontier.
    doubts: Doubts,
    /// Where idle workers sleep.
    idle: Idle,
    /// How many transactions the block has.
    txs: u32,
    /// How far ahead of the frontier a first run may start.
    window: u32,
    /// Runs in vain, for the decision whether to go on.
    waste: Waste,
    /// Who resembles whom.
    likeness: Likeness,
}

/// The room that a block has taken, for the next one.
#[derive(Debug)]
pub struct Workspace<K, V, O> {
    /// Its transactions.
    transactions: Vec<CachePadded<Mutex<Transaction<K, V, O>>>>,
    /// Its memory.
    memory: MvMemory<K, V>,
    /// Nothing is left of the block.
    is_tidy: bool,
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq, O> Default for Workspace<K, V, O> {
    /// No room.
    fn default() -> Self {
        Self { transactions: Vec::new(), memory: MvMemory::new(), is_tidy: true }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq, O> Workspace<K, V, O> {
    /// Clears away what is left of the block, if that is still to be done before the next one begins.
    pub fn tidy(&mut self) {
        if !self.is_tidy {
            for transaction in &self.transactions {
                transaction.lock().renew();
            }
            self.memory.clear();
            self.is_tidy = true;
        }
    }
}

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Task {
    /// Run this incarnation.
    Execute(ExecutionClaim<Place>),
    /// Replay the reads of this transaction's last run.
    Validate(TxIndex),
}

impl Task {
    /// The transaction it is about.
    pub(crate) const fn tx(&self) -> TxIndex {
        match self {
            Self::Execute(claim) => claim.version().tx,
            Self::Validate(tx) => *tx,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq, O> Scheduler<K, V, O> {
    /// A block of which nothing has been run.
    pub(crate) fn new(txs: u32, round: Round, window: u32, mut workspace: Workspace<K, V, O>) -> Self {
        workspace.tidy();
        let Workspace { mut transactions, memory, .. } = workspace;
        transactions.resize_with(txs as usize, || CachePadded::new(Mutex::new(Transaction::new())));
        Self {
            transactions,
            memory,
            prefix: CommittedPrefix::new(txs, round),
            first_runs: Cursor::default(),
            early: Early::default(),
            restarts: Restarts::new(),
            doubts: Doubts::default(),
            idle: Idle::new(),
            txs,
            window,
            waste: Waste::default(),
            likeness: Likeness::default(),
        }
    }

    /// Leaves what `tx` will likely write where it will likely write.
    pub(crate) fn predict(&self, tx: TxIndex, predictions: Vec<(K, Option<V>)>) {
        if let Some(transaction) = self.transactions.get(tx.0 as usize) {
            let keys = self.memory.predict(tx, predictions);
            transaction.lock().status.predict(keys);
        }
    }

    /// Says who should begin before their turn.
    pub(crate) fn start_early(&mut self, txs: &[TxIndex]) {
        self.early = Early::new(txs);
    }

    /// Says which transactions resemble each other.
    pub(crate) fn group(&mut self, groups: &[u32]) {
        self.likeness = Likeness::new(groups);
    }

    /// The task with the lowest index, if there is any within the window.
    ///
    /// # Errors
    ///
    /// A fault if a transaction that should be ready is not.
    pub(crate) fn next_task(&self, stats: &mut Stats) -> Result<Option<Task>, Fault> {
        loop {
            let restart = self.restarts.lowest();
            let first_run = self.first_runs.peek();
            let frontier = self.prefix.frontier();
            // The transaction at the frontier is validated by whoever commits it.
            if let Some(tx) = self.doubts.take(frontier.next(), restart.min(first_run)) {
                if self.lock(tx).status.executed().is_some() {
                    return Ok(Some(Task::Validate(tx)));
                }
                continue;
            }
            let next = if restart.min(first_run) > frontier
                && let Some(tx) = self.early.take(first_run)
            {
                // Somebody is at the frontier, so there is time for what takes long.
                Some(tx)
            } else if restart < first_run {
                self.restarts.pop()
            } else {
                match self.first_runs.take(TxIndex(0), self.window_end(frontier)) {
                    Some(tx) => self.early.begin(tx).then_some(tx),
                    None => return Ok(None),
                }
            };
            let Some(tx) = next else { continue };
            let claim = self.lock(tx).status.claim(tx).ok_or(broken("S1", tx))?;
            // The first run of one that will likely be in vain.
            if claim.version().incarnation == Incarnation(0)
                && let Some(lower) = self.likeness.predecessor(tx)
                && !self.lock(lower).is_finished()
            {
                stats.delays += 1;
                self.suspend(claim, lower)?;
                continue;
            }
            return Ok(Some(Task::Execute(claim)));
        }
    }

    /// Room for the footprint of a run of `tx`, if there is any from others.
    pub(crate) fn take_room(&self, tx: TxIndex) -> Option<Box<Footprint<K, V>>> {
        self.lock(tx).room.take()
    }

    /// Gives a transaction room for its next run.
    pub(crate) fn give_room(&self, tx: TxIndex, room: Box<Footprint<K, V>>) {
        self.lock(tx).room = Some(room);
    }

    /// Hands the room of a transaction that is being committed on to the one that may start once the frontier has passed
    /// it. Behind the last one, it goes to one that is committed, from the first one on: where the whole block is committed,
    /// those that begin the next one find it. There is always such a one: if the block is shorter than the window, it is
    /// the transaction itself.
    pub(crate) fn hand_on(&self, tx: TxIndex, room: Box<Footprint<K, V>>) {
        let next = tx.0.saturating_add(self.window).saturating_add(1);
        let heir = if next < self.txs { next } else { (next - self.txs).min(tx.0) };
        self.give_room(TxIndex(heir), room);
    }

    /// Takes the result of a run: its writes become visible, and those who waited for them go on. Returns whether the run
    /// is in doubt, because somebody has been surprised since it began.
    ///
    /// # Errors
    ///
    /// A fault if an invariant does not hold.
    pub(crate) fn publish(
        &self,
        mut claim: ExecutionClaim<Place>,
        mut footprint: Box<Footprint<K, V>>,
        execution: Execution<K, V, O>,
        stats: &mut Stats,
    ) -> Result<bool, Fault> {
        let version = claim.version();
        let Execution { writes, cost, output } = execution;
        let spent = self.waste.spent(cost, footprint.reads.len() + writes.len());
        let estimates = claim.take_estimates();
        let room = core::mem::take(&mut footprint.written);
        let Applied { written, missed, hits } = self.memory.apply_in(room, version, writes, &estimates);
        footprint.written = written;
        if version.incarnation == Incarnation(0) {
            stats.predictions += estimates.len() as u64;
            stats.prediction_hits += hits as u64;
        }
        let doubtful = footprint.reads.is_doubtful(&self.memory);
        let mut transaction = self.lock(version.tx);
        transaction.status.finish(claim, Run { footprint, cost, spent, output })?;
        let waiters = transaction.take_execution_waiters();
        drop(transaction);
        if missed {
            self.doubt(version.tx.next());
        }
        for suspension in waiters {
            self.release(suspension)?;
        }
        Ok(doubtful)
    }

    /// Takes back the claim of a run that could not go on, and has its transaction wait.
    ///
    /// # Errors
    ///
    /// A fault if an invariant does not hold.
    pub(crate) fn block(&self, claim: ExecutionClaim<Place>, wait: Wait) -> Result<(), Fault> {
        let tx = claim.version().tx;
        self.waste.note_wait();
        match wait {
            Wait::Frontier => {
                let suspension = self.lock(tx).status.block(claim)?;
                self.release_at(suspension, tx)
            }
            Wait::Execution(lower) if lower < tx => {
                self.likeness.note_waste(tx);
                self.suspend(claim, lower)
            }
            Wait::Execution(_) => Err(broken("M1", tx)),
        }
    }

    /// Takes back a claim until `lower` has finished a run.
    fn suspend(&self, claim: ExecutionClaim<Place>, lower: TxIndex) -> Result<(), Fault> {
        let suspension = self.lock(claim.version().tx).status.block(claim)?;
        let mut lower = self.lock(lower);
        if !lower.is_finished() {
            lower.execution_waiters.push(suspension);
            return Ok(());
        }
        drop(lower);
        self.release(suspension)
    }

    /// Replays the reads of this transaction's last run, and aborts it if they don't hold. Returns whether they do.
    ///
    /// # Errors
    ///
    /// A fault if an invariant does not hold.
    pub(crate) fn validate(&self, tx: TxIndex, stats: &mut Stats) -> Result<bool, Fault> {
        let aborted = self.lock(tx).validate(tx, &self.memory, stats, &self.waste);
        let Some(suspension) = aborted else { return Ok(true) };
        self.restart(suspension)?;
        Ok(false)
    }

    /// Takes back what `tx` has written, whose outcome is that it has not; those who read it are validated.
    pub(crate) fn discard(&self, tx: TxIndex, written: &[Place]) {
        self.memory.retract(tx, written);
        if !written.is_empty() {
            self.doubt(tx.next());
        }
    }

    /// Has those validated that have begun, from `tx` on.
    fn doubt(&self, tx: TxIndex) {
        self.doubts.add(tx, self.first_runs.peek());
    }

    /// What follows an abort: those who read the void writes are validated, and the transaction will run again.
    ///
    /// # Errors
    ///
    /// A fault if an invariant does not hold.
    pub(crate) fn restart(&self, suspension: Suspension) -> Result<(), Fault> {
        self.likeness.note_waste(suspension.tx());
        self.doubt(suspension.tx().next());
        self.release(suspension)
    }

    /// Lets a transaction run again as soon as the frontier is within its reach.
    fn release(&self, suspension: Suspension) -> Result<(), Fault> {
        let reach = self.reach(suspension.next_incarnation());
        let start = TxIndex(suspension.tx().0.saturating_sub(reach));
        self.release_at(suspension, start)
    }

    /// Lets a transaction run again as soon as the frontier is at `start` or beyond.
    fn release_at(&self, suspension: Suspension, start: TxIndex) -> Result<(), Fault> {
        if self.prefix.frontier() < start {
            let mut last = self.lock(TxIndex(start.0 - 1));
            // Once more under the lock: `pass` moves the frontier first and empties the list afterwards.
            if self.prefix.frontier() < start {
                last.commit_waiters.push(suspension);
                return Ok(());
            }
        }
        self.make_ready(suspension)
    }

    /// Lets a transaction run again now.
    ///
    /// # Errors
    ///
    /// A fault if it was not aborted.
    pub(crate) fn make_ready(&self, suspension: Suspension) -> Result<(), Fault> {
        let tx = suspension.tx();
        self.lock(tx).status.release(suspension)?;
        // One alone is taken by this worker, which is awake.
        if self.restarts.push(tx) > 1 {
            self.idle.nudge(false);
        }
        Ok(())
    }

    /// How far ahead of the frontier this incarnation may start.
    fn reach(&self, incarnation: Incarnation) -> u32 {
        self.window.checked_shr(incarnation.0).unwrap_or(0)
    }

    /// The end of the window within which first runs may start.
    fn window_end(&self, frontier: TxIndex) -> TxIndex {
        TxIndex(frontier.0.saturating_add(self.window).saturating_add(1).min(self.txs))
    }

    /// Wakes the sleepers if the frontier's move has brought enough transactions into the window.
    pub(crate) fn wake_for(&self, frontier: TxIndex) {
        let end = self.window_end(frontier).0;
        let waiting = end.saturating_sub(self.first_runs.peek().0);
        if waiting >= WORTH_WAKING || (waiting > 1 && end == self.txs) {
            self.idle.nudge(true);
        }
    }

    /// Ends the block and wakes everybody.
    pub(crate) fn end(&self, how: Result<(), Fault>) {
        self.prefix.end(how);
        self.idle.wake_all();
    }

    /// The next transaction that has never run.
    pub(crate) fn first_run(&self) -> TxIndex {
        self.first_runs.peek()
    }

    /// What all runs wrote.
    pub(crate) const fn memory(&self) -> &MvMemory<K, V> {
        &self.memory
    }

    /// How far the block is committed.
    pub(crate) const fn prefix(&self) -> &CommittedPrefix {
        &self.prefix
    }

    /// Those that may begin before their turn.
    pub(crate) const fn early(&self) -> &Early {
        &self.early
    }

    /// Runs in vain.
    pub(crate) const fn waste(&self) -> &Waste {
        &self.waste
    }

    /// Who resembles whom.
    pub(crate) const fn likeness(&self) -> &Likeness {
        &self.likeness
    }

    /// Where idle workers sleep.
    pub(crate) const fn idle(&self) -> &Idle {
        &self.idle
    }

    /// How the block ended, if it has, and its room.
    pub(crate) fn into_parts(self) -> (Option<Result<(), Fault>>, Workspace<K, V, O>) {
        let Self { transactions, memory, prefix, .. } = self;
        (prefix.into_ending(), Workspace { transactions, memory, is_tidy: false })
    }

    /// All that is kept about one transaction.
    pub(crate) fn lock(&self, tx: TxIndex) -> MutexGuard<'_, Transaction<K, V, O>> {
        self.transactions[tx.0 as usize].lock()
    }
}
