//! Whole small blocks under shuttle: random programs, guesses and stretches on every schedule that it draws.
//!
//! The block is drawn along with the schedule, so each execution is another block, and the schedule that a failure
//! prints holds both: `just replay` runs it again.
//!
//! Checked are B1 and B2 against running in order, B3 by deadlocks and a bound on steps, and P2 by every run that is
//! final: all lower outcomes have been handed over by then.

#[path = "../../tests/program/mod.rs"]
mod program;

use std::{collections::BTreeMap, env, sync::Mutex as Log};

use shuttle::rand::{Rng, rngs::ThreadRng, thread_rng};

use program::{Program, is_discarded};

use super::{
    draw::{executions, explore_at_random, explore_few_switches},
    finds,
};
use crate::{
    Block, Blocked, Commit, Execution, Executor, Fault, Pace, Stats, Stretch, TxIndex, View, Workspace,
    WorkspaceOf,
    planted::Bug,
    sync::{Mutex, thread},
};

/// So few that most transactions meet.
const LOCATIONS: u8 = 3;

/// What the caller foresees, right or wrong.
#[derive(Debug, Default)]
struct Guesses {
    /// Writes, by transaction.
    predictions: Vec<(TxIndex, Vec<(u8, Option<u64>)>)>,
    /// Who begins before their turn.
    early: Vec<TxIndex>,
    /// Groups, by transaction.
    groups: Vec<u32>,
}

/// A block of programs, and what was committed of it.
#[derive(Debug)]
struct Programs {
    /// The transactions.
    txs: Vec<Program>,
    /// What lies beneath; it changes as the block is committed (M5).
    beneath: Mutex<BTreeMap<u8, u64>>,
    /// Outputs, in the order of their commits.
    committed: Log<Vec<u64>>,
    /// Stops the block at this transaction.
    stop_at: Option<u32>,
}

/// Any program.
fn any_program(rng: &mut ThreadRng) -> Program {
    Program {
        start: rng.gen_range(0..LOCATIONS),
        hops: rng.gen_range(0..2),
        salt: rng.r#gen(),
        patient: rng.gen_bool(0.1),
    }
}

/// Runs a program on final state.
fn run_in_order(program: &Program, memory: &mut BTreeMap<u8, u64>) -> u64 {
    let (writes, output) =
        program.run(LOCATIONS, |location| Ok::<_, ()>(pre_state(memory, location))).expect("no read fails");
    memory.extend(writes.into_iter().filter(|_| !is_discarded(output)));
    output
}

/// What lies at a location that may never have been written.
fn pre_state(memory: &BTreeMap<u8, u64>, location: u8) -> u64 {
    memory.get(&location).copied().unwrap_or(7)
}

impl Guesses {
    /// Any guesses about these transactions.
    fn any(rng: &mut ThreadRng, txs: u32) -> Self {
        let mut guesses = Self::default();
        for tx in (0..txs).map(TxIndex) {
            if rng.gen_bool(0.2) {
                let value = rng.gen_bool(0.5).then(|| rng.gen_range(0..10));
                guesses.predictions.push((tx, vec![(rng.gen_range(0..LOCATIONS), value)]));
            }
            if rng.gen_bool(0.2) {
                guesses.early.push(tx);
            }
            guesses.groups.push(rng.gen_range(0..2));
        }
        guesses
    }

    /// Tells a block.
    fn tell(self, block: &mut Block<'_, Programs>) {
        for (tx, predictions) in self.predictions {
            block.predict(tx, predictions);
        }
        block.start_early(&self.early);
        block.group(&self.groups);
    }
}

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
        if view.is_final() {
            assert_eq!(
                self.committed.lock().unwrap().len(),
                tx.0 as usize,
                "P2: outcomes before the frontier"
            );
        }
        let (writes, output) = program.run(LOCATIONS, |location| {
            view.read_or(&location, || Ok::<_, Blocked>(pre_state(&self.beneath.lock(), location)))
        })?;
        Ok(Execution { writes, cost: 100, output })
    }

    fn commit(&self, tx: TxIndex, output: u64) -> Commit {
        run_in_order(&self.txs[tx.0 as usize], &mut self.beneath.lock());
        self.committed.lock().unwrap().push(output);
        if self.stop_at == Some(tx.0) {
            Commit::Stop
        } else if is_discarded(output) {
            Commit::Discard
        } else {
            Commit::Continue
        }
    }
}

impl Programs {
    /// These transactions on this state.
    fn new(txs: &[Program], beneath: BTreeMap<u8, u64>, stop_at: Option<u32>) -> Self {
        Self { txs: txs.to_vec(), beneath: Mutex::new(beneath), committed: Log::default(), stop_at }
    }

    /// Runs `block` on so many threads. This one only waits for them: whenever one ends, shuttle wakes it, whatever it
    /// sleeps for.
    fn run(block: Block<'_, Self>, workers: usize) -> (Result<Stats, Fault>, WorkspaceOf<Self>) {
        thread::scope(|threads| {
            for worker in 0..workers {
                let block = &block;
                threads.spawn(move || block.work(worker));
            }
        });
        block.finish_and_keep()
    }
}

/// One block, as drawn, on the schedule that is drawn.
fn any_block() {
    let mut rng = thread_rng();
    let txs: Vec<Program> = (0..rng.gen_range(2..=6)).map(|_| any_program(&mut rng)).collect();
    let stop_at = if rng.gen_bool(0.1) { Some(rng.gen_range(0..txs.len())) } else { None };
    let workers = rng.gen_range(2..=3);
    let pace = if rng.gen_bool(0.5) { Pace::new(workers) } else { Pace::restless(workers) };

    let mut state = BTreeMap::new();
    let end = stop_at.map_or(txs.len(), |tx| tx + 1);
    let expected: Vec<u64> = txs[..end].iter().map(|program| run_in_order(program, &mut state)).collect();
    assert_eq!(in_stretches(&mut rng, &txs, stop_at, workers, pace), expected, "{txs:?}");
}

/// The outputs of these transactions up to `stop_at`, in the stretches of `pace`.
fn in_stretches(
    rng: &mut ThreadRng,
    txs: &[Program],
    stop_at: Option<usize>,
    workers: usize,
    mut pace: Pace,
) -> Vec<u64> {
    let (mut outputs, mut state, mut room) = (Vec::new(), BTreeMap::new(), Workspace::default());
    let end = stop_at.map_or(txs.len(), |tx| tx + 1);
    while outputs.len() < end {
        let first = outputs.len();
        match pace.next_stretch(index(txs.len() - first)) {
            Stretch::InOrder(length) => {
                let stretch = txs[first..end].iter().take(length as usize);
                outputs.extend(stretch.map(|program| run_in_order(program, &mut state)));
            }
            Stretch::Speculative(length) => {
                let programs = Programs::new(&txs[first..], state, stop_at.map(|tx| index(tx - first)));
                let mut block = pace.block(&programs, length, room);
                Guesses::any(rng, length).tell(&mut block);
                let (counts, kept) = Programs::run(block, workers);
                let counts = counts.unwrap();
                room = kept;
                pace.note(&counts);
                let committed = programs.committed.into_inner().unwrap();
                assert_eq!(counts.committed, index(committed.len()));
                outputs.extend(committed);
                state = programs.beneath.into_inner();
            }
        }
    }
    outputs
}

/// A position among few.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap()
}

/// At each step, whoever may run is as likely to.
#[test]
fn b1_b2_b3_hold_on_random_schedules() {
    explore_at_random(executions(), any_block);
}

/// Whoever has the highest priority runs, and priorities change a few times.
#[test]
fn b1_b2_b3_hold_on_schedules_of_few_switches() {
    for depth in [2, 3, 5] {
        explore_few_switches(depth, executions() / 3, any_block);
    }
}

/// The schedule that a failure has printed.
#[test]
#[ignore = "needs `WEFT_SCHEDULE`"]
fn replay() {
    shuttle::replay(any_block, &env::var("WEFT_SCHEDULE").expect("a schedule to replay"));
}

/// Those that make a difference where all see every step in one order; each in a test of its own, as a checker that has
/// failed is not to be used again.
mod bugs {
    use super::*;

    /// A test by this name for each bug, with this kind of schedules.
    macro_rules! find {
        ($model:ident: $($name:ident, $bug:ident;)*) => {
            $(
                #[test]
                fn $name() {
                    finds(Bug::$bug, $model);
                }
            )*
        };
    }

    find! { b1_b2_b3_hold_on_random_schedules:
        random_schedules_find_a_skipped_validation, SkipValidation;
        random_schedules_find_a_lost_estimate, LoseEstimate;
        random_schedules_find_a_commit_out_of_order, CommitOutOfOrder;
        random_schedules_find_a_second_look_not_taken, NoSecondLook;
        random_schedules_find_a_stale_incarnation, StaleIncarnation;
        random_schedules_find_a_dropped_wake_up, DroppedWakeUp;
    }

    find! { b1_b2_b3_hold_on_schedules_of_few_switches:
        few_switches_find_a_skipped_validation, SkipValidation;
        few_switches_find_a_lost_estimate, LoseEstimate;
        few_switches_find_a_commit_out_of_order, CommitOutOfOrder;
        few_switches_find_a_second_look_not_taken, NoSecondLook;
        few_switches_find_a_stale_incarnation, StaleIncarnation;
        few_switches_find_a_dropped_wake_up, DroppedWakeUp;
    }
}
