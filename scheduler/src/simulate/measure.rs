//! What the transactions of a block take on this machine, by a clock that the caller has.
//!
//! One worker runs all of them in order, but commits nothing before it has run a whole batch: so each run but the first
//! is recorded as a speculative one is, and sees what it would see in order. Then each of the batch is validated, and
//! then they are committed, by when what they have left behind has been moved to a cache further away, as if another
//! core had run them. Nothing has to be estimated but what other cores would add.

use core::cell::{Cell, RefCell};

use super::costs::TxCosts;
use crate::{
    executor::Executor,
    fault::Fault,
    version::TxIndex,
    watch::Watch,
    worker::{Block, Step},
};

/// What was measured of one block.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Measured {
    /// By transaction.
    pub transactions: Vec<TxCosts>,
    /// Of each transaction, the lower ones whose writes it has read, and which of its reads that was. `None` if it had
    /// to wait for all of them, or has stopped the block.
    pub dependencies: Vec<Option<Vec<(TxIndex, usize)>>>,
    /// To take a task, on average.
    pub claim: u64,
}

/// Runs a block of `txs` transactions once and measures it, so many in a `batch`. The block must be one for so many
/// workers that a batch is within the window, without groups or early beginners. `now` tells the time in nanoseconds.
///
/// The first run of a batch finds all below it committed, and so reads from nobody: for `dependencies`, one batch has to
/// be all.
///
/// With `reads`, the clock is also looked at before each read. That takes longer than many a read does, so then only
/// what share of its run a read comes after is of use.
///
/// # Errors
///
/// [`Fault::Stalled`] if the block does not come to an end this way.
pub fn measure<E: Executor>(
    block: &Block<'_, E>,
    txs: u32,
    batch: u32,
    reads: bool,
    now: impl Fn() -> u64,
) -> Result<Measured, Fault> {
    // One worker alone would find that it does not pay.
    block.scheduler().prefix().be_patient();
    let count = txs as usize;
    let mut measured =
        Measured { transactions: vec![TxCosts::default(); count], dependencies: vec![None; count], claim: 0 };
    let stopwatch =
        Stopwatch { now, reads, began: Cell::new(0), seen: RefCell::default(), commits: RefCell::default() };
    let (mut claims, mut claiming) = (0_u64, 0);
    {
        let mut worker = block.watched_worker(0, &stopwatch);
        let (mut committing, mut run) = (false, 0);
        loop {
            let began = (stopwatch.now)();
            let step = worker.step();
            let time = (stopwatch.now)() - began;
            match step {
                Step::Claimed(_) => (claims, claiming) = (claims + 1, claiming + time),
                Step::Executed(tx) => {
                    let costs = &mut measured.transactions[tx.0 as usize];
                    (costs.run, costs.reads) = (time, stopwatch.seen.take().into_boxed_slice());
                    run += 1;
                    if run == batch {
                        block.note_runs(&mut measured, &stopwatch.now)?;
                        run = 0;
                    }
                    worker.look_for_commits(run == 0);
                }
                Step::Suspended(_) => drop(stopwatch.seen.take()),
                Step::Idle if committing => return Err(Fault::Stalled),
                Step::Idle => {
                    block.note_runs(&mut measured, &stopwatch.now)?;
                    run = 0;
                    worker.look_for_commits(true);
                }
                Step::Committed { .. } => stopwatch.commits.borrow_mut().push((NOBODY, began + time)),
                Step::Done => break,
                Step::Validated(_) | Step::Aborted(_) => {}
            }
            committing = step == Step::Idle;
        }
    }
    measured.claim = claiming / claims.max(1);
    for pair in stopwatch.commits.into_inner().windows(2) {
        let [(tx, began), (_, ended)] = pair else { continue };
        if let Some(costs) = measured.transactions.get_mut(tx.0 as usize) {
            costs.commit = ended - began;
        }
    }
    Ok(measured)
}

impl<E: Executor> Block<'_, E> {
    /// Validates what has been run and is not committed, and notes how long it takes and what was read of whom.
    fn note_runs(&self, measured: &mut Measured, now: impl Fn() -> u64) -> Result<(), Fault> {
        let scheduler = self.scheduler();
        let (first, end) = (scheduler.prefix().frontier(), scheduler.first_run());
        for tx in (first.0..end.0).map(TxIndex) {
            let costs = &mut measured.transactions[tx.0 as usize];
            let dependencies = &mut measured.dependencies[tx.0 as usize];
            let transaction = scheduler.lock(tx);
            let Some(run) = transaction.status.executed() else { continue };
            if tx == TxIndex(0) {
                *dependencies = Some(Vec::new());
            }
            let reads = &run.footprint.reads;
            if !reads.is_settled() {
                *dependencies = Some(reads.writers().collect());
            }
            drop(transaction);
            let began = now();
            scheduler.validate(tx, &mut crate::Stats::default())?;
            costs.validation = now() - began;
        }
        Ok(())
    }
}

/// No transaction: commits end here.
const NOBODY: TxIndex = TxIndex(u32::MAX);

/// Looks at the clock within steps.
struct Stopwatch<F> {
    /// The clock.
    now: F,
    /// Look before each read.
    reads: bool,
    /// When the run at hand began.
    began: Cell<u64>,
    /// When it has read, counted from there.
    seen: RefCell<Vec<u64>>,
    /// When each commit began, and when the last of several had ended.
    commits: RefCell<Vec<(TxIndex, u64)>>,
}

impl<F: Fn() -> u64> Watch for Stopwatch<F> {
    fn run_begins(&self, _tx: TxIndex) {
        self.seen.borrow_mut().clear();
        if self.reads {
            self.began.set((self.now)());
        }
    }

    fn reads(&self) {
        if self.reads {
            self.seen.borrow_mut().push((self.now)() - self.began.get());
        }
    }

    fn run_ends(&self, _suspended: bool) {}

    fn commits(&self, tx: TxIndex) {
        self.commits.borrow_mut().push((tx, (self.now)()));
    }
}
