//! The specification: transactions in order, no speculation.

use crate::block::ReadyBlock;
use crate::block_state::{self, BlockState, RevmState};
use crate::commit::BlockRun;
use crate::error::ExecuteError;
use crate::evm::EthEvm;
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::setup::Setup;
use crate::transaction::{self, blame};

/// Runs a block on its pre-state, one transaction after the other.
///
/// # Errors
///
/// [`ExecuteError`] of the first place at which the block cannot go on.
pub fn run(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> Result<Outcome, ExecuteError> {
    run_with(block, pre_state, Setup::default())
}

/// As [`run`], in another way.
///
/// # Errors
///
/// As [`run`].
pub fn run_with(
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    setup: Setup<'_>,
) -> Result<Outcome, ExecuteError> {
    run_telling_from(0, block, pre_state, setup)
}

/// As [`run_with`], for somebody who has been told of the first transactions before.
pub(crate) fn run_telling_from(
    told: usize,
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    setup: Setup<'_>,
) -> Result<Outcome, ExecuteError> {
    let mut state = block_state::revm_state(pre_state);
    let mut run = BlockRun::begin(block, &mut state, setup)?.telling_from(told);
    let mut evm = EthEvm::new(state, &block.env);
    for (index, transaction) in block.transactions.iter().enumerate() {
        let transacted = run.admit(index).map_err(ExecuteError::from).and_then(|()| {
            transaction::transact(&mut evm, &transaction.env)
                .map_err(|error| blame(index, error, RevmState::blame))
        });
        run.decide(evm.database(), index, transacted)?;
        if run.left() == 0 {
            break;
        }
    }
    run.finish(evm.database())
}
