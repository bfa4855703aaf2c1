//! Which stretches of a block are worth speculating on, and which run faster in order.
//!
//! ```text
//!              64 commits, speculation pays
//!                 ┌─────┐
//!                 ▼     │    64 commits, it does not
//!          speculative ─┴───────────────────────► in order
//!                 ▲                                  │
//!                 └──────── `pause` commits ─────────┘
//! ```
//!
//! Where speculation does not pay, the block is not merely run with one worker: the stretch ends, and the caller runs
//! the next `pause` transactions in its plain loop, which knows nothing of versions, reads or workers. So a chain of
//! conflicts costs what it costs on one core. Each time that speculation fails again right after a pause, the next
//! pause is longer.
//!
//! A speculative stretch is short enough for its tables to stay in the cache. The caller makes its state as of the
//! last stretch the pre-state of the next.
//!
//! # Invariants
//!
//! - **A1.** A stretch is at least one transaction long, and no longer than what is left.
//! - **A2.** A stretch that does not pay ends within 64 commits.

use crate::{
    executor::Executor,
    stats::Stats,
    sync::{AtomicU32, AtomicU64, Ordering},
    worker::Block,
};

/// What the scheduler adds to a run, in the unit of [`crate::Execution::cost`]: versions, reads, validation.
pub const RUN_OVERHEAD: u32 = 16;

/// When to look, and for how long to stay with what was found. All in transactions.
#[derive(Debug, Clone, Copy)]
struct Habits {
    /// How many commits are looked at together.
    round: u32,
    /// The shortest pause.
    pause_min: u32,
    /// The longest pause.
    pause_max: u32,
    /// The longest speculative stretch.
    stretch_max: u32,
    /// Never finds that speculation pays.
    restless: bool,
}

/// For blocks that are to run fast.
const STEADY: Habits =
    Habits { round: 64, pause_min: 512, pause_max: 4_096, stretch_max: 4_096, restless: false };

/// For blocks that are to be cut into as many stretches as possible.
const RESTLESS: Habits = Habits { round: 3, pause_min: 1, pause_max: 4, stretch_max: 11, restless: true };

/// Cuts a block into stretches. It looks at how the last one went, and at nothing else.
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
        Self { habits, workers, pause: habits.pause_min, paused: false }
    }

    /// The next `txs` transactions, to be run by so many workers, or fewer if they are not worth it.
    pub fn block<'e, E: Executor>(&self, executor: &'e E, txs: u32) -> Block<'e, E> {
        Block::with_round(executor, txs, Round::new(self.habits, self.workers))
    }

    /// How to run the next of `left` transactions.
    pub fn next_stretch(&mut self, left: u32) -> Stretch {
        let paused = core::mem::take(&mut self.paused);
        if self.workers < 2 || left < 2 {
            Stretch::InOrder(left)
        } else if paused {
            let length = self.pause.min(left);
            self.pause = self.pause.saturating_mul(2).min(self.habits.pause_max);
            Stretch::InOrder(length)
        } else {
            Stretch::Speculative(left.min(self.habits.stretch_max))
        }
    }

    /// A speculative stretch has ended.
    pub fn note(&mut self, stats: &Stats) {
        self.paused = stats.gave_up;
        if !stats.gave_up || stats.committed > self.habits.round {
            self.pause = self.habits.pause_min;
        }
    }
}

/// What was spent on runs in vain since the last look. All workers count here.
#[derive(Debug, Default)]
pub(crate) struct Waste {
    /// The cost of runs that came to their end.
    cost: AtomicU64,
    /// Runs that did not.
    waits: AtomicU32,
}

impl Waste {
    /// A run of this cost was found void.
    pub(crate) fn note_abort(&self, cost: u32) {
        // ORDERING: a count that is only compared.
        self.cost.fetch_add(u64::from(cost) + u64::from(RUN_OVERHEAD), Ordering::Relaxed);
    }

    /// A run was given up halfway.
    pub(crate) fn note_wait(&self) {
        // ORDERING: as above.
        self.waits.fetch_add(1, Ordering::Relaxed);
    }
}

/// The commits since the last look. Only the worker with the turn to commit counts here.
#[derive(Debug)]
pub(crate) struct Round {
    /// When to look.
    habits: Habits,
    /// How many workers share the cost.
    pub(crate) workers: u32,
    /// Commits until the next look.
    left: u32,
    /// The cost of what was committed.
    cost: u64,
}

impl Round {
    /// Nothing is committed.
    const fn new(habits: Habits, workers: u32) -> Self {
        Self { habits, workers, left: habits.round, cost: 0 }
    }

    /// Nothing is committed of a block to be run by so many workers.
    pub(crate) const fn steady(workers: u32) -> Self {
        Self::new(STEADY, workers)
    }

    /// A run of this cost is committed. Returns whether it is worth going on.
    ///
    /// In order, the round would have cost the sum of its runs. Side by side it has cost that, the overhead of each
    /// run, and what was in vain, divided by the workers.
    pub(crate) fn note_commit(&mut self, cost: u32, waste: &Waste) -> bool {
        self.cost += u64::from(cost);
        self.left -= 1;
        if self.left > 0 {
            return true;
        }
        let in_order = core::mem::replace(self, Self::new(self.habits, self.workers)).cost;
        // ORDERING: as above.
        let wasted = waste.cost.swap(0, Ordering::Relaxed);
        let waits = u64::from(waste.waits.swap(0, Ordering::Relaxed));
        let commits = u64::from(self.habits.round);
        let overhead = commits * u64::from(RUN_OVERHEAD);
        // Of a run that was given up, half is lost on average.
        let halves = waits * (in_order + overhead) / (2 * commits);
        !self.habits.restless
            && in_order + overhead + wasted + halves <= in_order.saturating_mul(self.workers.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a round of runs of this cost pays for two workers, if after each commit `waste` notes something.
    fn pays(cost: u32, mut note: impl FnMut(&Waste)) -> bool {
        let (waste, mut round) = (Waste::default(), Round::steady(2));
        let mut pays = true;
        for _ in 0..STEADY.round {
            assert!(pays, "A2: nothing is said within a round");
            note(&waste);
            pays = round.note_commit(cost, &waste);
        }
        pays
    }

    #[test]
    fn a2_two_workers_may_spend_twice_what_one_would() {
        assert!(pays(RUN_OVERHEAD, |_| ()) && !pays(RUN_OVERHEAD - 1, |_| ()));
        assert!(pays(3 * RUN_OVERHEAD, |waste| waste.note_abort(RUN_OVERHEAD)));
        assert!(!pays(3 * RUN_OVERHEAD, |waste| waste.note_abort(RUN_OVERHEAD + 1)));
        assert!(pays(3 * RUN_OVERHEAD, Waste::note_wait));
        assert!(!pays(2 * RUN_OVERHEAD, Waste::note_wait));
    }

    #[test]
    fn a1_stretches_fit_and_pauses_grow_while_speculation_fails() {
        let mut pace = Pace::new(2);
        let failed = Stats { committed: STEADY.round, gave_up: true, ..Stats::default() };
        for pause in [512, 1_024, 2_048, 4_096, 4_096] {
            assert_eq!(pace.next_stretch(9_000), Stretch::Speculative(4_096));
            pace.note(&failed);
            assert_eq!(pace.next_stretch(9_000), Stretch::InOrder(pause));
        }
        assert_eq!(pace.next_stretch(100), Stretch::Speculative(100));
        pace.note(&Stats { committed: 2 * STEADY.round, ..failed });
        assert_eq!(pace.next_stretch(7), Stretch::InOrder(7), "a good round makes the pause short again");
        assert_eq!(pace.next_stretch(1), Stretch::InOrder(1));
        pace.note(&Stats { committed: 100, ..Stats::default() });
        assert_eq!(pace.next_stretch(100), Stretch::Speculative(100));
    }

    #[test]
    fn a1_a_restless_pace_gives_up_after_each_round() {
        let (waste, pace) = (Waste::default(), Pace::restless(8));
        let mut round = Round::new(pace.habits, pace.workers);
        let pays: Vec<bool> = (0..6).map(|_| round.note_commit(1_000, &waste)).collect();
        assert_eq!(pays, [true, true, false, true, true, false]);
    }
}
