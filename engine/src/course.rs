//! How the next transactions run: as [`Pace`] says, unless the clock has shown otherwise.
//!
//! The scheduler compares what runs took beside others with what it adds to them. That is right on average, and wrong where a
//! block comes back to the same few slots again and again: in order, they lie in the nearest cache, and side by side they
//! travel between cores, so that runs seem to be worth more than they are. In a long block both ways are timed, and where
//! the loop in order has proved faster, a stretch counts as one that did not pay, whatever the scheduler has found. And what
//! it has taken in order corrects what is expected of the rest, so that little is not tried again.
//!
//! It is a decision about time: no outcome depends on it.

use std::time::Duration;

use weft_scheduler::{Pace, Stats, Stretch};

use crate::expected;

/// So many transactions run in order to see what that takes, once in a block.
const SAMPLE: u32 = 128;

/// Where fewer are left, it does not matter.
const WORTH_SAMPLING: u32 = 2_048;

/// How the next transactions run.
#[derive(Debug)]
pub(crate) struct Course {
    /// What the scheduler has found.
    pace: Pace,
    /// What the clock has shown; `None` if nobody looks at it.
    clock: Option<Clock>,
}

/// What both ways have taken, when they were last tried.
#[derive(Debug, Default)]
struct Clock {
    /// The loop in order.
    in_order: Option<Rate>,
    /// The scheduler.
    speculative: Option<Rate>,
}

/// So much gas in so much time.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Gas of the transactions.
    gas: u64,
    /// What they took.
    time: Duration,
}

impl Course {
    /// A block of which nothing has run.
    pub(crate) fn new(pace: Pace, looks_at_the_clock: bool) -> Self {
        Self { pace, clock: looks_at_the_clock.then(Clock::default) }
    }

    /// What the scheduler has found.
    pub(crate) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How many of the next `left` transactions make a stretch where nothing meets; `None` if it would not pay even there.
    pub(crate) fn stretch_if_nothing_meets(&self, left: u32) -> Option<u32> {
        self.pace.stretch_if_nothing_meets(left)
    }

    /// How to run the next of `left` transactions.
    pub(crate) fn next_stretch(&mut self, left: u32) -> Stretch {
        match &self.clock {
            Some(Clock { in_order: None, speculative: Some(_) }) if left >= WORTH_SAMPLING => {
                Stretch::InOrder(SAMPLE)
            }
            _ => self.pace.next_stretch(left),
        }
    }

    /// The next `length` of `left` transactions, which use so much gas, have run in order.
    pub(crate) fn note_in_order(&mut self, left: u32, length: u32, gas: u64, time: Duration) {
        if let Some(clock) = &mut self.clock {
            self.pace.note_in_order(left, length, expected::cost(time).into());
            clock.in_order = Some(Rate { gas, time });
        }
    }

    /// Those of a speculative stretch have.
    pub(crate) fn note(&mut self, mut stats: Stats, gas: u64, time: Duration) {
        if let Some(clock) = &mut self.clock {
            clock.speculative = Some(Rate { gas, time });
            if clock.is_in_order_faster() {
                (stats.gave_up, stats.has_paid) = (true, false);
            }
        }
        self.pace.note(&stats);
    }
}

impl Clock {
    /// Whether the loop in order is faster, and not by so little that it may be chance.
    fn is_in_order_faster(&self) -> bool {
        let (Some(in_order), Some(speculative)) = (self.in_order, self.speculative) else { return false };
        let cross = |one: Rate, other: Rate| u128::from(one.gas) * other.time.as_nanos();
        10 * cross(in_order, speculative) > 11 * cross(speculative, in_order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of 9,000 transactions that speculation has found worth while so far.
    fn course(looks_at_the_clock: bool) -> Course {
        let mut course = Course::new(Pace::new(2), looks_at_the_clock);
        assert!(matches!(course.next_stretch(9_000), Stretch::Speculative(_)));
        course
    }

    /// What the scheduler says of a stretch that has paid.
    fn paid() -> Stats {
        let mut stats = Stats::default();
        (stats.committed, stats.has_paid) = (512, true);
        stats
    }

    #[test]
    fn where_the_loop_is_faster_it_goes_on() {
        let ms = Duration::from_millis;
        for (speculative, goes_on) in [(ms(10), true), (ms(21), true), (ms(23), false)] {
            let mut course = course(true);
            course.note(paid(), 1_000, speculative);
            assert_eq!(course.next_stretch(8_000), Stretch::InOrder(SAMPLE), "nobody knows what that takes");
            course.note_in_order(8_000, SAMPLE, 250, ms(5));
            assert!(matches!(course.next_stretch(7_872), Stretch::Speculative(_)));
            course.note(paid(), 1_000, speculative);
            assert_eq!(matches!(course.next_stretch(7_000), Stretch::Speculative(_)), goes_on);
        }
    }

    #[test]
    fn what_is_short_or_must_not_depend_on_time_is_not_timed() {
        for (looks_at_the_clock, left) in [(true, WORTH_SAMPLING - 1), (false, 8_000)] {
            let mut course = course(looks_at_the_clock);
            course.note(paid(), 1_000, Duration::from_secs(9));
            assert!(matches!(course.next_stretch(left), Stretch::Speculative(_)));
        }
    }
}
