//! revm's mainnet EVM with one rule more: before Amsterdam, nothing is created onto an account that has storage
//! (EIP-7610). From Amsterdam on the reference looks at nonce and code alone, as revm does for every fork.
//!
//! revm sees nonce and code of the account that a creation would take, and leaves the storage out, since no account
//! of mainnet can come into the way. A rollup chooses its own genesis, so here it must be looked at. The rule lies
//! around revm's creation frame: where the account has storage, revm is shown a nonce, and finds the collision
//! itself.

use alloy_evm::EvmEnv;
use alloy_primitives::Address;
use revm::context::{ContextTr, FrameStack};
use revm::context_interface::JournalTr;
use revm::context_interface::context::ContextError;
use revm::handler::evm::{ContextDbError, FrameInitResult};
use revm::handler::{
    EthFrame, EvmTr, FrameInitOrResult, FrameResult, ItemOrResult, MainnetContext, MainnetEvm,
};
use revm::interpreter::interpreter_action::{CreateInputs, FrameInit, FrameInput};
use revm::primitives::constants::CALL_STACK_LIMIT;
use revm::primitives::hardfork::SpecId;
use revm::{Context, Database, MainBuilder, MainContext};

/// A state that also knows which accounts have storage.
pub(crate) trait StateDb: Database {
    /// Whether any slot of the account is not zero.
    ///
    /// # Errors
    ///
    /// If the state neither holds the account nor proves its absence.
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error>;
}

impl<DB: StateDb> StateDb for &mut DB {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        (**self).has_storage(address)
    }
}

/// revm's context over a state.
type EthContext<DB> = MainnetContext<DB>;

/// The EVM of mainnet, over a state.
#[derive(Debug)]
pub(crate) struct EthEvm<DB: Database>(MainnetEvm<EthContext<DB>>);

impl<DB: StateDb> EthEvm<DB> {
    /// An EVM for the block described by `env`.
    pub(crate) fn new(database: DB, env: &EvmEnv<SpecId>) -> Self {
        let context = Context::mainnet()
            .with_block(env.block_env.clone())
            .with_cfg(env.cfg_env.clone())
            .with_db(database);
        Self(context.build_mainnet())
    }

    /// The state below the journal.
    pub(crate) fn database(&mut self) -> &mut DB {
        &mut self.0.ctx.journaled_state.database
    }

    /// The account that a creation would take, if it has storage and neither nonce nor code.
    ///
    /// Looks at nothing that revm would not look at next: the caller, and then the account.
    fn occupied(&mut self, inputs: &CreateInputs, depth: usize) -> Result<Option<Address>, DB::Error> {
        let journal = self.0.ctx.journal_mut();
        let caller = &journal.load_account(inputs.caller())?.info;
        if depth as u64 > CALL_STACK_LIMIT || caller.balance < inputs.value() || caller.nonce == u64::MAX {
            return Ok(None);
        }
        let address = inputs.created_address(caller.nonce);
        let account = journal.load_account(address)?;
        if account.is_loaded_as_not_existing()
            || account.info.nonce != 0
            || !account.info.is_empty_code_hash()
        {
            return Ok(None);
        }
        Ok(journal.database.has_storage(address)?.then_some(address))
    }

    /// Lets revm fail a creation for the nonce of the account that it would take.
    fn collide(&mut self, address: Address, init: FrameInit) -> Result<FrameResult, ContextError<DB::Error>> {
        self.show_nonce(address, 1);
        let done = self.0.frame_init(init)?;
        let ItemOrResult::Result(result) = done else {
            return Err(ContextError::Custom("revm created onto an account with a nonce".to_owned()));
        };
        self.show_nonce(address, 0);
        Ok(result)
    }

    /// Sets the nonce that revm sees. The journal does not hear of it.
    fn show_nonce(&mut self, address: Address, nonce: u64) {
        if let Some(account) = self.0.ctx.journaled_state.state.get_mut(&address) {
            account.info.nonce = nonce;
        }
    }
}

impl<DB: StateDb> EvmTr for EthEvm<DB> {
    type Context = EthContext<DB>;
    type Instructions = <MainnetEvm<EthContext<DB>> as EvmTr>::Instructions;
    type Precompiles = <MainnetEvm<EthContext<DB>> as EvmTr>::Precompiles;
    type Frame = EthFrame;

    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<EthFrame>) {
        self.0.all()
    }

    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<EthFrame>)
    {
        self.0.all_mut()
    }

    fn frame_init(
        &mut self,
        init: FrameInit,
    ) -> Result<FrameInitResult<'_, EthFrame>, ContextDbError<Self::Context>> {
        let occupied = match &init.frame_input {
            FrameInput::Create(inputs) if !self.0.ctx.cfg.spec.is_enabled_in(SpecId::AMSTERDAM) => {
                self.occupied(inputs, init.depth)?
            }
            FrameInput::Create(_) | FrameInput::Call(_) | FrameInput::Empty => None,
        };
        match occupied {
            None => self.0.frame_init(init),
            Some(address) => Ok(ItemOrResult::Result(self.collide(address, init)?)),
        }
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<EthFrame>, ContextDbError<Self::Context>> {
        self.0.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.0.frame_return_result(result)
    }
}
