//! What a run of the fuzzer saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::case::Case;
use super::compare::Tally;
use crate::arguments::FuzzArguments;
use crate::console::Console;

/// Counts over all blocks.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Blocks that differ.
    pub(super) failed: u64,
    /// Blocks on which all agree.
    pub(super) blocks: u64,
    /// Blocks that are invalid.
    pub(super) invalid: u64,
    /// Of them, blocks whose witness lacks something.
    pub(super) starved: u64,
    /// Transactions.
    pub(super) transactions: u64,
    /// Of those in valid blocks, transactions that succeed.
    pub(super) succeeded: u64,
    /// Of those in valid blocks, transactions that revert or halt.
    pub(super) reverted: u64,
    /// Runs of the parallel engine.
    pub(super) runs: u64,
    /// Incarnations run.
    pub(super) executions: u64,
    /// Incarnations thrown away.
    pub(super) aborts: u64,
    /// Blocks by fork.
    pub(super) forks: BTreeMap<String, u64>,
}

impl Summary {
    /// Adds a block.
    pub(super) fn add(&mut self, case: &Case, tally: Tally) {
        self.blocks += 1;
        self.invalid += u64::from(!tally.valid);
        self.starved += u64::from(tally.starved);
        self.transactions += u64::try_from(case.transactions.len()).unwrap_or_default();
        self.succeeded += tally.succeeded;
        self.reverted += tally.failed;
        self.runs += tally.runs;
        self.executions += tally.executions;
        self.aborts += tally.aborts;
        *self.forks.entry(case.fork.to_string()).or_default() += 1;
    }

    /// Shows all of it.
    pub(super) fn show(&self, console: &Console, arguments: &FuzzArguments, time: Duration) {
        if arguments.json {
            let line = json!({
                "seed": arguments.seed, "failed": self.failed, "blocks": self.blocks, "invalid": self.invalid, "starved": self.starved,
                "transactions": self.transactions, "succeeded": self.succeeded, "reverted": self.reverted, "runs": self.runs, "executions": self.executions,
                "aborts": self.aborts, "forks": self.forks, "seconds": time.as_secs(),
            });
            console.line(line);
            return;
        }
        let share = |part: u64| part * 100 / self.blocks.max(1);
        console.line(format_args!(
            "{} blocks from seed {} in {} s agree, {} differ",
            self.blocks,
            arguments.seed,
            time.as_secs(),
            self.failed
        ));
        console.line(format_args!(
            "{} transactions ({} succeed, {} revert or halt), {} runs, {} executions, {} aborts",
            self.transactions, self.succeeded, self.reverted, self.runs, self.executions, self.aborts
        ));
        console.line(format_args!(
            "{} % of the blocks are invalid, {} % for lack of witness",
            share(self.invalid),
            share(self.starved)
        ));
        let forks: Vec<String> = self.forks.iter().map(|(fork, blocks)| format!("{fork} {blocks}")).collect();
        console.line(forks.join(", "));
    }
}
