//! What the kernel's waiting and waking take, in nanoseconds.
//!
//! | | how it is measured |
//! |---|---|
//! | a pause, a yield | a thousand of them |
//! | ringing, waking | a thread that sleeps on a condition variable, as in the scheduler's `idle.rs` |
//! | handing out, beginning | a job for the sleeping thread of a pool of two |
//!
//! A machine that does other things wakes late, so a simulation that measured this each time would depend on what they
//! are. It takes what a quiet machine needs; taking tasks is measured with each block.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use weft_scheduler::simulate::KernelCosts;

use super::costs::nanos;
use crate::error::Fault;

/// On a virtual machine with two cores of a Zen 4 (EPYC): what the tries took in the middle, in the quieter ones of ten
/// measurements that found 1.7 to 3.1 µs for ringing, 2.9 to 4.2 for waking and 3.2 to 6.5 for beginning. Busy
/// cores make a thread wait a millisecond; that is no cost of the kernel's.
pub(super) const MEASURED: KernelCosts = KernelCosts {
    claim: 0,
    look: 0,
    pause: 24,
    yield_now: 480,
    ring: 2_000,
    wake: 3_300,
    hand_out: 60,
    begin: 4_500,
};

/// How often something is tried.
const TRIES: usize = 100;

/// How long a thread is left alone until it surely sleeps.
const TO_SLEEP: Duration = Duration::from_micros(300);

/// Measures all but what tasks take, for those who look whether what simulations assume is right
/// for their machine.
///
/// # Errors
///
/// [`Fault::Threads`] if the system gives none.
pub fn measure_kernel() -> Result<KernelCosts, Fault> {
    let pause = repeated(std::hint::spin_loop);
    let yield_now = repeated(std::thread::yield_now);
    let (ring, wake) = ring()?;
    let (hand_out, begin) = hand_out()?;
    Ok(KernelCosts { claim: 0, look: 0, pause, yield_now, ring, wake, hand_out, begin })
}

/// What something short takes.
fn repeated(work: fn()) -> u64 {
    let rounds = (0..10).map(|_| {
        let start = Instant::now();
        (0..1_000).for_each(|_| work());
        nanos(start.elapsed()) / 1_000
    });
    rounds.min().unwrap_or_default()
}

/// Rings for a sleeper: what that takes, and how long it takes until he moves.
fn ring() -> Result<(u64, u64), Fault> {
    let shared = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let (awake, wakings) = mpsc::channel();
    let sleeper = {
        let shared = Arc::clone(&shared);
        let sleep = move || {
            let (rung, bell) = &*shared;
            for nth in 1..=TRIES {
                let mut count = rung.lock();
                while *count < nth {
                    bell.wait(&mut count);
                }
                if awake.send(Instant::now()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().spawn(sleep).map_err(|error| Fault::Threads(error.to_string()))?
    };
    let tries = (0..TRIES).map(|_| {
        std::thread::sleep(TO_SLEEP);
        let start = Instant::now();
        *shared.0.lock() += 1;
        shared.1.notify_one();
        let rung = nanos(start.elapsed());
        let moved = wakings.recv().map_or(0, |moved| nanos(moved.saturating_duration_since(start)));
        (rung, moved)
    });
    let times = medians(tries.collect());
    // It has answered for the last time.
    drop(sleeper.join());
    Ok(times)
}

/// Hands a job to a thread of a pool: what that takes, and how long it takes until it begins.
fn hand_out() -> Result<(u64, u64), Fault> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .map_err(|error| Fault::Threads(error.to_string()))?;
    let tries = (0..TRIES).map(|_| {
        std::thread::sleep(TO_SLEEP);
        pool.install(|| {
            let begun = Mutex::new(None);
            let start = Instant::now();
            let mut handed_out = 0;
            rayon::scope(|scope| {
                scope.spawn(|_| *begun.lock() = Some(Instant::now()));
                handed_out = nanos(start.elapsed());
                while begun.lock().is_none() && start.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
            });
            let begun = begun.into_inner().map_or(0, |begun| nanos(begun.saturating_duration_since(start)));
            (handed_out, begun)
        })
    });
    Ok(medians(tries.collect()))
}

/// The medians of both times.
fn medians(times: Vec<(u64, u64)>) -> (u64, u64) {
    let (first, second): (Vec<u64>, Vec<u64>) = times.into_iter().unzip();
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    (median(first), median(second))
}
