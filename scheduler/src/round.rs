//! Whether a speculative stretch pays: what was committed, and what the workers have spent on it.
//!
//! Who has not come yet says nothing: a helper that is late has met nobody. So workers count from when they come, and the
//! first look is after a second one has.
//!
//! # Invariants
//!
//! - **A2.** A stretch that does not pay is found out within 64 commits after a second worker has come, or within 512 if
//!   none comes. One that has paid may lose half of what it has saved, of which each round counts half as much as the one
//!   after it: so all rounds but the last together have paid. Then it commits those next in order that had begun, as long
//!   as they are over and hold, and those below one that was to begin early, and ends; unless a round meanwhile pays.

use crossbeam_utils::CachePadded;

use crate::{
    pace::{Habits, STEADY, overhead},
    sync::{AtomicU32, AtomicU64, Ordering},
    version::TxIndex,
};

/// How many rounds a worker goes on alone where there are to be more.
const LONELY_ROUNDS: u32 = 8;

/// What is spent on runs, and who spends it. All workers count here.
#[derive(Debug, Default)]
pub(crate) struct Waste {
    /// What was spent since the last look on runs that came to their end, and were found void.
    spent: AtomicU64,
    /// Runs since then that came to no end.
    waits: AtomicU32,
    /// Who is there.
    workers: CachePadded<Workers>,
}

/// Workers of a block.
#[derive(Debug, Default)]
struct Workers {
    /// Those that have come.
    here: AtomicU32,
    /// Those of them that have something to do.
    busy: AtomicU32,
}

impl Waste {
    /// What a run of this cost, which is just over and has read and written so many locations, has taken of all workers that
    /// are here: its cost and overhead, and as much again for each that had nothing to do meanwhile.
    pub(crate) fn spent(&self, cost: u32, locations: usize) -> u64 {
        let here = self.here();
        // ORDERING: a count that is only compared.
        let busy = self.workers.busy.load(Ordering::Relaxed).clamp(1, here);
        let all = u64::from(cost) + u64::from(overhead(locations));
        all * u64::from(here) / u64::from(busy)
    }

    /// Workers that have come so far, one at least.
    fn here(&self) -> u32 {
        // ORDERING: as above.
        self.workers.here.load(Ordering::Relaxed).max(1)
    }

    /// A worker has come.
    pub(crate) fn note_here(&self) {
        // ORDERING: as above.
        self.workers.here.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has something to do now, or no more.
    pub(crate) fn note_busy(&self, busy: bool) {
        // ORDERING: as above.
        if busy {
            self.workers.busy.fetch_add(1, Ordering::Relaxed);
        } else {
            self.workers.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A run on which so much was spent was found void.
    pub(crate) fn note_abort(&self, spent: u64) {
        // ORDERING: as above.
        self.spent.fetch_add(spent, Ordering::Relaxed);
    }

    /// A run was given up halfway.
    pub(crate) fn note_wait(&self) {
        // ORDERING: as above.
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// What was spent in vain since the last look, and how many runs were given up.
    fn take(&self) -> (u64, u64) {
        // ORDERING: as above.
        (self.spent.swap(0, Ordering::Relaxed), self.waits.swap(0, Ordering::Relaxed).into())
    }
}

/// The commits since the last look. Only the worker with the turn to commit counts here.
#[derive(Debug)]
pub(crate) struct Round {
    /// When to look.
    habits: Habits,
    /// How many workers there are to be.
    pub(crate) workers: u32,
    /// A second worker has come.
    is_shared: bool,
    /// Commits until the next look.
    left: u32,
    /// The cost of what was committed, times the workers that were here.
    worth: u64,
    /// What was spent on it.
    spent: u64,
    /// What the rounds before have saved: of the last all, and of each before half as much as of the one after it.
    saved: u64,
    /// A look has found that it pays.
    pub(crate) has_paid: bool,
    /// Whether to go on: what the last look has found.
    verdict: Verdict,
    /// The first that had not begun when a look found that it is to end, if none has found otherwise since.
    end_of_begun: Option<TxIndex>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It pays, or loses no more than it may, or there was no look yet.
    GoOn,
    /// It loses more.
    Stop,
    /// Nobody is to stop, whether or not it pays.
    Patience,
}

impl Round {
    /// Nothing is committed.
    pub(crate) const fn new(habits: Habits, workers: u32) -> Self {
        let left = if habits.restless { habits.round } else { LONELY_ROUNDS * habits.round };
        Self {
            habits,
            workers,
            is_shared: habits.restless,
            left,
            worth: 0,
            spent: 0,
            saved: 0,
            has_paid: false,
            verdict: Verdict::GoOn,
            end_of_begun: None,
        }
    }

    /// Nothing is committed of a block to be run by so many workers.
    pub(crate) const fn steady(workers: u32) -> Self {
        Self::new(STEADY, workers)
    }

    /// Whoever measures a block wants to see all of it.
    pub(crate) const fn be_patient(&mut self) {
        self.verdict = Verdict::Patience;
    }

    /// Nothing is committed since this look.
    const fn begin_again(&mut self) {
        (self.left, self.worth, self.spent) = (self.habits.round, 0, 0);
    }

    /// Behind the last that had begun when the last look found that it is to end, if it is `first_run` now that is the
    /// first that has not. Who is restless ends at once.
    pub(crate) fn end_of_begun(&mut self, first_run: TxIndex) -> TxIndex {
        if self.habits.restless { TxIndex(0) } else { *self.end_of_begun.get_or_insert(first_run) }
    }

    /// A run of this cost is committed, on which so much was spent. Returns whether it is worth going on: what the last
    /// look has found.
    ///
    /// In order, the round would have kept one worker for the sum of its costs. Side by side it has kept all that are here
    /// for what was spent on its runs, and on those in vain.
    pub(crate) fn note_commit(&mut self, cost: u32, spent: u64, waste: &Waste) -> bool {
        let here = waste.here();
        if here > 1 && !self.is_shared {
            self.is_shared = true;
            self.begin_again();
            waste.take();
        }
        self.worth += u64::from(cost) * u64::from(here);
        self.spent += spent;
        self.left -= 1;
        if self.left == 0 {
            let (wasted, waits) = waste.take();
            // Of a run that was given up, half is lost on average.
            let halves = waits.saturating_mul(self.spent) / (2 * u64::from(self.habits.round));
            let all = self.spent.saturating_add(wasted).saturating_add(halves);
            let is_enough = |worth| !self.habits.restless && all <= worth;
            self.has_paid |= is_enough(self.worth);
            // A round that does not pay, such as one of transfers among calls, may lose what others have saved.
            let allowed = self.worth.saturating_add(self.saved / 2);
            let goes_on = is_enough(allowed);
            self.saved = allowed.saturating_sub(all);
            if goes_on {
                self.end_of_begun = None;
            }
            if self.verdict != Verdict::Patience {
                self.verdict = if goes_on { Verdict::GoOn } else { Verdict::Stop };
            }
            self.begin_again();
        }
        self.verdict != Verdict::Stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::RUN_OVERHEAD;

    /// Two workers who are there and busy, and nothing committed.
    fn two_workers() -> (Waste, Round) {
        let (waste, round) = (Waste::default(), Round::steady(2));
        for _ in 0..2 {
            waste.note_here();
            waste.note_busy(true);
        }
        (waste, round)
    }

    /// Whether it is worth going on behind a round of runs of this cost.
    fn goes_on_behind(cost: u32, waste: &Waste, round: &mut Round) -> bool {
        let goes_on = (0..STEADY.round).map(|_| round.note_commit(cost, waste.spent(cost, 0), waste));
        goes_on.last().unwrap()
    }

    /// Whether a round of runs of this cost pays for two workers, if after each commit `waste` notes something.
    fn pays(cost: u32, mut note: impl FnMut(&Waste)) -> bool {
        let (waste, mut round) = two_workers();
        let mut pays = true;
        for _ in 0..STEADY.round {
            assert!(pays, "A2: nothing is said within a round");
            note(&waste);
            pays = round.note_commit(cost, waste.spent(cost, 0), &waste);
        }
        pays
    }

    #[test]
    fn a2_a_worker_with_nothing_to_do_brings_nothing() {
        for cost in [1, RUN_OVERHEAD, 1_000 * RUN_OVERHEAD] {
            assert!(!pays(cost, |waste| {
                if waste.workers.busy.load(Ordering::Relaxed) == 2 {
                    waste.note_busy(false);
                }
            }));
        }
    }

    #[test]
    fn a2_who_comes_late_has_met_nobody() {
        for late in [0, 1, 63, 64, 100, 511] {
            let (waste, mut round) = (Waste::default(), Round::steady(2));
            let mut commit = |cost| round.note_commit(cost, waste.spent(cost, 0), &waste);
            waste.note_here();
            waste.note_busy(true);
            assert!((0..late).all(|_| commit(2 * RUN_OVERHEAD)), "one worker pays nothing, but is not asked");
            waste.note_here();
            waste.note_busy(true);
            assert!((0..640).all(|_| commit(2 * RUN_OVERHEAD)), "{late} commits alone");
            // The first round loses 512, and the ten before have saved 1,024 each.
            assert_eq!((0..640).find(|_| !commit(RUN_OVERHEAD / 2)), Some(127), "{late} commits alone");
        }
        let (waste, mut round) = (Waste::default(), Round::steady(2));
        waste.note_here();
        waste.note_busy(true);
        let over = (0..1_000).find(|_| !round.note_commit(1_000, waste.spent(1_000, 0), &waste));
        assert_eq!(over, Some(LONELY_ROUNDS * STEADY.round - 1), "nobody else comes");
    }

    #[test]
    fn a2_two_workers_may_spend_twice_what_one_would() {
        assert!(pays(RUN_OVERHEAD, |_| ()) && !pays(RUN_OVERHEAD - 1, |_| ()));
        let lost = u64::from(2 * RUN_OVERHEAD);
        assert!(pays(3 * RUN_OVERHEAD, |waste| waste.note_abort(lost)));
        assert!(!pays(3 * RUN_OVERHEAD, |waste| waste.note_abort(lost + 1)));
        assert!(pays(3 * RUN_OVERHEAD, Waste::note_wait));
        assert!(!pays(2 * RUN_OVERHEAD, Waste::note_wait));
    }

    #[test]
    fn a2_what_is_read_and_written_takes_time_too() {
        let waste = Waste::default();
        waste.note_here();
        waste.note_busy(true);
        let added = |locations| waste.spent(100, locations) - 100;
        assert_eq!(added(0), u64::from(RUN_OVERHEAD));
        assert_eq!(added(8), u64::from(RUN_OVERHEAD * 3 / 2));
    }

    #[test]
    fn a2_workers_who_trickle_in_put_nothing_off() {
        let (waste, mut round) = (Waste::default(), Round::steady(8));
        let commit = |nth: u32| {
            if nth.is_multiple_of(60) {
                waste.note_here();
                waste.note_busy(true);
            }
            round.note_commit(RUN_OVERHEAD / 4, waste.spent(RUN_OVERHEAD / 4, 0), &waste)
        };
        assert_eq!((0..1_000).map(commit).position(|goes_on| !goes_on), Some(60 + 63));
    }

    #[test]
    fn a2_what_a_look_has_found_stands_until_the_next() {
        let (waste, mut round) = two_workers();
        let mut commit = |cost| round.note_commit(cost, waste.spent(cost, 0), &waste);
        let goes_on: Vec<bool> = (0..128).map(|nth| commit(if nth < 64 { 1 } else { 1_000 })).collect();
        assert_eq!(goes_on.iter().position(|goes_on| !goes_on), Some(63));
        assert!(goes_on[63..127].iter().all(|goes_on| !goes_on), "also where it cannot end yet");
        assert!(goes_on[127] && round.has_paid);
    }

    #[test]
    fn a2_what_begins_when_it_is_known_not_to_pay_is_no_reason_to_go_on() {
        let (waste, mut round) = two_workers();
        // The third pays just so, and saves nothing.
        let ends = [(1, 70), (1, 90), (RUN_OVERHEAD, 200), (1, 300), (1, 400)].map(|(cost, first_run)| {
            let ends = !goes_on_behind(cost, &waste, &mut round);
            ends.then(|| round.end_of_begun(TxIndex(first_run)).0)
        });
        let expected = [Some(70), Some(70), None, Some(300), Some(300)];
        assert_eq!(ends, expected, "a look that finds that it goes on forgets the others");
    }

    #[test]
    fn a2_half_of_what_was_saved_may_be_lost_again() {
        const CHEAP: u32 = RUN_OVERHEAD - 1;
        // A round of cheap ones loses 64. How many of them come before the end, when others have saved so many times that.
        let cheap_rounds = |saved: &[u32]| {
            let (waste, mut round) = two_workers();
            let mut goes_on = |cost| goes_on_behind(cost, &waste, &mut round);
            assert!(saved.iter().all(|times| goes_on(RUN_OVERHEAD + times)));
            (0..100).find(|_| !goes_on(CHEAP))
        };
        assert_eq!(cheap_rounds(&[]), Some(0));
        assert_eq!(cheap_rounds(&[1]), Some(0), "half of it is not enough");
        assert_eq!(cheap_rounds(&[2]), Some(1));
        assert_eq!(cheap_rounds(&[6]), Some(2));
        assert_eq!((cheap_rounds(&[4]), cheap_rounds(&[4, 4])), (Some(1), Some(2)), "they add up");
        assert_eq!(cheap_rounds(&[2, 2, 2, 2]), Some(1), "what is long ago counts for little");
        assert_eq!(cheap_rounds(&[1_000]), Some(8));
    }

    #[test]
    fn a2_what_was_saved_is_forgotten_with_the_round_that_ends() {
        let (waste, mut round) = two_workers();
        let mut goes_on = |cost| goes_on_behind(cost, &waste, &mut round);
        let behind_cheap_ones = [100, 0, 100, RUN_OVERHEAD - 1].map(|cost| {
            assert!(goes_on(RUN_OVERHEAD + cost));
            (goes_on(1), goes_on(1))
        });
        assert_eq!(behind_cheap_ones, [(true, true), (false, false), (true, true), (false, false)]);
    }

    #[test]
    fn a2_all_rounds_but_the_last_have_paid_together() {
        let mut random = 1_u32;
        let mut below = |end: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % end
        };
        let mut lost = 0;
        for _ in 0..500 {
            let (waste, mut round) = two_workers();
            let mut balance = 0_i64;
            loop {
                let (cost, in_vain) = (below(4 * RUN_OVERHEAD), u64::from(below(64 * RUN_OVERHEAD)));
                let spent = waste.spent(cost, 0);
                round.note_commit(cost, spent, &waste);
                // What was in vain before the second worker was seen does not count.
                waste.note_abort(in_vain);
                let goes_on = (1..64).map(|_| round.note_commit(cost, spent, &waste)).last();
                let before = balance;
                balance += 64 * (2 * i64::from(cost) - i64::try_from(spent).unwrap())
                    - i64::try_from(in_vain).unwrap();
                lost += u32::from(balance < before && goes_on == Some(true));
                if goes_on == Some(false) {
                    assert!(before >= 0, "{before}");
                    break;
                }
            }
        }
        assert!(lost > 50, "{lost}: hardly a round lost what others had saved");
    }

    #[test]
    fn a_restless_round_never_pays() {
        let (waste, mut round) =
            (Waste::default(), Round::new(Habits { round: 3, restless: true, ..STEADY }, 8));
        let goes_on: Vec<bool> = (0..3).map(|_| round.note_commit(1_000, 1_000, &waste)).collect();
        assert_eq!((goes_on, round.has_paid), (vec![true, true, false], false));
    }
}
