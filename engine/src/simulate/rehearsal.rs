//! A run of `parallel` without threads: to measure what it takes, or on virtual cores.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_scheduler::simulate::{self, Measured, Spent};
use weft_scheduler::{Block, Executor, Fault, STRETCH_MAX, Stats, Stretch, WorkspaceOf};

use super::Prediction;
use super::costs::{Costs, nanos};
use crate::counters::Counters;

/// Workers for whom a stretch is set up that is to be measured: so many that all of it is within their window.
const WORKERS_TO_MEASURE: usize = 1 << 16;

/// A run of `parallel` without threads.
#[derive(Debug)]
pub(crate) struct Rehearsal<'c> {
    /// What for.
    purpose: Purpose<'c>,
    /// What has been found out.
    log: Mutex<Log>,
}

/// What a rehearsal is for.
#[derive(Debug, Clone, Copy)]
enum Purpose<'c> {
    /// To run in order, as with one thread.
    InOrder,
    /// To measure speculative runs.
    Measure(How),
    /// To see how long it takes.
    Simulate {
        /// What everything takes.
        costs: &'c Costs,
        /// On how many cores.
        workers: usize,
        /// Which of the likely courses of events.
        seed: u64,
    },
}

/// How to measure speculative runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Note when each run reads, too.
    pub(super) reads: bool,
    /// Take the block as a single stretch, so that no read of a transaction's write goes unseen.
    pub(super) whole: bool,
    /// So many are run before they are committed.
    pub(super) batch: u32,
}

/// What a rehearsal has found out.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// By transaction, if it was measured.
    pub(super) measured: Measured,
    /// Deciding how to run the block, on this machine.
    pub(super) plan: u64,
    /// Setting stretches up.
    pub(super) setup: u64,
    /// Clearing them away.
    pub(super) teardown: u64,
    /// Putting what they did into the ledger.
    pub(super) merge: u64,
    /// Virtual time of the stretches.
    stretches: u64,
    /// Virtual time of what was run in order.
    alone: u64,
    /// How many transactions were.
    in_order: u32,
    /// What the workers spent their time on.
    spent: Spent,
    /// What strands have taken on this machine, on one thread, besides their runs.
    pub(super) around: Around,
    /// For how many transactions that have joined the block.
    pub(super) joined: u32,
}

/// What strands take besides their runs, in nanoseconds, and on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around {
    /// Looking for transactions that meet.
    pub(crate) meetings: u64,
    /// Sharing the transactions out.
    pub(crate) share_out: u64,
    /// Seeing whether the block has room for them.
    pub(crate) admit: u64,
    /// Comparing what they have found.
    pub(crate) compare: u64,
    /// Committing their transactions, one after the other.
    pub(crate) commit: u64,
    /// Putting what they have left into the ledger.
    pub(crate) take_over: u64,
    /// Of that, the part that takes longest.
    pub(crate) take_over_longest: u64,
}

impl Around {
    /// Both together.
    const fn plus(self, other: Self) -> Self {
        Self {
            meetings: self.meetings + other.meetings,
            share_out: self.share_out + other.share_out,
            admit: self.admit + other.admit,
            compare: self.compare + other.compare,
            commit: self.commit + other.commit,
            take_over: self.take_over + other.take_over,
            take_over_longest: self.take_over_longest + other.take_over_longest,
        }
    }

    /// All of it, on one core.
    pub(super) const fn sum(self) -> u64 {
        self.meetings + self.share_out + self.admit + self.compare + self.commit + self.take_over
    }
}

/// How a try to run a stretch in strands has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// There was no good way to split it.
    NotSplit,
    /// One broke off, and so did the others.
    BrokeOff,
    /// All have come to their end, and the block has no room for them.
    NoRoom,
    /// They were compared, and have not held.
    Differed,
    /// They are part of the block.
    Joined,
}

impl<'c> Rehearsal<'c> {
    /// To run in order.
    pub(super) fn in_order() -> Self {
        Self::new(Purpose::InOrder)
    }

    /// To measure.
    pub(super) fn to_measure(how: How) -> Self {
        Self::new(Purpose::Measure(how))
    }

    /// To simulate.
    pub(super) fn simulation(costs: &'c Costs, workers: usize, seed: u64) -> Self {
        Self::new(Purpose::Simulate { costs, workers, seed })
    }

    /// A rehearsal that has not begun.
    fn new(purpose: Purpose<'c>) -> Self {
        Self { purpose, log: Mutex::default() }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        match self.purpose {
            Purpose::InOrder => 1,
            Purpose::Measure(_) => WORKERS_TO_MEASURE,
            Purpose::Simulate { workers, .. } => workers,
        }
    }

    /// Whether speculative runs are measured.
    pub(crate) fn measures(&self) -> bool {
        matches!(self.purpose, Purpose::Measure(_))
    }

    /// Whether it is a simulation.
    pub(crate) const fn simulates(&self) -> bool {
        matches!(self.purpose, Purpose::Simulate { .. })
    }

    /// How long a run takes beside others, if that is known.
    pub(crate) fn run_time(&self, index: usize) -> Option<Duration> {
        match self.purpose {
            Purpose::Simulate { costs, .. } => costs.run_beside_others(index).map(Duration::from_nanos),
            Purpose::InOrder | Purpose::Measure(_) => None,
        }
    }

    /// So many transactions were to run in strands, which have run these, each its row, and that is how they have ended.
    pub(crate) fn note_strands<'r>(
        &self,
        rows: impl Iterator<Item = &'r [usize]>,
        transactions: u32,
        around: Around,
        end: End,
    ) {
        let Purpose::Simulate { costs, workers, .. } = self.purpose else { return };
        let (mut longest, mut all) = (0, 0);
        for row in rows {
            let time = row.iter().map(|index| costs.in_strand(*index)).sum::<u64>();
            (longest, all) = (longest.max(time), all + time);
        }
        let mut log = self.log.lock();
        log.stretches += longest;
        log.spent.runs += all;
        log.spent.idle += (longest * workers as u64).saturating_sub(all);
        log.setup += costs.around_strands(transactions, workers, end);
        if end == End::Joined {
            log.joined += transactions;
            log.around = log.around.plus(around);
        }
    }

    /// So many nanoseconds went into deciding how to run the block.
    pub(crate) fn note_plan(&self, took: u64) {
        self.log.lock().plan = took;
    }

    /// The next of `left` transactions to be measured: all speculate, whether or not it would pay.
    pub(crate) fn stretch(&self, left: u32) -> Option<Stretch> {
        match self.purpose {
            Purpose::Measure(How { whole: true, .. }) => Some(Stretch::Speculative(left)),
            Purpose::Measure(_) => Some(Stretch::Speculative(left.min(STRETCH_MAX))),
            Purpose::InOrder | Purpose::Simulate { .. } => None,
        }
    }

    /// So many transactions were run in order.
    pub(crate) fn note_in_order(&self, first: u32, length: u32) {
        let mut log = self.log.lock();
        log.in_order += length;
        if let Purpose::Simulate { costs, .. } = self.purpose {
            log.alone += costs.of_loop(first, length);
        }
    }

    /// Runs the stretch of `length` transactions from `first` on that `prepare` makes.
    pub(crate) fn drive<'e, E: Executor + 'e>(
        &self,
        first: u32,
        length: u32,
        workers: usize,
        prepare: impl FnOnce() -> Block<'e, E>,
    ) -> (Result<Stats, Fault>, WorkspaceOf<E>) {
        let start = Instant::now();
        let block = prepare();
        let setup = nanos(start.elapsed());
        let mut log = self.log.lock();
        let driven = match self.purpose {
            Purpose::InOrder => Ok(()),
            Purpose::Measure(How { reads, batch, .. }) => {
                simulate::measure(&block, length, batch, reads, || nanos(start.elapsed())).map(|measured| {
                    log.setup += setup;
                    log.measured.claim = measured.claim;
                    log.measured.transactions.extend(measured.transactions);
                    log.measured.dependencies.extend(measured.dependencies);
                })
            }
            Purpose::Simulate { costs, seed, .. } => {
                let transactions = costs.of_stretch(first, length, workers);
                let times = simulate::Costs { transactions: &transactions, kernel: *costs.kernel() };
                simulate::simulate(&block, workers, &times, seed).map(|timeline| {
                    log.stretches += timeline.end;
                    log.spent = timeline.spent.into_iter().fold(log.spent, Spent::plus);
                })
            }
        };
        let start = Instant::now();
        let (ended, mut room) = block.finish_and_keep();
        room.tidy();
        let teardown = nanos(start.elapsed());
        match (self.purpose, &ended) {
            (Purpose::Measure(_), _) => log.teardown += teardown,
            (Purpose::Simulate { costs, .. }, Ok(stats)) => {
                log.setup += costs.setup(length);
                log.teardown += costs.teardown(stats.executions.min(u64::from(length)));
            }
            (Purpose::InOrder | Purpose::Simulate { .. }, _) => {}
        }
        (driven.and(ended), room)
    }

    /// Reads what is foreseen of the block. A simulation charges here, once, for all that has to do with it.
    pub(crate) fn foresee<R>(&self, read: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let foreseen = read();
        self.log.lock().setup += match self.purpose {
            Purpose::InOrder => 0,
            Purpose::Measure(_) => nanos(start.elapsed()),
            Purpose::Simulate { costs, workers, .. } => costs.foresight(workers),
        };
        foreseen
    }

    /// Puts what so many transactions of a stretch did into the ledger, with one thread.
    pub(crate) fn merge(&self, transactions: u32, merge: impl FnOnce(usize)) {
        let start = Instant::now();
        merge(1);
        let took = nanos(start.elapsed());
        self.log.lock().merge += match self.purpose {
            Purpose::InOrder => 0,
            Purpose::Measure(_) => took,
            Purpose::Simulate { costs, workers, .. } => costs.merge(transactions) / workers as u64,
        };
    }

    /// What was measured.
    pub(super) fn into_log(self) -> Log {
        self.log.into_inner()
    }

    /// What the simulation came to.
    pub(super) fn prediction(self, counters: &Counters) -> Prediction {
        let workers = self.workers();
        let rest = match self.purpose {
            Purpose::Simulate { costs, .. } => costs.rest(workers) + costs.plan(workers),
            Purpose::InOrder | Purpose::Measure(_) => 0,
        };
        let log = self.log.into_inner();
        let (between, alone) = (log.setup + log.teardown + log.merge, log.alone + rest);
        Prediction {
            workers,
            time: log.stretches + between + alone,
            executions: counters.executions,
            aborts: counters.aborts,
            in_order: log.in_order,
            in_strands: counters.in_strands,
            between,
            alone,
            spent: log.spent,
        }
    }
}
