//! What a block takes on this machine, in nanoseconds: each part of it, in order and on the way of a worker.
//!
//! The least of several rounds counts, part by part: what else the machine does only adds. Of what strands take besides
//! their runs, it is the round that took least. The clock's own time is taken off.
//!
//! A worker that commits what it has run itself finds it in its own cache. What another one has run, it must fetch, and
//! it works in memory that the other has had. So speculative runs are measured twice: committed after every few, and
//! not before all of a stretch have run, when it has left the core's own caches. Of `n` workers, one in `n` has run what
//! one commits: that is the share of the former, and the rest is of the latter. (Transfers of tokens on two real cores:
//! 5.9 to 6.7 ms for commits that take 4.2 near and 9.9 far.)

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use weft_scheduler::simulate::{KernelCosts, TxCosts};

use super::bound;
use super::machine;
use super::rehearsal::{Around, End, How, Log, Rehearsal};
use crate::block::ReadyBlock;
use crate::error::Fault;
use crate::execute::Options;
use crate::families;
use crate::parallel;
use crate::pre_state::PreState;
use crate::setup::Setup;
use crate::trace::{Lane, Trace, Work};

/// So many transactions leave no more behind than a core's own caches hold.
const NEAR: u32 = 64;

/// All of a stretch before any of it is committed.
const HOW: How = How { reads: false, whole: false, batch: u32::MAX };

/// What a block takes on this machine.
#[derive(Debug, Clone)]
pub struct Costs {
    /// What each transaction takes in the loop of one thread.
    in_order: Vec<InOrder>,
    /// What each takes when it is run speculatively, and all that it touches is near.
    near: Vec<TxCosts>,
    /// And when it is far.
    far: Vec<TxCosts>,
    /// Setting stretches up and clearing them away, if all of the block is in one of them.
    between: (u64, u64),
    /// Following the block's access list in the scheduler, if it came with one.
    foresight: ListCosts,
    /// Putting what all of it did into the ledger, which the threads share.
    merge: u64,
    /// What each takes in a strand, where it has run in one.
    in_strands: Vec<Option<u64>>,
    /// What is done there at once for several, for each of them.
    upkeep: u64,
    /// What two strands take besides, and for how many transactions that is.
    around_strands: (Around, u32),
    /// Deciding how several workers run the block.
    plan: u64,
    /// What comes before the first transaction and behind the last, on one thread and on two.
    rest: [u64; 2],
    /// The kernel.
    kernel: KernelCosts,
    /// The longest chain of reads and writes.
    critical_path: u64,
}

/// What one transaction takes in the loop of one thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InOrder {
    /// Running it.
    pub(super) run: u64,
    /// Making it part of the block.
    pub(super) commit: u64,
}

impl Costs {
    /// Measures a block: each cost is the least of `rounds`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the system gives no threads, or by a bug of ours.
    pub(super) fn measure(
        block: &ReadyBlock<'_>,
        pre_state: &dyn PreState,
        rounds: u32,
    ) -> Result<Self, Fault> {
        let count = block.transactions.len();
        let clock = clock();
        let mut costs = Self {
            in_order: vec![InOrder { run: u64::MAX, commit: u64::MAX }; count],
            near: Vec::new(),
            far: Vec::new(),
            between: (u64::MAX, u64::MAX),
            foresight: ListCosts::default(),
            merge: u64::MAX,
            in_strands: vec![None; count],
            upkeep: u64::MAX,
            around_strands: (Around::default(), 0),
            plan: u64::MAX,
            rest: [u64::MAX; 2],
            kernel: KernelCosts { claim: u64::MAX, ..machine::MEASURED },
            critical_path: 0,
        };
        let pools = [Options::with_threads(1)?, Options::with_threads(2)?];
        for _ in 0..rounds.max(1) {
            for (nth, pool) in pools.iter().enumerate() {
                let rest = pool.install(|| costs.note_in_order(block, pre_state, clock));
                costs.rest[nth] = costs.rest[nth].min(rest);
            }
            let log = speculate(block, pre_state, How { batch: NEAR, ..HOW })?;
            keep_least(&mut costs.near, log.measured.transactions, clock);
            let log = speculate(block, pre_state, HOW)?;
            costs.merge = costs.merge.min(log.merge);
            costs.between = (costs.between.0.min(log.setup), costs.between.1.min(log.teardown));
            costs.kernel.claim = costs.kernel.claim.min(log.measured.claim.saturating_sub(clock));
            keep_least(&mut costs.far, log.measured.transactions, clock);
        }
        // Behind an invalid transaction there is nothing to measure.
        for cost in costs.in_order.iter_mut().flat_map(|costs| [&mut costs.run, &mut costs.commit]) {
            if *cost == u64::MAX {
                *cost = 0;
            }
        }
        costs.kernel.look = costs.kernel.claim / 2;
        if block.access_list.is_some() {
            (costs.between.0, costs.foresight) = alone(|| ListCosts::measure(block, pre_state, rounds))??;
        }
        for _ in 0..rounds.max(1) {
            costs.note_strands(block, pre_state, clock)?;
        }
        costs.note_reads(speculate(block, pre_state, How { reads: true, ..HOW })?);
        let chained = block.access_list.is_none();
        let whole = How { whole: true, ..HOW };
        let dependencies =
            if chained { speculate(block, pre_state, whole)?.measured.dependencies } else { Vec::new() };
        costs.critical_path = bound::critical_path(&costs.in_order, &costs.far, &dependencies);
        Ok(costs)
    }

    /// Runs the block in order once, and returns what came before the first transaction and behind the last.
    fn note_in_order(&mut self, block: &ReadyBlock<'_>, pre_state: &dyn PreState, clock: u64) -> u64 {
        let (trace, rehearsal) = (Trace::default(), Rehearsal::in_order());
        let setup = Setup::default().with_trace(Some(&trace)).with_rehearsal(&rehearsal);
        let start = Instant::now();
        let outcome = parallel::run_with(block, pre_state, setup);
        let all = nanos(start.elapsed());
        drop(outcome);
        let lanes = trace.lanes();
        let Some(spans) = lanes.first().map(|lane| &lane.spans) else {
            return all;
        };
        let mut in_loop = 0;
        for span in spans {
            in_loop += nanos(span.duration);
            let time = nanos(span.duration).saturating_sub(clock);
            let (kept, time) = match span.work {
                Work::Execution(tx) => (&mut self.in_order[tx as usize].run, time),
                Work::Commit(tx, _) => (&mut self.in_order[tx as usize].commit, time),
                Work::Stage(_) | Work::Wait(_) | Work::Validation(_) | Work::Abort(_) | Work::Upkeep(_) => {
                    continue;
                }
            };
            *kept = time.min(*kept);
        }
        all.saturating_sub(in_loop)
    }

    /// Runs the block as two workers would, and measures the strands in which that does without the scheduler. They run one
    /// after the other.
    fn note_strands(
        &mut self,
        block: &ReadyBlock<'_>,
        pre_state: &dyn PreState,
        clock: u64,
    ) -> Result<(), Fault> {
        let (trace, rehearsal) = (Trace::default(), Rehearsal::simulation(self, 2, 0));
        let setup = Setup::default().with_trace(Some(&trace)).with_rehearsal(&rehearsal);
        let outcome = alone(|| parallel::run_with(block, pre_state, setup))?;
        drop(outcome);
        let log = rehearsal.into_log();
        self.plan = self.plan.min(log.plan);
        if log.joined == 0 {
            return Ok(());
        }
        let (mut upkeep, mut runs) = (0, 0);
        let has = |lane: &Lane, is_it: fn(&Work) -> bool| lane.spans.iter().any(|span| is_it(&span.work));
        let of_strand = |lane: &Lane| {
            has(lane, |work| matches!(work, Work::Execution(_)))
                && !has(lane, |work| matches!(work, Work::Commit(..)))
        };
        for span in trace.lanes().into_iter().filter(of_strand).flat_map(|lane| lane.spans) {
            let time = nanos(span.duration).saturating_sub(clock);
            if let Work::Execution(tx) = span.work {
                let kept = &mut self.in_strands[tx as usize];
                *kept = Some(kept.map_or(time, |kept| kept.min(time)));
                runs += 1;
            } else if let Work::Upkeep(_) = span.work {
                upkeep += time;
            }
        }
        self.upkeep = self.upkeep.min(upkeep / runs.max(1));
        let (around, count) = self.around_strands;
        if count == 0 || log.around.sum() < around.sum() {
            self.around_strands = (log.around, log.joined);
        }
        Ok(())
    }

    /// When runs read: the share of the run counts, since the clock makes such runs longer.
    fn note_reads(&mut self, log: Log) {
        for (kept, now) in self.far.iter_mut().zip(log.measured.transactions) {
            let all = now.run.max(1);
            kept.reads = now.reads.iter().map(|at| share(kept.run, *at, all)).collect();
        }
    }

    /// What all takes in order.
    pub fn work(&self) -> u64 {
        self.of_loop(0, u32::MAX) + self.rest(1)
    }

    /// The longest chain of runs of which each reads what the one before has written, as far as they cannot overlap. Of
    /// a block that came with an access list, it is the longest run.
    pub const fn critical_path(&self) -> u64 {
        self.critical_path
    }

    /// No core count can do it in less: the share of each of so many, or the longest chain.
    pub fn bound(&self, workers: usize) -> u64 {
        bound::bound(self.work(), self.critical_path, workers)
    }

    /// What comes before the first transaction and behind the last, as two threads share in it. More of them find out what
    /// has changed sooner, but only one fills the bundle's map with it: what they gain is not measured, and left out.
    pub(super) const fn rest(&self, workers: usize) -> u64 {
        self.rest[if workers < 2 { 0 } else { 1 }]
    }

    /// What the kernel takes.
    pub const fn kernel(&self) -> &KernelCosts {
        &self.kernel
    }

    /// What some transactions take in order.
    pub(super) fn of_loop(&self, first: u32, length: u32) -> u64 {
        let some = self.in_order.iter().skip(first as usize).take(length as usize);
        some.map(|costs| costs.run + costs.commit).sum()
    }

    /// What the `length` transactions from `first` on take on so many workers.
    pub(super) fn of_stretch(&self, first: u32, length: u32, workers: usize) -> Vec<TxCosts> {
        let workers = workers as u64;
        let mixed = |near: u64, far: u64| share(near, 1, workers) + share(far, workers - 1, workers);
        let pairs = self.near.iter().zip(&self.far).skip(first as usize).take(length as usize);
        let one = |(near, far): (&TxCosts, &TxCosts)| {
            let mut costs = far.clone();
            costs.run = mixed(near.run, far.run);
            costs.validation = mixed(near.validation, far.validation);
            costs.commit = mixed(near.commit, far.commit);
            costs.reads.iter_mut().for_each(|at| *at = share(*at, costs.run, far.run));
            costs
        };
        pairs.map(one).collect()
    }

    /// What a run takes beside others, if it was measured.
    pub(super) fn run_beside_others(&self, index: usize) -> Option<u64> {
        self.far.get(index).map(|costs| costs.run)
    }

    /// What a transaction takes in a strand, with its share of what is done there for several.
    pub(super) fn in_strand(&self, index: usize) -> u64 {
        match self.in_strands.get(index).copied().flatten() {
            Some(measured) => measured.saturating_add(self.upkeep),
            None => self.in_order.get(index).map(|costs| costs.run).unwrap_or_default(),
        }
    }

    /// What so many strands of so many transactions take besides their runs, until they have ended like this. All workers
    /// look for meetings and compare, each as much as one of two does, and a bit more: its share of what has been seen with
    /// all the others; but for one, who sees meanwhile whether there is room. Then one commits, and the others fill the
    /// ledger, of which no part is shared.
    pub(super) fn around_strands(&self, transactions: u32, workers: usize, end: End) -> u64 {
        let (around, measured) = self.around_strands;
        let part = |whole: u64| share(whole, transactions.into(), measured.into());
        let all = workers.max(1) as u64;
        let begin = self.kernel.begin + self.kernel.hand_out * (all - 1);
        let shares = families::shares(workers, transactions as usize) as u64;
        let hand_out = if shares > 1 && around.meetings > 0 { 2 * begin } else { 0 };
        let split = hand_out + part(around.meetings) / shares + part(around.share_out);
        let compare = share(part(around.compare), all - 1, all) + part(around.admit) / all;
        let check = begin + part(around.admit).max(2 * begin + compare);
        let even = part(around.take_over) / (all - 1).max(1);
        let take_over = self.kernel.begin + even.max(part(around.take_over_longest));
        match end {
            End::NotSplit => split,
            End::BrokeOff => split + begin,
            End::NoRoom | End::Differed => split + check,
            End::Joined => split + check + part(around.commit).max(take_over),
        }
    }

    /// Deciding how so many workers run the block.
    pub(super) const fn plan(&self, workers: usize) -> u64 {
        if workers < 2 { 0 } else { self.plan }
    }

    /// Setting a stretch of so many up.
    pub(super) fn setup(&self, length: u32) -> u64 {
        share(self.between.0, length.into(), self.in_order.len() as u64)
    }

    /// Following an access list from the beginning of the block to its end, on so many workers.
    pub(super) fn foresight(&self, workers: usize) -> u64 {
        self.foresight.decode + share(self.foresight.tell, 1, workers as u64)
    }

    /// Clearing a stretch away in which so many have run.
    pub(super) fn teardown(&self, runs: u64) -> u64 {
        share(self.between.1, runs, self.in_order.len() as u64)
    }

    /// Putting what so many have done into the ledger, on one core.
    pub(super) fn merge(&self, transactions: u32) -> u64 {
        share(self.merge, transactions.into(), self.in_order.len() as u64)
    }

    /// Sums of what was measured, by name.
    pub fn sums(&self) -> [(&'static str, u64); 25] {
        let in_order = |part: fn(&InOrder) -> u64| self.in_order.iter().map(part).sum();
        let near = |part: fn(&TxCosts) -> u64| self.near.iter().map(part).sum();
        let far = |part: fn(&TxCosts) -> u64| self.far.iter().map(part).sum();
        [
            ("runs_in_order", in_order(|costs| costs.run)),
            ("commits_in_order", in_order(|costs| costs.commit)),
            ("runs_near", near(|costs| costs.run)),
            ("validations_near", near(|costs| costs.validation)),
            ("commits_near", near(|costs| costs.commit)),
            ("runs_far", far(|costs| costs.run)),
            ("validations_far", far(|costs| costs.validation)),
            ("commits_far", far(|costs| costs.commit)),
            ("setup", self.between.0),
            ("decode_list", self.foresight.decode),
            ("tell_list", self.foresight.tell),
            ("teardown", self.between.1),
            ("merge", self.merge),
            ("runs_in_strands", self.in_strands.iter().flatten().sum()),
            ("upkeep", self.upkeep.saturating_mul(self.around_strands.1.into())),
            ("plan", self.plan),
            ("meetings", self.around_strands.0.meetings),
            ("share_out", self.around_strands.0.share_out),
            ("admit", self.around_strands.0.admit),
            ("compare", self.around_strands.0.compare),
            ("commits_of_strands", self.around_strands.0.commit),
            ("take_over", self.around_strands.0.take_over),
            ("take_over_longest", self.around_strands.0.take_over_longest),
            ("rest", self.rest[0]),
            ("rest_shared", self.rest[1]),
        ]
    }
}

/// What it takes, on one thread, to follow an access list in the scheduler.
#[derive(Debug, Clone, Copy, Default)]
struct ListCosts {
    /// Decoding it.
    decode: u64,
    /// Finding out what it says of each transaction, and telling the scheduler, which the threads share.
    tell: u64,
}

impl ListCosts {
    /// Measures it, and what it takes to set stretches up without the list.
    fn measure(block: &ReadyBlock<'_>, pre_state: &dyn PreState, rounds: u32) -> Result<(u64, Self), Fault> {
        let unlisted = ReadyBlock { access_list: None, ..block.clone() };
        let (mut decode, mut listed, mut without) = (u64::MAX, u64::MAX, u64::MAX);
        for _ in 0..rounds.max(1) {
            let unread = ReadyBlock { foretold: OnceLock::new(), ..block.clone() };
            let start = Instant::now();
            unread.foretold();
            decode = decode.min(nanos(start.elapsed()));
            listed = listed.min(speculate(&unread, pre_state, HOW)?.setup);
            without = without.min(speculate(&unlisted, pre_state, HOW)?.setup);
        }
        Ok((without, Self { decode, tell: listed.saturating_sub(without) }))
    }
}

/// Takes the least of what is known and what was measured now, less the clock's own time.
fn keep_least(kept: &mut Vec<TxCosts>, mut now: Vec<TxCosts>, clock: u64) {
    for costs in &mut now {
        for part in [&mut costs.run, &mut costs.validation, &mut costs.commit] {
            *part = part.saturating_sub(clock);
        }
    }
    if kept.is_empty() {
        *kept = now;
        return;
    }
    for (kept, now) in kept.iter_mut().zip(now) {
        kept.run = kept.run.min(now.run);
        kept.validation = kept.validation.min(now.validation);
        kept.commit = kept.commit.min(now.commit);
    }
}

/// Measures speculative runs once.
fn speculate(block: &ReadyBlock<'_>, pre_state: &dyn PreState, how: How) -> Result<Log, Fault> {
    let rehearsal = Rehearsal::to_measure(how);
    let (_, counters) = parallel::run_with(block, pre_state, Setup::default().with_rehearsal(&rehearsal));
    if counters.fallbacks > 0 {
        return Err(Fault::Simulation { workers: 1, seed: 0 });
    }
    Ok(rehearsal.into_log())
}

/// Runs something on a pool of one thread: what its parts take together is what one core takes, and whatever is decided
/// on the way is always the same.
///
/// # Errors
///
/// [`Fault::Threads`] if the system gives none.
pub(super) fn alone<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, Fault> {
    Ok(Options::with_threads(1)?.install(work))
}

/// `part / all` of `whole`.
fn share(whole: u64, part: u64, all: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What a look at the clock takes.
fn clock() -> u64 {
    let looks = (0..1_000).map(|_| {
        let start = Instant::now();
        nanos(start.elapsed())
    });
    looks.min().unwrap_or_default()
}

/// Nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
