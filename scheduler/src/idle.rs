//! How a worker that finds nothing to do sleeps without missing the end.
//!
//! ```text
//!  worker                                whoever ends the block, or makes work
//!  ──────                                ─────────────────────────────────────
//!  1  announce: sleepers += 1, ticket    A  make it visible (end flag, queue, frontier)
//!  2  look once more for something       B  if sleepers > 0: epoch += 1, ring
//!  3  sleep until epoch ≠ ticket
//! ```
//!
//! If B sees no sleepers, then 1 comes after it, and therefore 2 after A: the worker finds at 2 what A left. If B sees
//! a sleeper, the epoch has moved on before 3, or the bell rings during it. For the end of the block this must hold
//! without fail, and [`Idle::wake_all`] pays a fence for it. New work is only a reason to hurry: whoever makes work
//! stays awake and takes it itself, so [`Idle::nudge`] pays nothing and may overlook a worker that is just lying
//! down.
//!
//! # Invariants
//!
//! - **I1.** After `wake_all`, no worker sleeps on a ticket that was drawn before.
//! - **I2.** A worker that was announced before A either finds at 2 what A left, or is woken.
//!
//! The tests below and `models/idle.rs` check both.

use crate::{
    planted::planted,
    sync::{AtomicU32, AtomicU64, Condvar, Mutex, Ordering, fence},
};

/// Where idle workers sleep.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Workers between announcing themselves and getting up.
    sleepers: AtomicU32,
    /// Counts the calls for waking up.
    epoch: Mutex<u64>,
    /// Of these, the calls for everybody, for whoever simulates sleep. Changes under the epoch's lock.
    calls_for_all: AtomicU64,
    /// Rings when the epoch changes.
    bell: Condvar,
}

/// The duty of an announced worker to look once more, and then to sleep or to withdraw.
#[must_use = "an announced worker must sleep or withdraw"]
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl Idle {
    /// Nobody sleeps.
    pub(crate) fn new() -> Self {
        Self {
            sleepers: AtomicU32::new(0),
            epoch: Mutex::new(0),
            calls_for_all: AtomicU64::new(0),
            bell: Condvar::new(),
        }
    }

    /// Step 1. The caller must look once more for something to do before it sleeps.
    pub(crate) fn announce(&self) -> Ticket {
        let ticket = Ticket(*self.epoch.lock());
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // ORDERING: pairs with the fence in `wake_all`. Of the two, one comes first: either that one's look at
        // `sleepers` sees this worker, or this worker's second look sees what was left before that fence.
        if !planted!(MissingFence) {
            fence(Ordering::SeqCst);
        }
        ticket
    }

    /// Step 3: sleeps until woken by a call later than the ticket.
    pub(crate) fn sleep(&self, ticket: Ticket) {
        let mut epoch = self.epoch.lock();
        if planted!(DroppedWakeUp) {
            self.bell.wait(&mut epoch);
        }
        while *epoch == ticket.0 {
            self.bell.wait(&mut epoch);
        }
        drop(epoch);
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Step 3 not taken: there was something to do after all.
    pub(crate) fn withdraw(&self, _ticket: Ticket) {
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wakes every worker, and stops those that are just lying down.
    pub(crate) fn wake_all(&self) {
        // ORDERING: pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        self.nudge(true);
    }

    /// Wakes one worker, or `all`, if any sleep: there is more to do than the caller will do next.
    pub(crate) fn nudge(&self, all: bool) {
        // ORDERING: only a hint here; `wake_all` has put a fence before it.
        if self.sleepers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut epoch = self.epoch.lock();
        *epoch += 1;
        if all {
            self.calls_for_all.fetch_add(1, Ordering::Relaxed);
        }
        drop(epoch);
        if all {
            self.bell.notify_all();
        } else {
            self.bell.notify_one();
        }
    }
}

/// How often sleepers have been called, for whoever simulates sleep.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    /// All calls.
    pub(crate) epoch: u64,
    /// Those for everybody.
    pub(crate) for_all: u64,
}

impl Idle {
    /// How often sleepers have been called.
    pub(crate) fn calls(&self) -> Calls {
        let epoch = self.epoch.lock();
        Calls { epoch: *epoch, for_all: self.calls_for_all.load(Ordering::Relaxed) }
    }

    /// Whether a worker with this ticket would not sleep any more.
    pub(crate) fn has_rung_since(&self, ticket: &Ticket) -> bool {
        *self.epoch.lock() != ticket.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::AtomicBool;

    #[test]
    fn i1_a_ticket_drawn_before_the_call_does_not_sleep() {
        let idle = Idle::new();
        let ticket = idle.announce();
        idle.wake_all();
        idle.sleep(ticket); // Would hang if the call were lost.
        assert_eq!(idle.sleepers.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_withdrawn_worker_counts_no_more() {
        let idle = Idle::new();
        let ticket = idle.announce();
        idle.withdraw(ticket);
        idle.nudge(true);
        assert_eq!(*idle.epoch.lock(), 0, "nobody to wake");
    }

    #[test]
    fn i2_no_worker_sleeps_through_the_end() {
        for _ in 0..2_000 {
            let idle = Idle::new();
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let work = || {
                    while !ended.load(Ordering::Relaxed) {
                        let ticket = idle.announce();
                        if ended.load(Ordering::Relaxed) {
                            idle.withdraw(ticket);
                        } else {
                            idle.sleep(ticket); // Would hang if the end were missed.
                        }
                    }
                };
                let workers = [(); 3].map(|()| scope.spawn(work));
                ended.store(true, Ordering::Relaxed);
                idle.wake_all();
                // Joined one by one, as ThreadSanitizer does not see what the end of a scope waits for.
                for worker in workers {
                    worker.join().unwrap();
                }
            });
        }
    }
}
