//! How the next transactions run: as [`Pace`] says, unless the clock has shown otherwise.
//!
//! The scheduler compares what runs took beside others with what it adds to them. That is right on average, and wrong where a
//! block comes back to the same few slots again and again: in order, they lie in the nearest cache, and side by side they
//! travel between cores, so that runs seem to be worth more than they are. In a long block both ways are timed, and where
//! the loop in order has proved faster, a stretch counts as one that did not pay, whatever the scheduler has found. And what
//! it has taken in order corrects what is expected of the rest, so that little is not tried again.
//!
//! A chain of calls shows in order too, and sooner. So where transactions seem to be short, some run in order before anybody
//! speculates, for as long as another worker takes to wake, and a sample is taken of them. So it is at the beginning of a
//! block, and again wherever something has run in order for another reason. While samples are against it, nobody
//! speculates, and they become rarer (`sample.rs`).
//!
//! It is a decision about time: no outcome depends on it.

use std::time::Duration;

use weft_scheduler::{Pace, Stats, Stretch};

use crate::expected;
use crate::sample::{self, Prospect, Sample, Sampling};

/// So many transactions run in order to see what that takes, once in a block.
const TIMED: u32 = 128;

/// Where fewer are left, it does not matter.
const WORTH_TIMING: u32 = 2_048;

/// A sample has no more transactions: to note what one has done takes as long as some of them do.
const SAMPLED: u32 = 32;

/// So many run in order at least when a sample was against speculation, the next one's among them.
const PAUSE: u32 = 64;

/// How many times as long the next pause is, if another sample finds that they meet.
const LONGER: u32 = 4;

/// The first few transactions of a block bring code and tables near, and say little.
const COLD: u32 = 8;

/// So long may run in order for a sample's sake while nobody speculates, if there are a few then; for their sake four times
/// that.
const OPENING: Duration = Duration::from_micros(100);

/// Who is expected to cost more is not run while the others wait: 32 µs, as what is expected is twice what it comes to.
const SMALL: u32 = 512;

/// So many of the next does a sample stand for.
const NEXT: u32 = 4_096;

/// How the next transactions run.
#[derive(Debug)]
pub(crate) struct Course {
    /// What the scheduler has found.
    pace: Pace,
    /// How many workers there are.
    workers: usize,
    /// What the clock has shown; `None` if nobody looks at it.
    clock: Option<Clock>,
    /// What each transaction is expected to cost; none if there are to be no samples.
    costs: Vec<u32>,
    /// Whether to speculate without a sample that is in favour of it.
    doubt: Doubt,
    /// The sample to be taken of the next stretch.
    sampling: Option<Sampling>,
}

/// Whether to speculate without a sample that is in favour of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Nobody knows: nothing has run yet, or what has run was no sample.
    Unknown,
    /// Yes.
    None,
    /// The last sample was not, and so many are to run in order until the end of the next one.
    Sampled(u32),
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
    pub(crate) fn new(pace: Pace, workers: usize, costs: Vec<u32>, looks_at_the_clock: bool) -> Self {
        let clock = looks_at_the_clock.then(Clock::default);
        let costs = if looks_at_the_clock { costs } else { Vec::new() };
        Self { pace, workers, clock, costs, doubt: Doubt::Unknown, sampling: None }
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
        self.sampling = None;
        match &self.clock {
            Some(Clock { in_order: None, speculative: Some(_) }) if left >= WORTH_TIMING => {
                Stretch::InOrder(TIMED)
            }
            _ => self.doubted_stretch(left),
        }
    }

    /// How to run the next of `left` transactions, if the clock says nothing.
    fn doubted_stretch(&mut self, left: u32) -> Stretch {
        let planned = self.pace.next_stretch(left);
        if matches!(planned, Stretch::InOrder(_)) {
            // What follows may be of another kind.
            self.doubt = Doubt::Unknown;
            return planned;
        }
        let (length, last, most) = match self.doubt {
            Doubt::Unknown => {
                // Once is enough.
                self.doubt = Doubt::None;
                let (idle, opening) = self.opening(left);
                (idle + opening, opening.saturating_sub(COLD), Some(OPENING))
            }
            Doubt::None => return planned,
            Doubt::Sampled(pause) => (pause.min(left), SAMPLED, None),
        };
        if last < sample::FEW {
            return planned;
        }
        self.sampling = (length < left).then_some(Sampling { last: last.min(length), most });
        Stretch::InOrder(length)
    }

    /// How many of the next `left` transactions may run for the sake of a sample: first those that say nothing because they
    /// run no code, and then others.
    fn opening(&self, left: u32) -> (u32, u32) {
        let mut next = self.costs.iter().skip(self.costs.len().saturating_sub(left as usize)).peekable();
        let mut idle = 0;
        while next.next_if(|cost| **cost <= expected::TRANSFER).is_some() {
            idle += 1;
        }
        let small = next.take((COLD + SAMPLED) as usize).take_while(|cost| **cost <= SMALL);
        (idle, u32::try_from(small.count()).expect("a sample has no more"))
    }

    /// The sample to be taken of the stretch that is to come.
    pub(crate) const fn sampling(&mut self) -> Option<Sampling> {
        self.sampling.take()
    }

    /// What this sample, which was just taken, says of the next of `left` transactions.
    pub(crate) fn note_sample(&mut self, left: u32, sample: &Sample) -> Prospect {
        let (before, next) = self.costs.split_at(self.costs.len() - left as usize);
        let sampled = &before[before.len() - sample.txs() as usize..];
        let next = &next[..self.pace.can_pay(left).min(NEXT) as usize];
        let prospect = sample.prospect(sampled, next, self.workers);
        self.doubt = match (prospect, self.doubt) {
            (Prospect::Open, _) => Doubt::None,
            // They may soon be enough for strands.
            (Prospect::Apart, Doubt::Sampled(pause)) => Doubt::Sampled((2 * pause).min(NEXT)),
            (Prospect::InOrder, Doubt::Sampled(pause)) => Doubt::Sampled((LONGER * pause).min(NEXT)),
            (_, Doubt::Unknown | Doubt::None) => Doubt::Sampled(PAUSE),
        };
        prospect
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
        if stats.gave_up {
            self.doubt = Doubt::Unknown;
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
    use alloy_primitives::{Address, U256};

    use super::*;

    /// A block of 9,000 transactions that speculation has found worth while so far.
    fn course(looks_at_the_clock: bool) -> Course {
        let mut course = Course::new(Pace::new(2), 2, Vec::new(), looks_at_the_clock);
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
            assert_eq!(course.next_stretch(8_000), Stretch::InOrder(TIMED), "nobody knows what that takes");
            course.note_in_order(8_000, TIMED, 250, ms(5));
            assert!(matches!(course.next_stretch(7_872), Stretch::Speculative(_)));
            course.note(paid(), 1_000, speculative);
            assert_eq!(matches!(course.next_stretch(7_000), Stretch::Speculative(_)), goes_on);
        }
    }

    #[test]
    fn what_is_short_or_must_not_depend_on_time_is_not_timed() {
        for (looks_at_the_clock, left) in [(true, WORTH_TIMING - 1), (false, 8_000)] {
            let mut course = course(looks_at_the_clock);
            course.note(paid(), 1_000, Duration::from_secs(9));
            assert!(matches!(course.next_stretch(left), Stretch::Speculative(_)));
        }
    }

    /// What a sample says of which each transaction writes the same slot, or one of its own.
    fn sample(txs: u32, is_chain: bool) -> Sample {
        let mut sample = Sample::new();
        for nth in 0..txs {
            sample.note_slot(Address::ZERO, if is_chain { U256::ZERO } else { U256::from(nth) });
            sample.note_end(Duration::from_micros(20));
        }
        sample
    }

    /// A block of so many transactions that are expected to cost so much each.
    fn sampled_course(txs: usize, cost: u32) -> Course {
        let costs = vec![cost; txs];
        let pace = Pace::new(2).expecting(costs.iter().copied());
        Course::new(pace, 2, costs, true)
    }

    /// The sample that a block begins with, and any after a pause.
    const SAMPLINGS: [Sampling; 2] =
        [Sampling { last: SAMPLED, most: Some(OPENING) }, Sampling { last: SAMPLED, most: None }];

    #[test]
    fn a_chain_is_seen_in_order_before_anybody_speculates() {
        let mut course = sampled_course(1_000, 320);
        assert_eq!(course.next_stretch(1_000), Stretch::InOrder(COLD + SAMPLED));
        assert_eq!(course.sampling(), Some(SAMPLINGS[0]));
        assert_eq!(course.note_sample(970, &sample(22, true)), Prospect::InOrder);
        for (left, pause) in [(970, 64), (906, 256)] {
            assert_eq!(course.next_stretch(left), Stretch::InOrder(pause));
            assert_eq!(course.sampling(), Some(SAMPLINGS[1]));
            assert_eq!(course.note_sample(left - pause, &sample(SAMPLED, true)), Prospect::InOrder);
        }
        assert_eq!(course.next_stretch(650), Stretch::InOrder(650), "1,024 if there were as many");
        assert_eq!(course.note_sample(400, &sample(SAMPLED, false)), Prospect::Open);
        assert_eq!(course.next_stretch(400), Stretch::Speculative(256));
        assert_eq!(course.sampling(), None);
    }

    #[test]
    fn a_stretch_that_gave_up_is_tried_again_if_a_sample_is_in_favour() {
        let mut course = sampled_course(2_000, 320);
        course.next_stretch(2_000);
        assert_eq!(course.note_sample(1_950, &sample(40, false)), Prospect::Open);
        assert!(matches!(course.next_stretch(1_950), Stretch::Speculative(_)));
        let mut gave_up = Stats::default();
        (gave_up.committed, gave_up.gave_up) = (64, true);
        course.note(gave_up, 1_000, Duration::from_millis(1));
        assert_eq!(course.next_stretch(1_886), Stretch::InOrder(512));
        assert_eq!(course.sampling(), None, "the pause is over anyway");
        assert_eq!(course.next_stretch(1_374), Stretch::InOrder(COLD + SAMPLED));
        assert_eq!(course.note_sample(1_334, &sample(SAMPLED, true)), Prospect::InOrder);
        assert_eq!(course.next_stretch(1_334), Stretch::InOrder(64));
        assert_eq!(course.note_sample(1_270, &sample(SAMPLED, false)), Prospect::Open);
        assert!(matches!(course.next_stretch(1_270), Stretch::Speculative(_)), "a probe");
    }

    #[test]
    fn what_ran_in_order_for_another_reason_says_nothing_of_what_follows() {
        let costs: Vec<u32> = (0..900).map(|tx| if tx < 130 { expected::TRANSFER } else { 320 }).collect();
        let pace = Pace::new(2).expecting(costs.iter().copied());
        let mut course = Course::new(pace, 2, costs, true);
        assert_eq!(course.next_stretch(900), Stretch::InOrder(128), "two rounds that cannot pay");
        assert_eq!(course.next_stretch(772), Stretch::InOrder(2 + COLD + SAMPLED), "transfers are no sample");
        assert_eq!(course.sampling(), Some(SAMPLINGS[0]));
        assert_eq!(course.note_sample(730, &sample(SAMPLED, true)), Prospect::InOrder);
    }

    #[test]
    fn nobody_waits_for_a_sample_of_what_may_take_long() {
        let mut course = sampled_course(1_000, SMALL + 1);
        assert!(matches!(course.next_stretch(1_000), Stretch::Speculative(_)));
        let mut course = sampled_course(1_000, SMALL);
        assert!(matches!(course.next_stretch(1_000), Stretch::InOrder(_)));
        assert!(
            matches!(course.next_stretch(994), Stretch::Speculative(_)),
            "it was not enough for a sample"
        );
    }
}
