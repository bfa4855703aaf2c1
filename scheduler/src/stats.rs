//! How much work a block took. It depends on the schedule, unlike the outcome.

/// Counts of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Transactions handed to [`crate::Executor::commit`], including the one that stopped the block.
    pub committed: u32,
    /// Runs started.
    pub executions: u64,
    /// Runs found void by a validation.
    pub aborts: u64,
    /// Read sets replayed.
    pub validations: u64,
    /// Runs given up halfway: they met an estimate or asked for the frontier.
    pub waits: u64,
    /// The block ended before its time because speculation did not pay.
    pub gave_up: bool,
}

impl Stats {
    /// Adds the counts of one worker.
    pub(crate) const fn add(&mut self, other: &Self) {
        let Self { committed, executions, aborts, validations, waits, gave_up } = other;
        self.committed += *committed;
        self.executions += *executions;
        self.aborts += *aborts;
        self.validations += *validations;
        self.waits += *waits;
        self.gave_up |= *gave_up;
    }
}
