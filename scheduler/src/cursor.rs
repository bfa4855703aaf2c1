//! What to look at next, lowest index first: a cursor over the block, a range for those that are looked at again, and a
//! queue for those that come back.
//!
//! Each transaction is met once by the cursor of first runs, which only moves forward. A transaction that runs again
//! goes through the [`Restarts`] queue, so nobody walks over a block full of waiting transactions to find the one
//! that is ready. Those that have run on what is no longer so are among the [`Doubts`].
//!
//! # Invariants
//!
//! - **C1.** A cursor hands out each index at most once, in ascending order.
//! - **C2.** What is put in doubt is handed out afterwards, lowest first. So may be others that were in doubt before, which
//!   costs a look at each.
//! - **C3.** The queue hands out every transaction as often as it was put in, the lowest first.
//! - **C4.** The first run of each transaction is begun once, in its turn or before.
//!
//! The tests below check them, and `models/cursor.rs` with workers that race.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crossbeam_utils::CachePadded;

use crate::{
    sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering},
    version::TxIndex,
};

/// The next index to hand out.
#[derive(Debug, Default)]
pub(crate) struct Cursor(CachePadded<AtomicU32>);

impl Cursor {
    /// The next index to be handed out. A hint: another worker may take it first.
    pub(crate) fn peek(&self) -> TxIndex {
        TxIndex(self.0.load(Ordering::Acquire))
    }

    /// Takes the next index that is not below `from`, if it is below `end`.
    pub(crate) fn take(&self, from: TxIndex, end: TxIndex) -> Option<TxIndex> {
        let mut next = self.0.load(Ordering::Acquire);
        loop {
            let taken = next.max(from.0);
            if taken >= end.0 {
                return None;
            }
            match self.0.compare_exchange_weak(next, taken + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(TxIndex(taken)),
                Err(now) => next = now,
            }
        }
    }
}

/// Transactions that may have run on what is no longer so: a range that is handed out from below, and grows.
#[derive(Debug, Default)]
pub(crate) struct Doubts(CachePadded<AtomicU64>);

impl Doubts {
    /// The next to be handed out, and the end of the range.
    fn range(word: u64) -> (u32, u32) {
        let half = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
        (half(word >> u32::BITS), half(word & u64::from(u32::MAX)))
    }

    /// The same in one word.
    fn word(next: u32, end: u32) -> u64 {
        u64::from(next) << u32::BITS | u64::from(end)
    }

    /// Puts these in doubt.
    pub(crate) fn add(&self, from: TxIndex, end: TxIndex) {
        if from >= end {
            return;
        }
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (next, last) = Self::range(word);
            let more = if next < last {
                Self::word(next.min(from.0), last.max(end.0))
            } else {
                Self::word(from.0, end.0)
            };
            match self.0.compare_exchange_weak(word, more, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the lowest that is not below `from`, if it is below `limit`.
    pub(crate) fn take(&self, from: TxIndex, limit: TxIndex) -> Option<TxIndex> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (next, end) = Self::range(word);
            let taken = next.max(from.0);
            if taken >= end.min(limit.0) {
                return None;
            }
            let less = Self::word(taken + 1, end);
            match self.0.compare_exchange_weak(word, less, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(TxIndex(taken)),
                Err(now) => word = now,
            }
        }
    }
}

/// Transactions that had better begin before their turn, because they take long: a long one that begins last is waited
/// for by everybody.
#[derive(Debug, Default)]
pub(crate) struct Early(Box<[(TxIndex, AtomicBool)]>);

impl Early {
    /// These transactions, none twice.
    pub(crate) fn new(txs: &[TxIndex]) -> Self {
        Self(txs.iter().map(|tx| (*tx, AtomicBool::new(false))).collect())
    }

    /// Takes one that nobody has taken and that is not below `from`.
    pub(crate) fn take(&self, from: TxIndex) -> Option<TxIndex> {
        let mut waiting = self.0.iter().filter(|(tx, _)| *tx >= from);
        waiting.find(|(_, taken)| !taken.swap(true, Ordering::AcqRel)).map(|(tx, _)| *tx)
    }

    /// Whether one from `tx` on has begun.
    pub(crate) fn is_under_way_from(&self, tx: TxIndex) -> bool {
        self.0.iter().any(|(early, taken)| *early >= tx && taken.load(Ordering::Relaxed))
    }

    /// Whether the first run of `tx` is the caller's: it is not if somebody has taken it.
    pub(crate) fn begin(&self, tx: TxIndex) -> bool {
        let entry = self.0.iter().find(|(early, _)| *early == tx);
        entry.is_none_or(|(_, taken)| !taken.swap(true, Ordering::AcqRel))
    }
}

/// Transactions that are ready to run again, the lowest first.
#[derive(Debug)]
pub(crate) struct Restarts {
    /// The lowest in the queue, or `u32::MAX`: a hint that spares the lock while there is nothing to take.
    lowest: CachePadded<AtomicU32>,
    /// The queue.
    queue: Mutex<BinaryHeap<Reverse<TxIndex>>>,
}

impl Restarts {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self { lowest: CachePadded::new(AtomicU32::new(u32::MAX)), queue: Mutex::new(BinaryHeap::new()) }
    }

    /// The lowest in the queue; above every transaction if there is none.
    pub(crate) fn lowest(&self) -> TxIndex {
        TxIndex(self.lowest.load(Ordering::Acquire))
    }

    /// Puts one in, and returns how many there are.
    pub(crate) fn push(&self, tx: TxIndex) -> usize {
        let mut queue = self.queue.lock();
        queue.push(Reverse(tx));
        self.update_lowest(&queue);
        queue.len()
    }

    /// Takes the lowest out.
    pub(crate) fn pop(&self) -> Option<TxIndex> {
        let mut queue = self.queue.lock();
        let Reverse(tx) = queue.pop()?;
        self.update_lowest(&queue);
        Some(tx)
    }

    /// Brings the hint up to date, under the lock.
    fn update_lowest(&self, queue: &BinaryHeap<Reverse<TxIndex>>) {
        let lowest = queue.peek().map_or(u32::MAX, |Reverse(tx)| tx.0);
        self.lowest.store(lowest, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything from `from` to `end`.
    fn drain(cursor: &Cursor, from: u32, end: u32) -> Vec<u32> {
        core::iter::from_fn(|| cursor.take(TxIndex(from), TxIndex(end))).map(|tx| tx.0).collect()
    }

    #[test]
    fn c1_hands_out_each_index_once_in_order() {
        let cursor = Cursor::default();
        assert_eq!(drain(&cursor, 0, 3), [0, 1, 2]);
        assert_eq!(drain(&cursor, 0, 5), [3, 4]);
        assert_eq!(drain(&cursor, 7, 9), [7, 8], "those below `from` are passed over");
        assert_eq!(drain(&cursor, 0, 9), [] as [u32; 0]);
    }

    #[test]
    fn c1_holds_for_workers_that_race() {
        let cursor = Cursor::default();
        let mut all: Vec<u32> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| drain(&cursor, 0, 10_000))).collect();
            racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq(0..10_000));
    }

    #[test]
    fn c2_what_is_in_doubt_is_handed_out_from_below() {
        let doubts = Doubts::default();
        let drain = |from, limit| -> Vec<u32> {
            core::iter::from_fn(|| doubts.take(TxIndex(from), TxIndex(limit))).map(|tx| tx.0).collect()
        };
        assert_eq!(drain(0, 9), []);
        doubts.add(TxIndex(4), TxIndex(6));
        doubts.add(TxIndex(7), TxIndex(7));
        assert_eq!(drain(0, 5), [4], "those above the limit wait");
        doubts.add(TxIndex(2), TxIndex(4));
        assert_eq!(drain(3, 9), [3, 4, 5], "those below `from` are passed over");
        assert_eq!(drain(0, 9), []);
        doubts.add(TxIndex(1), TxIndex(2));
        assert_eq!(drain(0, 9), [1], "what is over does not come back");
    }

    #[test]
    fn c4_an_early_transaction_begins_once() {
        let early = Early::new(&[TxIndex(7), TxIndex(3)]);
        assert_eq!(early.take(TxIndex(4)), Some(TxIndex(7)));
        assert_eq!(early.take(TxIndex(4)), None);
        let turns: Vec<bool> = (0..9).map(|tx| early.begin(TxIndex(tx))).collect();
        assert_eq!(turns, [true, true, true, true, true, true, true, false, true]);
        assert_eq!(early.take(TxIndex(0)), None, "begun in its turn");
        assert!(early.is_under_way_from(TxIndex(7)) && !early.is_under_way_from(TxIndex(8)));
        assert!(!Early::new(&[TxIndex(7)]).is_under_way_from(TxIndex(0)), "nobody has begun");
    }

    #[test]
    fn c3_the_queue_hands_out_the_lowest_first_and_loses_none() {
        let restarts = Restarts::new();
        assert_eq!((restarts.lowest(), restarts.pop()), (TxIndex(u32::MAX), None));
        for (count, tx) in [5, 2, 9, 2].into_iter().enumerate() {
            assert_eq!(restarts.push(TxIndex(tx)), count + 1);
        }
        for tx in [2, 2, 5, 9] {
            assert_eq!(restarts.lowest(), TxIndex(tx));
            assert_eq!(restarts.pop(), Some(TxIndex(tx)));
        }
        assert_eq!(restarts.lowest(), TxIndex(u32::MAX));
    }
}
