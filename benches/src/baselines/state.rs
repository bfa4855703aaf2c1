//! revm's `State`: what a node runs, with the changes and how to undo them.

use alloy_eips::eip4788::SYSTEM_ADDRESS;
use revm::context_interface::result::EVMError;
use revm::database::State;
use revm::database::states::bundle_state::BundleRetention;
use revm::database_interface::DatabaseCommitExt;
use revm::database_interface::bal::EvmDatabaseError;
use revm::{DatabaseCommit, ExecuteEvm, SystemCallEvm};
use weft_engine::error::WitnessError;

use super::ran::Left;
use super::{Input, PlainDb, Ran, evm};

/// Runs the block: system calls, transactions, credits, and then the bundle.
///
/// # Errors
///
/// [`EVMError`] if revm breaks one of its own rules; an invalid transaction only ends the block.
pub fn run(input: &Input<'_>) -> Result<Ran, EVMError<EvmDatabaseError<WitnessError>>> {
    let state = State::builder().with_database(PlainDb(input.pre_state)).with_bundle_update().build();
    let mut evm = evm(state, &input.env);
    let mut ran = Ran::with_capacity(input.transactions.len());
    for (contract, data) in &input.calls_before {
        let done = evm.system_call_with_caller(SYSTEM_ADDRESS, *contract, data.clone())?;
        evm.ctx.journaled_state.database.commit(done.state);
    }
    for transaction in &input.transactions {
        match evm.transact(transaction.clone()) {
            Ok(done) => {
                evm.ctx.journaled_state.database.commit(done.state);
                ran.push(done.result);
            }
            Err(EVMError::Transaction(_)) => return Ok(ran.fail()),
            Err(error) => return Err(error),
        }
    }
    let credits = input.credits.iter().map(|(address, amount)| (*address, *amount));
    evm.ctx.journaled_state.database.increment_balances(credits).map_err(EVMError::Database)?;
    for (contract, data) in &input.calls_after {
        let done = evm.system_call_with_caller(SYSTEM_ADDRESS, *contract, data.clone())?;
        evm.ctx.journaled_state.database.commit(done.state);
    }
    let state = &mut evm.ctx.journaled_state.database;
    state.merge_transitions(BundleRetention::Reverts);
    ran.left = Left::Bundle(Box::new(state.take_bundle()));
    Ok(ran)
}
