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
    /// When they began.
    start: Instant,
    /// How long they may take.
    longest: Duration,
    /// It is over for all of them.
    is_over: AtomicBool,
}

// ORDERING: all of it is about time. Who reads an old value runs for nothing.
impl Bounds {
    /// Nothing is used.
    pub(super) fn new(most: u64, left: u64, longest: Duration) -> Self {
        let (used, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { used, most, left, start: Instant::now(), longest, is_over }
    }

    /// Whether a transaction may run that uses up to so much gas, where so much has been used that is not noted. If not, it
    /// is over for all.
    pub(super) fn allow(&self, gas_limit: u64, not_noted: u64) -> bool {
        let used = self.used.load(Ordering::Relaxed).saturating_add(not_noted);
        let is_too_much = self.is_much(gas_limit) || used.saturating_add(gas_limit) > self.most;
        if is_too_much || used > self.left || self.start.elapsed() > self.longest {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strands_break_off_when_they_have_used_too_much() {
        let hour = Duration::from_hours(1);
        let bounds = |left, longest| Bounds::new(800, left, longest);
        assert!(
            bounds(800, hour).allow(100, 0) && !bounds(800, hour).allow(101, 0),
            "no more than an eighth each"
        );
        assert!(!bounds(800, Duration::ZERO).allow(1, 0));
        let (together, in_the_block) = (bounds(800, hour), bounds(600, hour));
        for bounds in [&together, &in_the_block] {
            bounds.note(601);
        }
        assert!(!bounds(800, hour).allow(100, 701), "what is not noted counts");
        assert!(together.allow(100, 0) && !in_the_block.allow(100, 0));
        together.note(100);
        assert!(!together.allow(100, 0) && !together.allow(1, 0), "it is over for all");
    }
}
