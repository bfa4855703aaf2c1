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
//! none has changed what another has seen, each transaction has run on what it would have found in block order, and the
//! block's ledger takes over what they have left. If one has, nobody looks at what they did, and the scheduler runs the
//! stretch.
//!
//! Who belongs together is guessed from senders, recipients and the addresses among the arguments. Strands are tried where
//! the scheduler has met next to no conflict, on a few transactions first, and never again in a block once they have
//! failed. No stretch is longer than what has held before it: whoever contrives that one fails costs the block no more
//! than what strands have run by then.
//!
//! # Invariants
//!
//! - **S1.** What strands leave is what their transactions would have left in block order. They only change values, as in
//!   `in_order.rs`, and never see the beneficiary; whatever else they are shown stays in their ledger, beside what they
//!   have made of it. `tests/determinism` has strands tried on each stretch of a restless run.

use core::cmp::Reverse;
use core::hash::BuildHasher;
use core::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use alloy_primitives::{Address, B256, U256};
use rayon::prelude::*;
use revm::bytecode::Bytecode;
use revm::context::TxEnv;
use revm::state::AccountInfo;
use weft_scheduler::Stats;

use crate::alike::named_by;
use crate::block::ReadyBlock;
use crate::commit::{BlockRun, Summary};
use crate::counters::Counters;
use crate::error::{ExecuteError, WitnessError};
use crate::in_order::{KeptState, Ran};
use crate::ledger::{Base, Entry, Ledger, Room};
use crate::pre_state::PreState;
use crate::trace::{Trace, Work};

/// So many transactions show whether strands hold.
const PROBE: u32 = 512;

/// How many times as long as another stretch one may be that runs in strands, which wait for each other at its end.
const LONGER: u32 = 4;

/// One conflict in so many transactions is too many.
const RARE: u64 = 16;

/// Runs stretches of a block in strands, where that is likely to hold.
#[derive(Debug)]
pub(crate) struct Strands {
    /// How many strands there are at most.
    workers: usize,
    /// What is known.
    outlook: Outlook,
    /// How many transactions have run in strands that have held.
    held: u32,
    /// Room for their ledgers.
    rooms: Vec<Room>,
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

/// What has become of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It is part of the block.
    Joined,
    /// Nothing has changed, and so many transactions have run in vain.
    InVain(u32),
}

/// What a strand has left.
#[derive(Debug)]
struct Left {
    /// What is to be said of its transactions, and what the beneficiary is owed for each.
    done: Vec<(Summary, U256)>,
    /// What it has seen and changed; `None` if it has not come to its end, or must not have done what it did.
    room: Option<Room>,
}

impl Strands {
    /// For a block of which nothing has run, with so many workers.
    pub(crate) const fn new(workers: usize, outlook: Outlook) -> Self {
        Self { workers, outlook, held: 0, rooms: Vec::new() }
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

    /// How many of the next `left` transactions to try, where the scheduler would take so many; `None` if that is not likely
    /// to hold.
    fn length(&self, length: u32, left: u32) -> Option<u32> {
        match self.outlook {
            Outlook::Open | Outlook::Bad => None,
            Outlook::Good => Some(length.saturating_mul(LONGER).min(self.held.max(PROBE)).min(left)),
            // The scheduler is to have its share of what is tried.
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
        let Some(length) = self.length(length, run.left()) else { return Ok(false) };
        let first = run.decided() as usize;
        let transactions = &block.transactions[first..first + length as usize];
        let Some(strand_of) = split(transactions.iter().map(|ready| &ready.env), self.workers) else {
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
            Tried::Joined => {
                self.held = self.held.saturating_add(length);
                counters.in_strands(length);
            }
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
        let (base, open) = (&mut ledger.base, &mut ledger.open);
        self.rooms.resize_with(rows.len(), || base.room());
        let beneath = Beneath(base);
        let is_void = AtomicBool::new(false);
        let strand = |(worker, (row, room)): (usize, (&Vec<usize>, Room))| {
            let ledger = Ledger::in_room(&beneath, block.header.beneficiary, room);
            run_row(block, row, ledger, &is_void, trace.map(|trace| (trace, worker)))
        };
        let rooms = core::mem::take(&mut self.rooms);
        let left: Vec<Left> = rows.par_iter().zip(rooms).enumerate().with_max_len(1).map(strand).collect();

        let ran: usize = left.iter().map(|left| left.done.len()).sum();
        let in_vain = Tried::InVain(u32::try_from(ran).unwrap_or(u32::MAX));
        let (mut rooms, mut done) = (Vec::new(), Vec::new());
        for left in left {
            let Some(room) = left.room else { return Ok(in_vain) };
            rooms.push(room);
            done.push(left.done);
        }
        let has_room = {
            let mut gas: Vec<_> =
                done.iter().map(|done| done.iter().map(|(summary, _)| summary.gas)).collect();
            run.has_room(strand_of.iter().filter_map(|strand| gas[*strand].next()))
        };
        if !has_room || !base.are_apart(&rooms) {
            return Ok(in_vain);
        }
        let first = run.decided();
        let mut done: Vec<_> = done.into_iter().map(Vec::into_iter).collect();
        let commit = || {
            let in_order = strand_of.iter().filter_map(|strand| done[*strand].next());
            (first as usize..).zip(in_order).try_for_each(|(index, (summary, reward))| {
                run.commit_summary(open, index, summary, Some(reward))
            })
        };
        let (committed, ()) = rayon::join(commit, || base.take_over(&mut rooms));
        committed?;
        ledger.end_stretch(&mut [], 1);
        self.rooms = rooms;
        if let Some(mut recorder) = trace.map(|trace| trace.recorder(Some(0))) {
            recorder.note(Work::Commit(first, run.decided() - first));
        }
        Ok(Tried::Joined)
    }
}

/// Runs a row of transactions, until one of them does what a strand must not, or another strand has.
fn run_row(
    block: &ReadyBlock<'_>,
    row: &[usize],
    mut ledger: Ledger<'_>,
    is_void: &AtomicBool,
    trace: Option<(&Trace, usize)>,
) -> Left {
    let mut recorder = trace.map(|(trace, worker)| trace.recorder(Some(worker)));
    let mut state = KeptState::new(&mut ledger, block, true);
    let mut done = Vec::with_capacity(row.len());
    for index in row {
        // ORDERING: a hint. Who misses it runs for nothing.
        if is_void.load(Ordering::Relaxed) {
            break;
        }
        let ran = state.run(*index, &block.transactions[*index].env);
        let Ok(Ran::Ordinary { summary, reward: Some(reward) }) = ran else {
            is_void.store(true, Ordering::Relaxed);
            break;
        };
        done.push((summary, reward));
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Execution(u32::try_from(*index).unwrap_or(u32::MAX)));
        }
        state.settle_if_full();
    }
    state.settle();
    drop(state);
    let room = if done.len() == row.len() { ledger.into_room() } else { None };
    Left { done, room }
}

/// What lies beneath the strands: what the block did before.
#[derive(Debug)]
struct Beneath<'s, 'a>(&'s Base<'a>);

impl PreState for Beneath<'_, '_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        match self.0.known(address) {
            Some(entry) => Ok(entry.now.as_ref().map(AccountInfo::copy_without_code)),
            None => self.0.pre_state().account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let known = self.0.known(address).and_then(|entry| entry.known_slot(slot));
        known.map_or_else(|| self.0.pre_state().storage(address, slot), Ok)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        let known = self.0.known(address).and_then(Entry::knows_storage);
        known.map_or_else(|| self.0.pre_state().has_storage(address), Ok)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        match self.0.known_code(hash) {
            Some(code) => Ok(code.clone()),
            None => self.0.pre_state().code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.0.pre_state().block_hash(number)
    }
}

/// Splits transactions into so many strands: which one each is in. Those that seem to meet are in the same one. `None` if
/// one of the strands would take much longer than the others.
fn split<'t>(
    transactions: impl ExactSizeIterator<Item = &'t TxEnv> + Clone,
    strands: usize,
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
    if longest.saturating_mul(strands as u128) > all.saturating_add(all / 4) {
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
    use alloy_primitives::{Bytes, TxKind};

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
        assert_eq!(split(transactions.iter(), 2).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(split(transactions[..3].iter(), 3), None, "one would take twice its share");
        assert_eq!(split(transactions[..1].iter(), 1).unwrap(), [0]);
    }

    /// What the scheduler says of 512 transactions.
    fn with(aborts: u64, waits: u64) -> Stats {
        let mut stats = Stats::default();
        (stats.committed, stats.aborts, stats.waits) = (512, aborts, waits);
        stats
    }

    #[test]
    fn no_stretch_is_longer_than_what_has_held() {
        let mut strands = Strands::new(2, Outlook::Open);
        assert_eq!(strands.limit(4_096), PROBE);
        assert_eq!(strands.length(4_096, 9_000), None, "nobody knows yet");
        strands.note(&with(32, 0));
        for (held, length) in [(0, 512), (512, 512), (2_048, 2_048), (9_000, 9_000), (99_999, 16_384)] {
            strands.held = held;
            assert_eq!(strands.length(4_096, 99_999), Some(length));
        }
        assert_eq!((strands.length(4_096, 700), strands.limit(4_096)), (Some(700), 4_096));
    }

    #[test]
    fn where_transactions_meet_strands_are_not_tried() {
        let mut strands = Strands::new(2, Outlook::Open);
        strands.note(&with(20, 13));
        assert_eq!(strands.length(4_096, 9_000), None);
        strands.note(&with(0, 0));
        assert_eq!(strands.length(4_096, 9_000), None, "once is enough");
    }
}
