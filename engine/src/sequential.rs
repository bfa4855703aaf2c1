//! The specification: transactions in order, no speculation.

use crate::block::ReadyBlock;
use crate::block_state::{self, BlockState, RevmState};
use crate::commit::BlockRun;
use crate::error::ExecuteError;
use crate::evm::EthEvm;
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::transaction::{self, blame};

/// Runs a block on its pre-state, one transaction after the other.
///
/// # Errors
///
/// [`ExecuteError`] of the first place at which the block cannot go on.
pub fn run(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> Result<Outcome, ExecuteError> {
    let mut state = block_state::revm_state(pre_state);
    let mut run = BlockRun::begin(block, &mut state)?;
    let mut evm = EthEvm::new(state, &block.env);
    for (index, transaction) in block.transactions.iter().enumerate() {
        run.admit(index)?;
        let transacted = transaction::transact(&mut evm, &transaction.env)
            .map_err(|error| blame(index, error, RevmState::blame))?;
        run.commit(evm.database(), index, transacted)?;
    }
    run.finish(evm.database())
}
