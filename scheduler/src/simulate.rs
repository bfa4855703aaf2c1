//! The shipped workers on virtual cores: any number of them, with a virtual clock, and the same course of events for
//! the same seed.
//!
//! ```text
//!  worker 0  ── run 0 ──r──r─────w── commit 0 ── run 3 ──r──…
//!  worker 1  ── run 1 ──r────r───────w── run 4 …               r: a read, w: its writes become visible
//!  worker 2  ── run 2 ──r──r── waits for 1 ……………… run 2 …
//!            └──────────────────────────────────────────────► virtual time
//! ```
//!
//! Every virtual worker is a thread of its own that drives the shipped [`Worker::step`](crate::Worker::step), but only one of them moves at a
//! time: whoever is earliest in virtual time holds the baton. What a worker does costs it virtual time, and before it
//! does the next thing that others could notice, everybody who is earlier goes first. Such things are each read of a
//! run, the moment when its writes become visible, each commit, and each step. So a run sees what lower ones have
//! published by the time of its reads, and not by the time of its beginning or its end: to have all reads happen at
//! once would make conflicts more common than they are, or rarer. Threads with a baton need nothing of the executor;
//! coroutines would be faster, and need `unsafe`.
//!
//! What things cost comes from outside ([`Costs`]); [`measure()`] finds out with a clock that the caller has. A run ends
//! early if it has read less often than the one that was measured: what was not read was not reached. Sleepers are
//! woken as in `idle.rs`, one after the other, and the helpers begin one after the other.
//!
//! The idea to simulate a whole system by one seed is `FoundationDB`'s; virtual workers as threads, of which one moves,
//! are shuttle's.
//!
//! # Invariants
//!
//! - **V1.** The same block, costs and seed give the same timeline, whatever the machine does meanwhile.
//! - **V2.** No worker does what others can notice before all that is earlier is done.
//! - **V3.** A simulation ends: if everybody sleeps, or time goes on for ever, it ends with a fault.
//!
//! `tests/simulation.rs` checks them on random programs, and that the outcome is that of running in order.

mod baton;
mod costs;
mod measure;
mod seat;

pub use costs::{Costs, KernelCosts, Spent, Timeline, TxCosts};
pub use measure::{Measured, measure};

use baton::Baton;
use seat::Seat;

use crate::{
    executor::Executor,
    fault::Fault,
    worker::{Block, Step},
};

/// How many virtual workers there may be.
pub const WORKERS_MAX: usize = 1_024;

/// Runs `block` on so many virtual workers, one of them at least. The block must be one for as many workers.
///
/// # Errors
///
/// [`Fault::Stalled`] if nobody would ever do anything again. Other faults are those of [`Block::finish`].
///
/// # Panics
///
/// If the system gives no threads.
pub fn simulate<E: Executor>(
    block: &Block<'_, E>,
    workers: usize,
    costs: &Costs<'_>,
    seed: u64,
) -> Result<Timeline, Fault> {
    let workers = workers.clamp(1, WORKERS_MAX);
    let baton = Baton::new(workers, block.scheduler().idle(), costs.kernel, costs.time_max());
    let spent: Vec<Spent> = std::thread::scope(|scope| {
        let work = |worker| {
            let baton = &baton;
            move || work(block, &Seat::new(baton, worker, *costs, seed))
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    if baton.has_stalled() {
        return Err(Fault::Stalled);
    }
    let end = baton.end();
    // Whoever begins late or leaves early is idle meanwhile.
    let whole = |spent: Spent| Spent { idle: end.saturating_sub(spent.busy()), ..spent };
    Ok(Timeline { end, spent: spent.into_iter().map(whole).collect() })
}

/// One virtual worker, from its first step to its last: [`Block::work`] in virtual time.
fn work<E: Executor>(block: &Block<'_, E>, seat: &Seat<'_>) -> Spent {
    seat.sit_down();
    let mut worker = block.watched_worker(seat.worker(), seat);
    let mut fruitless = 0;
    while !seat.is_over() {
        let step = worker.step();
        seat.pay_for(step, fruitless);
        match step {
            Step::Done => break,
            Step::Idle if Seat::has_backed_off(fruitless) => {
                let idle = block.scheduler().idle();
                let ticket = idle.announce();
                let step = worker.step();
                seat.pay_for(step, 0);
                if step == Step::Idle && !idle.has_rung_since(&ticket) {
                    seat.sleep();
                }
                idle.withdraw(ticket);
                fruitless = 0;
            }
            Step::Idle => fruitless += 1,
            Step::Claimed(_)
            | Step::Executed(_)
            | Step::Suspended(_)
            | Step::Validated(_)
            | Step::Aborted(_)
            | Step::Committed { .. } => fruitless = 0,
        }
    }
    drop(worker);
    seat.stand_up()
}
