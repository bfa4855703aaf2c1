//! The same block on revm's own sequential loops, for comparison.
//!
//! | baseline | state between transactions | gives |
//! |---|---|---|
//! | [`journal`] | revm's journal, never emptied | receipts, final values |
//! | [`cache`] | two hash maps over the pre-state | receipts, final values |
//! | [`state`] | revm's `State` with transitions | receipts, bundle, reverts |
//!
//! The first two are as fast as one thread gets; no node could use them, since they don't say what a block changed
//! and how to undo it. The third gives what nodes need, and what Weft gives.
//!
//! All read the same pre-state by reference, and clone each transaction's environment, as `transact` takes it by value.
//! The engine lends it.

pub mod cache;
mod input;
pub mod journal;
mod ran;
pub mod state;

pub use input::Input;
pub use ran::{Difference, Ran};

use alloy_eips::eip4788::SYSTEM_ADDRESS;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::Bytecode;
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::context_interface::result::EVMError;
use revm::handler::MainnetEvm;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{Database, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext, SystemCallEvm};
use weft_engine::error::WitnessError;
use weft_engine::pre_state::{PlainState, PreState};

/// revm's mainnet EVM over a database.
pub(crate) type MainEvm<DB> = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, DB>>;

/// A mainnet EVM for the block described by `env`.
pub(crate) fn evm<DB: Database>(database: DB, env: &EvmEnv<SpecId>) -> MainEvm<DB> {
    Context::mainnet()
        .with_block(env.block_env.clone())
        .with_cfg(env.cfg_env.clone())
        .with_db(database)
        .build_mainnet()
}

/// Calls system contracts, and commits what each changed.
fn commit_calls<DB: Database + DatabaseCommit>(
    evm: &mut MainEvm<DB>,
    calls: &[(Address, Bytes)],
) -> Result<(), EVMError<DB::Error>> {
    for (contract, data) in calls {
        let done = evm.system_call_with_caller(SYSTEM_ADDRESS, *contract, data.clone())?;
        evm.ctx.journaled_state.database.commit(done.state);
    }
    Ok(())
}

/// Runs the transactions, and commits what each changed; false if one is invalid, which ends the block.
fn commit_transactions<DB: Database + DatabaseCommit>(
    evm: &mut MainEvm<DB>,
    input: &Input<'_>,
    ran: &mut Ran,
) -> Result<bool, EVMError<DB::Error>> {
    for transaction in &input.transactions {
        match evm.transact(transaction.clone()) {
            Ok(done) => {
                evm.ctx.journaled_state.database.commit(done.state);
                ran.push(done.result);
            }
            Err(EVMError::Transaction(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A plain pre-state as revm's database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainDb<'a>(pub(crate) &'a PlainState);

impl Database for PlainDb<'_> {
    type Error = WitnessError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.0.account(address)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.0.code(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.0.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, WitnessError> {
        self.0.block_hash(number)
    }
}
