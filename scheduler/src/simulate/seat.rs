//! One virtual worker's place: what it does, it pays for in virtual time.

use core::cell::Cell;

use super::{
    baton::Baton,
    costs::{Costs, SNOOZES, Spent, TxCosts},
};
use crate::{version::TxIndex, watch::Watch, worker::Step};

/// One virtual worker's place.
pub(super) struct Seat<'s> {
    /// Whose turn it is.
    baton: &'s Baton<'s>,
    /// The number of the worker.
    worker: usize,
    /// What things take.
    costs: Costs<'s>,
    /// Decides how long a run takes, within a thirtieth.
    dice: Cell<u64>,
    /// The run at hand.
    run: Cell<Run>,
    /// What the time went into.
    spent: Cell<Spent>,
    /// The worker has left.
    left: Cell<bool>,
}

/// A run in virtual time.
#[derive(Clone, Copy)]
struct Run {
    /// Which transaction.
    tx: TxIndex,
    /// When it began.
    began: u64,
    /// How many reads it has made.
    reads: usize,
    /// How long it takes, in 1,024ths of what it usually takes.
    pace: u64,
}

/// As much as a run usually takes.
const USUAL: u64 = 1_024;

/// How much more or less it may take.
const SPREAD: u64 = USUAL / 32;

impl<'s> Seat<'s> {
    /// A place for the worker with this number.
    pub(super) fn new(baton: &'s Baton<'s>, worker: usize, costs: Costs<'s>, seed: u64) -> Self {
        let run = Run { tx: TxIndex(0), began: 0, reads: 0, pace: USUAL };
        let dice = Cell::new(seed ^ (worker as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self {
            baton,
            worker,
            costs,
            dice,
            run: Cell::new(run),
            spent: Cell::default(),
            left: Cell::new(false),
        }
    }

    /// The worker's number.
    pub(super) const fn worker(&self) -> usize {
        self.worker
    }

    /// Waits for the first turn.
    pub(super) fn sit_down(&self) {
        self.baton.come(self.worker);
    }

    /// Whether the simulation is over, although the block may not be.
    pub(super) fn is_over(&self) -> bool {
        self.baton.has_stalled()
    }

    /// Whether so many fruitless looks in a row are enough to lie down.
    pub(super) const fn has_backed_off(fruitless: u32) -> bool {
        fruitless >= SNOOZES
    }

    /// Pays for a step that is done, as far as it was not paid for on the way.
    pub(super) fn pay_for(&self, step: Step, fruitless: u32) {
        let kernel = self.costs.kernel;
        match step {
            Step::Claimed(_) => self.pay(kernel.claim, |spent| &mut spent.claims),
            Step::Validated(tx) | Step::Aborted(tx) => {
                let validation = self.tx(tx).map_or(0, |costs| costs.validation);
                self.pay(validation, |spent| &mut spent.validations);
            }
            Step::Idle => self.pay(kernel.snooze(fruitless), |spent| &mut spent.idle),
            Step::Executed(_) | Step::Suspended(_) | Step::Committed { .. } | Step::Done => {}
        }
    }

    /// Sleeps until somebody rings.
    pub(super) fn sleep(&self) {
        self.baton.sleep(self.worker);
    }

    /// Leaves, and says what the time went into.
    pub(super) fn stand_up(&self) -> Spent {
        self.leave();
        self.spent.get()
    }

    /// Leaves, once.
    fn leave(&self) {
        if !self.left.replace(true) {
            self.baton.leave(self.worker);
        }
    }

    /// What a transaction takes.
    fn tx(&self, tx: TxIndex) -> Option<&'s TxCosts> {
        self.costs.transactions.get(tx.0 as usize)
    }

    /// Lets time pass.
    fn pay(&self, time: u64, account: impl FnOnce(&mut Spent) -> &mut u64) {
        self.note(time, account);
        self.baton.advance_to(self.worker, self.baton.now(self.worker) + time);
    }

    /// Says what time goes into.
    fn note(&self, time: u64, account: impl FnOnce(&mut Spent) -> &mut u64) {
        let mut spent = self.spent.get();
        *account(&mut spent) += time;
        self.spent.set(spent);
    }

    /// Lets the run at hand go on until `offset` of its usual time.
    fn go_on(&self, run: Run, offset: u64) {
        self.baton.advance_to(self.worker, run.began + offset * run.pace / USUAL);
    }

    /// A number below `end` (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
    fn roll(&self, end: u64) -> u64 {
        let dice = self.dice.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.dice.set(dice);
        let word = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}

impl Drop for Seat<'_> {
    /// Whoever panics hands the baton on.
    fn drop(&mut self) {
        self.leave();
    }
}

impl Watch for Seat<'_> {
    fn run_begins(&self, tx: TxIndex) {
        let pace = USUAL - SPREAD + self.roll(2 * SPREAD + 1);
        self.run.set(Run { tx, began: self.baton.now(self.worker), reads: 0, pace });
    }

    fn reads(&self) {
        let run = self.run.get();
        self.run.set(Run { reads: run.reads + 1, ..run });
        if let Some(costs) = self.tx(run.tx) {
            self.go_on(run, costs.reads.get(run.reads).copied().unwrap_or(costs.run));
        }
    }

    fn run_ends(&self, suspended: bool) {
        let run = self.run.get();
        if let Some(costs) = self.tx(run.tx)
            && !suspended
        {
            // Whoever has read less has not got as far as to the next read.
            self.go_on(run, costs.reads.get(run.reads).copied().unwrap_or(costs.run));
        }
        let time = self.baton.now(self.worker) - run.began;
        self.note(time, |spent| if suspended { &mut spent.waits } else { &mut spent.runs });
    }

    fn commits(&self, tx: TxIndex) {
        if let Some(costs) = self.tx(tx) {
            self.pay(costs.commit, |spent| &mut spent.commits);
        }
    }
}
