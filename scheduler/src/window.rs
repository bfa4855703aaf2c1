//! How far ahead of the frontier a transaction may start, and when it doesn't pay to start any.
//!
//! ```text
//!              64 commits, speculation paid
//!                 ┌─────┐
//!                 ▼     │    64 commits, it did not
//!               open ───┴──────────────────────────► shut
//!                 ▲                                   │
//!                 └──── `pause` commits later ────────┘
//! ```
//!
//! While it is shut only the transaction at the frontier may start, so all workers but one find nothing to do and go
//! to sleep: a chain of conflicts runs as it would on one core. Each time that speculation fails again right after a
//! pause, the next pause is longer.
//!
//! # Invariants
//!
//! - **A1.** The transaction at the frontier may always start, and none further ahead than the full window.

use crate::sync::{AtomicU32, Ordering};

/// How many commits are looked at together.
const ROUND: u32 = 64;

/// The shortest pause, in commits.
const PAUSE_MIN: u32 = 256;

/// The longest pause, in commits.
const PAUSE_MAX: u32 = 4_096;

/// Speculation pays if at least one of so many speculative runs is committed.
const WORTH_RUNS: u32 = 4;

/// What every worker looks at.
#[derive(Debug)]
pub(crate) struct Window {
    /// How far ahead of the frontier a first run may start now.
    reach: AtomicU32,
    /// Speculative runs found void since the last round.
    wasted: AtomicU32,
}

/// What only the worker with the turn to commit looks at.
#[derive(Debug)]
pub(crate) struct Controller {
    /// The reach while it is open.
    full: u32,
    /// Commits until the next look.
    commits_left: u32,
    /// Speculative runs committed in this round.
    useful: u32,
    /// The next pause.
    pause: u32,
}

impl Window {
    /// An open window that reaches this far, and its controller.
    pub(crate) const fn new(full: u32) -> (Self, Controller) {
        let window = Self { reach: AtomicU32::new(full), wasted: AtomicU32::new(0) };
        (window, Controller { full, commits_left: ROUND, useful: 0, pause: PAUSE_MIN })
    }

    /// How far ahead of the frontier a first run may start.
    pub(crate) fn reach(&self) -> u32 {
        // ORDERING: a hint; nothing is published by it.
        self.reach.load(Ordering::Relaxed)
    }

    /// A speculative run was found void.
    pub(crate) fn note_waste(&self) {
        // ORDERING: a count that is only compared.
        self.wasted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Controller {
    /// A transaction is committed; `ahead` if its run had started ahead of the frontier.
    pub(crate) fn note_commit(&mut self, ahead: bool, window: &Window) {
        self.useful += u32::from(ahead);
        self.commits_left -= 1;
        if self.commits_left > 0 {
            return;
        }
        let useful = core::mem::take(&mut self.useful);
        // ORDERING: as above.
        let wasted = window.wasted.swap(0, Ordering::Relaxed);
        let shut = window.reach() == 0;
        // A round in which nobody ran ahead says nothing.
        let pays = useful.saturating_mul(WORTH_RUNS) >= useful.saturating_add(wasted);
        self.commits_left = ROUND;
        if shut {
            window.reach.store(self.full, Ordering::Relaxed);
        } else if pays {
            self.pause = PAUSE_MIN;
        } else {
            window.reach.store(0, Ordering::Relaxed);
            self.commits_left = self.pause;
            self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits so many transactions, each after `wasted` void runs.
    fn commit(controller: &mut Controller, window: &Window, commits: u32, ahead: bool, wasted: u32) {
        for _ in 0..commits {
            (0..wasted).for_each(|_| window.note_waste());
            controller.note_commit(ahead, window);
            assert!(window.reach() <= 10, "A1");
        }
    }

    #[test]
    fn it_shuts_when_nothing_is_gained_and_opens_after_a_pause_that_grows() {
        let (window, mut controller) = Window::new(10);
        for pause in [256, 512, 1_024, 2_048, 4_096, 4_096] {
            commit(&mut controller, &window, ROUND, false, 1);
            assert_eq!(window.reach(), 0);
            commit(&mut controller, &window, pause - 1, false, 0);
            assert_eq!(window.reach(), 0);
            commit(&mut controller, &window, 1, false, 0);
            assert_eq!(window.reach(), 10);
        }
        commit(&mut controller, &window, ROUND, true, 0);
        commit(&mut controller, &window, ROUND, false, 1);
        commit(&mut controller, &window, PAUSE_MIN, false, 0);
        assert_eq!(window.reach(), 10, "one good round makes the next pause short again");
    }

    #[test]
    fn it_stays_open_while_one_run_in_four_counts_and_while_nobody_runs_ahead() {
        let (window, mut controller) = Window::new(10);
        commit(&mut controller, &window, ROUND, true, 3);
        assert_eq!(window.reach(), 10);
        commit(&mut controller, &window, ROUND, true, 4);
        assert_eq!(window.reach(), 0);
        commit(&mut controller, &window, PAUSE_MIN, false, 0);
        commit(&mut controller, &window, 3 * ROUND, false, 0);
        assert_eq!(window.reach(), 10);
    }
}
