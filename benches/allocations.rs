//! What is allocated for a transaction where blocks run in order on the ledger: what comes out, and what revm takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weft_benches::{Scale, catalogue};
use weft_engine::execute::Options;
use weft_engine::{ReadyBlock, parallel};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a block takes, however long it is: parts of the ledger, an EVM, and tables that grow with a logarithm.
const PER_BLOCK: usize = 400;

/// How many transactions a workload of this scale has, and how much is allocated for it on so many threads.
fn count(name: &str, scale: f64, threads: usize) -> (usize, usize) {
    let plans = catalogue(Scale::new(scale).unwrap());
    let workload = plans.iter().find(|plan| plan.name == name).unwrap().make().unwrap();
    let rules = workload.rules();
    let block = ReadyBlock::new(&rules, &workload.block, None).unwrap();
    let options = Options::with_threads(threads).unwrap();
    let allocated = options.install(|| {
        let run = || parallel::run(&block, &workload.pre_state).0.unwrap();
        // The first time, tables are made.
        drop(run());
        let region = Region::new(HEAP);
        drop(run());
        let heap = region.change();
        heap.allocations + heap.reallocations
    });
    (workload.block.body.transactions.len(), allocated)
}

/// Tests of one binary run beside each other, and the heap is one: so this is one test.
#[test]
fn what_is_allocated_for_a_transaction() {
    // A transfer is two balances and a nonce, and its receipt has no logs. Others look accounts up meanwhile, or not.
    for name in ["raw/independent", "raw/fresh", "raw/chain"] {
        for threads in [1, 2] {
            for scale in [0.1, 0.2] {
                let (txs, allocated) = count(name, scale, threads);
                assert!(allocated <= PER_BLOCK, "{name}: {allocated} for {txs} transactions");
            }
        }
    }
    // A log has topics and data and stands in a list: that is three. The other four are revm's: an account as it was
    // before the transaction, what the call returns, and twice the frame of a call.
    let (txs, allocated) = count("erc20/independent", 0.2, 1);
    assert!(allocated <= 7 * txs + PER_BLOCK, "{allocated} for {txs} transactions");
}
