//! What EXECUTE says of an input, and what it saw on the way.

use std::time::Duration;

use alloy_primitives::B256;

use super::wire::StatelessOutput;
use crate::counters::Counters;
use crate::error::ExecuteError;
use crate::outcome::Outcome;

/// What EXECUTE says of an input.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// Why the block is not proved valid, if it is not.
    pub error: Option<ExecuteError>,
    /// The precompile's output, for an input in its own form.
    pub output: Option<StatelessOutput>,
    /// Chain id.
    pub chain_id: u64,
    /// Block number.
    pub block_number: u64,
    /// Hash of the block: of its header if it came with one, else as the payload claims.
    pub block_hash: B256,
    /// Transactions in the block.
    pub transactions: usize,
    /// What was computed, as far as execution came.
    pub computed: Computed,
    /// What running the block gave, if it ran to its end.
    pub outcome: Option<Outcome>,
    /// Time each stage took.
    pub stages: Stages,
    /// What the scheduler did.
    pub counters: Counters,
}

/// Values computed from the block and its pre-state; never copied from the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Computed {
    /// Post-state root.
    pub state_root: Option<B256>,
    /// Root of the receipts.
    pub receipts_root: Option<B256>,
    /// Gas used by the block.
    pub gas_used: Option<u64>,
}

/// Wall-clock time of each stage. Where two run side by side, the second counts for what it took longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stages {
    /// Bytes to input.
    pub decode: Duration,
    /// Payload, hashing and checking the witness, the header against its parent.
    pub witness: Duration,
    /// Signatures.
    pub senders: Duration,
    /// Transactions and system calls.
    pub execution: Duration,
    /// Post-state root.
    pub root: Duration,
    /// Receipts root and bloom; every comparison with the header.
    pub receipts: Duration,
}

impl Stages {
    /// The stages by name, in the order they run.
    pub fn named(&self) -> [(&'static str, Duration); 6] {
        [
            ("decode", self.decode),
            ("witness", self.witness),
            ("senders", self.senders),
            ("execution", self.execution),
            ("root", self.root),
            ("receipts", self.receipts),
        ]
    }

    /// All stages together.
    pub fn total(&self) -> Duration {
        self.named().into_iter().map(|(_, time)| time).sum()
    }
}

impl Verdict {
    /// What can be said of a block before it is judged.
    pub(crate) fn open(chain_id: u64, block_number: u64, block_hash: B256, transactions: usize) -> Self {
        Self {
            error: None,
            output: None,
            chain_id,
            block_number,
            block_hash,
            transactions,
            computed: Computed::default(),
            outcome: None,
            stages: Stages::default(),
            counters: Counters::default(),
        }
    }

    /// Whether the block is valid.
    pub fn valid(&self) -> bool {
        self.error.is_none()
    }
}
