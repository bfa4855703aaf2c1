//! Simulation in place of a run: for those who have an input of the pipeline, and not a [`ReadyBlock`].

use std::sync::Arc;

use parking_lot::Mutex;
use weft_scheduler::simulate::{KernelCosts, WORKERS_MAX};

use super::bound::bound;
use super::{Prediction, Simulation, access_list};
use crate::block::ReadyBlock;
use crate::counters::Counters;
use crate::error::{ExecuteError, Fault};
use crate::outcome::Outcome;
use crate::pre_state::PreState;

/// Simulates blocks that are judged with [`crate::execute::Options::with_simulator`], and keeps what it came to for the
/// last of them. Clones share it.
#[derive(Debug, Clone)]
pub struct Simulator {
    /// What to do.
    plan: Plan,
    /// What it came to.
    report: Arc<Mutex<Option<Report>>>,
}

/// What to simulate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// Numbers of virtual cores.
    pub workers: Vec<usize>,
    /// Which of the likely courses of events.
    pub seed: u64,
    /// How often each cost is measured; the least counts.
    pub rounds: u32,
    /// A block without an access list gets the one that it would have in Amsterdam.
    pub access_list: bool,
}

/// What the simulations of one block came to. Times are in nanoseconds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// How many transactions the block has.
    pub transactions: usize,
    /// The transactions ran on what an access list says.
    pub foreseen: bool,
    /// What all takes in order, as measured.
    pub work: u64,
    /// What the longest chain takes ([`super::Costs::critical_path`]).
    pub critical_path: u64,
    /// What the kernel takes, as measured.
    pub kernel: KernelCosts,
    /// By number of cores.
    pub predictions: Vec<Prediction>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { workers: vec![1, 2, 4, 8, 16, 32, 64, 128], seed: 0, rounds: 5, access_list: false }
    }
}

impl Simulator {
    /// A simulator that has simulated nothing.
    pub fn new(plan: Plan) -> Self {
        Self { plan, report: Arc::default() }
    }

    /// What the last block came to, if one has come as far as its transactions.
    pub fn take_report(&self) -> Option<Report> {
        self.report.lock().take()
    }

    /// Simulates a block, and returns what it comes to in order.
    pub(crate) fn run(
        &self,
        block: &ReadyBlock<'_>,
        pre_state: &dyn PreState,
    ) -> (Result<Outcome, ExecuteError>, Counters) {
        let counters = Counters { executions: block.transactions.len() as u64, ..Counters::default() };
        let outcome = match self.simulate(block, pre_state) {
            Ok((report, outcome)) => {
                *self.report.lock() = Some(report);
                outcome
            }
            Err(fault) => Err(fault.into()),
        };
        (outcome, counters)
    }

    /// Simulates a block as the plan says, and says what it comes to in order.
    fn simulate(
        &self,
        block: &ReadyBlock<'_>,
        pre_state: &dyn PreState,
    ) -> Result<(Report, Result<Outcome, ExecuteError>), Fault> {
        let list = match block.access_list {
            None if self.plan.access_list => access_list(block, pre_state).ok(),
            _ => None,
        };
        let listed = list.as_ref().map(|list| block.clone().with_access_list(list));
        let block = listed.as_ref().unwrap_or(block);
        let simulation = Simulation::new(block, pre_state, self.plan.rounds)?;
        let run = |workers: &usize| simulation.run((*workers).clamp(1, WORKERS_MAX), self.plan.seed);
        let predictions = self.plan.workers.iter().map(run).collect::<Result<_, _>>()?;
        let costs = simulation.costs();
        let report = Report {
            transactions: block.transactions.len(),
            foreseen: block.access_list.is_some(),
            work: costs.work(),
            critical_path: costs.critical_path(),
            kernel: *costs.kernel(),
            predictions,
        };
        Ok((report, simulation.outcome))
    }
}

impl Report {
    /// How many times as fast as in order a block can be at most on so many cores: each has its share, and the longest
    /// chain stays one.
    pub fn bound(&self, workers: usize) -> f64 {
        ratio(self.work, bound(self.work, self.critical_path, workers))
    }

    /// How many times as fast as in order a simulated run was.
    pub fn speedup(&self, prediction: &Prediction) -> f64 {
        ratio(self.work, prediction.time)
    }

    /// Runs per transaction of a simulated run.
    pub fn executions_per_transaction(&self, prediction: &Prediction) -> f64 {
        ratio(prediction.executions, self.transactions as u64)
    }
}

/// One number by another.
#[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^52")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}
