//! What a run did, for those who watch.

use weft_scheduler::Stats;

/// What the run did, for those who watch: no part of the outcome, and different from run to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Transactions run one after the other, because speculation does not pay there.
    pub in_order: u64,
    /// Transactions committed where others ran ahead of them, or in other strands.
    pub speculative: u64,
    /// Those of them that ran in strands, without the scheduler.
    pub in_strands: u64,
    /// Runs in strands that have not held.
    pub in_strands_in_vain: u64,
    /// Incarnations run, first ones and repetitions, speculative or not.
    pub executions: u64,
    /// Incarnations thrown away, because they had read what a lower transaction then wrote otherwise.
    pub aborts: u64,
    /// Those of them that were found when their turn to commit had come, and not ahead of it.
    pub aborts_at_frontier: u64,
    /// Read sets replayed.
    pub validations: u64,
    /// Incarnations given up halfway, because they met an estimate.
    pub waits_for_estimate: u64,
    /// Incarnations given up halfway, because they needed all lower transactions to be committed.
    pub waits_for_frontier: u64,
    /// First incarnations that were put off until one that resembles theirs was over.
    pub delays: u64,
    /// Locations where a transaction was predicted to write.
    pub predictions: u64,
    /// Those of them where its first incarnation has written.
    pub prediction_hits: u64,
    /// Blocks that the specification ran in the end, because the scheduler broke one of its own rules. Anything but
    /// zero is a bug of ours to report.
    pub fallbacks: u64,
}

impl Counters {
    /// Each with its name.
    pub const fn named(&self) -> [(&'static str, u64); 14] {
        [
            ("in_order", self.in_order),
            ("speculative", self.speculative),
            ("in_strands", self.in_strands),
            ("in_strands_in_vain", self.in_strands_in_vain),
            ("executions", self.executions),
            ("aborts", self.aborts),
            ("aborts_at_frontier", self.aborts_at_frontier),
            ("validations", self.validations),
            ("waits_for_estimate", self.waits_for_estimate),
            ("waits_for_frontier", self.waits_for_frontier),
            ("delays", self.delays),
            ("predictions", self.predictions),
            ("prediction_hits", self.prediction_hits),
            ("fallbacks", self.fallbacks),
        ]
    }

    /// So many transactions are run one after the other.
    pub(crate) fn in_order(&mut self, transactions: u32) {
        self.in_order += u64::from(transactions);
        self.executions += u64::from(transactions);
    }

    /// So many transactions were run in strands, which have become part of the block.
    pub(crate) fn in_strands(&mut self, transactions: u32) {
        self.speculative += u64::from(transactions);
        self.in_strands += u64::from(transactions);
        self.executions += u64::from(transactions);
    }

    /// Strands have run so many transactions in vain.
    pub(crate) fn strands_in_vain(&mut self, transactions: u32) {
        self.in_strands_in_vain += u64::from(transactions);
        self.executions += u64::from(transactions);
        self.aborts += u64::from(transactions);
    }

    /// A speculative stretch is over.
    pub(crate) fn speculative(&mut self, stats: &Stats) {
        self.speculative += u64::from(stats.committed);
        self.executions += stats.executions;
        self.aborts += stats.aborts;
        self.aborts_at_frontier += stats.aborts_at_frontier;
        self.validations += stats.validations;
        self.waits_for_estimate += stats.waits - stats.waits_for_frontier;
        self.waits_for_frontier += stats.waits_for_frontier;
        self.delays += stats.delays;
        self.predictions += stats.predictions;
        self.prediction_hits += stats.prediction_hits;
    }
}
