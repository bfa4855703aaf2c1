//! How fast a block would run on cores that are not there: the shipped scheduler on virtual cores, with what each
//! transaction takes on this machine.
//!
//! ```text
//! block ─► Costs       each part measured: in order, and as a worker does it
//!             │
//!             ▼
//!          run on n virtual cores ─► Prediction: time, executions, what the cores' time went into
//! ```
//!
//! All of [`crate::parallel::run`] is simulated: the stretches and what it takes to set them up, helpers that come
//! late, runs, conflicts, commits, and what is done in order. The outcome is compared with the specification's, so a
//! simulation is also a test. What is left out makes real cores slower, and the more of them the slower: lines of
//! cache that travel between cores, locks that are held by others for a moment, bandwidth of the memory, the
//! allocator, cores that share an execution unit.
//!
//! # Invariants
//!
//! - **T1.** The same block, costs, workers and seed give the same prediction. `benches/smoke.rs` checks it.
//! - **T2.** One worker takes as long as the loop in order. The same test checks it.

mod bound;
mod costs;
mod machine;
mod rehearsal;
mod simulator;

pub use costs::Costs;
pub use machine::measure_kernel;
pub(crate) use rehearsal::{Around, End, Rehearsal};
pub use simulator::{Plan, Report, Simulator};
pub use weft_scheduler::simulate::{KernelCosts, Spent};

use crate::block::ReadyBlock;
use crate::error::{ExecuteError, Fault};
use crate::outcome::Outcome;
use crate::parallel;
use crate::pre_state::PreState;
use crate::sequential;
use crate::setup::Setup;

/// What a simulation came to. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prediction {
    /// On how many virtual cores.
    pub workers: usize,
    /// How long the block took.
    pub time: u64,
    /// Runs begun, those in order included.
    pub executions: u64,
    /// Runs found void.
    pub aborts: u64,
    /// Transactions that ran in order, since speculation did not pay or there was nobody to speculate.
    pub in_order: u32,
    /// Transactions that ran in strands.
    pub in_strands: u64,
    /// Of the time, what went into setting stretches up and clearing them away: most of it is one core's work.
    pub between: u64,
    /// Of the time, what one core did in order: the transactions counted in `in_order`, and the ends of the block.
    pub alone: u64,
    /// What all workers together spent their time on in speculative stretches, and in strands.
    pub spent: Spent,
}

/// What is simulated: a block on its pre-state.
#[derive(Debug)]
pub struct Simulation<'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// The state before it.
    pre_state: &'a dyn PreState,
    /// What everything takes.
    costs: Costs,
    /// What it must come to.
    outcome: Result<Outcome, ExecuteError>,
}

impl<'a> Simulation<'a> {
    /// Runs the block in order for its outcome, and then a few times more to measure it: each cost is the least of
    /// `rounds`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the system gives no threads, or by a bug of ours.
    pub fn new(block: &'a ReadyBlock<'a>, pre_state: &'a dyn PreState, rounds: u32) -> Result<Self, Fault> {
        let outcome = sequential::run(block, pre_state);
        let costs = Costs::measure(block, pre_state, rounds)?;
        Ok(Self { block, pre_state, costs, outcome })
    }

    /// What everything takes.
    pub const fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What the block comes to.
    pub const fn outcome(&self) -> &Result<Outcome, ExecuteError> {
        &self.outcome
    }

    /// Runs the block on so many virtual cores.
    ///
    /// # Errors
    ///
    /// [`Fault::Simulation`] if it does not come to the outcome that it has in order.
    pub fn run(&self, workers: usize, seed: u64) -> Result<Prediction, Fault> {
        let rehearsal = Rehearsal::simulation(&self.costs, workers, seed);
        let setup = Setup::default().with_rehearsal(&rehearsal);
        let (outcome, counters) = costs::alone(|| parallel::run_with(self.block, self.pre_state, setup))?;
        if counters.fallbacks > 0 || outcome != self.outcome {
            return Err(Fault::Simulation { workers, seed });
        }
        Ok(rehearsal.prediction(&counters))
    }
}

/// The block access list that a block would have come with in Amsterdam, as RLP (EIP-7928): what
/// [`ReadyBlock::with_access_list`] takes.
///
/// # Errors
///
/// As [`sequential::run`]: there is no list of a block that cannot be run.
pub fn access_list(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> Result<Vec<u8>, ExecuteError> {
    let mut rules = block.rules.clone();
    rules.header = revm::primitives::hardfork::SpecId::AMSTERDAM;
    // The list may be longer than the block's gas limit would allow in Amsterdam.
    let header = alloy_consensus::Header { gas_limit: u64::MAX, ..block.header.clone() };
    let listed = ReadyBlock { rules: &rules, header: &header, ..block.clone() };
    let outcome = sequential::run(&listed, pre_state)?;
    Ok(outcome.block_access_list.map(alloy_rlp::encode).unwrap_or_default())
}
