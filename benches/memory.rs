//! How much memory a block of 10⁹ gas takes on all cores, and in order. The heap is counted, from just before the run
//! to its most; the block and the state before it are not part of it.

use peak_alloc::PeakAlloc;
use weft_benches::{Scale, catalogue};
use weft_engine::execute::Options;
use weft_engine::{ReadyBlock, parallel, sequential};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Blocks without conflicts and with nothing else, small transactions and large ones.
const WORKLOADS: [&str; 7] = [
    "raw/independent",
    "raw/fresh",
    "raw/chain",
    "erc20/independent",
    "erc20/chain",
    "swap/independent",
    "swap/one-pool",
];

/// The most bytes at any time that `run` takes, what it returns among them.
fn peak<R>(run: impl Fn() -> R) -> usize {
    // The first time, tables are made.
    drop(run());
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    drop(run());
    HEAP.peak_usage() - before
}

#[test]
fn all_cores_take_at_most_twice_the_memory_of_running_in_order() {
    for plan in catalogue(Scale::FULL).iter().filter(|plan| WORKLOADS.contains(&plan.name.as_str())) {
        let workload = plan.make().unwrap();
        let rules = workload.rules();
        let block = ReadyBlock::new(&rules, &workload.block, None).unwrap();
        let in_order = peak(|| sequential::run(&block, &workload.pre_state));
        for threads in [1, 2, 8] {
            let options = Options::with_threads(threads).unwrap();
            let taken = options.install(|| peak(|| parallel::run(&block, &workload.pre_state)));
            println!("{:18} {threads} threads: {taken:>9} bytes, {in_order:>9} in order", plan.name);
            assert!(taken <= 2 * in_order, "{} on {threads} threads", plan.name);
        }
    }
}
