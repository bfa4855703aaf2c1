//! revm's `State`: what a node runs, with the changes and how to undo them.

use revm::context_interface::result::EVMError;
use revm::database::State;
use revm::database::states::bundle_state::BundleRetention;
use revm::database_interface::DatabaseCommitExt;
use revm::database_interface::bal::EvmDatabaseError;
use weft_engine::error::WitnessError;

use super::ran::Left;
use super::{Input, PlainDb, Ran, commit_calls, commit_transactions, evm};

/// Runs the block: system calls, transactions, credits, and then the bundle.
///
/// # Errors
///
/// [`EVMError`] if revm breaks one of its own rules; an invalid transaction only ends the block.
pub fn run(input: &Input<'_>) -> Result<Ran, EVMError<EvmDatabaseError<WitnessError>>> {
    let state = State::builder().with_database(PlainDb(input.pre_state)).with_bundle_update().build();
    let mut evm = evm(state, &input.env);
    let mut ran = Ran::with_capacity(input.transactions.len());
    commit_calls(&mut evm, &input.calls_before)?;
    if !commit_transactions(&mut evm, input, &mut ran)? {
        return Ok(ran.fail());
    }
    let credits = input.credits.iter().map(|(address, amount)| (*address, *amount));
    evm.ctx.journaled_state.database.increment_balances(credits).map_err(EVMError::Database)?;
    commit_calls(&mut evm, &input.calls_after)?;
    let state = &mut evm.ctx.journaled_state.database;
    state.merge_transitions(BundleRetention::Reverts);
    ran.left = Left::Bundle(Box::new(state.take_bundle()));
    Ok(ran)
}
