//! Strands: rows of transactions that have nothing to do with those of the other rows, each run in order, by itself.
//!
//! ```text
//!  block      0  1  2  3  4  5  6  7
//!  strand A   0     2        5     7    one worker, on a ledger of its own
//!  strand B      1     3  4     6       another
//! ```
//!
//! Versions and read sets cost as much for a small transaction as to run it. Where transactions keep out of each other's
//! way, that is spent for nothing: a worker can as well run a whole row of them as if it were alone, in the plain loop, on
//! a ledger of its own above the block's. What the strands have seen and changed is compared once, when all are over. If
//! none has changed what another has seen, not even for a while, each transaction has run on what it would have found in
//! block order, and the block's ledger takes over what they have left. If one has, nobody looks at what they did, and the
//! scheduler runs the stretch.
//!
//! Who belongs together is guessed from senders, from recipients of calls without data, and from the addresses among the
//! arguments. Strands are tried where the scheduler has met next to no conflict, on no more transactions than are part of
//! the block by then, and never again in a block once they have not held. They may use no more gas and time than twice
//! what the block has used: whoever contrives that they fail costs the block a part of its own time.
//!
//! # Invariants
//!
//! - **S1.** What strands leave is what their transactions would have left in block order. They only change values, as in
//!   `in_order.rs`, and never see the beneficiary; whatever else they are shown stays in their ledger, and what they have
//!   changed is listed beside it. `tests/determinism/strands.rs` has blocks that set strands apart from the specification,
//!   and restless runs try them at every second chance.

use core::cmp::Reverse;
use core::hash::BuildHasher;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::U256;
use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use rayon::prelude::*;
use revm::context::TxEnv;
use weft_scheduler::Stats;

use crate::alike::named_by;
use crate::block::ReadyBlock;
use crate::commit::{BlockRun, Summary};
use crate::counters::Counters;
use crate::error::ExecuteError;
use crate::in_order::{KeptState, Ran};
use crate::ledger::{Base, Ledger, Seen, Written};
use crate::trace::{Trace, Work};

/// So many transactions show whether the scheduler meets conflicts.
const PROBE: u32 = 512;

/// By how many percent the longest strand may be longer than its share.
const TOLERANCE: u128 = 25;

/// How many times as long as another stretch one may be that runs in strands, which wait for each other at its end.
const LONGER: u32 = 4;

/// More than one conflict in so many transactions is too many.
const RARE: u64 = 16;

/// Runs stretches of a block in strands, where that is likely to hold.
#[derive(Debug)]
pub(crate) struct Strands {
    /// How many strands there are at most.
    workers: usize,
    /// What is known.
    outlook: Outlook,
    /// When the block began.
    start: Instant,
    /// Room for their ledgers.
    rooms: Vec<Seen>,
}

/// Whether strands are likely to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nothing has run yet.
    Open,
    /// The scheduler has met next to no conflict, and strands have held if they were tried.
    Good,
    /// They have not held, or would not.
    Bad,
    /// They are tried on many stretches, whatever has become of the others.
    Restless,
}

/// What has become of a stretch that strands have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It is part of the block.
    Joined,
    /// Nothing has changed, and so many transactions have run in vain.
    InVain(u32),
}

/// A strand that is over.
#[derive(Debug)]
struct Finished {
    /// What is to be said of its transactions, and what the beneficiary is owed for each.
    done: Vec<(Summary, U256)>,
    /// What it has seen and changed; `None` if it has not come to its end, or must not have done what it did.
    seen: Option<Seen>,
}

impl Strands {
    /// For a block of which nothing has run, with so many workers.
    pub(crate) fn new(workers: usize, outlook: Outlook) -> Self {
        Self { workers, outlook, start: Instant::now(), rooms: Vec::new() }
    }

    /// How many of the next `length` transactions the scheduler is to run before strands are thought of again.
    pub(crate) fn limit(&self, length: u32) -> u32 {
        if self.outlook == Outlook::Open { length.min(PROBE) } else { length }
    }

    /// The scheduler has run a stretch.
    pub(crate) fn note(&mut self, stats: &Stats) {
        if self.outlook == Outlook::Open {
            let conflicts = stats.aborts + stats.waits + stats.delays;
            let is_good = !stats.gave_up && conflicts * RARE <= u64::from(stats.committed);
            self.outlook = if is_good { Outlook::Good } else { Outlook::Bad };
        }
    }

    /// How many of the next `left` transactions to try, where the scheduler would take so many and so many are decided; `None`
    /// if that is not likely to hold.
    fn length(&self, length: u32, decided: u32, left: u32) -> Option<u32> {
        match self.outlook {
            Outlook::Open | Outlook::Bad => None,
            Outlook::Good => Some(length.saturating_mul(LONGER).min(decided).min(left)),
            // The scheduler is to have its share.
            Outlook::Restless => left.is_multiple_of(2).then_some(length),
        }
    }

    /// Runs the next transactions in strands, if that is likely to hold, and returns whether they are part of the block now.
    /// They are as many as would make a stretch for the scheduler, or some times that.
    ///
    /// # Errors
    ///
    /// As [`BlockRun::commit_summary`], of the first transaction in block order that fails.
    pub(crate) fn run(
        &mut self,
        block: &ReadyBlock<'_>,
        run: &mut BlockRun<'_>,
        ledger: &mut Ledger<'_>,
        length: u32,
        counters: &mut Counters,
        trace: Option<&Trace>,
    ) -> Result<bool, ExecuteError> {
        let Some(length) = self.length(length, run.decided(), run.left()) else { return Ok(false) };
        let first = run.decided() as usize;
        let transactions = &block.transactions[first..first + length as usize];
        let tolerance = if self.outlook == Outlook::Restless { u128::MAX } else { TOLERANCE };
        let environments = transactions.iter().map(|ready| &ready.env);
        let Some(strand_of) = split(environments, self.workers, tolerance) else {
            self.give_up();
            return Ok(false);
        };
        let mut rows = vec![Vec::new(); self.workers];
        for (index, strand) in (first..).zip(&strand_of) {
            rows[*strand].push(index);
        }
        let tried = self.run_rows(block, run, ledger, &rows, &strand_of, trace)?;
        tracing::trace!(first, length, ?tried, "stretch in strands");
        match tried {
            Tried::Joined => counters.in_strands(length),
            Tried::InVain(ran) => {
                self.give_up();
                counters.strands_in_vain(ran);
            }
        }
        Ok(tried == Tried::Joined)
    }

    /// Strands have not held, or would not.
    fn give_up(&mut self) {
        if self.outlook != Outlook::Restless {
            self.outlook = Outlook::Bad;
        }
    }

    /// Runs each row by itself, and makes all of them part of the block if they have not met.
    fn run_rows(
        &mut self,
        block: &ReadyBlock<'_>,
        run: &mut BlockRun<'_>,
        ledger: &mut Ledger<'_>,
        rows: &[Vec<usize>],
        strand_of: &[usize],
        trace: Option<&Trace>,
    ) -> Result<Tried, ExecuteError> {
        let Ledger { base, open, .. } = ledger;
        self.rooms.resize_with(rows.len(), || base.room());
        let bounds = match self.outlook {
            Outlook::Restless => Bounds::new(u64::MAX, u64::MAX, Duration::MAX),
            Outlook::Open | Outlook::Good | Outlook::Bad => {
                Bounds::new(run.gas_paid().saturating_mul(2), run.gas_left(), 2 * self.start.elapsed())
            }
        };
        let strand = |(worker, (row, room)): (usize, (&Vec<usize>, Seen))| {
            run_row(block, row, base, room, &bounds, trace.map(|trace| (trace, worker)))
        };
        let rooms = core::mem::take(&mut self.rooms);
        let finished = rows.par_iter().zip(rooms).enumerate().with_max_len(1).map(strand);
        let finished: Vec<Finished> = finished.collect();

        let ran: usize = finished.iter().map(|strand| strand.done.len()).sum();
        let in_vain = Tried::InVain(u32::try_from(ran).unwrap_or(u32::MAX));
        let Some((mut done, mut seen)) = finished
            .into_iter()
            .map(|Finished { done, seen }| Some((done.into_iter(), seen?)))
            .collect::<Option<(Vec<_>, Vec<_>)>>()
        else {
            return Ok(in_vain);
        };
        let done: Vec<(Summary, U256)> = strand_of.iter().filter_map(|strand| done[*strand].next()).collect();
        debug_assert_eq!(done.len(), strand_of.len(), "each row is at its end");
        if !run.has_room(done.iter().map(|(summary, _)| summary.gas)) || !base.are_apart(&seen) {
            return Ok(in_vain);
        }
        let mut recorder = trace.map(|trace| trace.recorder(Some(0)));
        let first = run.decided();
        let commit = || {
            (first as usize..).zip(done).try_for_each(|(index, (summary, reward))| {
                run.commit_summary(open, index, summary, Some(reward))
            })
        };
        let (committed, ()) = rayon::join(commit, || base.take_over(&mut seen));
        committed?;
        // A reward of zero is committed as a transaction that has changed nothing.
        ledger.end_stretch(&mut [], 1);
        self.rooms = seen;
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Commit(first, run.decided() - first));
        }
        Ok(Tried::Joined)
    }
}

/// Runs a row of transactions above what the block did before, until one of them does what a strand must not, or one of
/// another strand has.
fn run_row(
    block: &ReadyBlock<'_>,
    row: &[usize],
    base: &Base<'_>,
    room: Seen,
    bounds: &Bounds,
    trace: Option<(&Trace, usize)>,
) -> Finished {
    let mut recorder = trace.map(|(trace, worker)| trace.recorder(Some(worker)));
    let mut ledger = Ledger::of_strand(base, block.header.beneficiary, room);
    let mut state = KeptState::new(&mut ledger, block, true, Some(Written::default()));
    let mut done = Vec::with_capacity(row.len());
    for index in row {
        let environment = &block.transactions[*index].env;
        if !bounds.allow(environment.gas_limit) {
            break;
        }
        let ran = state.run(*index, environment);
        let Ok(Ran::Ordinary { summary, reward: Some(reward) }) = ran else {
            bounds.break_off();
            break;
        };
        bounds.note(summary.gas.tx_gas_used());
        done.push((summary, reward));
        if state.ledger().knows_the_beneficiary() {
            bounds.break_off();
            break;
        }
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Execution(u32::try_from(*index).unwrap_or(u32::MAX)));
        }
        state.settle_if_full();
    }
    let written = state.finish();
    let is_whole = done.len() == row.len() && !ledger.knows_the_beneficiary();
    Finished { done, seen: written.filter(|_| is_whole).map(|written| ledger.into_seen(written)) }
}

/// How far the strands of a stretch may go, all of them together. What they find may not be what there will be, and a
/// transaction that is misled may use all the gas that it has.
#[derive(Debug)]
struct Bounds {
    /// Gas that they have used.
    used: AtomicU64,
    /// What they may use. One transaction alone may not use an eighth of it.
    most: u64,
    /// What the block has left.
    left: u64,
    /// When they began.
    start: Instant,
    /// How long they may take.
    longest: Duration,
    /// It is over for all of them.
    is_over: AtomicBool,
}

// ORDERING: all of it is about time. Who reads an old value runs for nothing.
impl Bounds {
    /// Nothing is used.
    fn new(most: u64, left: u64, longest: Duration) -> Self {
        let (used, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { used, most, left, start: Instant::now(), longest, is_over }
    }

    /// Whether a transaction may run that uses up to so much gas. If not, it is over for all.
    fn allow(&self, gas_limit: u64) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        let is_too_much = gas_limit > self.most / 8 || used.saturating_add(gas_limit) > self.most;
        if is_too_much || used > self.left || self.start.elapsed() > self.longest {
            self.break_off();
        }
        !self.is_over.load(Ordering::Relaxed)
    }

    /// A transaction has used so much.
    fn note(&self, gas: u64) {
        self.used.fetch_add(gas, Ordering::Relaxed);
    }

    /// It is over for all.
    fn break_off(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Splits transactions into so many strands: which one each is in. Those that seem to meet are in the same one. `None` if
/// one of the strands would be longer than its share by more than so many percent.
fn split<'t>(
    transactions: impl ExactSizeIterator<Item = &'t TxEnv> + Clone,
    strands: usize,
    tolerance: u128,
) -> Option<Vec<usize>> {
    // Keyed at random, and who shares a hash shares a strand.
    let hasher = DefaultHashBuilder::default();
    let mut families = Families::new(transactions.len());
    let mut seen: HashMap<u64, usize> = HashMap::default();
    seen.reserve(3 * transactions.len());
    for (index, transaction) in transactions.clone().enumerate() {
        let recipient = transaction.kind.to().filter(|_| transaction.data.is_empty());
        let met = [transaction.caller.0.0].into_iter().chain(recipient.map(|to| to.0.0));
        for address in met.chain(named_by(transaction)) {
            let other = *seen.entry(hasher.hash_one(address)).or_insert(index);
            families.unite(index, other);
        }
    }
    let mut costs = vec![0_u128; transactions.len()];
    for (index, transaction) in transactions.enumerate() {
        costs[families.head(index)] += u128::from(transaction.gas_limit);
    }
    let all: u128 = costs.iter().sum();
    let mut heads: Vec<usize> = (0..costs.len()).filter(|index| families.head(*index) == *index).collect();
    heads.sort_by_key(|head| Reverse(costs[*head]));
    let mut loads = vec![0_u128; strands];
    let mut strand_of = vec![0; costs.len()];
    for head in heads {
        let strand = (0..strands).min_by_key(|strand| loads[*strand])?;
        loads[strand] += costs[head];
        strand_of[head] = strand;
    }
    let longest = loads.into_iter().max()?;
    let share = all / strands as u128;
    if longest > share.saturating_add(share.saturating_mul(tolerance) / 100) {
        return None;
    }
    Some((0..strand_of.len()).map(|index| strand_of[families.head(index)]).collect())
}

/// Disjoint sets of transactions.
#[derive(Debug)]
struct Families(Vec<usize>);

impl Families {
    /// So many, each by itself.
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The lowest of those in the same set.
    fn head(&mut self, of: usize) -> usize {
        let mut at = of;
        while self.0[at] != at {
            // Each look makes the way of the next one shorter.
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Makes the sets of two into one.
    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.head(one), self.head(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes, TxKind};

    use super::*;

    /// A person's address.
    fn person(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// A call by one person of a contract that all call, which names others.
    fn call(by: u8, named: &[u8]) -> TxEnv {
        let words = named.iter().flat_map(|number| person(*number).into_word().0);
        let data = [7; 4].into_iter().chain(words).collect::<Vec<u8>>().into();
        TxEnv { caller: person(by), kind: TxKind::Call(person(0xcc)), data, gas_limit: 1, ..TxEnv::default() }
    }

    #[test]
    fn who_meets_is_in_one_strand() {
        let payment = TxEnv { kind: TxKind::Call(person(3)), data: Bytes::new(), ..call(4, &[]) };
        let transactions = [call(1, &[2]), call(3, &[9]), call(2, &[5]), payment, call(5, &[]), call(9, &[])];
        assert_eq!(split(transactions.iter(), 2, TOLERANCE).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(split(transactions[..3].iter(), 3, TOLERANCE), None, "one would take twice its share");
        assert_eq!(split(transactions[..1].iter(), 1, TOLERANCE).unwrap(), [0]);
    }

    /// What the scheduler says of 512 transactions.
    fn with(aborts: u64, waits: u64) -> Stats {
        let mut stats = Stats::default();
        (stats.committed, stats.aborts, stats.waits) = (512, aborts, waits);
        stats
    }

    #[test]
    fn no_stretch_is_longer_than_what_has_run() {
        let mut strands = Strands::new(2, Outlook::Open);
        assert_eq!(strands.limit(4_096), PROBE);
        assert_eq!(strands.length(4_096, 0, 9_000), None, "nobody knows yet");
        strands.note(&with(32, 0));
        assert_eq!(strands.limit(4_096), 4_096);
        for (decided, left, length) in [(512, 9_999, 512), (2_048, 700, 700), (30_000, 99_999, 16_384)] {
            assert_eq!(strands.length(4_096, decided, left), Some(length));
        }
    }

    #[test]
    fn strands_break_off_when_they_have_used_too_much() {
        let hour = Duration::from_hours(1);
        let bounds = |left, longest| Bounds::new(800, left, longest);
        assert!(bounds(800, hour).allow(100) && !bounds(800, hour).allow(101), "no more than an eighth each");
        assert!(!bounds(800, Duration::ZERO).allow(1));
        let (together, in_the_block) = (bounds(800, hour), bounds(600, hour));
        for bounds in [&together, &in_the_block] {
            bounds.note(601);
        }
        assert!(together.allow(100) && !in_the_block.allow(100));
        together.note(100);
        assert!(!together.allow(100) && !together.allow(1), "it is over for all");
    }

    #[test]
    fn where_transactions_meet_strands_are_not_tried() {
        let mut strands = Strands::new(2, Outlook::Open);
        strands.note(&with(20, 13));
        assert_eq!(strands.length(4_096, 512, 9_000), None);
        strands.note(&with(0, 0));
        assert_eq!(strands.length(4_096, 512, 9_000), None, "once is enough");
    }
}
