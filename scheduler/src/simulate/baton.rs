//! Who moves: the worker that is earliest in virtual time, and nobody else.

use std::collections::VecDeque;

use super::costs::KernelCosts;
use crate::{
    idle::{Calls, Idle},
    sync::{Condvar, Mutex, MutexGuard},
};

/// Virtual time, and whose turn it is.
#[derive(Debug)]
pub(super) struct Baton<'b> {
    /// Under one lock: it is held for a few instructions.
    table: Mutex<Table>,
    /// Where each worker waits for its turn.
    turns: Box<[Condvar]>,
    /// Where sleepers are rung for.
    idle: &'b Idle,
    /// What ringing and waking take.
    kernel: KernelCosts,
    /// No block takes longer.
    time_max: u64,
}

/// Where everybody is.
#[derive(Debug)]
struct Table {
    /// By worker.
    places: Vec<Place>,
    /// Those who sleep, first come first served.
    asleep: VecDeque<usize>,
    /// Who holds the baton. Nobody does before all have come, nor after the end.
    holder: Option<usize>,
    /// How many have come.
    present: usize,
    /// What has been rung for so far.
    heard: Calls,
    /// When the last one left.
    end: u64,
    /// Nobody would do anything any more, or not within this time.
    stalled: bool,
}

/// One worker.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its time.
    now: u64,
    /// Whether it wants to move.
    awake: bool,
}

impl<'b> Baton<'b> {
    /// For so many workers.
    pub(super) fn new(workers: usize, idle: &'b Idle, kernel: KernelCosts, time_max: u64) -> Self {
        let place = |worker| Place { now: kernel.start(worker, workers), awake: true };
        let table = Table {
            places: (0..workers).map(place).collect(),
            asleep: VecDeque::new(),
            holder: None,
            present: 0,
            heard: idle.calls(),
            end: 0,
            stalled: false,
        };
        let turns = (0..workers).map(|_| Condvar::new()).collect();
        Self { table: Mutex::new(table), turns, idle, kernel, time_max }
    }

    /// A worker has come, and returns when it is its turn.
    pub(super) fn come(&self, worker: usize) {
        let mut table = self.table.lock();
        table.present += 1;
        if table.present == table.places.len() {
            self.pass(&mut table);
        }
        self.await_turn(table, worker);
    }

    /// A worker's time.
    pub(super) fn now(&self, worker: usize) -> u64 {
        self.table.lock().places[worker].now
    }

    /// The holder's time goes on to `time`; returns when all that is earlier is done.
    pub(super) fn advance_to(&self, worker: usize, time: u64) {
        let mut table = self.table.lock();
        let place = &mut table.places[worker];
        place.now = place.now.max(time);
        table.stalled |= place.now > self.time_max;
        self.hear(&mut table, worker);
        self.pass(&mut table);
        self.await_turn(table, worker);
    }

    /// The holder sleeps until it is woken.
    pub(super) fn sleep(&self, worker: usize) {
        let mut table = self.table.lock();
        table.places[worker].awake = false;
        table.asleep.push_back(worker);
        self.pass(&mut table);
        self.await_turn(table, worker);
    }

    /// The holder leaves.
    pub(super) fn leave(&self, worker: usize) {
        let mut table = self.table.lock();
        self.hear(&mut table, worker);
        table.places[worker].awake = false;
        table.end = table.end.max(table.places[worker].now);
        self.pass(&mut table);
    }

    /// When the last worker left.
    pub(super) fn end(&self) -> u64 {
        self.table.lock().end
    }

    /// Whether nobody would do anything any more.
    pub(super) fn has_stalled(&self) -> bool {
        self.table.lock().stalled
    }

    /// Wakes those for whom the holder has rung since it got the baton. Nobody else can have.
    fn hear(&self, table: &mut Table, holder: usize) {
        let calls = self.idle.calls();
        let before = core::mem::replace(&mut table.heard, calls);
        let rung = calls.epoch - before.epoch;
        let most = if calls.for_all == before.for_all {
            usize::try_from(rung).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        };
        let count = most.min(table.asleep.len());
        if count == 0 {
            return;
        }
        let mut time = table.places[holder].now;
        table.places[holder].now += self.kernel.ring;
        for sleeper in table.asleep.drain(..count) {
            time += self.kernel.wake;
            let place = &mut table.places[sleeper];
            *place = Place { now: place.now.max(time), awake: true };
        }
    }

    /// Hands the baton to the earliest; of those that are equally early, to the first (V2).
    fn pass(&self, table: &mut Table) {
        let awake = table.places.iter().enumerate().filter(|(_, place)| place.awake);
        let mut earliest = awake.min_by_key(|(_, place)| place.now).map(|(worker, _)| worker);
        if earliest.is_none()
            && let Some(sleeper) = table.asleep.pop_front()
        {
            // INVARIANT V3: all who are left sleep, and nobody is left to wake them.
            table.stalled = true;
            table.places[sleeper].awake = true;
            earliest = Some(sleeper);
        }
        if table.holder != earliest
            && let Some(worker) = earliest
        {
            self.turns[worker].notify_one();
        }
        table.holder = earliest;
    }

    /// Returns when it is this worker's turn.
    fn await_turn(&self, mut table: MutexGuard<'_, Table>, worker: usize) {
        while table.holder != Some(worker) {
            self.turns[worker].wait(&mut table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that takes no time.
    const KERNEL: KernelCosts =
        KernelCosts { claim: 0, look: 0, pause: 0, yield_now: 0, ring: 5, wake: 100, hand_out: 0, begin: 0 };

    /// Has `first` and `second` be two workers.
    fn two(first: impl Fn(&Baton<'_>) + Sync, second: impl Fn(&Baton<'_>) + Sync, idle: &Idle) -> Baton<'_> {
        let baton = Baton::new(2, idle, KERNEL, 1_000);
        std::thread::scope(|scope| {
            let (baton, first, second) = (&baton, &first, &second);
            let first = scope.spawn(move || {
                baton.come(0);
                first(baton);
                baton.leave(0);
            });
            let second = scope.spawn(move || {
                baton.come(1);
                second(baton);
                baton.leave(1);
            });
            // Joined one by one, as ThreadSanitizer does not see what the end of a scope waits for.
            for worker in [first, second] {
                worker.join().unwrap();
            }
        });
        baton
    }

    #[test]
    fn v2_the_earliest_moves() {
        let (idle, moves) = (Idle::new(), Mutex::new(Vec::new()));
        let go = |worker, times: &'static [u64]| {
            let moves = &moves;
            move |baton: &Baton<'_>| {
                for &time in times {
                    baton.advance_to(worker, time);
                    moves.lock().push((time, worker));
                }
            }
        };
        let baton = two(go(0, &[10, 20, 90]), go(1, &[15, 17, 20]), &idle);
        assert_eq!(*moves.lock(), [(10, 0), (15, 1), (17, 1), (20, 0), (20, 1), (90, 0)]);
        assert_eq!((baton.end(), baton.has_stalled()), (90, false));
    }

    #[test]
    fn a_sleeper_moves_when_it_is_rung_for_and_not_before() {
        let idle = Idle::new();
        let sleep = |baton: &Baton<'_>| {
            let ticket = idle.announce();
            baton.sleep(0);
            assert_eq!(baton.now(0), 140);
            idle.withdraw(ticket);
        };
        let ring = |baton: &Baton<'_>| {
            baton.advance_to(1, 40);
            idle.nudge(true);
            baton.advance_to(1, 40);
            assert_eq!(baton.now(1), 45);
        };
        assert!(!two(sleep, ring, &idle).has_stalled());
    }

    #[test]
    fn v3_all_asleep_is_the_end_and_so_is_the_end_of_time() {
        let idle = Idle::new();
        assert!(two(|baton| baton.sleep(0), |baton| baton.sleep(1), &idle).has_stalled());
        assert!(two(|baton| baton.advance_to(0, 1_001), |_| (), &idle).has_stalled());
    }
}
