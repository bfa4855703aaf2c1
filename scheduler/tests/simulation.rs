//! Random programs on virtual cores: the outcome is that of running in order, the same seed gives the same timeline
//! (V1), nobody is faster than the cores and the longest chain allow (V2), and every simulation ends (V3).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Mutex;

use proptest::prelude::*;
use weft_scheduler::simulate::{Costs, KernelCosts, Timeline, TxCosts, measure, simulate};
use weft_scheduler::{Block, Blocked, Commit, Execution, Executor, Fault, Stats, TxIndex, View};

/// Each transaction reads some places and adds what it read to one.
#[derive(Debug, Clone)]
struct Sum {
    reads: Vec<u8>,
    write: u8,
}

/// A block of sums, and what was committed.
struct Sums {
    txs: Vec<Sum>,
    committed: Mutex<Vec<u64>>,
    panic_at: Option<u32>,
    /// What each costs in order.
    cost: u32,
}

impl Executor for Sums {
    type Key = u8;
    type Value = u64;
    type Output = u64;
    type Scratch<'b> = View<'b, u8, u64>;

    fn scratch<'b>(&'b self, _worker: usize, view: View<'b, u8, u64>) -> View<'b, u8, u64> {
        view
    }

    fn view<'s, 'b>(&'b self, scratch: &'s mut View<'b, u8, u64>) -> &'s mut View<'b, u8, u64> {
        scratch
    }

    fn execute<'b>(
        &'b self,
        view: &mut View<'b, u8, u64>,
        tx: TxIndex,
    ) -> Result<Execution<u8, u64, u64>, Blocked> {
        assert!(self.panic_at != Some(tx.0), "asked to panic");
        let Sum { reads, write } = &self.txs[tx.0 as usize];
        let mut sum = u64::from(tx.0);
        for read in reads {
            sum = sum.wrapping_mul(31).wrapping_add(view.read(read)?.unwrap_or(7));
        }
        Ok(Execution { writes: vec![(*write, sum)], cost: self.cost, output: sum })
    }

    fn commit(&self, _tx: TxIndex, output: u64) -> Commit {
        self.committed.lock().unwrap().push(output);
        Commit::Continue
    }
}

impl Sums {
    fn new(txs: Vec<Sum>) -> Self {
        Self { txs, committed: Mutex::default(), panic_at: None, cost: 1_000 }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.txs.len()).unwrap()
    }

    fn in_order(&self) -> Vec<u64> {
        let mut places = [7_u64; 256];
        let mut run = |(tx, Sum { reads, write }): (u64, &Sum)| {
            let add = |sum: u64, read: &u8| sum.wrapping_mul(31).wrapping_add(places[usize::from(*read)]);
            let sum = reads.iter().fold(tx, add);
            places[usize::from(*write)] = sum;
            sum
        };
        (0..).zip(&self.txs).map(&mut run).collect()
    }

    /// Runs all on virtual cores; returns the counts, the timeline, and what was committed.
    fn simulate(&self, workers: usize, costs: &[TxCosts], seed: u64) -> (Stats, Timeline, Vec<u64>) {
        self.committed.lock().unwrap().clear();
        let block = Block::new(self, self.count(), workers);
        let timeline =
            simulate(&block, workers, &Costs { transactions: costs, kernel: KERNEL }, seed).unwrap();
        (block.finish().unwrap(), timeline, self.committed.lock().unwrap().clone())
    }
}

/// A kernel that takes little.
const KERNEL: KernelCosts = KernelCosts {
    claim: 20,
    look: 20,
    pause: 10,
    yield_now: 100,
    ring: 500,
    wake: 3_000,
    hand_out: 50,
    begin: 500,
};

/// Runs of this length, with their reads spread over it.
fn costs(txs: &[Sum], run: u64) -> Vec<TxCosts> {
    let costs = |tx: &Sum| {
        let mut costs = TxCosts::default();
        let count = tx.reads.len() as u64;
        (costs.run, costs.validation, costs.commit) = (run, run / 50, run / 100);
        costs.reads = (1..=count).map(|nth| run * nth / (count + 1)).collect();
        costs
    };
    txs.iter().map(costs).collect()
}

/// Transactions that have nothing to do with each other.
fn independent(count: usize) -> Vec<Sum> {
    (0..count)
        .map(|tx| {
            let place = u8::try_from(tx % 256).unwrap();
            Sum { reads: Vec::new(), write: place }
        })
        .collect()
}

/// Each reads what the one before has written.
fn chain(count: usize) -> Vec<Sum> {
    (0..count).map(|_| Sum { reads: vec![0], write: 0 }).collect()
}

#[test]
fn independent_work_scales_and_a_chain_does_not() {
    let run = 100_000;
    let all = |workers, txs: Vec<Sum>| {
        let costs = costs(&txs, run);
        let sums = Sums::new(txs);
        let (stats, timeline, outcome) = sums.simulate(workers, &costs, 1);
        assert_eq!(outcome, sums.in_order());
        (stats, (run + run / 100) * u64::from(sums.count()), timeline.end)
    };
    for workers in [2, 8, 32] {
        let (stats, work, end) = all(workers, independent(640));
        let (least, most) = (work * 31 / 32 / workers as u64, work * 9 / 8 / workers as u64);
        assert!((least..=most).contains(&end), "{workers} workers took {end}, for {work}");
        assert_eq!((stats.executions, stats.aborts), (640, 0));
        let (_, work, end) = all(workers, chain(64));
        // A run that follows may begin before the one below has ended, up to its read.
        assert!(end > work * 31 / 32 / 2, "{workers} workers took {end} for a chain of {work}");
    }
}

/// The first takes so long that all that may begin before it is committed is over by then.
#[test]
fn a2_what_is_over_when_it_is_found_not_to_pay_is_kept() {
    let mut sums = Sums::new(independent(1_000));
    sums.cost = 1;
    let mut costs = costs(&sums.txs, 3_000);
    costs[0].run = 10_000_000;
    let (stats, _, outcome) = sums.simulate(8, &costs, 0);
    assert!(stats.gave_up, "what costs so little does not pay");
    assert_eq!(outcome, sums.in_order()[..outcome.len()]);
    // The window of eight workers is 512.
    assert!((256..=64 + 512 + 1).contains(&stats.committed), "{stats:?}");
}

#[test]
fn v3_a_panic_ends_the_simulation_with_a_fault() {
    let mut sums = Sums::new(independent(40));
    sums.panic_at = Some(17);
    let costs = costs(&sums.txs, 1_000);
    let block = Block::new(&sums, sums.count(), 8);
    simulate(&block, 8, &Costs { transactions: &costs, kernel: KERNEL }, 1).unwrap();
    assert_eq!(block.finish().unwrap_err(), Fault::Panicked { tx: TxIndex(17) });
}

#[test]
fn what_costs_nothing_ends_too() {
    let sums = Sums::new(chain(100));
    let (_, timeline, outcome) = sums.simulate(64, &[], 0);
    assert_eq!(outcome, sums.in_order());
    assert_eq!(timeline.spent.len(), 64);
}

#[test]
fn measuring_finds_costs_reads_and_dependencies() {
    let sums = Sums::new(vec![
        Sum { reads: vec![], write: 1 },
        Sum { reads: vec![9], write: 2 },
        Sum { reads: vec![9, 2, 1], write: 2 },
        Sum { reads: vec![2], write: 3 },
    ]);
    let time = Mutex::new(0);
    let now = || {
        let mut time = time.lock().unwrap();
        *time += 1;
        *time
    };
    let block = Block::new(&sums, 4, 128);
    let measured = measure(&block, 4, u32::MAX, true, now).unwrap();
    assert_eq!(block.finish().unwrap().executions, 4);
    assert_eq!(*sums.committed.lock().unwrap(), sums.in_order());
    let reads: Vec<usize> = measured.transactions.iter().map(|costs| costs.reads.len()).collect();
    assert_eq!(reads, [0, 1, 3, 1]);
    assert!(measured.transactions.iter().all(|costs| costs.run > 0 && costs.commit > 0));
    let of =
        |list: &[(u32, usize)]| Some(list.iter().map(|(tx, nth)| (TxIndex(*tx), *nth)).collect::<Vec<_>>());
    assert_eq!(measured.dependencies, [of(&[]), of(&[]), of(&[(1, 1), (0, 2)]), of(&[(2, 0)])]);
}

/// A worker alone brings nothing, and a block of which that is found out ends. Not where it is measured.
#[test]
fn measuring_goes_on_to_the_end() {
    let sums =
        Sums::new((0..500).map(|tx| Sum { reads: vec![], write: u8::try_from(tx % 6).unwrap() }).collect());
    let time = Mutex::new(0);
    let now = || {
        let mut time = time.lock().unwrap();
        *time += 1;
        *time
    };
    let block = Block::new(&sums, 500, 500);
    let measured = measure(&block, 500, u32::MAX, false, now).unwrap();
    assert_eq!(block.finish().unwrap().committed, 500);
    assert!(measured.transactions.iter().all(|costs| costs.run > 0 && costs.commit > 0));
}

fn any_sum() -> impl Strategy<Value = Sum> {
    (prop::collection::vec(0_u8..6, 0..4), 0_u8..6).prop_map(|(reads, write)| Sum { reads, write })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The outcome of any block is that of running in order, and the same seed gives the same timeline.
    #[test]
    fn v1_v2_any_block_ends_as_in_order_and_the_same_way_each_time(
        txs in prop::collection::vec(any_sum(), 1..60),
        workers in 1_usize..20,
        seed in any::<u64>(),
        run in 1_u64..50_000,
    ) {
        let costs = costs(&txs, run);
        let sums = Sums::new(txs);
        let first = sums.simulate(workers, &costs, seed);
        prop_assert_eq!(&first.2, &sums.in_order());
        let work = run * 31 / 32 * u64::from(sums.count());
        prop_assert!(first.1.end >= work / workers as u64, "faster than its cores");
        prop_assert_eq!(first, sums.simulate(workers, &costs, seed));
    }
}
