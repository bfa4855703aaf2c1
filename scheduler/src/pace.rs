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
//! ```
//! use weft_scheduler::{Pace, Stretch};
//!
//! let mut pace = Pace::new(1);
//! assert_eq!(pace.next_stretch(500), Stretch::InOrder(500), "one worker has nobody to speculate for it");
//! ```
//!
//! # Invariants
//!
//! - **A1.** A stretch is at least one transaction long, and no longer than what is left.
//! - **A2.** A stretch that does not pay ends within 64 commits.

use crate::{
    stats::Stats,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// How many commits are looked at together.
const ROUND: u32 = 64;

/// The shortest pause, in commits.
const PAUSE_MIN: u32 = 512;

/// The longest pause, in commits.
const PAUSE_MAX: u32 = 4_096;

/// What the scheduler adds to a run, in the unit of [`crate::Execution::cost`]: versions, reads, validation.
pub const RUN_OVERHEAD: u32 = 16;

/// The longest speculative stretch.
const STRETCH_MAX: u32 = 4_096;

/// Cuts a block into stretches. It looks at how the last one went, and at nothing else.
#[derive(Debug)]
pub struct Pace {
    /// There is somebody to speculate.
    speculates: bool,
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
        Self { speculates: workers > 1, pause: PAUSE_MIN, paused: false }
    }

    /// How to run the next of `left` transactions.
    pub fn next_stretch(&mut self, left: u32) -> Stretch {
        let paused = core::mem::take(&mut self.paused);
        if !self.speculates || left < 2 {
            Stretch::InOrder(left)
        } else if paused {
            let length = self.pause.min(left);
            self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
            Stretch::InOrder(length)
        } else {
            Stretch::Speculative(left.min(STRETCH_MAX))
        }
    }

    /// A speculative stretch has ended.
    pub fn note(&mut self, stats: &Stats) {
        self.paused = stats.gave_up;
        if !stats.gave_up || stats.committed > ROUND {
            self.pause = PAUSE_MIN;
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
        self.cost.fetch_add((cost + RUN_OVERHEAD).into(), Ordering::Relaxed);
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
    /// How many workers share the cost.
    workers: u32,
    /// Commits until the next look.
    left: u32,
    /// The cost of what was committed.
    cost: u64,
}

impl Round {
    /// Nothing is committed.
    pub(crate) const fn new(workers: u32) -> Self {
        Self { workers, left: ROUND, cost: 0 }
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
        let in_order = core::mem::replace(self, Self::new(self.workers)).cost;
        // ORDERING: as above.
        let wasted = waste.cost.swap(0, Ordering::Relaxed);
        let waits = u64::from(waste.waits.swap(0, Ordering::Relaxed));
        let overhead = u64::from(ROUND * RUN_OVERHEAD);
        // Of a run that was given up, half is lost on average.
        let halves = waits * (in_order + overhead) / u64::from(2 * ROUND);
        in_order + overhead + wasted + halves <= in_order.saturating_mul(self.workers.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a round of runs of this cost pays for two workers, if after each commit `waste` notes something.
    fn pays(cost: u32, mut note: impl FnMut(&Waste)) -> bool {
        let (waste, mut round) = (Waste::default(), Round::new(2));
        let mut pays = true;
        for _ in 0..ROUND {
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
        let failed = Stats { committed: ROUND, gave_up: true, ..Stats::default() };
        for pause in [512, 1_024, 2_048, 4_096, 4_096] {
            assert_eq!(pace.next_stretch(9_000), Stretch::Speculative(STRETCH_MAX));
            pace.note(&failed);
            assert_eq!(pace.next_stretch(9_000), Stretch::InOrder(pause));
        }
        assert_eq!(pace.next_stretch(100), Stretch::Speculative(100));
        pace.note(&Stats { committed: 2 * ROUND, ..failed });
        assert_eq!(pace.next_stretch(7), Stretch::InOrder(7), "a good round makes the pause short again");
        assert_eq!(pace.next_stretch(1), Stretch::InOrder(1));
        pace.note(&Stats { committed: 100, ..Stats::default() });
        assert_eq!(pace.next_stretch(100), Stretch::Speculative(100));
    }
}
