//! How much work a block took. It depends on the schedule, unlike the outcome.

/// Counts of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Transactions handed to [`crate::Executor::commit`], those that were discarded and the one that
    /// stopped the block included.
    pub committed: u32,
    /// Runs started.
    pub executions: u64,
    /// Runs found void by a validation.
    pub aborts: u64,
    /// Those of them that were found when their turn to commit had come.
    pub aborts_at_frontier: u64,
    /// Read sets replayed.
    pub validations: u64,
    /// Runs given up halfway.
    pub waits: u64,
    /// Those of them that wanted all lower transactions to be committed; the others met an estimate.
    pub waits_for_frontier: u64,
    /// First runs that were put off because one that resembles theirs was not over.
    pub delays: u64,
    /// Locations where a transaction was predicted to write.
    pub predictions: u64,
    /// Those of them where its first run has written.
    pub prediction_hits: u64,
    /// The block ended before its time because speculation did not pay.
    pub gave_up: bool,
    /// Speculation was seen to pay.
    pub has_paid: bool,
}

impl Stats {
    /// Adds the counts of one worker.
    pub(crate) const fn add(&mut self, other: &Self) {
        let Self {
            committed,
            executions,
            aborts,
            aborts_at_frontier,
            validations,
            waits,
            waits_for_frontier,
            delays,
            predictions,
            prediction_hits,
            gave_up,
            has_paid,
        } = other;
        self.committed += *committed;
        self.executions += *executions;
        self.aborts += *aborts;
        self.aborts_at_frontier += *aborts_at_frontier;
        self.validations += *validations;
        self.waits += *waits;
        self.waits_for_frontier += *waits_for_frontier;
        self.delays += *delays;
        self.predictions += *predictions;
        self.prediction_hits += *prediction_hits;
        self.gave_up |= *gave_up;
        self.has_paid |= *has_paid;
    }
}
