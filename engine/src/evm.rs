//! revm's mainnet EVM with one rule more: before Amsterdam, nothing is created onto an account that has storage
//! (EIP-7610). From Amsterdam on the reference looks at nonce and code alone, as revm does for every fork.
//!
//! revm sees nonce and code of the account that a creation would take, and leaves the storage out, since no account
//! of mainnet can come into the way. A rollup chooses its own genesis, so here it must be looked at. The rule lies
//! around revm's creation frame: where the account has storage, revm is shown a nonce, and finds the collision
//! itself.
//!
//! `parallel` has it remember what it has hashed (`hash_memo.rs`).
//!
//! The state is also told when a run begins to depend on the exact balance of an account, so that a run may be shown a
//! balance to which others are still adding. A run depends on it where `BALANCE` asks for it, and where code runs in
//! the account's name, the code of a creation too: that alone can ask for its own balance, or spend it. That it is not
//! zero is no secret.

use std::sync::LazyLock;

use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::{BALANCE, KECCAK256};
use revm::context::journal::JournalInner;
use revm::context::{BlockEnv, CfgEnv, ContextTr, FrameStack, JournalEntry, TxEnv};
use revm::context_interface::JournalTr;
use revm::context_interface::context::ContextError;
use revm::handler::evm::{ContextDbError, FrameInitResult};
use revm::handler::{EthFrame, EvmTr, FrameInitOrResult, FrameResult, ItemOrResult, MainnetEvm};
use revm::interpreter::instructions::{host, system};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::{CallInputs, CreateInputs, FrameInit, FrameInput};
use revm::interpreter::interpreter_types::MemoryTr;
use revm::interpreter::{Host, Interpreter};
use revm::interpreter::{Instruction, InstructionContext, InstructionResult};
use revm::primitives::constants::CALL_STACK_LIMIT;
use revm::primitives::hardfork::SpecId;
use revm::{Context, Database, Journal, MainBuilder, MainContext};

use crate::hash_memo::{HashMemo, LENGTH};
use crate::location::TIP_MAX;

/// A state that also knows which accounts have storage.
pub(crate) trait StateDb: Database {
    /// Whether any slot of the account is not zero.
    ///
    /// # Errors
    ///
    /// If the state neither holds the account nor proves its absence.
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error>;

    /// From here on the run may depend on what exactly this account's balance is. Whoever runs on a balance that may
    /// still grow cannot go on.
    ///
    /// # Errors
    ///
    /// If the state cannot stand by the balance that it has shown.
    fn pin_balance(&mut self, _address: Address) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl<DB: StateDb> StateDb for &mut DB {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        (**self).has_storage(address)
    }

    fn pin_balance(&mut self, address: Address) -> Result<(), Self::Error> {
        (**self).pin_balance(address)
    }
}

/// revm's context over a state, for transactions that are kept elsewhere, with hashes that it has computed before.
type EthContext<'t, DB> = Context<BlockEnv, &'t TxEnv, CfgEnv, DB, Journal<DB>, HashMemo>;

/// No transaction at all.
static NO_TRANSACTION: LazyLock<TxEnv> = LazyLock::new(TxEnv::default);

/// The EVM of mainnet, over a state.
#[derive(Debug)]
pub(crate) struct EthEvm<'t, DB: Database>(MainnetEvm<EthContext<'t, DB>>);

impl<DB: StateDb> EthEvm<'_, DB> {
    /// An EVM for the block described by `env`.
    pub(crate) fn new(database: DB, env: &EvmEnv<SpecId>) -> Self {
        let context = Context::mainnet()
            .with_block(env.block_env.clone())
            .with_cfg(env.cfg_env.clone())
            .with_tx(&*NO_TRANSACTION)
            .with_chain(HashMemo::default())
            .with_db(database);
        let mut evm = context.build_mainnet();
        let gas = evm.instruction.gas_table()[usize::from(BALANCE)];
        evm.instruction.insert_instruction(BALANCE, Instruction::new(balance), gas);
        Self(evm)
    }

    /// The same EVM, which remembers what it has hashed.
    pub(crate) fn with_memo(mut self) -> Self {
        let gas = self.0.instruction.gas_table()[usize::from(KECCAK256)];
        self.0.instruction.insert_instruction(KECCAK256, Instruction::new(keccak256), gas);
        self
    }

    /// What it has hashed.
    pub(crate) fn memo(&mut self) -> &mut HashMemo {
        &mut self.0.ctx.chain
    }

    /// The state below the journal.
    pub(crate) fn database(&mut self) -> &mut DB {
        &mut self.0.ctx.journaled_state.database
    }

    /// The same, and the journal.
    pub(crate) fn database_and_journal(&mut self) -> (&mut DB, &mut JournalInner<JournalEntry>) {
        let journal = &mut self.0.ctx.journaled_state;
        (&mut journal.database, &mut journal.inner)
    }

    /// Pins the balance of an account whose code is about to run, which can look at it and spend it, and of one that
    /// is about to receive so much that it may overflow.
    fn pin_called(&mut self, inputs: &CallInputs) -> Result<(), DB::Error> {
        let has_code = inputs.known_bytecode.0 != KECCAK_EMPTY;
        let is_much = inputs.value.transfer().is_some_and(|value| value >= TIP_MAX);
        if has_code || is_much { self.database().pin_balance(inputs.target_address) } else { Ok(()) }
    }

    /// Pins the balance of an account that a creation would take: the code that makes it runs in its name, and if that
    /// fails, nothing shows that it was there.
    fn pin_created(&mut self, inputs: &CreateInputs) -> Result<(), DB::Error> {
        let nonce = self.0.ctx.journal_mut().load_account(inputs.caller())?.info.nonce;
        self.database().pin_balance(inputs.created_address(nonce))
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

    /// Who pays in a call, if the balance of whom he pays would overflow.
    fn payer_of_too_much(&self, input: &FrameInput) -> Option<Address> {
        let FrameInput::Call(inputs) = input else { return None };
        let value = inputs.value.transfer().filter(|value| !value.is_zero())?;
        let balance = self.0.ctx.journaled_state.state.get(&inputs.target_address)?.info.balance;
        let overflows = inputs.caller != inputs.target_address && balance.checked_add(value).is_none();
        overflows.then_some(inputs.caller)
    }

    /// Lets revm fail a payment that would overflow. It takes the amount from the payer and does not say so: no balance
    /// of mainnet comes near.
    fn pay_too_much(
        &mut self,
        payer: Address,
        init: FrameInit,
    ) -> Result<FrameResult, ContextError<DB::Error>> {
        let before = self.0.ctx.journaled_state.state.get(&payer).map(|account| account.info.balance);
        let done = self.0.frame_init(init)?;
        let ItemOrResult::Result(result) = done else {
            return Err(ContextError::Custom("revm let a balance overflow".to_owned()));
        };
        if let (Some(account), Some(before)) = (self.0.ctx.journaled_state.state.get_mut(&payer), before) {
            account.info.balance = before;
        }
        Ok(result)
    }

    /// Sets the nonce that revm sees. The journal does not hear of it.
    fn show_nonce(&mut self, address: Address, nonce: u64) {
        if let Some(account) = self.0.ctx.journaled_state.state.get_mut(&address) {
            account.info.nonce = nonce;
        }
    }
}

impl<'t, DB: StateDb> EvmTr for EthEvm<'t, DB> {
    type Context = EthContext<'t, DB>;
    type Instructions = <MainnetEvm<EthContext<'t, DB>> as EvmTr>::Instructions;
    type Precompiles = <MainnetEvm<EthContext<'t, DB>> as EvmTr>::Precompiles;
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
            FrameInput::Call(inputs) => {
                self.pin_called(inputs)?;
                None
            }
            FrameInput::Create(inputs) => {
                self.pin_created(inputs)?;
                let amsterdam = self.0.ctx.cfg.spec.is_enabled_in(SpecId::AMSTERDAM);
                if amsterdam { None } else { self.occupied(inputs, init.depth)? }
            }
            FrameInput::Empty => None,
        };
        match (occupied, self.payer_of_too_much(&init.frame_input)) {
            (None, None) => self.0.frame_init(init),
            (Some(address), _) => Ok(ItemOrResult::Result(self.collide(address, init)?)),
            (None, Some(payer)) => Ok(ItemOrResult::Result(self.pay_too_much(payer, init)?)),
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

/// `KECCAK256` as revm has it, for an EVM that remembers the hashes of 64 bytes.
fn keccak256<DB: Database>(
    context: InstructionContext<'_, EthContext<'_, DB>, EthInterpreter>,
) -> Result<(), InstructionResult> {
    let InstructionContext { interpreter, host } = context;
    let Some(message) = message_in_memory(interpreter) else {
        return system::keccak256(InstructionContext { interpreter, host });
    };
    if let Some(hash) = host.chain.get(&message) {
        if !interpreter.gas.record_regular_cost(host.gas_params().keccak256_cost(LENGTH)) {
            return Err(InstructionResult::OutOfGas);
        }
        // Two words are there, and one takes their place.
        interpreter.stack.popn::<1>();
        if let Some(top) = interpreter.stack.top() {
            *top = hash.into();
        }
        return Ok(());
    }
    system::keccak256(InstructionContext { interpreter: &mut *interpreter, host: &mut *host })?;
    if let Some(hash) = interpreter.stack.data().last() {
        host.chain.put(message, (*hash).into());
    }
    Ok(())
}

/// What `KECCAK256` is about to hash, if it is 64 bytes and memory need not grow for it.
fn message_in_memory(interpreter: &Interpreter<EthInterpreter>) -> Option<[u8; LENGTH]> {
    let [.., length, offset] = interpreter.stack.data().as_slice() else { return None };
    let offset = usize::try_from(*offset).ok()?;
    if *length != LENGTH_WORD || interpreter.memory.size() < offset.checked_add(LENGTH)? {
        return None;
    }
    (*interpreter.memory.slice_len(offset, LENGTH)).try_into().ok()
}

/// The length of what is remembered, as the stack has it.
const LENGTH_WORD: U256 = U256::from_limbs([LENGTH as u64, 0, 0, 0]);

/// `BALANCE` as revm has it, for a state that wants to know whose balance is looked at.
fn balance<DB: StateDb>(
    context: InstructionContext<'_, EthContext<'_, DB>, EthInterpreter>,
) -> Result<(), InstructionResult> {
    if let Some(word) = context.interpreter.stack.data().last() {
        let pinned = context.host.db_mut().pin_balance(Address::from_word((*word).into()));
        if let Err(error) = pinned {
            *context.host.error() = Err(ContextError::Db(error));
            return Err(InstructionResult::FatalExternalError);
        }
    }
    host::balance(context)
}
