//! Once a block of a size has been run, the kernel allocates nothing for a transaction of the next: where runs have been,
//! what they wrote and what they saw goes into room that others have left.
//!
//! Workers take their steps in turn on one thread, so that the counts are the same each time. What the executor
//! allocates itself, one list of writes for each run, is counted by it and taken off.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weft_scheduler::{
    Blocked, Commit, Execution, Executor, Pace, Stats, Step, TxIndex, View, Worker, WorkspaceOf,
};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a block allocates, however long it is; one of them is this test's list of workers.
const PER_BLOCK: usize = 2;

/// Each transaction adds one to a location of its own, and reads those that others wrote so far below that they are
/// committed.
struct Counters {
    /// How far below, each.
    distances: Vec<u32>,
    /// Lists of writes so far.
    lists: AtomicUsize,
}

impl Executor for Counters {
    type Key = u32;
    type Value = u64;
    type Output = u64;
    type Scratch<'b> = View<'b, u32, u64>;

    fn scratch<'b>(&'b self, _worker: usize, view: View<'b, u32, u64>) -> View<'b, u32, u64> {
        view
    }

    fn view<'s, 'b>(&'b self, scratch: &'s mut View<'b, u32, u64>) -> &'s mut View<'b, u32, u64> {
        scratch
    }

    fn execute<'b>(
        &'b self,
        view: &mut View<'b, u32, u64>,
        tx: TxIndex,
    ) -> Result<Execution<u32, u64, u64>, Blocked> {
        let mut sum = 1;
        for distance in &self.distances {
            // Behind the last there is nothing but the pre-state.
            let location = tx.0.checked_sub(*distance).unwrap_or(u32::MAX - distance);
            sum += view.read_or(&location, || Ok::<_, Blocked>(u64::from(location)))?;
        }
        self.lists.fetch_add(1, Ordering::Relaxed);
        // So much that speculation pays.
        Ok(Execution { writes: vec![(tx.0, sum)], cost: 1 << 20, output: sum })
    }

    fn commit(&self, _tx: TxIndex, _output: u64) -> Commit {
        Commit::Continue
    }
}

impl Counters {
    /// Runs a block on so many workers, in this room, and counts what the kernel has allocated.
    fn run(&self, txs: u32, workers: usize, room: &mut WorkspaceOf<Self>) -> (Stats, usize) {
        let lists = self.lists.load(Ordering::Relaxed);
        let region = Region::new(HEAP);
        let block = Pace::new(workers).block(self, txs, std::mem::take(room));
        let mut at_work: Vec<_> = (0..workers).map(|index| block.worker(index)).collect();
        while at_work.iter_mut().map(Worker::step).filter(|step| *step != Step::Done).count() > 0 {}
        drop(at_work);
        let (stats, kept) = block.finish_and_keep();
        *room = kept;
        room.tidy();
        let heap = region.change();
        let allocated = heap.allocations + heap.reallocations - (self.lists.load(Ordering::Relaxed) - lists);
        (stats.unwrap(), allocated)
    }
}

#[test]
fn nothing_is_allocated_for_a_transaction() {
    // The last has more reads than there is room for at first.
    for distances in [vec![0], vec![0, 600], (0..40).map(|nth| 600 * nth).collect()] {
        for workers in [2, 8] {
            let counters = Counters { distances: distances.clone(), lists: AtomicUsize::new(0) };
            let mut room = WorkspaceOf::<Counters>::default();
            let mut count = |txs| {
                let (stats, allocated) = counters.run(txs, workers, &mut room);
                assert_eq!((stats.committed, stats.executions), (txs, u64::from(txs)), "{workers} workers");
                allocated
            };
            count(4_096);
            for txs in [4_096, 2_048, 1_024, 4_096] {
                // Others in the process may allocate at any time.
                let allocated = (0..3).map(|_| count(txs)).min().unwrap();
                let reads = distances.len();
                assert!(
                    allocated <= PER_BLOCK,
                    "{allocated} for {txs} transactions of {reads} reads on {workers} workers"
                );
            }
        }
    }
}
