//! Which stretches of a block are worth speculating on, and which run faster in order.
//!
//! ```text
//!              64 commits, speculation pays, or loses no more than half of what it has saved
//!                 ┌─────┐
//!                 ▼     │    64 commits, it loses more
//!          speculative ─┴───────────────────────► in order
//!                 ▲                                  │
//!                 └── a probe ◄── `pause` commits ───┘
//! ```
//!
//! Where speculation does not pay, the block is not merely run with one worker: the stretch ends, and the caller runs
//! the next `pause` transactions in its plain loop, which knows nothing of versions, reads or workers. So a chain of
//! conflicts costs what it costs on one core. Each time that speculation fails again since it last paid, the next pause
//! is longer.
//!
//! After a pause, speculative stretches are only as long as it takes to find out, until one has paid, so that little is
//! run in vain where nothing has changed.
//!
//! Of what is known beforehand, only this counts: rounds that would not pay even if nothing met run in order, and nobody
//! tries ([`Pace::expecting`]).
//!
//! A speculative stretch is short enough for its tables to stay in the cache. The caller makes its state as of the
//! last stretch the pre-state of the next.
//!
//! # Invariants
//!
//! - **A1.** A stretch is at least one transaction long, and no longer than what is left.
//!
//! A stretch that does not pay ends soon: A2, in `round.rs`.

use crate::{
    executor::Executor,
    round::Round,
    stats::Stats,
    worker::{Block, WorkspaceOf},
};

/// How many times what they come to costs are to be expected to be: who expects too little tries too little.
pub const LENIENCY: u64 = 2;

/// What must be saved at least, as costs are expected, which is twice what they come to: some 200 µs. To wake a second
/// worker and to make its EVM takes half of that, and no block is without conflicts.
const WORTH_SAVING: u64 = 160 * RUN_OVERHEAD as u64;

/// The longest speculative stretch of a block that is to run fast.
pub const STRETCH_MAX: u32 = 4_096;

/// What a stretch may cost in order for each worker, if it is longer than [`STRETCH_MIN`]: the less all that was written
/// in it takes, the nearer it is to the cores. About 4 ms as costs are expected, which is 2.
const STRETCH_COST: u64 = 2_048 * RUN_OVERHEAD as u64;

/// So many transactions may always make a stretch.
const STRETCH_MIN: u32 = 256;

/// What a probe after a pause must promise to save, if all goes well: most of them fail, and one that fails takes some
/// 300 µs.
const WORTH_PROBING: u64 = 4 * WORTH_SAVING;

/// What the scheduler adds to a run, in the unit of [`crate::Execution::cost`]: what does not depend on what it does.
pub const RUN_OVERHEAD: u32 = 16;

/// What it adds for each location that a run reads or writes. Measured with `benches/`, `simulate --json`: on one core,
/// calls with 5 locations take 1.5 µs longer than in order, transfers of tokens with 8 take 2.4 to 3.4, swaps with 40
/// take 14. With 125 ns to the unit this says 2.6, 3 and 7: too much for the shortest, which gain least, and too little for
/// the longest, which gain anyway.
const LOCATION_OVERHEAD: u32 = RUN_OVERHEAD / 16;

/// What the scheduler adds to a run that reads and writes so many locations, in the unit of [`crate::Execution::cost`].
pub fn overhead(locations: usize) -> u32 {
    let locations = u32::try_from(locations).unwrap_or(u32::MAX);
    RUN_OVERHEAD.saturating_add(LOCATION_OVERHEAD.saturating_mul(locations))
}

/// How many rounds the first stretch after a pause has: in one the other workers come, and one shows what they gain.
const PROBE_ROUNDS: u32 = 2;

/// When to look, and for how long to stay with what was found. All in transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// How many commits are looked at together.
    pub(crate) round: u32,
    /// The shortest pause.
    pub(crate) pause_min: u32,
    /// The longest pause.
    pub(crate) pause_max: u32,
    /// The longest speculative stretch.
    pub(crate) stretch_max: u32,
    /// Never finds that speculation pays.
    pub(crate) restless: bool,
}

/// For blocks that are to run fast.
pub(crate) const STEADY: Habits =
    Habits { round: 64, pause_min: 512, pause_max: 4_096, stretch_max: STRETCH_MAX, restless: false };

/// For blocks that are to be cut into as many stretches as possible.
const RESTLESS: Habits = Habits { round: 3, pause_min: 1, pause_max: 4, stretch_max: 11, restless: true };

/// Cuts a block into stretches. It looks at how the last one went, and at what the next will likely cost.
///
/// ```
/// use weft_scheduler::{Pace, Stretch};
///
/// let mut pace = Pace::new(1);
/// assert_eq!(pace.next_stretch(500), Stretch::InOrder(500), "one worker has nobody to speculate for it");
/// ```
#[derive(Debug)]
pub struct Pace {
    /// When to look.
    habits: Habits,
    /// How many there are to speculate.
    workers: u32,
    /// The next pause.
    pause: u32,
    /// The last stretch did not pay.
    paused: bool,
    /// A pause is over, and short stretches are to show whether speculation pays by now.
    probing: bool,
    /// What is expected of each round of transactions, as far as that is known.
    rounds: Box<[Expected]>,
    /// How many transactions the block has of which that is known.
    txs: u32,
    /// What was expected of those that ran in order last, and what they have cost.
    in_order: Option<(u64, u64)>,
}

/// What is expected of a round.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// What it costs in order.
    cost: u64,
    /// What its longest transaction does.
    longest: u64,
    /// Speculation may pay if nothing meets. Nobody knows yet how many locations will be read and written.
    can_pay: bool,
}

/// How to run the next transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// So many of them, one after the other.
    InOrder(u32),
    /// So many of them as a [`crate::Block`], which may end before.
    Speculative(u32),
}

impl Pace {
    /// The pace of a block that nothing has run of, with so many workers.
    pub fn new(workers: usize) -> Self {
        Self::with_habits(STEADY, workers)
    }

    /// A pace that changes every few transactions, whatever pays: what happens between stretches happens often. For
    /// tests, which must find nothing else in what comes out.
    pub fn restless(workers: usize) -> Self {
        Self::with_habits(RESTLESS, workers)
    }

    /// A pace with these habits.
    fn with_habits(habits: Habits, workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        Self {
            habits,
            workers,
            pause: habits.pause_min,
            paused: false,
            probing: false,
            rounds: Box::default(),
            txs: 0,
            in_order: None,
        }
    }

    /// The same pace for a block whose transactions will take about so long each, in the unit of
    /// [`crate::Execution::cost`]. What is over before a second worker is awake runs in order; and where it would not pay
    /// even without conflicts, nobody tries.
    #[must_use]
    pub fn expecting(mut self, costs: impl ExactSizeIterator<Item = u32>) -> Self {
        if self.habits.restless {
            return self;
        }
        self.txs = u32::try_from(costs.len()).unwrap_or(u32::MAX);
        let costs: Vec<u64> = costs.map(u64::from).collect();
        let look = |round: &[u64]| {
            let cost: u64 = round.iter().sum();
            let overhead = round.len() as u64 * u64::from(RUN_OVERHEAD);
            let can_pay = cost + overhead <= cost.saturating_mul(self.workers.into());
            Expected { cost, longest: round.iter().copied().max().unwrap_or(0), can_pay }
        };
        self.rounds = costs.chunks(self.habits.round as usize).map(look).collect();
        self
    }

    /// The rounds from the one on in which the next transaction is, if so many are left.
    fn rounds_ahead(&self, left: u32) -> &[Expected] {
        let next = (self.txs.saturating_sub(left) / self.habits.round) as usize;
        self.rounds.get(next..).unwrap_or_default()
    }

    /// How many transactions so many whole rounds have, from the next one on, which may be in the midst of one.
    fn length(&self, rounds: usize, left: u32) -> u32 {
        let begun = self.txs.saturating_sub(left) % self.habits.round;
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        rounds.saturating_mul(self.habits.round).saturating_sub(begun).min(left)
    }

    /// How many of the next transactions make a stretch that is not too long.
    fn stretch(&self, left: u32) -> u32 {
        if self.rounds.is_empty() {
            return self.habits.stretch_max;
        }
        let mut budget = STRETCH_COST.saturating_mul(self.workers.into());
        let paid = self.rounds_ahead(left).iter().take_while(|round| {
            let pays = budget > 0;
            budget = budget.saturating_sub(round.cost);
            pays
        });
        self.length(paid.count(), left).clamp(STRETCH_MIN, self.habits.stretch_max)
    }

    /// How many of the next `left` transactions can pay if nothing meets, up to those that cannot.
    pub fn can_pay(&self, left: u32) -> u32 {
        let can_pay = self.rounds_ahead(left).iter().take_while(|round| round.can_pay);
        self.length(can_pay.count(), left)
    }

    /// How many of the next transactions cannot pay, or save less than so much.
    fn hopeless(&self, left: u32, least: u64) -> u32 {
        let alike = self.rounds_ahead(left).chunk_by(|one, next| one.can_pay == next.can_pay);
        let hopeless = alike.take_while(|rounds| !is_worth_it(rounds, least));
        self.length(hopeless.map(<[Expected]>::len).sum(), left)
    }

    /// Whether a block of so many transactions runs in order from the first to the last, for all that is known beforehand.
    pub fn is_in_order(&self, txs: u32) -> bool {
        self.workers < 2 || txs < 2 || self.hopeless(txs, WORTH_SAVING) == txs
    }

    /// The next `txs` transactions, to be run by so many workers, or fewer if they are not worth it, in the room of an
    /// earlier block.
    pub fn block<'e, E: Executor>(
        &self,
        executor: &'e E,
        txs: u32,
        workspace: WorkspaceOf<E>,
    ) -> Block<'e, E> {
        Block::with_round(executor, txs, Round::new(self.habits, self.workers), workspace)
    }

    /// How many of the next `left` transactions a stretch would have if nothing had ever met; `None` if it would not pay.
    pub fn stretch_if_nothing_meets(&self, left: u32) -> Option<u32> {
        (self.workers > 1 && left > 1 && self.hopeless(left, WORTH_SAVING) == 0)
            .then(|| self.stretch(left).min(left))
    }

    /// How to run the next of `left` transactions.
    pub fn next_stretch(&mut self, left: u32) -> Stretch {
        let paused = core::mem::take(&mut self.paused);
        if self.workers < 2 || left < 2 {
            Stretch::InOrder(left)
        } else if paused {
            let length = self.pause.min(left);
            self.pause = self.pause.saturating_mul(2).min(self.habits.pause_max);
            self.probing = !self.habits.restless;
            Stretch::InOrder(length)
        } else if let hopeless @ 1.. =
            self.hopeless(left, if self.probing { self.worth_probing() } else { WORTH_SAVING })
        {
            Stretch::InOrder(hopeless)
        } else {
            let longest = if self.probing { PROBE_ROUNDS * self.habits.round } else { self.stretch(left) };
            Stretch::Speculative(left.min(longest))
        }
    }

    /// What a probe must promise to save, as costs are expected: if those in order have cost less, it promises too much.
    fn worth_probing(&self) -> u64 {
        self.in_order.map_or(WORTH_PROBING, |(expected, cost)| {
            (WORTH_PROBING / LENIENCY).saturating_mul(expected) / cost.max(1)
        })
    }

    /// The next `length` of `left` transactions have run in order, and have cost so much. Who never says so has the costs
    /// that he expects taken for [`LENIENCY`] times what they come to.
    pub fn note_in_order(&mut self, left: u32, length: u32, cost: u64) {
        let rounds = (length / self.habits.round) as usize;
        let expected: u64 = self.rounds_ahead(left).iter().take(rounds).map(|round| round.cost).sum();
        if expected > 0 {
            self.in_order = Some((expected, cost));
        }
    }

    /// A speculative stretch has ended.
    pub fn note(&mut self, stats: &Stats) {
        // A probe during which nobody came says nothing, and nobody may come the next time.
        self.paused = stats.gave_up || self.probing && !stats.has_paid;
        if stats.has_paid {
            self.probing = false;
            self.pause = self.habits.pause_min;
        }
    }
}

/// Whether there is enough to save in rounds that can pay or not, all of them: half of what they cost, and not what the
/// longest transaction takes.
fn is_worth_it(rounds: &[Expected], least: u64) -> bool {
    let cost: u64 = rounds.iter().map(|round| round.cost).sum();
    let longest = rounds.iter().map(|round| round.longest).max().unwrap_or(0);
    rounds.iter().all(|round| round.can_pay) && (cost / 2).min(cost - longest) >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1_stretches_fit_and_pauses_grow_while_speculation_fails() {
        let mut pace = Pace::new(2);
        let long = STEADY.stretch_max;
        // It fails after the first look or a few commits later, or has not been looked at.
        let failures = [(true, 64), (true, 66), (false, 128), (true, 127), (true, 64)];
        let stretches = [(long, 512), (128, 1_024), (128, 2_048), (128, 4_096), (128, 4_096)];
        for ((gave_up, committed), (stretch, pause)) in failures.into_iter().zip(stretches) {
            assert_eq!(pace.next_stretch(9_000), Stretch::Speculative(stretch));
            pace.note(&Stats { committed, gave_up, ..Stats::default() });
            assert_eq!(pace.next_stretch(9_000), Stretch::InOrder(pause));
        }
        assert_eq!(pace.next_stretch(300), Stretch::Speculative(128));
        pace.note(&Stats { committed: 128, has_paid: true, ..Stats::default() });
        assert_eq!(pace.next_stretch(300), Stretch::Speculative(300), "it pays again");
        pace.note(&Stats { committed: 200, gave_up: true, has_paid: true, ..Stats::default() });
        assert_eq!(pace.next_stretch(900), Stretch::InOrder(512), "a good round makes the pause short again");
        assert_eq!(pace.next_stretch(1), Stretch::InOrder(1));
    }

    #[test]
    fn a1_who_has_not_been_looked_at_goes_on() {
        let mut pace = Pace::new(2);
        assert_eq!(pace.next_stretch(100), Stretch::Speculative(100));
        pace.note(&Stats { committed: 50, ..Stats::default() });
        assert_eq!(pace.next_stretch(50), Stretch::Speculative(50));
    }

    #[test]
    fn what_cannot_pay_begins_in_order() {
        let first = |txs: u32, cost, workers| {
            let mut pace = Pace::new(workers).expecting(vec![cost; txs as usize].into_iter());
            let is_in_order = pace.is_in_order(txs);
            let stretch = pace.next_stretch(txs);
            assert_eq!(is_in_order, stretch == Stretch::InOrder(txs));
            stretch
        };
        assert_eq!(first(500, RUN_OVERHEAD, 2), Stretch::Speculative(500));
        assert_eq!(first(500, RUN_OVERHEAD - 1, 2), Stretch::InOrder(500));
        assert_eq!(first(900, RUN_OVERHEAD / 2, 3), Stretch::Speculative(900), "for three it pays");
        assert_eq!(first(70, RUN_OVERHEAD, 1), Stretch::InOrder(70));
        assert_eq!(first(4, 79 * RUN_OVERHEAD, 2), Stretch::InOrder(4), "over before anybody is awake");
        assert_eq!(first(4, 80 * RUN_OVERHEAD, 2), Stretch::Speculative(4));
        assert_eq!(first(2, 159 * RUN_OVERHEAD, 2), Stretch::InOrder(2), "the longer one takes as long");
        assert_eq!(first(2, 160 * RUN_OVERHEAD, 2), Stretch::Speculative(2));
    }

    #[test]
    fn what_is_left_must_be_worth_it_too() {
        let costs = (0..200).map(|tx| if tx < 128 { 1_000 } else { RUN_OVERHEAD });
        let mut pace = Pace::new(2).expecting(costs.collect::<Vec<_>>().into_iter());
        assert_eq!(pace.next_stretch(200), Stretch::Speculative(200));
        pace.note(&Stats { committed: 128, ..Stats::default() });
        assert_eq!(pace.next_stretch(72), Stretch::InOrder(72));
    }

    #[test]
    fn a_probe_must_promise_more() {
        let mut pace = Pace::new(2).expecting(vec![2 * RUN_OVERHEAD; 2_000].into_iter());
        let gave_up = Stats { committed: 64, gave_up: true, ..Stats::default() };
        assert_eq!(pace.next_stretch(2_000), Stretch::Speculative(2_000));
        pace.note(&gave_up);
        assert_eq!(pace.next_stretch(1_936), Stretch::InOrder(512));
        assert_eq!(pace.next_stretch(1_424), Stretch::Speculative(128), "there is much left");
        pace.note(&gave_up);
        assert_eq!(pace.next_stretch(1_360), Stretch::InOrder(1_024));
        assert_eq!(pace.next_stretch(336), Stretch::InOrder(336), "too little for another try");
        assert_eq!(pace.stretch_if_nothing_meets(336), Some(336));
    }

    #[test]
    fn a_probe_must_promise_more_where_the_loop_is_faster_than_expected() {
        let expected = 4 * RUN_OVERHEAD;
        for (cost, next) in
            [(expected / 2, Stretch::Speculative(128)), (expected / 16, Stretch::InOrder(1_424))]
        {
            let mut pace = Pace::new(2).expecting(vec![expected; 2_000].into_iter());
            assert_eq!(pace.next_stretch(2_000), Stretch::Speculative(1_024));
            pace.note(&Stats { committed: 64, gave_up: true, ..Stats::default() });
            assert_eq!(pace.next_stretch(1_936), Stretch::InOrder(512));
            pace.note_in_order(1_936, 512, u64::from(512 * cost));
            assert_eq!(pace.next_stretch(1_424), next, "{cost}");
        }
    }

    #[test]
    fn rounds_that_cannot_pay_are_not_tried() {
        let costs = (0..300).map(|tx| if (128..192).contains(&tx) { 1_000 } else { 1 });
        let mut pace = Pace::new(2).expecting(costs.collect::<Vec<_>>().into_iter());
        assert!(!pace.is_in_order(300));
        assert_eq!(pace.next_stretch(300), Stretch::InOrder(128));
        assert_eq!(pace.next_stretch(172), Stretch::Speculative(172));
        pace.note(&Stats { committed: 70, ..Stats::default() });
        assert_eq!(pace.next_stretch(102), Stretch::InOrder(102));
    }

    #[test]
    fn a1_a_stretch_that_takes_long_is_cut() {
        let length = |cost: u32, workers| {
            let txs = 9_000;
            let mut pace = Pace::new(workers).expecting(vec![cost; txs as usize].into_iter());
            pace.next_stretch(txs)
        };
        assert_eq!(length(RUN_OVERHEAD, 2), Stretch::Speculative(4_096));
        assert_eq!(length(2 * RUN_OVERHEAD, 2), Stretch::Speculative(2_048));
        assert_eq!(length(2 * RUN_OVERHEAD, 3), Stretch::Speculative(3_072));
        assert_eq!(length(1_000 * RUN_OVERHEAD, 2), Stretch::Speculative(STRETCH_MIN));
    }
}
