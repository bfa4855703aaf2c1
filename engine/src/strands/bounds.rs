//! How far strands may go.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far the strands of a stretch may go, all of them together. What they find may not be what there will be, and a
/// transaction that is misled may use all the gas that it has.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Gas that they have used.
    used: AtomicU64,
    /// What they may use; one transaction alone, no more than an eighth of it.
    most: u64,
    /// What the block has left.
    left: u64,
    /// How long each may take.
    longest: Duration,
    /// It is over for all of them.
    is_over: AtomicBool,
}

// ORDERING: all of it is about time. Who reads an old value runs for nothing.
impl Bounds {
    /// Nothing is used.
    pub(super) fn new(most: u64, left: u64, longest: Duration) -> Self {
        let (used, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { used, most, left, longest, is_over }
    }

    /// Whether a transaction may run that uses up to so much gas, where so much has been used that is not noted, and its
    /// strand has taken so long. If not, it is over for all.
    pub(super) fn allow(&self, gas_limit: u64, not_noted: u64, time: Duration) -> bool {
        let used = self.used.load(Ordering::Relaxed).saturating_add(not_noted);
        let is_too_much = self.is_much(gas_limit) || used.saturating_add(gas_limit) > self.most;
        if is_too_much || used > self.left || time > self.longest {
            self.break_off();
        }
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Whether no transaction may use so much by itself.
    pub(super) const fn is_much(&self, gas_limit: u64) -> bool {
        gas_limit > self.most / 8
    }

    /// Transactions have used so much.
    pub(super) fn note(&self, gas: u64) {
        self.used.fetch_add(gas, Ordering::Relaxed);
    }

    /// It is over for all.
    pub(super) fn break_off(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// What a strand has taken so far. Others may have been given the core meanwhile, for tens of milliseconds on a virtual
/// machine; that is nobody's fault here.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// When it was looked at last.
    last: Instant,
    /// What the strand had taken by then.
    taken: Duration,
}

impl Stopwatch {
    /// The strand begins.
    pub(super) fn start() -> Self {
        Self { last: Instant::now(), taken: Duration::ZERO }
    }

    /// What the strand has taken, which has used so much gas since the last look.
    pub(super) fn look(&mut self, gas: u64) -> Duration {
        let now = Instant::now();
        self.taken += accounted(now - core::mem::replace(&mut self.last, now), gas);
        self.taken
    }
}

/// How much of the time in which so much gas was used it can have taken. What takes longest for its gas takes some 50 ns
/// for each.
fn accounted(time: Duration, gas: u64) -> Duration {
    const EACH: Duration = Duration::from_nanos(100);
    const LEAST: Duration = Duration::from_millis(1);
    time.min(LEAST + EACH.saturating_mul(u32::try_from(gas).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strands_break_off_when_they_have_used_too_much() {
        let (hour, soon) = (Duration::from_hours(1), Duration::from_millis(1));
        let bounds = |left| Bounds::new(800, left, hour);
        assert!(
            bounds(800).allow(100, 0, soon) && !bounds(800).allow(101, 0, soon),
            "no more than an eighth each"
        );
        assert!(bounds(800).allow(1, 0, hour) && !bounds(800).allow(1, 0, hour + soon));
        let (together, in_the_block) = (bounds(800), bounds(600));
        for bounds in [&together, &in_the_block] {
            bounds.note(601);
        }
        assert!(!bounds(800).allow(100, 701, soon), "what is not noted counts");
        assert!(together.allow(100, 0, soon) && !in_the_block.allow(100, 0, soon));
        together.note(100);
        assert!(!together.allow(100, 0, soon) && !together.allow(1, 0, soon), "it is over for all");
    }

    #[test]
    fn a_core_that_was_taken_away_is_not_the_strands_fault() {
        let ms = Duration::from_millis;
        for (time, gas, all) in [(1, 0, 1), (30, 0, 1), (30, 50_000, 6), (5, 50_000, 5), (30, 1_000_000, 30)]
        {
            assert_eq!(accounted(ms(time), gas), ms(all), "{time} ms for {gas}");
        }
    }
}
