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
//! arguments (`families.rs`). Such strands are tried where the scheduler has met next to no conflict, or a sample of those
//! that have run in order shows next to none and the scheduler would not pay.
//!
//! If the block came with an access list, a strand is a row of neighbours, and begins with what the list says of those
//! before it: so even transactions that all depend on each other run side by side. The list is believed for no longer
//! than until the strands are over (`listed.rs`). Where the header commits to the list (Amsterdam), each transaction's
//! accounts are looked at for the one to compare it with, and there are no strands.
//!
//! ```text
//!  block      0  1  2  3  4  5  6  7
//!  strand A   0  1  2  3                what lies before the stretch is there
//!  strand B               4  5  6  7    what 0 to 3 will do is listed
//! ```
//!
//! Strands are tried on no more transactions than are part of the block by then, and never again in a block once they have
//! not held. They may use no more gas and time than twice what the block has used, time that no gas accounts for left out:
//! whoever contrives that they fail costs the block a part of its own time, and a core that is taken away for a while does
//! not end them.
//!
//! # Invariants
//!
//! - **S1.** What strands leave is what their transactions would have left in block order. They only change values, as in
//!   `in_order.rs`, and never see the beneficiary; whatever else they are shown stays in their ledger, and what they have
//!   changed, even for a while, is noted beside it. `tests/determinism/strands.rs` has blocks that set strands apart from
//!   the specification, and restless runs try them at every second chance.
//! - **S2.** So it is where strands follow a list, whatever the list says; there nothing need be noted, since rows of
//!   neighbours are compared where they meet. `tests/determinism/listed.rs` has lists that are wrong where it matters.

use std::time::{Duration, Instant};

use alloy_primitives::U256;
use rayon::prelude::*;
use revm::state::bal::alloy::AlloyBal;
use weft_scheduler::{Stats, Stretch};

use crate::block::{ReadyBlock, ReadyTransaction};
use crate::commit::{BlockRun, Summary};
use crate::counters::Counters;
use crate::error::ExecuteError;
use crate::families;
use crate::hash_ahead::AHEAD;
use crate::in_order::{KeptState, Ran};
use crate::ledger::{Base, Ledger, Seen, Written};
use crate::listed::{ListedChanges, Row};
use crate::pre_state::PreState;
use crate::sample::Prospect;
use crate::setup::Setup;
use crate::simulate::{Around, End};
use crate::trace::{Recorder, Work};
use crate::transaction::Notes;
use crate::watch::Watch;

mod bounds;

use bounds::{Bounds, Stopwatch};

/// No more transactions than these need show whether the scheduler meets conflicts.
const PROBE: u32 = 512;

/// So many run in order where an access list says what follows: the strands' gas and time are measured by them.
const PROBE_IN_ORDER: u32 = 64;

/// By how many percent the longest strand may be longer than its share.
const TOLERANCE: u128 = 25;

/// How many times as long as another stretch one may be that runs in strands, which wait for each other at its end.
const LONGER: u32 = 4;

/// What rows that are run side by side must take in order at least: to split them, to wake who runs the others, to bring near
/// what they need there and to compare them takes some 150 µs, whatever their length. Measured with `benches/`, `short/17`.
const WORTH_SPLITTING: Duration = Duration::from_micros(500);

/// More than one conflict in so many transactions is too many.
const RARE: u64 = 16;

/// Runs stretches of a block in strands, where that is likely to hold.
#[derive(Debug)]
pub(crate) struct Strands<'b> {
    /// How many strands there are at most.
    workers: usize,
    /// What is known.
    outlook: Outlook,
    /// How a stretch is split.
    way: Way<'b>,
    /// When the block began.
    start: Instant,
    /// Room for their ledgers.
    rooms: Vec<Seen>,
}

/// How a stretch is split into strands.
#[derive(Debug)]
pub(crate) enum Way<'b> {
    /// By who seems to meet whom.
    Families,
    /// By the block's access list, if that can be followed: nobody has read it.
    Unread,
    /// Into rows of neighbours, each of which begins with what the list says.
    List(ListedChanges<'b>),
}

/// Whether strands are likely to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nothing has run yet.
    Open,
    /// The scheduler has met next to no conflict, or a sample has none, and strands have held if they were tried.
    Good,
    /// They have not held, or would not.
    Bad,
    /// They are tried on many stretches, whatever has become of the others.
    Restless,
}

/// A stretch that is split into strands.
#[derive(Debug)]
struct Split {
    /// The place in the block of its first transaction.
    first: usize,
    /// Which one each of its transactions is in.
    strand_of: Vec<usize>,
    /// The transactions of each, by their places in the block.
    rows: Vec<Vec<usize>>,
}

/// A strand that is over.
#[derive(Debug)]
struct Finished {
    /// What is to be said of its transactions, and what the beneficiary is owed for each.
    done: Vec<(Summary, U256)>,
    /// What it has seen and changed; `None` if it has not come to its end, or must not have done what it did.
    seen: Option<Seen>,
}

impl<'b> Strands<'b> {
    /// For a block of which nothing has run, with so many workers.
    pub(crate) fn new(workers: usize, outlook: Outlook, way: Way<'b>) -> Self {
        Self { workers, outlook, way, start: Instant::now(), rooms: Vec::new() }
    }

    /// The next stretch, of which this was the plan: shorter, or in order if there is a list to follow, until it is known
    /// whether strands are worth a try.
    pub(crate) fn probe(&mut self, planned: Stretch, list: impl FnOnce() -> &'b AlloyBal) -> Stretch {
        let Stretch::Speculative(length) = planned else { return planned };
        self.read(list);
        match (self.outlook, &self.way) {
            (Outlook::Open, Way::Families) => Stretch::Speculative(length.min(PROBE)),
            (Outlook::Open, Way::List(_) | Way::Unread) => Stretch::InOrder(length.min(PROBE_IN_ORDER)),
            _ => planned,
        }
    }

    /// Reads the block's list, if strands may follow it and nobody has.
    fn read(&mut self, list: impl FnOnce() -> &'b AlloyBal) {
        if matches!(self.way, Way::Unread) && self.outlook != Outlook::Bad {
            self.way = ListedChanges::read(list()).map_or(Way::Families, Way::List);
        }
    }

    /// A stretch has run in order.
    pub(crate) fn note_in_order(&mut self) {
        if self.outlook == Outlook::Open && matches!(self.way, Way::List(_)) {
            self.outlook = Outlook::Good;
        }
    }

    /// What a sample says of the next transactions.
    pub(crate) fn note_sample(&mut self, prospect: Prospect) {
        if self.outlook == Outlook::Open && prospect == Prospect::Apart {
            self.outlook = Outlook::Good;
        }
    }

    /// The scheduler has run a stretch.
    pub(crate) fn note(&mut self, stats: &Stats) {
        if self.outlook == Outlook::Open {
            let conflicts = stats.aborts + stats.waits + stats.delays;
            let is_good = conflicts * RARE <= u64::from(stats.committed);
            self.outlook = if is_good { Outlook::Good } else { Outlook::Bad };
        }
    }

    /// How long the block has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether to try some of the next `left` transactions, where so many are decided, which have taken so long if anybody
    /// looks at the clock.
    pub(crate) fn are_likely(&self, decided: u32, left: u32, time: Option<Duration>) -> bool {
        let are_long = |time: Duration| time * left.min(decided) >= WORTH_SPLITTING * decided;
        match (self.outlook, &self.way) {
            (Outlook::Open | Outlook::Bad, _) => false,
            (Outlook::Good, Way::Families) => decided >= PROBE_IN_ORDER && time.is_none_or(are_long),
            // Without the list, the scheduler is of no use.
            (Outlook::Good, Way::Unread | Way::List(_)) => decided >= PROBE_IN_ORDER,
            // The scheduler is to have its share.
            (Outlook::Restless, _) => left.is_multiple_of(2),
        }
    }

    /// How many of the next `left` transactions to try, where the scheduler would take so many and so many are decided.
    fn length(&self, length: u32, decided: u32, left: u32) -> u32 {
        match self.outlook {
            Outlook::Restless => length,
            Outlook::Open | Outlook::Good | Outlook::Bad => {
                length.saturating_mul(LONGER).min(decided).min(left)
            }
        }
    }

    /// Runs the next transactions in strands, which [are likely](Self::are_likely) to hold, and returns whether they are part of
    /// the block now. They are as many as would make a stretch for the scheduler, which is `length`, or some times that.
    ///
    /// # Errors
    ///
    /// As [`BlockRun::commit_summary`], of the first transaction in block order that fails.
    pub(crate) fn run(
        &mut self,
        block: &'b ReadyBlock<'_>,
        run: &mut BlockRun<'_>,
        ledger: &mut Ledger<'_>,
        length: u32,
        counters: &mut Counters,
        setup: &Setup<'_>,
    ) -> Result<bool, ExecuteError> {
        let length = self.length(length, run.decided(), run.left());
        debug_assert!(length > 0, "two are left at least, and strands are likely where some are decided");
        self.read(|| block.foretold());
        let first = run.decided() as usize;
        let transactions = &block.transactions[first..first + length as usize];
        let bounds = match self.outlook {
            Outlook::Restless => Bounds::new(u64::MAX, u64::MAX, Duration::MAX),
            Outlook::Open | Outlook::Good | Outlook::Bad => {
                let by_the_clock = setup.timing().is_by_the_clock();
                let longest = if by_the_clock { 2 * self.elapsed() } else { Duration::MAX };
                Bounds::new(run.gas_paid().saturating_mul(2), run.gas_left(), longest)
            }
        };
        // Later, the same may be little.
        if transactions.iter().any(|ready| bounds.is_much(ready.env.gas_limit)) {
            return Ok(false);
        }
        let mut recorder = Recorder::new(setup.trace, Some(0));
        let (split, mut around) = self.split(first, transactions, Watch::new(setup.rehearsal.is_some()));
        let Some(split) = split else {
            self.give_up();
            if let Some(rehearsal) = setup.rehearsal {
                rehearsal.note_strands(core::iter::empty(), length, around, End::NotSplit);
            }
            return Ok(false);
        };
        recorder.note(Work::Upkeep("split"));
        let finished = self.run_rows(block, &ledger.base, &split, &bounds, setup);
        let lengths: Vec<usize> = finished.iter().map(|strand| strand.done.len()).collect();
        recorder.skip();
        let end = self.join(run, ledger, &split, finished, &mut around, setup)?;
        tracing::trace!(first, length, ?end, "stretch in strands");
        if let Some(rehearsal) = setup.rehearsal {
            let ran = split.rows.iter().zip(&lengths).map(|(row, length)| &row[..*length]);
            rehearsal.note_strands(ran, length, around, end);
        }
        if end == End::Joined {
            counters.in_strands(length);
            recorder.note(Work::Commit(run.decided() - length, length));
        } else {
            self.give_up();
            let in_vain = || split.rows.iter().zip(&lengths).flat_map(|(row, length)| &row[..*length]);
            counters.strands_in_vain(u32::try_from(in_vain().count()).unwrap_or(u32::MAX));
            in_vain().for_each(|index| recorder.note(Work::Abort(place(*index))));
        }
        Ok(end == End::Joined)
    }

    /// Splits the transactions from the `first` on into strands, and says how long that took; `None` if there is no good way
    /// to do it.
    fn split(
        &self,
        first: usize,
        transactions: &[ReadyTransaction],
        mut watch: Watch,
    ) -> (Option<Split>, Around) {
        let mut around = Around::default();
        let gas_limits = transactions.iter().map(|ready| ready.env.gas_limit);
        let strand_of = match &self.way {
            Way::Families => {
                let meetings = families::meetings(transactions);
                around.meetings = watch.lap();
                let tolerance = if self.outlook == Outlook::Restless { u128::MAX } else { TOLERANCE };
                families::share_out(gas_limits, &meetings, self.workers, tolerance)
            }
            Way::Unread => None,
            Way::List(_) => Some(share_out_neighbours(gas_limits, self.workers)),
        };
        let split = strand_of.map(|strand_of| {
            let mut rows = vec![Vec::new(); self.workers];
            for (index, strand) in (first..).zip(&strand_of) {
                rows[*strand].push(index);
            }
            Split { first, strand_of, rows }
        });
        around.share_out = watch.lap();
        (split, around)
    }

    /// Strands have not held, or would not.
    fn give_up(&mut self) {
        if self.outlook != Outlook::Restless {
            self.outlook = Outlook::Bad;
        }
    }

    /// Runs each strand by itself.
    fn run_rows(
        &mut self,
        block: &ReadyBlock<'_>,
        base: &Base<'_>,
        split: &Split,
        bounds: &Bounds,
        setup: &Setup<'_>,
    ) -> Vec<Finished> {
        let Split { first, rows, .. } = split;
        self.rooms.resize_with(rows.len(), || base.room());
        let (way, trace) = (&self.way, setup.trace);
        let strand = |(worker, (row, room)): (usize, (&Vec<usize>, Seen))| {
            let run = |beneath: &dyn PreState, written| {
                run_row(block, row, beneath, room, written, bounds, Recorder::new(trace, Some(worker)))
            };
            match (way, row.first()) {
                (Way::List(listed), Some(start)) if start > first => {
                    run(&listed.state_before(base, *first..*start), None)
                }
                (Way::List(_), _) => run(base, None),
                (Way::Families | Way::Unread, _) => run(base, Some(Written::default())),
            }
        };
        let rooms = core::mem::take(&mut self.rooms);
        rows.par_iter().zip(rooms).enumerate().with_max_len(1).map(strand).collect()
    }

    /// Makes all strands part of the block, if they have come to their end and have found what they would have in block
    /// order. Says how long that took.
    fn join(
        &mut self,
        run: &mut BlockRun<'_>,
        ledger: &mut Ledger<'_>,
        split: &Split,
        finished: Vec<Finished>,
        around: &mut Around,
        setup: &Setup<'_>,
    ) -> Result<End, ExecuteError> {
        let Split { strand_of, rows, .. } = split;
        let is_timed = setup.rehearsal.is_some();
        let whole = finished.into_iter().map(|Finished { done, seen }| Some((done, seen?)));
        let Some((done, mut seen)) = whole.collect::<Option<(Vec<_>, Vec<_>)>>() else {
            return Ok(End::BrokeOff);
        };
        let admit = || run.has_room(in_block_order(strand_of, &done).map(|(summary, _)| summary.gas));
        let compare = || match &self.way {
            Way::Families | Way::Unread => Seen::are_apart(&seen),
            Way::List(listed) => {
                let row = |(row, seen): (&Vec<usize>, _)| Some(Row { transactions: neighbours(row)?, seen });
                let rows: Vec<Row<'_>> = rows.iter().zip(&seen).filter_map(row).collect();
                listed.agree(&rows)
            }
        };
        let (has_room, have_held);
        ((has_room, around.admit), (have_held, around.compare)) =
            rayon::join(|| Watch::time(is_timed, admit), || Watch::time(is_timed, compare));
        if !has_room {
            return Ok(End::NoRoom);
        }
        if !have_held {
            return Ok(End::Differed);
        }
        let Ledger { base, open, .. } = ledger;
        let commit = || {
            (run.decided() as usize..).zip(in_block_order(strand_of, done)).try_for_each(
                |(index, (summary, reward))| run.commit_summary(open, index, summary, Some(reward)),
            )
        };
        let take_over = || base.take_over(&mut seen, is_timed);
        let committed;
        ((committed, around.commit), (around.take_over_longest, around.take_over)) =
            rayon::join(|| Watch::time(is_timed, commit), || Watch::time(is_timed, take_over));
        committed?;
        // A reward of zero is committed as a transaction that has changed nothing.
        ledger.end_stretch(&mut [], 1);
        self.rooms = seen;
        Ok(End::Joined)
    }
}

/// What the rows have of each transaction, in the order of the block: `strand_of` says in which row each is. To look it up
/// again takes less than to write a list of it.
fn in_block_order<R: IntoIterator>(
    strand_of: &[usize],
    rows: impl IntoIterator<Item = R>,
) -> impl Iterator<Item = R::Item> {
    let mut rows: Vec<R::IntoIter> = rows.into_iter().map(R::into_iter).collect();
    strand_of.iter().map(move |strand| rows[*strand].next().expect("a row is as long as it was split"))
}

/// A transaction's place in the block, as traces have it.
fn place(index: usize) -> u32 {
    u32::try_from(index).expect("a transaction takes more than a byte of memory")
}

/// The transactions of a row that leaves none out; `None` if there are none.
fn neighbours(row: &[usize]) -> Option<core::ops::Range<usize>> {
    Some(*row.first()?..row.last()? + 1)
}

/// Splits transactions that may use so much gas each into so many strands of neighbours, and says which one each is in.
fn share_out_neighbours(gas_limits: impl Iterator<Item = u64> + Clone, strands: usize) -> Vec<usize> {
    let all: u128 = gas_limits.clone().map(u128::from).sum();
    let mut before = 0;
    let share = |gas: u64| {
        // By where its middle lies.
        let middle = 2 * before + u128::from(gas);
        before += u128::from(gas);
        let strand = middle.saturating_mul(strands as u128) / (2 * all).max(1);
        usize::try_from(strand).map_or(strands - 1, |strand| strand.min(strands - 1))
    };
    gas_limits.map(share).collect()
}

/// Runs a row of transactions above some state, until one of them does what a strand must not, or another strand has broken
/// off. What they change is noted if there is something to note it in.
fn run_row(
    block: &ReadyBlock<'_>,
    row: &[usize],
    beneath: &dyn PreState,
    room: Seen,
    written: Option<Written>,
    bounds: &Bounds,
    mut recorder: Recorder<'_>,
) -> Finished {
    let mut ledger = Ledger::of_strand(beneath, block.header.beneficiary, room, row.len());
    let notes = written.map_or(Notes::None, Notes::Written);
    let mut state = KeptState::new(&mut ledger, block, true, notes);
    let mut done = Vec::with_capacity(row.len());
    // Gas that the others have not been told of: all look at that, and whoever tells makes them wait.
    let mut used = 0;
    let (mut stopwatch, mut last_used) = (Stopwatch::start(), 0);
    for (nth, index) in row.iter().enumerate() {
        let environment = &block.transactions[*index].env;
        if nth.is_multiple_of(AHEAD) {
            bounds.note(core::mem::take(&mut used));
            let next = row[nth..].iter().take(AHEAD);
            let pays = state.look_ahead(next.map(|index| &block.transactions[*index].env));
            if pays {
                recorder.note(Work::Upkeep("hash ahead"));
            }
        }
        if !bounds.allow(environment.gas_limit, used, stopwatch.look(last_used)) {
            break;
        }
        let ran = match state.run(*index, environment) {
            Ok(Ran::Ordinary { summary, reward: Some(reward) }) => Some((summary, reward)),
            _ => None,
        };
        let ran = ran.filter(|_| !state.ledger().knows_the_beneficiary());
        let tx = place(*index);
        recorder.note(if ran.is_some() { Work::Execution(tx) } else { Work::Wait(tx) });
        let Some((summary, reward)) = ran else {
            bounds.break_off();
            break;
        };
        last_used = summary.gas.tx_gas_used();
        used += last_used;
        done.push((summary, reward));
        if state.settle_if_full() {
            recorder.note(Work::Upkeep("settle"));
        }
    }
    let written = match state.finish() {
        Notes::Written(written) => written,
        Notes::None | Notes::Sample(_) => Written::default(),
    };
    recorder.note(Work::Upkeep("settle"));
    let is_whole = done.len() == row.len();
    Finished { done, seen: is_whole.then(|| ledger.into_seen(written)) }
}

#[cfg(test)]
mod tests {
    use revm::state::bal::alloy::AlloyAccountChanges;

    use super::*;

    /// A stretch that is planned.
    const LONG: Stretch = Stretch::Speculative(4_096);

    /// What the scheduler says of 512 transactions.
    fn with(aborts: u64, waits: u64) -> Stats {
        let mut stats = Stats::default();
        (stats.committed, stats.aborts, stats.waits) = (512, aborts, waits);
        stats
    }

    #[test]
    fn no_stretch_is_longer_than_what_has_run() {
        let mut strands = Strands::new(2, Outlook::Open, Way::Families);
        let none = || unreachable!("there is none to read");
        assert_eq!(strands.probe(LONG, none), Stretch::Speculative(PROBE));
        assert!(!strands.are_likely(512, 9_000, None), "nobody knows yet");
        strands.note(&with(32, 0));
        assert!(strands.are_likely(512, 9_000, None));
        assert_eq!(strands.probe(LONG, none), LONG);
        for (decided, left, length) in [(512, 9_999, 512), (2_048, 700, 700), (30_000, 99_999, 16_384)] {
            assert_eq!(strands.length(4_096, decided, left), length);
        }
    }

    #[test]
    fn where_there_is_a_list_some_run_in_order_first() {
        let list = AlloyBal::from(vec![AlloyAccountChanges::default()]);
        let mut strands = Strands::new(2, Outlook::Open, Way::Unread);
        assert_eq!(strands.probe(LONG, || &list), Stretch::InOrder(PROBE_IN_ORDER));
        assert_eq!(strands.probe(Stretch::InOrder(7), || &list), Stretch::InOrder(7));
        strands.note_in_order();
        assert_eq!(strands.probe(LONG, || &list), LONG);
        assert!(strands.are_likely(512, 9_000, None));
        assert_eq!(strands.length(4_096, PROBE_IN_ORDER, 9_000), PROBE_IN_ORDER);
    }

    #[test]
    fn strands_that_are_soon_over_are_not_worth_it() {
        let ms = |time| Some(Duration::from_millis(time));
        let mut strands = Strands::new(2, Outlook::Open, Way::Families);
        strands.note_sample(Prospect::Apart);
        assert!(strands.are_likely(100, 9_000, ms(1)));
        assert!(!strands.are_likely(100, 40, ms(1)), "few are left");
        assert!(!strands.are_likely(100, 9_000, ms(0)), "they are short");
        assert!(strands.are_likely(100, 40, None), "nobody looks at the clock");
    }

    #[test]
    fn a_list_that_says_nothing_is_none() {
        let list = AlloyBal::default();
        let mut strands = Strands::new(2, Outlook::Open, Way::Unread);
        assert_eq!(strands.probe(LONG, || &list), Stretch::Speculative(PROBE));
        strands.note_in_order();
        assert_eq!(strands.outlook, Outlook::Open, "as in any block without one");
    }

    #[test]
    fn neighbours_share_the_gas() {
        let share = |gas: &[u64], strands| share_out_neighbours(gas.iter().copied(), strands);
        assert_eq!(share(&[5; 6], 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(share(&[1, 1, 1, 1, 20, 1], 2), [0, 0, 0, 0, 1, 1]);
        assert_eq!(share(&[u64::MAX; 3], 3), [0, 1, 2]);
        assert_eq!(share(&[0, 0], 3), [0, 0], "who uses nothing takes no time");
        assert_eq!(share(&[9], 3), [1]);
    }

    #[test]
    fn where_transactions_meet_strands_are_not_tried() {
        let mut strands = Strands::new(2, Outlook::Open, Way::Families);
        strands.note(&with(20, 13));
        assert!(!strands.are_likely(512, 9_000, None));
        strands.note(&with(0, 0));
        assert!(!strands.are_likely(512, 9_000, None), "once is enough");
    }
}
