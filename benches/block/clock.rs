//! Two clocks: the wall's, and that of all threads of this process together.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Time that something took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Took {
    /// On the wall.
    pub(crate) wall_ms: f64,
    /// On all cores together.
    pub(crate) cpu_ms: f64,
}

/// Runs `work` and measures it. What it returns is dropped by the caller, after the clocks were read.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (wall, cpu) = (Instant::now(), cpu());
    let result = work();
    let took = Took { wall_ms: millis(wall.elapsed()), cpu_ms: millis(self::cpu().saturating_sub(cpu)) };
    (result, took)
}

/// The middle of each clock's times; of an even number, the mean of the middle two.
pub(crate) fn median(times: &[Took]) -> Took {
    let middle = |clock: fn(&Took) -> f64| {
        let mut sorted: Vec<f64> = times.iter().map(clock).collect();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        match sorted.get(half) {
            Some(upper) if sorted.len().is_multiple_of(2) => f64::midpoint(sorted[half - 1], *upper),
            Some(upper) => *upper,
            None => 0.0,
        }
    };
    Took { wall_ms: middle(|took| took.wall_ms), cpu_ms: middle(|took| took.cpu_ms) }
}

/// The shortest of each clock's times.
pub(crate) fn shortest(times: &[Took]) -> Took {
    let least = |clock: fn(&Took) -> f64| times.iter().map(clock).fold(f64::INFINITY, f64::min);
    Took { wall_ms: least(|took| took.wall_ms), cpu_ms: least(|took| took.cpu_ms) }
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A duration in milliseconds.
fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
