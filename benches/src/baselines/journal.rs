//! revm's journal, kept from the first transaction to the last.

use alloy_eips::eip4788::SYSTEM_ADDRESS;
use revm::context_interface::result::EVMError;
use revm::{ExecuteEvm, SystemCallEvm};
use weft_engine::error::WitnessError;

use super::ran::Left;
use super::{Input, PlainDb, Ran, evm};

/// Runs the block's transactions. What comes after them is left out.
///
/// # Errors
///
/// [`EVMError`] if revm breaks one of its own rules; an invalid transaction only ends the block.
pub fn run(input: &Input<'_>) -> Result<Ran, EVMError<WitnessError>> {
    let mut evm = evm(PlainDb(input.pre_state), &input.env);
    let mut ran = Ran::with_capacity(input.transactions.len());
    for (contract, data) in &input.calls_before {
        evm.system_call_one_with_caller(SYSTEM_ADDRESS, *contract, data.clone())?;
    }
    for transaction in &input.transactions {
        match evm.transact_one(transaction.clone()) {
            Ok(result) => ran.push(result),
            Err(EVMError::Transaction(_)) => return Ok(ran.fail()),
            Err(error) => return Err(error),
        }
    }
    ran.left = Left::Journal(evm.finalize());
    Ok(ran)
}
