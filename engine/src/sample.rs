//! What a few transactions that run in order say of those behind them: what they take, and how far they depend on each
//! other.
//!
//! To find out by speculation that it does not pay takes some hundred microseconds, in which a block of small calls is
//! half over. In order, the same is seen for a tenth of what the calls take: where each has read and written, and when it
//! could have begun at the earliest if there were any number of workers.
//!
//! It is a guess about time: no outcome depends on it.

use core::hash::BuildHasher;
use core::time::Duration;
use std::time::Instant;

use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use alloy_primitives::{Address, U256};
use weft_scheduler::overhead;

use crate::expected;
use crate::location::Location;

/// Fewer say nothing.
pub(crate) const FEW: u32 = 12;

/// What must be saved at least: 200 µs, in the unit of [`weft_scheduler::Execution::cost`].
const WORTH_SAVING: u128 = 1_600;

/// How many times what the scheduler adds to a run on one core it adds where the locations travel between cores. Measured
/// with `benches/`, `sweep/erc20/n=1000/a=1000`: 512 transfers of tokens took 3.6 ms, and 5.4 µs each in order.
const BESIDE: u32 = 2;

/// A sample has room for so many locations that were written.
const ROOM: usize = 256;

/// Of which transactions to take a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampling {
    /// So many of them at the end.
    pub(crate) last: u32,
    /// It is enough when all but the first have taken so long, those before them included, and there are [`FEW`]; or four
    /// times as long. The first brings near what is in no cache.
    pub(crate) most: Option<Duration>,
}

impl Sampling {
    /// Whether it is enough, if all but the first have taken so long, and so many are sampled.
    pub(crate) fn is_enough(self, time: Duration, sampled: u32) -> bool {
        self.most.is_some_and(|most| time >= most && (sampled >= FEW || time >= 4 * most))
    }
}

/// What is noted of transactions that run in order, one after the other.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Where the one at hand has read.
    read: Vec<u64>,
    /// Where it has written.
    written: Vec<u64>,
    /// When who has last written there could have been over. Locations are known by a hash with the map's random key: where
    /// two share one, they seem to meet.
    written_at: HashMap<u64, Duration>,
    /// When all could have been over.
    critical_path: Duration,
    /// What they have taken.
    time: Duration,
    /// Where they have read and written, added up.
    locations: usize,
    /// How many there are.
    txs: u32,
    /// When the one at hand has begun.
    start: Instant,
}

/// How those behind a sample are likely best run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// Nobody knows, or the scheduler will likely make them faster.
    Open,
    /// Each by itself takes too little for the scheduler, but they keep apart.
    Apart,
    /// In order.
    InOrder,
}

impl Sample {
    /// The first transaction begins.
    pub(crate) fn new() -> Self {
        Self {
            read: Vec::new(),
            written: Vec::new(),
            written_at: HashMap::with_capacity_and_hasher(ROOM, DefaultHashBuilder::default()),
            critical_path: Duration::ZERO,
            time: Duration::ZERO,
            locations: 0,
            txs: 0,
            start: Instant::now(),
        }
    }

    /// What a location is known by.
    fn key(&self, location: Location) -> u64 {
        self.written_at.hasher().hash_one(location)
    }

    /// The transaction at hand has read an account.
    pub(crate) fn note_account_read(&mut self, address: Address) {
        self.read.push(self.key(Location::Account(address)));
    }

    /// It has read a slot.
    pub(crate) fn note_slot_read(&mut self, address: Address, slot: U256) {
        self.read.push(self.key(Location::Slot(address, slot)));
    }

    /// It has changed the balance or the nonce of an account, which it has read.
    pub(crate) fn note_account(&mut self, address: Address) {
        self.written.push(self.key(Location::Account(address)));
    }

    /// It has changed a slot, which it has read.
    pub(crate) fn note_slot(&mut self, address: Address, slot: U256) {
        self.written.push(self.key(Location::Slot(address, slot)));
    }

    /// The transaction at hand is over, and the next one begins.
    pub(crate) fn end_transaction(&mut self) {
        let now = Instant::now();
        let took = now - core::mem::replace(&mut self.start, now);
        self.note_end(took);
    }

    /// The transaction at hand is over, and has taken so long.
    pub(crate) fn note_end(&mut self, took: Duration) {
        let met = self.read.iter().chain(&self.written);
        let begin = met.filter_map(|location| self.written_at.get(location)).max().copied();
        let end = begin.unwrap_or_default() + took;
        self.critical_path = self.critical_path.max(end);
        self.time += took;
        self.txs += 1;
        self.locations += self.read.len() + self.written.len();
        self.read.clear();
        for location in self.written.drain(..) {
            self.written_at.insert(location, end);
        }
    }

    /// Whether each had to wait for the one before.
    #[cfg(test)]
    pub(crate) fn is_chain(&self) -> bool {
        self.critical_path == self.time
    }

    /// How many there are.
    pub(crate) const fn txs(&self) -> u32 {
        self.txs
    }

    /// How the next transactions are likely best run by so many workers. What they and those of the sample cost was
    /// `expected` before any of them ran.
    pub(crate) fn prospect(&self, expected: &[u32], next: &[u32], workers: usize) -> Prospect {
        let sum = |costs: &[u32]| costs.iter().copied().map(u128::from).sum::<u128>();
        let (expected, cost) = (sum(expected), u128::from(expected::cost(self.time)));
        if self.txs < FEW || expected == 0 || cost == 0 {
            return Prospect::Open;
        }
        // What is expected of all is wrong by as much as it was of these; but nobody expects too little.
        let in_order = sum(next) * cost.min(expected) / expected;
        let each = BESIDE * overhead(self.locations / self.txs as usize);
        let added = next.len() as u128 * u128::from(each);
        let chain = in_order * self.critical_path.as_nanos() / self.time.as_nanos();
        let side_by_side = chain.max((in_order + added) / workers as u128);
        let saves = |time: u128| in_order.saturating_sub(time) >= WORTH_SAVING;
        if 4 * side_by_side <= 3 * in_order && saves(side_by_side) {
            Prospect::Open
        } else if chain * workers as u128 <= in_order && saves(in_order / workers as u128) {
            Prospect::Apart
        } else {
            Prospect::InOrder
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_scheduler::RUN_OVERHEAD;

    use super::*;

    /// How long a transaction takes that costs as much as the scheduler adds to it at least.
    const SHORT: Duration = Duration::from_micros(2);

    /// A sample of so many transactions that take so long each, of which the `nth` counts up slot `slot(nth)`.
    fn sample(txs: u64, took: Duration, slot: impl Fn(u64) -> u64) -> Sample {
        let mut sample = Sample::new();
        for nth in 0..txs {
            sample.note_account(Address::left_padding_from(&(1 + nth).to_be_bytes()));
            sample.note_account_read(Address::ZERO);
            sample.note_slot_read(Address::ZERO, U256::from(slot(nth)));
            sample.note_slot(Address::ZERO, U256::from(slot(nth)));
            sample.note_end(took);
        }
        sample
    }

    /// What it says of a thousand transactions, if all were expected to cost twice what those of the sample did.
    fn prospect(sample: &Sample, workers: usize) -> Prospect {
        let each = 2 * expected::cost(sample.time) / sample.txs;
        sample.prospect(&vec![each; sample.txs as usize], &[each; 1_000], workers)
    }

    #[test]
    fn the_critical_path_goes_through_what_was_written() {
        let path = |slot: fn(u64) -> u64| sample(12, SHORT, slot).critical_path;
        assert_eq!(path(|_| 7), 12 * SHORT);
        assert_eq!(path(|nth| nth % 3), 4 * SHORT);
        assert_eq!(path(|nth| nth), SHORT, "what all read and nobody writes keeps nobody waiting");
        let mut readers = sample(3, SHORT, |nth| nth);
        readers.note_slot_read(Address::ZERO, U256::ONE);
        readers.note_end(5 * SHORT);
        assert_eq!(readers.critical_path, 6 * SHORT);
    }

    #[test]
    fn a_chain_runs_in_order_however_long_its_links() {
        for took in [SHORT, 100 * SHORT] {
            for workers in [2, 64] {
                assert_eq!(prospect(&sample(64, took, |_| 1), workers), Prospect::InOrder);
            }
        }
    }

    #[test]
    fn who_keeps_apart_needs_the_scheduler_if_it_adds_little() {
        let apart = |took| sample(64, took, |nth| nth);
        assert_eq!(prospect(&apart(SHORT), 2), Prospect::Apart);
        assert_eq!(prospect(&apart(SHORT), 8), Prospect::Open, "eight make up for it");
        assert_eq!(prospect(&apart(10 * SHORT), 2), Prospect::Open);
        assert_eq!(prospect(&sample(64, SHORT, |nth| nth / 40), 2), Prospect::InOrder, "most are a chain");
    }

    #[test]
    fn a_sample_ends_when_it_says_something_or_takes_too_long() {
        let us = Duration::from_micros;
        let sampling = Sampling { last: 32, most: Some(us(100)) };
        for (time, sampled, is_enough) in
            [(99, FEW, false), (100, FEW, true), (399, 3, false), (400, 0, true)]
        {
            assert_eq!(sampling.is_enough(us(time), sampled), is_enough, "{sampled} in {time} µs");
        }
        assert!(!Sampling { most: None, ..sampling }.is_enough(us(9_999), FEW));
    }

    #[test]
    fn a_few_say_nothing() {
        assert_eq!(prospect(&sample(u64::from(FEW) - 1, SHORT, |_| 1), 2), Prospect::Open);
        assert_eq!(prospect(&sample(FEW.into(), SHORT, |_| 1), 2), Prospect::InOrder);
        let sample = sample(64, Duration::ZERO, |_| 1);
        assert_eq!(sample.prospect(&[9; 64], &[9; 100], 2), Prospect::Open, "no clock is that fine");
        assert_eq!(sample.prospect(&[0; 64], &[9; 100], 2), Prospect::Open);
    }

    #[test]
    fn what_is_soon_over_runs_in_order() {
        for took in [SHORT, 10 * SHORT] {
            let each = expected::cost(took);
            let sample = sample(64, took, |nth| nth);
            let prospect = |txs: u128| sample.prospect(&[each; 64], &vec![each; txs as usize], 2);
            let enough = 4 * WORTH_SAVING / u128::from(each);
            assert_ne!(prospect(enough), Prospect::InOrder);
            assert_eq!(prospect(enough / 4), Prospect::InOrder);
        }
    }

    /// Transfers may take four times what was expected of them. The calls behind them don't.
    #[test]
    fn nobody_takes_longer_than_was_expected() {
        let sample = sample(64, SHORT, |nth| nth);
        let next = [RUN_OVERHEAD; 1_000];
        assert_eq!(sample.prospect(&[RUN_OVERHEAD / 8; 64], &next, 2), Prospect::Apart);
    }

    /// A block may begin with its shortest.
    #[test]
    fn the_next_take_longer_if_they_were_expected_to() {
        let sample = sample(64, SHORT, |nth| nth);
        let longer = [20 * RUN_OVERHEAD; 1_000];
        assert_eq!(sample.prospect(&[2 * RUN_OVERHEAD; 64], &longer, 2), Prospect::Open);
        assert_eq!(sample.prospect(&[20 * RUN_OVERHEAD; 64], &longer, 2), Prospect::Apart);
    }
}
