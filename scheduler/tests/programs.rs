//! Random programs over a few locations, whose reads and writes depend on what they read: the outcome must be that of
//! running them in order (B1, B2), on any number of workers, and every block must end (B3).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod program;

use std::collections::HashMap;

// Not the standard library's: ThreadSanitizer does not see what that one waits for.
use parking_lot::Mutex;
use program::{Program, is_discarded};
use proptest::prelude::*;
use weft_scheduler::{Block, Blocked, Commit, Execution, Executor, Fault, Pace, Stretch, TxIndex, View};

/// A block of programs, and what was committed.
struct Programs {
    /// The transactions.
    txs: Vec<Program>,
    /// What lies beneath at the start.
    memory: HashMap<u8, u64>,
    /// What lies beneath as the block is committed (M5).
    beneath: Mutex<HashMap<u8, u64>>,
    /// Outputs, in the order of their commits.
    committed: Mutex<Vec<(u32, u64)>>,
    /// Stops the block at this transaction.
    stop_at: Option<u32>,
    /// Panics when it runs this transaction at the frontier.
    panic_at: Option<u32>,
}

const LOCATIONS: u8 = 6;

impl Executor for Programs {
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
        let program = &self.txs[tx.0 as usize];
        if program.patient {
            view.await_frontier()?;
        }
        assert!(!(view.is_final() && self.panic_at == Some(tx.0)), "asked to panic");
        let (writes, output) = program.run(LOCATIONS, |location| {
            std::thread::yield_now();
            view.read_or(&location, || {
                let value = self.beneath.lock().get(&location).copied().unwrap_or(7);
                std::thread::yield_now();
                Ok::<_, Blocked>(value)
            })
        })?;
        Ok(Execution { writes, cost: 100, output })
    }

    fn commit(&self, tx: TxIndex, output: u64) -> Commit {
        self.committed.lock().push((tx.0, output));
        if self.stop_at != Some(tx.0) && is_discarded(output) {
            return Commit::Discard;
        }
        // In order, it would have written this.
        let mut beneath = self.beneath.lock();
        let read = |location| Ok::<_, ()>(beneath.get(&location).copied().unwrap_or(7));
        let (writes, _) = self.txs[tx.0 as usize].run(LOCATIONS, read).unwrap();
        beneath.extend(writes);
        if self.stop_at == Some(tx.0) { Commit::Stop } else { Commit::Continue }
    }
}

impl Programs {
    fn new(programs: Vec<Program>) -> Self {
        let (memory, beneath, committed) = Default::default();
        Self { txs: programs, memory, beneath, committed, stop_at: None, panic_at: None }
    }

    /// What nobody has written.
    fn pre_state(&self, location: u8) -> u64 {
        self.memory.get(&location).copied().unwrap_or(7)
    }

    /// The programs from `first` on, on what the others leave.
    fn rest(&self, first: usize) -> Self {
        let mut rest = Self::new(self.txs[first..].to_vec());
        for program in &self.txs[..first] {
            let (writes, output) =
                program.run(LOCATIONS, |location| Ok::<_, ()>(rest.pre_state(location))).unwrap();
            rest.memory.extend(writes.into_iter().filter(|_| !is_discarded(output)));
        }
        rest
    }

    /// The outputs of running in order.
    fn in_order(&self) -> Vec<(u32, u64)> {
        let mut memory = self.memory.clone();
        let mut outputs = Vec::new();
        for (tx, program) in (0..).zip(&self.txs) {
            let read = |location| Ok::<_, ()>(memory.get(&location).copied().unwrap_or(7));
            let (writes, output) = program.run(LOCATIONS, read).unwrap();
            memory.extend(writes.into_iter().filter(|_| !is_discarded(output)));
            outputs.push((tx, output));
            if self.stop_at == Some(tx) {
                break;
            }
        }
        outputs
    }

    /// A block to run, with guesses that are good for nothing: they must not matter.
    fn block(&self, workers: usize) -> Block<'_, Self> {
        self.committed.lock().clear();
        self.beneath.lock().clone_from(&self.memory);
        let txs = u32::try_from(self.txs.len()).unwrap();
        let mut block = Block::new(self, txs, workers);
        let early: Vec<TxIndex> = (0..txs).filter(|tx| tx % 7 == 5).map(TxIndex).collect();
        block.start_early(&early);
        let groups: Vec<u32> = self.txs.iter().map(|program| u32::from(program.start % 3)).collect();
        block.group(&groups);
        for (tx, program) in (0..).zip(&self.txs).filter(|(_, program)| program.salt % 4 == 0) {
            let value = (program.hops > 0).then_some(u64::from(program.salt));
            block.predict(TxIndex(tx), vec![(program.start, value), (program.start / 2, None)]);
        }
        block
    }

    /// Runs on this many threads.
    fn run(&self, workers: usize) -> Result<weft_scheduler::Stats, Fault> {
        let block = self.block(workers);
        std::thread::scope(|threads| {
            let block = &block;
            let helpers: Vec<_> =
                (1..workers).map(|worker| threads.spawn(move || block.work(worker))).collect();
            block.work(0);
            // Joined one by one, as ThreadSanitizer does not see what the end of a scope waits for.
            for helper in helpers {
                helper.join().unwrap();
            }
        });
        block.finish()
    }

    /// Runs one worker's steps after another's, in the order that `schedule` says.
    fn run_steps(&self, workers: usize, schedule: &[u8]) {
        let block = self.block(workers);
        let mut crew: Vec<_> = (0..workers).map(|index| block.worker(index)).collect();
        let mut done = vec![false; workers];
        let mut turns = schedule.iter().cycle().zip(0_usize..);
        while !done.iter().all(|done| *done) {
            let (turn, round) = turns.next().unwrap();
            let worker = (usize::from(*turn) + round / schedule.len()) % workers;
            done[worker] = crew[worker].step() == weft_scheduler::Step::Done;
        }
        drop(crew);
        block.finish().unwrap();
    }
}

fn programs(most: usize) -> impl Strategy<Value = Vec<Program>> {
    let program = (0..LOCATIONS, 0..3_u8, any::<u8>(), prop::bool::weighted(0.1))
        .prop_map(|(start, hops, salt, patient)| Program { start, hops, salt, patient });
    prop::collection::vec(program, 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// B1, B2, B3 on threads.
    #[test]
    fn b1_threads_commit_what_running_in_order_gives(programs in programs(60)) {
        let programs = Programs::new(programs);
        let expected = programs.in_order();
        for workers in [1, 2, 3, 8, 64] {
            let stats = programs.run(workers).unwrap();
            prop_assert_eq!(&*programs.committed.lock(), &expected, "{} workers", workers);
            prop_assert_eq!(stats.committed as usize, expected.len());
        }
    }

    /// B1 on schedules that threads rarely take.
    #[test]
    fn b1_any_schedule_of_steps(programs in programs(30), schedule in prop::collection::vec(any::<u8>(), 1..200)) {
        let programs = Programs::new(programs);
        let expected = programs.in_order();
        for workers in [2, 3, 5] {
            programs.run_steps(workers, &schedule);
            prop_assert_eq!(&*programs.committed.lock(), &expected);
        }
    }

    /// B2: nothing behind the transaction that stops the block.
    #[test]
    fn b2_nothing_is_committed_behind_a_stop(programs in programs(40), at in 0..40_u32) {
        let mut programs = Programs::new(programs);
        programs.stop_at = Some(at);
        let expected = programs.in_order();
        for workers in [1, 2, 8] {
            programs.run(workers).unwrap();
            prop_assert_eq!(&*programs.committed.lock(), &expected);
        }
    }
}

/// W2: a panic ends the block for everybody, and what was committed stands.
#[test]
fn w2_a_panic_is_a_fault_and_not_a_hang() {
    let program = Program { start: 0, hops: 1, salt: 3, patient: false };
    let mut programs = Programs::new(vec![program; 50]);
    programs.panic_at = Some(20);
    // Alone at the frontier, so that the panic comes on every schedule.
    programs.txs[20].patient = true;
    for workers in [1, 2, 8] {
        assert_eq!(programs.run(workers).unwrap_err(), Fault::Panicked { tx: TxIndex(20) });
        assert_eq!(programs.committed.lock().len(), 20);
    }
}

/// W1, B3: workers that are announced and never come are not waited for; a block that is long enough to find out ends.
#[test]
fn w1_one_of_eight_workers_finishes_alone() {
    for (txs, gave_up) in [(500, false), (900, true)] {
        let program = Program { start: 1, hops: 2, salt: 5, patient: false };
        let programs = Programs::new(vec![program; txs]);
        let block = Block::new(&programs, u32::try_from(txs).unwrap(), 8);
        block.work(5);
        let stats = block.finish().unwrap();
        assert_eq!(stats.gave_up, gave_up);
        assert_eq!(stats.executions, u64::from(stats.committed));
        let committed = programs.committed.lock();
        assert_eq!(committed.len(), if gave_up { 512 } else { txs });
        assert_eq!(*committed, programs.in_order()[..committed.len()]);
    }
}

/// B3: a chain through one location wastes a bounded number of runs.
#[test]
fn b3_a_long_chain_ends_with_bounded_work() {
    let program = Program { start: 0, hops: 0, salt: 0, patient: false };
    let programs = Programs::new(vec![program; 10_000]);
    let (mut pace, mut first, mut executions) = (Pace::new(4), 0, 0);
    let mut outputs = Vec::new();
    while first < 10_000 {
        let rest = programs.rest(first);
        let length = match pace.next_stretch(10_000 - u32::try_from(first).unwrap()) {
            Stretch::InOrder(length) => {
                outputs.extend(rest.in_order().into_iter().take(length as usize).map(|(_, output)| output));
                length
            }
            Stretch::Speculative(_) => {
                let stats = rest.run(4).unwrap();
                assert_eq!(stats.gave_up, stats.committed as usize != rest.txs.len());
                pace.note(&stats);
                executions += stats.executions;
                outputs.extend(rest.committed.lock().iter().map(|(_, output)| output));
                stats.committed
            }
        };
        first += length as usize;
    }
    let expected: Vec<u64> = programs.in_order().into_iter().map(|(_, output)| output).collect();
    assert_eq!(outputs, expected);
    assert!(executions < 45_000, "{executions} runs: four workers may spend four times as much, and no more");
}
