//! A block and its workers: one step at a time, driven by threads or by a simulator.
//!
//! ```text
//!   ┌──► commit what can be ──► take a task ──► run it ──┐
//!   │                              │ none               │
//!   │                              ▼                    │
//!   └────────────── idle ◄─────────┴────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - **W1.** One worker alone finishes the block, whether or not others start, or finds that it does not pay.
//! - **W2.** A panic or a broken invariant ends the block for all workers.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    executor::Executor,
    fault::Fault,
    mv_memory::Place,
    round::Round,
    scheduler::{Scheduler, Task, Workspace},
    stats::Stats,
    status::ExecutionClaim,
    sync::{Backoff, Mutex},
    version::TxIndex,
    view::{View, Wait},
    watch::Watch,
};

/// How many transactions ahead of the frontier each worker may keep busy. It bounds memory, and what a conflict can
/// throw away.
const WINDOW_PER_WORKER: u32 = 64;

/// The room of a block for this executor.
pub type WorkspaceOf<E> = Workspace<<E as Executor>::Key, <E as Executor>::Value, <E as Executor>::Output>;

/// A block that is being run.
///
/// Any number of threads call [`Block::work`], each with a number of its own; when one of them returns, the block is
/// over and [`Block::finish`] says how it went.
#[derive(Debug)]
pub struct Block<'e, E: Executor> {
    /// How to run a transaction, and what to do with its outcome.
    executor: &'e E,
    /// Who runs next.
    scheduler: Scheduler<E::Key, E::Value, E::Output>,
    /// Counts of the workers that have left.
    stats: Mutex<Stats>,
}

/// Says of a block that nobody works on what its transactions will likely write. See [`Block::predictor`].
#[derive(Debug)]
pub struct Predictor<'p, 'e, E: Executor>(&'p Block<'e, E>);

impl<E: Executor> Predictor<'_, '_, E> {
    /// See [`Block::predict`].
    pub fn predict(&self, tx: TxIndex, predictions: Vec<(E::Key, Option<E::Value>)>) {
        self.0.scheduler.predict(tx, predictions);
    }
}

/// One worker of a block.
pub struct Worker<'b, 'e: 'b, E: Executor> {
    /// The block it works on.
    block: &'b Block<'e, E>,
    /// Its number, for the executor.
    index: usize,
    /// What the executor keeps between runs.
    scratch: Option<E::Scratch<'b>>,
    /// What it has taken on and not done yet.
    task: Option<Task>,
    /// Something has changed since it last looked whether anything can be committed.
    commit_due: bool,
    /// It counts among those that have something to do; `None` before its first step is over.
    busy: Option<bool>,
    /// The transaction at hand, in case of a panic.
    at: TxIndex,
    /// What it has done.
    stats: Stats,
    /// Is told what happens within its steps.
    watch: Option<&'b dyn Watch>,
}

/// What a worker did in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Took a task on.
    Claimed(TxIndex),
    /// Ran a transaction to its end.
    Executed(TxIndex),
    /// Ran a transaction until it had to wait.
    Suspended(TxIndex),
    /// Replayed the reads of a transaction, and they held.
    Validated(TxIndex),
    /// Replayed the reads of a transaction, and they did not hold.
    Aborted(TxIndex),
    /// Committed one or more transactions.
    Committed {
        /// The lowest of them.
        first: TxIndex,
        /// How many.
        count: u32,
    },
    /// Found nothing to do.
    Idle,
    /// Found the block over.
    Done,
}

impl<'e, E: Executor> Block<'e, E> {
    /// A block of `txs` transactions, of which nothing has been run, for up to `workers` workers.
    pub fn new(executor: &'e E, txs: u32, workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        Self::with_round(executor, txs, Round::steady(workers), Workspace::default())
    }

    /// A block that ends before its time if `round` finds it not worth while.
    pub(crate) fn with_round(executor: &'e E, txs: u32, round: Round, workspace: WorkspaceOf<E>) -> Self {
        let window = round.workers.saturating_mul(WINDOW_PER_WORKER);
        let scheduler = Scheduler::new(txs, round, window, workspace);
        Self { executor, scheduler, stats: Mutex::new(Stats::default()) }
    }

    /// Transaction `tx` will likely write at these locations. Where the value is known as well, whoever reads there
    /// goes on with it; where it is not, he waits, instead of running on what will be overwritten. A prediction that
    /// proves wrong costs a run or a wait, and nothing else.
    pub fn predict(&mut self, tx: TxIndex, predictions: Vec<(E::Key, Option<E::Value>)>) {
        self.predictor().predict(tx, predictions);
    }

    /// Predicts as [`Block::predict`] does, on any number of threads at once. Nobody works on the block meanwhile.
    pub fn predictor(&mut self) -> Predictor<'_, 'e, E> {
        Predictor(self)
    }

    /// These transactions, of which none is named twice, likely take long: workers with nothing more urgent to do begin
    /// with them.
    pub fn start_early(&mut self, txs: &[TxIndex]) {
        self.scheduler.start_early(txs);
    }

    /// Transactions of one group resemble each other: if some get in each other's way, the others likely will. One
    /// number per transaction, counted from 0 without gaps.
    pub fn group(&mut self, groups: &[u32]) {
        self.scheduler.group(groups);
    }

    /// Works on the block until it is over. Any number of threads may call this at once.
    pub fn work(&self, worker: usize) {
        self.work_watched(worker, |_| ());
    }

    /// As [`Block::work`], and tells `watch` of every step when it is done.
    pub fn work_watched(&self, worker: usize, mut watch: impl FnMut(Step)) {
        let mut worker = self.worker(worker);
        let backoff = Backoff::new();
        loop {
            let step = worker.step();
            watch(step);
            match step {
                Step::Done => return,
                Step::Idle if backoff.is_completed() => worker.rest(),
                Step::Idle => backoff.snooze(),
                Step::Claimed(_)
                | Step::Executed(_)
                | Step::Suspended(_)
                | Step::Validated(_)
                | Step::Aborted(_)
                | Step::Committed { .. } => backoff.reset(),
            }
        }
    }

    /// A worker to be driven step by step.
    pub fn worker(&self, index: usize) -> Worker<'_, 'e, E> {
        self.worker_with(index, None)
    }

    /// As [`Block::worker`], and `watch` is told what happens within its steps.
    pub(crate) fn watched_worker<'b>(&'b self, index: usize, watch: &'b dyn Watch) -> Worker<'b, 'e, E> {
        self.worker_with(index, Some(watch))
    }

    /// Who runs next, and what has become of whom.
    pub(crate) const fn scheduler(&self) -> &Scheduler<E::Key, E::Value, E::Output> {
        &self.scheduler
    }

    /// A worker, watched or not.
    fn worker_with<'b>(&'b self, index: usize, watch: Option<&'b dyn Watch>) -> Worker<'b, 'e, E> {
        Worker {
            block: self,
            index,
            scratch: None,
            task: None,
            commit_due: false,
            busy: None,
            at: TxIndex(0),
            stats: Stats::default(),
            watch,
        }
    }

    /// What the workers did, once one of them has found the block over and all have left. If speculation did not pay,
    /// it ends before its time: `committed` says how far it came.
    ///
    /// # Errors
    ///
    /// [`Fault`] if there was a bug; what was committed until then stands.
    pub fn finish(self) -> Result<Stats, Fault> {
        self.finish_and_keep().0
    }

    /// As [`Block::finish`], and gives the block's room back, for the next one, which may be tidied before.
    pub fn finish_and_keep(self) -> (Result<Stats, Fault>, WorkspaceOf<E>) {
        let stats = self.stats.into_inner();
        let (ending, workspace) = self.scheduler.into_parts();
        let ended = match ending {
            Some(Ok(())) => Ok(stats),
            Some(Err(fault)) => Err(fault),
            None => Err(Fault::Unfinished { committed: stats.committed }),
        };
        (ended, workspace)
    }
}

impl<E: Executor> Worker<'_, '_, E> {
    /// Does one thing.
    ///
    /// Between two steps a worker may hold a claim, so whoever begins to drive one must drive it to [`Step::Done`].
    pub fn step(&mut self) -> Step {
        let scheduler = &self.block.scheduler;
        if scheduler.prefix().has_ended() {
            return Step::Done;
        }
        // INVARIANT W2: whatever goes wrong ends the block, and wakes those who sleep.
        match catch_unwind(AssertUnwindSafe(|| self.try_step())) {
            Ok(Ok(step)) => {
                self.note_busy(step != Step::Idle);
                return step;
            }
            Ok(Err(fault)) => scheduler.end(Err(fault)),
            Err(_) => scheduler.end(Err(Fault::Panicked { tx: self.at })),
        }
        Step::Done
    }

    /// Counts itself among those that have come, and among those that have something to do, or no more.
    fn note_busy(&mut self, busy: bool) {
        let waste = self.block.scheduler.waste();
        if self.busy.is_none() {
            waste.note_here();
        }
        if self.busy.replace(busy).unwrap_or(false) != busy {
            waste.note_busy(busy);
        }
    }

    /// Does one thing, or reports a broken invariant.
    fn try_step(&mut self) -> Result<Step, Fault> {
        match self.task.take() {
            Some(Task::Execute(claim)) => return self.execute(claim),
            Some(Task::Validate(tx)) => return self.validate(tx),
            None => {}
        }
        if self.commit_due {
            let first = self.block.scheduler.prefix().frontier();
            let count = self.commit()?;
            if count > 0 {
                return Ok(Step::Committed { first, count });
            }
        }
        let Some(task) = self.block.scheduler.next_task(&mut self.stats)? else { return Ok(Step::Idle) };
        let tx = task.tx();
        self.task = Some(task);
        Ok(Step::Claimed(tx))
    }

    /// Runs a transaction once.
    fn execute(&mut self, claim: ExecutionClaim<Place>) -> Result<Step, Fault> {
        let Block { executor, scheduler, .. } = self.block;
        let tx = claim.version().tx;
        self.at = tx;
        self.stats.executions += 1;
        let watch = self.watch;
        let scratch = self.scratch.get_or_insert_with(|| {
            executor.scratch(self.index, View::new(scheduler.memory(), scheduler.prefix()).watched(watch))
        });
        if let Some(watch) = watch {
            watch.run_begins(tx);
        }
        let mut footprint = scheduler.take_room(tx).unwrap_or_default();
        executor.view(scratch).open(tx, core::mem::take(&mut footprint.reads));
        let result = executor.execute(scratch, tx);
        let (reads, wait) = executor.view(scratch).close();
        footprint.reads = reads;
        if let Some(watch) = watch {
            watch.run_ends(wait.is_some());
        }
        match (wait, result) {
            (Some(wait), _) => {
                self.stats.waits += 1;
                self.stats.waits_for_frontier += u64::from(wait == Wait::Frontier);
                scheduler.give_room(tx, footprint);
                scheduler.block(claim, wait)?;
                return Ok(Step::Suspended(tx));
            }
            (None, Ok(execution)) => {
                let doubtful = scheduler.publish(claim, footprint, execution, &mut self.stats)?;
                // What it has read is near now, and whoever commits it has others to wait for.
                self.task = doubtful.then_some(Task::Validate(tx));
                self.commit_due = true;
            }
            (None, Err(_)) => return Err(Fault::BlockedWithoutCause { tx }),
        }
        Ok(Step::Executed(tx))
    }

    /// Replays the reads of a transaction.
    fn validate(&mut self, tx: TxIndex) -> Result<Step, Fault> {
        self.at = tx;
        let held = self.block.scheduler.validate(tx, &mut self.stats)?;
        Ok(if held { Step::Validated(tx) } else { Step::Aborted(tx) })
    }

    /// Commits what can be, if nobody else is at it.
    fn commit(&mut self) -> Result<u32, Fault> {
        self.commit_due = false;
        let Block { executor, scheduler, .. } = self.block;
        let (at, watch) = (&mut self.at, self.watch);
        scheduler.commit_prefix(&mut self.stats, |tx, output| {
            *at = tx;
            if let Some(watch) = watch {
                watch.commits(tx);
            }
            executor.commit(tx, output)
        })
    }

    /// Whether the next step begins with a look at what can be committed.
    pub(crate) const fn look_for_commits(&mut self, look: bool) {
        self.commit_due = look;
    }

    /// Sleeps until there may be something to do.
    fn rest(&mut self) {
        let scheduler = &self.block.scheduler;
        let ticket = scheduler.idle().announce();
        // Once more, now that everybody knows: what was left before the announcement is found here.
        if self.step() == Step::Idle {
            scheduler.idle().sleep(ticket);
        } else {
            scheduler.idle().withdraw(ticket);
        }
    }
}

impl<E: Executor> fmt::Debug for Worker<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).field("task", &self.task).finish_non_exhaustive()
    }
}

impl<E: Executor> Drop for Worker<'_, '_, E> {
    fn drop(&mut self) {
        if let Some(Task::Execute(claim)) = &self.task {
            self.block.scheduler.end(Err(Fault::Abandoned { tx: claim.version().tx }));
        }
        if self.busy == Some(true) {
            self.block.scheduler.waste().note_busy(false);
        }
        self.block.stats.lock().add(&self.stats);
    }
}
